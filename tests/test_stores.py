"""The contract of `stores/base.py`, sentence by sentence, for every store of the package."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    InvalidKeyError,
    ReadOnlyError,
    StoreError,
)
from checkpointkit.stores.base import ABSENT, DEFAULT_MAX_BYTES, Damaged
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.memory import MemoryStore
from tests.support.states import generations, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from checkpointkit.stores.base import Entry, Seal

    AnyStore = MemoryStore | FileStore

KINDS = ["memory", "files", "files without syncs"]


class Maker:
    """Makes stores of one kind, and closes them.

    Args:
        kind: One of `KINDS`.
        directory: For stores that need one.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self._directory = directory
        self._open: list[AnyStore] = []

    def __call__(self, **options: Any) -> AnyStore:
        store: AnyStore
        if self.kind == "memory":
            store = MemoryStore(**options)
        else:
            if "without" in self.kind:
                options["durability"] = "none"
            store = FileStore(self._directory / "store", **options)
        self._open.append(store)
        return store

    def again(self, store: AnyStore, **options: Any) -> AnyStore:
        """Close a store and open it again; one in memory stays as it is."""
        if isinstance(store, MemoryStore):
            return store
        store.close()
        return self(**options)

    def close(self) -> None:
        """Close all of them."""
        for store in self._open:
            store.close()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, quick: Path) -> Iterator[Maker]:
    maker = Maker(request.param, quick)
    yield maker
    maker.close()


@pytest.fixture
def store(make: Maker) -> AnyStore:
    return make()


class RefusedError(Exception):
    """What a seal raises in these tests."""


def refuse(generation: int, previous: bytes | Damaged | None) -> bytes:
    raise RefusedError


class Watcher:
    """A seal that remembers what it was given."""

    def __init__(self, data: bytes = b"state") -> None:
        self.data = data
        self.calls: list[tuple[int, bytes | Damaged | None]] = []

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        self.calls.append((generation, previous))
        return self.data


def snapshot(store: AnyStore) -> dict[str, list[tuple[object, bytes]]]:
    """Everything that a store shows."""
    return {
        key: [(entry, store.read(key, entry.generation)) for entry in store.history(key)]
        for key in store.keys()
    }


# -------------------------------------------------------------------------------- generations


def test_each_save_of_a_key_has_a_larger_number(store: AnyStore) -> None:
    numbers = [store.write("a", raw(b"%d" % n)).generation for n in range(5)]
    assert numbers[0] >= 1
    assert numbers == sorted(set(numbers))


def test_a_number_is_not_used_again_after_the_key_was_removed(make: Maker) -> None:
    store = make(history=2)
    used: list[int] = []
    for round_ in range(4):
        used += [store.write("a", raw(b"state")).generation for _ in range(round_ + 1)]
        store.remove("a")
        store = make.again(store, history=2)
    assert used == sorted(set(used))


def test_a_number_is_not_used_again_after_a_key_of_the_same_stripe_was_removed_later(
    make: Maker,
) -> None:
    store = make()
    other = next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of("a"))
    used = [store.write("a", raw(b"state")).generation for _ in range(9)]
    store.write(other, raw(b"state"))
    store.remove("a")
    store.remove(other)
    store = make.again(store)
    assert store.write("a", raw(b"state")).generation > max(used)


def test_a_seal_is_told_the_number_of_the_entry(store: AnyStore) -> None:
    watcher = Watcher()
    entries = [store.write("a", watcher) for _ in range(3)]
    assert [generation for generation, _ in watcher.calls] == [e.generation for e in entries]


def test_the_state_saved_last_is_the_newest(store: AnyStore) -> None:
    for n in range(3):
        entry = store.write("a", raw(b"%d" % n))
        assert store.read("a") == store.read("a", entry.generation) == b"%d" % n
        assert store.history("a")[0] == entry


def test_an_entry_has_the_size_of_what_is_stored(store: AnyStore) -> None:
    assert [store.write("a", raw(b"x" * size)).size for size in (0, 1, 70_000)] == [0, 1, 70_000]
    assert store.read("a") == b"x" * 70_000


