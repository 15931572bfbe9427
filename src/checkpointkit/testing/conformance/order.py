"""Rules for order and atomicity: threads, and several openings of a store that is `shared`."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from checkpointkit.errors import CheckpointNotFoundError, ConflictError
from checkpointkit.stores.base import ABSENT
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import (
    Watcher,
    always,
    counting,
    outcome_of,
    snapshot,
)
from checkpointkit.testing.conformance.threads import Onlooker, Pause, Task, check_order, patiently

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Expected, Seal, Store
    from checkpointkit.testing.conformance.bench import Bench

THREADS: Final = 4
SAVES: Final = 20
SHOWN: Final = 20
"""Saves that readers look at, at least."""
LOOKS: Final = 50
"""How often each reader looks meanwhile, at least."""
MOST: Final = 1000
"""After so many saves it is enough, even if a reader has got no turn."""
_FACTOR: Final = 3000
"""A state's size in numbers of its own: large enough to be written in several steps."""


def sights(store: Store) -> list[object]:
    """Return what a store shows of the key `a`, look by look."""
    read = outcome_of(lambda: store.read("a"), CheckpointNotFoundError)
    return [
        ("read", read if isinstance(read, bytes) else None),
        ("history", tuple(entry.generation for entry in store.history("a")[:1])),
        ("keys", store.keys()),
    ]


def enough(saves: int, looks: list[int], readers: list[Task[None]]) -> bool:
    """Tell whether readers have looked often enough, or one of them has found something."""
    looked = saves >= SHOWN and min(looks) >= LOOKS
    return looked or saves >= MOST or any(reader.done(0) for reader in readers)


def watch(store: Store, seen: list[object]) -> None:
    """Add to what was seen of a store."""
    seen += sights(store)


def save_or_lose(store: Store, seal: Seal, *, key: str, expected: Expected) -> object:
    """Save, or return the conflict."""
    save = partial(store.write, key, seal, expected=expected)
    return outcome_of(partial(patiently, save), ConflictError)


