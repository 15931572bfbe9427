"""Plans that are broken on purpose: the laws catch each of them, by the law that is meant.

Each is asked a question to which its answer does harm; the right plan breaks no law by its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from checkpointkit.archives import plan as planning
from checkpointkit.archives.calendar import PERIODS
from checkpointkit.archives.model import Archive, Container, Gone, Level, Parent, Space, State
from checkpointkit.archives.planning import expiry, keeping, ledger, limits, order
from checkpointkit.archives.planning.expiry import Expiry
from checkpointkit.archives.planning.groups import Groups
from checkpointkit.archives.planning.keeping import Terms
from checkpointkit.archives.planning.ledger import Ledger, Pile
from checkpointkit.archives.planning.limits import Piles
from checkpointkit.archives.policies import OrphanRule, Percent, Policy, Rules, Watermarks
from tests.archives import laws
from tests.archives.laws import LAWS, Law
from tests.archives.strategies import CONTAINERS, DAY, HOUR, NOW_NS, Case, archive

Patch = Callable[[pytest.MonkeyPatch], None]

APP: Final = CONTAINERS[0]  # a/p/x
SIDE: Final = CONTAINERS[1]  # a/p/y
DB: Final = CONTAINERS[2]  # a/q/x
OTHER: Final = CONTAINERS[4]  # a-b/p/x

# ------------------------------------------------------------------------------ what may go wrong


def _taking(
    patch: pytest.MonkeyPatch,
    change: Callable[[Archive], Archive] = lambda each: each,
    policy: Callable[[Policy], Policy] = lambda policy: policy,
) -> None:
    """Have the ledger see other archives than there are, or another policy."""
    real = Ledger.__init__

    def take(
        self: Ledger, found: Sequence[Archive], moments: Any, now: int, wanted: Policy, zone: Any
    ) -> None:
        real(self, [change(each) for each in found], moments, now, policy(wanted), zone)

    patch.setattr(Ledger, "__init__", take)


def pins_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    _taking(patch, lambda each: evolve(each, pins=()))


def what_is_in_flight_is_complete(patch: pytest.MonkeyPatch) -> None:
    def complete(each: Archive) -> Archive:
        return evolve(each, state=State.COMPLETE) if each.state is State.IN_FLIGHT else each

    _taking(patch, complete)


def broken_archives_evict_good_ones(patch: pytest.MonkeyPatch) -> None:
    def complete(each: Archive) -> Archive:
        return evolve(each, state=State.COMPLETE) if each.state is State.BROKEN else each

    _taking(patch, complete)


def a_name_is_always_believed(patch: pytest.MonkeyPatch) -> None:
    _taking(patch, policy=lambda policy: evolve(policy, names_count=True))


def nobody_is_too_young(patch: pytest.MonkeyPatch) -> None:
    real = Terms.__init__

    def take(self: Terms, *arguments: Any) -> None:
        real(self, *arguments)
        self.min_age = None

    patch.setattr(Terms, "__init__", take)


def there_is_no_floor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Expiry, "find_floor", lambda *_: None)


def an_orphan_is_the_floor(patch: pytest.MonkeyPatch) -> None:
    def find(_: Expiry, pile: Pile) -> None:
        pile.floor = pile.alive[-1]

    patch.setattr(Expiry, "find_floor", find)


def stamps_of_the_future_are_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "AHEAD_NS", 2**80)


def what_lies_ahead_is_the_newest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(order, "UNDATED", 2**100)


def what_lies_ahead_is_old_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "UNDATED", 0)


def nothing_has_to_be_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "floors", lambda _: {})


def archives_come_in_the_order_of_the_directory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(planning, "by_name", list)


def the_newest_go_first(patch: pytest.MonkeyPatch) -> None:
    real = Piles.may_go
    patch.setattr(Piles, "may_go", lambda self: real(self)[::-1])


def _wanting(patch: pytest.MonkeyPatch, more: int) -> None:
    real = limits.hold

    def hold(ledger: Ledger, group: Any, rule: str, wanted: int | None) -> Any:
        return real(ledger, group, rule, None if wanted is None else wanted + more)

    patch.setattr(planning, "hold", hold)


def a_limit_takes_one_more(patch: pytest.MonkeyPatch) -> None:
    _wanting(patch, -1)


def a_limit_takes_one_less(patch: pytest.MonkeyPatch) -> None:
    _wanting(patch, 1)


def unmet_limits_are_not_said(patch: pytest.MonkeyPatch) -> None:
    real = limits.hold
    patch.setattr(planning, "hold", lambda *arguments: real(*arguments)[:0])


def bytes_leave_pinned_archives_out(patch: pytest.MonkeyPatch) -> None:
    def size(self: Piles) -> int:
        archives = self._ledger.archives
        return sum(archives[index].size for pile in self._piles for index in pile.alive)

    patch.setattr(Piles, "size", size)


def groups_are_prefixes_of_names(patch: pytest.MonkeyPatch) -> None:
    real = Groups._keys

    def keys(self: Groups, container: Container) -> Any:
        return real(self, evolve(container, namespace=container.namespace.partition("-")[0]))

    patch.setattr(Groups, "_keys", keys)


def everything_is_touched(patch: pytest.MonkeyPatch) -> None:
    real = Groups.__init__
    patch.setattr(
        Groups, "__init__", lambda self, ledger, policy, _: real(self, ledger, policy, None)
    )


def an_own_policy_is_one_more(patch: pytest.MonkeyPatch) -> None:
    real = Groups.__init__

    def take(self: Groups, ledger: Ledger, policy: Policy, touched: Any) -> None:
        real(self, ledger, evolve(policy, exclusive=False), touched)

    patch.setattr(Groups, "__init__", take)


def only_what_all_keep_rules_select_stays(patch: pytest.MonkeyPatch) -> None:
    real = Terms.select

    def select(self: Terms, *arguments: Any) -> Mapping[int, tuple[str, ...]]:
        selected = real(self, *arguments).items()
        return {index: rules for index, rules in selected if len(rules) == len(self._rules)}

    patch.setattr(Terms, "select", select)


def an_hour_that_comes_twice_is_one(patch: pytest.MonkeyPatch) -> None:
    def hour(moment: datetime) -> int:
        return moment.toordinal() * 24 + moment.hour

    patch.setattr(keeping, "PERIODS", {**PERIODS, "keep-hourly": hour})


def a_grace_is_over_at_once(patch: pytest.MonkeyPatch) -> None:
    real = Terms.__init__

    def take(self: Terms, *arguments: Any) -> None:
        real(self, *arguments)
        self.grace = 0

    patch.setattr(Terms, "__init__", take)


def a_container_that_is_gone_is_a_pod_that_is_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(expiry, "_WIDTH", dict.fromkeys(Level, 0))


def space_comes_from_the_first_container(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "heapify", lambda heap: None)


def what_goes_anyway_frees_nothing(patch: pytest.MonkeyPatch) -> None:
    real = planning._keep_below

    def keep(ledger: Ledger, directory: Any, marks: Any, space: Space) -> Any:
        return real(ledger, directory, marks, evolve(space, free=space.free - ledger.freed))

    patch.setattr(planning, "_keep_below", keep)


# ----------------------------------------------------------------------------- where it does harm


def some(container: Container, count: int, **changes: Any) -> tuple[Archive, ...]:
    return tuple(
        archive(
            f"{container.pod}{container.container}{n}",
            container,
            **{
                "mtime_ns": NOW_NS - (20 - n) * HOUR,
                **changes,
            },
        )
        for n in range(count)
    )


def asking(*archives: Archive, rules: Rules | None = None, **more: Any) -> Case:
    options = {name: more.pop(name) for name in ("space", "orphans", "touched") if name in more}
    return Case(archives=archives, policy=Policy(rules=rules or Rules(), **more), **options)


ONE: Final = Rules(container_count=1)
GONE: Final[Mapping[Parent, Gone]] = {Parent(APP, "u1"): Gone(Level.CONTAINER, NOW_NS - HOUR)}
TWICE: Final = 1792886400 * 10**9  # 2026-10-25, midnight and a half before the clocks go back


@frozen
class Mutant:
    """A way to be broken, a question to which the answer does harm, and the law that says so."""

    patch: Patch
    law: Law
    case: Case


MUTANTS: Final = (
    Mutant(
        pins_are_not_looked_at,
        laws.nothing_protected_goes,
        asking(*some(APP, 3, pins=("me",)), rules=ONE),
    ),
    Mutant(
        what_is_in_flight_is_complete,
        laws.nothing_protected_goes,
        asking(*some(APP, 3, state=State.IN_FLIGHT), rules=ONE),
    ),
    Mutant(
        broken_archives_evict_good_ones,
        laws.the_floor_stays,
        asking(*some(APP, 1), archive("z", APP, state=State.BROKEN, mtime_ns=NOW_NS), rules=ONE),
    ),
    Mutant(
        a_name_is_always_believed,
        laws.nothing_protected_goes,
        asking(*some(APP, 3, by_name=True), rules=ONE, names_count=False),
    ),
    Mutant(
        nobody_is_too_young,
        laws.nothing_protected_goes,
        asking(*some(APP, 3), rules=evolve(ONE, min_age=timedelta(days=3))),
    ),
    Mutant(
        there_is_no_floor,
        laws.the_floor_stays,
        asking(*some(APP, 2), rules=Rules(max_age=timedelta(hours=1))),
    ),
    Mutant(
        an_orphan_is_the_floor,
        laws.the_floor_stays,
        asking(
            *some(APP, 1, pod_uid="u2"),
            archive("z", APP, pod_uid="u1", mtime_ns=NOW_NS - HOUR),
            rules=evolve(ONE, orphans=OrphanRule(timedelta(days=1))),
            orphans=GONE,
        ),
    ),
    Mutant(
        stamps_of_the_future_are_believed,
        laws.the_floor_stays,
        asking(
            *some(APP, 1),
            archive("z", APP, checkpointed_ns=NOW_NS + DAY, mtime_ns=NOW_NS - DAY),
            rules=ONE,
        ),
    ),
    Mutant(
        what_lies_ahead_is_the_newest,
        laws.the_floor_stays,
        asking(*some(APP, 1), archive("z", APP, mtime_ns=NOW_NS + DAY), rules=ONE),
    ),
    Mutant(
        what_lies_ahead_is_old_enough,
        laws.nothing_protected_goes,
        asking(
            *some(APP, 1),
            archive("z", APP, mtime_ns=NOW_NS + DAY),
            rules=evolve(ONE, min_age=timedelta(hours=1)),
        ),
    ),
    Mutant(
        nothing_has_to_be_there,
        laws.what_something_goes_of_has_what_has_to_be_there,
        asking(*some(APP, 3), rules=ONE),
    ),
    Mutant(
        archives_come_in_the_order_of_the_directory,
        laws.the_order_of_the_archives_is_nothing,
        asking(*some(APP, 3, mtime_ns=1), rules=ONE),
    ),
    Mutant(
        the_newest_go_first,
        laws.a_limit_takes_the_oldest_and_no_more_than_it_has_to,
        asking(*some(APP, 3), rules=Rules(container_count=2)),
    ),
    Mutant(
        a_limit_takes_one_more,
        laws.a_limit_takes_the_oldest_and_no_more_than_it_has_to,
        asking(*some(APP, 4), rules=Rules(container_count=3)),
    ),
    Mutant(
        a_limit_takes_one_less,
        laws.limits_hold_or_the_plan_says_why_not,
        asking(*some(APP, 4), rules=Rules(container_count=3)),
    ),
    Mutant(
        unmet_limits_are_not_said,
        laws.limits_hold_or_the_plan_says_why_not,
        asking(*some(APP, 2), *some(SIDE, 2), rules=Rules(pod_count=1)),
    ),
    Mutant(
        bytes_leave_pinned_archives_out,
        laws.limits_hold_or_the_plan_says_why_not,
        asking(*some(APP, 3), archive("z", APP, size=9, pins=("me",)), rules=Rules(pod_size=10)),
    ),
    Mutant(
        groups_are_prefixes_of_names,
        laws.a_limit_takes_archives_of_its_own_group_alone,
        asking(*some(OTHER, 2, mtime_ns=1), *some(DB, 2), rules=Rules(namespace_count=3)),
    ),
    Mutant(
        everything_is_touched,
        laws.what_is_not_touched_stays,
        asking(*some(APP, 3), *some(DB, 3), rules=ONE, touched=frozenset({DB})),
    ),
    Mutant(
        an_own_policy_is_one_more,
        laws.a_limit_takes_archives_of_its_own_group_alone,
        asking(
            *some(APP, 4),
            rules=Rules(pod_count=2),
            containers={APP: Rules(container_count=3)},
            exclusive=True,
        ),
    ),
    Mutant(
        only_what_all_keep_rules_select_stays,
        laws.it_is_what_the_rules_say_word_by_word,
        asking(*some(APP, 4), rules=Rules(keep_last=2, keep_daily=9)),
    ),
    Mutant(
        an_hour_that_comes_twice_is_one,
        laws.it_is_what_the_rules_say_word_by_word,
        asking(
            archive("a", APP, mtime_ns=TWICE + HOUR // 2),
            archive("b", APP, mtime_ns=TWICE + HOUR // 2 * 3),
            rules=Rules(keep_hourly=9),
            timezone="Europe/Berlin",
        ),
    ),
    Mutant(
        a_grace_is_over_at_once,
        laws.it_is_what_the_rules_say_word_by_word,
        asking(
            *some(APP, 1, pod_uid="u1"),
            rules=Rules(orphans=OrphanRule(timedelta(days=1))),
            orphans=GONE,
        ),
    ),
    Mutant(
        a_container_that_is_gone_is_a_pod_that_is_gone,
        laws.the_floor_stays,
        asking(
            *some(APP, 1, pod_uid="u1"),
            rules=Rules(orphans=OrphanRule(timedelta(), Level.POD)),
            orphans=GONE,
        ),
    ),
    Mutant(
        space_comes_from_the_first_container,
        laws.it_is_what_the_rules_say_word_by_word,
        asking(*some(APP, 2), *some(DB, 3), min_free=1, space=Space(9, 0)),
    ),
    Mutant(
        what_goes_anyway_frees_nothing,
        laws.there_is_room_or_the_plan_says_why_not,
        asking(
            *some(APP, 8),
            rules=Rules(container_count=5),
            watermarks=Watermarks(high=Percent(80), low=Percent(70)),
            space=Space(10, 1),
        ),
    ),
)


def broken_laws(case: Case) -> set[Law]:
    """Return the laws that are broken by the answer to a question."""
    return {law for law in LAWS if is_broken(law, case)}


def is_broken(law: Law, case: Case) -> bool:
    try:
        law(case)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.patch.__name__)
def test_each_broken_plan_is_caught_and_the_right_one_breaks_no_law(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert broken_laws(mutant.case) == set()
    mutant.patch(monkeypatch)
    assert is_broken(mutant.law, mutant.case), "it lives on"
