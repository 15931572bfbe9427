"""Is a state that was found after a power cut one that was promised?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.errors import CheckpointError
from checkpointkit.records import verify
from checkpointkit.testing.crash.log import DAMAGED, Change, Log, PinChange, State, look
from checkpointkit.testing.crash.tree import Enter, Leave, Move, Operation, Sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from checkpointkit.stores.base import Damaged, Entry, Store

_NOTHING: Final = Change(None, 0, -1, -1)


@frozen
class Expectation:
    """What may be found for one key.

    Attributes:
        acknowledged: The last change that was acknowledged before the cut.
        under_way: Those that had begun, and were not acknowledged yet.
        seen: What a reader saw just before the cut.
        window: Whether that may be taken back: its directory was not synced yet.
        highest: The largest number that was acknowledged.
        pinned: The generations that are pinned for certain.
        released: Those that are not pinned any more for certain.
    """

    acknowledged: Change
    under_way: tuple[Change, ...]
    seen: State
    window: bool
    highest: int
    pinned: frozenset[int] = frozenset()
    released: frozenset[int] = frozenset()

    def takes_back(self, shown: State) -> bool:
        """Tell whether a reader was given a newer state than the one that is shown now."""
        newer = [change.state for change in self.under_way]
        return shown == self.acknowledged.state != self.seen and self.seen in newer

    def key(self) -> tuple[object, ...]:
        """Return what is equal where the same is expected, whenever it was saved."""
        changes = (self.acknowledged, *self.under_way)
        known = tuple((change.state, change.generation, change.older) for change in changes)
        return known, self.seen, self.window, self.highest, self.pinned, self.released


def expectations(log: Log, operations: Sequence[Operation]) -> dict[str, Expectation]:
    """Tell what may be found for each key when the power fails after these operations."""
    return {key: _expectation(log, key, operations) for key in sorted(log.changes)}


def _expectation(log: Log, key: str, operations: Sequence[Operation]) -> Expectation:
    cut = len(operations)
    begun = [change for change in log.changes[key] if change.begun <= cut]
    done = [(change.ended, at) for at, change in enumerate(begun) if change.ended <= cut]
    last = max(done)[1] if done else -1
    numbers = [begun[at].generation for _, at in done]
    numbers += [number for _, at in done for number in begun[at].older]
    before = [entry for entry in log.seen[key] if entry[0] <= cut]
    at_first = begun[0].state if begun and begun[0].begun < 0 else None
    since, seen = before[-1] if before else (0, at_first)
    return Expectation(
        begun[last] if last >= 0 else _NOTHING,
        tuple(change for change in begun[last + 1 :] if change.ended > cut),
        seen,
        _is_open(operations, since),
        max(numbers, default=0),
        *_pins(log.pins[key], cut),
    )


def _pins(changes: Sequence[PinChange], cut: int) -> tuple[frozenset[int], frozenset[int]]:
    """Return the generations that are pinned at a cut for certain, and those that are not."""
    certain: dict[int, bool] = {}
    unsure: set[int] = set()
    for change in changes:
        if change.ended <= cut:
            certain[change.generation] = change.pinned
        elif change.begun <= cut:
            unsure.add(change.generation)
    return (
        frozenset(number for number, pinned in certain.items() if pinned) - unsure,
        frozenset(number for number, pinned in certain.items() if not pinned) - unsure,
    )


def _is_open(operations: Sequence[Operation], since: int) -> bool:
    """Tell whether the change of names that showed a state has not been synced since."""
    match operations[since - 1] if since else None:
        case Enter(directory) | Leave(directory):
            directories = {directory}
        case Move(directory, _, to_directory):
            directories = {directory, to_directory}
        case _:
            return False
    return not any(
        isinstance(operation, Sync) and operation.node in directories
        for operation in operations[since:]
    )


@frozen
class Verdict:
    """What was found in one state.

    Attributes:
        problems: What breaks a promise.
        taken_back: Whether a state that a reader had seen is gone, within the window.
    """

    problems: tuple[str, ...]
    taken_back: bool


class Judge:
    """Opens a store after a power cut, and compares what it shows with what was promised.

    Args:
        log: What was acknowledged.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        older = (len(change.older) for changes in log.changes.values() for change in changes)
        self._history = max(older, default=0)

    def judge(self, open_store: Callable[[], Store], expected: dict[str, Expectation]) -> Verdict:
        """Open the store, look at it, and go on with it."""
        problems: list[str] = []
        taken_back = False
        try:
            store = open_store()
        except CheckpointError as error:
            return Verdict((f"the store does not open: {error}",), taken_back)
        try:
            shown_before: dict[str, State] = {}
            for key, expectation in expected.items():
                shown = shown_before[key] = look(store, key)
                problems += self._compare(store, key, expectation, shown)
                if expectation.takes_back(shown):
                    taken_back = True
                    if not expectation.window:
                        problems.append(f"{key!r}: what a reader was given is gone after its sync")
            problems += self._verify(store)
            problems += self._go_on(store, expected, shown_before)
        except CheckpointError as error:
            problems.append(f"an unexplained error: {type(error).__name__}: {error}")
        finally:
            store.close()
        return Verdict(tuple(problems), taken_back)

    def _compare(
        self, store: Store, key: str, expectation: Expectation, shown: State
    ) -> Iterator[str]:
        allowed = (expectation.acknowledged, *expectation.under_way)
        fitting = [change for change in allowed if change.state == shown]
        if not fitting:
            promised = " or ".join(dict.fromkeys(self._name(key, it.state) for it in allowed))
            yield f"{key!r} shows {self._name(key, shown)}; promised was {promised}"
            return
        entries = store.history(key)
        yield from _compare_pins(key, expectation, entries)
        if shown is None:
            return
        numbers = [entry.generation for entry in entries]
        if shown != DAMAGED and numbers[0] not in {change.generation for change in fitting}:
            yield f"{key!r} has generation {fitting[0].generation} under the number {numbers[0]}"
        for number in numbers[1:]:
            if store.read(key, number) not in self._log.bytes[key, number]:
                yield f"generation {number} of {key!r} has bytes that nobody has saved"
        missing = [set(self._older(expectation, change)) - set(numbers[1:]) for change in fitting]
        if all(missing):
            yield f"{key!r} has lost its older generations {sorted(missing[0])}"

    def _older(self, expectation: Expectation, change: Change) -> tuple[int, ...]:
        """Return the older generations that have to be there."""
        last = expectation.acknowledged
        if change is last:
            return last.older
        if last.state is None or change.state == DAMAGED or not change.follows:
            return ()
        own = () if last.state == DAMAGED else (last.generation,)
        return (*own, *last.older)[: self._history]

    def _verify(self, store: Store) -> Iterator[str]:
        """Ask for problems; what was saved damaged, or is known to be damaged, is none."""
        for problem in verify(store).problems:
            key, number = problem.key, problem.generation
            newest = number is None or number == store.history(key)[0].generation
            shown = look(store, key) if newest else store.read(key, number)
            if shown != DAMAGED and (number is None or shown not in self._log.bytes[key, number]):
                yield f"verify: {problem.error}"

    def _go_on(
        self, store: Store, expected: dict[str, Expectation], shown: dict[str, State]
    ) -> Iterator[str]:
        """Save each key again."""
        for key, expectation in expected.items():
            numbers = [entry.generation for entry in store.history(key)]
            entry = store.write(key, _further)
            if entry.generation <= expectation.highest:
                yield f"{key!r} uses generation {entry.generation} again"
            if store.read(key) != _further(entry.generation, None):
                yield f"a further save of {key!r} shows something else"
            kept = [entry.generation for entry in store.history(key)]
            if isinstance(shown[key], bytes) and self._history and kept[1:2] != numbers[:1]:
                yield f"a further save of {key!r} has lost generation {numbers[0]}"
            if shown[key] is not None:
                yield from _compare_pins(key, expectation, store.history(key))

    def _name(self, key: str, state: State) -> str:
        """Say which state it is, without its bytes."""
        if state is None:
            return "nothing"
        if state == DAMAGED:
            return "damage"
        saved = [n for (name, n), data in self._log.bytes.items() if name == key and state in data]
        return f"generation {saved[0]}" if saved else f"{len(state)} bytes that nobody has saved"


def _compare_pins(key: str, expectation: Expectation, entries: Sequence[Entry]) -> Iterator[str]:
    pinned = {entry.generation for entry in entries if entry.pinned}
    if lost := sorted(expectation.pinned - pinned):
        yield f"{key!r} has lost the pin of generation {lost[0]}, or all of it"
    if kept := sorted(expectation.released & pinned):
        yield f"{key!r} has a pin of generation {kept[0]}, which was unpinned"


def _further(generation: int, _previous: bytes | Damaged | None) -> bytes:
    return b"a further state, number %d" % generation
