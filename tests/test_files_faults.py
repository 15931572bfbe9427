"""Every system call of the file store fails in turn: nothing is lost, left behind or hidden."""

from __future__ import annotations

import errno
import gc
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
)
from checkpointkit.records import recover
from checkpointkit.stores.base import BatchResult
from checkpointkit.stores.files.layout import EVIDENCE_KEPT
from checkpointkit.stores.files.store import FileStore
from tests.support.calls import Faulty, Watched
from tests.support.states import NOW, generations, number_of, sealed, temporaries, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ERRORS = [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EMFILE]
PASSING = {errno.EMFILE}


@pytest.fixture(autouse=True)
def _settled() -> None:
    """Close the stores that other tests have dropped now, not while descriptors are counted."""
    gc.collect()


def descriptors() -> set[str]:
    """What this process has open."""
    with os.scandir("/dev/fd") as found:
        names = [entry.name for entry in found]
    return {name for name in names if _is_open(int(name))}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def rot(directory: Path, key: str) -> None:
    """Damage the newest state of a key."""
    path = directory / key / "current"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def shown(store: FileStore, key: str) -> int | str:
    """What a key shows: its number, or why there is none."""
    try:
        return number_of(store, key)
    except CheckpointNotFoundError:
        return "absent"
    except CorruptCheckpointError:
        return "damaged"


def unlink_newest(directory: Path, key: str) -> None:
    """Take the number of the newest state away, as a power cut may."""
    (directory / key / "2").unlink()


def add_unacknowledged(directory: Path, key: str) -> None:
    """Leave what a save leaves that is killed before it replaces `current`."""
    (directory / key / "3").write_bytes(b"cut off")


@frozen
class Scenario:
    """A call, what is there before it, and what the key shows before and after.

    Attributes:
        saves: How many states are saved before.
        act: The call, for a store and its key.
        after: What the key shows when it has succeeded.
        prepare: Done to the files before.
        history: The option of the store.
    """

    saves: int
    act: Callable[[FileStore, str], object]
    after: int | str
    prepare: Callable[[Path, str], None] | None = None
    history: int = 1


def save(store: FileStore, key: str) -> object:
    return store.write(key, sealed(key, 50))


def save_many(store: FileStore, key: str) -> object:
    """Save a present key and an absent one; raise the error of the first."""
    result = store.write_many({key: sealed(key, 50), f"{key}-new": sealed(f"{key}-new", 50)})
    assert sorted([*result.saved, *result.failed]) == sorted([key, f"{key}-new"])
    absent = shown(store, f"{key}-new")
    error = result.failed.get(f"{key}-new")
    if isinstance(error, OutcomeUnknownError) or f"{key}-new" in result.saved:
        assert absent in (50, "unreadable")
    for failure in result.failed.values():
        assert isinstance(failure, StoreError)
    if key in result.failed:
        raise result.failed[key]
    return result


def set_aside(store: FileStore, key: str) -> object:
    return store.set_aside(key, store.history(key)[0].revision)


def recovering(store: FileStore, key: str) -> object:
    return recover(store, key, NOW)


SCENARIOS = {
    "first save": Scenario(0, save, 50),
    "next save": Scenario(2, save, 50),
    "second save": Scenario(1, save, 50),
    "save that prunes all": Scenario(3, save, 50, history=0),
    "save after a lost number": Scenario(2, save, 50, unlink_newest),
    "save after a cut-off one": Scenario(2, save, 50, add_unacknowledged),
    "remove": Scenario(2, lambda store, key: store.remove(key), "absent"),
    "remove of nothing": Scenario(0, lambda store, key: store.remove(key), "absent"),
    "remove of a damaged one": Scenario(2, lambda store, key: store.remove(key), "absent", rot),
    "set aside": Scenario(2, set_aside, "damaged", rot),
    "recover": Scenario(2, recovering, 0, rot),
}


