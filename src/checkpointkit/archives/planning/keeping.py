"""Which archives of one container its keep rules select, and the reasons that they have in common.

A rule looks at the archives that may go, newest first; the protected ones stay as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from checkpointkit.archives.calendar import PERIODS, local_time
from checkpointkit.archives.planning.order import nanoseconds
from checkpointkit.archives.planning.reasons import KEEP_RULES, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

    from checkpointkit.archives.policies import OrphanRule, Rules

__all__ = ["Terms"]

_NO_RULE: Final = Reason("no-rule")


class Terms:
    """Resolved rules as a plan uses them: lengths in nanoseconds, and one reason for all who share.

    Attributes:
        keeps: Whether there is a keep rule.
        max_age: As in `Rules`.
        min_age: As in `Rules`.
        max_size: As in `Rules`.
        orphans: As in `Rules`.
        grace: That of `orphans`.
        allow_empty: As in `Rules`.
        container_count: As in `Rules`.
        container_size: As in `Rules`.
        pod_count: As in `Rules`.
        pod_size: As in `Rules`.
        namespace_count: As in `Rules`.
        namespace_size: As in `Rules`.
    """

    def __init__(self, rules: Rules, zone: tzinfo) -> None:
        """Take the rules, each of them set.

        Args:
            rules: The rules.
            zone: Where hours, days, weeks, months and years begin.
        """
        # What is resolved inherits nothing; the types of the fields cannot say so.
        said: Any = rules
        self.max_age: int | None = said.max_age and nanoseconds(said.max_age)
        self.min_age: int | None = said.min_age and nanoseconds(said.min_age)
        self.max_size: int | None = said.max_size
        self.orphans: OrphanRule | None = said.orphans
        self.grace: int = nanoseconds(said.orphans.grace) if said.orphans else 0
        self.allow_empty: bool = said.allow_empty
        self.container_count: int | None = said.container_count
        self.container_size: int | None = said.container_size
        self.pod_count: int | None = said.pod_count
        self.pod_size: int | None = said.pod_size
        self.namespace_count: int | None = said.namespace_count
        self.namespace_size: int | None = said.namespace_size
        within = said.keep_within and nanoseconds(said.keep_within)
        numbers = {
            rule: within if rule == "keep-within" else getattr(said, rule.replace("-", "_"))
            for rule in KEEP_RULES
        }
        self._rules = {rule: number for rule, number in numbers.items() if number is not None}
        self.keeps: bool = bool(self._rules)
        self._periods = {rule: _period_in(zone, rule) for rule in PERIODS}
        self._reasons: dict[tuple[tuple[str, ...], bool], Reason] = {}

    def select(
        self, oldest_first: Sequence[int], moments: Sequence[int]
    ) -> Mapping[int, tuple[str, ...]]:
        """Return which archives the keep rules select, each with the rules that do.

        Args:
            oldest_first: The archives of one container that may go.
            moments: When each archive of all was taken, in nanoseconds since 1970.
        """
        selected: dict[int, tuple[str, ...]] = {}
        for rule, number in self._rules.items():
            if rule == "keep-last":
                chosen: Sequence[int] = oldest_first[-number:]
            elif rule == "keep-within":
                chosen = _within(oldest_first, moments, number)
            else:
                chosen = _newest_of(oldest_first, moments, self._periods[rule], number)
            for index in chosen:
                selected[index] = (*selected.get(index, ()), rule)
        return selected

    def kept(self, rules: tuple[str, ...], *, is_floor: bool) -> Reason:
        """Return why an archive stays that no limit reached.

        Args:
            rules: The keep rules that select it.
            is_floor: Whether it is the newest complete one of its container.
        """
        if not rules and not is_floor:
            return _NO_RULE
        reason = self._reasons.get((rules, is_floor))
        if reason is None:
            numbers = tuple((rule, self._rules[rule]) for rule in rules)
            reason = Reason("floor" if is_floor else rules[0], kept=numbers)
            self._reasons[rules, is_floor] = reason
        return reason


def _period_in(zone: tzinfo, rule: str) -> Callable[[int], int]:
    period_of = PERIODS[rule]
    return lambda moment_ns: period_of(local_time(moment_ns, zone))


def _newest_of(
    oldest_first: Sequence[int],
    moments: Sequence[int],
    period_of: Callable[[int], int],
    number: int,
) -> Sequence[int]:
    """Return the newest archive of each of so many periods that have one."""
    newest: dict[int, int] = {}
    for index in reversed(oldest_first):
        newest.setdefault(period_of(moments[index]), index)
        if len(newest) == number:
            break
    return tuple(newest.values())


def _within(oldest_first: Sequence[int], moments: Sequence[int], length: int) -> Sequence[int]:
    first = moments[oldest_first[-1]] - length
    return [index for index in oldest_first if moments[index] >= first]