def test_a_revision_is_another_one_as_soon_as_something_else_stands_there(make: Maker) -> None:
    store = make(history=0)
    revisions = [store.write("a", raw(b"same")).revision for _ in range(50)]
    store.remove("a")
    revisions += [store.write("a", raw(b"same")).revision for _ in range(50)]
    assert len(set(revisions)) == 100


def test_the_revision_of_an_empty_state_goes_when_it_is_set_aside(store: AnyStore) -> None:
    entry = store.write("a", raw(b""))
    store.set_aside("a", entry.revision)
    assert store.history("a")[0].revision != entry.revision


# -------------------------------------------------------------------------------- expectations


def test_absent_saves_only_where_there_is_nothing(store: AnyStore) -> None:
    first = store.write("a", raw(b"first"), expected=ABSENT)
    with pytest.raises(ConflictError) as caught:
        store.write("a", raw(b"second"), expected=ABSENT)
    error = caught.value
    assert (error.key, error.expected, error.actual) == ("a", None, first.generation)
    assert store.read("a") == b"first"
    assert store.history("a") == (first,)


def test_absent_saves_again_after_remove(store: AnyStore) -> None:
    store.write("a", raw(b"first"))
    store.remove("a")
    store.write("a", raw(b"second"), expected=ABSENT)
    assert store.read("a") == b"second"


def test_an_expected_generation_saves_only_if_it_is_the_newest(store: AnyStore) -> None:
    first = store.write("a", raw(b"first"))
    second = store.write("a", raw(b"second"), expected=first.generation)
    with pytest.raises(ConflictError) as caught:
        store.write("a", raw(b"third"), expected=first.generation)
    assert (caught.value.expected, caught.value.actual) == (first.generation, second.generation)
    assert store.read("a") == b"second"


def test_an_expected_generation_of_an_absent_key_conflicts(store: AnyStore) -> None:
    with pytest.raises(ConflictError) as caught:
        store.write("a", raw(b"state"), expected=1)
    assert (caught.value.expected, caught.value.actual) == (1, None)
    assert store.keys() == ()


def test_remove_compares_the_expectation_first(store: AnyStore) -> None:
    first = store.write("a", raw(b"first"))
    second = store.write("a", raw(b"second"))
    for wrong in (first.generation, ABSENT):
        with pytest.raises(ConflictError):
            store.remove("a", expected=wrong)
    assert store.read("a") == b"second"
    store.remove("a", expected=second.generation)
    assert store.keys() == ()
    with pytest.raises(ConflictError):
        store.remove("a", expected=second.generation)
    store.remove("a", expected=ABSENT)


# --------------------------------------------------------------------------------------- seals


def test_the_seal_is_asked_before_the_expectation_is_compared(store: AnyStore) -> None:
    store.write("a", raw(b"state"))
    for key, expected in (("a", ABSENT), ("a", 99), ("absent", 99)):
        with pytest.raises(RefusedError):
            store.write(key, refuse, expected=expected)


@pytest.mark.parametrize("error", [RefusedError, KeyboardInterrupt])
def test_a_seal_that_raises_changes_nothing(store: AnyStore, error: type[BaseException]) -> None:
    def interrupted(generation: int, previous: bytes | Damaged | None) -> bytes:
        raise error

    for n in range(3):
        store.write("a", raw(b"%d" % n))
    before = snapshot(store)
    for key in ("a", "absent"):
        with pytest.raises(error):
            store.write(key, interrupted)
    assert snapshot(store) == before
    assert store.write("a", raw(b"next")).generation > 3


def test_a_seal_is_given_the_newest_state_whole(store: AnyStore) -> None:
    watcher = Watcher(b"y" * 300_000)
    store.write("a", watcher)
    store.write("a", watcher)
    store.remove("a")
    store.write("a", watcher)
    assert [previous for _, previous in watcher.calls] == [None, b"y" * 300_000, None]
    assert type(watcher.calls[1][1]) is bytes


