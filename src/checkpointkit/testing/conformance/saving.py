"""Rules for saves and removes: numbers, expectations, seals, buffers, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    StoreError,
)
from checkpointkit.stores.base import ABSENT
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import (
    Refusal,
    RefusedError,
    Watcher,
    always,
    keeps,
    numbered,
    snapshot,
)
from checkpointkit.testing.conformance.threads import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Entry, Store
    from checkpointkit.testing.conformance.bench import Bench

REFUSALS: list[BaseException] = [
    RefusedError("the seal refuses"),
    OSError(5, "not the store's own"),
    CheckpointNotFoundError("another", 7),
    StoreError("another", "look", "not this store"),
    KeyboardInterrupt(),
]


class GenerationRules(Rules):
    """The numbers of saved states."""

    def test_numbers_begin_at_1_or_more_and_grow_with_each_save(self, store: Store) -> None:
        """Every saved state of a key has a number, 1 or more; numbers grow with each save."""
        numbers = [store.write("a", always(b"%d" % n)).generation for n in range(5)]
        assert numbers[0] >= 1
        assert numbers == sorted(set(numbers))
        assert {type(number) for number in numbers} == {int}

    def test_a_number_is_not_used_again_after_remove(self, store: Store) -> None:
        """Never used again, not even after the key was removed and created anew."""
        used: list[int] = []
        for saves in (1, 3, 1, 2):
            used += [store.write("a", always(b"state")).generation for _ in range(saves)]
            store.remove("a")
        assert used == sorted(set(used))

    def test_a_number_is_not_used_again_after_other_keys_were_removed(self, store: Store) -> None:
        """Never used again, whatever happens to other keys in between."""
        used = [store.write("a", always(b"state")).generation for _ in range(9)]
        for other in ("b", "aa", "A"):
            store.write(other, always(b"state"))
        store.remove("a")
        for other in ("b", "aa", "A"):
            store.remove(other)
        assert store.write("a", always(b"state")).generation > max(used)

    def test_a_number_is_not_used_again_after_opening_again(self, bench: Bench) -> None:
        """Never used again, by whoever opens the store."""
        store = bench.open()
        used = [store.write("a", always(b"state")).generation for _ in range(3)]
        store.remove("a")
        kept = keeps(store)
        for _ in range(2):
            store = bench.again(store)
            if not kept:  # it may have forgotten everything, and then it begins anew
                used.clear()
            used.append(store.write("a", always(b"state")).generation)
        assert used == sorted(set(used))

    def test_a_seal_is_told_the_number_of_the_entry(self, store: Store) -> None:
        """`seal(generation, previous)` returns the bytes to store under that number."""
        for _ in range(3):
            entry = store.write("a", numbered)
            assert store.read("a") == b"generation %d" % entry.generation
        store.remove("a")
        saved = store.write_many({"a": numbered, "b": numbered}).saved
        for key, entry in saved.items():
            assert store.read(key) == b"generation %d" % entry.generation

    def test_a_revision_is_another_one_as_soon_as_something_else_stands_there(
        self, store: Store
    ) -> None:
        """A revision names these very bytes, and stays as long as they do."""
        seen: list[str] = []
        for data in (b"one", b"two", b"", b"six"):
            entry = store.write("a", always(data))
            assert store.history("a")[0] == store.history("a")[0] == entry
            seen.append(entry.revision)
        store.remove("a")
        seen.append(store.write("a", always(b"new")).revision)
        assert len(set(seen)) == len(seen)
        assert {type(revision) for revision in seen} == {str}


class ExpectationRules(Rules):
    """Compare-and-swap."""

    def test_absent_saves_only_where_there_is_nothing(self, store: Store) -> None:
        """With `ABSENT`, save only if the key is absent."""
        first = store.write("a", always(b"first"), expected=ABSENT)
        before = snapshot(store)
        with pytest.raises(ConflictError) as caught:
            store.write("a", always(b"second"), expected=ABSENT)
        error = caught.value
        assert (error.key, error.expected, error.actual) == ("a", None, first.generation)
        assert snapshot(store) == before
        store.remove("a")
        store.write("a", always(b"third"), expected=ABSENT)
        assert store.read("a") == b"third"

    def test_an_expected_generation_saves_only_if_it_is_the_newest(self, store: Store) -> None:
        """Save only if the newest generation is this one."""
        first = store.write("a", always(b"first")).generation
        second = store.write("a", always(b"second"), expected=first).generation
        before = snapshot(store)
        for wrong in (first, second + 1, 0, 10**30):
            with pytest.raises(ConflictError) as caught:
                store.write("a", always(b"third"), expected=wrong)
            error = caught.value
            assert (error.key, error.expected, error.actual) == ("a", wrong, second)
        assert snapshot(store) == before

    def test_an_expected_generation_of_an_absent_key_conflicts(self, store: Store) -> None:
        """The newest generation is not the expected one: there is none."""
        gone = store.write("a", always(b"state")).generation
        store.remove("a")
        for key, expected in (("a", gone), ("a", gone + 1), ("b", 1)):
            with pytest.raises(ConflictError) as caught:
                store.write(key, always(b"state"), expected=expected)
            error = caught.value
            assert (error.key, error.expected, error.actual) == (key, expected, None)
        assert store.keys() == ()

    def test_remove_compares_the_expectation(self, store: Store) -> None:
        """Remove only if the newest generation is this one."""
        first = store.write("a", always(b"first")).generation
        second = store.write("a", always(b"second")).generation
        before = snapshot(store)
        for wrong in (first, second + 1, ABSENT):
            with pytest.raises(ConflictError) as caught:
                store.remove("a", expected=wrong)
            wanted = None if wrong is ABSENT else wrong
            error = caught.value
            assert (error.key, error.expected, error.actual) == ("a", wanted, second)
        assert snapshot(store) == before
        store.remove("a", expected=second)
        assert store.keys() == ()
        with pytest.raises(ConflictError) as caught:
            store.remove("a", expected=second)
        assert (caught.value.expected, caught.value.actual) == (second, None)
        store.remove("a", expected=ABSENT)


class SealRules(Rules):
    """What a seal is given, when it is called, and what its errors do."""

    def test_a_seal_is_given_the_newest_state_whole(self, store: Store) -> None:
        """`previous` is the newest generation's stored bytes, whole; None where it is absent."""
        watcher = Watcher()
        for data in (b"y" * 300_000, b"", b"z"):
            watcher.data = data
            store.write("a", watcher)
        store.remove("a")
        store.write("a", watcher)
        previous = [given for _, given in watcher.calls]
        assert previous == [None, b"y" * 300_000, b"", None]
        assert [type(given) for given in previous[1:3]] == [bytes, bytes]

    def test_a_seal_is_asked_before_the_expectation_is_compared(self, store: Store) -> None:
        """The store calls it before it compares `expected`."""
        store.write("a", always(b"state"))
        for key, expected in (("a", ABSENT), ("a", 99), ("absent", 99)):
            with pytest.raises(RefusedError):
                store.write(key, Refusal(), expected=expected)

    @pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
    def test_what_a_seal_raises_passes_through_and_nothing_has_changed(
        self, store: Store, error: BaseException
    ) -> None:
        """Whatever `seal` raises passes through as it is; nothing has changed."""
        for number in range(3):
            store.write("a", always(b"%d" % number))
        before = snapshot(store)
        for key in ("a", "absent"):
            with pytest.raises(type(error)) as caught:
                store.write(key, Refusal(error))
            assert caught.value is error
            assert snapshot(store) == before

    def test_after_an_error_the_key_can_be_saved(self, store: Store) -> None:
        """A raised error means that nothing has changed: no lock is kept, either."""
        newest = store.write("a", always(b"state")).generation
        too_much = always(b"x" * (store.max_bytes + 1))
        failing: list[tuple[type[BaseException], Callable[[], object]]] = [
            (RefusedError, lambda: store.write("a", Refusal())),
            (RefusedError, lambda: store.write("b", Refusal())),
            (KeyboardInterrupt, lambda: store.write("a", Refusal(KeyboardInterrupt()))),
            (KeyboardInterrupt, lambda: store.write_many({"a": Refusal(KeyboardInterrupt())})),
            (ConflictError, lambda: store.write("a", always(b"new"), expected=ABSENT)),
            (ConflictError, lambda: store.remove("a", expected=newest + 1)),
            (CheckpointTooLargeError, lambda: store.write("a", too_much)),
            (CheckpointNotFoundError, lambda: store.read("b")),
        ]
        for error, fail in failing:
            with pytest.raises(error):
                fail()
            assert Task(lambda: store.read("a")).result() == b"state"
        assert Task(lambda: store.write("a", always(b"new"))).result().generation > newest
        assert store.read("a") == b"new"

    @pytest.mark.parametrize("view", [bytearray, memoryview], ids=["bytearray", "memoryview"])
    def test_a_buffer_that_went_in_belongs_to_nobody(
        self, store: Store, view: Callable[[bytearray], object]
    ) -> None:
        """Later changes to a caller's buffer never show in a store."""
        buffer = bytearray(b"before")
        entry = store.write("a", always(cast("bytes", view(buffer))))
        buffer[:] = b"behind"
        assert entry.size == len(buffer)
        for data in (store.read("a"), store.read("a", entry.generation)):
            assert data == b"before"
            assert isinstance(data, bytes)
        watcher = Watcher()
        store.write("a", watcher)
        assert watcher.previous == b"before"
        assert isinstance(watcher.previous, bytes)

    def test_what_came_out_belongs_to_nobody(self, store: Store) -> None:
        """Bytes that came out cannot be changed, so that no change shows in a store."""
        store.write("a", always(b"state"))
        for data in (store.read("a"), store.read("a", limit=3), store.read("a", limit=99)):
            assert isinstance(data, bytes)


