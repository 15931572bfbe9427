"""The suite fails each broken store, by the tests that are meant to."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from checkpointkit.testing import StoreTests, run_store_machine
from checkpointkit.testing.conformance import threads
from checkpointkit.testing.conformance.machine import MACHINE_SETTINGS
from tests.support.unmeasured import unmeasured
from tests.testing import broken
from tests.testing.broken import MISTAKES, Mistake

if TYPE_CHECKING:
    from tests.testing.plain import Plain

CASES = Path(__file__).with_name("broken_cases.py")
RANDOM = "random_calls_agree_with_a_dict"
RULES = {name.removeprefix("test_") for name in dir(StoreTests) if name.startswith("test_")}
BY_CHANCE = {
    "a_reader_gets_one_state_whole_and_none_older_than_before",
    "no_compare_and_swap_is_lost",
    "no_save_is_lost",
    "no_save_of_several_processes_is_lost",
    "readers_beside_removes_see_a_state_whole_or_none",
}
"""They fail or not, as threads and processes happen to meet."""


class Failures:
    """A pytest plugin that notes which tests of which class fail."""

    def __init__(self) -> None:
        self.by_class: defaultdict[str, set[str]] = defaultdict(set)
        self.classes: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _, class_, test = report.nodeid.split("::")
        self.classes.add(class_)
        if report.failed:
            self.by_class[class_].add(test.partition("[")[0].removeprefix("test_"))


@pytest.fixture
def failures(mistake: Mistake) -> Failures:
    """Run the suite on one broken store, and see what fails.

    In a session of its own for each, so that workers share them. Unmeasured: the good stores cover
    the suite, and here it runs a hundred times.
    """
    found = Failures()
    off = ("cacheprovider", "logging", "unraisableexception", "threadexception", "faulthandler")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        unmeasured(),
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory(dir=memory) as directory,
    ):
        patch.setattr(threads, "GRACE", 0.01)
        ini = Path(directory, "pytest.ini")
        ini.write_text("[pytest]\nfilterwarnings = error\n")
        options = ["-q", "--tb=no", "--capture=no", "--no-summary", f"--config-file={ini}"]
        options += [f"--rootdir={CASES.parent}", f"--confcutdir={CASES.parent}"]
        options += [f"--basetemp={ini.parent / 'stores'}", *(f"-pno:{name}" for name in off)]
        code = pytest.main([*options, f"{CASES}::{class_of(mistake)}"], plugins=[found])
    assert code == pytest.ExitCode.TESTS_FAILED
    return found


def class_of(mistake: Mistake) -> str:
    return f"Test{mistake.kind.__name__}"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.kind.__name__)
def test_a_broken_store_fails_the_tests_that_are_meant_for_it(
    failures: Failures, mistake: Mistake
) -> None:
    assert failures.classes == {class_of(mistake)}
    failed = failures.by_class[class_of(mistake)]
    assert failed >= mistake.caught_by
    if not mistake.broad:
        assert failed <= mistake.caught_by | (BY_CHANCE if mistake.needs_others else set())


def test_each_rule_of_the_suite_fails_some_broken_store() -> None:
    named = set().union(*(mistake.caught_by for mistake in MISTAKES))
    assert named == RULES - {RANDOM} - BY_CHANCE
    assert len(MISTAKES) >= 12


@pytest.mark.parametrize(
    "kind",
    [
        broken.AbsentIgnored,
        broken.CaseFolding,
        broken.ConflictAfterTheChange,
        broken.EvidenceLeavesTheOlder,
        broken.LostGeneration,
        broken.OlderIsNewest,
        broken.OneByteLess,
        broken.PinLostAtTheSecondSave,
        broken.PinOfAnything,
        broken.ReadThatWrites,
        broken.RemoveOfTheNewest,
        broken.Resurrection,
        broken.ReusedAfterRemove,
        broken.SealErrorSwallowed,
        broken.SealToldAnotherNumber,
        broken.RemoveSparesThePinned,
        broken.StaleHistory,
        broken.SwallowedConflict,
        broken.UndeclaredHistory,
        broken.UnpinDeletesAnother,
        broken.UnsortedList,
        broken.WrongErrorForAbsence,
    ],
)
def test_random_calls_find_a_broken_store(kind: type[Plain], tmp_path: Path) -> None:
    quick = settings(MACHINE_SETTINGS, max_examples=3000, phases=[Phase.generate])
    with pytest.raises((Exception, ExceptionGroup)):
        run_store_machine(lambda name, max_bytes: kind(tmp_path / name, max_bytes), quick)
