"""Clients of a store that call it at random and write down what they see; for the races.

A client writes down each call before it is made, when its seal is asked, and when it has returned:
so a client that was killed is known to have begun a call, and its outcome to be unknown.
"""

from __future__ import annotations

import random
import time
import traceback
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from attrs import evolve, field, frozen

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    ConflictError,
    LockTimeoutError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from checkpointkit.stores.base import ABSENT, Damaged
from checkpointkit.testing.operations import (
    MISSING,
    REFUSED,
    REMOVED,
    UNKNOWN,
    Conflict,
    History,
    Listed,
    Operation,
    Read,
    Remove,
    Rollback,
    Saved,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from checkpointkit.stores.base import Entry, Expected, Seal, Store

_SIZES: Final = (0, 10, 100, 1000, 9000)

Call = tuple[str, "Write | Rollback | Read | Remove | History | Listed"]


@frozen
class Began:
    """A call was begun; it may be about several keys."""

    time: int
    calls: tuple[Call, ...]


@frozen
class Asked:
    """The seal of a key was asked."""

    key: str
    told: int
    previous: Hashable


@frozen
class Ended:
    """The call has returned, with an outcome for each key."""

    time: int
    outcomes: tuple[Hashable, ...]


@frozen
class Failed:
    """An error was raised that has no business there."""

    problem: str


Event = Began | Asked | Ended | Failed


@frozen
class Log:
    """What one client has written down.

    Attributes:
        name: The client.
        events: In order.
    """

    name: str
    events: list[Event] = field(factory=list)

    def add(self, event: Event) -> None:
        """Write something down."""
        self.events.append(event)

    @property
    def failures(self) -> list[Failed]:
        """Errors that no store may raise."""
        return [event for event in self.events if isinstance(event, Failed)]

    @property
    def begun(self) -> int:
        """How many operations were begun."""
        return sum(len(event.calls) for event in self.events if isinstance(event, Began))

    def operations(self) -> list[Operation]:
        """Put calls and returns together."""
        found: list[Operation] = []
        pending: dict[str, Operation] = {}
        for event in self.events:
            match event:
                case Began(time=moment, calls=calls):
                    pending = {
                        key: Operation(self.name, key, call, UNKNOWN, moment, moment)
                        for key, call in calls
                    }
                case Asked(key=key, told=told, previous=previous):
                    operation = pending[key]
                    call: Any = operation.call
                    call = evolve(call, told=told, previous=previous)
                    pending[key] = evolve(operation, call=call)
                case Ended(time=moment, outcomes=outcomes):
                    found += [
                        evolve(operation, outcome=outcome, ended=moment)
                        for operation, outcome in zip(pending.values(), outcomes, strict=True)
                    ]
                    pending = {}
        return [*found, *pending.values()]


def state_of(name: str) -> bytes:
    """Return the state of that name: bytes that say which they are, from the first to the last."""
    digest = b"%08x" % crc32(name.encode())
    size = _SIZES[int(digest, 16) % len(_SIZES)]
    return b"%s " % name.encode() + digest * (1 + size // len(digest))


def name_of(data: bytes | Damaged) -> str:
    """Return the name of a state, or say that it is none."""
    if isinstance(data, Damaged):
        return f"damaged: {data.reason}"
    name = data.partition(b" ")[0].decode(errors="replace")
    if state_of(name) == data:
        return name
    return f"{len(data)} bytes that nobody saved, {data[:20]!r} to {data[-20:]!r}"


class Client:
    """Calls a store at random, and writes down what it does.

    Args:
        store: The store.
        keys: The keys to use.
        say: Writes down an event.
        seed: Decides what is random.
        name: Begins the name of each state that it saves.
    """

    def __init__(
        self,
        store: Store,
        keys: tuple[str, ...],
        say: Callable[[Event], object],
        seed: int,
        name: str,
    ) -> None:
        self._store = store
        self._keys = keys
        self._say = say
        self._chance = random.Random(f"{seed}/{name}")  # noqa: S311 - chance, no secret
        self._name = name
        self._begun = 0
        self._known: dict[str, tuple[int, ...]] = {}
        self._acts: dict[Callable[[str], object], int] = {
            self._save: 5,
            self._create: 3,
            self._swap: 4,
            self._update: 4,
            self._save_many: 1,
            self._remove: 2,
            self._remove_expected: 1,
            self._read: 6,
            self._read_older: 3,
            self._history: 3,
            self._list: 1,
            self._roll_back: 2,
        }

    def run(self, quota: int) -> None:
        """Begin so many operations."""
        acts, weights = list(self._acts), list(self._acts.values())
        while self._begun < quota:
            (act,) = self._chance.choices(acts, weights)
            act(self._chance.choice(self._keys))

    def look_at_all(self) -> None:
        """Look at whatever is there."""
        self._list("")
        for key in self._keys:
            self._read(key)
            for generation in self._history(key):
                self._read_one(key, generation)

    def _save(self, key: str) -> None:
        self._write(key, None)

    def _create(self, key: str) -> None:
        self._write(key, ABSENT)

    def _swap(self, key: str) -> None:
        """Expect what was known some time ago."""
        known = self._known.get(key) or (1,)
        self._write(key, known[0])

    def _update(self, key: str) -> None:
        for generation in self._history(key)[:1]:
            self._read_one(key, generation)
            self._write(key, generation)

    def _roll_back(self, key: str) -> None:
        shown = self._history(key)
        if len(shown) > 1:
            older = self._chance.choice(shown[1:])
            data = self._read_one(key, older)
            if isinstance(data, str):
                self._write(key, shown[0], older, data)

    def _remove(self, key: str, expected: Expected = None) -> None:
        self._do([(key, Remove(expected))], lambda: self._drop(key, expected))

    def _remove_expected(self, key: str) -> None:
        for generation in self._known.get(key, ())[:1]:
            self._remove(key, generation)

    def _read(self, key: str) -> None:
        self._read_one(key, None)

    def _read_older(self, key: str) -> None:
        known = self._known.get(key) or (1,)
        self._read_one(key, self._chance.choice(known))

    def _history(self, key: str) -> tuple[int, ...]:
        def look() -> tuple[int, ...]:
            return tuple(entry.generation for entry in self._store.history(key))

        (shown,) = self._do([(key, History())], lambda: [look()])
        self._known[key] = shown if isinstance(shown, tuple) else ()
        return self._known[key]

    def _list(self, _key: str) -> None:
        def look() -> list[Hashable]:
            shown = self._store.keys()
            strange = set(shown) - set(self._keys)
            if strange:
                raise ValueError(f"keys that nobody saved: {sorted(strange)}")
            return [key in shown for key in self._keys]

        self._do([(key, Listed()) for key in self._keys], look)

    def _save_many(self, key: str) -> None:
        chosen = {key, *self._chance.choices(self._keys, k=2)}
        names = {key: self._next_name(key) for key in sorted(chosen)}
        self._do([(key, Write(name)) for key, name in names.items()], lambda: self._save_all(names))

    def _save_all(self, names: dict[str, str]) -> list[Hashable]:
        seals = {key: self._seal(key, name) for key, name in names.items()}
        saved, failed = self._store.write_many(seals)
        return [
            self._saved(key, saved[key]) if key in saved else _outcome_of(failed[key])
            for key in names
        ]

    def _write(
        self, key: str, expected: Expected, older: int | None = None, name: str | None = None
    ) -> None:
        call: Write | Rollback
        if older is None or name is None:
            name = self._next_name(key)
            call = Write(name, expected)
        else:
            call = Rollback(older, expected)
        seal = self._seal(key, name)
        self._do(
            [(key, call)],
            lambda: [self._saved(key, self._store.write(key, seal, expected=expected))],
        )

    def _read_one(self, key: str, generation: int | None) -> Hashable:
        (shown,) = self._do(
            [(key, Read(generation))], lambda: [name_of(self._store.read(key, generation))]
        )
        return shown

    def _drop(self, key: str, expected: Expected) -> list[Hashable]:
        self._store.remove(key, expected=expected)
        return [REMOVED]

    def _saved(self, key: str, entry: Entry) -> Saved:
        self._known[key] = (entry.generation, *self._known.get(key, ())[:3])
        return Saved(entry.generation)

    def _next_name(self, key: str) -> str:
        return f"{self._name}.{self._begun}{key}"

    def _seal(self, key: str, name: str) -> Seal:
        data = state_of(name)

        def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
            seen = None if previous is None else name_of(previous)
            self._say(Asked(key, generation, seen))
            return data

        return seal

    def _do(self, calls: list[Call], act: Callable[[], Iterable[Hashable]]) -> tuple[Hashable, ...]:
        """Make a call, and write down when it began, when it returned, and what came of it."""
        self._begun += len(calls)
        self._say(Began(time.monotonic_ns(), tuple(calls)))
        try:
            outcomes = tuple(act())
        except CheckpointError as error:
            outcomes = (_outcome_of(error),) * len(calls)
        self._say(Ended(time.monotonic_ns(), outcomes))
        return outcomes


def _outcome_of(error: CheckpointError) -> Hashable:
    """Return what an error says of the outcome.

    Raises:
        CheckpointError: It is none that a right store on a good disk raises.
    """
    match error:
        case ConflictError():
            return Conflict(error.actual)
        case CheckpointNotFoundError():
            return MISSING
        case OutcomeUnknownError():
            return UNKNOWN
        case LockTimeoutError() | StoreUnavailableError():
            return REFUSED
        case _:
            raise error


def report_errors(say: Callable[[Event], object], work: Callable[[], object]) -> None:
    """Do some work; what it raises is written down."""
    try:
        work()
    except Exception:  # noqa: BLE001 - it is reported as what it is, a violation
        say(Failed(traceback.format_exc()))
