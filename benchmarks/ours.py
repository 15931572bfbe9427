"""The floor and the file store.

What the methods do is said in `Contender`.
"""
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

from benchmarks.bare import ORDERS, Bare, Order
from benchmarks.contender import Contender, encoded
from benchmarks.figures import BARE, FULL
from benchmarks.states import SCHEMA, State
from checkpointkit import CheckpointManager, FileStore

if TYPE_CHECKING:
    from collections.abc import Mapping

MANY_APART: Final = "FileStore full, one by one"


class BareCalls(Contender):
    """The floor."""

    name = BARE
    note = "the protocol of FileStore by hand: lock, verifying read, sha256; no error handling"
    order: ClassVar[Order] = ORDERS[0]

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._bare = Bare(f"{path}/store")

    def put(self, key: str, data: bytes) -> None:
        self._bare.save(key, data)

    def fetch(self, key: str) -> bytes:
        return self._bare.get(key)

    def list(self) -> list[str]:
        return self._bare.list()

    def remove(self, key: str) -> None:
        self._bare.remove(key)

    def save_many(self, states: Mapping[str, State]) -> None:
        self._bare.save_many(encoded(states), self.order)

    def fill(self, states: Mapping[str, State]) -> None:
        self._bare.fill(encoded(states))

    def close(self) -> None:
        self._bare.close()


class FileStoreFull(Contender):
    """The file store, durable."""

    name = FULL
    note = "checksums, generations, compare-and-swap, safe between processes"
    durability: ClassVar[Literal["full", "none"]] = "full"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._manager = self._open(self.durability)

    def _open(self, durability: Literal["full", "none"]) -> CheckpointManager[State]:
        return CheckpointManager(FileStore(f"{self.path}/store", durability=durability), SCHEMA)

    def save(self, key: str, state: State) -> None:
        self._manager.create(key, state)

    def get(self, key: str) -> State:
        return self._manager.get(key)

    def list(self) -> list[str]:
        return list(self._manager.list())

    def remove(self, key: str) -> None:
        self._manager.remove(key)

    def save_many(self, states: Mapping[str, State]) -> None:
        self._manager.create_many(states)

    def fill(self, states: Mapping[str, State]) -> None:
        self._open("none").create_many(states)


class FileStoreNone(FileStoreFull):
    """The file store, atomic and not durable."""

    name = "FileStore none"
    durable = False
    durability = "none"
    note = "the same without syncs: a power cut may take any save, or damage it"


class OneByOne(FileStoreFull):
    """What `create_many` saves: `create` for each key."""

    name = MANY_APART
    note = "`create` for each key instead of one `create_many`"

    def save_many(self, states: Mapping[str, State]) -> None:
        for key, state in states.items():
            self._manager.create(key, state)


def bare_in_order(order: Order) -> type[Contender]:
    """Return the floor with its batches in one order; its name begins with `BARE`."""
    threads = f"{order.threads} thread{'s' * (order.threads > 1)}"
    name = f"{BARE}, {threads}, {'advice' if order.advise else 'no advice'}"
    return type("BareInOrder", (BareCalls,), {"name": name, "order": order})
