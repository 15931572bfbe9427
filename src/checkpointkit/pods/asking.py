"""All sources are asked, once a tick; what only a removal needs is asked for when one is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import PodList
from checkpointkit.pods.observation import is_same_cluster
from checkpointkit.pods.sightings import Answers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointkit.pods.model import PodName, Scope
    from checkpointkit.pods.sources import ApiServer, ContainerRuntime, Kubelet

__all__ = ["Sources", "unavailable"]

_CLUSTER_AFTER: Final = 60.0


@frozen
class _Cluster:
    """What the API server has said of the cluster, and when."""

    uid: str | Failed
    asked_at: float


class Sources:
    """The three sources, and which cluster the API server is of.

    Args:
        api: The API server.
        kubelet: The kubelet.
        runtime: The container runtime.
        scope: The node, and the namespaces.
    """

    def __init__(
        self, api: ApiServer, kubelet: Kubelet, runtime: ContainerRuntime, scope: Scope
    ) -> None:
        self._api = api
        self._kubelet = kubelet
        self._runtime = runtime
        self._scope = scope
        self._cluster: _Cluster | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it is not known which cluster this is, one line at most."""
        uid = self._cluster.uid if self._cluster else ""
        if isinstance(uid, Failed):
            return (f"nothing is removed, since nobody knows which cluster this is: {uid.reason}",)
        return ()

    def ask(self, recorded: str, now: float) -> Answers:
        """Ask each source for what it knows now.

        Args:
            recorded: The UID of kube-system that is recorded; empty if none is.
            now: The time, in seconds since 1970.
        """
        listed = {
            namespace: self._api.pods(namespace, self._scope.node)
            for namespace in sorted(self._scope.namespaces)
        }
        if any(isinstance(pods, Failed) for pods in listed.values()):
            self._cluster = None  # whoever answers after an outage may be another
        answered = any(isinstance(pods, PodList) for pods in listed.values())
        if recorded and answered and self._is_cluster_due(now):
            self.cluster(now)
        return Answers(
            listed,
            self._kubelet.pods(),
            self._runtime.runtime(),
            same_cluster=self._is_same(recorded),
        )

    def confirm(
        self, answers: Answers, names: Iterable[PodName], recorded: str, now: float
    ) -> Answers:
        """Ask for single pods, which are about to be removed, and for the cluster.

        Args:
            answers: What was answered in this tick.
            names: The pods.
            recorded: The UID of kube-system that is recorded.
            now: The time, in seconds since 1970.
        """
        self.cluster(now)
        got = {name: self._api.pod(name) for name in names}
        return evolve(answers, got=got, same_cluster=self._is_same(recorded))

    def cluster(self, now: float) -> str:
        """Return the UID of kube-system as the API server says in this tick; empty if it does not.

        Args:
            now: The time of the tick, in seconds since 1970.
        """
        if self._cluster is None or self._cluster.asked_at != now:
            self._cluster = _Cluster(self._api.cluster(), now)
        uid = self._cluster.uid
        return "" if isinstance(uid, Failed) else uid

    def _is_cluster_due(self, now: float) -> bool:
        known = self._cluster
        if known is None or isinstance(known.uid, Failed):
            return True
        return not known.asked_at <= now < known.asked_at + _CLUSTER_AFTER

    def _is_same(self, recorded: str) -> bool | None:
        return is_same_cluster(recorded, self._cluster.uid) if self._cluster else None


def unavailable(answers: Answers) -> dict[str, str]:
    """Return which sources could not be asked, and why.

    Example:
        >>> answers = Answers({"prod": Failed("timed out")}, PodList(()), Failed("no socket"))
        >>> unavailable(answers)
        {'api server': 'prod: timed out', 'container runtime': 'no socket'}
    """
    failed = [
        f"{namespace}: {pods.reason}"
        for namespace, pods in answers.listed.items()
        if isinstance(pods, Failed)
    ]
    said = {
        "api server": failed[0] if failed else None,
        "kubelet": answers.kubelet.reason if isinstance(answers.kubelet, Failed) else None,
        "container runtime": answers.runtime.reason
        if isinstance(answers.runtime, Failed)
        else None,
    }
    return {source: reason for source, reason in said.items() if reason is not None}
