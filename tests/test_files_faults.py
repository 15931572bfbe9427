"""Every system call of the file store fails in turn: nothing is lost, left behind or hidden."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    OutcomeUnknownError,
    StoreError,
)
from checkpointkit.records import recover
from checkpointkit.stores.base import BatchResult
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import FailingCalls, RecordedCalls
from tests.support.calls import (
    ERRORS,
    SCENARIOS,
    Bench,
    InterruptingCalls,
    Scenario,
    check_error,
    descriptors,
    recovering,
    set_aside,
    shown,
)
from tests.support.states import NOW, generations, number_of, sealed, temporaries, tree
from tests.support.unmeasured import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("settled")


def save_many(store: FileStore, key: str) -> object:
    """Save a present key and an absent one."""
    result = store.write_many({each: sealed(each, 50) for each in (key, f"{key}-new")})
    assert result.failed == {}
    return result


@pytest.fixture
def bench(quick: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(quick, **getattr(request, "param", {}))
    yield made
    made.close()


@pytest.fixture
def measured_once(name: str) -> Iterator[None]:
    """Measure a single scenario: what the others cover is covered elsewhere."""
    with nullcontext() if name == "set aside" else unmeasured():
        yield


@pytest.mark.usefixtures("measured_once")
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failing_call_changes_nothing_or_says_that_it_may_have(
    quick: Path, request: pytest.FixtureRequest, name: str, for_ever: bool
) -> None:
    scenario = SCENARIOS[name]
    bench = Bench(quick, **scenario.options())
    request.addfinalizer(bench.close)
    length = bench.length(scenario)
    unknown = failures = 0
    before = descriptors()
    for at in range(length):
        for number in {errno.EIO, ERRORS[at % len(ERRORS)]} if for_ever else ERRORS:
            key = bench.ready(scenario)
            old, history = shown(bench.store, key), generations(bench.store, key)
            bench.calls.break_at(at, number, for_ever=for_ever)
            error: CheckpointError | None = None
            try:
                scenario.act(bench.store, key)
            except CheckpointError as raised:
                error = raised
            failed = bench.calls.failed
            where = f"{name}, {os.strerror(number)} at {failed}: {error!r}"
            if not failed:
                assert scenario.act in (set_aside, recovering), where
                continue  # there was no evidence to prune this time
            bench.calls.heal()
            now = shown(bench.store, key)
            if error is None or isinstance(error, OutcomeUnknownError):
                # two calls of the store in one: the first of them may be the one that is not known
                assert now in {scenario.after, *([old] * (name in ("recover", "migrate")))}, where
            elif name == "recover":  # two calls of the store in one
                assert now in (old, scenario.after), where
            else:
                assert now == old, where
                assert generations(bench.store, key) == history, where
            if error is not None:
                check_error(error, number, once=not for_ever)
                failures += 1
                unknown += isinstance(error, OutcomeUnknownError)
            assert descriptors() == before, where
            assert "close ?" not in bench.calls.attempts, f"closed twice: {where}"
            cleaning = ".gone" in failed[0] or isinstance(error, OutcomeUnknownError)
            if not for_ever and not cleaning and not failed[0].startswith(("unlink", "rmdir")):
                assert temporaries(bench.directory) == [], where
            bench.healed(key, max(history, default=0))
            if temporaries(bench.directory):
                FileStore(bench.directory).close()
                assert temporaries(bench.directory) == [], where
    assert failures > length / 2
    assert unknown or name in ("set aside", "remove of nothing") or for_ever


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
def test_a_failing_call_in_a_batch_fails_the_keys_that_it_concerns(
    bench: Bench, for_ever: bool
) -> None:
    scenario = Scenario(2, save_many, 50)
    length = bench.length(scenario)
    before = descriptors()
    failures = 0
    for at in range(length):
        for number in {errno.EIO, ERRORS[at % len(ERRORS)]}:
            key = bench.ready(scenario)
            bench.calls.break_at(at, number, for_ever=for_ever)
            keys = [key, f"{key}-new"]
            olds = [1, "absent"]
            try:
                result = bench.store.write_many({each: sealed(each, 50) for each in keys})
            except StoreError as raised:  # the store itself is out of reach: nothing was begun
                assert raised.key is None
                result = BatchResult({}, dict.fromkeys(keys, raised))
            failed = bench.calls.failed
            if not failed:
                continue  # two keys of one stripe: a lock less
            bench.calls.heal()
            assert sorted([*result.saved, *result.failed]) == sorted(keys)
            for each, old in zip(keys, olds, strict=True):
                error = result.failed.get(each)
                where = f"{os.strerror(number)} at {failed}: {error!r}"
                if error is not None:
                    check_error(error, number, once=not for_ever)
                    failures += 1
                seen = error is None or isinstance(error, OutcomeUnknownError)
                assert shown(bench.store, each) == (50 if seen else old), where
            assert descriptors() == before
            if not for_ever and not failed[0].startswith(("unlink", "rmdir")):
                assert temporaries(bench.directory) == [], failed
            for each in keys:
                bench.healed(each)
            FileStore(bench.directory).close()
            assert temporaries(bench.directory) == []
    assert failures > length


@pytest.mark.parametrize("name", [*SCENARIOS, "batch"])
def test_an_interrupt_at_any_call_leaves_the_old_state_or_the_new_one_and_no_lock(
    quick: Path, request: pytest.FixtureRequest, name: str
) -> None:
    scenario = SCENARIOS.get(name) or Scenario(
        2, lambda store, key: store.write_many({key: sealed(key, 50)}), 50
    )
    bench = Bench(quick, InterruptingCalls(quick / "store"), **scenario.options())
    request.addfinalizer(bench.close)
    length = bench.length(scenario)
    before = descriptors()
    interrupts = 0
    for at in range(length):
        key = bench.ready(scenario)
        old = shown(bench.store, key)
        bench.calls.break_at(at, 0, for_ever=False)
        with suppress(KeyboardInterrupt):
            scenario.act(bench.store, key)
            assert not bench.calls.failed, "the interrupt was swallowed"
        where = bench.calls.failed
        interrupts += len(where)
        bench.calls.heal()
        assert shown(bench.store, key) in (old, scenario.after), where
        assert descriptors() == before, where
        bench.healed(key)
        FileStore(bench.directory).close()
        assert temporaries(bench.directory) == [], where
    assert interrupts >= length - 2


READS: dict[str, Callable[[FileStore], object]] = {
    "read": lambda store: store.read("a"),
    "read of an older one": lambda store: store.read("a", 1),
    "read of the newest by number": lambda store: store.read("a", 2),
    "start": lambda store: store.read("a", limit=9),
    "keys": lambda store: store.keys(),
    "history": lambda store: store.history("a"),
    "read of what lost its number": lambda store: store.read("b", 5),
    "history of what lost its number": lambda store: store.history("b"),
    "read of nothing": lambda store: [store.keys(), suppress_absence(store)],
}


def suppress_absence(store: FileStore) -> object:
    with suppress(CheckpointNotFoundError):
        return store.read("nothing")
    return "absent"


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", READS)
def test_a_failing_call_never_makes_a_reader_wrong(bench: Bench, name: str, for_ever: bool) -> None:
    read = READS[name]
    for n in range(2):
        bench.store.write("a", sealed("a", n))
        bench.store.write("b", sealed("b", n))
    other = next(f"c{n}" for n in range(9999) if stripe_of(f"c{n}") == stripe_of("b"))
    for n in range(4):
        bench.store.write(other, sealed(other, n))
    bench.store.remove(other)
    assert bench.store.write("b", sealed("b", 2)).generation == 5
    (bench.directory / "b" / "5").unlink()  # now its number is in its header alone
    right = read(bench.store)
    bench.calls.forget()
    read(bench.store)
    length = len(bench.calls.attempts)
    before, there = descriptors(), tree(bench.directory)
    failures = 0
    for at in range(length):
        for number in ERRORS:
            bench.calls.break_at(at, number, for_ever=for_ever)
            try:
                assert read(bench.store) == right
            except StoreError as error:
                check_error(error, number, once=not for_ever)
                assert not isinstance(error, OutcomeUnknownError)
                failures += 1
            assert bench.calls.failed
            bench.calls.heal()
            assert read(bench.store) == right
            assert descriptors() == before, bench.calls.failed
    assert failures >= length
    assert tree(bench.directory) == there


@pytest.mark.parametrize("number", ERRORS[:2], ids=["EIO", "ENOSPC"])
def test_a_failing_call_while_a_store_is_opened_is_a_store_error(quick: Path, number: int) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))
    watched = RecordedCalls(directory)
    FileStore(directory, system=watched).close()
    before = descriptors()
    failures = 0
    for at in range(len(watched.attempts)):
        calls = FailingCalls(directory)
        calls.break_at(at, number, for_ever=False)
        try:
            store = FileStore(directory, system=calls)
        except StoreError as error:
            check_error(error, number, once=True)
            failures += 1
        else:
            calls.heal()
            assert number_of(store, "a") == 1
            store.close()
        assert descriptors() == before, calls.failed
        with FileStore(directory) as store:
            assert number_of(store, "a") == 1
        assert temporaries(directory) == []
    assert failures > len(watched.attempts) / 2


def test_a_failing_call_in_a_save_is_met_by_its_next_attempt_whatever_it_was(
    bench: Bench,
) -> None:
    """Not a fresh key for each fault, but one key that goes through all of them."""
    bench.store.write("a", sealed("a", 0))
    acknowledged, used, in_flight = 0, {1}, 0
    for at in range(40):
        bench.calls.break_at(at, errno.EIO, for_ever=False)
        try:
            entry = bench.store.write("a", sealed("a", at + 1))
        except OutcomeUnknownError:
            in_flight = at + 1
        except StoreError:
            in_flight = acknowledged
        else:
            acknowledged = in_flight = at + 1
            assert entry.generation not in used
            used.add(entry.generation)
        bench.calls.heal()
        assert number_of(bench.store, "a") == in_flight
        acknowledged = in_flight
    assert acknowledged == 40
    assert temporaries(bench.directory) == []


def test_evidence_that_cannot_be_deleted_fails_no_recovery(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = SCENARIOS["recover"]
    bench.length(scenario)
    key = bench.ready(scenario)
    oldest = min(os.listdir(bench.directory / ".aside"))
    bench.calls.forget()
    scenario.act(bench.store, key)
    at = next(n for n, event in enumerate(bench.calls.attempts) if "unlink .aside" in event)
    oldest = min(os.listdir(bench.directory / ".aside"))
    key = bench.ready(scenario)
    caplog.clear()
    bench.calls.break_at(at, errno.EIO, for_ever=False)
    scenario.act(bench.store, key)
    assert bench.calls.failed == [f"unlink .aside/{oldest}"]
    assert shown(bench.store, key) == 0
    assert any(oldest in record.getMessage() for record in caplog.records)


def test_a_high_water_that_is_written_in_part_stops_the_remove(quick: Path) -> None:
    class Short(RecordedCalls):
        """Writes at most 9 bytes where an offset is given."""

        def __init__(self, directory: Path) -> None:
            super().__init__(directory)
            self.pwrite = lambda fd, data, at: os.pwrite(fd, bytes(data)[:9], at)  # type: ignore[misc]  # more than mypy follows

    with FileStore(quick / "store", system=Short(quick / "store")) as store:
        for n in range(2):
            store.write("a", sealed("a", n))
        for _ in range(3):
            with pytest.raises(StoreError, match="in part"):
                store.remove("a")
            assert number_of(store, "a") == 1
    with FileStore(quick / "store") as store:
        store.remove("a")
        assert store.write("a", sealed("a", 3)).generation > 2


def test_a_scope_that_cannot_be_looked_at_is_a_store_error(bench: Bench) -> None:
    bench.store.scope("inner").close()
    bench.calls.forget()
    bench.store.scope("inner").close()
    length = len(bench.calls.attempts)
    before = descriptors()
    for at in range(length - 1):
        bench.calls.break_at(at, errno.EIO, for_ever=False)
        try:
            scope = bench.store.scope("inner")
        except StoreError as error:
            check_error(error, errno.EIO, once=True)
        else:
            scope.close()
        assert bench.calls.failed
        bench.calls.heal()
        assert descriptors() == before
    assert bench.store.scope("inner").keys() == ()


def test_an_error_keeps_the_name_of_the_key_and_of_the_operation(bench: Bench) -> None:
    bench.store.write("a", sealed("a", 1))
    acts: dict[str, Callable[[], object]] = {
        "save": lambda: bench.store.write("a", sealed("a", 2)),
        "read": lambda: bench.store.read("a"),
        "read the history": lambda: bench.store.history("a"),
    }
    for operation, act in acts.items():
        bench.calls.break_at(4 if operation == "save" else 0, errno.EIO, for_ever=False)
        with pytest.raises(StoreError) as caught:
            act()
        assert caught.value.key in ("a", None)
        assert "EIO" in str(caught.value)
        bench.calls.heal()


def test_short_reads_and_writes_are_continued(quick: Path) -> None:
    class Short(RecordedCalls):
        """Moves a few bytes at a time."""

        def __init__(self, directory: Path) -> None:
            super().__init__(directory)
            self.write = lambda fd, data: os.write(fd, memoryview(data)[:7])  # type: ignore[misc]  # more than mypy follows
            self.read = lambda fd, size: os.read(fd, min(size, 5))  # type: ignore[misc]  # more than mypy follows

    with FileStore(quick / "store", system=Short(quick / "store"), reserve=1000) as store:
        for n in range(2):
            store.write("a", sealed("a", n, pad=3000))
            assert number_of(store, "a") == n
    with FileStore(quick / "store") as store:
        assert number_of(store, "a", 1) == 0
        assert len(store.read("a")) > 3000
    assert (quick / "store" / ".reserve" / "ballast").stat().st_size == 1000


def test_a_file_that_shrinks_while_it_is_read_is_damage_and_no_endless_loop(
    quick: Path,
) -> None:
    class Shrinking(RecordedCalls):
        """Cuts the file off between its status and its bytes."""

        def before(self, name: str, event: str) -> None:
            if event == "read a/current":
                os.truncate(path, 100)

    directory = quick / "store"
    path = directory / "a" / "current"
    with FileStore(directory, system=Shrinking(directory)) as store:
        store.write("a", sealed("a", 1))
        assert shown(store, "a") == "damaged"
        assert len(store.read("a")) == 100


def test_an_unreadable_state_is_an_error_of_the_store_and_can_still_be_removed(
    quick: Path,
) -> None:
    class BadSector(RecordedCalls):
        """The newest state of `a` cannot be read."""

        def before(self, name: str, event: str) -> None:
            if event in ("read a/current", "pread a/current"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    directory = quick / "store"
    with FileStore(directory, system=BadSector(directory)) as store:
        for key in ("a", "b"):
            store.write(key, sealed(key, 1))
        with pytest.raises(StoreError) as caught:
            store.write("a", sealed("a", 2))
        assert isinstance(caught.value.__cause__, OSError)
        for act in (lambda: store.read("a"), lambda: recover(store, "a", NOW)):
            with pytest.raises(StoreError):
                act()
        assert store.keys() == ("a", "b")
        assert not (directory / ".aside").exists()
        store.remove("a")
        assert store.keys() == ("b",)
        assert store.write("a", sealed("a", 3)).generation > 1


def test_an_older_generation_is_read_while_the_newest_cannot_be(quick: Path) -> None:
    directory = quick / "store"

    class BadSector(RecordedCalls):
        def before(self, name: str, event: str) -> None:
            if event in ("read a/current", "pread a/current"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    with FileStore(directory) as store:
        for n in (1, 2):
            store.write("a", sealed("a", n))
    with FileStore(directory, system=BadSector(directory)) as store:
        assert number_of(store, "a", 1) == 1


def test_a_warning_is_logged_where_files_stay_behind(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = SCENARIOS["save that prunes all"]
    key = bench.ready(scenario)
    bench.store.write(key, sealed(key, 7))
    bench.calls.forget()
    bench.store.write(key, sealed(key, 8))
    at = next(n for n, e in enumerate(bench.calls.attempts) if e.startswith(f"unlink {key}/"))
    bench.calls.break_at(at, errno.EIO, for_ever=False)
    bench.store.write(key, sealed(key, 9))
    assert number_of(bench.store, key) == 9
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].name == "checkpointkit"
