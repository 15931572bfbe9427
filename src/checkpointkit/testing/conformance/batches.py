"""Rules for saves of several keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from checkpointkit.errors import (
    CheckpointError,
    CheckpointTooLargeError,
    ConflictError,
    InvalidKeyError,
    StoreError,
)
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import (
    Refusal,
    RefusedError,
    Watcher,
    always,
    numbered,
    snapshot,
)

if TYPE_CHECKING:
    from checkpointkit.stores.base import Damaged, Seal, Store
    from checkpointkit.testing.conformance.bench import Bench

MANY = 150


class BatchRules(Rules):
    """`write_many`, each key by itself."""

    def test_a_batch_saves_each_key_as_write_does(self, store: Store) -> None:
        """Save several keys, each of them as `write` does."""
        old = store.write("a", always(b"old"))
        watchers = {key: Watcher(key.encode()) for key in ("c", "a", "b")}
        result = store.write_many(watchers)
        assert (sorted(result.saved), result.failed) == (["a", "b", "c"], {})
        assert result.saved["a"].generation > old.generation
        for key, entry in result.saved.items():
            assert store.history(key)[0] == entry
            assert store.read(key) == store.read(key, entry.generation) == key.encode()
            assert entry.generation == watchers[key].generation
            assert watchers[key].previous == (b"old" if key == "a" else None)

    def test_an_empty_batch_saves_nothing(self, store: Store) -> None:
        """Each key is in exactly one of the two: none is in none."""
        assert store.write_many({}) == ({}, {})
        assert store.keys() == ()

    def test_a_batch_of_many_keys_is_saved(self, store: Store) -> None:
        """Save several keys: any number of them."""
        keys = [f"key-{number}" for number in range(MANY)]
        for data in (b"one", b"two"):
            result = store.write_many({key: always(data) for key in keys})
            assert (sorted(result.saved), result.failed) == (sorted(keys), {})
        assert {store.read(key) for key in keys} == {b"two"}

    def test_a_key_of_a_batch_fails_by_itself(self, bench: Bench) -> None:
        """The entries of what is saved and the errors of what is not."""
        store = bench.open(max_bytes=100)
        store.write("a", always(b"old"))
        before = snapshot(store)
        errors = {"a": ConflictError("a", 1, 2), "d": StoreError("d", "save", "no room")}
        items: dict[str, Seal] = {key: Refusal(error) for key, error in errors.items()}
        items |= {"b": always(b"x" * 101), "c": always(b"new")}
        result = store.write_many(items)
        assert list(result.saved) == ["c"]
        assert sorted(result.failed) == ["a", "b", "d"]
        for key, error in errors.items():
            assert result.failed[key] is error
        too_large = result.failed["b"]
        assert isinstance(too_large, CheckpointTooLargeError)
        assert (too_large.key, too_large.size, too_large.limit) == ("b", 101, 100)
        assert store.read("c") == b"new"
        store.remove("c")
        assert snapshot(store) == before

    def test_a_wrong_key_in_a_batch_raises_before_anything_is_saved(self, store: Store) -> None:
        """A wrong key raises before anything is saved."""
        watcher = Watcher()
        for items in ({"../a": watcher, "b": watcher}, {"b": watcher, "c/": watcher}):
            with pytest.raises(InvalidKeyError):
                store.write_many(items)
            assert store.keys() == ()
        assert watcher.calls == []

    def test_what_is_none_of_our_errors_passes_through_a_batch(self, store: Store) -> None:
        """It passes through, and then each key has its old state or its new one."""
        for key in ("a", "b", "c"):
            store.write(key, always(b"old"))
        for error in (
            RefusedError("the seal refuses"),
            OSError(5, "not ours"),
            KeyboardInterrupt(),
        ):
            with pytest.raises(type(error)) as caught:
                store.write_many({"a": always(b"new"), "b": Refusal(error), "c": always(b"new")})
            assert caught.value is error
            assert store.read("b") == b"old"
            assert {store.read("a"), store.read("c")} <= {b"old", b"new"}

    def test_seals_of_a_batch_may_share_a_buffer(self, store: Store) -> None:
        """Later changes to a caller's buffer never show in a store."""
        buffer = bytearray()

        def reuse(data: bytes) -> Seal:
            def seal(_generation: int, _previous: bytes | Damaged | None) -> bytes:
                buffer[:] = data
                return cast("bytes", buffer)

            return seal

        store.write_many({"a": reuse(b"one"), "b": reuse(b"two"), "c": reuse(b"three")})
        buffer[:] = b"four!"
        assert [store.read(key) for key in "abc"] == [b"one", b"two", b"three"]


class AtomicBatchRules(Rules):
    """`write_many(…, atomic=True)`: the feature `atomic_many`, or its absence."""

    def test_an_atomic_batch_saves_all_keys_or_is_refused(self, store: Store) -> None:
        """Save all or none (feature `atomic_many`); undeclared, it raises `StoreError`."""
        store.write("a", always(b"old"))
        before = snapshot(store)
        watchers = {key: Watcher(b"new") for key in "ab"}
        if "atomic_many" in store.features:
            result = store.write_many(watchers, atomic=True)
            assert (sorted(result.saved), result.failed) == (["a", "b"], {})
            for key, entry in result.saved.items():
                assert store.history(key)[0] == entry
                assert store.read(key) == b"new"
                assert entry.generation == watchers[key].generation
            assert store.write_many({}, atomic=True) == ({}, {})
        else:
            for items in (watchers, {}):
                with pytest.raises(StoreError):
                    store.write_many(items, atomic=True)
            assert snapshot(store) == before

    def test_an_atomic_batch_saves_none_where_one_fails(self, bench: Bench) -> None:
        """Save all or none (feature `atomic_many`); undeclared, it raises `StoreError`."""
        store = bench.open(max_bytes=100)
        store.write("a", always(b"old"))
        before = snapshot(store)
        bad: dict[str, Seal] = {
            "large": always(b"x" * 101),
            "conflict": Refusal(ConflictError("conflict", 1, 2)),
        }
        for key, seal in bad.items():
            items = {"a": numbered, key: seal, "z": numbered}
            if "atomic_many" in store.features:
                result = store.write_many(items, atomic=True)
                assert (result.saved, sorted(result.failed)) == ({}, sorted(items))
                assert all(isinstance(error, CheckpointError) for error in result.failed.values())
                expected = CheckpointTooLargeError if key == "large" else ConflictError
                assert type(result.failed[key]) is expected
            else:
                with pytest.raises(StoreError):
                    store.write_many(items, atomic=True)
            assert snapshot(store) == before

    def test_an_atomic_batch_saves_none_where_a_seal_raises(self, store: Store) -> None:
        """What is none of our errors passes through, and nothing is saved."""
        store.write("a", always(b"old"))
        before = snapshot(store)
        error = RefusedError if "atomic_many" in store.features else StoreError
        seals: list[tuple[str, Seal]] = [("a", always(b"new")), ("b", Refusal())]
        for items in (dict(seals), dict(reversed(seals))):
            with pytest.raises(error):
                store.write_many(items, atomic=True)
            assert snapshot(store) == before
