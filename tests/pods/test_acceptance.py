"""What a kubelet takes as a static pod: its own verdicts, recorded, and the rules one by one.

`kubelet134_changes` was made by running the decoder and the validation of Kubernetes 1.34.2 over
pods with one change each: a field gone, an item twice, a value in its place that may not fit.
"""

from __future__ import annotations

import re
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.pods.acceptance import reference_refusals, refusals
from checkpointkit.pods.rules.metadata import static_name
from tests.pods.recorded import NODE, a_pod, recorded

ACCEPT = recorded("kubelet134_accept")["vectors"]
OUTPUTS = [each for each in recorded("sanitizer")["vectors"] if "output" in each]

NOT_JUDGED = {
    "affinity": r"spec\.affinity\..*",  # the scheduler's; a copy has none
    "topology": r"spec\.topologySpreadConstraints\..*",  # likewise
    "annotations": r"metadata\.annotations\..*",  # of old; a copy has one annotation
    "storage": r"spec\.volumes\.\d+\.(azureDisk|cinder|fc|flocker|gitRepo|gcePersistentDisk"
    r"|image|quobyte|storageos)\b.*",  # details of volumes that hardly anybody has any more
}
"""Where a kubelet refuses more than we do. Nowhere do we refuse more than a kubelet."""


def reasons(pod: Any, node: str = NODE) -> list[str]:
    return [each.text() for each in refusals(pod, node=node)]


# ------------------------------------------------------------------------------ recorded verdicts


@pytest.mark.parametrize("vector", ACCEPT, ids=lambda each: each["name"])
def test_a_pod_is_accepted_just_as_the_kubelet_does(vector: dict[str, Any]) -> None:
    assert (not refusals(vector["pod"], node=NODE)) == vector["accepted"]


@pytest.mark.parametrize("vector", ACCEPT, ids=lambda each: each["name"])
def test_an_accepted_pod_gets_the_name_that_the_kubelet_gives_it(vector: dict[str, Any]) -> None:
    if vector["accepted"]:
        name = vector["pod"]["metadata"]["name"]
        assert static_name(name, vector["node_name"]) == vector["static_pod_name"]


@pytest.mark.parametrize("vector", OUTPUTS, ids=lambda each: each["name"])
def test_an_output_of_the_original_is_accepted_just_as_the_kubelet_does(
    vector: dict[str, Any],
) -> None:
    assert (not refusals(vector["output"], node=NODE)) == vector["kubelet_1_34_accepts_output"]


def changed(pod: dict[str, Any], path: list[Any], change: str, value: Any) -> dict[str, Any]:
    copy = deepcopy(pod)
    if change == "base":
        return copy
    *steps, last = path
    place: Any = copy
    for step in steps:
        place = place[step]
    if change == "del":
        del place[last]
    elif change == "dup":
        place.append(deepcopy(place[last]))
    else:
        place[last] = value
    return copy


def gap(path: list[Any]) -> str:
    """Return which part that we do not judge a path is in; the path itself if it is in none."""
    place = ".".join(map(str, path))
    return next((name for name, rule in NOT_JUDGED.items() if re.fullmatch(rule, place)), place)


def test_every_change_of_a_pod_is_judged_as_the_kubelet_judges_it() -> None:
    data = recorded("kubelet134_changes")
    verdicts: Counter[bool] = Counter()
    more = []
    gaps: Counter[str] = Counter()
    for number, path, change, value, accepted in data["changes"]:
        found = refusals(changed(data["bases"][number], path, change, value), node=NODE)
        if (not found) == accepted:
            verdicts[accepted] += 1
        elif found:
            more.append((path, change, value, found[0].text()))
        else:
            gaps[gap(path)] += 1
    assert not more
    assert gaps == {"affinity": 9, "annotations": 7, "storage": 8, "topology": 10}
    assert verdicts == {True: 370, False: 4332}


# ------------------------------------------------------------------------------ rules, one by one

