"""What goes whatever the limits are: by keep rules, as orphans, by age and by size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.archives.model import Level
from checkpointkit.archives.planning.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.archives.model import Container, Gone, Orphans
    from checkpointkit.archives.planning.ledger import Ledger, Pile

__all__ = ["Expiry"]

_EXPIRED: Final = Reason("expired", delete=True)
_WIDTH: Final = {level: width for width, level in enumerate(Level)}


class Expiry:
    """Finds the floor of each container, and has what expires go."""

    def __init__(self, ledger: Ledger, orphans: Orphans, now_ns: int) -> None:
        """Take what is known.

        Args:
            ledger: The archives.
            orphans: The parents that are confirmed to be gone.
            now_ns: The time, in nanoseconds since 1970.
        """
        self._ledger = ledger
        self._now_ns = now_ns
        self._gone: dict[Container, dict[str, Gone]] = {}
        for parent, gone in orphans.items():
            self._gone.setdefault(parent.container, {})[parent.uid] = gone
        self._reasons: dict[tuple[str, str, int], Reason] = {}

    def find_floor(self, pile: Pile) -> None:
        """Note the newest archive that always stays: one of no parent that is gone."""
        if not pile.terms.allow_empty:
            orphans = self._orphans(pile)
            pile.floor = next((i for i in reversed(pile.alive) if i not in orphans), None)

    def expire(self, pile: Pile) -> None:
        """Have go what the rules of its container say, apart from the limits."""
        terms, ledger = pile.terms, self._ledger
        orphans = self._orphans(pile)
        if terms.keeps and pile.alive:
            pile.selected = terms.select(pile.alive, ledger.moments)
        elif not (orphans or terms.max_age is not None or terms.max_size is not None):
            return
        for index in pile.alive:
            reason = None if index == pile.floor else self._reason(pile, index, orphans)
            if reason is not None:
                ledger.delete(index, reason)
        ledger.strike(pile)

    def _reason(self, pile: Pile, index: int, orphans: Mapping[int, Gone]) -> Reason | None:
        terms = pile.terms
        if terms.keeps and index not in pile.selected:
            return _EXPIRED
        gone = orphans.get(index)
        if gone is not None and self._now_ns - gone.since_ns >= terms.grace:
            return self._one("orphan", gone.level.value, terms.grace)
        taken = self._ledger.moments[index]
        if terms.max_age is not None and taken < self._now_ns - terms.max_age:
            return self._one("max-age", "", terms.max_age)
        if terms.max_size is not None and self._ledger.archives[index].size > terms.max_size:
            return self._one("max-size", "", terms.max_size)
        return None

    def _orphans(self, pile: Pile) -> dict[int, Gone]:
        """Return the archives in a pile whose parent is gone, as far as its rule asks for."""
        rule, gone = pile.terms.orphans, self._gone.get(pile.container)
        if rule is None or gone is None:
            return {}
        archives = self._ledger.archives
        found = {index: gone.get(archives[index].pod_uid) for index in pile.alive}
        return {
            index: each
            for index, each in found.items()
            if each is not None and _WIDTH[each.level] >= _WIDTH[rule.gone]
        }

    def _one(self, rule: str, group: str, wanted: int) -> Reason:
        """Return a reason, the same for all archives that have it."""
        key = (rule, group, wanted)
        reason = self._reasons.get(key)
        if reason is None:
            reason = self._reasons[key] = Reason(rule, delete=True, group=group, wanted=wanted)
        return reason
