"""A store as plain as can be, and right: each broken store changes one place of it."""

from __future__ import annotations

import fcntl
import pickle
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    LockTimeoutError,
    StoreError,
)
from checkpointkit.keys import check_key
from checkpointkit.stores.base import (
    BatchResult,
    Damaged,
    Entry,
    Expected,
    Feature,
    Seal,
    check_expected,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALL: frozenset[Feature] = frozenset(
    {"atomic_many", "durable", "history", "pins", "scopes", "set_aside", "shared"}
)
IN_MEMORY = ALL - {"durable", "shared"}


class Box:
    """What is kept for one key: states by number, oldest first, and the largest number."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes | Damaged] = {}
        self.pinned: set[int] = set()
        self.highest = 0

    @property
    def newest(self) -> int | None:
        return next(reversed(self.kept), None)


State = dict[str, Box]


class Plain:
    """Keeps everything in one pickled file beside a lock."""

    features: frozenset[Feature] = ALL
    older: ClassVar[int] = 1

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.prefix = prefix
        self.closed = False

    # What a mistake may be made in.

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def load(self) -> State:
        try:
            return cast("State", pickle.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return {}

    def save(self, state: State) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_bytes(pickle.dumps(state))
        temporary.replace(self.path)

    def name(self, key: str) -> str:
        return self.prefix + key

    def box(self, state: State, key: str) -> Box:
        return state.get(self.name(key), Box())

    def check(self, key: object) -> str:
        return check_key(key)

    def number(self, box: Box) -> int:
        return box.highest + 1

    def compare(self, key: str, expected: Expected, newest: int | None) -> None:
        check_expected(key, expected, newest)

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        return bytes(seal(number, previous))

    def measure(self, key: str, data: bytes) -> None:
        if len(data) > self.max_bytes:
            raise CheckpointTooLargeError(key, len(data), self.max_bytes)

    def prepare(self, state: State, key: str, seal: Seal, expected: Expected) -> tuple[int, bytes]:
        box = self.box(state, key)
        previous = None if box.newest is None else box.kept[box.newest]
        if isinstance(previous, bytes):
            self.measure(key, previous)
        number = self.number(box)
        data = self.ask(seal, number, previous)
        self.compare(key, expected, box.newest)
        self.measure(key, data)
        return number, data

    def place(self, state: State, key: str, number: int, data: bytes) -> Entry:
        box = state.setdefault(self.name(key), Box())
        box.kept = {n: old for n, old in box.kept.items() if not isinstance(old, Damaged)}
        box.kept[number] = data
        box.highest = max(number, box.highest)
        self.prune(box)
        return self.entry(number, data)

    def prune(self, box: Box) -> None:
        loose = [n for n in box.kept if n not in box.pinned and n != box.newest]
        for oldest in loose[: max(0, len(loose) - self.older)]:
            del box.kept[oldest]

    def clear(self, box: Box) -> None:
        box.kept.clear()
        box.pinned.clear()

    def entry(self, number: int, data: bytes | Damaged) -> Entry:
        if isinstance(data, Damaged):
            return Entry(number, f"{number} set aside", 0)
        return Entry(number, str(number), len(data))

    def cut(self, data: bytes, limit: int | None) -> bytes:
        return data[:limit]

    def must_be_open(self, operation: str) -> None:
        if self.closed:
            raise StoreError(None, operation, "the store is closed")

    # The contract.

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        key = self.check(key)
        self.must_be_open("read")
        box = self.box(self.load(), key)
        number = box.newest if generation is None else generation
        if number is None or number not in box.kept:
            raise CheckpointNotFoundError(key, generation)
        data = box.kept[number]
        if isinstance(data, Damaged):
            raise CorruptCheckpointError(key, number, data.reason)
        if limit is None:
            self.measure(key, data)
        return self.cut(data, limit)

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        key = self.check(key)
        self.must_be_open("save")
        with self.locked():
            state = self.load()
            number, data = self.prepare(state, key, seal, expected)
            entry = self.place(state, key, number, data)
            self.save(state)
        return entry

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        items = {self.check(key): seal for key, seal in items.items()}
        self.must_be_open("save")
        with self.locked():
            state = self.load()
            ready, failed = self.prepare_many(state, items)
            if atomic and failed:
                others = {key: StoreError(key, "save", "another key failed") for key in ready}
                return BatchResult({}, failed | others)
            saved = {key: self.place(state, key, *made) for key, made in ready.items()}
            self.save(state)
        return BatchResult(saved, failed)

    def prepare_many(
        self, state: State, items: Mapping[str, Seal]
    ) -> tuple[dict[str, tuple[int, bytes]], dict[str, CheckpointError]]:
        ready: dict[str, tuple[int, bytes]] = {}
        failed: dict[str, CheckpointError] = {}
        for key, seal in items.items():
            try:
                ready[key] = self.prepare(state, key, seal, None)
            except CheckpointError as error:
                failed[key] = error
        return ready, failed

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        self.must_be_open("list")
        return tuple(sorted(key for key in self.present() if key.startswith(prefix)))

    def present(self) -> list[str]:
        names = [name for name, box in self.load().items() if box.kept]
        names = [name for name in names if name.startswith(self.prefix)]
        return [key for name in names if "/" not in (key := name.removeprefix(self.prefix))]

    def history(self, key: str) -> tuple[Entry, ...]:
        key = self.check(key)
        self.must_be_open("read the history")
        box = self.box(self.load(), key)
        return tuple(
            self.entry(number, box.kept[number])._replace(pinned=number in box.pinned)
            for number in reversed(box.kept)
        )

    def remove(self, key: str, *, expected: Expected = None) -> None:
        key = self.check(key)
        self.must_be_open("remove")
        with self.locked():
            state = self.load()
            box = self.box(state, key)
            self.compare(key, expected, box.newest)
            self.clear(box)
            self.save(state)

    def set_aside(self, key: str, revision: str) -> str:
        key = self.check(key)
        self.must_be_open("set aside")
        with self.locked():
            state = self.load()
            box = self.box(state, key)
            newest = box.newest
            if newest is None or self.entry(newest, box.kept[newest]).revision != revision:
                raise ConflictError(key, None, newest)
            box.kept[newest] = Damaged("it was set aside")
            box.pinned.discard(newest)
            self.save(state)
        return "nowhere in particular"

    def pin(self, key: str, generation: int) -> None:
        key = self.check(key)
        self.must_be_open("pin")
        with self.locked():
            state = self.load()
            box = self.box(state, key)
            if generation not in box.kept:
                raise CheckpointNotFoundError(key, generation)
            data = box.kept[generation]
            if isinstance(data, Damaged):
                raise CorruptCheckpointError(key, generation, data.reason)
            box.pinned.add(generation)
            self.save(state)

    def unpin(self, key: str, generation: int) -> None:
        key = self.check(key)
        self.must_be_open("unpin")
        with self.locked():
            state = self.load()
            self.box(state, key).pinned.discard(generation)
            self.save(state)

    def scope(self, name: str) -> Self:
        name = self.check(name)
        self.must_be_open("scope")
        return self.within(name)

    def within(self, name: str) -> Self:
        return type(self)(self.path, self.max_bytes, f"{self.prefix}{name}/")

    def close(self) -> None:
        self.closed = True


class Memory(Plain):
    """The same in memory, for mistakes that a pickle would mend."""

    features = IN_MEMORY

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.state: State = {}
        self.lock = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.lock:
            yield

    def load(self) -> State:
        return self.state

    def save(self, state: State) -> None:
        self.state = state

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        with self.lock:
            return super().read(key, generation, limit)

    def present(self) -> list[str]:
        with self.lock:
            return super().present()

    def history(self, key: str) -> tuple[Entry, ...]:
        with self.lock:
            return super().history(key)

    def within(self, name: str) -> Self:
        scope = super().within(name)
        scope.state, scope.lock = self.state, self.lock
        return scope


class Optimistic(Plain):
    """Asks the seal without a lock, and once more if somebody was quicker: as with If-Match."""

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        while True:
            before = self.load()
            self.must_be_open("save")
            number, data = self.prepare(before, self.check(key), seal, expected)
            with self.locked():
                state = self.load()
                if vars(self.box(state, key)) == vars(self.box(before, key)):
                    entry = self.place(state, key, number, data)
                    self.save(state)
                    return entry


class Impatient(Plain):
    """Waits for no lock."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LockTimeoutError(None, 0) from error
            yield


class Bare(Plain):
    """No feature at all: one opening at a time, and nothing but the newest."""

    features = frozenset()
    older = 0

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.alone: Any = path.with_suffix(".open").open("w")
        try:
            fcntl.flock(self.alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.alone.close()
            raise StoreError(None, "open", "somebody else has opened it") from error

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        if atomic:
            raise StoreError(None, "save many at once", "each key is saved by itself")
        return super().write_many(items)

    def set_aside(self, key: str, revision: str) -> str:
        raise StoreError(key, "set aside", "no evidence is kept")

    def pin(self, key: str, generation: int) -> None:
        raise StoreError(key, "pin", "there are no pins")

    def unpin(self, key: str, generation: int) -> None:
        raise StoreError(key, "unpin", "there are no pins")

    def scope(self, name: str) -> Self:
        raise StoreError(None, "scope", "there are no scopes")

    def close(self) -> None:
        super().close()
        self.alone.close()