class LimitRules(Rules):
    """`max_bytes`."""

    def test_as_much_as_max_bytes_is_saved(self, bench: Bench) -> None:
        """`max_bytes` is the largest number of bytes that `write` takes and `read` gives."""
        store = bench.open(max_bytes=100)
        assert store.max_bytes == len(b"x" * 100)
        for size in (99, 100):
            assert store.write("a", always(b"x" * size)).size == size
            assert store.read("a") == b"x" * size

    def test_more_than_max_bytes_is_not_saved(self, bench: Bench) -> None:
        """`seal` returned more than `max_bytes`: nothing has changed."""
        store = bench.open(max_bytes=100)
        store.write("a", always(b"x" * 100))
        before = snapshot(store)
        wide = memoryview(bytes(104)).cast("I")  # 26 items, 104 bytes
        for key in ("a", "absent"):
            for data, size in ((b"y" * 101, 101), (cast("bytes", wide), 104)):
                with pytest.raises(CheckpointTooLargeError) as caught:
                    store.write(key, always(data))
                error = caught.value
                assert (error.key, error.size, error.limit) == (key, size, 100)
        assert snapshot(store) == before


class RemoveRules(Rules):
    """What `remove` takes away."""

    def test_remove_takes_the_key_with_all_its_generations(self, store: Store) -> None:
        """Remove `key` with all its generations."""
        numbers = [store.write("a", always(b"%d" % n)).generation for n in range(3)]
        store.remove("a")
        assert store.keys() == ()
        assert store.history("a") == ()
        for generation in (None, *numbers):
            with pytest.raises(CheckpointNotFoundError):
                store.read("a", generation)

    def test_what_was_removed_does_not_come_back(self, store: Store) -> None:
        """A key that is created anew has nothing of what it had before."""
        numbers = [store.write("a", always(b"old %d" % n)).generation for n in range(3)]
        store.remove("a")
        entries: list[Entry] = []
        for number in range(2):
            entries.insert(0, store.write("a", always(b"new %d" % number)))
            shown = store.history("a")
            assert shown == tuple(entries[: len(shown)])
            for generation in numbers:
                with pytest.raises(CheckpointNotFoundError):
                    store.read("a", generation)

    def test_remove_of_an_absent_key_is_no_error(self, store: Store) -> None:
        """No error where it is absent already."""
        store.remove("a")
        store.write("a", always(b"state"))
        store.remove("a")
        store.remove("a")
        assert store.keys() == ()

    def test_what_was_removed_stays_so_when_the_store_is_opened_again(self, bench: Bench) -> None:
        """As durable as a save when it returns."""
        store = bench.open()
        for key in ("a", "b"):
            store.write(key, always(b"state"))
        store.remove("a")
        store = bench.again(store)
        assert store.keys() == ("b",) or (not keeps(store) and store.keys() == ())
        assert store.history("a") == ()