@pytest.mark.parametrize("view", [bytearray, memoryview], ids=["bytearray", "memoryview"])
def test_a_buffer_that_changes_later_does_not_show(
    store: AnyStore, view: Callable[[bytearray], object]
) -> None:
    buffer = bytearray(b"before")
    entry = store.write("a", raw(cast("bytes", view(buffer))))
    buffer[:] = b"behind"
    assert store.read("a") == store.read("a", entry.generation) == b"before"
    assert type(store.read("a")) is bytes
    assert store.history("a")[0].size == 6


def test_a_wide_memoryview_is_counted_in_bytes(make: Maker) -> None:
    store = make(max_bytes=15)
    wide = cast("bytes", memoryview(b"0123456789abcdef").cast("I"))
    with pytest.raises(CheckpointTooLargeError) as caught:
        store.write("a", raw(wide))
    assert caught.value.size == 16


def test_seals_of_a_batch_may_share_a_buffer(store: AnyStore) -> None:
    buffer = bytearray()

    def reuse(data: bytes) -> Seal:
        def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
            buffer[:] = data
            return cast("bytes", buffer)

        return seal

    store.write_many({"a": reuse(b"one"), "b": reuse(b"two"), "c": reuse(b"three")})
    assert [store.read(key) for key in "abc"] == [b"one", b"two", b"three"]


def test_saves_of_one_key_take_place_one_after_the_other(store: AnyStore) -> None:
    inside, overtaken = threading.Event(), threading.Event()
    previous_of_second: list[bytes | Damaged | None] = []

    def first(generation: int, previous: bytes | Damaged | None) -> bytes:
        inside.set()
        assert not overtaken.wait(0.05)  # nobody else is in a seal of this key meanwhile
        return b"first"

    def second(generation: int, previous: bytes | Damaged | None) -> bytes:
        overtaken.set()
        previous_of_second.append(previous)
        return b"second"

    def follow() -> None:
        inside.wait()
        store.write("a", second)

    thread = threading.Thread(target=follow)
    thread.start()
    store.write("a", first)
    thread.join()
    assert previous_of_second == [b"first"]
    assert store.read("a") == b"second"


# ---------------------------------------------------------------------------------------- keys


def test_keys_are_sorted_and_have_the_prefix(store: AnyStore) -> None:
    for key in ("node-b", "node-a", "pod", "Node-a", "0", "node-a.1"):
        store.write(key, raw(b"state"))
    assert store.keys() == ("0", "Node-a", "node-a", "node-a.1", "node-b", "pod")
    assert store.keys("node-") == ("node-a", "node-a.1", "node-b")
    assert store.keys("node-a") == ("node-a", "node-a.1")
    assert store.keys("nothing") == ()


def test_keys_differ_by_case(store: AnyStore) -> None:
    store.write("a", raw(b"small"))
    store.write("A", raw(b"large"))
    assert (store.read("a"), store.read("A")) == (b"small", b"large")
    store.remove("a")
    assert store.keys() == ("A",)


def test_the_longest_key_works(store: AnyStore) -> None:
    key = "k" * 250
    store.write(key, raw(b"first"))
    store.write(key, raw(b"second"))
    assert store.keys() == (key,)
    store.remove(key)
    assert store.keys() == ()


def test_the_names_that_the_files_use_are_free_as_keys(store: AnyStore) -> None:
    for key in ("current", "1", "lock", "tmp", "format"):
        store.write(key, raw(key.encode()))
    assert [store.read(key) for key in store.keys()] == [k.encode() for k in store.keys()]
    assert len(store.keys()) == 5


@pytest.mark.parametrize("key", ["", ".", "..", "../a", "a/b", "a\n", ".tmp", "a" * 251, "ä", 7])
def test_what_is_no_key_is_refused_by_every_method(store: AnyStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.write(key, raw(b"state")),
        lambda: store.write_many({"good": raw(b"state"), key: raw(b"state")}),
        lambda: store.history(key),
        lambda: store.remove(key),
        lambda: store.set_aside(key, "1"),
        lambda: store.scope(key),
    ]
    for call in calls:
        with pytest.raises(InvalidKeyError):
            call()
    assert store.keys() == ()


