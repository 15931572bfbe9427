"""What was called on a store, what came of it, and what a right store does: for the checker.

A history is made of `Operation`s. What is called and what comes of it may be anything that a
`Model` understands; the words for stores are here, and the model of a store, `STORE`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from attrs import evolve, frozen

from checkpointkit.stores.base import ABSENT

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from checkpointkit.stores.base import Expected

S = TypeVar("S")


class Outcome(Enum):
    """What came of an operation, where there is nothing more to say."""

    UNKNOWN = "unknown"
    MISSING = "nothing"
    REMOVED = "done"
    REFUSED = "refused"

    def __str__(self) -> str:
        return self.value


UNKNOWN: Final = Outcome.UNKNOWN
"""It is not known whether it has taken place, and it may still do so."""
MISSING: Final = Outcome.MISSING
"""There is no such key or generation."""
REMOVED: Final = Outcome.REMOVED
"""The key is absent now."""
REFUSED: Final = Outcome.REFUSED
"""It has not taken place, and will not: a lock was not free in time, say."""


@frozen
class Saved:
    """A save went well.

    Attributes:
        generation: The number that it returned.
    """

    generation: int

    def __str__(self) -> str:
        return f"generation {self.generation}"


@frozen
class Conflict:
    """A `ConflictError` was raised.

    Attributes:
        actual: The generation that it named; None for an absent key.
    """

    actual: int | None

    def __str__(self) -> str:
        return f"conflict with {_number(self.actual)}"


class Unrecorded(Enum):
    """The type of `UNRECORDED`."""

    UNRECORDED = "not recorded"


UNRECORDED: Final = Unrecorded.UNRECORDED
"""Nobody wrote down which state the seal was given."""


@frozen
class Write:
    """`Store.write`; the outcome is `Saved`, `Conflict` or `UNKNOWN`.

    Attributes:
        data: The state. Make each of them differ from all others.
        expected: The expectation.
        told: The number that the seal was given, by its last call; None if it was never called,
            and then the write has not taken place unless its outcome says so.
        previous: The state that the seal was given, None for an absent key, by its last call.
    """

    data: Hashable
    expected: Expected = None
    told: int | None = None
    previous: Hashable = UNRECORDED

    def __str__(self) -> str:
        return f"write {self.data!r}{_expecting(self.expected)}"


@frozen
class Rollback:
    """A save of an older state as a new generation; the outcomes are those of `Write`.

    Attributes:
        to: The older generation. It may have been pruned by now, as its bytes are at hand.
        expected: The expectation.
        told: See `Write`.
        previous: See `Write`.
    """

    to: int
    expected: Expected = None
    told: int | None = None
    previous: Hashable = UNRECORDED

    def __str__(self) -> str:
        return f"roll back to generation {self.to}{_expecting(self.expected)}"


@frozen
class Read:
    """`Store.read`; the outcome is the state, or `MISSING`.

    Attributes:
        generation: Which one; None for the newest.
    """

    generation: int | None = None

    def __str__(self) -> str:
        return "read" if self.generation is None else f"read generation {self.generation}"


@frozen
class Remove:
    """`Store.remove`; the outcome is `REMOVED`, `Conflict` or `UNKNOWN`.

    Attributes:
        expected: The expectation.
    """

    expected: Expected = None

    def __str__(self) -> str:
        return f"remove{_expecting(self.expected)}"


@frozen
class History:
    """`Store.history`; the outcome is the tuple of its generations."""

    def __str__(self) -> str:
        return "history"


@frozen
class Listed:
    """One key's part in `Store.keys`; the outcome is whether it was among them.

    A listing need not show all keys as they were at one moment: each is an operation of its own.
    """

    def __str__(self) -> str:
        return "is it listed"


def _number(generation: int | None) -> str:
    return "no checkpoint" if generation is None else f"generation {generation}"


def _expecting(expected: Expected) -> str:
    return "" if expected is None else f" expecting {_number(_generation(expected))}"


def _generation(expected: Expected) -> int | None:
    return None if expected is ABSENT else expected


@frozen
class Operation:
    """One call on one key, as its caller saw it.

    Attributes:
        client: Who called.
        key: The key.
        call: What was called; for stores a `Write`, `Rollback`, `Read`, `Remove`, `History` or
            `Listed`.
        outcome: What came of it.
        began: When it was called, in nanoseconds of a clock that all clients share.
        ended: When it returned. Of no account where the outcome is `UNKNOWN`.
    """

    client: str
    key: str
    call: Hashable
    outcome: Hashable
    began: int
    ended: int


class Model(Protocol[S]):
    """What a right store does, one operation after the other. Its states are hashable."""

    def initial(self, key: str) -> S:
        """Return the state of a key before the first operation."""
        ...

    def step(self, state: S, operation: Operation) -> Iterable[S]:
        """Return the states that an operation may leave; none where it does not fit the state.

        An operation whose outcome is `UNKNOWN` leaves what it leaves if it takes place.
        """
        ...

    def only_looks(self, operation: Operation) -> bool:
        """Tell whether an operation that leaves the state as it is may take place at once.

        It may if it never changes anything. False is always right, and takes longer.
        """
        ...


@frozen(cache_hash=True)
class KeyState:
    """What a store holds of a key.

    Attributes:
        saved: Generations and states since the key was created, oldest first; none where it is
            absent.
        gone: Those of them that somebody has not found: they were pruned and do not come back.
        highest: The largest number that was ever used.
    """

    saved: tuple[tuple[int, Hashable], ...] = ()
    gone: frozenset[int] = frozenset()
    highest: int = 0

    @property
    def newest(self) -> int | None:
        """The newest generation; None where the key is absent."""
        return self.saved[-1][0] if self.saved else None

    @property
    def data(self) -> Hashable:
        """The newest state; None where the key is absent."""
        return self.saved[-1][1] if self.saved else None

    def __str__(self) -> str:
        shown = _number(self.newest)
        if self.saved:
            return f"{shown}, {self.data!r}"
        return f"{shown}, the last was {self.highest}" if self.highest else shown


@frozen
class StoreModel:
    """The contract of `checkpointkit.stores.base` for one key that is absent in the beginning.

    Numbers grow and are never used again. Which older generations are kept is up to the store: it
    may prune any, at any time. What was not found once stays so.
    """

    def initial(self, key: str) -> KeyState:  # noqa: ARG002 - all keys begin alike
        """See `Model.initial`."""
        return KeyState()

    def step(self, state: KeyState, operation: Operation) -> tuple[KeyState, ...]:
        """See `Model.step`."""
        call, outcome = operation.call, operation.outcome
        fits = False
        match call:
            case Write() | Rollback():
                return self._save(state, call, outcome)
            case Remove():
                return self._remove(state, call, outcome)
            case Read(generation=int(generation)) if generation != state.newest:
                return self._read_older(state, generation, outcome)
            case Read():
                fits = outcome == (state.data if state.saved else MISSING)
            case History():
                fits = isinstance(outcome, tuple) and self._lists(state, outcome)
            case Listed():
                fits = outcome == bool(state.saved)
        return (state,) if fits else ()

    def only_looks(self, operation: Operation) -> bool:
        """See `Model.only_looks`.

        To miss a generation may change something, and the sooner the better: it has to stay away
        from then on only if it was there.
        """
        looks = isinstance(operation.call, (Read, History, Listed))
        return looks or isinstance(operation.outcome, Conflict)

    def _save(
        self, state: KeyState, call: Write | Rollback, outcome: Hashable
    ) -> tuple[KeyState, ...]:
        if isinstance(outcome, Conflict):
            return self._conflict(state, call.expected, outcome)
        number = call.told if outcome is UNKNOWN else None
        if isinstance(outcome, Saved):
            number = outcome.generation
        if number is None or number <= state.highest or call.told not in {None, number}:
            return ()
        if call.previous not in (UNRECORDED, state.data) or not _is_met(call.expected, state):
            return ()
        if isinstance(call, Write):
            data = call.data
        else:
            older = dict(state.saved)
            if call.to not in older:
                return ()
            data = older[call.to]
        return (KeyState((*state.saved, (number, data)), state.gone, number),)

    def _remove(self, state: KeyState, call: Remove, outcome: Hashable) -> tuple[KeyState, ...]:
        if isinstance(outcome, Conflict):
            return self._conflict(state, call.expected, outcome)
        if outcome not in {REMOVED, UNKNOWN} or not _is_met(call.expected, state):
            return ()
        return (KeyState(highest=state.highest),)

    def _conflict(
        self, state: KeyState, expected: Expected, outcome: Conflict
    ) -> tuple[KeyState, ...]:
        fits = outcome.actual == state.newest and not _is_met(expected, state)
        return (state,) if fits else ()

    def _read_older(
        self, state: KeyState, generation: int, outcome: Hashable
    ) -> tuple[KeyState, ...]:
        kept = generation not in state.gone
        older = dict(state.saved) if kept else {}
        if outcome is not MISSING:
            fits = generation in older and older[generation] == outcome
            return (state,) if fits else ()
        if generation in older:
            state = evolve(state, gone=state.gone | {generation})
        return (state,)

    def _lists(self, state: KeyState, shown: tuple[Hashable, ...]) -> bool:
        if shown[:1] != (() if state.newest is None else (state.newest,)):
            return False
        # In order, each once, and each of them saved and not gone.
        kept = (number for number, _ in reversed(state.saved) if number not in state.gone)
        return all(any(number == other for other in kept) for number in shown)


def _is_met(expected: Expected, state: KeyState) -> bool:
    return expected is None or _generation(expected) == state.newest


STORE: Final = StoreModel()
"""The model of a store."""
