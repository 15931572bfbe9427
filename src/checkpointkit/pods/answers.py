"""What the API server and the kubelet have answered, as values.

Each function takes an HTTP status and the decoded body, and returns what was asked for or `Failed`
with the reason. Sources: bootkube's pod checkpointer took any error for an API server that is down,
and believed any 200 (pkg/checkpoint/checkpoint.go); the answers are those of Kubernetes 1.34.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import field, frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.assets import Asset, read_asset
from checkpointkit.pods.model import Pod, PodName, read_pod

if TYPE_CHECKING:
    from checkpointkit.pods.references import ObjectName

__all__ = [
    "Fetched",
    "Got",
    "NotFound",
    "PodList",
    "read_api_list",
    "read_fetched",
    "read_get",
    "read_kubelet_list",
    "read_namespace_uid",
]

_OK = 200
_NOT_FOUND = 404


@frozen
class NotFound:
    """The API server has nothing of that name."""


@frozen
class PodList:
    """A complete list of pods.

    Attributes:
        pods: Those that could be read.
        unreadable: Why others could not, one line for each.
        parents: Those that want a checkpoint.
    """

    pods: tuple[Pod, ...]
    unreadable: tuple[str, ...] = ()
    parents: tuple[Pod, ...] = field(init=False, repr=False, eq=False)
    _named: dict[PodName, Pod] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        named: dict[PodName, Pod] = {}
        for pod in self.pods:
            # One name twice is a list in the middle of a change: the one that lives counts.
            if pod.name not in named or not (pod.is_over or pod.terminating):
                named[pod.name] = pod
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "parents", tuple(pod for pod in self.pods if pod.is_parent))

    def find(self, name: PodName) -> Pod | None:
        """Return the pod of that name."""
        return self._named.get(name)


Got: TypeAlias = Pod | NotFound | Failed
"""What came of asking the API server for one pod."""
Fetched: TypeAlias = Asset | NotFound | Failed
"""What came of asking the API server for a secret or a config map."""


def read_api_list(status: int, decoded: Any) -> PodList | Failed:
    """Return the API server's list of pods, if it is one, and complete.

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.

    Example:
        >>> read_api_list(200, {"kind": "PodList", "apiVersion": "v1", "items": []})
        PodList(pods=(), unreadable=())
        >>> read_api_list(403, {"kind": "Status", "reason": "Forbidden"})
        Failed(reason='the list of pods was answered with status 403')
        >>> page = {"kind": "PodList", "metadata": {"continue": "abc"}, "items": []}
        >>> read_api_list(200, page)
        Failed(reason='the list of pods goes on, and its other pages are missing')
    """
    return _read_list("the list of pods", status, decoded, complete=True)


def read_kubelet_list(status: int, decoded: Any) -> PodList | Failed:
    """Return the kubelet's list of pods (`/pods`).

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.

    Example:
        >>> read_kubelet_list(401, None)
        Failed(reason="the kubelet's list of pods was answered with status 401")
    """
    return _read_list("the kubelet's list of pods", status, decoded, complete=False)


def _read_list(what: str, status: int, decoded: Any, *, complete: bool) -> PodList | Failed:
    if status != _OK:
        return Failed(f"{what} was answered with status {status}")
    if not isinstance(decoded, dict) or decoded.get("kind") != "PodList":
        return Failed(f"{what} is none")
    # Go writes null for a list that was never filled; without the field it is not complete.
    items = decoded.get("items", "missing")
    if items is not None and not isinstance(items, list):
        return Failed(f"{what} has no items")
    if complete and _goes_on(decoded.get("metadata")):
        return Failed(f"{what} goes on, and its other pages are missing")
    pods: list[Pod] = []
    unreadable: list[str] = []
    for number, item in enumerate(items or ()):
        try:
            pods.append(read_pod(item))
        except ValueError as error:
            unreadable.append(f"pod {number} of {what}: {error}")
    return PodList(tuple(pods), tuple(unreadable))


def _goes_on(metadata: Any) -> bool:
    # Metadata that cannot be read may have said so.
    return metadata is not None and (
        not isinstance(metadata, dict) or bool(metadata.get("continue"))
    )


def read_get(status: int, decoded: Any, name: PodName) -> Got:
    """Return what came of asking the API server for one pod.

    A 404 counts if the API server itself says that the pod is not found: a wrong address and a
    proxy in between answer with 404, too.

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.
        name: The pod that was asked for.

    Example:
        >>> name = PodName("kube-system", "kube-apiserver-x7k2p")
        >>> details = {"name": name.name, "kind": "pods"}
        >>> read_get(404, {"kind": "Status", "reason": "NotFound", "details": details}, name)
        NotFound()
        >>> read_get(404, None, name)
        Failed(reason='the pod was answered with status 404, and not by the API server')
    """
    if status == _NOT_FOUND:
        if _says_not_found(decoded, "pods", name.name):
            return NotFound()
        return Failed("the pod was answered with status 404, and not by the API server")
    if status != _OK:
        return Failed(f"the pod was answered with status {status}")
    if not isinstance(decoded, dict) or decoded.get("kind") != "Pod":
        return Failed("the answer for the pod is none")
    try:
        pod = read_pod(decoded)
    except ValueError as error:
        return Failed(f"the pod cannot be read: {error}")
    return pod if pod.name == name else Failed("the answer for the pod is another pod")


def _says_not_found(decoded: Any, resource: str, name: str) -> bool:
    if not isinstance(decoded, dict) or decoded.get("kind") != "Status":
        return False
    details = decoded.get("details")
    return (
        decoded.get("reason") == "NotFound"
        and isinstance(details, dict)
        and (details.get("kind"), details.get("name")) == (resource, name)
    )


def read_fetched(status: int, decoded: Any, name: ObjectName) -> Fetched:
    """Return what came of asking the API server for a secret or a config map.

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.
        name: What was asked for.

    Example:
        >>> from checkpointkit.pods.references import ObjectName
        >>> tls = ObjectName("Secret", "tls")
        >>> read_fetched(403, {"kind": "Status", "reason": "Forbidden"}, tls)
        Failed(reason='Secret tls was answered with status 403')
        >>> secret = {"kind": "Secret", "metadata": {"name": "tls"}, "data": {"ca.crt": "YWJj"}}
        >>> read_fetched(200, secret, tls).data
        {'ca.crt': b'abc'}
    """
    if status == _NOT_FOUND:
        if _says_not_found(decoded, f"{name.kind.lower()}s", name.name):
            return NotFound()
        return Failed(f"{name} was answered with status 404, and not by the API server")
    if status != _OK:
        return Failed(f"{name} was answered with status {status}")
    if not isinstance(decoded, dict) or decoded.get("kind") != name.kind:
        return Failed(f"the answer for {name} is none")
    try:
        asset = read_asset(decoded, name.kind)
    except ValueError as error:
        return Failed(f"{name} cannot be read: {error}")
    return asset if asset.name == name else Failed(f"the answer for {name} is another object")


def read_namespace_uid(status: int, decoded: Any) -> str | Failed:
    """Return the UID of a namespace, which for kube-system tells one cluster from another.

    Args:
        status: The HTTP status.
        decoded: The body as JSON has it; None if it is none.

    Example:
        >>> read_namespace_uid(200, {"kind": "Namespace", "metadata": {"uid": "6c1f"}})
        '6c1f'
    """
    if status != _OK:
        return Failed(f"the namespace kube-system was answered with status {status}")
    if isinstance(decoded, dict) and decoded.get("kind") == "Namespace":
        metadata = decoded.get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, dict) else None
        if isinstance(uid, str) and uid:
            return uid
    return Failed("the answer for the namespace kube-system is none")