# ----------------------------------------------------------------------------- history and reads


@pytest.mark.parametrize("history", [0, 1, 3])
def test_so_many_older_generations_are_kept(make: Maker, history: int) -> None:
    store = make(history=history)
    entries: list[Entry] = []
    for n in range(6):
        entries.insert(0, store.write("a", raw(b"%d" % n)))
        assert store.history("a") == tuple(entries[: history + 1])
    for n, entry in zip(range(5, -1, -1), entries, strict=True):
        if n >= 5 - history:
            assert store.read("a", entry.generation) == b"%d" % n
        else:
            with pytest.raises(CheckpointNotFoundError):
                store.read("a", entry.generation)


def test_a_store_opened_with_a_smaller_history_prunes_at_the_next_save(make: Maker) -> None:
    if make.kind == "memory":
        pytest.skip("a store in memory is never opened again")
    store = make(history=5)
    for n in range(5):
        store.write("a", raw(b"%d" % n))
    store = make.again(store, history=1)
    assert len(store.history("a")) == 5
    newest = store.write("a", raw(b"new"))
    assert generations(store, "a") == [newest.generation, newest.generation - 1]


def test_an_absent_key_has_no_history_and_no_state(store: AnyStore) -> None:
    store.write("a", raw(b"state"))
    store.remove("a")
    for key in ("a", "b"):
        assert store.history(key) == ()
        for generation in (None, 1):
            with pytest.raises(CheckpointNotFoundError) as caught:
                store.read(key, generation)
            assert (caught.value.key, caught.value.generation) == (key, generation)


@pytest.mark.parametrize("generation", [0, -1, 2, 10**18, 10**30])
def test_an_unknown_generation_is_not_found(store: AnyStore, generation: int) -> None:
    store.write("a", raw(b"state"))
    with pytest.raises(CheckpointNotFoundError) as caught:
        store.read("a", generation)
    assert caught.value.generation == generation


def test_a_limit_gives_the_start(store: AnyStore) -> None:
    data = bytes(range(256)) * 40
    first = store.write("a", raw(data))
    second = store.write("a", raw(data[::-1]))
    for limit in (0, 1, 4096, 5000, len(data), 2 * len(data)):
        assert store.read("a", limit=limit) == data[::-1][:limit]
        assert store.read("a", second.generation, limit) == data[::-1][:limit]
        assert store.read("a", first.generation, limit) == data[:limit]


def test_reading_changes_nothing(store: AnyStore) -> None:
    store.write("a", raw(b"state"))
    assert snapshot(store) == snapshot(store)


# --------------------------------------------------------------------------------------- limits


def test_more_than_max_bytes_is_not_saved(make: Maker) -> None:
    store = make(max_bytes=100)
    assert store.max_bytes == 100
    kept = store.write("a", raw(b"x" * 100))
    for key in ("a", "absent"):
        with pytest.raises(CheckpointTooLargeError) as caught:
            store.write(key, raw(b"x" * 101))
        assert (caught.value.key, caught.value.size, caught.value.limit) == (key, 101, 100)
    assert store.history("a") == (kept,)
    assert store.keys() == ("a",)


def test_more_than_max_bytes_is_not_read(make: Maker) -> None:
    if make.kind == "memory":
        pytest.skip("a store in memory holds nothing that it would not take")
    store = make()
    small = store.write("a", raw(b"x" * 10))
    large = store.write("a", raw(b"y" * 101))
    store = make.again(store, max_bytes=100)
    for generation in (None, large.generation):
        with pytest.raises(CheckpointTooLargeError) as caught:
            store.read("a", generation)
        assert (caught.value.key, caught.value.size, caught.value.limit) == ("a", 101, 100)
        assert store.read("a", generation, 5) == b"yyyyy"
    assert store.read("a", small.generation) == b"x" * 10
    with pytest.raises(CheckpointTooLargeError):
        store.write("a", raw(b"z"))
    assert store.history("a") == (large, small)
    store.remove("a")
    assert store.keys() == ()