class Bench:
    """One store on which one call after the other is broken, each on a key of its own."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory / "store"
        self.calls = Faulty(self.directory)
        self.options = options
        self.store = FileStore(self.directory, system=self.calls, lock_timeout=0.2, **options)
        self.runs = 0

    def ready(self, scenario: Scenario) -> str:
        """Make a key that the scenario begins with."""
        self.calls.heal()
        self.runs += 1
        key = f"a{self.runs}"
        for n in range(scenario.saves):
            self.store.write(key, sealed(key, n))
        if scenario.prepare is not None:
            scenario.prepare(self.directory, key)
        return key

    def close(self) -> None:
        """Close the store."""
        self.calls.heal()
        self.store.close()

    def length(self, scenario: Scenario) -> int:
        """How many system calls the scenario makes, at most."""
        for _ in range(EVIDENCE_KEPT if scenario.act in (set_aside, recovering) else 0):
            scenario.act(self.store, self.ready(scenario))  # from here on it prunes the evidence
        key = self.ready(scenario)
        self.calls.forget()
        scenario.act(self.store, key)
        length = len(self.calls.attempts)
        assert shown(self.store, key) == scenario.after
        return length

    def healed(self, key: str) -> None:
        """See that a store on a healed disk goes on."""
        self.calls.heal()
        if shown(self.store, key) == "damaged":
            recover(self.store, key, NOW)
        entry = self.store.write(key, sealed(key, 99))
        assert number_of(self.store, key) == 99
        assert generations(self.store, key)[0] == entry.generation


@pytest.fixture
def bench(quick: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(quick, **getattr(request, "param", {}))
    yield made
    made.close()


def check_error(error: CheckpointError, number: int, *, once: bool) -> None:
    """See that an error is the documented one, and has its cause."""
    assert isinstance(error, StoreError)
    assert isinstance(error.__cause__, OSError)
    if once:
        assert error.__cause__.errno == number
        if not isinstance(error, OutcomeUnknownError):
            assert isinstance(error, StoreUnavailableError) is (number in PASSING)


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failing_call_changes_nothing_or_says_that_it_may_have(
    quick: Path, request: pytest.FixtureRequest, name: str, for_ever: bool
) -> None:
    scenario = SCENARIOS[name]
    bench = Bench(quick, history=scenario.history)
    request.addfinalizer(bench.close)
    length = bench.length(scenario)
    unknown = failures = 0
    before = descriptors()
    for at in range(length):
        for number in ERRORS if at % 3 == 0 or not for_ever else ERRORS[:1]:
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
                assert now in {scenario.after, old if name == "recover" else scenario.after}, where
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
            cleaning = ".gone" in failed[0] or isinstance(error, OutcomeUnknownError)
            if not for_ever and not cleaning and not failed[0].startswith(("unlink", "rmdir")):
                assert temporaries(bench.directory) == [], where
            bench.healed(key)
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
        for number in ERRORS[:2]:
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
    class Interrupting(Faulty):
        def before(self, name: str, event: str) -> None:
            try:
                super().before(name, event)
            except OSError:
                raise KeyboardInterrupt from None

    scenario = SCENARIOS.get(name) or Scenario(
        2, lambda store, key: store.write_many({key: sealed(key, 50)}), 50
    )
    bench = Bench(quick, history=scenario.history)
    bench.store.close()
    request.addfinalizer(bench.close)
    bench.calls = Interrupting(bench.directory)
    bench.store = FileStore(bench.directory, system=bench.calls, lock_timeout=0.2)
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
    watched = Watched(directory)
    FileStore(directory, system=watched).close()
    before = descriptors()
    failures = 0
    for at in range(len(watched.attempts)):
        calls = Faulty(directory)
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
    class Short(Watched):
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
    class Short(Watched):
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
    class Shrinking(Watched):
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
    class BadSector(Watched):
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

    class BadSector(Watched):
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
