"""A store in memory: for tests, and for state that may go with the process."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    StoreError,
)
from checkpointkit.keys import check_key
from checkpointkit.stores.base import (
    DEFAULT_MAX_BYTES,
    BatchResult,
    Damaged,
    Entry,
    Expected,
    Feature,
    Seal,
    check_expected,
    check_limits,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FEATURES: Final[frozenset[Feature]] = frozenset(
    {"atomic_many", "history", "pins", "scopes", "set_aside"}
)
_EVIDENCE: Final = 16


class MemoryStore:
    """Keeps checkpoints in this process, safe between threads; nothing survives it.

    Args:
        history: How many older generations of each key are kept, beside those that are pinned.
        max_bytes: The largest envelope that is taken.

    Raises:
        TypeError: An option is no int.
        ValueError: An option is out of bounds.

    Example:
        >>> store = MemoryStore()
        >>> store.write("a", lambda generation, previous: b"state").generation
        1
        >>> store.read("a")
        b'state'
    """

    def __init__(self, *, history: int = 1, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        check_limits(history=history, max_bytes=max_bytes)
        self._history = history
        self._max_bytes = max_bytes
        self._generations: dict[str, dict[int, bytes | Damaged]] = {}  # oldest first
        self._highest: dict[str, int] = {}  # survives remove: no number is used twice
        self._pinned: dict[str, set[int]] = {}
        self._evidence: list[bytes | Damaged] = []
        self._scopes: dict[str, MemoryStore] = {}
        self._lock = Lock()
        self._closed = False

    @property
    def features(self) -> frozenset[Feature]:
        """See `Store.features`."""
        return _FEATURES

    @property
    def max_bytes(self) -> int:
        """See `Store.max_bytes`."""
        return self._max_bytes

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        """See `Store.read`."""
        key = check_key(key)
        with self._lock:
            generations = self._of(key, "read")
            if not generations:
                raise CheckpointNotFoundError(key, generation)
            number = next(reversed(generations)) if generation is None else generation
            data = generations.get(number)
        if data is None:
            raise CheckpointNotFoundError(key, generation)
        if isinstance(data, Damaged):
            raise CorruptCheckpointError(key, number, data.reason)
        return data[:limit]

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """See `Store.write`."""
        key = check_key(key)
        with self._lock:
            number, data = self._prepare(key, seal, expected)
            return self._place(key, number, data)

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """See `Store.write_many`."""
        items = {check_key(key): seal for key, seal in items.items()}
        ready: dict[str, tuple[int, bytes]] = {}
        failed: dict[str, CheckpointError] = {}
        with self._lock:
            self._open("save")
            for key, seal in items.items():
                try:
                    ready[key] = self._prepare(key, seal, None)
                except CheckpointError as error:
                    failed[key] = error
            if atomic and failed:
                reason = "another key of the same batch failed"
                unsaved = {key: StoreError(key, "save", reason) for key in ready}
                return BatchResult({}, failed | unsaved)
            saved = {key: self._place(key, *prepared) for key, prepared in ready.items()}
        return BatchResult(saved, failed)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """See `Store.keys`."""
        with self._lock:
            self._open("list")
            return tuple(sorted(key for key in self._generations if key.startswith(prefix)))

    def history(self, key: str) -> tuple[Entry, ...]:
        """See `Store.history`."""
        key = check_key(key)
        with self._lock:
            generations = self._of(key, "history")
            pinned = self._pinned.get(key, ())
            return tuple(
                _entry(number, data)._replace(pinned=number in pinned)
                for number, data in reversed(generations.items())
            )

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """See `Store.remove`."""
        key = check_key(key)
        with self._lock:
            generations = self._of(key, "remove")
            check_expected(key, expected, next(reversed(generations), None))
            self._generations.pop(key, None)
            self._pinned.pop(key, None)

    def set_aside(self, key: str, revision: str) -> str:
        """See `Store.set_aside`."""
        key = check_key(key)
        with self._lock:
            generations = self._of(key, "set aside")
            newest = next(reversed(generations), None)
            found = None if newest is None else _entry(newest, generations[newest]).revision
            if newest is None or found != revision:
                raise ConflictError(key, None, newest)
            self._evidence = [*self._evidence, generations[newest]][-_EVIDENCE:]
            generations[newest] = Damaged("the newest generation was set aside")
            self._pinned.get(key, set()).discard(newest)
        return f"memory, item {len(self._evidence)} of the evidence"

    def pin(self, key: str, generation: int) -> None:
        """See `Store.pin`."""
        key = check_key(key)
        with self._lock:
            data = self._of(key, "pin").get(generation)
            if data is None:
                raise CheckpointNotFoundError(key, generation)
            if isinstance(data, Damaged):
                raise CorruptCheckpointError(key, generation, data.reason)
            self._pinned.setdefault(key, set()).add(generation)

    def unpin(self, key: str, generation: int) -> None:
        """See `Store.unpin`; if it is not kept any more, it goes with the next save."""
        key = check_key(key)
        with self._lock:
            self._open("unpin")
            self._pinned.get(key, set()).discard(generation)

    def scope(self, name: str) -> MemoryStore:
        """See `Store.scope`; the same name gives the same store, opened again if it was closed."""
        with self._lock:
            self._open("scope")
            name = check_key(name)
            if name not in self._scopes:
                store = MemoryStore(history=self._history, max_bytes=self._max_bytes)
                self._scopes[name] = store
            scope = self._scopes[name]
            scope._closed = False  # noqa: SLF001 - a scope that was closed is opened again
            return scope

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True

    def _open(self, operation: str) -> None:
        if self._closed:
            raise StoreError(None, operation, "the store is closed")

    def _of(self, key: str, operation: str) -> dict[int, bytes | Damaged]:
        self._open(operation)
        return self._generations.get(key, {})

    def _prepare(self, key: str, seal: Seal, expected: Expected) -> tuple[int, bytes]:
        generations = self._of(key, "save")
        newest = next(reversed(generations), None)
        number = self._highest.get(key, 0) + 1
        data = bytes(seal(number, None if newest is None else generations[newest]))
        check_expected(key, expected, newest)
        if len(data) > self._max_bytes:
            raise CheckpointTooLargeError(key, len(data), self._max_bytes)
        return number, data

    def _place(self, key: str, number: int, data: bytes) -> Entry:
        generations = self._generations.setdefault(key, {})
        for damaged in [n for n, old in generations.items() if isinstance(old, Damaged)]:
            del generations[damaged]
        generations[number] = data
        self._highest[key] = number
        pinned = self._pinned.get(key, ())
        loose = [n for n in generations if n not in pinned and n != number]
        for oldest in loose[: max(0, len(loose) - self._history)]:
            del generations[oldest]
        return _entry(number, data)


def _entry(number: int, data: bytes | Damaged) -> Entry:
    if isinstance(data, Damaged):
        return Entry(number, f"{number} set aside", 0)
    return Entry(number, f"{number}", len(data))