def test_the_limit_is_64_mib_unless_told_otherwise(store: AnyStore) -> None:
    assert store.max_bytes == DEFAULT_MAX_BYTES == 64 * 2**20


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"history": -1}, ValueError),
        ({"history": 1.0}, TypeError),
        ({"history": True}, TypeError),
        ({"history": None}, TypeError),
        ({"max_bytes": 0}, ValueError),
        ({"max_bytes": "1"}, TypeError),
    ],
)
def test_wrong_limits_are_refused(
    make: Maker, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(**options)


# ------------------------------------------------------------------------------------ many keys


def test_a_batch_saves_each_key_as_write_does(store: AnyStore) -> None:
    old = store.write("a", raw(b"old"))
    watcher = Watcher(b"new")
    result = store.write_many({"c": watcher, "a": watcher, "b": watcher})
    assert sorted(result.saved) == ["a", "b", "c"]
    assert result.failed == {}
    assert result.saved["a"].generation > old.generation
    for key, entry in result.saved.items():
        assert store.history(key)[0] == entry
        assert store.read(key) == b"new"
    assert sorted(previous or b"" for _, previous in watcher.calls) == [b"", b"", b"old"]


def test_an_empty_batch_does_nothing(store: AnyStore) -> None:
    assert store.write_many({}) == ({}, {})


def test_a_batch_of_many_keys_of_every_stripe_is_saved(store: AnyStore) -> None:
    keys = [f"key-{n}" for n in range(150)]
    for data in (b"one", b"two"):
        result = store.write_many({key: raw(data) for key in keys})
        assert sorted(result.saved) == sorted(keys)
    assert {store.read(key) for key in keys} == {b"two"}
    assert {len(store.history(key)) for key in keys} == {2}


def test_a_key_of_a_batch_fails_by_itself(make: Maker) -> None:
    store = make(max_bytes=100)
    store.write("a", raw(b"old"))

    def conflict(generation: int, previous: bytes | Damaged | None) -> bytes:
        raise ConflictError("a", 1, 2)

    result = store.write_many({"a": conflict, "b": raw(b"x" * 101), "c": raw(b"new")})
    assert list(result.saved) == ["c"]
    assert {key: type(error) for key, error in result.failed.items()} == {
        "a": ConflictError,
        "b": CheckpointTooLargeError,
    }
    assert store.read("a") == b"old"
    assert store.keys() == ("a", "c")


def test_another_error_passes_through_a_batch(store: AnyStore) -> None:
    store.write("a", raw(b"old"))
    before = snapshot(store)
    with pytest.raises(RefusedError):
        store.write_many({"a": raw(b"new"), "b": refuse})
    after = snapshot(store)
    assert "b" not in after
    assert after == before or store.read("a") == b"new"


def test_an_atomic_batch_saves_all_or_none_or_is_not_offered(store: AnyStore) -> None:
    store.write("a", raw(b"old"))
    before = snapshot(store)

    def large(generation: int, previous: bytes | Damaged | None) -> bytes:
        raise CheckpointTooLargeError("b", 2, 1)

    batch: dict[str, Seal] = {"a": raw(b"new"), "b": large, "c": raw(b"new")}
    if "atomic_many" in store.features:
        result = store.write_many(batch, atomic=True)
        assert result.saved == {}
        assert {key: type(error) for key, error in result.failed.items()} == {
            "a": StoreError,
            "b": CheckpointTooLargeError,
            "c": StoreError,
        }
        assert snapshot(store) == before
        del batch["b"]
        assert sorted(store.write_many(batch, atomic=True).saved) == ["a", "c"]
        assert store.read("a") == b"new"
    else:
        for items in (batch, {}):
            with pytest.raises(StoreError):
                store.write_many(items, atomic=True)
        assert snapshot(store) == before


# ------------------------------------------------------------------------------------ set aside


def test_what_is_set_aside_leaves_the_key_damaged_until_the_next_save(make: Maker) -> None:
    store = make(history=2)
    old = store.write("a", raw(b"old"))
    bad = store.write("a", raw(b"bad"))
    assert store.set_aside("a", bad.revision)
    store = make.again(store, history=2)
    for generation in (None, store.history("a")[0].generation):
        with pytest.raises(CorruptCheckpointError):
            store.read("a", generation)
    assert store.keys() == ("a",)
    assert store.read("a", old.generation) == b"old"
    assert store.history("a")[1:] == (old,)
    watcher = Watcher(b"new")
    new = store.write("a", watcher)
    assert isinstance(watcher.calls[0][1], Damaged)
    assert new.generation > bad.generation
    assert store.read("a") == b"new"
    assert store.history("a") == (new, old)
    with pytest.raises(CheckpointNotFoundError):
        store.read("a", bad.generation)


def test_the_number_of_what_is_set_aside_is_not_used_again(make: Maker) -> None:
    store = make(history=0)
    for _ in range(4):
        bad = store.write("a", raw(b"bad"))
    store.set_aside("a", bad.revision)
    store.remove("a")
    store = make.again(store, history=0)
    assert store.write("a", raw(b"new")).generation > bad.generation


def test_a_seal_that_refuses_a_damaged_state_leaves_it_damaged(store: AnyStore) -> None:
    bad = store.write("a", raw(b"bad"))
    store.set_aside("a", bad.revision)
    before = store.history("a")
    with pytest.raises(RefusedError):
        store.write("a", refuse)
    assert store.history("a") == before
    with pytest.raises(CorruptCheckpointError):
        store.read("a")


def test_another_revision_is_not_set_aside(store: AnyStore) -> None:
    old = store.write("a", raw(b"old"))
    new = store.write("a", raw(b"new"))
    for key, revision in (("a", old.revision), ("a", ""), ("absent", new.revision)):
        with pytest.raises(ConflictError):
            store.set_aside(key, revision)
    assert store.history("a") == (new, old)
    assert store.read("a") == b"new"
    store.set_aside("a", new.revision)
    with pytest.raises(ConflictError):
        store.set_aside("a", new.revision)


def test_a_key_that_was_set_aside_can_be_removed(store: AnyStore) -> None:
    bad = store.write("a", raw(b"bad"))
    store.set_aside("a", bad.revision)
    store.remove("a")
    assert store.keys() == ()
    assert store.history("a") == ()
    assert store.write("a", raw(b"new"), expected=ABSENT).generation > bad.generation


def test_a_batch_goes_on_from_what_was_set_aside(store: AnyStore) -> None:
    bad = store.write("a", raw(b"bad"))
    store.set_aside("a", bad.revision)
    watcher = Watcher(b"new")
    assert store.write_many({"a": watcher}).saved["a"].generation > bad.generation
    assert isinstance(watcher.calls[0][1], Damaged)
    assert store.read("a") == b"new"


# --------------------------------------------------------------------------------------- scopes


def test_a_scope_has_keys_of_its_own(make: Maker) -> None:
    store = make(history=0, max_bytes=100)
    scope, other = store.scope("devices"), store.scope("pods")
    store.write("a", raw(b"outer"))
    scope.write("a", raw(b"inner"))
    scope.write("b", raw(b"inner"))
    assert (store.keys(), scope.keys(), other.keys()) == (("a",), ("a", "b"), ())
    scope.remove("a")
    assert store.read("a") == b"outer"
    inner = scope.scope("devices")
    assert inner.keys() == ()
    assert store.scope("devices").read("b") == b"inner"
    assert scope.features == store.features
    with pytest.raises(CheckpointTooLargeError):
        scope.write("a", raw(b"x" * 101))
    for each in (scope, other, inner):
        each.close()
    assert store.read("a") == b"outer"


def test_a_scope_is_there_after_opening_again(make: Maker) -> None:
    store = make()
    with_state = store.scope("devices")
    with_state.write("a", raw(b"inner"))
    store = make.again(store)
    assert store.scope("devices").read("a") == b"inner"


# -------------------------------------------------------------------------------- close, features


def test_after_close_every_method_says_so(store: AnyStore) -> None:
    store.write("a", raw(b"state"))
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", raw(b"state")),
        lambda: store.write_many({"a": raw(b"state")}),
        lambda: store.write_many({}),
        store.keys,
        lambda: store.history("a"),
        lambda: store.remove("a"),
        lambda: store.set_aside("a", "1"),
        lambda: store.scope("devices"),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="closed"):
            call()