SECRET = {"name": "s", "key": "k"}
TWICE = [{"key": "k", "path": "p"}] * 2
RESOURCE = {"resourceFieldRef": {"resource": "limits.cpu"}}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"serviceAccountName": "a"}, "spec.serviceAccountName"),
        ({"serviceAccount": "a"}, "spec.serviceAccount"),
        ({"imagePullSecrets": [{"name": ""}, {"name": "a"}]}, "spec.imagePullSecrets[1]"),
        ({"resourceClaims": [{"name": "a"}]}, "spec.resourceClaims"),
        ({"ephemeralContainers": [{"name": "d", "image": "d"}]}, "spec.ephemeralContainers"),
        ({"schedulingGates": [{"name": "a"}]}, "spec.schedulingGates"),
        ({"containers": []}, "spec.containers"),
        ({"dnsPolicy": "None"}, "spec.dnsConfig.nameservers"),
        ({"hostUsers": False, "hostPID": True}, "spec.hostPID"),
        ({"hostPID": True, "shareProcessNamespace": True}, "spec.shareProcessNamespace"),
        ({"nodeSelector": {"a": "-"}}, "spec.nodeSelector[a]"),
        ({"tolerations": [{"value": "a"}]}, "spec.tolerations[0].operator"),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "spec.tolerations[0].value",
        ),
        (
            {"tolerations": [{"operator": "Exists", "tolerationSeconds": 1}]},
            "spec.tolerations[0].effect",
        ),
        ({"volumes": [{"name": "a"}, {"name": "a"}]}, "spec.volumes[1].name"),
        ({"volumes": [{"name": "a", "nfs": {}, "hostPath": {}}]}, "spec.volumes[0]"),
        (
            {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "-1"}}]},
            "spec.volumes[0].emptyDir.sizeLimit",
        ),
        (
            {"volumes": [{"name": "a", "projected": {"sources": [{"secret": {"items": TWICE}}]}}]},
            "spec.volumes[0].projected",
        ),
        (
            {"volumes": [{"name": "a", "downwardAPI": {"items": [{"path": "a", **RESOURCE}]}}]},
            "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.containerName",
        ),
        (
            {"initContainers": [{"name": "c", "image": "a"}]},
            "spec.initContainers[0].name",
        ),
        (
            {"initContainers": [{"name": "i", "image": "a", "livenessProbe": {}}]},
            "spec.initContainers[0].livenessProbe",
        ),
        (
            {"initContainers": [{"name": "i", "image": "a", "restartPolicy": "Never"}]},
            "spec.initContainers[0].restartPolicy",
        ),
        (
            {
                "hostIPC": True,
                "securityContext": {"sysctls": [{"name": "kernel.shmmax", "value": "1"}]},
            },
            "spec.securityContext.sysctls[0].name",
        ),
        ({"overhead": {"cpu": "-1"}}, "spec.overhead.limits[cpu]"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_a_kubelet_refuses_in_a_spec_is_named_with_its_path(
    spec: dict[str, Any], path: str
) -> None:
    assert path in [each.path for each in refusals(a_pod(**spec), node=NODE)]


@pytest.mark.parametrize(
    ("container", "path"),
    [
        ({"envFrom": [{"secretRef": {"name": "s", "optional": True}}]}, "envFrom[0].secretRef"),
        ({"envFrom": [{}]}, "envFrom[0]"),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": SECRET}}]},
            "env[0].valueFrom.configMapKeyRef",
        ),
        ({"env": [{"name": "A", "valueFrom": {}}]}, "env[0].valueFrom"),
        ({"env": [{"name": "1A"}]}, "env[0].name"),
        ({"volumeMounts": [{"name": "no", "mountPath": "/a"}]}, "volumeMounts[0].name"),
        ({"volumeDevices": [{"name": "no", "devicePath": "/a"}]}, "volumeDevices[0].name"),
        ({"volumeDevices": [{"name": "e", "devicePath": "/a"}]}, "volumeDevices[0]"),
        (
            {"volumeMounts": [{"name": "e", "mountPath": "/", "subPath": "a", "subPathExpr": "b"}]},
            "volumeMounts[0].subPathExpr",
        ),
        (
            {
                "volumeMounts": [
                    {"name": "e", "mountPath": "/", "mountPropagation": "Bidirectional"}
                ]
            },
            "volumeMounts[0].mountPropagation",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]},
            "env[0].valueFrom.resourceFieldRef.resource",
        ),
        (
            {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
            "securityContext",
        ),
        ({"restartPolicy": "Always"}, "restartPolicy"),
        ({"livenessProbe": {}}, "livenessProbe"),
        ({"livenessProbe": {"exec": {}}}, "livenessProbe.exec.command"),
        (
            {"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}},
            "livenessProbe.successThreshold",
        ),
        ({"livenessProbe": {"tcpSocket": {"port": "--"}}}, "livenessProbe.tcpSocket.port"),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}, "lifecycle.preStop.sleep.seconds"),
        ({"ports": [{"containerPort": 0}]}, "ports[0].containerPort"),
        ({"ports": [{"containerPort": 1, "hostPort": 2}] * 2}, "ports[1].hostPort"),
        ({"securityContext": {"procMount": "Unmasked"}}, "securityContext.procMount"),
        ({"resources": {"requests": {"a b": "1"}}}, "resources.requests[a b]"),
        ({"resources": {"requests": {"pods": "1"}}}, "resources.requests[pods]"),
        ({"resources": {"limits": {"requests.x/y": "1"}}}, "resources.limits[requests.x/y]"),
        ({"resources": {"limits": {"x.io/y": "1.5"}}}, "resources.limits[x.io/y]"),
        ({"resources": {"limits": {"hugepages-x": "1"}}}, "resources.limits[hugepages-x]"),
        ({"resources": {"limits": {"hugepages-2Mi": "2Mi"}}}, "resources"),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            "resources.requests[cpu]",
        ),
        (
            {"resources": {"limits": {"x.io/y": "2"}, "requests": {"x.io/y": "1"}}},
            "resources.requests[x.io/y]",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_a_kubelet_refuses_in_a_container_is_named_with_its_path(
    container: dict[str, Any], path: str
) -> None:
    pod = a_pod(container=container, volumes=[{"name": "e", "emptyDir": {}}])
    found = [each.path for each in refusals(pod, node=NODE)]
    assert f"spec.containers[0].{path}" in found


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"name": ""}, "metadata.name"),
        ({"name": "A"}, "metadata.name"),
        ({"namespace": "a.b"}, "metadata.namespace"),
        ({"generateName": "A-"}, "metadata.generateName"),
        ({"generation": -1}, "metadata.generation"),
        ({"labels": {"a/b/c": "v"}}, "metadata.labels[a/b/c]"),
        ({"labels": {"a": "-"}}, "metadata.labels[a]"),
        ({"annotations": {"-": "v"}}, "metadata.annotations[-]"),
        ({"annotations": {"a": "v" * 262144}}, "metadata.annotations"),
        ({"finalizers": ["a"]}, "metadata.finalizers[0]"),
        ({"ownerReferences": [{"kind": "Pod"}]}, "metadata.ownerReferences[0].uid"),
        (
            {"ownerReferences": [{"apiVersion": "a/b/c"}]},
            "metadata.ownerReferences[0].apiVersion",
        ),
        ({"ownerReferences": [{"controller": True}] * 2}, "metadata.ownerReferences"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_a_kubelet_refuses_in_metadata_is_named_with_its_path(
    metadata: dict[str, Any], path: str
) -> None:
    assert path in [each.path for each in refusals(a_pod(metadata=metadata), node=NODE)]


def test_the_name_of_the_node_counts_to_the_253_characters_of_a_pods_name() -> None:
    pod = a_pod(metadata={"name": "a" * 246})
    assert not refusals(pod, node=NODE)
    assert not refusals(a_pod(metadata={"name": "a" * 253}))
    assert reasons(a_pod(metadata={"name": "a" * 247})) == [
        "metadata.name: is no DNS subdomain of at most 253 characters together with the node's name"
    ]
    assert refusals(a_pod(metadata={"name": "a" * 254}))


def test_a_node_with_capitals_does_not_spoil_the_name_of_a_pod() -> None:
    assert not refusals(a_pod(), node="Node.Example.COM")


@pytest.mark.parametrize("pod", [{}, {"kind": "Pod"}, {"apiVersion": "v1", "kind": "PodList"}])
def test_what_is_no_pod_is_refused(pod: dict[str, Any]) -> None:
    assert reasons(pod) == ["kind: is no Pod of version v1"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = reasons(a_pod(serviceAccountName="a", restartPolicy="Maybe", metadata={"name": "A"}))
    assert len(found) == 3


def test_no_refusal_quotes_a_value() -> None:
    secret = "s3cret!"
    pod = a_pod(
        container={"env": [{"name": "A", "value": secret, "valueFrom": {}}], "image": f" {secret}"},
        hostname=secret,
        dnsPolicy=secret,
        volumes=[{"name": secret}],
    )
    found = reasons(pod)
    assert len(found) == 5
    assert not any(secret in text for text in found)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.integers(0, 4000), json_values)
def test_whatever_stands_in_a_place_the_answer_is_a_verdict(choice: int, value: Any) -> None:
    data = recorded("kubelet134_changes")
    number, path, *_ = data["changes"][choice]
    pod = changed(data["bases"][number], path, "put" if path else "base", value)
    for each in refusals(pod, node=NODE):
        assert each.reason


def test_references_are_found_in_every_kind_of_container() -> None:
    variable = {"name": "A", "valueFrom": {"secretKeyRef": SECRET}}
    spec = {
        kind: [{"name": kind, "env": [variable]}]
        for kind in ("containers", "initContainers", "ephemeralContainers")
    }
    assert [each.path.partition("[")[0] for each in reference_refusals(spec)] == [
        "spec.containers",
        "spec.initContainers",
        "spec.ephemeralContainers",
    ]
