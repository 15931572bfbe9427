"""Pods of one controller on one node: who is whose successor.

A DaemonSet's next pod has another name, so what is known of a pod, its last good copy too, is
looked up by namespace and controller. Of the copies of one controller one is active, the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.pods.machine import Action, Kin, Stage, State, Step
from checkpointkit.pods.observation import Api
from checkpointkit.pods.runtime import Running

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.record import Record
    from checkpointkit.pods.runtime import RunningSight

__all__ = ["STARTS_WITHIN", "Member", "families", "is_held", "is_succeeded", "kin_of", "overruled"]

STARTS_WITHIN: Final = 120.0
"""Seconds for which a pod that is starting holds up the last good copy of its controller.

An image that cannot be had leaves a sandbox that is ready and empty, for ever.
"""

_STOPPED: Final = {State.ACTIVE: State.INACTIVE, State.ACTIVE_GRACE: State.INACTIVE_GRACE}


@frozen
class Member:
    """A pod among those of its controller.

    Attributes:
        record: Its record.
        api: What the API server says of it.
        running: What the container runtime says of it.
    """

    record: Record
    api: Api
    running: RunningSight

    @property
    def kin(self) -> Kin:
        """What it is to the others."""
        if self.running.value is Running.YES:
            return Kin.CRASHING if self.running.exited else Kin.RUNNING
        starting = self.running.value is Running.STARTING and self.running.age < STARTS_WITHIN
        return Kin.STARTING if starting else Kin.QUIET


def families(members: Iterable[Member]) -> dict[PodName, tuple[Member, ...]]:
    """Return, for each pod, the others of its controller; a pod without a controller has none.

    Args:
        members: All pods of the node.
    """
    every: dict[tuple[str, str], list[Member]] = {}
    for member in members:
        if member.record.controller_uid:
            key = (member.record.name.namespace, member.record.controller_uid)
            every.setdefault(key, []).append(member)
    return {
        member.record.name: tuple(other for other in family if other is not member)
        for family in every.values()
        for member in family
    }


def kin_of(others: Iterable[Member]) -> Kin:
    """Return what the others do: the busiest of them counts."""
    return max((other.kin for other in others), key=lambda kin: kin.value, default=Kin.NONE)


def is_held(record: Record, others: Iterable[Member]) -> bool:
    """Whether a copy is the last good one: a successor is here, and none of them is saved."""
    here = [other for other in others if other.api is Api.HERE]
    return record.copy is not None and bool(here) and not _one_is_saved(here)


def is_succeeded(others: Iterable[Member]) -> bool:
    """Whether a successor is here, and saved."""
    return _one_is_saved(other for other in others if other.api is Api.HERE)


def _one_is_saved(members: Iterable[Member]) -> bool:
    return any(member.record.copy is not None for member in members)


def overruled(
    record: Record, done: Step, rivals: Mapping[PodName, tuple[Record, Step]]
) -> Step | None:
    """Return what a pod does instead if another of its controller has the newer copy, and runs it.

    Args:
        record: The record of the pod, before the tick.
        done: What the table says for it.
        rivals: The same of the others of its controller.
    """
    if done.stage.state.action is not Action.START:
        return None
    newer = [
        name
        for name, (rival, step) in rivals.items()
        if step.stage.state.action is Action.START and _age(rival) > _age(record)
    ]
    if not newer:
        return None
    reason = f"{done.reason}; {min(newer)} of the same controller has the newer copy"
    others = tuple(action for action in done.actions if action is not Action.START)
    if record.stage.state.action is not Action.START:
        return Step(record.stage, others, reason)
    stopped = Stage(_STOPPED[done.stage.state], done.stage.since, done.stage.until)
    return Step(stopped, (Action.STOP, *others), reason)


def _age(record: Record) -> tuple[float, PodName]:
    saved_at = record.copy.saved_at if record.copy else float("-inf")
    return saved_at, record.name