def test_each_store_declares_what_it_offers(make: Maker) -> None:
    common = {"history", "scopes", "set_aside"}
    offered = {
        "memory": common | {"atomic_many"},
        "files": common | {"durable", "shared"},
        "files without syncs": common | {"shared"},
    }
    assert make().features == offered[make.kind]


def test_a_read_only_store_gives_what_is_there_and_changes_nothing(make: Maker) -> None:
    if make.kind == "memory":
        pytest.skip("a store in memory would have nothing to read")
    store = make()
    entry = store.write("a", raw(b"state"))
    store.scope("devices").write("b", raw(b"inner"))
    store = make.again(store, read_only=True)
    assert store.read("a") == b"state"
    assert store.history("a") == (entry,)
    assert store.scope("devices").read("b") == b"inner"
    calls: list[Callable[[], object]] = [
        lambda: store.write("a", raw(b"new")),
        lambda: store.write_many({"a": raw(b"new")}),
        lambda: store.remove("a"),
        lambda: store.set_aside("a", entry.revision),
        lambda: store.scope("devices").remove("b"),
    ]
    for call in calls:
        with pytest.raises(ReadOnlyError):
            call()
    assert store.history("a") == (entry,)


# ------------------------------------------------------------------------ against a model of it

_KEYS = st.sampled_from(["a", "b", "A"])
_DATA = st.binary(max_size=12)


