"""Rules for pins: the feature `pins`, or its absence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    StoreError,
)
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import always, keeps, snapshot

if TYPE_CHECKING:
    from checkpointkit.stores.base import Store
    from checkpointkit.testing.conformance.bench import Bench

MANY = 8
"""More older generations than a store under test would keep by itself, mostly."""


def save(store: Store, key: str = "a", times: int = 1) -> int:
    """Save a key several times; return the last generation."""
    return [store.write(key, always(b"%d" % n)).generation for n in range(times)][-1]


def save_and_pin(store: Store, key: str = "a") -> int:
    """Save a key once, and pin that; return the generation."""
    number = save(store, key)
    store.pin(key, number)
    return number


def pinned(store: Store, key: str = "a") -> list[int]:
    """Return the generations that are shown as pinned, newest first."""
    return [entry.generation for entry in store.history(key) if entry.pinned]


def loose(store: Store, key: str = "a") -> int:
    """Return how many generations are listed without a pin."""
    return sum(not entry.pinned for entry in store.history(key))


class PinRules(Rules):
    """Generations that are kept until they are released: the feature `pins`, or its absence."""

    def test_pinned_generations_are_kept_or_pins_are_refused(self, store: Store) -> None:
        """Kept until it is unpinned; undeclared, `pin` and `unpin` raise `StoreError`."""
        first = store.write("a", always(b"first"))
        if "pins" not in store.features:
            for refused in (store.pin, store.unpin):
                for generation in (first.generation, first.generation + 1):
                    with pytest.raises(StoreError):
                        refused("a", generation)
            assert store.history("a") == (first,)
            return
        assert "history" in store.features, "a store with `pins` has `history`, too"
        store.pin("a", first.generation)
        assert store.history("a") == (first._replace(pinned=True),)
        second = store.write("a", always(b"second")).generation
        store.pin("a", second)
        newest = second
        for _ in range(MANY):
            newest = save(store)
            assert pinned(store) == [second, first.generation]
        assert store.read("a", first.generation) == b"first"
        assert store.read("a", second) == b"second"
        numbers = [entry.generation for entry in store.history("a")]
        assert numbers == sorted(numbers, reverse=True)
        assert numbers[0] == newest
        assert first._replace(pinned=True) == store.history("a")[-1]

    def test_pinned_generations_do_not_count_in_the_history(self, store: Store) -> None:
        """As many others are kept as without them: no fewer, and no more."""
        if "pins" not in store.features:
            return
        save(store, "plain", MANY)
        for _ in range(MANY):
            save_and_pin(store)
            save(store, times=2)
        save(store, times=MANY)
        assert loose(store) == loose(store, "plain")
        assert len(pinned(store)) == MANY

    def test_pinning_is_done_once_and_undone_once(self, store: Store) -> None:
        """It is no error if a generation is pinned already, or is not, or is not there."""
        if "pins" not in store.features:
            return
        number = save(store)
        before = snapshot(store)
        for key, generation in (("a", number), ("a", number + 1), ("absent", 1), ("a", -1)):
            store.unpin(key, generation)
        assert snapshot(store) == before
        for _ in range(2):
            store.pin("a", number)
        assert pinned(store) == [number]
        store.unpin("a", number)
        assert snapshot(store) == before
        save(store, times=MANY)
        assert pinned(store) == []

    def test_what_is_not_there_cannot_be_pinned(self, store: Store) -> None:
        """There is no such key or generation."""
        if "pins" not in store.features:
            return
        first = save(store)
        newest = save(store, times=MANY)
        before = snapshot(store)
        shown = {entry.generation for entry in store.history("a")}
        gone = sorted({*range(first, newest)} - shown)[:1]
        for key, number in (("absent", 1), *(("a", n) for n in (*gone, newest + 1, 0, -1, 2**70))):
            with pytest.raises(CheckpointNotFoundError) as caught:
                store.pin(key, number)
            assert (caught.value.key, caught.value.generation) == (key, number)
        assert snapshot(store) == before

    def test_an_unpinned_generation_is_one_of_the_older_ones_again(self, store: Store) -> None:
        """It may go, and with it nothing else."""
        if "pins" not in store.features:
            return
        save(store, "plain", MANY)
        numbers = [save_and_pin(store) for _ in range(3)]
        newest = save(store)
        store.unpin("a", numbers[1])
        assert pinned(store) == [numbers[2], numbers[0]]
        assert store.history("a")[0].generation == newest
        save(store, times=MANY)
        assert pinned(store) == [numbers[2], numbers[0]]
        for number in (numbers[2], numbers[0]):
            store.unpin("a", number)
        save(store, times=MANY)
        assert pinned(store) == []
        assert loose(store) == loose(store, "plain")

    def test_an_unpinned_newest_generation_stays_the_newest(self, store: Store) -> None:
        """To unpin deletes nothing that is kept without a pin."""
        if "pins" not in store.features:
            return
        save(store)
        number = save(store)
        before = snapshot(store)
        store.pin("a", number)
        store.unpin("a", number)
        assert snapshot(store) == before

    def test_a_pin_is_of_one_key_alone(self, store: Store) -> None:
        """The same number of another key is another generation."""
        if "pins" not in store.features:
            return
        save_and_pin(store, "b")
        save(store, "a", MANY)
        assert pinned(store, "a") == []
        assert len(pinned(store, "b")) == 1

    def test_remove_takes_pinned_generations_with_the_key(self, store: Store) -> None:
        """Remove the key with all its generations; nothing of it is pinned afterwards."""
        if "pins" not in store.features:
            return
        number = save_and_pin(store)
        save(store, times=2)
        store.remove("a")
        assert (store.keys(), store.history("a")) == ((), ())
        save(store, times=2)
        assert pinned(store) == []
        with pytest.raises(CheckpointNotFoundError):
            store.read("a", number)
        with pytest.raises(CheckpointNotFoundError):
            store.pin("a", number)

    def test_a_batch_keeps_what_is_pinned(self, store: Store) -> None:
        """Each of them as `write` does."""
        if "pins" not in store.features:
            return
        for key in ("a", "b"):
            save_and_pin(store, key)
        before = {key: store.history(key)[0] for key in ("a", "b")}
        for number in range(MANY):
            result = store.write_many({key: always(b"%d" % number) for key in ("a", "b")})
            assert result.failed == {}
        for key, entry in before.items():
            assert store.history(key)[-1] == entry
            assert store.read(key, entry.generation) == b"0"

    def test_pins_are_there_when_the_store_is_opened_again(self, bench: Bench) -> None:
        """As durable as a save when it returns; and so is their end."""
        store = bench.open()
        if "pins" not in store.features:
            return
        kept, released = save_and_pin(store), save_and_pin(store)
        save(store)
        store.unpin("a", released)
        store = bench.again(store)
        if keeps(store):
            save(store, times=MANY)
            assert pinned(store) == [kept]
        else:
            assert pinned(store) in ([], [kept])

    def test_another_opening_sees_the_pins_and_keeps_to_them(self, bench: Bench) -> None:
        """With `shared`, whoever saves and whoever pins need not be the same."""
        one = bench.open()
        if not {"pins", "shared"} <= one.features:
            return
        number = save(one)
        two = bench.open()
        two.pin("a", number)
        assert pinned(one) == [number]
        save(one, times=MANY)
        assert pinned(two) == [number]
        one.unpin("a", number)
        save(two, times=MANY)
        assert pinned(one) == []

    def test_what_is_set_aside_is_not_pinned_any_more(self, store: Store) -> None:
        """A pin is not for what is damaged; the pins of the older ones stay."""
        if not {"pins", "set_aside"} <= store.features:
            return
        old = save_and_pin(store)
        bad = store.write("a", always(b"bad"))
        store.pin("a", bad.generation)
        store.set_aside("a", bad.revision)
        damaged = store.history("a")[0]
        assert not damaged.pinned
        with pytest.raises(CorruptCheckpointError) as caught:
            store.pin("a", damaged.generation)
        assert caught.value.key == "a"
        assert pinned(store) == [old]
        save(store, times=MANY)
        assert pinned(store) == [old]
        assert store.read("a", old) == b"0"
