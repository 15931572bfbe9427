"""The three sources that the checkpointer asks, as protocols: bring a client of your own.

An answer is a value; what went wrong is `Failed`, with the reason, and never an exception: one
source that is down must not keep the checkpointer from looking at the others. An implementation
that raises all the same ends the tick, and is a bug.

The clients that come with this package are in `checkpointkit.pods.clients`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from checkpointkit.kubernetes.failed import Failed
    from checkpointkit.pods.answers import Fetched, Got, PodList
    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.references import ObjectName
    from checkpointkit.pods.runtime import Runtime

__all__ = ["ApiServer", "ContainerRuntime", "Kubelet"]


class ApiServer(Protocol):
    """The Kubernetes API server."""

    def pods(self, namespace: str, node: str) -> PodList | Failed:
        """Return all pods of a namespace that are bound to a node.

        The list has to be complete: `answers.read_api_list` reads it.
        """
        ...

    def pod(self, name: PodName) -> Got:
        """Return one pod, wherever it is; `answers.read_get` reads the answer."""
        ...

    def cluster(self) -> str | Failed:
        """Return the UID of the namespace kube-system, which tells one cluster from another."""
        ...

    def fetch(self, namespace: str, name: ObjectName) -> Fetched:
        """Return a secret or a config map; `answers.read_fetched` reads the answer."""
        ...


class Kubelet(Protocol):
    """The kubelet of this node."""

    def pods(self) -> PodList | Failed:
        """Return the pods that it knows, static ones too; `answers.read_kubelet_list` reads it."""
        ...


class ContainerRuntime(Protocol):
    """The container runtime of this node."""

    def runtime(self) -> Runtime | Failed:
        """Return all sandboxes and containers, whatever their state.

        For containers that have exited, in sandboxes that are ready, with the time of that.
        """
        ...
