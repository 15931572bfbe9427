"""The pods of a simulated node: what they may be doing, and how the API server shows them."""

from __future__ import annotations

from typing import Any, Final

from attrs import mutable

from checkpointkit.pods.model import CHECKPOINT, PodName
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.runtime import ContainerState
from tests.pods.world import an_object

NODE: Final = "node1"
OWN: Final = PodName("kube-system", "pod-checkpointer-q9zlm")
FIRST: Final = PodName("kube-system", "kube-apiserver-aaaaa")
SECOND: Final = PodName("kube-system", "kube-apiserver-bbbbb")
LONE: Final = PodName("kube-system", "a-scheduler-1")
PODS: Final = (OWN, FIRST, SECOND, LONE)
CONTROLLERS: Final = {OWN: "c0", FIRST: "c1", SECOND: "c1", LONE: ""}

HERE: Final = {"runs", "unready", "starting", "crashing", "down"}
"""Lives of a pod that the API server has on this node."""
RUNS: Final = {"runs", "unready", "terminating", "ghost", "unmarked"}
"""Lives of a pod with a container that runs."""
CONTAINERS: Final[dict[str, tuple[ContainerState | None, bool]]] = {
    **dict.fromkeys(RUNS, (ContainerState.RUNNING, True)),
    "starting": (None, True),
    "crashing": (ContainerState.EXITED, True),
    "failed": (ContainerState.EXITED, False),
}
"""What the runtime has of a pod: the state of its container, and whether its sandbox is ready."""
LIVES: Final = (*sorted(HERE | RUNS), "gone", "moved", "failed")
SECRET: Final = "s3cr3t-of-version-"
TLS: Final = ObjectName("Secret", "tls")
ENV: Final = ObjectName("Secret", "env")
CONF: Final = ObjectName("ConfigMap", "conf")


@mutable
class Being:
    """A pod's life; a new number is a new UID and a new image."""

    life: str = "gone"
    number: int = 0
    since: float = 0.0


def named(pod: str) -> PodName:
    return next(name for name in PODS if name.name == pod)


def a_pod(name: PodName, number: int) -> dict[str, Any]:
    """Return a pod as its owner wants it; the lone one needs all that there is."""
    owner = {"uid": CONTROLLERS[name], "controller": True, "kind": "DaemonSet", "name": "d"}
    volumes: list[dict[str, Any]] = [{"name": "tls", "secret": {"secretName": "tls"}}]
    mounts: list[dict[str, Any]] = [{"name": "tls", "mountPath": "/tls"}]
    container: dict[str, Any] = {"name": "c", "image": f"img:{number}"}
    if name == LONE:
        parts = [{"secret": {"name": "tls"}}, {"configMap": {"name": "conf"}}]
        volumes.append({"name": "conf", "configMap": {"name": "conf", "optional": True}})
        volumes.append({"name": "all", "projected": {"sources": parts, "defaultMode": 0o400}})
        mounts.append({"name": "all", "mountPath": "/all"})
        reference = {"secretKeyRef": {"name": "env", "key": "password"}}
        container["env"] = [{"name": "PASSWORD", "valueFrom": reference}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": name.namespace,
            "name": name.name,
            "uid": f"uid-{name.name}-{number}",
            "annotations": {CHECKPOINT: "true"},
            "labels": {"app": "a"},
            **({"ownerReferences": [owner]} if CONTROLLERS[name] else {}),
        },
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": "sa",
            "containers": [{**container, "volumeMounts": mounts}],
            "volumes": volumes,
        },
    }


def in_api(name: PodName, being: Being) -> dict[str, Any] | None:
    """Return a pod as the API server has it; None if it has none."""
    life = being.life
    if life in {"gone", "ghost"}:
        return None
    pod = a_pod(name, being.number)
    if life == "terminating":
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if life == "moved":
        pod["spec"]["nodeName"] = "node2"
    if life == "unmarked":
        del pod["metadata"]["annotations"][CHECKPOINT]
    pod["status"] = {
        "phase": "Failed" if life == "failed" else "Running",
        "conditions": [{"type": "Ready", "status": "True" if life == "runs" else "False"}],
    }
    return pod


def objects(version: int) -> dict[tuple[str, ObjectName], dict[str, Any]]:
    """Return the secrets and the config map, all keys of one version."""
    text = f"{SECRET}{version}"
    made = {
        TLS: an_object("Secret", "tls", str(version), {"crt": text, "key": text}),
        ENV: an_object("Secret", "env", str(version), {"password": text}),
        CONF: an_object("ConfigMap", "conf", str(version), {"policy": str(version)}),
    }
    return {("kube-system", name): it for name, it in made.items()}
