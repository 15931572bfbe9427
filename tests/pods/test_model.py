"""What a parent is, what a checkpoint is, and names that cannot collide or leave their place."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.keys import is_key
from checkpointkit.pods.model import (
    CHECKPOINT,
    CHECKPOINT_OF,
    CONFIG_SOURCE,
    Pod,
    PodName,
    Scope,
    manifest_file,
    original_file,
    own_name,
    read_pod,
    record_key,
)

NAME = PodName("kube-system", "kube-apiserver-x7k2p")


def decoded(**parts: Any) -> dict[str, Any]:
    metadata = {"namespace": "kube-system", "name": "a", **parts.pop("metadata", {})}
    return {"metadata": metadata, **parts}


def annotated(**annotations: Any) -> Pod:
    names = {"checkpoint": CHECKPOINT, "of": CHECKPOINT_OF, "source": CONFIG_SOURCE}
    return read_pod(
        decoded(metadata={"annotations": {names[key]: value for key, value in annotations.items()}})
    )


labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
subdomains = st.lists(labels, min_size=1, max_size=5).map(".".join).filter(lambda n: len(n) <= 253)
names = st.builds(PodName, labels, subdomains)
near = st.builds(  # names of the same few letters, which are the ones to collide
    PodName,
    st.from_regex(r"a(-?a){0,3}", fullmatch=True),
    st.from_regex(r"a([-.]?a){0,3}", fullmatch=True),
)
long_names = st.builds(
    lambda namespace, end: PodName(namespace, "x" * (253 - len(end)) + end), labels, labels
)

# ------------------------------------------------------------------------------ parent, checkpoint


@pytest.mark.parametrize(
    ("annotations", "is_parent"),
    [
        ({}, False),
        ({"checkpoint": "true"}, True),
        ({"checkpoint": "True"}, False),
        ({"checkpoint": ""}, False),
        ({"checkpoint": "true", "source": "api"}, True),
        ({"checkpoint": "true", "source": "file"}, False),
        ({"checkpoint": "true", "of": "b"}, False),
        ({"checkpoint": "true", "of": ""}, False),
        ({"checkpoint": "true", "of": None}, False),
    ],
)
def test_a_parent_is_marked_and_neither_static_nor_a_checkpoint(
    annotations: dict[str, Any], is_parent: bool
) -> None:
    assert annotated(**annotations).is_parent is is_parent


@pytest.mark.parametrize(
    ("of", "parent"), [("b", PodName("kube-system", "b")), ("", None), ("../b", None)]
)
def test_the_parent_of_a_checkpoint_is_a_name_in_its_namespace(
    of: str, parent: PodName | None
) -> None:
    assert annotated(of=of).parent == parent


def test_a_pod_that_is_no_checkpoint_has_no_parent() -> None:
    assert annotated(checkpoint="true").parent is None


def test_an_annotated_pod_elsewhere_is_missed_and_no_other() -> None:
    scope = Scope("node1", frozenset({"kube-system"}))
    assert scope.watches(NAME)
    assert not scope.misses(Pod(NAME, marked=True))
    assert scope.misses(Pod(PodName("default", "a"), marked=True))
    assert not scope.misses(Pod(PodName("default", "a")))


# ----------------------------------------------------------------------------------- reading a pod


def test_what_is_looked_at_is_read_and_the_rest_ignored() -> None:
    owners = [
        {"uid": "first", "kind": "Node"},
        {"uid": "third", "controller": "yes"},
        {"uid": "second", "controller": True},
    ]
    pod = read_pod(
        decoded(
            metadata={"uid": "7f3e", "ownerReferences": owners, "deletionTimestamp": "2026-01-01"},
            spec={"nodeName": "node1", "future": 1},
            status={
                "phase": "Failed",
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}],
            },
        )
    )
    assert pod == Pod(
        PodName("kube-system", "a"),
        uid="7f3e",
        controller_uid="second",
        node="node1",
        phase="Failed",
        terminating=True,
        ready=True,
    )
    assert pod.is_over


def test_null_is_as_good_as_absent() -> None:
    nothing = {"annotations": None, "uid": None, "ownerReferences": None, "deletionTimestamp": None}
    pod = read_pod(decoded(metadata=nothing, spec=None, status={"conditions": None, "phase": None}))
    assert pod == Pod(PodName("kube-system", "a"))
    assert not pod.is_over


@pytest.mark.parametrize("status", ["False", "Unknown", None, True])
def test_a_pod_is_ready_when_the_condition_says_true_and_not_otherwise(status: Any) -> None:
    conditions = [{"type": "Ready", "status": status}, {"type": "Initialized", "status": "True"}]
    assert not read_pod(decoded(status={"conditions": conditions})).ready


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("s3cret", "a pod is an object"),
        ({}, "the namespace is no DNS label"),
        (decoded(metadata={"name": "s3cret/.."}), "the name is no DNS subdomain"),
        (decoded(metadata={"name": 7}), "metadata.name is no text"),
        (decoded(metadata={"annotations": ["s3cret"]}), "metadata.annotations is no object"),
        (
            decoded(metadata={"annotations": {CHECKPOINT: True}}),
            f"metadata.annotations.{CHECKPOINT} is no text",
        ),
        (decoded(metadata={"ownerReferences": {"uid": "s3cret"}}), "is no list of objects"),
        (decoded(metadata={"ownerReferences": ["s3cret"]}), "is no list of objects"),
        (
            decoded(metadata={"ownerReferences": [{"controller": True, "uid": 7}]}),
            "metadata.ownerReferences.uid is no text",
        ),
        (decoded(spec=["s3cret"]), "spec is no object"),
        (decoded(status={"conditions": "s3cret"}), "status.conditions is no list of objects"),
    ],
)
def test_a_pod_of_other_types_is_refused_by_the_field_and_never_quoted(
    value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        read_pod(value)
    assert "s3cret" not in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "metadata": json_values
            | st.fixed_dictionaries(
                {"namespace": st.just("kube-system") | json_values},
                optional={
                    "name": st.just("a") | json_values,
                    "annotations": json_values,
                    "ownerReferences": st.lists(json_values) | json_values,
                },
            ),
            "spec": json_values,
            "status": json_values,
        },
    )
    | json_values
)
def test_no_json_does_more_than_raise_value_error(value: Any) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(read_pod(value), Pod)


# ------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("", "a"),
        ("a.b", "a"),
        ("a" * 64, "a"),
        ("A", "a"),
        ("a-", "a"),
        ("a\n", "a"),
        (None, "a"),
        ("a", ""),
        ("a", "."),
        ("a", ".."),
        ("a", "a..b"),
        ("a", "a/b"),
        ("a", "a_b"),
        ("a", "-a"),
        ("a", "a.-b"),
        ("a", "a\n"),
        ("a", "a\0"),
        ("a", "x" * 254),
        ("a", 7),
    ],
)
def test_a_name_that_could_leave_its_directory_or_is_none_is_refused(
    namespace: Any, name: Any
) -> None:
    with pytest.raises(ValueError, match="is no DNS"):
        PodName(namespace, name)


@pytest.mark.parametrize("name", ["a", "0", "a.b", "a-b.c-d", "x" * 253, "a--b"])
def test_a_name_that_kubernetes_takes_is_taken(name: str) -> None:
    assert str(PodName("a", name)) == f"a/{name}"


@pytest.mark.parametrize(
    ("pod_name", "node", "own"),
    [
        ("pod-checkpointer-q9zlm", "node1", "pod-checkpointer-q9zlm"),
        ("pod-checkpointer-q9zlm-node1", "node1", "pod-checkpointer-q9zlm"),
        ("a-node1-node1", "node1", "a-node1"),
        ("a-node1", "ode1", "a-node1"),
        ("a-", "", "a-"),
    ],
)
def test_the_own_parent_is_the_pod_name_without_the_node(
    pod_name: str, node: str, own: str
) -> None:
    if own.endswith("-"):
        with pytest.raises(ValueError, match="is no DNS subdomain"):
            own_name("kube-system", pod_name, node)
    else:
        assert own_name("kube-system", pod_name, node) == PodName("kube-system", own)


@given(st.lists(near | long_names, unique=True, min_size=2, max_size=6), st.integers(0, 2))
def test_no_two_pods_share_a_file_or_a_record(chosen: list[PodName], retries: int) -> None:
    files = [manifest_file(name, retry) for name in chosen for retry in range(retries + 1)]
    assert len(set(files)) == len(files)
    assert len({record_key(name) for name in chosen}) == len(chosen)


@given(names | long_names, st.integers(0, 10**6))
def test_a_file_of_a_pod_is_one_that_the_kubelet_reads_and_a_file_system_takes(
    name: PodName, retry: int
) -> None:
    file = manifest_file(name, retry)
    assert len(file.encode()) <= 255
    assert file.endswith(".json")
    assert file[0] != "."
    assert "/" not in file
    assert is_key(record_key(name))


def test_a_short_name_is_kept_and_a_long_one_cut_with_its_digest() -> None:
    assert manifest_file(NAME) == "kube-system_kube-apiserver-x7k2p.json"
    assert record_key(NAME) == "kube-system.kube-apiserver-x7k2p"
    # By hand: 63 + 1 + 185 = 249 bytes; one more is at the bound, two are past it.
    at_bound = record_key(PodName("n" * 63, "x" * 186))
    assert at_bound == f"{'n' * 63}.{'x' * 186}"
    past = record_key(PodName("n" * 63, "x" * 187))
    assert re.fullmatch(rf"{'n' * 63}\.x{{152}}_-[0-9a-f]{{32}}", past)


def test_the_originals_files_may_be_shared_and_ours_are_not() -> None:
    one, other = PodName("a", "b-c"), PodName("a-b", "c")
    assert original_file(one) == original_file(other) == "a-b-c.json"
    assert manifest_file(one) != manifest_file(other)