class Model:
    """What one key has: generations oldest first, and whether the newest was set aside."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self.damaged = False
        self.highest = 0


class StoreMachine(RuleBasedStateMachine):
    """Random calls on a store, compared with a dict."""

    kind = ""
    directory: Path
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        StoreMachine.runs += 1
        self.maker = Maker(self.kind, self.directory / str(StoreMachine.runs))
        self.options = {"history": StoreMachine.runs % 3, "max_bytes": 11}
        self.store = self.maker(**self.options)
        self.model: dict[str, Model] = {}

    def teardown(self) -> None:
        self.maker.close()

    def of(self, key: str) -> Model:
        return self.model.setdefault(key, Model())

    def newest(self, key: str) -> int | None:
        history = self.store.history(key)
        return history[0].generation if history else None

    def saved(self, key: str, generation: int, data: bytes) -> None:
        model = self.of(key)
        assert generation > model.highest
        model.highest = generation
        model.kept[generation] = data
        model.damaged = False
        for old in list(model.kept)[: -1 - self.options["history"]]:
            del model.kept[old]

    @rule(key=_KEYS, data=_DATA, expectation=st.sampled_from(["none", "right", "wrong", "absent"]))
    def write(self, key: str, data: bytes, expectation: str) -> None:
        newest = self.newest(key)
        expected = {"none": None, "right": newest or ABSENT, "wrong": 10**9, "absent": ABSENT}[
            expectation
        ]
        watcher = Watcher(data)
        error: type[CheckpointError] | None = None
        if expectation == "wrong" or (expectation == "absent" and newest is not None):
            error = ConflictError
        elif len(data) > 11:
            error = CheckpointTooLargeError
        try:
            entry = self.store.write(key, watcher, expected=expected)
        except (ConflictError, CheckpointTooLargeError) as raised:
            assert error is not None
            assert isinstance(raised, error) or len(data) > 11
            return
        assert error is None
        model = self.of(key)
        previous = watcher.calls[-1][1]
        if newest is None:
            assert previous is None
        elif model.damaged:
            assert isinstance(previous, Damaged)
        else:
            assert previous == list(model.kept.values())[-1]
        assert entry.size == len(data)
        self.saved(key, entry.generation, data)

    @rule(batch=st.dictionaries(_KEYS, st.binary(max_size=11)))
    def write_many(self, batch: dict[str, bytes]) -> None:
        result = self.store.write_many({key: raw(data) for key, data in batch.items()})
        assert result.failed == {}
        for key, data in batch.items():
            self.saved(key, result.saved[key].generation, data)

    @rule(key=_KEYS)
    def refused(self, key: str) -> None:
        with pytest.raises(RefusedError):
            self.store.write(key, refuse)

    @rule(key=_KEYS)
    def remove(self, key: str) -> None:
        self.store.remove(key)
        self.of(key).kept.clear()
        self.of(key).damaged = False

    @precondition(lambda self: any(m.kept and not m.damaged for m in self.model.values()))
    @rule(data=st.data())
    def set_aside(self, data: st.DataObject) -> None:
        good = sorted(k for k, m in self.model.items() if m.kept and not m.damaged)
        key = data.draw(st.sampled_from(good))
        self.store.set_aside(key, self.store.history(key)[0].revision)
        model = self.of(key)
        model.kept.popitem()
        model.damaged = True

    @rule()
    def open_again(self) -> None:
        self.store = self.maker.again(self.store, **self.options)

    @rule(key=_KEYS, generation=st.integers(0, 40), limit=st.none() | st.integers(0, 12))
    def read(self, key: str, generation: int, limit: int | None) -> None:
        model = self.of(key)
        if model.damaged and generation == self.newest(key):
            with pytest.raises(CorruptCheckpointError):
                self.store.read(key, generation, limit)
        elif generation in model.kept:
            assert self.store.read(key, generation, limit) == model.kept[generation][:limit]
        else:
            with pytest.raises(CheckpointNotFoundError):
                self.store.read(key, generation, limit)

    @invariant()
    def agrees(self) -> None:
        present = sorted(key for key, m in self.model.items() if m.kept or m.damaged)
        assert list(self.store.keys()) == present
        for key, model in self.model.items():
            history = [entry.generation for entry in self.store.history(key)]
            if model.damaged:
                assert history[1:] == list(model.kept)[::-1]
                with pytest.raises(CorruptCheckpointError):
                    self.store.read(key)
            elif model.kept:
                assert history == list(model.kept)[::-1]
                assert self.store.read(key) == list(model.kept.values())[-1]
            else:
                assert history == []
                with pytest.raises(CheckpointNotFoundError):
                    self.store.read(key)


@pytest.mark.parametrize("kind", KINDS)
def test_random_calls_agree_with_a_dict(kind: str, quick: Path) -> None:
    class Machine(StoreMachine):
        pass

    Machine.kind, Machine.directory = kind, quick
    before = StoreMachine.runs
    settings_ = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=settings_)
    assert StoreMachine.runs - before >= 25


def test_an_os_error_of_a_seal_is_not_taken_for_one_of_the_store(store: AnyStore) -> None:
    def failing(_generation: int, _previous: object) -> bytes:
        raise OSError(5, "the seal's own")

    for _ in range(2):
        with pytest.raises(OSError, match="the seal's own"):
            store.write("a", failing)
        with pytest.raises(OSError, match="the seal's own"):
            store.write_many({"a": failing})
        store.write("a", lambda _generation, _previous: b"state")


def test_a_scope_that_was_closed_can_be_asked_for_again(store: AnyStore) -> None:
    store.scope("inner").write("a", lambda _generation, _previous: b"state")
    store.scope("inner").close()
    assert store.scope("inner").keys() == ("a",)
    assert store.keys() == ()
