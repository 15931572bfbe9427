"""What came of one tick, as values: for logs, metrics, and whoever calls `reconcile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.machine import Action, State
    from checkpointkit.pods.model import PodName

__all__ = ["PodTick", "Tick"]


@frozen
class PodTick:
    """What came of one tick for one pod.

    Attributes:
        name: The parent.
        before: Its state before the tick.
        state: Its state now, as it is stored.
        actions: What was decided, in this order; what of it could not be done is in `problems`.
        reason: Why.
        is_self: It is the checkpointer itself.
        saved: A copy of it was saved, or saved anew.
        refused: It cannot be made independent of the API server; why, is in `problems`.
        problems: What could not be done, one line each, with the path in the pod where there is
            one. Nothing of a secret is in it.
        notes: What is worth knowing of its copy.
    """

    name: PodName
    before: State
    state: State
    actions: tuple[Action, ...] = ()
    reason: str = ""
    is_self: bool = False
    saved: bool = False
    refused: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_transition(self) -> bool:
        """Whether its state has changed."""
        return self.state is not self.before


@frozen
class Tick:
    """What came of one tick.

    Attributes:
        at: When it began, in seconds since 1970.
        pods: The pods that something is kept of, or was until this tick, sorted by name.
        unavailable: The sources that could not be asked (`api server`, `kubelet`,
            `container runtime`), and why.
        not_watched: Parents in namespaces that are not watched; nobody looks after them.
        problems: What else could not be done or read, one line each.
        wrote: Whether anything was written: a file, or a record.
        seconds: How long it took.
    """

    at: float
    pods: tuple[PodTick, ...] = ()
    unavailable: Mapping[str, str] = field(factory=dict[str, str])
    not_watched: tuple[PodName, ...] = ()
    problems: tuple[str, ...] = ()
    wrote: bool = False
    seconds: float = 0.0

    @property
    def transitions(self) -> tuple[PodTick, ...]:
        """The pods whose state has changed.

        Example:
            >>> from checkpointkit.pods.machine import State
            >>> from checkpointkit.pods.model import PodName
            >>> web = PodTick(PodName("prod", "web"), State.INACTIVE, State.ACTIVE)
            >>> [str(each.name) for each in Tick(0.0, (web,)).transitions]
            ['prod/web']
        """
        return tuple(pod for pod in self.pods if pod.is_transition)

    def find(self, name: PodName) -> PodTick | None:
        """Return what came of the tick for one pod."""
        return next((pod for pod in self.pods if pod.name == name), None)
