"""A policy is written down, and read as the same; and other readers of YAML see the same words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.archives.amounts import LARGEST_COUNT, LARGEST_SIZE, LONGEST
from checkpointkit.archives.model import Container, Level
from checkpointkit.archives.policies import (
    INHERIT,
    Order,
    OrphanRule,
    Percent,
    Policy,
    Quarantine,
    Rules,
    Watermarks,
)
from checkpointkit.archives.policyfiles.operator import read_operator
from checkpointkit.archives.policyfiles.reading import read_policy
from checkpointkit.archives.policyfiles.text import policy_text

counts = st.none() | st.integers(1, LARGEST_COUNT)
sizes = st.none() | st.integers(1, LARGEST_SIZE)
times = st.none() | st.timedeltas(timedelta(microseconds=1), LONGEST)
percents = st.floats(0.001, 100, exclude_max=True).map(Percent)
shares = percents | st.integers(1, LARGEST_SIZE)
orphans = st.builds(
    OrphanRule,
    st.timedeltas(timedelta(), LONGEST),
    st.sampled_from([Level.CONTAINER, Level.POD, Level.NAMESPACE]),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "keep_within": times,
    "max_age": times,
    "min_age": times,
    "max_size": sizes,
    "container_size": sizes,
    "pod_size": sizes,
    "namespace_size": sizes,
    "orphans": st.none() | orphans,
    "allow_empty": st.booleans(),
}
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True) | st.sampled_from(
    ["null", "true", "on", "none", "010", "1e3", "y", "0x1"]
)


def rules_without(*prefixes: str) -> st.SearchStrategy[Rules]:
    names = [each.name for each in fields(Rules) if not each.name.startswith(prefixes)]
    return st.fixed_dictionaries(
        {}, optional={name: VALUES.get(name, counts) for name in names}
    ).map(lambda found: Rules(**found))


@st.composite
def marks(draw: st.DrawFn) -> Watermarks:
    if draw(st.booleans()):
        low, high = sorted((draw(percents), draw(percents)), key=lambda each: each.value)
        return Watermarks(high=high, low=low)
    return Watermarks(high=draw(percents), low=draw(st.integers(1, LARGEST_SIZE)))


policies = st.builds(
    Policy,
    rules=rules_without("-"),
    namespaces=st.dictionaries(labels, rules_without("-"), max_size=2),
    pods=st.dictionaries(st.tuples(labels, labels), rules_without("namespace_"), max_size=2),
    containers=st.dictionaries(
        st.builds(Container, labels, labels, labels),
        rules_without("pod_", "namespace_"),
        max_size=2,
    ),
    directory_count=counts,
    directory_size=sizes,
    min_free=st.none() | shares,
    watermarks=st.none() | marks(),
    quarantine=st.none() | st.builds(Quarantine, count=counts, size=sizes),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    order=st.sampled_from(Order),
    pins_count=st.booleans(),
    exclusive=st.booleans(),
    names_count=st.booleans(),
)


def normal(policy: Policy) -> Policy:
    """What is inherited from nowhere is off; the file says so of the one that has a default."""
    if policy.rules.container_count is INHERIT:
        return evolve(policy, rules=evolve(policy.rules, container_count=None))
    return policy


@pytest.mark.slow
@given(policies)
@settings(max_examples=60)
def test_a_policy_that_was_written_down_is_read_as_the_same(policy: Policy) -> None:
    found = read_policy(policy_text(policy), source="p.yaml")
    assert found.policy == normal(policy)
    assert found.notes == ()


@pytest.mark.slow
@given(policies)
@settings(max_examples=60)
def test_what_is_written_down_is_yaml_to_others_too_and_of_the_same_words(policy: Policy) -> None:
    found = yaml.safe_load(policy_text(policy))
    entries = [
        *((each["namespace"],) for each in found.get("namespaces", ())),
        *((each["namespace"], each["pod"]) for each in found.get("pods", ())),
    ]
    assert entries == [*((name,) for name in sorted(policy.namespaces)), *sorted(policy.pods)]


@given(st.text(st.characters(min_codepoint=1), max_size=12).map(lambda text: "/" + text))
def test_any_directory_is_read_as_it_was_written(directory: str) -> None:
    text = policy_text(Policy(), directory=directory)
    assert read_policy(text, source="p.yaml").directory == directory


def test_the_policy_of_an_operator_can_be_written_down() -> None:
    spec = {
        "globalPolicy": {"maxCheckpointsPerPod": 0, "retainOrphan": False},
        "podPolicies": [{"namespace": "shop", "pod": "web", "maxTotalSize": "5Gi"}],
    }
    policy = read_operator(spec).policy
    assert read_policy(policy_text(policy), source="p.yaml").policy == policy


def test_a_policy_without_a_limit_says_so_since_a_file_that_is_silent_has_the_default() -> None:
    text = policy_text(Policy(rules=Rules()))
    assert "maxCheckpointsPerContainer: none\n" in text
    assert read_policy(text, source="p.yaml").policy.rules == Rules(container_count=None)
