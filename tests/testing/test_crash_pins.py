"""Power cuts and pins: what is pinned is kept, and each broken store is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checkpointkit import FileStore
from checkpointkit.stores.files import keydir, pinning
from checkpointkit.stores.files.steps import NextSave
from checkpointkit.testing.crash import WORKLOADS, enumerate_crashes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.stores.files.system import SystemCalls

BY_NAME = {w.name: w for w in WORKLOADS if "pin" in w.name.split() or "pinned" in w.name.split()}
BY_NAME |= {w.name: w for w in WORKLOADS if w.name in {"pins", "a save after a kill in an unpin"}}


def files(path: Path, system: SystemCalls, history: int = 1) -> FileStore:
    return FileStore(path / "store", system=system, lock_timeout=0.5, history=history)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("history", [0, 3])
def test_after_every_power_cut_what_is_pinned_is_there_whatever_history_says(
    quick: Path, history: int
) -> None:
    assert len(BY_NAME) == 6
    report = enumerate_crashes(
        lambda path, system: files(path, system, history), quick, BY_NAME.values()
    )
    assert report.violations == [], str(report)
    assert all(report.judged[name] > 100 for name in BY_NAME)


def prunes_the_pinned(patch: pytest.MonkeyPatch) -> None:
    """Delete what is too old, pinned or not."""
    prune = NextSave.prune

    def careless(save: NextSave, history: int) -> None:
        save._state = save._state._replace(pinned=frozenset())
        prune(save, history)

    patch.setattr(NextSave, "prune", careless)


def syncs_no_pin(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge a pin, and the end of one, before its name is durable."""
    patch.setattr(pinning, "_confirm", lambda *_: None)


def unpins_nothing(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge the end of a pin, and leave it."""
    patch.setattr(pinning, "unpin", lambda *_: None)


def pins_what_may_vanish(patch: pytest.MonkeyPatch) -> None:
    """Pin a generation of a key whose own name is not durable yet."""
    patch.setattr(pinning, "_mend", lambda *_: None)


def takes_a_pinned_one_for_no_evidence(patch: pytest.MonkeyPatch) -> None:
    """Call it damage where a save was cut off after one that was never acknowledged."""

    def was_cut_off(*known: object) -> bool:
        listed, older = known[3:]
        assert isinstance(listed, keydir._Listed)
        assert isinstance(older, tuple)
        return any(number not in listed.pinned for number in older)

    patch.setattr(keydir, "_was_cut_off", was_cut_off)


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], list[str]] = {
    prunes_the_pinned: ["pins", "a save over a pin after a kill in one"],
    syncs_no_pin: ["pins", "a pin after a kill in a save"],
    unpins_nothing: ["pins"],
    pins_what_may_vanish: ["a pin after a kill in a save"],
    takes_a_pinned_one_for_no_evidence: ["a save over a pin after a kill in one"],
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_store_that_breaks_its_pins_is_reported(
    mutant: Callable[[pytest.MonkeyPatch], None], quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for number, name in enumerate(MUTANTS[mutant]):
        directory = quick / str(number)
        directory.mkdir()
        report = enumerate_crashes(files, directory, [BY_NAME[name]])
        assert report.violations, name
