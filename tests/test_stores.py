"""What `MemoryStore` and `FileStore` promise beyond the contract.

The contract itself is tested by the suite of `checkpointkit.testing`, for both of them: see
tests/testing/test_good.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from checkpointkit.errors import (
    CheckpointNotFoundError,
    InvalidKeyError,
    ReadOnlyError,
    StoreError,
)
from checkpointkit.stores.base import DEFAULT_MAX_BYTES
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.memory import MemoryStore
from checkpointkit.testing.conformance.machine import MACHINE_SETTINGS, Key, StoreMachine
from tests.support.states import generations, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from checkpointkit.stores.base import Entry

    AnyStore = MemoryStore | FileStore

FILES = ["files", "files without syncs"]
KINDS = ["memory", *FILES]


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

    def __call__(self, name: str = "store", **options: Any) -> AnyStore:
        store: AnyStore
        if self.kind == "memory":
            store = MemoryStore(**options)
        else:
            if "without" in self.kind:
                options["durability"] = "none"
            store = FileStore(self._directory / name, **options)
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


on_files = pytest.mark.parametrize("make", FILES, indirect=True)


# ------------------------------------------------------------------------------------- options


def test_each_store_declares_what_it_offers(make: Maker) -> None:
    common = {"history", "pins", "scopes", "set_aside"}
    offered = {
        "memory": common | {"atomic_many"},
        "files": common | {"durable", "shared"},
        "files without syncs": common | {"shared"},
    }
    assert make().features == offered[make.kind]


def test_the_limit_is_64_mib_unless_told_otherwise(make: Maker) -> None:
    assert make().max_bytes == DEFAULT_MAX_BYTES == 64 * 2**20


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


@pytest.mark.parametrize("key", [7, None, b"a"])
def test_what_is_no_text_is_no_key(make: Maker, key: Any) -> None:
    store = make()
    calls: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.write(key, raw(b"state")),
        lambda: store.write_many({key: raw(b"state")}),
        lambda: store.history(key),
        lambda: store.remove(key),
        lambda: store.set_aside(key, "1"),
        lambda: store.pin(key, 1),
        lambda: store.unpin(key, 1),
        lambda: store.scope(key),
    ]
    for call in calls:
        with pytest.raises(InvalidKeyError):
            call()


def test_a_closed_store_says_that_it_is_closed(make: Maker) -> None:
    store = make()
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.keys()


# ------------------------------------------------------------------------------------- history


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


def test_a_bool_is_the_number_that_it_equals(make: Maker) -> None:
    """No type checker takes it, and no store may hang on it."""
    store = make()
    for n in range(2):
        store.write("a", raw(b"%d" % n))
    assert store.read("a", True) == b"0"
    store.pin("a", True)
    assert [entry.generation for entry in store.history("a") if entry.pinned] == [1]
    store.unpin("a", True)
    assert not any(entry.pinned for entry in store.history("a"))


def test_without_a_history_no_number_is_used_again_either(make: Maker) -> None:
    store = make(history=0)
    used: list[int] = []
    for set_aside in (False, True, False, True):
        used += [store.write("a", raw(b"state")).generation for _ in range(4)]
        if set_aside:
            store.set_aside("a", store.history("a")[0].revision)
        store.remove("a")
        store = make.again(store, history=0)
    assert used == sorted(set(used))


class ExactMachine(StoreMachine):
    """Random calls, and exactly so many older generations as the store was told to keep."""

    history: ClassVar[int]

    def _saved(self, key: str, generation: int, data: bytes) -> None:
        super()._saved(key, generation, data)
        model = self.model[key]
        loose = sorted(set(model.saved) - model.pinned - {generation})
        for gone in loose[: max(0, len(loose) - self.history)]:
            del model.saved[gone]

    def _check_older(self, model: Key, older: list[int]) -> None:
        kept = sorted(model.saved, reverse=True)
        assert older == (kept if model.damaged else kept[1:])


@pytest.mark.parametrize("history", [0, 1, 3])
def test_random_calls_agree_with_a_dict_that_keeps_as_much(make: Maker, history: int) -> None:
    class Machine(ExactMachine):
        pass

    Machine.history = history
    Machine.open_store = staticmethod(
        lambda name, max_bytes: make(name, history=history, max_bytes=max_bytes)
    )
    run_state_machine_as_test(Machine, settings=settings(MACHINE_SETTINGS, max_examples=10))


@on_files
def test_a_store_opened_with_a_smaller_history_prunes_at_the_next_save(make: Maker) -> None:
    store = make(history=5)
    for n in range(5):
        store.write("a", raw(b"%d" % n))
    store = make.again(store, history=1)
    assert len(store.history("a")) == 5
    newest = store.write("a", raw(b"new"))
    assert generations(store, "a") == [newest.generation, newest.generation - 1]


# --------------------------------------------------------------------------------------- files


@on_files
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


@on_files
def test_a_read_only_store_gives_what_is_there_and_changes_nothing(make: Maker) -> None:
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
        lambda: store.pin("a", entry.generation),
        lambda: store.unpin("a", entry.generation),
        lambda: store.scope("devices").remove("b"),
    ]
    for call in calls:
        with pytest.raises(ReadOnlyError):
            call()
    assert store.history("a") == (entry,)
