"""All pods of a node, one tick: records and what was seen of each pod give the next records.

The table (`machine`) decides for each pod. Here is what takes more than one pod, or more than one
tick: a "no" counts when two successive ticks say it; a pod's successor; the checkpointer itself,
which goes last; and pods that were removed, which a stale answer does not bring back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from checkpointkit.pods.lineage import (
    Member,
    families,
    is_held,
    is_succeeded,
    kin_of,
    overruled,
)
from checkpointkit.pods.machine import Action, Observation, Stage, State, Step, step
from checkpointkit.pods.model import PodName
from checkpointkit.pods.observation import Api
from checkpointkit.pods.record import Record
from checkpointkit.pods.runtime import Running, RunningSight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.sightings import Sighting

__all__ = ["Plan", "Planned", "plan"]

_TICKS_OF_NO = 2
_ORDER = {Action.STOP: 1, Action.START: 2, Action.REMOVE: 3, Action.CONFIRM: 4}


@frozen
class Planned:
    """What is to be done for one pod.

    Attributes:
        record: What to store before anything is done.
        before: The stage that it had.
        actions: What to do then, in this order.
        reason: Why.
        afterwards: What to store when all of it is done; None to delete the record.
        save: Its parent is here, runs and is Ready: a copy may be made of it.
        only_after: The pods that have to be gone before; if one is still there, nothing is done.
    """

    record: Record
    before: Stage
    actions: tuple[Action, ...]
    reason: str
    afterwards: Record | None
    save: bool = False
    only_after: tuple[PodName, ...] = ()

    @property
    def name(self) -> PodName:
        """The parent."""
        return self.record.name

    @property
    def goes(self) -> bool:
        """Whether all that is kept of the pod is removed."""
        return self.record.stage.state is State.REMOVE


@frozen
class Plan:
    """What is to be done in one tick.

    An action is said once, and the process may end before it is done: what has to be on the disk
    follows from the state of the record (`State.action`), in every tick.

    Attributes:
        steps: For each pod, in this order: what stops, what starts, what is removed, itself last.
        forgotten: Records to delete: nothing is kept of the pod, and nobody knows it any more.
        misses: How often in a row the runtime has said "no" of a pod; for the next tick.
    """

    steps: tuple[Planned, ...]
    forgotten: tuple[PodName, ...] = ()
    misses: Mapping[PodName, int] = field(factory=dict[PodName, int])

    def to_confirm(self) -> tuple[PodName, ...]:
        """Return the pods to ask the API server for; then plan again, with the same misses."""
        return tuple(item.name for item in self.steps if Action.CONFIRM in item.actions)


def plan(
    records: Mapping[PodName, Record],
    seen: Mapping[PodName, Sighting],
    now: float,
    *,
    grace: float,
    own: PodName | None = None,
    misses: Mapping[PodName, int] | None = None,
) -> Plan:
    """Return what to do for all pods of the node.

    Args:
        records: The records, by name.
        seen: What was seen of each pod (`sightings`).
        now: The time, in seconds since 1970.
        grace: How long a checkpoint outlives its parent, in seconds.
        own: The checkpointer's own parent; None if it runs as no pod.
        misses: Those of the last plan; none after a restart.

    Example:
        >>> from checkpointkit.pods.observation import ApiSight
        >>> from checkpointkit.pods.record import Copy
        >>> record = Record(
        ...     PodName("kube-system", "a"), Stage(State.INACTIVE), copy=Copy("7f3e", 0.0)
        ... )
        >>> from checkpointkit.pods.sightings import Sighting
        >>> down = Sighting(
        ...     ApiSight(Api.UNKNOWN, "timed out"), RunningSight(Running.NO, "no sandbox"), None
        ... )
        >>> first = plan({record.name: record}, {record.name: down}, 5.0, grace=60.0)
        >>> first.steps[0].actions
        ()
        >>> second = plan(
        ...     {record.name: record}, {record.name: down}, 10.0, grace=60.0, misses=first.misses
        ... )
        >>> second.steps[0].actions
        (<Action.START: 'start'>,)
    """
    counted = _count(seen, misses or {})
    living, forgotten = _living(records, seen)
    members = [
        Member(record, seen[name].api.value, _settled(seen[name].running, counted[name]))
        for name, record in living.items()
    ]
    kindred = families(members)
    observed = {
        member.record.name: _observation(member, seen, kindred.get(member.record.name, ()))
        for member in members
    }
    done = {
        name: step(living[name].stage, what, now, grace=grace, is_self=name == own)
        for name, what in observed.items()
    }
    done = _one_of_each_controller(living, done, kindred, own)
    steps = [
        _planned(living[name], seen[name], observed[name], taken)
        for name, taken in sorted(done.items(), key=lambda item: str(item[0]))
    ]
    itself = next((item for item in steps if item.name == own and item.goes), None)
    if itself and not is_succeeded(kindred.get(itself.name, ())):
        steps = _leaving(steps, seen, itself, now)
        if steps[-1].goes:
            forgotten = {*forgotten, *(name for name in records if records[name].removed)}
    steps.sort(key=lambda item: (item.name == own, _rank(item.actions)))
    return Plan(tuple(steps), tuple(sorted(forgotten)), counted)


def _rank(actions: tuple[Action, ...]) -> int:
    return min((_ORDER[action] for action in actions), default=0)


# ------------------------------------------------------------------------------- before the table


def _count(seen: Mapping[PodName, Sighting], misses: Mapping[PodName, int]) -> dict[PodName, int]:
    return {
        name: min(misses.get(name, 0) + 1, _TICKS_OF_NO) if what.running.value is Running.NO else 0
        for name, what in seen.items()
    }


def _settled(running: RunningSight, misses: int) -> RunningSight:
    if running.value is Running.NO and misses < _TICKS_OF_NO:
        return RunningSight(Running.UNKNOWN, f"{running.reason}, for the first time")
    return running


def _living(
    records: Mapping[PodName, Record], seen: Mapping[PodName, Sighting]
) -> tuple[dict[PodName, Record], set[PodName]]:
    """Return the records to go on with, new ones too, and those to forget."""
    living: dict[PodName, Record] = {}
    forgotten: set[PodName] = set()
    for name, sighting in seen.items():
        record = records.get(name) or Record(name)
        if _is_forgettable(record, sighting):
            forgotten.update({name} & records.keys())
        elif not record.removed or sighting.api.value is Api.HERE:
            record = evolve(record, removed=False)
            # The kubelet's list may be a stale one: it names whom nobody else has named.
            parent = sighting.api.pod or (None if record.uid else sighting.parent)
            living[name] = record.of(parent) if parent else record
    return living, forgotten


def _is_forgettable(record: Record, sighting: Sighting) -> bool:
    if record.removed:
        unknown = sighting.listed is False and sighting.running.value is Running.NO
        return unknown and sighting.api.value is not Api.HERE
    # nothing is kept of it, so that nobody has to be asked whether it may go
    empty = record.copy is None and record.stage.state is not State.REMOVE
    return empty and sighting.api.value is Api.GONE and not sighting.listed


def _observation(
    member: Member, seen: Mapping[PodName, Sighting], others: tuple[Member, ...]
) -> Observation:
    record, sighting = member.record, seen[member.record.name]
    return Observation(
        sighting.api.value,
        member.running.value,
        sighting.listed,
        confirmed=sighting.api.confirmed,
        obstacle=sighting.obstacle if record.copy else "no copy of it is saved",
        kin=kin_of(others),
        held=is_held(record, others),
        why_api=sighting.api.reason,
        why_running=member.running.reason,
    )


# -------------------------------------------------------------------------------- after the table


def _one_of_each_controller(
    records: Mapping[PodName, Record],
    done: Mapping[PodName, Step],
    kindred: Mapping[PodName, tuple[Member, ...]],
    own: PodName | None,
) -> dict[PodName, Step]:
    """Return the steps with one active copy for each controller; its own does not count."""
    taken = dict(done)
    for name, others in kindred.items():
        rivals = {
            other.record.name: (records[other.record.name], done[other.record.name])
            for other in others
            if other.record.name != own
        }
        if name != own and (instead := overruled(records[name], done[name], rivals)):
            taken[name] = instead
    return taken


def _planned(record: Record, sighting: Sighting, seen: Observation, taken: Step) -> Planned:
    after = evolve(record, stage=taken.stage)
    runs = seen.running is Running.YES and not sighting.running.exited
    return Planned(
        after,
        record.stage,
        taken.actions,
        taken.reason,
        after.buried() if taken.stage.state is State.REMOVE else after,
        save=(
            taken.stage.state is not State.REMOVE
            and runs
            and sighting.api.pod is not None
            and sighting.api.pod.ready
        ),
    )


def _leaving(
    steps: list[Planned], seen: Mapping[PodName, Sighting], itself: Planned, now: float
) -> list[Planned]:
    """Return the steps of the tick in which the checkpointer goes, and all others before it."""
    others = [item for item in steps if item.name != itself.name]
    for item in others:
        unknown = seen[item.name].api.value is Api.UNKNOWN
        if unknown and not item.goes:
            return [*others, _waiting(itself, item.name, now)]
    reason = "the checkpointer leaves this node"
    return [
        *(
            evolve(
                item,
                record=evolve(item.record, stage=Stage(State.REMOVE)),
                actions=(Action.REMOVE,),
                reason=f"{item.reason}; {reason}",
                afterwards=None,
                save=False,
            )
            for item in others
        ),
        evolve(itself, afterwards=None, only_after=tuple(item.name for item in others)),
    ]


def _waiting(itself: Planned, other: PodName, now: float) -> Planned:
    """Return the checkpointer's step while nobody knows whether another pod may go."""
    reason = f"{itself.reason}; it goes after {other}, of which the API server says nothing"
    if itself.before.state is State.REMOVE:
        return evolve(itself, actions=(), reason=reason)
    before = itself.before
    stage = before if before.in_grace else Stage(State.ACTIVE_GRACE, now, now)
    record = evolve(itself.record, stage=stage)
    return evolve(itself, record=record, actions=(Action.START,), reason=reason, afterwards=record)
