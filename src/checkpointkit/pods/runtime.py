"""What the container runtime (CRI) has answered, as values, and what that says of a parent.

It alone decides whether a parent runs. Sources: the messages of the CRI
(k8s.io/cri-api/pkg/apis/runtime/v1); the kubelet starts an exited container again after five
minutes at the latest (pkg/kubelet, MaxContainerBackOff), so that after six it has given up, or is
not there; a sandbox that is ready and empty lasts some 35 seconds after an outage (seen on 1.34).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.model import CHECKPOINT_OF, CONFIG_SOURCE, PodName

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "GIVEN_UP_AFTER",
    "Container",
    "ContainerState",
    "Running",
    "RunningSight",
    "Runtime",
    "Sandbox",
    "running_sight",
]

GIVEN_UP_AFTER: Final = 360.0
"""Seconds without a new attempt after which nobody is going to start a container again."""


class Running(enum.Enum):
    """Whether a parent runs, by the container runtime."""

    YES = "yes"
    STARTING = "starting"
    NO = "no"
    UNKNOWN = "unknown"


@frozen
class RunningSight:
    """What the container runtime says of a parent.

    Attributes:
        value: Yes, starting, no or unknown.
        reason: Why.
        exited: Its containers have all exited; the kubelet is there to start them again.
        age: How long it has been starting, in seconds; 0 otherwise.
    """

    value: Running
    reason: str
    exited: bool = False
    age: float = 0.0


class ContainerState(enum.Enum):
    """The state of a container, as the CRI has it."""

    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


@frozen
class Sandbox:
    """A pod sandbox.

    Attributes:
        id: Its id.
        namespace: The namespace of its pod, as the runtime has it.
        name: The name of its pod.
        uid: The UID of its pod.
        ready: Whether its state is READY.
        created_at: When it was made, in seconds since 1970.
        attempt: How many came before it.
        annotations: Those of its pod.
    """

    id: str
    namespace: str
    name: str
    uid: str
    ready: bool
    created_at: float
    attempt: int = 0
    annotations: Mapping[str, str] = field(factory=dict[str, str])

    @property
    def is_parents(self) -> bool:
        """Whether its pod can be a parent: not from a file, and no checkpoint."""
        return (
            self.annotations.get(CONFIG_SOURCE) != "file" and CHECKPOINT_OF not in self.annotations
        )


@frozen
class Container:
    """A container of a sandbox.

    Attributes:
        sandbox_id: The id of its sandbox.
        name: Its name in the pod.
        state: Its state.
        created_at: When it was made, in seconds since 1970.
        finished_at: When it has exited; None if that was not asked for.
        attempt: How many came before it.
    """

    sandbox_id: str
    name: str
    state: ContainerState
    created_at: float
    finished_at: float | None = None
    attempt: int = 0


@frozen
class Runtime:
    """All sandboxes and containers of a node, read once a tick.

    Attributes:
        sandboxes: The sandboxes, those that are not ready, too.
        containers: The containers, in any state.
    """

    sandboxes: tuple[Sandbox, ...]
    containers: tuple[Container, ...]
    _by_pod: dict[tuple[str, str], list[Sandbox]] = field(init=False, repr=False, eq=False)
    _by_sandbox: dict[str, list[Container]] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        by_pod: dict[tuple[str, str], list[Sandbox]] = {}
        by_sandbox: dict[str, list[Container]] = {}
        for sandbox in self.sandboxes:
            by_pod.setdefault((sandbox.namespace, sandbox.name), []).append(sandbox)
        for container in self.containers:
            by_sandbox.setdefault(container.sandbox_id, []).append(container)
        object.__setattr__(self, "_by_pod", by_pod)
        object.__setattr__(self, "_by_sandbox", by_sandbox)

    def sandboxes_of(self, name: PodName) -> tuple[Sandbox, ...]:
        """Return the sandboxes of a parent, the newest last; never those of a static pod."""
        found = self._by_pod.get((name.namespace, name.name), ())
        return tuple(
            sorted(
                (sandbox for sandbox in found if sandbox.is_parents),
                key=lambda sandbox: (sandbox.created_at, sandbox.attempt),
            )
        )

    def containers_of(self, sandbox: Sandbox) -> tuple[Container, ...]:
        """Return the containers of a sandbox."""
        return tuple(self._by_sandbox.get(sandbox.id, ()))


def running_sight(
    name: PodName, runtime: Runtime | Failed, *, listed: bool | None, now: float
) -> RunningSight:
    """Return what the container runtime says of a parent in this tick.

    A "no" is one of two: it counts when the next tick says the same (`plan`).

    Args:
        name: The parent.
        runtime: What the runtime has answered.
        listed: Whether the kubelet lists the parent; None if it cannot be asked.
        now: The time, in seconds since 1970.

    Example:
        >>> name = PodName("kube-system", "kube-apiserver-x7k2p")
        >>> sandbox = Sandbox("s1", name.namespace, name.name, "7f3e", ready=True, created_at=0.0)
        >>> running_sight(name, Runtime((sandbox,), ()), listed=None, now=9.0)
        RunningSight(value=<Running.STARTING: 'starting'>, reason='its sandbox is ready, and no \
container has run yet', exited=False, age=9.0)
        >>> ended = Container("s1", "main", ContainerState.EXITED, 1.0, finished_at=8.0)
        >>> running_sight(name, Runtime((sandbox,), (ended,)), listed=True, now=9.0).value
        <Running.YES: 'yes'>
        >>> running_sight(name, Runtime((sandbox,), (ended,)), listed=False, now=9.0).value
        <Running.UNKNOWN: 'unknown'>
        >>> running_sight(name, Runtime((sandbox,), (ended,)), listed=False, now=369.0).value
        <Running.NO: 'no'>
    """
    if isinstance(runtime, Failed):
        return RunningSight(Running.UNKNOWN, runtime.reason)
    sandboxes = runtime.sandboxes_of(name)
    every = [container for box in sandboxes for container in runtime.containers_of(box)]
    if any(container.state is ContainerState.RUNNING for container in every):
        return RunningSight(Running.YES, "a container of it runs")
    ready = [sandbox for sandbox in sandboxes if sandbox.ready]
    if any(container.state is ContainerState.UNKNOWN for container in every):
        return RunningSight(Running.UNKNOWN, "the runtime does not know the state of a container")
    if not ready:
        return RunningSight(Running.NO, "it has no sandbox that is ready")
    return _of_ready(ready[-1], runtime.containers_of(ready[-1]), listed=listed, now=now)


def _of_ready(
    sandbox: Sandbox, containers: tuple[Container, ...], *, listed: bool | None, now: float
) -> RunningSight:
    """Judge a ready sandbox none of whose containers runs."""
    exited = [item for item in containers if item.state is ContainerState.EXITED]
    if not exited:
        return RunningSight(
            Running.STARTING,
            "its sandbox is ready, and no container has run yet",
            age=now - sandbox.created_at,
        )
    if listed:
        return RunningSight(
            Running.YES, "its containers have exited, and the kubelet lists it", exited=True
        )
    ends = [item.finished_at for item in exited if item.finished_at is not None]
    if len(ends) < len(exited):
        return RunningSight(Running.UNKNOWN, "its containers have exited, and nobody knows when")
    # One that was made, and not started, is an attempt as well.
    latest = max(*ends, *(item.created_at for item in containers))
    if now - latest < GIVEN_UP_AFTER:
        return RunningSight(
            Running.UNKNOWN, "its containers have exited a short while ago, and may start again"
        )
    return RunningSight(
        Running.NO, "its containers have exited long ago, and the kubelet does not list it"
    )
