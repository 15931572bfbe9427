"""Policies: what is refused and what to write instead, and which rule counts for whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import fields

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import Container, Level
from checkpointkit.archives.policies import (
    INHERIT,
    OrphanRule,
    Percent,
    Policy,
    Quarantine,
    Rules,
    Watermarks,
)
from checkpointkit.errors import CheckpointError

APP = Container("default", "web", "app")
ANY: Any = "a value of the wrong type"
NOTHING: Any = None


def refused(make: Callable[[], object]) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        make()
    assert isinstance(caught.value, CheckpointError)
    return caught.value


@pytest.mark.parametrize("value", [0, -1, -(2**63)])
@pytest.mark.parametrize("name", ["keep_last", "container_count", "namespace_size", "max_size"])
def test_nothing_and_less_are_refused_with_what_switches_a_rule_off(name: str, value: Any) -> None:
    error = refused(lambda: Rules(**{name: value}))
    assert error.where == name
    assert "write `none`" in error.reason
    assert str(error) == f"{name}: {error.reason}"


@pytest.mark.parametrize("value", [True, False, 1.0, "10", timedelta(1)])
def test_a_count_is_a_whole_number(value: Any) -> None:
    error = refused(lambda: Rules(container_count=value))
    assert error.reason == f"it has to be a whole number, not {type(value).__name__}"


@pytest.mark.parametrize("value", [timedelta(), timedelta(-1)])
def test_a_length_of_time_is_longer_than_nothing(value: timedelta) -> None:
    assert "write `none`" in refused(lambda: Rules(max_age=value)).reason


@pytest.mark.parametrize("value", [5, "14d", True])
def test_a_length_of_time_is_a_timedelta(value: Any) -> None:
    assert "length of time" in refused(lambda: Rules(keep_within=value)).reason


@pytest.mark.parametrize("value", [0, 100, -3, 100.5, float("nan"), float("inf"), True, "80%"])
def test_a_share_is_above_nothing_and_below_all(value: Any) -> None:
    assert "above 0 % and below 100 %" in refused(lambda: Percent(value)).reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: Watermarks(high=1, low=2),
        lambda: Watermarks(high=Percent(80), low=Percent(80.5)),
    ],
)
def test_the_low_watermark_is_not_above_the_high_one(make: Callable[[], Watermarks]) -> None:
    assert refused(make).where == "low"


@pytest.mark.parametrize("marks", [(2, 2), (2, 1), (Percent(9), Percent(8)), (Percent(1), 2**60)])
def test_watermarks_may_be_equal_and_of_two_kinds(marks: tuple[Any, Any]) -> None:
    assert Watermarks(high=marks[0], low=marks[1]).low == marks[1]


def test_both_watermarks_are_needed() -> None:
    assert "both are needed" in refused(lambda: Watermarks(high=NOTHING, low=1)).reason


@pytest.mark.parametrize("value", [timedelta(-1), 5, None])
def test_a_grace_is_a_length_of_time_and_may_be_nothing(value: Any) -> None:
    assert refused(lambda: OrphanRule(value)).where == "grace"
    assert OrphanRule(timedelta()).gone is Level.CONTAINER


def test_a_directory_is_never_gone() -> None:
    error = refused(lambda: OrphanRule(timedelta(1), Level.DIRECTORY))
    assert error.reason == "a directory is never gone; write container, pod or namespace"


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: OrphanRule(timedelta(), gone=ANY), "gone"),
        (lambda: Rules(orphans=ANY), "orphans"),
        (lambda: Rules(allow_empty=ANY), "allow_empty"),
        (lambda: Rules(allow_empty=None), "allow_empty"),  # type: ignore[arg-type]
        (lambda: Quarantine(count=0), "count"),
        (lambda: Quarantine(size=ANY), "size"),
        (lambda: Policy(rules=ANY), "rules"),
        (lambda: Policy(namespaces=ANY), "namespaces"),
        (lambda: Policy(namespaces={"a": ANY}), "a"),
        (lambda: Policy(directory_count=0), "directory_count"),
        (lambda: Policy(directory_size=ANY), "directory_size"),
        (lambda: Policy(min_free=0), "min_free"),
        (lambda: Policy(min_free=ANY), "min_free"),
        (lambda: Policy(watermarks=ANY), "watermarks"),
        (lambda: Policy(quarantine=ANY), "quarantine"),
        (lambda: Policy(timezone=7), "timezone"),  # type: ignore[arg-type]
        (lambda: Policy(order=ANY), "order"),
        (lambda: Policy(pins_count=1), "pins_count"),  # type: ignore[arg-type]
        (lambda: Policy(exclusive=ANY), "exclusive"),
        (lambda: Policy(names_count=None), "names_count"),  # type: ignore[arg-type]
        (lambda: Policy(directory_count=INHERIT), "directory_count"),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_another_type_is_refused_where_it_stands(
    make: Callable[[], object], where: str
) -> None:
    assert refused(make).where == where


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "America", "Europe/\0", "é"])
def test_a_time_zone_that_nobody_knows_is_refused_with_what_to_install(name: str) -> None:
    error = refused(lambda: Policy(timezone=name))
    assert error.where == "timezone"
    assert "tzdata" in error.reason
    assert "\0" not in str(error)


@pytest.mark.parametrize("value", [5, None])
@pytest.mark.parametrize("name", ["pod_count", "pod_size", "namespace_count", "namespace_size"])
def test_a_container_has_no_limit_of_its_pod_or_namespace(name: str, value: Any) -> None:
    error = refused(lambda: Policy(containers={APP: Rules(**{name: value})}))
    level = name.partition("_")[0]
    assert error.where == f"{name} of default/web/app"
    assert error.reason == f"that is a {level}'s limit; write it in the policy of the {level}"


def test_a_pod_has_no_limit_of_its_namespace_and_has_its_own() -> None:
    error = refused(lambda: Policy(pods={("default", "web"): Rules(namespace_size=1)}))
    assert error.where == "namespace_size of default/web"
    assert Policy(pods={("default", "web"): Rules(pod_size=1)})


def test_a_more_specific_policy_replaces_the_wider_one_field_by_field() -> None:
    policy = Policy(
        rules=Rules(container_count=10, max_age=timedelta(30), max_size=99, keep_last=1),
        namespaces={"default": Rules(container_count=7, max_age=None, keep_daily=3)},
        pods={("default", "web"): Rules(container_count=5, allow_empty=True)},
        containers={APP: Rules(container_count=3, keep_daily=None, allow_empty=False)},
    )
    rules = policy.rules_for(APP)
    assert (rules.container_count, rules.max_age, rules.max_size) == (3, None, 99)
    assert (rules.keep_last, rules.keep_daily, rules.keep_hourly) == (1, None, None)
    assert rules.allow_empty is False
    sidecar = policy.rules_for(Container("default", "web", "sidecar"))
    assert (sidecar.container_count, sidecar.keep_daily, sidecar.allow_empty) == (5, 3, True)
    assert policy.rules_for(Container("default", "db", "app")).container_count == 7
    elsewhere = policy.rules_for(Container("default-2", "web", "app"))
    assert (elsewhere.container_count, elsewhere.max_age) == (10, timedelta(30))


def test_the_limit_of_a_pod_is_that_of_the_pod_its_namespace_or_all() -> None:
    policy = Policy(
        rules=Rules(pod_count=20, namespace_count=30),
        namespaces={"default": Rules(pod_count=6, namespace_count=None)},
        pods={("default", "web"): Rules(pod_count=None)},
        containers={APP: Rules(keep_last=2)},
    )
    assert policy.rules_of_pod("default", "web").pod_count is None
    assert policy.rules_of_pod("default", "db").pod_count == 6
    assert policy.rules_of_pod("prod", "web").pod_count == 20
    assert policy.rules_of_namespace("default").namespace_count is None
    assert policy.rules_of_namespace("prod").namespace_count == 30
    assert policy.general_rules().pod_count == 20


def test_what_is_resolved_has_every_rule_and_is_resolved_once() -> None:
    policy = Policy(rules=Rules())
    rules = policy.rules_for(APP)
    assert INHERIT not in [getattr(rules, each.name) for each in fields(Rules)]
    assert rules.allow_empty is False
    assert policy.rules_for(Container("other", "pod", "x")) is rules


def test_a_policy_does_not_change_with_the_mapping_that_it_was_made_of() -> None:
    entries = {"default": Rules(keep_last=1)}
    policy = Policy(namespaces=entries)
    entries["default"] = Rules(keep_last=2)
    entries["prod"] = Rules(keep_last=2)
    assert policy == Policy(namespaces={"default": Rules(keep_last=1)})
    assert policy.rules_for(APP).keep_last == 1


@pytest.mark.parametrize(
    ("field", "key", "words"),
    [
        ("namespaces", ("default",), "a namespace is named by a str"),
        ("pods", "default/web", "a pod is named by"),
        ("pods", ("default", "web", "app"), "a pod is named by"),
        ("pods", ("default", None), "a pod is named by"),
        ("containers", ("default", "web", "app"), "a container is named by a Container"),
        ("containers", "default/web/app", "a container is named by a Container"),
    ],
)
def test_a_key_that_would_match_nothing_is_refused(field: str, key: Any, words: str) -> None:
    given: Any = {field: {key: Rules(container_count=100)}}
    with pytest.raises(PolicyError, match=words) as caught:
        Policy(**given)
    assert caught.value.where == field
