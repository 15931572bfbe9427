"""What a store acknowledged while its operations were recorded, and what readers saw."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from attrs import Factory, define, evolve, frozen

from checkpointkit.errors import CheckpointError, CheckpointNotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        older: The older generations that were there when it returned, the newest first.
        follows: Whether there was a state before it, as far as the store knew.
    """

    state: State
    generation: int
    begun: int
    ended: int
    older: tuple[int, ...] = ()
    follows: bool = True


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
    """

    now: Callable[[], int]
    changes: defaultdict[str, list[Change]] = Factory(lambda: defaultdict(list))
    bytes: defaultdict[tuple[str, int], set[bytes]] = Factory(lambda: defaultdict(set))
    seen: defaultdict[str, list[tuple[int, State]]] = Factory(lambda: defaultdict(list))

    def note_all(self, store: Store) -> None:
        """Note what a store holds, as acknowledged before everything else."""
        for key in store.keys():  # noqa: SIM118 - a store is no dict
            history = store.history(key)
            for entry in history:
                try:
                    self.bytes[key, entry.generation].add(store.read(key, entry.generation))
                except CheckpointError:
                    continue  # damaged: no bytes are right for it
            numbers = [entry.generation for entry in history]
            state = look(store, key)
            self.changes[key].append(Change(state, numbers[0], -1, -1, tuple(numbers[1:])))

    def note_readers(self, store: Store, keys: set[str]) -> None:
        """Note what a reader sees at this moment, where it is something else than before."""
        for key in sorted(keys):
            state, seen = look(store, key), self.seen[key]
            if not seen or seen[-1][1] != state:
                seen.append((self.now(), state))


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
        self._store.remove(key, expected=expected)
        changes[at] = Change(None, 0, begun, self._log.now())

    def set_aside(self, key: str, revision: str) -> str:
        """See `Store.set_aside`."""
        self._keys.add(key)
        begun = self._log.now()
        older = tuple(entry.generation for entry in self._store.history(key)[1:])
        changes = self._log.changes[key]
        at = len(changes)
        changes.append(Change(DAMAGED, 0, begun, _NEVER))
        evidence = self._store.set_aside(key, revision)
        changes[at] = Change(DAMAGED, 0, begun, self._log.now(), older)
        return evidence

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
        older = tuple(entry.generation for entry in store.history(self._key)[1:])
        changes[self._at] = evolve(change, ended=ended, older=older)
