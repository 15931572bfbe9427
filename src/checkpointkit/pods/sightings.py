"""One tick: the answers of all sources become what was seen of each pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import Got, PodList
from checkpointkit.pods.model import Pod, PodName
from checkpointkit.pods.observation import ApiSight, api_sight, find_listed
from checkpointkit.pods.runtime import RunningSight, Runtime, running_sight

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.pods.model import Scope
    from checkpointkit.pods.record import Record

__all__ = ["Answers", "Sighting", "sightings"]


@frozen
class Answers:
    """What the sources have answered in one tick.

    Attributes:
        listed: The API server's lists, by namespace.
        kubelet: The kubelet's list.
        runtime: The container runtime's sandboxes and containers.
        got: What came of asking the API server for single pods.
        same_cluster: Whether the API server is that of the recorded cluster; None if nobody knows.
    """

    listed: Mapping[str, PodList | Failed]
    kubelet: PodList | Failed
    runtime: Runtime | Failed
    got: Mapping[PodName, Got] = field(factory=dict[PodName, Got])
    same_cluster: bool | None = None


@frozen
class Sighting:
    """What was seen of one pod in one tick.

    Attributes:
        api: What the API server says.
        running: What the container runtime says, in this tick alone.
        listed: Whether the kubelet lists it; None if it cannot be asked.
        parent: The pod, as the API server or else the kubelet shows it.
        obstacle: Why its copy cannot be started, apart from there being none.
    """

    api: ApiSight
    running: RunningSight
    listed: bool | None
    parent: Pod | None = None
    obstacle: str = ""


def sightings(
    answers: Answers,
    records: Mapping[PodName, Record],
    scope: Scope,
    now: float,
    *,
    obstacles: Mapping[PodName, str] | None = None,
) -> dict[PodName, Sighting]:
    """Return what was seen of each pod that has a record, or is a parent by any list.

    Args:
        answers: What the sources have answered.
        records: The records, by name.
        scope: The node, and the namespaces.
        now: The time, in seconds since 1970.
        obstacles: Why the copies of pods cannot be started (assets that are missing, a manifest
            that no kubelet takes).

    Example:
        >>> from checkpointkit.pods.model import Scope
        >>> pod = Pod(PodName("kube-system", "a"), uid="7f3e", node="node1", marked=True)
        >>> answers = Answers({"kube-system": PodList((pod,))}, Failed("401"), Failed("no socket"))
        >>> seen = sightings(answers, {}, Scope("node1", frozenset({"kube-system"})), 0.0)
        >>> seen[pod.name].api.value, seen[pod.name].running.reason
        (<Api.HERE: 'here'>, 'no socket')
    """
    names = {*records, *(name for name in _parents(answers) if scope.watches(name))}
    why = obstacles or {}
    return {
        name: _sighting(name, answers, records.get(name), scope, now, why.get(name, ""))
        for name in names
    }


def _parents(answers: Answers) -> Iterator[PodName]:
    for pods in (*answers.listed.values(), answers.kubelet):
        if isinstance(pods, PodList):
            yield from (pod.name for pod in pods.parents)


def _sighting(
    name: PodName,
    answers: Answers,
    record: Record | None,
    scope: Scope,
    now: float,
    obstacle: str,
) -> Sighting:
    local = find_listed(name, answers.kubelet)
    listed = None if isinstance(local, Failed) else local is not None
    api = api_sight(
        name,
        record.uid if record else "",
        scope,
        answers.listed,
        got=answers.got.get(name),
        same_cluster=answers.same_cluster,
    )
    running = running_sight(name, answers.runtime, listed=listed, now=now)
    shown = local if isinstance(local, Pod) else None
    return Sighting(api, running, listed, api.pod or shown, obstacle)
