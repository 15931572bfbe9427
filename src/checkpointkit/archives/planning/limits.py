"""Counts and bytes of groups: the oldest archives go until a limit holds, and none after that."""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, TypeAlias

from checkpointkit.archives.planning.reasons import RULES, Reason, Unmet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from checkpointkit.archives.planning.ledger import Ledger, Pile

__all__ = ["Broken", "Group", "Piles", "free_up", "hold"]


class Piles:
    """The archives of some containers: of one, of a pod's, of a namespace's, or of all.

    Attributes:
        name: What the group is called.
    """

    def __init__(
        self, ledger: Ledger, name: str, piles: Sequence[Pile], *, strays: Sequence[int] = ()
    ) -> None:
        """Take the containers.

        Args:
            ledger: The archives.
            name: What the group is called.
            piles: The containers.
            strays: Archives of nobody, whose bytes are in the group as well.
        """
        self.name = name
        self._ledger = ledger
        self._piles = piles
        self._strays = strays

    def count(self) -> int:
        """Return how many archives a count counts."""
        return sum([len(pile.alive) + pile.counted for pile in self._piles])

    def size(self) -> int:
        """Return how many bytes they have, with those that no count counts."""
        archives = self._ledger.archives
        strays = sum([archives[index].size for index in self._strays])
        return strays + sum([pile.size for pile in self._piles])

    def may_go(self) -> Sequence[int]:
        """Return the archives that may go, oldest first."""
        if len(self._piles) == 1:
            return _may_go(self._piles[0])
        return self._ledger.oldest_first([i for pile in self._piles for i in _may_go(pile)])

    def strike(self) -> None:
        """Strike out what goes."""
        for pile in self._piles:
            self._ledger.strike(pile)

    def blocks(self, *, counted: bool) -> Iterable[str]:
        """Return for each archive that may not go which rule keeps it.

        Args:
            counted: Those alone that a count counts.
        """
        ledger = self._ledger
        for pile in self._piles:
            if pile.floor is not None:
                yield "floor"
            yield from _rules(ledger, pile.rest, counted=counted)
        if not counted:
            yield from _rules(ledger, self._strays, counted=False)


class Broken:
    """The broken archives: nobody's, and none of them is ever the last that stays.

    Attributes:
        name: What the group is called.
    """

    name = "quarantine"

    def __init__(self, ledger: Ledger) -> None:
        """Take all that are broken.

        Args:
            ledger: The archives.
        """
        self._ledger = ledger

    def count(self) -> int:
        """Return how many archives a count counts."""
        return sum(map(self._ledger.counts, self._ledger.broken))

    def size(self) -> int:
        """Return how many bytes they have, with those that no count counts."""
        return sum([self._ledger.archives[index].size for index in self._ledger.broken])

    def may_go(self) -> Sequence[int]:
        """Return the archives that may go, oldest first."""
        return [i for i in self._ledger.broken if self._ledger.reasons[i] is None]

    def strike(self) -> None:
        """Strike out what goes."""
        reasons = self._ledger.reasons
        self._ledger.broken = [
            index for index in self._ledger.broken if not (why := reasons[index]) or not why.delete
        ]

    def blocks(self, *, counted: bool) -> Iterable[str]:
        """Return for each archive that may not go which rule keeps it.

        Args:
            counted: Those alone that a count counts.
        """
        return _rules(self._ledger, self._ledger.broken, counted=counted)


Group: TypeAlias = Piles | Broken
"""Archives that a limit is for."""


def hold(ledger: Ledger, group: Group, rule: str, wanted: int | None) -> list[Unmet]:
    """Have the oldest archives of a group go until a limit holds.

    Args:
        ledger: The archives.
        group: The group.
        rule: The limit, of `RULES`: a count, or a size in bytes.
        wanted: What it allows; None for whatever there is.

    Returns:
        That it does not hold, where it does not.
    """
    is_size = rule.endswith("-size")
    if wanted is None or (found := group.size() if is_size else group.count()) <= wanted:
        return []
    reason = Reason(rule, delete=True, group=group.name, wanted=wanted, found=found)
    left = found
    for index in group.may_go():
        ledger.delete(index, reason)
        left -= ledger.archives[index].size if is_size else 1
        if left <= wanted:
            break
    group.strike()
    if left <= wanted:
        return []
    blocked = blocked_by(group.blocks(counted=not is_size))
    return [Unmet(rule, group.name, wanted, left, blocked)]


def free_up(ledger: Ledger, needed: int, reason: Reason) -> None:
    """Have archives go until so many bytes do: the oldest of the container that holds most.

    Args:
        ledger: The archives.
        needed: How many bytes.
        reason: Why they go.
    """
    piles = sorted(ledger.piles.values(), key=_names)
    queues = [iter(_may_go(pile)) for pile in piles]
    heap = [(-pile.size, place) for place, pile in enumerate(piles)]
    heapify(heap)
    while needed > 0 and heap:
        held, place = heap[0]
        index = next(queues[place], None)
        if index is None:
            heappop(heap)
            continue
        size = ledger.archives[index].size
        ledger.delete(index, reason)
        heapreplace(heap, (held + size, place))
        needed -= size
    for pile in piles:
        ledger.strike(pile)


def blocked_by(rules: Iterable[str]) -> Mapping[str, int]:
    """Return how many archives each rule keeps, in the order of `RULES`."""
    found = Counter(rules)
    return {rule: found[rule] for rule in RULES if rule in found}


def _names(pile: Pile) -> tuple[str, str, str]:
    # As containers are ordered, and much faster.
    return (pile.container.namespace, pile.container.pod, pile.container.container)


def _may_go(pile: Pile) -> list[int]:
    return [index for index in pile.alive if index != pile.floor]


def _rules(ledger: Ledger, found: Iterable[int], *, counted: bool) -> Iterable[str]:
    for index in found:
        if not counted or ledger.counts(index):
            reason = ledger.reasons[index]
            yield "broken" if reason is None else reason.rule
