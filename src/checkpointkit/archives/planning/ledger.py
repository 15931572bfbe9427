"""The working state of a plan: whose archives are still there, and why others are not.

An archive is its place in the list that is sorted by name; so whoever comes first in it is the
older of two that were taken at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from checkpointkit.archives.model import State
from checkpointkit.archives.planning.keeping import Terms
from checkpointkit.archives.planning.order import UNDATED
from checkpointkit.archives.planning.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from checkpointkit.archives.model import Archive, Container
    from checkpointkit.archives.policies import Policy, Rules

__all__ = ["Ledger", "Pile"]

_COMPLETE: Final = State.COMPLETE
_BROKEN: Final = State.BROKEN
_OF_STATE: Final[Mapping[State, Reason]] = {
    State.OTHER: Reason("other"),
    State.POD_CHECKPOINT: Reason("pod-checkpoint"),
    State.IN_FLIGHT: Reason("in-flight"),
    State.UNREADABLE: Reason("unreadable"),
}
_UNKNOWN: Final = Reason("unknown")
_UNDATED: Final = Reason("undated")
_PINNED: Final = Reason("pinned")
_BROKEN_STAYS: Final = Reason("broken")


@define(eq=False)
class Pile:
    """The archives of one container, without the broken ones.

    Attributes:
        container: The container.
        terms: Its rules.
        alive: What may go and has not gone, oldest first.
        rest: What is protected.
        counted: How many of those a count counts all the same.
        size: The bytes of all that are there.
        floor: The one that always stays; None where all may go.
        selected: What the keep rules select.
        lost: Whether any went.
    """

    container: Container
    terms: Terms
    alive: list[int]
    rest: list[int]
    counted: int
    size: int
    floor: int | None = None
    selected: Mapping[int, tuple[str, ...]] = field(factory=dict)
    lost: bool = False


class Ledger:
    """All archives, and what was decided of each so far.

    Attributes:
        archives: The archives, sorted by name.
        moments: When each was taken, in nanoseconds since 1970.
        reasons: Why each goes, or is protected; None while it may go and stays.
        piles: The archives of each container that is known.
        strays: The archives of which nobody knows whose they are, without the broken ones.
        broken: The broken ones that are there, oldest first.
        freed: How many bytes go.
    """

    def __init__(
        self,
        archives: Sequence[Archive],
        moments: Sequence[int],
        now_ns: int,
        policy: Policy,
        zone: tzinfo,
    ) -> None:
        """Take the archives and put each where it belongs.

        Args:
            archives: The archives, sorted by name.
            moments: When each was taken, in nanoseconds since 1970.
            now_ns: The time, in nanoseconds since 1970.
            policy: What is wanted.
            zone: Where hours, days, weeks, months and years begin.
        """
        self.archives = archives
        self.moments = moments
        self.reasons: list[Reason | None] = [None] * len(archives)
        self.freed: int = 0
        self._now_ns = now_ns
        self._policy = policy
        self._zone = zone
        self._terms: dict[int, Terms] = {}
        self._ages: dict[int, Reason] = {}
        found, strays, broken = _spread(archives, names_count=policy.names_count)
        self.strays: list[int] = strays
        self.broken: list[int] = broken
        self.piles: dict[Container, Pile] = {
            container: self._pile(container, members) for container, members in found.items()
        }
        for index in self.strays:
            self.reasons[index] = _OF_STATE.get(archives[index].state, _UNKNOWN)
        for index in self.broken:
            self.reasons[index] = self._protection(index, self._terms_of_broken(index).min_age)
        self.broken.sort(key=moments.__getitem__)

    def delete(self, index: int, reason: Reason) -> None:
        """Note that an archive goes; whoever holds it as alive has to strike it out."""
        self.reasons[index] = reason
        self.freed += self.archives[index].size

    def counts(self, index: int) -> bool:
        """Tell whether a count counts an archive that does not go."""
        reason = self.reasons[index]
        return reason is None or (reason is _PINNED and self._policy.pins_count)

    def strike(self, pile: Pile) -> None:
        """Strike out of a pile what goes."""
        reasons, archives = self.reasons, self.archives
        gone = [index for index in pile.alive if reasons[index] is not None]
        if gone:
            pile.lost = True
            pile.alive = [index for index in pile.alive if reasons[index] is None]
            pile.size -= sum([archives[index].size for index in gone])

    def oldest_first(self, found: Iterable[int]) -> list[int]:
        """Return archives in the order in which they were taken, those of one moment by name."""
        return sorted(sorted(found), key=self.moments.__getitem__)

    def terms_of(self, rules: Rules) -> Terms:
        """Return resolved rules as they are used: the same for the same rules."""
        terms = self._terms.get(id(rules))
        if terms is None:
            terms = self._terms[id(rules)] = Terms(rules, self._zone)
        return terms

    def floors(self) -> dict[Container, Archive]:
        """Return what always stays of each container that something goes of."""
        return {
            container: self.archives[pile.floor]
            for container, pile in self.piles.items()
            if pile.lost and pile.floor is not None
        }

    def settle(self) -> tuple[Reason, ...]:
        """Return the reason of each archive, when all limits are through."""
        for pile in self.piles.values():
            kept, floor, selected = pile.terms.kept, pile.floor, pile.selected
            for index in pile.alive:
                self.reasons[index] = kept(selected.get(index, ()), is_floor=index == floor)
        return tuple([reason or _BROKEN_STAYS for reason in self.reasons])

    def _pile(self, container: Container, members: list[int]) -> Pile:
        archives, moments = self.archives, self.moments
        terms = self.terms_of(self._policy.rules_for(container))
        min_age = terms.min_age
        young = None if min_age is None else self._now_ns - min_age
        alive, rest, counted = [], [], 0
        for index in members:
            archive = archives[index]
            if (
                archive.pins
                or archive.state is not _COMPLETE
                or moments[index] == UNDATED
                or (young is not None and moments[index] > young)
            ):
                self.reasons[index] = self._protection(index, min_age)
                rest.append(index)
                counted += self.counts(index)
            else:
                alive.append(index)
        alive.sort(key=moments.__getitem__)
        size = sum([archives[index].size for index in members])
        return Pile(container, terms, alive, rest, counted, size)

    def _protection(self, index: int, min_age: int | None) -> Reason | None:
        archive = self.archives[index]
        reason = _OF_STATE.get(archive.state)
        if reason is None and archive.state is _COMPLETE and self.moments[index] == UNDATED:
            reason = _UNDATED
        if reason is None and min_age is not None and self._is_young(index, min_age):
            reason = self._ages.get(min_age)
            if reason is None:
                reason = self._ages[min_age] = Reason("min-age", wanted=min_age)
        if reason is None and archive.pins:
            reason = _PINNED
        return reason

    def _is_young(self, index: int, min_age: int) -> bool:
        # Nobody knows that an archive whose stamps lie ahead is old enough.
        taken = self.moments[index]
        return taken == UNDATED or self._now_ns - taken < min_age

    def _terms_of_broken(self, index: int) -> Terms:
        archive, policy = self.archives[index], self._policy
        container = archive.container if policy.names_count or not archive.by_name else None
        rules = policy.general_rules() if container is None else policy.rules_for(container)
        return self.terms_of(rules)


def _spread(
    archives: Sequence[Archive], *, names_count: bool
) -> tuple[dict[Container, list[int]], list[int], list[int]]:
    """Return the archives of each container, those of unknown ones, and the broken ones."""
    known: dict[Container, list[int]] = {}
    strays: list[int] = []
    broken: list[int] = []
    for index, archive in enumerate(archives):
        container = archive.container
        if archive.by_name and not names_count:
            container = None
        if archive.state is _BROKEN:
            broken.append(index)
        elif container is None:
            strays.append(index)
        elif (members := known.get(container)) is None:
            known[container] = [index]
        else:
            members.append(index)
    return known, strays, broken
