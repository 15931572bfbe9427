"""Records, sightings and plans in a few words."""

from __future__ import annotations

from typing import Any

from checkpointkit.pods.machine import Action, Stage, State
from checkpointkit.pods.model import Pod, PodName, Scope
from checkpointkit.pods.observation import Api, ApiSight
from checkpointkit.pods.plan import Plan, Planned, plan
from checkpointkit.pods.record import Copy, Record
from checkpointkit.pods.runtime import (
    Running,
    RunningSight,
)
from checkpointkit.pods.sightings import Sighting

NOW = 1000.0
OWN = PodName("kube-system", "pod-checkpointer-q9zlm")
ONE = PodName("kube-system", "kube-apiserver-aaaaa")
TWO = PodName("kube-system", "kube-apiserver-bbbbb")
OTHER = PodName("kube-system", "a-scheduler-1")
SCOPE = Scope("node1", frozenset({"kube-system"}))


def saved(
    name: PodName = ONE,
    state: State = State.INACTIVE,
    *,
    at: float | None = 1.0,
    controller: str = "",
    left: float = -1,
) -> Record:
    stage = Stage(state)
    if stage.in_grace:
        stage = Stage(state, NOW + left - 60, NOW + left)
    copy = None if at is None else Copy("u", at)
    return Record(name, stage, uid="u", controller_uid=controller, copy=copy)


def sight(
    api: Api = Api.UNKNOWN,
    running: Running = Running.NO,
    *,
    listed: bool | None = None,
    confirmed: bool = False,
    exited: bool = False,
    age: float = 0.0,
    pod: Pod | None = None,
    **others: Any,
) -> Sighting:
    return Sighting(
        ApiSight(api, "", confirmed=confirmed, pod=pod),
        RunningSight(running, "", exited=exited, age=age),
        listed,
        parent=pod,
        **others,
    )


def planned(
    seen: dict[PodName, Sighting], *records: Record, misses: int = 2, own: PodName | None = None
) -> Plan:
    return plan(
        {record.name: record for record in records},
        seen,
        NOW,
        grace=60.0,
        own=own,
        misses=dict.fromkeys(seen, misses),
    )


def of(made: Plan, name: PodName) -> Planned:
    (found,) = (item for item in made.steps if item.name == name)
    return found


def states(made: Plan) -> dict[PodName, State]:
    return {item.name: item.record.stage.state for item in made.steps}


def actions(made: Plan) -> list[tuple[PodName, Action]]:
    return [(item.name, action) for item in made.steps for action in item.actions]


GONE = sight(Api.GONE, confirmed=True, listed=False)
