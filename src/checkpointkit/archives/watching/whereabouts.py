"""Where the parents of archives are, as far as an API server's answers say it.

Each function takes an HTTP status and the decoded body, or what came of them. What is gone has to
be said by the API server itself, for that very name: a wrong address and a proxy in between answer
with 404, too. The answers are those of Kubernetes 1.36.

Static pods: the kubelet runs one under a UID of its own making (pkg/kubelet/config/common.go, a
hash of its manifest), and shows it to the API server as a mirror pod, which has another UID and
bears the kubelet's in annotations. A mirror may be missing, or an old one, while the pod runs:
that is never taken for its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.model import Level
from checkpointkit.kubernetes.failed import Failed

if TYPE_CHECKING:
    from checkpointkit.archives.model import Parent

__all__ = ["Absent", "Present", "is_static", "judge", "read_namespace", "read_pod"]

_OK: Final = 200
_NOT_FOUND: Final = 404
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
_MIRROR: Final = "kubernetes.io/config.mirror"
_HASH: Final = "kubernetes.io/config.hash"
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UID as API servers give them; that of a static pod is a hash without dashes."""


@frozen
class Absent:
    """The API server has nothing of that name."""


@frozen
class Present:
    """A pod that the API server has; one that is terminating is still there.

    Attributes:
        uids: Its UID, and for a mirror pod those that its static pod may have.
        is_mirror: It shows a static pod.
        containers: The names of its containers, of all kinds.
    """

    uids: frozenset[str]
    is_mirror: bool
    containers: frozenset[str]


def is_static(uid: str) -> bool:
    """Tell whether it is the UID of a static pod.

    Args:
        uid: A pod's UID; empty where it is not known.

    Example:
        >>> is_static("d2139d84-b72d-4e56-aa68-06d2f74e2528"), is_static("")
        (False, False)
        >>> is_static("b0b5a6a0d4f3d8d0a1d5c1e9c3a7f2e4")
        True
    """
    return bool(uid) and _UUID.fullmatch(uid) is None


def read_pod(status: int, decoded: Any, namespace: str, name: str) -> Present | Absent | Failed:
    """Return what came of asking the API server for a pod.

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.
        namespace: The namespace that was asked for.
        name: The pod that was asked for.

    Example:
        >>> details = {"name": "web", "kind": "pods"}
        >>> status = {"kind": "Status", "reason": "NotFound", "code": 404, "details": details}
        >>> read_pod(404, status, "default", "web")
        Absent()
        >>> read_pod(404, None, "default", "web")
        Failed(reason='the pod was answered with status 404, and not by the API server')
    """
    if status != _OK:
        return _refused("pod", status, decoded, name)
    metadata = _metadata(decoded, "Pod", name)
    spec = decoded.get("spec") if metadata is not None else None
    if metadata is None or metadata.get("namespace") != namespace or not isinstance(spec, dict):
        return Failed("the answer for the pod is none, or another pod")
    annotations = metadata.get("annotations") or {}
    containers = _containers(spec)
    if not isinstance(annotations, dict) or containers is None:
        return Failed("the pod cannot be read")
    others = (annotations.get(key) for key in (_MIRROR, _HASH))
    uids = {metadata["uid"], *(uid for uid in others if isinstance(uid, str) and uid)}
    return Present(frozenset(uids), _MIRROR in annotations, containers)


def read_namespace(status: int, decoded: Any, name: str) -> str | Absent | Failed:
    """Return the UID of a namespace, or what else came of asking the API server for it.

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.
        name: The namespace that was asked for.

    Example:
        >>> read_namespace(200, {"kind": "Namespace", "metadata": {"name": "a", "uid": "6c"}}, "a")
        '6c'
        >>> read_namespace(403, {"kind": "Status", "reason": "Forbidden"}, "a")
        Failed(reason='the namespace was answered with status 403')
    """
    if status != _OK:
        return _refused("namespace", status, decoded, name)
    metadata = _metadata(decoded, "Namespace", name)
    if metadata is None:
        return Failed("the answer for the namespace is none, or another namespace")
    uid: str = metadata["uid"]
    return uid


def judge(parent: Parent, pod: Present | Level) -> Level | Failed | None:
    """Return the widest that is gone of a parent; None if it is there.

    Args:
        parent: A container of a pod.
        pod: The pod of its name; what is gone if there is none.

    Example:
        >>> from checkpointkit.archives.model import Container, Parent
        >>> parent = Parent(Container("default", "web", "app"), uid="b0b5a6a0d4f3d8d0")
        >>> judge(parent, Level.POD)
        Failed(reason='it was a static pod, which may run without the API server knowing of it')
    """
    if isinstance(pod, Present) and (not parent.uid or parent.uid in pod.uids):
        return None if parent.container.container in pod.containers else Level.CONTAINER
    if is_static(parent.uid):
        return Failed("it was a static pod, which may run without the API server knowing of it")
    if not isinstance(pod, Present):
        return pod
    if pod.is_mirror:
        return Failed("a static pod has its name, and what ran before is not known")
    return Level.POD


def _refused(what: str, status: int, decoded: Any, name: str) -> Absent | Failed:
    if status != _NOT_FOUND:
        return Failed(f"the {what} was answered with status {status}")
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        details = decoded.get("details")
        if (
            decoded.get("reason") == "NotFound"
            and isinstance(details, dict)
            and (details.get("kind"), details.get("name")) == (f"{what}s", name)
            and not details.get("group")
        ):
            return Absent()
    return Failed(f"the {what} was answered with status 404, and not by the API server")


def _metadata(decoded: Any, kind: str, name: str) -> dict[str, Any] | None:
    """Return the metadata of an object, if it is the one that was asked for."""
    if not isinstance(decoded, dict) or decoded.get("kind") != kind:
        return None
    metadata = decoded.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") != name:
        return None
    uid = metadata.get("uid")
    return metadata if isinstance(uid, str) and uid else None


def _containers(spec: dict[str, Any]) -> frozenset[str] | None:
    """Return the names of all containers; None where one of them cannot be read."""
    names: set[str] = set()
    for kind in _CONTAINERS:
        containers = spec.get(kind)
        if containers is None:
            continue
        if not isinstance(containers, list):
            return None
        for container in containers:
            name = container.get("name") if isinstance(container, dict) else None
            if not isinstance(name, str):
                return None
            names.add(name)
    return frozenset(names) if names else None
