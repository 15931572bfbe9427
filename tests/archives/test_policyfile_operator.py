"""The document of a `CheckpointRestoreOperator` in a policy file: read, noted, refused by line."""

from __future__ import annotations

import pytest

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
    ],
)
def test_errors_in_the_document_of_the_operator_have_their_line(spec: str, message: str) -> None:
    head = "apiVersion: criu.org/v1\nkind: CheckpointRestoreOperator\n"
    with pytest.raises(PolicyError) as caught:
        read_policy(head + spec, source="o.yaml")
    assert str(caught.value) == message


def test_the_document_of_the_operator_without_a_spec_has_its_defaults() -> None:
    head = "apiVersion: criu.org/v1\nkind: CheckpointRestoreOperator\n"
    rules = read_policy(head, source="o.yaml").policy.rules
    assert (rules.container_count, rules.pod_count, rules.namespace_count) == (10, 20, 30)