class OrderRules(Rules):
    """One order for the saves and removes of a key, whoever asks."""

    @pytest.fixture
    def stores(self, bench: Bench, eager_threads: None) -> list[Store]:  # noqa: ARG002
        """Who asks: several openings of a store that is `shared`, else one store several times."""
        store = bench.open()
        shared = "shared" in store.features
        return [store, *(bench.open() if shared else store for _ in range(THREADS - 1))]

    @pytest.mark.parametrize("before", [None, b"before"], ids=["first save", "next save"])
    def test_saves_take_place_one_after_the_other(
        self, stores: list[Store], before: bytes | None
    ) -> None:
        """The saves and removes of one key take place one after the other, in one order."""
        if before is not None:
            stores[0].write("a", always(before))
        pause = Pause()
        slow, quick = Watcher(b"slow", pause), Watcher(b"quick")
        task = Task(lambda: stores[0].write("a", slow))
        pause.entered()
        entry = Task(lambda: patiently(lambda: stores[1].write("a", quick))).result()
        pause.end()
        last = check_order([(task.result(), slow), (entry, quick)], before)
        assert [store.read("a") for store in stores] == [last] * len(stores)

    def test_a_remove_waits_for_a_save_or_goes_before_it(self, stores: list[Store]) -> None:
        """The saves and removes of one key take place one after the other, in one order."""
        old = stores[0].write("a", always(b"old"))
        pause = Pause()
        slow = Watcher(b"slow", pause)
        task = Task(lambda: stores[0].write("a", slow))
        pause.entered()
        Task(lambda: patiently(lambda: stores[1].remove("a"))).result()
        pause.end()
        entry = task.result()
        assert entry.generation > old.generation
        if stores[2].keys():  # removed first: then the seal was asked again
            assert slow.previous is None
            assert stores[2].history("a") == (entry,)
        else:
            assert slow.previous == b"old"
            assert stores[2].history("a") == ()

    def test_of_two_who_expect_the_same_one_wins(self, stores: list[Store]) -> None:
        """Save only if the newest generation is this one: one of them comes too late."""
        first = stores[0].write("a", always(b"first")).generation
        cases: list[tuple[str, Expected]] = [("a", first), ("b", ABSENT)]
        for key, expected in cases:
            pause = Pause()
            slow, quick = Watcher(b"slow", pause), Watcher(b"quick")
            save = partial(save_or_lose, key=key, expected=expected)
            task = Task(partial(save, stores[0], slow))
            pause.entered()
            outcomes = [Task(partial(save, stores[1], quick)).result()]
            pause.end()
            outcomes.append(task.result())
            lost = [isinstance(outcome, ConflictError) for outcome in outcomes]
            assert sorted(lost) == [False, True]
            winner = b"slow" if lost[0] else b"quick"
            assert [store.read(key) for store in stores] == [winner] * len(stores)

    def test_no_save_is_lost(self, stores: list[Store]) -> None:
        """In one order that all readers agree with: threads, and other `Store` objects."""

        def work(store: Store) -> list[int]:
            return [patiently(lambda: store.write("a", counting)).generation for _ in range(SAVES)]

        tasks = [Task(partial(work, store)) for store in stores]
        numbers = [task.result() for task in tasks]
        assert all(mine == sorted(mine) for mine in numbers)
        assert len({number for mine in numbers for number in mine}) == SAVES * THREADS
        assert [store.read("a") for store in stores] == [b"%d" % (SAVES * THREADS)] * THREADS

    def test_no_compare_and_swap_is_lost(self, stores: list[Store]) -> None:
        """Save only if the newest generation is this one, whoever asks."""
        stores[0].write("a", always(b"0"))

        def add(store: Store) -> int:
            newest = store.history("a")[0].generation
            seal = always(b"%d" % (int(store.read("a")) + 1))
            outcome = save_or_lose(store, seal, key="a", expected=newest)
            return not isinstance(outcome, ConflictError)

        def work(store: Store) -> int:
            return sum(add(store) for _ in range(SAVES))

        tasks = [Task(partial(work, store)) for store in stores]
        won = sum(task.result() for task in tasks)
        assert won >= SAVES
        assert stores[0].read("a") == b"%d" % won

    def test_a_reader_gets_one_state_whole_and_none_older_than_before(
        self, stores: list[Store]
    ) -> None:
        """One state whole, never a mixture, and never an older one than a reader before it."""
        writer, *readers = stores
        seen = [0]
        looks = [0] * len(readers)
        over = threading.Event()

        def state(number: int) -> bytes:
            return b"%04d" % number * (_FACTOR + number)

        def look(reader: int) -> None:
            while not over.is_set():
                floor = seen[0]
                data = readers[reader].read("a")
                number = int(data[:4])
                assert data == state(number), "a mixture of states"
                assert number >= floor, "an older state than a reader before has seen"
                seen[0] = max(seen[0], number)
                looks[reader] += 1

        writer.write("a", always(state(0)))
        tasks = [Task(partial(look, reader)) for reader in range(len(readers))]
        saves = 0
        while not enough(saves, looks, tasks):
            saves += 1
            patiently(partial(writer.write, "a", always(state(saves))))
        over.set()
        for task in tasks:
            task.result()

    def test_at_each_step_of_a_change_readers_see_the_old_state_or_the_new_one(
        self, stores: list[Store]
    ) -> None:
        """A reader gets one state whole, never a mixture, never an older one than before."""
        writer, reader = stores[:2]
        changes: list[Callable[[], object]] = [
            lambda: writer.write("a", always(b"one")),
            lambda: writer.write("a", always(b"two")),
            lambda: writer.write_many({"a": always(b"three")}),
            lambda: writer.remove("a"),
            lambda: writer.write("a", always(b"four")),
        ]
        for change in changes:
            before = sights(reader)
            seen: list[object] = []
            with Onlooker(partial(watch, reader, seen)):
                change()
            after = sights(reader)
            assert set(seen) <= {*before, *after}, "a mixture of states"
            order = [sight in after for sight in seen if (sight in before) != (sight in after)]
            assert order == sorted(order), "an older state than a reader before has seen"

    def test_while_a_seal_is_at_work_readers_see_the_state_before(
        self, stores: list[Store]
    ) -> None:
        """The store calls the seal before it changes anything."""
        old = stores[0].write("a", always(b"old"))
        pause = Pause()
        task = Task(lambda: stores[0].write("a", Watcher(b"new", pause)))
        pause.entered()
        looks: list[Callable[[], object]] = [
            lambda: stores[1].read("a"),
            lambda: stores[2].history("a")[0].generation,
            lambda: snapshot(stores[3]).keys(),
        ]

        def read(look: Callable[[], object]) -> tuple[object, bool]:
            return look(), pause.ended

        readers = [Task(partial(read, look)) for look in looks]
        for reader in readers:
            reader.done()
        pause.end()
        new = task.result()
        shown = [(b"old", b"new"), (old.generation, new.generation), ({"a"}, {"a"})]
        for reader, (before, after) in zip(readers, shown, strict=True):
            assert reader.result() in [(before, False), (before, True), (after, True)]

    def test_readers_beside_removes_see_a_state_whole_or_none(self, stores: list[Store]) -> None:
        """A reader gets one state whole, or none where the key was removed a moment ago."""
        writer, *readers = stores
        states = [b"%04d" % number * _FACTOR for number in range(9)]
        looks = [0] * len(readers)
        over = threading.Event()

        def look(reader: int) -> None:
            store = readers[reader]
            while not over.is_set():
                read = outcome_of(lambda: store.read("a"), CheckpointNotFoundError)
                assert isinstance(read, CheckpointNotFoundError) or read in states
                assert store.keys() in {(), ("a",)}
                assert len(store.history("a")) <= len(states)
                looks[reader] += 1

        tasks = [Task(partial(look, reader)) for reader in range(len(readers))]
        saves = 0
        while not enough(saves, looks, tasks):
            saves += 1
            patiently(partial(writer.write, "a", always(states[saves % len(states)])))
            patiently(partial(writer.remove, "a"))
        over.set()
        for task in tasks:
            task.result()
