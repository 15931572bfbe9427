"""A node full of pods, and what its API server, kubelet and container runtime say of them.

Nothing changes on this node, and yet no two answers are equal: the API server writes its newest
resource version into each list, and the kubelet and containerd list in another order each time.
"""

from __future__ import annotations

import json
import random
from base64 import b64encode
from itertools import count
from typing import Any, Final

from checkpointkit.pods.clients.crimessages import message_classes
from checkpointkit.pods.model import CHECKPOINT, CONFIG_SOURCE

NODE: Final = "node-7.example.com"
WATCHED: Final = "kube-system"
_MADE_AT: Final = "2026-11-01T08:15:30Z"


def parent_name(number: int) -> str:
    return f"agent-{number:03}-x7k2p"


def a_pod(number: int, namespace: str, *, is_parent: bool) -> dict[str, Any]:
    """Return a pod of about 5 KB of JSON, as the API server has it: ready, and owned."""
    name = parent_name(number)
    uid = f"7f3e0c1a-5b7d-4b57-9d0e-{number:012d}"
    probe = {
        "httpGet": {"path": "/healthz", "port": 9402, "scheme": "HTTP"},
        "initialDelaySeconds": 10,
        "timeoutSeconds": 5,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    container = {
        "image": "registry.example.com/platform/agent:v1.28.4",
        "command": ["/agent", "--config=/etc/agent/agent.yaml", "--v=2", "--node=$(NODE_NAME)"],
        "env": [
            {"name": "GOMEMLIMIT", "value": "200MiB"},
            {
                "name": "NODE_NAME",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}},
            },
            {
                "name": "LEVEL",
                "valueFrom": {"configMapKeyRef": {"name": f"config-{number}", "key": "level"}},
            },
        ],
        "resources": {
            "limits": {"memory": "256Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/agent"},
            {"name": "tls", "readOnly": True, "mountPath": "/etc/tls"},
        ],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "9402"}
    if is_parent:
        annotations[CHECKPOINT] = "true"
    return {
        "metadata": {
            "name": name,
            "generateName": f"agent-{number:03}-",
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": str(48_000_000 + number),
            "creationTimestamp": _MADE_AT,
            "labels": {
                "app.kubernetes.io/name": "agent",
                "app.kubernetes.io/instance": f"agent-{number:03}",
                "controller-revision-hash": "6d5b9c7f8",
                "pod-template-generation": "3",
            },
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": f"agent-{number:03}",
                    "uid": f"0b1f9f0e-6e0c-4c1e-9a55-{number:012d}",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            "managedFields": [_managed("kube-controller-manager"), _managed("kubelet")],
        },
        "spec": {
            "volumes": [
                {"name": "config", "configMap": {"name": f"config-{number}", "defaultMode": 420}},
                {"name": "tls", "secret": {"secretName": f"tls-{number}", "defaultMode": 420}},
            ],
            "containers": [
                {"name": "agent", **container},
                {"name": "sidecar", **container},
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "nodeName": NODE,
            "hostNetwork": True,
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute"}
                for why in ("not-ready", "unreachable", "disk-pressure", "memory-pressure")
            ],
            "priorityClassName": "system-node-critical",
            "priority": 2_000_001_000,
            "enableServiceLinks": False,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": _MADE_AT}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "hostIP": "10.0.0.7",
            "podIP": f"10.244.1.{number % 250}",
            "startTime": _MADE_AT,
            "containerStatuses": [
                {
                    "name": part,
                    "state": {"running": {"startedAt": _MADE_AT}},
                    "lastState": {},
                    "ready": True,
                    "restartCount": 0,
                    "image": container["image"],
                    "imageID": "registry.example.com/platform/agent@sha256:" + "4d" * 32,
                    "containerID": f"containerd://{number:032x}{at:032x}",
                    "started": True,
                }
                for at, part in enumerate(("agent", "sidecar"))
            ],
            "qosClass": "Burstable",
        },
    }


def _managed(manager: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        f"f:{name}": {} for name in ("labels", "annotations", "ownerReferences")
    }
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": _MADE_AT,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": fields, "f:spec": {"f:containers": {}, "f:volumes": {}}},
    }


