"""Limits, quarantine and free space by example, and the plan as a value."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from checkpointkit.archives import plan as plan_module
from checkpointkit.archives.model import Container, Space, State
from checkpointkit.archives.plan import RULES, Decision, Reason, plan
from checkpointkit.archives.policies import (
    Order,
    Percent,
    Policy,
    Quarantine,
    Rules,
    Watermarks,
)
from tests.archives.plans import APP, DB, PROD, SIDE, go, gone, of, some
from tests.archives.strategies import NOW, NOW_NS, archive

# --------------------------------------------------------------------------- limits: 7 to 11


def test_limits_go_from_narrow_to_wide_and_see_what_is_left() -> None:
    found = [*some(APP, 5), *some(SIDE, 3), *some(DB, 2, "db"), *some(PROD, 2, "prod")]
    rules = Rules(container_count=3, pod_count=5, namespace_count=6)
    made = plan(found, Policy(rules=rules, directory_count=7), NOW)
    assert {each.archive.name: each.rule for each in made.deletions} == {
        "app-0": "container-count",
        "app-1": "container-count",
        "side-0": "pod-count",
        "db-0": "namespace-count",
        "prod-0": "directory-count",
    }
    assert of(made, "db-0").words == "the namespace default has 7 archives, 6 are allowed"
    assert of(made, "side-0").words == "the pod default/web has 6 archives, 5 are allowed"
    assert of(made, "prod-0").words == "the directory has 8 archives, 7 are allowed"
    assert made.unmet == ()


def test_prod_and_prod_eu_are_two_namespaces() -> None:
    found = [*some(PROD, 4, "p"), *some(Container("prod-eu", "web", "app"), 4, "e")]
    assert gone(go(found, Rules(namespace_count=3))) == ["e-0", "p-0"]


def test_counts_leave_protected_ones_out_and_bytes_do_not() -> None:
    found = some(APP, 4, size=10)
    pinned = [evolve(found[0], pins=("me",)), *found[1:]]
    assert gone(go(pinned, Rules(container_count=3))) == []
    assert gone(plan(pinned, Policy(rules=Rules(container_count=3), pins_count=True), NOW)) == [
        "app-1"
    ]
    assert gone(go(pinned, Rules(container_size=30))) == ["app-1"]
    words = of(go(pinned, Rules(container_size=30)), "app-1").words
    assert words == "the container default/web/app has 40 B, 30 B are allowed"


def test_a_count_that_only_pins_exceed_is_unmet_where_pins_count() -> None:
    found = some(APP, 3, pins=("me",))
    made = plan(found, Policy(rules=Rules(container_count=1), pins_count=True), NOW)
    assert gone(made) == []
    assert made.unmet[0].words == (
        "the container default/web/app keeps 3 archives, 1 is allowed: 3 pinned"
    )


def test_one_newest_archive_above_the_total_is_reported_and_stays() -> None:
    found = [*some(APP, 2), archive("huge", APP, size=5000)]
    made = go(found, Rules(container_size=2048))
    assert gone(made) == ["app-0", "app-1"]
    (unmet,) = made.unmet
    assert (unmet.rule, unmet.group, unmet.wanted, unmet.left) == (
        "container-size",
        "default/web/app",
        2048,
        5000,
    )
    assert unmet.blocked == {"floor": 1}
    assert unmet.words == (
        "the container default/web/app keeps 4.88 KiB, 2 KiB are allowed: 1 newest of its container"
    )
    assert gone(go(found, Rules(container_size=2048, allow_empty=True))) == [
        "app-0",
        "app-1",
        "huge",
    ]


def test_a_wide_limit_leaves_the_newest_of_each_container() -> None:
    found = [*some(APP, 3), *some(SIDE, 3), *some(DB, 3, "db"), archive("pin", DB, pins=("me",))]
    made = go(found, Rules(namespace_count=1))
    assert sorted(gone(made)) == ["app-0", "app-1", "db-0", "db-1", "side-0", "side-1"]
    assert made.unmet[0].blocked == {"floor": 3}
    assert made.unmet[0].group == "default"


def test_the_bytes_of_the_directory_are_those_of_everything_in_it() -> None:
    found = [
        *some(APP, 3, size=10),
        archive("unknown", size=20),
        archive("broken", state=State.BROKEN, size=30),
        archive("link", state=State.OTHER, size=40),
    ]
    made = plan(found, Policy(rules=Rules(), directory_size=99), NOW)
    assert gone(made) == ["app-0", "app-1"]
    assert made.unmet[0].blocked == {"other": 1, "unknown": 1, "broken": 1, "floor": 1}
    made = plan(found, Policy(rules=Rules(), directory_size=110), NOW)
    assert (gone(made), made.unmet) == (["app-0"], ())
    made = plan(found, Policy(rules=Rules(), directory_count=1), NOW)
    assert (gone(made), made.unmet) == (["app-0", "app-1"], ())


# --------------------------------------------------------------------------------- quarantine


def test_broken_archives_have_limits_of_their_own_and_no_floor() -> None:
    broken = [
        archive(f"b-{n}", APP, state=State.BROKEN, size=10, mtime_ns=n, problem="cut short")
        for n in range(4)
    ]
    found = [*broken, *some(APP, 2)]
    made = plan(found, Policy(rules=Rules(container_count=2), quarantine=Quarantine(count=1)), NOW)
    assert gone(made) == ["b-0", "b-1", "b-2"]
    assert of(made, "b-0").words == "the quarantine has 4 archives, 1 is allowed"
    assert of(made, "b-3").words == "broken: cut short"
    made = plan(found, Policy(rules=Rules(), quarantine=Quarantine(size=5)), NOW)
    assert gone(made) == ["b-0", "b-1", "b-2", "b-3"]
    everything = Rules(max_size=1, max_age=timedelta(1), keep_last=1, container_size=9)
    policy = Policy(rules=everything, directory_size=1, min_free=99)
    made = plan(found, policy, NOW, space=Space(100, 0))
    assert not [name for name in gone(made) if name.startswith("b-")]


def test_the_oldest_broken_archives_go_first_whatever_their_names() -> None:
    broken = [archive(f"b-{n}", state=State.BROKEN, mtime_ns=-n) for n in range(3)]
    made = plan(broken, Policy(quarantine=Quarantine(count=1)), NOW)
    assert gone(made) == ["b-2", "b-1"]


def test_what_no_count_counts_does_not_block_one() -> None:
    found = [
        *some(APP, 1),
        *some(DB, 1, "db"),
        archive("unknown", pins=("me",)),
        archive("broken", state=State.BROKEN, pins=("me",)),
    ]
    made = plan(found, Policy(rules=Rules(), directory_count=1, pins_count=True), NOW)
    assert made.unmet[0].blocked == {"floor": 2}


def test_broken_archives_that_are_pinned_or_young_stay_and_are_said_to() -> None:
    found = [
        archive("pinned", state=State.BROKEN, pins=("me",), size=8),
        archive("young", state=State.BROKEN, mtime_ns=NOW_NS, size=8),
        archive("theirs", APP, by_name=True, state=State.BROKEN, size=8),
    ]
    policy = Policy(rules=Rules(min_age=timedelta(hours=1)), quarantine=Quarantine(size=9))
    made = plan(found, policy, NOW)
    assert gone(made) == ["theirs"]
    assert made.unmet[0].words == (
        "the quarantine keeps 16 B, 9 B are allowed: 1 too young, 1 pinned"
    )
    assert of(plan(found, Policy(), NOW), "theirs").words == "broken"


# --------------------------------------------------------------------------------- space: rule 12


def test_space_comes_from_the_container_that_holds_most_bytes() -> None:
    found = [*some(APP, 3, size=10), *some(SIDE, 9, size=2), *some(DB, 2, "db", size=12)]
    policy = Policy(rules=Rules(), min_free=36)
    made = plan(found, policy, NOW, space=Space(100, 4))
    assert {each.archive.name: each.rule for each in made.deletions} == dict.fromkeys(
        ["app-0", "db-0", "app-1"], "min-free"
    )
    assert of(made, "app-0").words == "4 B are free, 36 B have to be"


def test_which_container_holds_most_is_asked_again_after_each_archive() -> None:
    found = [*some(APP, 3, size=10), *some(DB, 2, "db", size=12)]
    made = plan(found, Policy(rules=Rules(), min_free=22), NOW, space=Space(100, 0))
    assert sorted(gone(made)) == ["app-0", "db-0"]


def test_what_goes_anyway_counts_as_free() -> None:
    found = some(APP, 4, size=10)
    policy = Policy(rules=Rules(container_count=2), min_free=20)
    made = plan(found, policy, NOW, space=Space(100, 0))
    assert [each.rule for each in made.deletions] == ["container-count"] * 2
    assert made.freed == 20


def test_above_the_high_watermark_archives_go_until_the_low_one() -> None:
    found = some(APP, 9, size=10)
    policy = Policy(rules=Rules(), watermarks=Watermarks(high=Percent(80), low=Percent(50)))
    assert gone(plan(found, policy, NOW, space=Space(100, 20))) == []
    made = plan(found, policy, NOW, space=Space(100, 19))
    assert gone(made) == ["app-0", "app-1", "app-2", "app-3"]
    assert of(made, "app-0").words == "81 B are in use, archives go down to 50 B"


def test_room_that_cannot_be_made_is_said() -> None:
    found = [*some(APP, 2, size=1000), archive("pin", APP, pins=("me",))]
    marks = Watermarks(high=2000, low=Percent(50))
    policy = Policy(rules=Rules(), min_free=Percent(50), watermarks=marks)
    made = plan(found, policy, NOW, space=Space(4096 * 2, 0))
    assert gone(made) == ["app-0"]
    assert [each.words for each in made.unmet] == [
        "1000 B will be free, 4.00 KiB have to be: 1 pinned, 1 newest of its container",
        "7.02 KiB stay in use, 1.95 KiB are allowed: 1 pinned, 1 newest of its container",
    ]


def test_a_file_system_that_is_full_of_other_things_is_said_as_well() -> None:
    made = plan([], Policy(min_free=9), NOW, space=Space(10, 0))
    assert made.unmet[0].words == "0 B will be free, 9 B have to be: nothing here can go"


def test_without_a_look_at_the_file_system_nothing_goes_for_it() -> None:
    marks = Watermarks(high=2, low=1)
    made = plan(some(APP, 3), Policy(rules=Rules(), min_free=9, watermarks=marks), NOW)
    assert (gone(made), made.unmet) == ([], ())


# ------------------------------------------------------------------ exclusive and touched groups


def exclusive(**entries: Any) -> Policy:
    rules = Rules(container_count=9, pod_count=1, namespace_count=1, allow_empty=True)
    return Policy(rules=rules, exclusive=True, **entries)


def test_what_has_a_policy_of_its_own_is_limited_by_it_alone() -> None:
    found = [*some(APP, 3), *some(SIDE, 3), *some(DB, 3, "db")]
    made = plan(found, exclusive(containers={APP: Rules(container_count=2)}), NOW)
    assert [name for name in gone(made) if name[:3] == "app"] == ["app-0"]
    assert len(gone(made)) == 6
    made = plan(found, exclusive(pods={("default", "web"): Rules(pod_count=4)}), NOW)
    assert [name for name in gone(made) if name[:2] != "db"] == ["app-0", "side-0"]
    made = plan(found, exclusive(namespaces={"default": Rules(namespace_count=7)}), NOW)
    assert gone(made) == ["app-0", "db-0"]


def test_only_groups_that_were_touched_are_looked_at() -> None:
    found = [*some(APP, 3), *some(SIDE, 3), *some(DB, 3, "db"), *some(PROD, 3, "prod", size=9)]
    rules = Rules(container_count=2, pod_count=3, max_size=8)
    assert gone(go(found, rules, touched=[])) == []
    made = go(found, rules, touched=[DB])
    assert gone(made) == ["db-0"]
    absent = Container("prod", "other", "app")
    assert gone(go(found, rules, touched=[absent])) == ["prod-0", "prod-1"]
    rules = Rules(container_count=2, keep_last=1)
    made = go(found, rules, touched=[PROD])
    assert gone(made) == ["prod-0", "prod-1"]
    assert of(made, "app-0").rule == "no-rule"


# ------------------------------------------------------------------------------------ the plan


def test_decisions_are_a_sequence_that_is_made_when_somebody_looks() -> None:
    made = go(some(APP, 3), Rules(container_count=1))
    assert len(made.decisions) == 3
    assert made.decisions[0].delete
    assert [each.archive.name for each in made.decisions[1:]] == ["app-1", "app-2"]
    assert made.decisions[-1] in made.decisions
    assert made == go(some(APP, 3), Rules(container_count=1))
    assert hash(made.decisions[0]) == hash(Decision(some(APP, 1)[0], made.decisions[0].reason))


def test_deletions_come_oldest_first_and_say_what_they_free() -> None:
    found = [archive(f"z-{n}", APP, size=n, mtime_ns=NOW_NS - n) for n in range(1, 5)]
    made = go(found, Rules(container_count=2))
    assert gone(made) == ["z-4", "z-3"]
    assert made.freed == 7
    assert (made.now_ns, made.order) == (NOW_NS, Order.CHECKPOINTED)


def test_every_rule_has_a_name_that_is_listed_once() -> None:
    assert len(set(RULES)) == len(RULES)
    assert Reason("max-age") == Reason("max-age", delete=False)
    assert set(plan_module.__all__) <= set(dir(plan_module))


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (3 * 2**29, "1.50 GiB"),
        (2**63, "8.00 EiB"),
        (2**75, "32768.00 EiB"),
    ],
)
def test_sizes_that_were_measured_are_rounded(size: int, words: str) -> None:
    reason = Reason("pod-size", delete=True, group="a/b", wanted=1, found=size)
    assert Decision(archive("a", APP), reason).words == f"the pod a/b has {words}, 1 B are allowed"
