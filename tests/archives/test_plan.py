"""Each rule of a plan by example: what goes, what stays, and the words for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from checkpointkit.archives.calendar import local_time, zone_of
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import Archive, Container, Gone, Level, Parent, Space, State
from checkpointkit.archives.plan import plan
from checkpointkit.archives.planning.order import UNDATED, moment
from checkpointkit.archives.policies import (
    Order,
    OrphanRule,
    Policy,
    Quarantine,
    Rules,
)
from tests.archives.plans import APP, DB, go, gone, of, some
from tests.archives.strategies import DAY, HOUR, MINUTE, NOW, NOW_NS, archive

# ----------------------------------------------------------------------- which is older: rule 2


def test_an_archive_is_as_old_as_it_says_else_as_its_name_says_else_as_it_was_written() -> None:
    said = archive("a", APP, checkpointed_ns=1, named_ns=2, mtime_ns=3)
    assert moment(said, Order.CHECKPOINTED, NOW_NS) == 1
    assert moment(evolve(said, checkpointed_ns=None), Order.CHECKPOINTED, NOW_NS) == 2
    nothing = evolve(said, checkpointed_ns=None, named_ns=None)
    assert moment(nothing, Order.CHECKPOINTED, NOW_NS) == 3
    assert moment(said, Order.MTIME, NOW_NS) == 3


def test_stamps_of_more_than_five_minutes_ahead_are_passed_over() -> None:
    late = NOW_NS + 5 * MINUTE
    found = archive("a", APP, checkpointed_ns=late, named_ns=7)
    assert moment(found, Order.CHECKPOINTED, NOW_NS) == late
    found = evolve(found, checkpointed_ns=late + 1)
    assert moment(found, Order.CHECKPOINTED, NOW_NS) == 7
    found = evolve(found, named_ns=late + 1, mtime_ns=late)
    assert moment(found, Order.CHECKPOINTED, NOW_NS) == late
    found = evolve(found, mtime_ns=late + 1)
    assert moment(found, Order.CHECKPOINTED, NOW_NS) == UNDATED < -(2**90)
    assert moment(evolve(found, state=State.BROKEN), Order.CHECKPOINTED, NOW_NS) == UNDATED
    assert moment(found, Order.MTIME, NOW_NS) == late + 1


def ahead(name: str, days: int, **changes: Any) -> Archive:
    """Return an archive that a clock was wrong about which was so many days ahead."""
    late = NOW_NS + days * DAY
    return archive(name, APP, checkpointed_ns=late, mtime_ns=late, ctime_ns=late, **changes)


def test_what_a_wrong_clock_has_stamped_is_kept_and_evicts_nothing() -> None:
    found = [*(ahead(f"late-{n}", 400 - n) for n in range(3)), archive("good", APP, named_ns=1)]
    for rules in (Rules(keep_last=2), Rules(container_count=1), Rules(max_age=timedelta(hours=1))):
        assert gone(go(found, rules)) == []
    made = go([*found, archive("old", APP)], Rules(container_count=1))
    assert of(made, "late-0").rule == "undated"
    assert "ahead of the clock" in of(made, "late-0").words
    assert len(gone(made)) == 1, "they are not counted, and the floor is none of them"
    made = plan(found, Policy(rules=Rules(keep_last=1), order=Order.MTIME), NOW)
    assert of(made, "late-0").rule == "floor", "the operator's order is by mtime, whatever it is"


def test_broken_archives_of_a_wrong_clock_go_first() -> None:
    broken = [ahead("late", 400, state=State.BROKEN), archive("old", APP, state=State.BROKEN)]
    assert gone(plan(broken, Policy(quarantine=Quarantine(count=1)), NOW)) == ["late"]


# -------------------------------------------------------------------- what has to be there


def test_a_plan_says_what_has_to_stay_where_something_goes() -> None:
    found = [*some(APP, 3), *some(DB, 1)]
    assert plan(found, Policy(rules=Rules()), NOW).floors == {}
    assert plan(found, Policy(rules=Rules(container_count=1)), NOW).floors == {APP: found[2]}
    assert go(found, Rules(container_count=1, allow_empty=True)).floors == {}
    gone_by = orphan_of(APP, Level.POD)
    assert go(found, Rules(orphans=OrphanRule(timedelta())), orphans=gone_by).floors == {}
    made = plan(found, Policy(directory_count=2), NOW, space=Space(9, 0))
    assert made.floors == {APP: found[2]}
    made = plan(found, Policy(min_free=1), NOW, space=Space(9, 0))
    assert made.floors == {APP: found[2]}


def test_a_forged_time_does_not_make_an_archive_the_newest_for_ever() -> None:
    forged = archive("forged", APP, checkpointed_ns=NOW_NS + 900 * DAY, mtime_ns=NOW_NS - 9 * DAY)
    made = go([forged, archive("good", APP)], Rules(container_count=1))
    assert gone(made) == ["forged"]


def test_what_a_broken_archive_says_of_itself_is_not_believed() -> None:
    broken = archive("a", APP, state=State.BROKEN, checkpointed_ns=1, mtime_ns=5)
    assert moment(broken, Order.CHECKPOINTED, NOW_NS) == 5


def test_archives_of_one_moment_go_by_the_bytes_of_their_names() -> None:
    names = ["é", "\udcff", "b", "B", "\U0001f600"]
    made = go([archive(name, APP) for name in names], Rules(container_count=1))
    assert gone(made) == ["B", "b", "é", "\U0001f600"]
    assert [each.archive.name for each in made.decisions][-1] == "\udcff"


def test_a_time_without_a_time_zone_is_refused() -> None:
    with pytest.raises(PolicyError, match="no time zone"):
        plan([], Policy(), datetime(2026, 1, 1))


# --------------------------------------------------------------------------- PROTECTED: rule 3


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"pins": ("a", "b")}, "pinned", "pinned by a, b"),
        ({"container": None}, "unknown", "nobody knows whose it is"),
        (
            {"container": None, "problem": "two answers"},
            "unknown",
            "nobody knows whose it is: two answers",
        ),
        ({"state": State.IN_FLIGHT}, "in-flight", "it may still be written"),
        ({"state": State.UNREADABLE}, "unreadable", "not readable"),
        ({"state": State.UNREADABLE, "problem": "no"}, "unreadable", "not readable: no"),
        ({"state": State.OTHER}, "other", "no regular file, never touched"),
        (
            {"state": State.POD_CHECKPOINT},
            "pod-checkpoint",
            "a pod checkpoint of the kubelet's, never touched",
        ),
        ({"mtime_ns": NOW_NS - HOUR + 1}, "min-age", "younger than 1h"),
    ],
)
def test_no_rule_deletes_what_is_protected(changes: dict[str, Any], rule: str, words: str) -> None:
    old = archive("old", **{"container": APP, "mtime_ns": 0, **changes})
    rules = Rules(
        keep_last=1,
        max_age=timedelta(seconds=1),
        max_size=1,
        container_count=1,
        namespace_size=1,
        min_age=timedelta(hours=1),
        orphans=OrphanRule(timedelta()),
        allow_empty=True,
    )
    policy = Policy(rules=rules, directory_count=1, directory_size=1, min_free=9)
    orphans = {Parent(APP): Gone(Level.NAMESPACE, 0)}
    made = plan([evolve(old, size=9)], policy, NOW, space=Space(10, 0), orphans=orphans)
    assert gone(made) == []
    assert (of(made, "old").rule, of(made, "old").words) == (rule, words)


def test_an_archive_of_exactly_the_minimum_age_is_not_too_young() -> None:
    found = [archive("a", APP)]
    rules = Rules(min_age=timedelta(days=1), max_age=timedelta(hours=1), allow_empty=True)
    assert gone(go(found, rules)) == ["a"]


def test_a_pinned_archive_of_exactly_the_minimum_age_counts_as_pinned() -> None:
    made = go([archive("a", APP, pins=("me",))], Rules(min_age=timedelta(days=1)))
    assert of(made, "a").rule == "pinned"


def test_a_name_alone_tells_nothing_where_the_policy_says_so() -> None:
    found = some(APP, 3, by_name=True)
    rules = Rules(container_count=1)
    assert gone(plan(found, Policy(rules=rules), NOW)) == ["app-0", "app-1"]
    made = plan(found, Policy(rules=rules, names_count=False), NOW)
    assert {each.rule for each in made.decisions} == {"unknown"}


# --------------------------------------------------------------------------- keep rules: rule 4


def test_keep_rules_unite_and_what_none_selects_expires() -> None:
    found = [archive(f"day-{n:02}", APP, mtime_ns=NOW_NS - n * DAY) for n in range(12)]
    made = go(found, Rules(keep_last=2, keep_daily=4, keep_weekly=2, allow_empty=True))
    assert [each.archive.name for each in made.decisions if not each.delete] == [
        "day-00",
        "day-01",
        "day-02",
        "day-03",
        "day-07",
    ]
    assert of(made, "day-00").rule == "keep-last"
    assert of(made, "day-00").words == (
        "one of the newest 2 of its container, and of the newest of 4 days,"
        " and of the newest of 2 weeks"
    )
    assert of(made, "day-07").words == "one of the newest of 2 weeks"
    assert of(made, "day-08").words == "no keep rule selects it"


def test_keep_within_is_counted_from_the_newest_and_not_from_now() -> None:
    found = some(APP, 5)
    made = go(found, Rules(keep_within=timedelta(hours=2)))
    assert gone(made) == ["app-0", "app-1"]
    assert of(made, "app-2").words == "one of those of 2h before its container's newest"
    assert of(made, "app-4").words == (
        "newest complete archive of default/web/app, always kept;"
        " one of those of 2h before its container's newest"
    )


def test_without_a_keep_rule_nothing_expires_by_them() -> None:
    made = go(some(APP, 30), Rules())
    assert gone(made) == []
    assert of(made, "app-0").words == "no rule says that it goes"


def test_a_pinned_archive_takes_no_place_of_the_newest() -> None:
    found = some(APP, 4)
    found[3] = evolve(found[3], pins=("me",))
    assert gone(go(found, Rules(keep_last=2))) == ["app-0"]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def test_an_hour_that_the_clock_shows_twice_is_two_hours() -> None:
    texts = ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T02:45+01:00"]
    found = [archive(f"a-{n}", APP, mtime_ns=at(text)) for n, text in enumerate(texts)]
    policy = Policy(rules=Rules(keep_hourly=9), timezone="Europe/Berlin")
    assert gone(plan(found, policy, NOW)) == ["a-1"]


def test_days_begin_in_the_time_zone_of_the_policy() -> None:
    texts = ["2026-10-01T21:59+00:00", "2026-10-01T22:01+00:00", "2026-10-02T03:00+00:00"]
    found = [archive(f"a-{n}", APP, mtime_ns=at(text)) for n, text in enumerate(texts)]
    rules = Rules(keep_daily=9)
    assert gone(plan(found, Policy(rules=rules), NOW)) == ["a-0"]
    assert gone(plan(found, Policy(rules=rules, timezone="Europe/Berlin"), NOW)) == ["a-1"]


def test_a_day_of_twentyfive_hours_is_one_day() -> None:
    texts = ["2026-10-24T22:30+00:00", "2026-10-25T22:30+00:00"]
    found = [archive(f"a-{n}", APP, mtime_ns=at(text)) for n, text in enumerate(texts)]
    policy = Policy(rules=Rules(keep_daily=9), timezone="Europe/Berlin")
    assert gone(plan(found, policy, datetime(2026, 11, 1, tzinfo=UTC))) == ["a-0"]


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        # The last day of 2024 is in the first ISO week of 2025, and so is the first of 2025.
        ("keep_weekly", ["2024-12-29", "2024-12-31", "2025-01-01"]),
        ("keep_monthly", ["2024-12-31", "2025-01-01", "2025-01-31"]),
        ("keep_yearly", ["2024-12-31", "2025-01-01", "2025-12-31"]),
    ],
)
def test_weeks_months_and_years_end_where_the_calendar_says(rule: str, texts: list[str]) -> None:
    found = [archive(f"a-{n}", APP, mtime_ns=at(f"{t}T12:00Z")) for n, t in enumerate(texts)]
    nine: dict[str, Any] = {rule: 9}
    assert gone(go(found, Rules(**nine))) == ["a-1"]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
@pytest.mark.parametrize("stamp", [-62_135_596_800 * 10**9, -(2**90), 2**90])
def test_a_stamp_of_no_year_of_the_calendar_stops_nothing(zone: str, stamp: int) -> None:
    assert local_time(stamp, zone_of(zone)).year in {1, 2, 9997, 9998}
    found = [archive("a", APP, mtime_ns=stamp), archive("b", APP)]
    policy = Policy(rules=Rules(keep_hourly=1, keep_yearly=5), timezone=zone)
    assert gone(plan(found, policy, NOW)) == []


# ------------------------------------------------------------------- orphans, age, size: 5 and 6


def orphan_of(container: Container, level: Level, since: int = 0, uid: str = "") -> Any:
    return {Parent(container, uid): Gone(level, since)}


def test_an_orphan_goes_after_its_grace_and_has_no_floor() -> None:
    rules = Rules(orphans=OrphanRule(timedelta(days=1)))
    found = some(APP, 2)
    orphans = orphan_of(APP, Level.POD, NOW_NS - DAY)
    made = go(found, rules, orphans=orphans)
    assert gone(made) == ["app-0", "app-1"]
    assert of(made, "app-1").words == "the pod of default/web/app is gone for more than 1d"
    orphans = orphan_of(APP, Level.POD, NOW_NS - DAY + 1)
    assert gone(go(found, rules, orphans=orphans)) == []
    made = go(found, Rules(orphans=OrphanRule(timedelta())), orphans=orphans)
    assert of(made, "app-1").words == "the pod of default/web/app is gone"


@pytest.mark.parametrize(
    ("level", "wanted", "goes"),
    [
        (Level.CONTAINER, Level.CONTAINER, True),
        (Level.CONTAINER, Level.POD, False),
        (Level.POD, Level.POD, True),
        (Level.POD, Level.NAMESPACE, False),
        (Level.NAMESPACE, Level.POD, True),
    ],
)
def test_as_much_has_to_be_gone_as_the_policy_asks_for(
    level: Level, wanted: Level, *, goes: bool
) -> None:
    rules = Rules(orphans=OrphanRule(timedelta(), wanted))
    assert bool(gone(go(some(APP, 1), rules, orphans=orphan_of(APP, level)))) is goes


def test_a_later_pod_of_the_same_name_keeps_its_own_archives_and_its_floor() -> None:
    old, new = some(APP, 2, "old", pod_uid="u1"), some(APP, 2, "new", pod_uid="u2")
    rules = Rules(orphans=OrphanRule(timedelta()), container_count=1)
    made = go([*old, *new], rules, orphans=orphan_of(APP, Level.POD, uid="u1"))
    assert gone(made) == ["new-0", "old-0", "old-1"]
    assert of(made, "new-1").rule == "floor"


def test_an_orphan_within_its_grace_does_not_take_the_floor_of_the_pod_that_is_there() -> None:
    young = [archive("new", APP, pod_uid="u1"), archive("old", APP, mtime_ns=0, pod_uid="u2")]
    rules = Rules(orphans=OrphanRule(timedelta(days=9)), container_count=1)
    orphans = orphan_of(APP, Level.POD, NOW_NS, "u1")
    assert gone(go(young, rules, orphans=orphans)) == ["new"]


def test_orphans_stay_where_no_rule_asks_for_them() -> None:
    assert gone(go(some(APP, 2), Rules(), orphans=orphan_of(APP, Level.NAMESPACE))) == []


def test_age_and_size_take_even_what_a_keep_rule_selects_and_never_the_floor() -> None:
    found = [
        archive("old", APP, mtime_ns=NOW_NS - 3 * DAY),
        archive("edge", APP, mtime_ns=NOW_NS - 2 * DAY),
        archive("large", APP, size=101),
        archive("full", APP, size=100),
        archive("newest", APP, size=999, mtime_ns=NOW_NS - HOUR),
    ]
    made = go(found, Rules(keep_last=9, max_age=timedelta(days=2), max_size=100))
    assert gone(made) == ["old", "large"]
    assert of(made, "old").words == "older than 2d"
    assert of(made, "large").words == "101 B large, 100 B are allowed"
    assert of(made, "newest").rule == "floor"
