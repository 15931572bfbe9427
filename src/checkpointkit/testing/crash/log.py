"""What a store acknowledged while its operations were recorded, and what readers saw."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from attrs import Factory, define, evolve, frozen

from checkpointkit.errors import CheckpointError, CheckpointNotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from checkpointkit.stores.base import (
        BatchResult,
        Damaged,
        Entry,
        Expected,
        Feature,
        Seal,
        Store,
    )

DAMAGED: Literal["damaged"] = "damaged"
State = bytes | Literal["damaged"] | None
"""What a key may show: its newest bytes, damage, or nothing."""
_NEVER: Final = 2**62


@frozen
class Change:
    """One change of a key, as its caller saw it.

    Attributes:
        state: What the key shows after it.
        generation: The number that the state has.
        begun: How many operations there were when it was called.
        ended: How many there were when it returned; then it is acknowledged.
        older: The older generations that were there when it returned, the newest first; those
            that are pinned are not among them.
        follows: Whether there was a state before it, as far as the store knew.
    """

    state: State
    generation: int
    begun: int
    ended: int
    older: tuple[int, ...] = ()
    follows: bool = True


@frozen
class PinChange:
    """A generation was pinned, or let go, as its caller saw it.

    Attributes:
        generation: Its number.
        pinned: Whether it is pinned after it.
        begun: See `Change`.
        ended: See `Change`.
    """

    generation: int
    pinned: bool
    begun: int
    ended: int


@define
class Log:
    """The changes of each key, and the states that readers saw.

    Attributes:
        now: Tells how many operations there are so far.
        changes: For each key, in the order in which they were acknowledged; first what was there
            before.
        bytes: Which bytes each number of a key stands for; several where one was never
            acknowledged and has been used again.
        seen: For each key, from which operation on a reader sees which state.
        pins: The changes of each key's pins, in the order in which they were asked for.
    """

    now: Callable[[], int]
    changes: defaultdict[str, list[Change]] = Factory(lambda: defaultdict(list))
    bytes: defaultdict[tuple[str, int], set[bytes]] = Factory(lambda: defaultdict(set))
    seen: defaultdict[str, list[tuple[int, State]]] = Factory(lambda: defaultdict(list))
    pins: defaultdict[str, list[PinChange]] = Factory(lambda: defaultdict(list))

    def note_all(self, store: Store) -> None:
        """Note what a store holds, as acknowledged before everything else."""
        for key in store.keys():  # noqa: SIM118 - a store is no dict
            history = store.history(key)
            for entry in history:
                try:
                    self.bytes[key, entry.generation].add(store.read(key, entry.generation))
                except CheckpointError:
                    continue  # damaged: no bytes are right for it
            newest = history[0].generation
            self.changes[key].append(Change(look(store, key), newest, -1, -1, older_of(history)))
            self.pins[key] += [
                PinChange(entry.generation, pinned=True, begun=-1, ended=-1)
                for entry in history
                if entry.pinned
            ]

    def note_readers(self, store: Store, keys: set[str]) -> None:
        """Note what a reader sees at this moment, where it is something else than before."""
        for key in sorted(keys):
            state, seen = look(store, key), self.seen[key]
            if not seen or seen[-1][1] != state:
                seen.append((self.now(), state))


def older_of(history: Sequence[Entry]) -> tuple[int, ...]:
    """Return the older generations that are kept without a pin."""
    return tuple(entry.generation for entry in history[1:] if not entry.pinned)


def look(store: Store, key: str) -> State:
    """Return what a key shows."""
    try:
        return store.read(key)
    except CheckpointNotFoundError:
        return None
    except CheckpointError:
        return DAMAGED


class LoggedStore:
    """A store that notes in a log what it acknowledges.

    Args:
        store: The store.
        log: The log.
        keys: Gathers the keys that were named.
    """

    def __init__(self, store: Store, log: Log, keys: set[str]) -> None:
        self._store = store
        self._log = log
        self._keys = keys

    @property
    def features(self) -> frozenset[Feature]:
        """See `Store.features`; a scope is recorded as a store of its own."""
        return self._store.features - {"scopes"}

    @property
    def max_bytes(self) -> int:
        """See `Store.max_bytes`."""
        return self._store.max_bytes

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        """See `Store.read`."""
        return self._store.read(key, generation, limit)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """See `Store.keys`."""
        return self._store.keys(prefix)

    def history(self, key: str) -> tuple[Entry, ...]:
        """See `Store.history`."""
        return self._store.history(key)

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """See `Store.write`."""
        self._keys.add(key)
        begun = self._log.now()
        noted = _Noted(seal, self._log, key, begun)
        entry = self._store.write(key, noted, expected=expected)
        noted.acknowledge(self._store)
        return entry

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """See `Store.write_many`."""
        self._keys.update(items)
        begun = self._log.now()
        noted = {key: _Noted(seal, self._log, key, begun) for key, seal in items.items()}
        result = self._store.write_many(noted, atomic=atomic)
        for key in result.saved:
            noted[key].acknowledge(self._store)
        return result

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """See `Store.remove`."""
        self._keys.add(key)
        begun = self._log.now()
        changes = self._log.changes[key]
        at = len(changes)
        changes.append(Change(None, 0, begun, _NEVER))
        pinned = [entry.generation for entry in self._store.history(key) if entry.pinned]
        with self._pinning(key, pinned, pinned=False):
            self._store.remove(key, expected=expected)
        changes[at] = Change(None, 0, begun, self._log.now())

    def set_aside(self, key: str, revision: str) -> str:
        """See `Store.set_aside`."""
        self._keys.add(key)
        begun = self._log.now()
        history = self._store.history(key)
        changes = self._log.changes[key]
        at = len(changes)
        changes.append(Change(DAMAGED, 0, begun, _NEVER))
        with self._pinning(key, [entry.generation for entry in history[:1]], pinned=False):
            evidence = self._store.set_aside(key, revision)
        changes[at] = Change(DAMAGED, 0, begun, self._log.now(), older_of(history))
        return evidence

    def pin(self, key: str, generation: int) -> None:
        """See `Store.pin`."""
        with self._pinning(key, [generation], pinned=True):
            self._store.pin(key, generation)

    def unpin(self, key: str, generation: int) -> None:
        """See `Store.unpin`."""
        with self._pinning(key, [generation], pinned=False):
            self._store.unpin(key, generation)

    @contextmanager
    def _pinning(self, key: str, generations: Iterable[int], *, pinned: bool) -> Iterator[None]:
        """Note that some generations are to be pinned, or let go; and then that they are."""
        self._keys.add(key)
        changes, begun = self._log.pins[key], self._log.now()
        at = len(changes)
        changes += [PinChange(number, pinned, begun, _NEVER) for number in generations]
        yield
        changes[at:] = [evolve(change, ended=self._log.now()) for change in changes[at:]]

    def scope(self, name: str) -> NoReturn:
        """Refuse it."""
        raise StoreError(None, "scope", f"record the scope {name!r} as a store of its own")

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()


_FIRST: Final = Change(None, 0, -1, -1)
"""Keeps a place."""


class _Noted:
    """A seal that notes which bytes it gave for which number."""

    def __init__(self, seal: Seal, log: Log, key: str, begun: int) -> None:
        self._seal = seal
        self._log = log
        self._key = key
        self._begun = begun
        self._at: int | None = None

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        data = self._seal(generation, previous)
        self._log.bytes[self._key, generation].add(data)
        changes = self._log.changes[self._key]
        if self._at is None:
            self._at = len(changes)
            changes.append(_FIRST)
        follows = previous is not None
        changes[self._at] = Change(data, generation, self._begun, _NEVER, follows=follows)
        return data

    def acknowledge(self, store: Store) -> None:
        changes = self._log.changes[self._key]
        if self._at is None:
            raise AssertionError(f"{self._key!r} was saved, and its seal was never called")
        change = changes[self._at]
        ended = self._log.now()  # before the look at the history, which changes nothing
        changes[self._at] = evolve(change, ended=ended, older=older_of(store.history(self._key)))
