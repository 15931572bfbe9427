"""Is what several clients saw the work of one store that does one thing after the other?

A *history* is a list of operations, each with the time of its call and of its return. It is
*linearizable* (Herlihy and Wing, 1990) if each operation can be given one moment between the two
at which it takes place, so that a plain store, asked in this order by a single client, would have
answered the same. `check` looks for such an order, and reports the keys that have none.

The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the
memory of Lowe ("Testing for linearizability", 2017): what was reached once, the same operations
done and the same state, is never gone on from again. It goes key by key, as Horn and Kroening do
("Faster linearizability checking via P-compositionality", 2015): a history is linearizable if the
history of each of its keys is. Two short cuts change no verdict: a look that fits takes place as
soon as it can; and of equal operations that need not have taken place, the one that was called
first takes place first.

An operation whose outcome is `UNKNOWN` (its process was killed, the store said that it does not
know) takes place at any moment after its call, or never. One that was `REFUSED` is left out.

The cost is exponential in the worst case: the problem is NP-complete. In practice it is the number
of operations times what happens at the same moment, because the generations that a store gives
away leave few orders. Memory grows with the states that were explored; past `max_states` the
search gives up with an `UndecidedError`, and never with a verdict.

Example:
    >>> history = [
    ...     Operation("one", "a", Write(b"x"), Saved(1), began=0, ended=10_000),
    ...     Operation("two", "a", Read(), b"x", began=5_000, ended=15_000),
    ...     Operation("two", "a", Read(), MISSING, began=20_000, ended=25_000),
    ... ]
    >>> check(history[:2]).violations
    ()
    >>> print(check(history).violations[0])
    key 'a': 2 of its 3 operations have no order (times in milliseconds)
        0.000 ..     0.010  two  read: b'x'
      |====================                    |
        0.015 ..     0.020  two  read: nothing  <- cannot be placed
      |                             ===========|
      it does not fit: generation 1, b'x'
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from attrs import evolve, field, frozen

from checkpointkit.testing.operations import (
    MISSING,
    REFUSED,
    REMOVED,
    STORE,
    UNKNOWN,
    UNRECORDED,
    Conflict,
    History,
    KeyState,
    Listed,
    Model,
    Operation,
    Read,
    Remove,
    Rollback,
    Saved,
    StoreModel,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "MAX_STATES",
    "MISSING",
    "REFUSED",
    "REMOVED",
    "STORE",
    "UNKNOWN",
    "UNRECORDED",
    "Conflict",
    "History",
    "KeyState",
    "Listed",
    "Model",
    "Operation",
    "Read",
    "Remove",
    "Rollback",
    "Saved",
    "StoreModel",
    "UndecidedError",
    "Verdict",
    "Violation",
    "Write",
    "check",
]

S = TypeVar("S")

MAX_STATES: Final = 500_000
"""So many states of one key are explored at most, unless told otherwise."""
_WIDTH: Final = 40
_SHOWN: Final = 3
_STARTS: Final = 200
"""So many states are tried as the beginning of a smaller window."""


class UndecidedError(Exception):
    """The search was given up: whether the history is linearizable is not known.

    Attributes:
        key: The key whose operations were searched.
        max_states: The bound that was reached.
    """

    def __init__(self, key: str, max_states: int) -> None:
        super().__init__(key, max_states)
        self.key = key
        self.max_states = max_states

    def __str__(self) -> str:
        return (
            f"key {self.key!r}: {self.max_states} states explored, and neither an order found nor "
            "its absence; allow more max_states, or record fewer operations at the same time"
        )


@frozen
class Violation:
    """A key whose operations have no order.

    Attributes:
        key: The key.
        operations: How many operations the key has.
        window: The few of them that are enough to see it, by the time of their call.
        culprit: The one among them that cannot be placed: the first return at which no order is
            left.
        states: Some states that the key can have had then, none of which it fits, as text.
    """

    key: str
    operations: int
    window: tuple[Operation, ...]
    culprit: Operation
    states: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = (
            f"key {self.key!r}: {len(self.window)} of its {self.operations} operations have no "
            "order (times in milliseconds)"
        )
        ends = [op.ended for op in self.window if op.outcome is not UNKNOWN]
        first, last = min(op.began for op in self.window), max([*ends, self.culprit.ended])
        client = max(len(op.client) for op in self.window)
        lines = [head]
        for op in self.window:
            to = "      ..." if op.outcome is UNKNOWN else _milliseconds(op.ended - first)
            mark = "  <- cannot be placed" if op == self.culprit else ""
            said = f"{op.client:{client}}  {op.call}: {op.outcome}{mark}"
            lines += [
                f"{_milliseconds(op.began - first)} .. {to}  {said}",
                f"  |{_bar(op, first, last)}|",
            ]
        lines += [f"  it does not fit: {state}" for state in self.states]
        return "\n".join(lines)


def _milliseconds(span: int) -> str:
    return f"{span / 1e6:9.3f}"


def _bar(operation: Operation, first: int, last: int) -> str:
    """Draw when an operation was at work."""

    def place(moment: int) -> int:
        return (moment - first) * (_WIDTH - 1) // max(1, last - first)

    begin = place(operation.began)
    end = _WIDTH - 1 if operation.outcome is UNKNOWN else place(operation.ended)
    return (" " * begin + "=" * (end - begin + 1)).ljust(_WIDTH)


@frozen
class Verdict:
    """What `check` has found.

    Attributes:
        operations: How many operations there were.
        keys: Of how many keys.
        states: How many states were explored until each key had its verdict.
        violations: One for each key that has no order; none if the history is linearizable.
    """

    operations: int
    keys: int
    states: int
    violations: tuple[Violation, ...]


def check(
    operations: Iterable[Operation],
    model: Model[Any] = STORE,
    *,
    max_states: int = MAX_STATES,
) -> Verdict:
    """Look for an order of the operations of each key that explains what was seen.

    Args:
        operations: The history, in any order.
        model: What a right store does.
        max_states: After so many states of one key the search is given up.

    Raises:
        UndecidedError: It was given up.

    Example:
        >>> check([Operation("one", "a", Read(), MISSING, began=0, ended=1)]).violations
        ()
        >>> class Counter:
        ...     "Each `next` returns one more than the one before."
        ...     def initial(self, key):
        ...         return 0
        ...     def step(self, state, operation):
        ...         return [state + 1] if operation.outcome in (UNKNOWN, state + 1) else []
        ...     def only_looks(self, operation):
        ...         return False
        >>> twice = [Operation(who, "n", "next", 1, began=0, ended=9) for who in ("one", "two")]
        >>> len(check(twice, Counter()).violations)
        1
    """
    by_key: dict[str, list[Operation]] = {}
    for operation in operations:
        history = by_key.setdefault(operation.key, [])
        if operation.outcome is not REFUSED:
            history.append(operation)
    states = 0
    violations: list[Violation] = []
    for key, history in sorted(by_key.items()):
        violation, explored = _Key(key, history, model, max_states).check()
        states += explored
        violations += [] if violation is None else [violation]
    total = sum(map(len, by_key.values()))
    return Verdict(total, len(by_key), states, tuple(violations))


class _Point(NamedTuple, Generic[S]):
    """How far the search has come.

    Attributes:
        base: All required operations before this one have taken place.
        beyond: Bits of those after it that have.
        used: Bits of those that need not take place, and have.
        state: What they have left.
    """

    base: int
    beyond: int
    used: int
    state: S


@frozen
class _Search(Generic[S]):
    """One search: is there an order of all `required` and some `optional` operations?

    Attributes:
        required: Operations that have taken place before they returned, by the time of their call.
        optional: Operations that may take place at any time after their call, likewise sorted.
        model: What a right store does.
        budget: After so many points the search is given up.
        seen: The points that it has come to, in order.
    """

    required: Sequence[Operation]
    optional: Sequence[Operation]
    model: Model[S]
    budget: int
    seen: dict[_Point[S], None] = field(factory=dict)

    def succeeds(self, starts: Iterable[S]) -> bool | None:
        """Tell whether there is an order from one of these states; None: it was given up."""
        stack = [_Point(0, 0, 0, start) for start in starts]
        self.seen.update(dict.fromkeys(stack))
        while stack:
            point = stack.pop()
            if point.base == len(self.required):
                return True
            for following in self._following(point):
                if following not in self.seen:
                    self.seen[following] = None
                    stack.append(following)
            if len(self.seen) > self.budget:
                return None
        return False

    def _following(self, point: _Point[S]) -> list[_Point[S]]:
        """Return where one more operation leads to, what is tried first at the end."""
        candidates, latest = self._candidates(point)
        following: list[_Point[S]] = []
        for index in candidates:
            operation = self.required[index]
            reached = [
                self._done(point, index, state) for state in self.model.step(point.state, operation)
            ]
            same = [place.state for place in reached] == [point.state]
            if same and self.model.only_looks(operation):
                return reached
            following += reached
        tried = set()
        rest: list[_Point[S]] = []
        for index, operation in enumerate(self.optional):
            if operation.began > latest:
                break
            name = operation.call, operation.outcome
            if point.used >> index & 1 or name in tried:
                continue
            tried.add(name)
            rest += [
                point._replace(used=point.used | 1 << index, state=state)
                for state in self.model.step(point.state, operation)
                if state != point.state
            ]
        return [*reversed(rest), *reversed(following)]

    def _candidates(self, point: _Point[S]) -> tuple[list[int], int]:
        """Return the required operations that may be next, and when one of them is due."""
        latest = self.required[point.base].ended
        found: list[int] = []
        for index in range(point.base, len(self.required)):
            if point.beyond >> (index - point.base) & 1:
                continue
            operation = self.required[index]
            if operation.began > latest:
                break
            found.append(index)
            latest = min(latest, operation.ended)
        return found, latest

    @staticmethod
    def _done(point: _Point[S], index: int, state: S) -> _Point[S]:
        base, beyond = point.base, point.beyond | 1 << (index - point.base)
        while beyond & 1:
            base, beyond = base + 1, beyond >> 1
        return _Point(base, beyond, point.used, state)


class _Key(Generic[S]):
    """The operations of one key, their verdict, and what is to be shown of it."""

    def __init__(
        self, key: str, operations: Iterable[Operation], model: Model[S], max_states: int
    ) -> None:
        self._key = key
        self._operations = sorted(operations, key=lambda operation: operation.began)
        self._ends = sorted({op.ended for op in self._operations if op.outcome is not UNKNOWN})
        self._model = model
        self._max_states = max_states

    def check(self) -> tuple[Violation | None, int]:
        """Return the violation, if there is one, and the number of states explored."""
        if not self._ends:
            return None, 0
        search = self._search(None, self._ends[-1])
        found = search.succeeds([self._model.initial(self._key)])
        if found is None:
            raise UndecidedError(self._key, self._max_states)
        return (None if found else self._report()), len(search.seen)

    def _search(self, after: int | None, until: int) -> _Search[S]:
        """Return the search through what returned in a span of time, or was called and did not."""
        known = [op for op in self._operations if op.outcome is not UNKNOWN]
        known = [op for op in known if after is None or op.ended > after]
        required = [op for op in known if op.ended <= until]
        optional = [op for op in self._operations if op.began <= until and op.outcome is UNKNOWN]
        optional += [op for op in known if op.began <= until < op.ended]
        optional.sort(key=lambda operation: operation.began)
        return _Search(required, optional, self._model, self._max_states)

    def _report(self) -> Violation:
        """Say what is wrong, in as few operations as will do.

        What is linearizable is so up to each moment. So the first return that leaves no order is
        found by halving.
        """
        initial = [self._model.initial(self._key)]
        low, high = 0, len(self._ends) - 1
        while low < high:
            middle = (low + high) // 2
            if self._search(None, self._ends[middle]).succeeds(initial) is False:
                high = middle
            else:
                low = middle + 1
        search = self._search(None, self._ends[low])
        search.succeeds(initial)
        last = max((op.ended, index) for index, op in enumerate(search.required))[1]
        met = [
            str(point.state)
            for point in search.seen
            if point.base == last and point.beyond.bit_count() == len(search.required) - 1 - last
        ]
        states = list(dict.fromkeys(point.state for point in search.seen))[-_STARTS:]
        return Violation(
            self._key,
            len(self._operations),
            self._window(low, search.required[last], states),
            search.required[last],
            tuple(islice(dict.fromkeys(reversed(met)), _SHOWN)),
        )

    def _window(self, last: int, culprit: Operation, states: list[S]) -> tuple[Operation, ...]:
        """Return the operations of a short span that fits none of the states.

        Any state that the search has come to is taken for a possible beginning of the span. Looks
        that are not needed to see it are left out, and what need not have taken place is shown
        only where it was tried.
        """
        search = self._span(last, states)
        required = list(search.required)

        def leave_out(looks: list[Operation]) -> None:
            less = [operation for operation in required if operation not in looks]
            if _fails(evolve(search, required=less, seen={}), states):
                required[:] = less
            elif len(looks) > 1:
                leave_out(looks[: len(looks) // 2])
                leave_out(looks[len(looks) // 2 :])

        looks = [op for op in required if self._model.only_looks(op) and op != culprit]
        if looks:
            leave_out(looks)
        search = evolve(search, required=required, seen={})
        search.succeeds(states)
        used = 0
        for point in search.seen:
            used |= point.used
        tried = [op for index, op in enumerate(search.optional) if used >> index & 1]
        return tuple(sorted([*required, *tried], key=lambda op: op.began))

    def _span(self, last: int, states: list[S]) -> _Search[S]:
        """Return the search through the shortest span that fits none of the states.

        It is tried with one return, then two, then four; and then halved.
        """

        def since(first: int) -> _Search[S]:
            return self._search(self._ends[first - 1] if first else None, self._ends[last])

        first, too_late, size = last, last + 1, 1
        while first and not _fails(since(first), states):
            first, too_late, size = max(0, first - size), first, 2 * size
        while too_late - first > 1:
            middle = (first + too_late) // 2
            if _fails(since(middle), states):
                first = middle
            else:
                too_late = middle
        return since(first)


def _fails(search: _Search[S], starts: Iterable[S]) -> bool:
    return search.succeeds(starts) is False
