"""The document of a `CheckpointRestoreOperator` in a policy file: read, noted, refused by line."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.policyfiles.reading import read_policy

OPERATOR = """
apiVersion: criu.org/v1
kind: CheckpointRestoreOperator
metadata:
  name: sample
spec:
  checkpointDirectory: /srv/checkpoints
  applyPoliciesImmediately: true
  globalPolicy:
    maxCheckpointsPerContainer: 3
    maxCheckpointSize: 2e9
  podPolicies:
  - namespace: shop
    pod: web
    maxTotalSize: 5Gi
"""


def test_the_document_of_the_operator_is_read() -> None:
    found = read_policy(OPERATOR, source="o.yaml")
    assert found.directory == "/srv/checkpoints"
    assert found.immediately
    assert found.notes == ()
    assert found.policy.exclusive
    assert found.policy.rules.container_count == 3
    assert found.policy.rules.max_size == 2 * 10**9
    assert found.policy.pods["shop", "web"].pod_size == 5 * 2**30


def test_what_is_odd_in_the_document_of_the_operator_is_noted() -> None:
    found = read_policy(OPERATOR + "    maxTotalSise: 5\nextra: 1\n", source="o.yaml")
    assert found.notes == (
        "extra: is no field that is known here",
        "podPolicies[0].maxTotalSise: is no field that is known here; maxTotalSize is",
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("spec: 5", "o.yaml:3: spec: has to be a mapping"),
        ("spec:\n  globalPolicy: []", "o.yaml:4: globalPolicy: has to be a mapping"),
        (
            "spec:\n  globalPolicy:\n    maxCheckpointsPerPod: 010",
            "o.yaml:5: globalPolicy.maxCheckpointsPerPod: has to be a whole number",
        ),
        (
            "spec:\n  globalPolicy: {maxCheckpointsPerPod: '5'}",
            "o.yaml:4: globalPolicy.maxCheckpointsPerPod: has to be a whole number",
        ),
        (
            "spec:\n  podPolicies:\n  - namespace: a\n  - pod: b\n    maxTotalSize: many",
            "o.yaml:7: podPolicies[1].maxTotalSize: has to be a quantity, such as 10Gi or 500M",
        ),
        (
            "spec:\n  podPolicies:\n  - namespace: a\n  -",
            "o.yaml:6: podPolicies[1]: has to be a mapping",
        ),
        ("spec: {checkpointDirectory: 5}", "o.yaml:3: checkpointDirectory: has to be text"),
        ("spec: []", "o.yaml:3: spec: has to be a mapping"),
        ("spec: [{}, {}]", "o.yaml:3: spec: has to be a mapping"),
        ("spec:\n  podPolicies:\n  - []", "o.yaml:5: podPolicies[0]: has to be a mapping"),
        (
            "spec:\n\n  checkpointDirectory: a/b",
            (
                "o.yaml:5: checkpointDirectory: has to be an absolute path, such as "
                "/var/lib/kubelet/checkpoints"
            ),
        ),
        (
            "spec:\n  globalpolicy: {maxCheckpointsPerContainer: 100}",
            (
                "o.yaml:4: globalpolicy: its letters have to be those of globalPolicy; "
                "Kubernetes leaves it out"
            ),
        ),
        (
            "spec:\n  podPolicies:\n  - namespace: a\n    MaxCheckpoints: 3",
            (
                "o.yaml:6: podPolicies[0].MaxCheckpoints: its letters have to be those of "
                "maxCheckpoints; Kubernetes leaves it out"
            ),
        ),
    ],
)
def test_errors_in_the_document_of_the_operator_have_their_line(spec: str, message: str) -> None:
    head = "apiVersion: criu.org/v1\nkind: CheckpointRestoreOperator\n"
    with pytest.raises(PolicyError) as caught:
        read_policy(head + spec, source="o.yaml")
    assert str(caught.value) == message


@pytest.mark.parametrize("spec", ["", "spec:", "Spec: {}"])
def test_the_document_of_the_operator_without_a_spec_is_refused(spec: str) -> None:
    head = "apiVersion: criu.org/v1\nkind: CheckpointRestoreOperator\n"
    with pytest.raises(PolicyError, match=r"spec: is missing, .* write spec: \{\}"):
        read_policy(head + spec, source="o.yaml")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "/a", "10Gi", "m"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["globalPolicy", "podPolicies", "namespace", "pod", "spec", "0"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(values)
@settings(max_examples=100)
def test_any_spec_is_read_or_refused_in_our_words(spec: object) -> None:
    document = {"apiVersion": "criu.org/v1", "kind": "CheckpointRestoreOperator", "spec": spec}
    with suppress(PolicyError):
        assert read_policy(json.dumps(document), source="o.yaml").policy.exclusive


def test_the_document_of_the_operator_with_an_empty_spec_has_its_defaults() -> None:
    head = "apiVersion: criu.org/v1\nkind: CheckpointRestoreOperator\nspec: {}\n"
    rules = read_policy(head, source="o.yaml").policy.rules
    assert (rules.container_count, rules.pod_count, rules.namespace_count) == (10, 20, 30)
