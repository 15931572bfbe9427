"""A tick on its way: what was done so far, and what could not be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from checkpointkit.pods.asking import unavailable
from checkpointkit.pods.machine import State
from checkpointkit.pods.observation import not_watched
from checkpointkit.pods.ticks import PodTick, Tick

if TYPE_CHECKING:
    from checkpointkit.pods.machine import Action
    from checkpointkit.pods.model import PodName, Scope
    from checkpointkit.pods.plan import Planned
    from checkpointkit.pods.sightings import Answers

__all__ = ["PodTicking", "Ticking"]


@define
class PodTicking:
    """What came of one pod so far.

    Attributes:
        before: Its state before the tick.
        state: Its state as it is stored.
        actions: What was decided, in this order.
        reason: Why.
        saved: A copy of it was saved.
        refused: It cannot be made independent of the API server.
        is_gone: All that was kept of it was taken away.
        problems: What could not be done.
        notes: What is worth knowing of its copy.
    """

    before: State
    state: State
    actions: list[Action] = field(factory=list)
    reason: str = ""
    saved: bool = False
    refused: bool = False
    is_gone: bool = False
    problems: list[str] = field(factory=list)
    notes: tuple[str, ...] = ()

    @property
    def is_telling(self) -> bool:
        """Whether there is something to tell of it."""
        is_kept = self.state is not State.NONE or self.before is not State.NONE
        return is_kept or self.saved or bool(self.problems)


@define
class Ticking:
    """What came of the tick so far.

    Attributes:
        now: When it began, in seconds since 1970.
        answers: What the sources have answered.
        pods: What came of each pod.
        problems: What else could not be done.
        wrote: Whether anything was written.
    """

    now: float
    answers: Answers
    pods: dict[PodName, PodTicking] = field(factory=dict)
    problems: list[str] = field(factory=list)
    wrote: bool = False

    def pod(self, step: Planned) -> PodTicking:
        """Return what came of a pod, of which more is planned now."""
        pod = self.pods.setdefault(step.name, PodTicking(step.before.state, step.before.state))
        pod.reason = step.reason
        return pod

    def told(self, scope: Scope, own: PodName | None, now: float) -> Tick:
        """Return what came of it all.

        Args:
            scope: The node, and the namespaces.
            own: The checkpointer's own parent.
            now: The time at its end, in seconds since 1970.
        """
        answers = self.answers
        return Tick(
            self.now,
            tuple(
                PodTick(
                    name,
                    pod.before,
                    pod.state,
                    tuple(pod.actions),
                    pod.reason,
                    is_self=name == own,
                    saved=pod.saved,
                    refused=pod.refused,
                    problems=tuple(dict.fromkeys(pod.problems)),
                    notes=pod.notes,
                )
                for name, pod in sorted(self.pods.items(), key=lambda each: str(each[0]))
                if pod.is_telling
            ),
            unavailable(answers),
            not_watched(scope, (*answers.listed.values(), answers.kubelet)),
            tuple(dict.fromkeys(self.problems)),
            wrote=self.wrote,
            seconds=max(0.0, now - self.now),
        )
