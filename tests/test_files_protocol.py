"""The file store's protocol: which system calls a method makes, and in which order."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    OutcomeUnknownError,
    StoreError,
)
from checkpointkit.records import read_record, recover
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import CHANGES
from checkpointkit.testing.calls import FailingCalls as Faulty
from checkpointkit.testing.calls import KillingCalls as Deadly
from checkpointkit.testing.calls import RecordedCalls as Watched
from tests.support.calls import Hooked
from tests.support.children import Child
from tests.support.states import NOW, generations, number_of, raw, sealed, temporaries, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRIPE = f"{stripe_of('a'):02d}"
TEMP = f".tmp/{STRIPE}.0"
LOCK = f".lock/{STRIPE}"


def killed_at(directory: Path, call: str, work: Callable[[FileStore], object]) -> None:
    """Do something with the store in a child that is killed ahead of a system call."""

    class Killed(Deadly):
        def before(self, name: str, event: str) -> None:
            if event == call:
                self.left = 0
            super().before(name, event)

    def run(child: Child) -> None:
        work(FileStore(directory, system=Killed(directory)))

    with Child(run) as child:
        said = child.end()
        assert child.status == -9, said


class Recorded:
    """A store whose system calls are recorded."""

    def __init__(self, directory: Path, **options: object) -> None:
        self.directory = directory / "store"
        self.calls = Watched(self.directory)
        self.store = FileStore(self.directory, system=self.calls, **options)  # type: ignore[arg-type]
        self.calls.events.clear()


@pytest.fixture
def recorded(quick: Path) -> Recorded:
    return Recorded(quick)


# ---------------------------------------------------------------------------------- first save


def test_a_first_save_syncs_file_and_directory_before_it_shows_and_the_root_after(
    recorded: Recorded,
) -> None:
    recorded.store.write("a", sealed("a", 1))
    assert recorded.calls.changes() == [
        f"try_lock {LOCK}",
        f"write {TEMP}",
        f"mkdir {TEMP}.d",
        f"rename {TEMP} -> {TEMP}.d/current",
        f"link {TEMP}.d/current -> {TEMP}.d/1",
        f"fsync {TEMP}",
        f"fsync {TEMP}.d",
        f"rename {TEMP}.d -> a",
        "fsync .",
        f"unlock {LOCK}",
    ]


def test_a_next_save_syncs_the_file_before_it_shows_and_the_directory_before_it_prunes(
    recorded: Recorded,
) -> None:
    for n in range(3):
        recorded.store.write("a", sealed("a", n))
    recorded.calls.changes()
    recorded.store.write("a", sealed("a", 3))
    assert recorded.calls.changes() == [
        f"try_lock {LOCK}",
        f"write {TEMP}",
        f"fsync {TEMP}",
        f"link {TEMP} -> a/4",
        f"rename {TEMP} -> a/current",
        "fsync a",
        "unlink a/2",
        f"unlock {LOCK}",
    ]


def test_the_second_save_syncs_the_root_for_a_first_one_that_was_killed_before_it_did(
    quick: Path,
) -> None:
    FileStore(quick / "store").close()
    killed_at(quick / "store", "fsync .", lambda store: store.write("a", sealed("a", 1)))
    recorded = Recorded(quick)
    assert number_of(recorded.store, "a") == 1
    recorded.store.write("a", sealed("a", 2))
    changes = recorded.calls.changes()
    assert changes.index("fsync .") < changes.index(f"link {TEMP} -> a/2")
    recorded.store.write("a", sealed("a", 3))
    assert "fsync ." not in recorded.calls.changes()


def test_the_second_save_of_bytes_without_an_envelope_syncs_the_root_too(
    recorded: Recorded,
) -> None:
    recorded.store.write("a", raw(b"no envelope"))
    recorded.calls.changes()
    recorded.store.write("a", raw(b"no envelope"))
    changes = recorded.calls.changes()
    assert changes.index("fsync .") < changes.index(f"rename {TEMP} -> a/current")


def test_pruning_goes_from_the_oldest_on_and_comes_last(quick: Path) -> None:
    with FileStore(quick / "store", history=5) as store:
        for n in range(5):
            store.write("a", sealed("a", n))
    recorded = Recorded(quick, history=1)
    recorded.store.write("a", sealed("a", 9))
    assert recorded.calls.changes()[-5:] == [
        "fsync a", "unlink a/1", "unlink a/2", "unlink a/3", "unlink a/4", f"unlock {LOCK}",
    ][-5:]  # fmt: skip
    assert generations(recorded.store, "a") == [6, 5]


def test_nothing_is_pruned_while_it_is_not_known_whether_the_new_state_is_durable(
    quick: Path,
) -> None:
    directory = quick / "store"
    calls = Faulty(directory)
    store = FileStore(directory, system=calls, history=0)
    for n in range(2):
        store.write("a", sealed("a", n))
    calls.forget()
    store.write("a", sealed("a", 2))
    at = calls.attempts.index("fsync a")
    calls.break_at(at, errno.EIO, for_ever=False)
    with pytest.raises(OutcomeUnknownError):
        store.write("a", sealed("a", 3))
    assert calls.failed == ["fsync a"]
    assert generations(store, "a") == [4, 3]
    calls.heal()
    store.write("a", sealed("a", 4))
    assert generations(store, "a") == [5]


# ----------------------------------------------------------------------------------- many keys


def test_a_batch_takes_every_key_through_a_step_before_the_next_step_begins(
    recorded: Recorded,
) -> None:
    store = recorded.store
    old, new = ["a", "b"], ["c", "d"]
    for _ in range(2):
        store.write_many({key: sealed(key, 1) for key in old})
    recorded.calls.changes()
    store.write_many({key: sealed(key, 2) for key in old + new})
    events = recorded.calls.changes()
    steps = {
        "lock": [n for n, e in enumerate(events) if e.startswith("try_lock")],
        "write": [n for n, e in enumerate(events) if e.startswith("write .tmp")],
        "sync": [n for n, e in enumerate(events) if e.startswith("fsync .tmp")],
        "publish": [
            n for n, e in enumerate(events) if e.startswith("rename") and "-> .tmp" not in e
        ],
        "root": [n for n, e in enumerate(events) if e == "fsync ."],
        "confirm": [n for n, e in enumerate(events) if e in ("fsync a", "fsync b")],
        "prune": [n for n, e in enumerate(events) if e in ("unlink a/1", "unlink b/1")],
        "unlock": [n for n, e in enumerate(events) if e.startswith("unlock")],
    }
    assert {step: len(found) for step, found in steps.items()} == {
        "lock": 4, "write": 4, "sync": 6, "publish": 4, "root": 1, "confirm": 2, "prune": 2,
        "unlock": 4,
    }  # fmt: skip
    order = [n for found in steps.values() for n in found]
    assert order == sorted(order)


def test_a_batch_takes_its_locks_in_ascending_order(recorded: Recorded) -> None:
    keys = [f"key-{n}" for n in range(60)]
    recorded.store.write_many({key: sealed(key, 1) for key in keys})
    locks = [event for event in recorded.calls.changes() if event.startswith("try_lock")]
    assert locks == sorted(set(locks))
    assert len(locks) == len({stripe_of(key) for key in keys}) > 20


# -------------------------------------------------------------------------------------- remove


def test_a_remove_makes_the_number_safe_first_and_deletes_last(recorded: Recorded) -> None:
    recorded.store.write("a", sealed("a", 1))
    recorded.store.write("a", sealed("a", 2))
    recorded.calls.changes()
    recorded.store.remove("a")
    events = recorded.calls.changes()
    assert events[0] == f"try_lock {LOCK}"
    raised = events.index(f"pwrite {LOCK}")
    moved = events.index(f"rename a -> {TEMP}.gone")
    assert raised < events.index(f"fsync {LOCK}") < moved
    assert events[moved + 1] == "fsync ."
    assert sorted(events[moved + 2 : -1]) == [
        f"rmdir {TEMP}.gone",
        *(f"unlink {TEMP}.gone{name}" for name in ("", "/1", "/2", "/current")),
    ] or sorted(events[moved + 2 : -1]) == [
        f"rmdir {TEMP}.gone",
        *(f"unlink {TEMP}.gone/{name}" for name in ("1", "2", "current")),
    ]
    assert events[-1] == f"unlock {LOCK}"


def test_a_remove_of_an_absent_key_syncs_the_root(recorded: Recorded) -> None:
    recorded.store.remove("a")
    assert recorded.calls.changes() == [f"try_lock {LOCK}", "fsync .", f"unlock {LOCK}"]


def test_a_high_water_is_not_trusted_before_it_was_synced(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        for n in range(3):
            store.write("a", sealed("a", n))
    killed_at(directory, f"fsync {LOCK}", lambda store: store.remove("a"))
    recorded = Recorded(quick)
    recorded.store.remove("a")
    events = recorded.calls.changes()
    assert events.index(f"fsync {LOCK}") < events.index(f"rename a -> {TEMP}.gone")


def test_a_high_water_whose_sync_failed_is_written_again(quick: Path) -> None:
    directory = quick / "store"
    calls = Faulty(directory)
    store = FileStore(directory, system=calls)
    calls.events.clear()
    store.write("a", sealed("a", 1))
    store.remove("a")
    sync = f"fsync {LOCK}"
    at = calls.events.index(sync) - calls.events.index(f"unlock {LOCK}")
    store.write("a", sealed("a", 2))
    calls.events.clear()
    store.write("a", sealed("a", 3))
    calls.events.clear()

    class Once(Hooked):
        """Fails the first sync of the lock file."""

    hooked = Once(directory)

    def fail() -> None:
        raise OSError(errno.EIO, "lost")

    hooked.hooks[sync] = fail
    other = FileStore(directory, system=hooked)
    with pytest.raises(StoreError):
        other.remove("a")
    hooked.events.clear()
    other.remove("a")
    events = hooked.changes()
    moved = events.index(f"rename a -> {TEMP}.gone")
    assert at > 0
    assert events.index(f"pwrite {LOCK}") < events.index(sync) < moved


def test_the_leftovers_of_a_killed_remove_go_only_after_a_sync_of_the_root(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))
    killed_at(directory, "fsync .", lambda store: store.remove("a"))
    assert temporaries(directory) == [f"{STRIPE}.0.gone"]
    calls = Watched(directory)
    with FileStore(directory, system=calls):  # sweeps
        events = calls.changes()
    gone = [n for n, event in enumerate(events) if f"{TEMP}.gone" in event]
    assert events.index("fsync .") < min(gone)
    assert temporaries(directory) == []


def test_a_remove_that_meets_the_leftovers_of_another_syncs_the_root_before_they_go(
    quick: Path,
) -> None:
    recorded = Recorded(quick)
    other = next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of("a"))
    for key in ("a", other):
        recorded.store.write(key, sealed(key, 1))

    class Killed(Deadly):
        def before(self, name: str, event: str) -> None:
            if event == "fsync ." and f"rename a -> {TEMP}.gone" in self.events:
                self.left = 0
            super().before(name, event)

    def run(child: Child) -> None:
        FileStore(recorded.directory, system=Killed(recorded.directory)).remove("a")

    with Child(run) as child:
        assert child.end() == []
        assert child.status == -9
    recorded.calls.changes()
    recorded.store.remove(other)
    events = recorded.calls.changes()
    gone = events.index(f"unlink {TEMP}.gone/current")
    assert events.index("fsync .") < gone < events.index("fsync .", gone)
    assert temporaries(recorded.directory) == []
    assert recorded.store.keys() == ()


# ------------------------------------------------------------------------------------- readers


def test_reading_takes_no_lock_and_neither_syncs_nor_scans(recorded: Recorded) -> None:
    for n in range(2):
        recorded.store.write("a", sealed("a", n))
    recorded.calls.events.clear()
    assert number_of(recorded.store, "a") == 1
    names = [event.partition(" ")[0] for event in recorded.calls.events]
    assert names == ["open", "open", "fstat", "read", "close", "close"]


def test_listing_is_one_scan_without_a_lock_and_opens_no_key(recorded: Recorded) -> None:
    for key in ("a", "b", "c"):
        recorded.store.write(key, sealed(key, 1))
    recorded.calls.events.clear()
    assert recorded.store.keys() == ("a", "b", "c")
    events = recorded.calls.events
    assert [event for event in events if event.startswith("listdir")] == ["listdir ."]
    assert {event.partition(" ")[2] for event in events} == {"."}
    assert not CHANGES & {event.partition(" ")[0] for event in events}


def test_histories_and_older_generations_are_read_without_a_lock_or_a_change(
    recorded: Recorded,
) -> None:
    for n in range(2):
        recorded.store.write("a", sealed("a", n))
    before = tree(recorded.directory)
    recorded.calls.events.clear()
    assert generations(recorded.store, "a") == [2, 1]
    assert number_of(recorded.store, "a", 1) == 0
    assert not CHANGES & {event.partition(" ")[0] for event in recorded.calls.events}
    assert tree(recorded.directory) == before


def test_a_reader_in_the_middle_of_a_save_gets_the_old_state_or_the_new_one(
    quick: Path,
) -> None:
    directory = quick / "store"
    seen: list[tuple[str, int, list[int]]] = []

    class Watching(Watched):
        armed = False

        def before(self, name: str, event: str) -> None:
            if self.armed:
                self.armed = False
                seen.append((event, number_of(reader, "a"), generations(reader, "a")))
                self.armed = True

    calls = Watching(directory)
    store = FileStore(directory, system=calls)
    reader = FileStore(directory, read_only=True)
    for n in (1, 2):
        store.write("a", sealed("a", n))
    calls.armed = True
    store.write("a", sealed("a", 3))
    shown = [number for _, number, _ in seen]
    assert shown == sorted(shown)
    assert set(shown) == {2, 3}
    switch = next(event for event, number, _ in seen if number == 3)
    assert switch.split()[0] in ("fsync", "close")  # what comes next after the rename
    for _, number, history in seen:
        assert history[0] == number
        assert set(history) <= {1, 2, 3}


def test_a_reader_in_the_middle_of_a_remove_gets_the_state_or_nothing(quick: Path) -> None:
    directory = quick / "store"
    seen: list[list[object]] = []

    def shown(read: Callable[[], object]) -> object:
        try:
            return read()
        except CheckpointNotFoundError:
            return None

    class Watching(Watched):
        armed = False

        def before(self, name: str, event: str) -> None:
            if self.armed:
                seen.append(
                    [
                        shown(lambda: number_of(reader, "a")),
                        shown(lambda: number_of(reader, "a", 1)),
                        generations(reader, "a"),
                        list(reader.keys()),
                    ]
                )

    calls = Watching(directory)
    store = FileStore(directory, system=calls)
    reader = FileStore(directory, read_only=True)
    store.write("a", sealed("a", 7))
    calls.armed = True
    store.remove("a")
    there: list[object] = [7, 7, [1], ["a"]]
    gone: list[object] = [None, None, [], []]
    assert [row for n, row in enumerate(seen) if row != (seen[n - 1] if n else None)] == [
        there,
        gone,
    ]


@pytest.mark.parametrize("before", ["open a/current", "listdir a", "fstat a/current", "close a"])
@pytest.mark.parametrize("generation", [None, 1, 2])
def test_a_reader_that_a_remove_overtakes_does_not_call_the_key_damaged(
    quick: Path, before: str, generation: int | None
) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))
        calls.hooks[before] = lambda: store.remove("a")
        try:
            assert number_of(reader, "a", generation) == 1
        except CheckpointNotFoundError:
            assert generation == 2 or store.keys() == ()


@pytest.mark.parametrize("before", ["open a/current", "listdir a", "stat a/2", "close a/current"])
def test_a_newest_generation_that_a_save_makes_an_older_one_is_read_all_the_same(
    quick: Path, before: str
) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory) as store:
        for n in (1, 2):
            store.write("a", sealed("a", n))
        calls.hooks[before] = lambda: store.write("a", sealed("a", 3))
        assert number_of(reader, "a", 2) == 2
        assert calls.hooks == {}


@pytest.mark.parametrize("before", ["open a/current", "listdir a", "fstat a/current", "close a"])
def test_a_history_that_a_save_overtakes_is_the_old_one_or_the_new_one(
    quick: Path, before: str
) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls, history=0)
    with FileStore(directory, history=0) as store:
        store.write("a", sealed("a", 1))
        calls.hooks[before] = lambda: store.write("a", sealed("a", 2))
        assert generations(reader, "a") in ([1], [2])
        assert calls.hooks == {}


@pytest.mark.parametrize("before", ["open a", "open a/current", "listdir a", "fstat a/current"])
@pytest.mark.parametrize("generation", [None, 1, 2])
def test_a_reader_that_a_remove_and_a_save_overtake_gets_the_old_state_or_the_new_one(
    quick: Path, before: str, generation: int | None
) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))

        def overtake() -> None:
            store.remove("a")
            store.write("a", sealed("a", 2))

        calls.hooks[before] = overtake
        try:
            number = number_of(reader, "a", generation)
        except CheckpointNotFoundError:
            assert generation is not None
        else:
            assert number in ((1, 2) if generation is None else (generation,))


@pytest.mark.parametrize("first", ["1", "current"])
@pytest.mark.parametrize("generation", [None, 1])
def test_a_reader_of_a_key_that_is_half_deleted_already_finds_it_absent(
    quick: Path, first: str, generation: int | None
) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))

        def delete_a_part() -> None:
            """Do what a remove has done when it has deleted one of two names."""
            os.rename(directory / "a", directory / ".tmp" / f"{STRIPE}.0.gone")
            os.unlink(directory / ".tmp" / f"{STRIPE}.0.gone" / first)

        calls.hooks["fstat a/current"] = delete_a_part
        with suppress(CheckpointNotFoundError):
            assert number_of(reader, "a", generation) == 1
        assert calls.hooks == {}
        assert store.keys() == ()


def test_a_state_that_is_replaced_by_junk_between_two_looks_is_damage(quick: Path) -> None:
    directory = quick / "store"

    class SecondLook(Watched):
        looks = 0

        def before(self, name: str, event: str) -> None:
            if event == "open a/current":
                self.looks += 1
                if self.looks == 2:
                    os.unlink(directory / "a" / "current")
                    os.mkfifo(directory / "a" / "current")

    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))
    with FileStore(directory, system=SecondLook(directory)) as reader:
        with pytest.raises(CorruptCheckpointError):
            reader.read("a", 1)
        assert reader.keys() == ("a",)


def test_a_history_of_a_directory_that_is_gone_is_looked_up_again(quick: Path) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))

        def gone() -> None:
            store.remove("a")
            raise FileNotFoundError(errno.ENOENT, "as ext4 says of a deleted directory")

        calls.hooks["listdir a"] = gone
        assert reader.history("a") == ()


@pytest.mark.parametrize("call", ["open a", "open a/current", "stat a", "listdir a", "close a"])
def test_a_history_that_a_remove_overtakes_is_the_old_one_or_empty(quick: Path, call: str) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory) as store:
        entry = store.write("a", sealed("a", 1))
        calls.hooks[call] = lambda: store.remove("a")
        assert reader.history("a") in ((), (entry,))


@pytest.mark.parametrize("call", ["open a", "open a/current", "fstat", "stat a", "listdir a"])
def test_an_entry_never_mixes_two_generations(quick: Path, call: str) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    reader = FileStore(directory, system=calls)
    with FileStore(directory, history=3) as store:
        entries = {store.write("a", sealed("a", n, pad=n)) for n in (1, 2)}
        calls.hooks[call] = lambda: entries.add(store.write("a", sealed("a", 3, pad=30)))
        assert set(reader.history("a")) <= entries
        assert set(reader.history("a")) == entries


@pytest.mark.parametrize("call", ["open a", "open a/current", "stat a", "listdir a", "read a"])
def test_a_recovery_never_sets_aside_a_good_state_that_came_in_between(
    quick: Path, call: str
) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    recovering = FileStore(directory, system=calls)
    with FileStore(directory, history=3) as store:
        for n in (1, 2):
            store.write("a", sealed("a", n))
        current = directory / "a" / "current"
        rotten = bytearray(current.read_bytes())
        rotten[-2] ^= 1
        current.write_bytes(rotten)
        good = sealed("a", 7).seal

        def replace() -> None:
            store.write("a", lambda generation, previous: good(generation, None))

        calls.hooks[call] = replace
        recover(recovering, "a", NOW)
        assert calls.hooks == {}
        assert number_of(store, "a") == 7


# --------------------------------------------------------------------------------------- mends


def test_a_current_that_lost_its_number_gets_it_back_before_it_is_replaced(
    recorded: Recorded,
) -> None:
    for n in range(3):
        recorded.store.write("a", sealed("a", n))
    os.unlink(recorded.directory / "a" / "3")
    assert generations(recorded.store, "a") == [3, 2]
    recorded.calls.changes()
    recorded.store.write("a", sealed("a", 3))
    events = recorded.calls.changes()
    mended = events.index("link a/current -> a/3")
    assert events[mended + 1] == "fsync a"
    assert mended + 1 < events.index(f"link {TEMP} -> a/4")
    assert generations(recorded.store, "a") == [4, 3]
    assert number_of(recorded.store, "a", 3) == 2


def test_a_number_that_was_never_acknowledged_never_shows_and_goes_before_the_next_save(
    quick: Path,
) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        for n in (1, 2):
            store.write("a", sealed("a", n))
    killed_at(directory, f"rename {TEMP} -> a/current", lambda s: s.write("a", sealed("a", 666)))
    recorded = Recorded(quick)
    assert sorted(os.listdir(directory / "a")) == ["1", "2", "3", "current"]
    assert generations(recorded.store, "a") == [2, 1]
    with pytest.raises(CheckpointNotFoundError):
        recorded.store.read("a", 3)
    recorded.calls.changes()
    entry = recorded.store.write("a", sealed("a", 4))
    events = recorded.calls.changes()
    mended = events.index("unlink a/3")
    assert events[mended + 1] == "fsync a"
    assert mended + 1 < events.index(f"link {TEMP} -> a/{entry.generation}")
    assert generations(recorded.store, "a") == [entry.generation, 2]
    assert entry.generation > 3


def test_a_number_that_was_never_acknowledged_is_not_what_recovery_goes_back_to(
    quick: Path,
) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        for n in (1, 2):
            store.write("a", sealed("a", n))
    killed_at(directory, f"rename {TEMP} -> a/current", lambda s: s.write("a", sealed("a", 666)))
    current = directory / "a" / "current"
    rotten = bytearray(current.read_bytes())
    rotten[100] ^= 1  # in the header, so that `current` does not tell its number
    current.write_bytes(rotten)
    with FileStore(directory) as store:
        recover(store, "a", NOW)
        assert number_of(store, "a") == 1
        for entry in store.history("a"):
            assert number_of(store, "a", entry.generation) == 1


def test_what_a_killed_save_of_bytes_without_an_envelope_left_never_shows(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        for n in (1, 2):
            store.write("a", raw(b"%d" % n))
    killed_at(directory, f"rename {TEMP} -> a/current", lambda s: s.write("a", raw(b"666")))
    with FileStore(directory, history=9) as store:
        assert generations(store, "a") == [2, 1]
        new = store.write("a", raw(b"3"))
        assert generations(store, "a") == [new.generation, 2, 1]
        assert new.generation > 3


def test_what_a_killed_save_left_under_its_temporary_name_is_replaced(quick: Path) -> None:
    directory = quick / "store"
    store = FileStore(directory)
    killed_at(directory, f"rename {TEMP}.d -> a", lambda s: s.write("a", sealed("a", 1)))
    assert temporaries(directory) == [f"{STRIPE}.0.d"]
    killed_at(directory, f"fsync {TEMP}", lambda s: s.write("a", sealed("a", 1)))
    store.write("a", sealed("a", 2))
    assert number_of(store, "a") == 2
    assert temporaries(directory) == []


def test_a_failed_save_does_not_leave_its_number_to_another_state(quick: Path) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    store = FileStore(directory, system=calls)
    store.write("a", sealed("a", 1))

    def fail() -> None:
        raise OSError(errno.EIO, "lost")

    calls.hooks[f"rename {TEMP} -> a/current"] = fail
    with pytest.raises(StoreError):
        store.write("a", sealed("a", 666))
    assert generations(store, "a") == [1]
    assert sorted(os.listdir(directory / "a")) == ["1", "current"]
    entry = store.write("a", sealed("a", 2))
    assert number_of(store, "a", entry.generation) == 2


# ----------------------------------------------------------------------------- without any sync


def test_without_durability_nothing_is_ever_synced(quick: Path) -> None:
    directory = quick / "deep" / "store"
    calls = Watched(directory)
    with FileStore(directory, system=calls, durability="none", history=0, reserve=9999) as store:
        for n in range(3):
            store.write("a", sealed("a", n))
        store.write_many({key: sealed(key, 1) for key in "abc"})
        store.remove("b")
        store.set_aside("c", store.history("c")[0].revision)
        store.scope("inner").write("a", sealed("a", 1))
        (directory / "a" / "4").unlink()
        store.write("a", sealed("a", 5))
    assert len(calls.events) > 200
    assert [event for event in calls.events if event.startswith("fsync")] == []


def test_a_new_store_is_synced_before_it_is_used(quick: Path) -> None:
    directory = quick / "deep" / "store"
    calls = Watched(directory)
    FileStore(directory, system=calls).close()
    events = calls.changes()
    made = events.index("rename .tmp/format -> .format")
    assert events[made + 1] == "fsync ."
    before = events[:made]
    for name in (".", ".tmp/format", ".lock", ".lock/00", ".lock/63", "..", "../.."):
        assert f"fsync {name}" in before, name


def test_the_entry_of_a_directory_that_a_killed_process_made_is_synced(quick: Path) -> None:
    directory = quick / "store"
    directory.mkdir()
    calls = Watched(directory)
    FileStore(directory, system=calls).close()
    events = calls.changes()
    assert events.index("fsync ..") < events.index("rename .tmp/format -> .format")


def test_what_is_read_back_verifies(recorded: Recorded) -> None:
    recorded.store.write("a", sealed("a", 1))
    recorded.store.write("a", sealed("a", 2))
    record = read_record(recorded.store, "a")
    first = read_record(recorded.store, "a", 1)
    assert (record.header.generation, record.header.previous) == (2, first.digest)