def pods_of_node(pods: int, parents: int, watched: int) -> list[dict[str, Any]]:
    """Return the pods of the node: the parents first, and so many of them where it is watched."""
    return [
        a_pod(
            number,
            WATCHED if number < watched else f"team-{number % 12}",
            is_parent=number < parents,
        )
        for number in range(pods)
    ]


def an_object(kind: str, name: str) -> dict[str, Any]:
    """Return a secret or a config map of a parent."""
    texts = {"level": "info", "agent.yaml": "listen: :9402\n" * 40, "tls.crt": "x" * 1500}
    is_secret = kind == "Secret"
    data = {
        key: b64encode(text.encode()).decode() if is_secret else text for key, text in texts.items()
    }
    metadata = {"name": name, "namespace": WATCHED, "uid": f"uid-{name}", "resourceVersion": "7"}
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, "data": data}


def as_json(decoded: Any) -> bytes:
    """Return JSON as Go writes it."""
    return json.dumps(decoded, separators=(",", ":")).encode() + b"\n"


class Node:
    """What the servers answer.

    Args:
        pods: The pods of the node.
        seed: Of the orders in which things are listed.
    """

    def __init__(self, pods: list[dict[str, Any]], seed: int = 7) -> None:
        self._pods = pods
        self._mixed = random.Random(seed)
        self._versions = count(50_000_000)
        self._messages = message_classes()

    def kubelet(self, path: str) -> bytes:
        """Return the kubelet's answer to a GET."""
        assert path == "/pods"
        items = [
            {
                **pod,
                "metadata": {
                    **pod["metadata"],
                    "annotations": {**pod["metadata"]["annotations"], CONFIG_SOURCE: "api"},
                },
            }
            for pod in self._in_any_order(self._pods)
        ]
        return as_json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def api(self, path: str) -> bytes:
        """Return the API server's answer to a GET."""
        parts = path.partition("?")[0].split("/")[4:]
        if parts == [WATCHED]:
            metadata = {"name": WATCHED, "uid": "6c1f0b7e"}
            return as_json({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata})
        if parts == [WATCHED, "pods"]:
            items = [pod for pod in self._pods if pod["metadata"]["namespace"] == WATCHED]
            metadata = {"resourceVersion": str(next(self._versions))}
            return as_json(
                {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}
            )
        namespace, kinds, name = parts
        assert namespace == WATCHED
        return as_json(an_object({"secrets": "Secret", "configmaps": "ConfigMap"}[kinds], name))

    def sandboxes(self) -> bytes:
        """Return the container runtime's sandboxes."""
        items = [
            {
                "id": f"{number:064x}",
                "metadata": {
                    "name": pod["metadata"]["name"],
                    "namespace": pod["metadata"]["namespace"],
                    "uid": pod["metadata"]["uid"],
                },
                "created_at": 1_795_286_824_501_106_970 + number,
                "annotations": [
                    {"key": key, "value": value}
                    for key, value in (
                        *pod["metadata"]["annotations"].items(),
                        (CONFIG_SOURCE, "api"),
                        ("kubernetes.io/config.seen", "2026-11-01T08:15:30.501106970Z"),
                        ("kubectl.kubernetes.io/last-applied-configuration", "x" * 1500),
                    )
                ],
            }
            for number, pod in enumerate(self._pods)
        ]
        return self._encoded("ListPodSandboxResponse", items=self._in_any_order(items))

    def containers(self) -> bytes:
        """Return the container runtime's containers: those that run, and one that has ended."""
        items = [
            {
                "id": f"{number:032x}{at:032x}",
                "pod_sandbox_id": f"{number:064x}",
                "metadata": {"name": name},
                "state": state,
                "created_at": 1_795_286_825_501_106_970 + number,
            }
            for number in range(len(self._pods))
            for at, (name, state) in enumerate((("agent", 1), ("sidecar", 1), ("set-up", 2)))
        ]
        return self._encoded("ListContainersResponse", containers=self._in_any_order(items))

    def _encoded(self, kind: str, **fields: Any) -> bytes:
        data: bytes = self._messages[kind](**fields).SerializeToString()
        return data

    def _in_any_order(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._mixed.sample(items, len(items))
