"""Decoding as Kubernetes does: null is absence, types are strict, what is not known survives."""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.kubernetes.quantity import parse_quantity
from checkpointkit.pods.rules.decoding import decoded
from tests.pods.recorded import recorded

PODS = [each["pod"] for each in recorded("kubelet134_accept")["vectors"]]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("pod", "problem"),
    [
        ([], "the pod: is no object"),
        ({"spec": {"containers": {}}}, "spec.containers: is no list"),
        ({"spec": {"containers": ["a"]}}, "spec.containers[0]: is no object"),
        ({"spec": {"hostNetwork": "true"}}, "spec.hostNetwork: is no boolean"),
        ({"spec": {"hostNetwork": 1}}, "spec.hostNetwork: is no boolean"),
        ({"spec": {"priority": True}}, "spec.priority: is no 32 bit integer"),
        ({"spec": {"priority": 1.0}}, "spec.priority: is no 32 bit integer"),
        ({"spec": {"priority": 2**31}}, "spec.priority: is no 32 bit integer"),
        (
            {"spec": {"activeDeadlineSeconds": 2**63}},
            "spec.activeDeadlineSeconds: is no 64 bit integer",
        ),
        ({"spec": {"overhead": {"cpu": "1x"}}}, "spec.overhead[cpu]: is no quantity"),
        ({"spec": {"overhead": ["cpu"]}}, "spec.overhead: is no object"),
        ({"metadata": {"name": 1}}, "metadata.name: is no text"),
        ({"metadata": {"labels": {"a": 1}}}, "metadata.labels[a]: is no text"),
        (
            {"metadata": {"deletionTimestamp": "yesterday"}},
            "metadata.deletionTimestamp: is no time (RFC 3339)",
        ),
        (
            {"metadata": {"deletionTimestamp": "2026-13-01T00:00:00Z"}},
            "metadata.deletionTimestamp: is no time (RFC 3339)",
        ),
        (
            {"spec": {"containers": [{"livenessProbe": {"tcpSocket": {"port": 1.5}}}]}},
            "spec.containers[0].livenessProbe.tcpSocket.port: is no number or name of a port",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_value_of_another_type_is_refused_with_its_path(pod: Any, problem: str) -> None:
    assert [each.text() for each in decoded(pod)[1]] == [problem]


def test_null_is_as_good_as_absent_and_an_empty_item_in_a_list_or_a_map() -> None:
    pod = {
        "metadata": {"creationTimestamp": None, "labels": {"a": None}, "finalizers": [None]},
        "spec": {"containers": [None], "overhead": {"cpu": None}},
    }
    assert decoded(pod) == (
        {
            "metadata": {"labels": {"a": ""}, "finalizers": [""]},
            "spec": {"containers": [{}], "overhead": {"cpu": "0"}},
        },
        (),
    )


def test_what_no_parser_should_let_through_is_refused_not_raised() -> None:
    deep: Any = "end"
    for _ in range(100_000):
        deep = [deep]
    assert [each.text() for each in decoded({"future": deep})[1]] == [
        "the pod: is nested too deeply"
    ]


@given(st.sampled_from(PODS), st.sampled_from(["metadata", "spec"]), json_values)
def test_unknown_fields_survive_at_any_place(pod: Any, part: str, value: Any) -> None:
    pod = deepcopy(pod)
    pod.setdefault(part, {})["fromTheFuture"] = value
    pod["fromTheFuture"] = value
    copy, problems = decoded(pod)
    assert not problems
    assert copy == pod


@given(st.sampled_from(PODS))
def test_a_decoded_pod_is_a_copy_of_its_own_and_decodes_to_itself(pod: Any) -> None:
    before = deepcopy(pod)
    copy, _ = decoded(pod)
    assert decoded(copy) == (copy, ())
    for part in copy.values():
        if isinstance(part, dict):
            part.clear()
    assert pod == before


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("1", 1),
        ("+1.", 1),
        (".5", Fraction(1, 2)),
        ("100m", Fraction(1, 10)),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("12e-1", Fraction(6, 5)),
        ("-2k", -2000),
        (0.5, Fraction(1, 2)),
        (7, 7),
    ],
)
def test_a_quantity_is_worth_what_kubernetes_says(text: Any, worth: Fraction) -> None:
    assert parse_quantity(text) == worth


@pytest.mark.parametrize(
    "text", ["", "1 ", "Ki", "1ki", "1mi", "1K", "1e", "٣", True, None, [], "1e9999"]
)
def test_what_is_no_quantity_is_none(text: Any) -> None:
    assert parse_quantity(text) is None
