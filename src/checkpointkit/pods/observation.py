"""What the API server and the kubelet say of a parent: A and L.

A is here, gone or unknown, L listed, not listed or unknown; an unknown has its reason, and is never
a guess. What the container runtime says, R, is in `runtime`.

Source: what counts as gone was decided after running bootkube's pod checkpointer, which removes
everything at the first empty list, whoever sends it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from attrs import frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import Got, NotFound, PodList

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointkit.pods.model import Pod, PodName, Scope

__all__ = ["Api", "ApiSight", "api_sight", "find_listed", "is_same_cluster", "not_watched"]


class Api(enum.Enum):
    """Whether a parent belongs to this node, by the API server."""

    HERE = "here"
    GONE = "gone"
    UNKNOWN = "unknown"


@frozen
class ApiSight:
    """What the API server says of a parent.

    Attributes:
        value: Here, gone or unknown.
        reason: Why.
        confirmed: The pod was asked for by its name, and is gone; without that nothing is removed.
        pod: The pod, where it is here.
    """

    value: Api
    reason: str
    confirmed: bool = False
    pod: Pod | None = None


def is_same_cluster(recorded: str, seen: str | Failed) -> bool | None:
    """Return whether the API server is that of the recorded cluster; None if nobody knows.

    Args:
        recorded: The UID of kube-system that was recorded when the checkpoints were saved; empty
            if none was.
        seen: The UID that the API server gives now.

    Example:
        >>> is_same_cluster("6c1f", "6c1f"), is_same_cluster("6c1f", "a310")
        (True, False)
        >>> is_same_cluster("6c1f", Failed("timed out"))
    """
    if isinstance(seen, Failed) or not recorded or not seen:
        return None
    return seen == recorded


def api_sight(
    name: PodName,
    uid: str,
    scope: Scope,
    listed: Mapping[str, PodList | Failed],
    *,
    got: Got | None = None,
    same_cluster: bool | None = None,
) -> ApiSight:
    """Return what the API server says of a parent.

    Args:
        name: The parent.
        uid: The UID that was recorded for it; empty if none was.
        scope: The node, and the namespaces.
        listed: The lists that the API server gave, by namespace.
        got: What came of asking for this very pod; None if nobody has.
        same_cluster: Whether the API server is that of the recorded cluster (`is_same_cluster`).

    Example:
        >>> from checkpointkit.pods.model import PodName, Scope
        >>> name = PodName("kube-system", "kube-apiserver-x7k2p")
        >>> scope = Scope("node1", frozenset({"kube-system"}))
        >>> api_sight(name, "7f3e", scope, {"kube-system": PodList(())})
        ApiSight(value=<Api.GONE: 'gone'>, reason='the API server does not list it', \
confirmed=False, pod=None)
        >>> api_sight(name, "7f3e", scope, {"kube-system": Failed("timed out")}).reason
        'timed out'
    """
    pods = listed.get(name.namespace)
    if pods is None or not scope.watches(name):
        return ApiSight(Api.UNKNOWN, "its namespace is not watched")
    if same_cluster is False:
        return ApiSight(Api.UNKNOWN, "the API server is that of another cluster")
    pod = _found(name, pods)
    if isinstance(pod, Failed):
        return ApiSight(Api.UNKNOWN, pod.reason)
    absence = _absence(pod, scope.node)
    if pod is not None and not absence:
        return ApiSight(Api.HERE, "the API server has it here", pod=pod)
    if got is not None:
        return _confirmed(got, uid, scope.node, same_cluster=same_cluster is True)
    return ApiSight(Api.GONE, absence)


def _found(name: PodName, pods: PodList | Failed) -> Pod | Failed | None:
    if isinstance(pods, Failed):
        return pods
    pod = pods.find(name)
    # What could not be read may be the very pod.
    return Failed(pods.unreadable[0]) if pod is None and pods.unreadable else pod


def _absence(pod: Pod | None, node: str) -> str:
    """Return why a pod counts as gone; empty if it is here."""
    if pod is None:
        return "the API server does not list it"
    if pod.is_over:
        return "it has ended"
    if pod.terminating:
        return "it is terminating"
    if pod.node != node:
        return "it is on another node"
    return "" if pod.is_parent else "it asks for no checkpoint any more"


def _confirmed(got: Got, uid: str, node: str, *, same_cluster: bool) -> ApiSight:
    if isinstance(got, Failed):
        return ApiSight(Api.GONE, f"the API server does not list it, but {got.reason}")
    if isinstance(got, NotFound):
        reason, final = "the API server has no such pod", True
    else:
        reason = _absence(got, node)
        if not reason:
            return ApiSight(Api.HERE, "the API server has it here", pod=got)
        # A terminating pod may take its time. What has ended, or moved on, does not come back.
        final = (
            not got.terminating or got.is_over or got.node != node or got.uid != (uid or got.uid)
        )
    if not same_cluster:
        return ApiSight(Api.GONE, f"{reason}, but whether it is the same cluster is not known")
    return ApiSight(Api.GONE, reason, confirmed=final)


def find_listed(name: PodName, kubelet: PodList | Failed) -> Pod | Failed | None:
    """Return a parent as the kubelet lists it; None if it does not.

    Example:
        >>> from checkpointkit.pods.model import PodName
        >>> find_listed(PodName("kube-system", "a"), PodList(()))
        >>> find_listed(PodName("kube-system", "a"), Failed("timed out"))
        Failed(reason='timed out')
    """
    if isinstance(kubelet, Failed):
        return kubelet
    pod = kubelet.find(name)
    return pod if pod is not None and pod.is_parent else None


def not_watched(scope: Scope, lists: Iterable[PodList | Failed]) -> tuple[PodName, ...]:
    """Return the parents that are in no watched namespace, sorted: nobody looks after them.

    Example:
        >>> from checkpointkit.pods.model import Pod, PodName, Scope
        >>> agent = Pod(PodName("monitoring", "agent-1"), marked=True)
        >>> not_watched(Scope("node1", frozenset({"kube-system"})), [PodList((agent,))])
        (PodName(namespace='monitoring', name='agent-1'),)
    """
    return tuple(
        sorted(
            {
                pod.name
                for pods in lists
                if isinstance(pods, PodList)
                for pod in pods.parents
                if scope.misses(pod)
            }
        )
    )
