"""The laws, over arbitrary observations, restarts and kills between any two operations.

A node with a disk of its own carries out the plans. A tick stores each record, then brings the disk
to where the record says that it should be, one operation after the other; it may be killed before
any of them, and then nothing is left but the disk. Hypothesis makes up what is seen in each tick.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, mutable
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.pods.machine import Action, State
from checkpointkit.pods.model import Pod, PodName
from checkpointkit.pods.observation import Api, ApiSight
from checkpointkit.pods.plan import Plan, Planned, plan
from checkpointkit.pods.record import Copy, Record, adopted
from checkpointkit.pods.runtime import Running, RunningSight
from checkpointkit.pods.sightings import Sighting

GRACE = 60.0
OWN = PodName("kube-system", "pod-checkpointer-q9zlm")
FIRST = PodName("kube-system", "kube-apiserver-aaaaa")
SECOND = PodName("kube-system", "kube-apiserver-bbbbb")
LONE = PodName("kube-system", "a-scheduler-1")
PODS = (OWN, FIRST, SECOND, LONE)
CONTROLLERS = {OWN: "c0", FIRST: "c1", SECOND: "c1", LONE: ""}


@frozen
class Seen:
    """What is seen of one pod in one tick."""

    api: Api
    running: Running
    listed: bool | None
    exited: bool = False
    ready: bool = True
    answered: bool = True  # when the API server is asked for this very pod
    obstacle: bool = False

    def sighting(self, name: PodName, *, asked: bool) -> Sighting:
        pod = Pod(name, uid="u", controller_uid=CONTROLLERS[name], ready=self.ready, marked=True)
        here = self.api is Api.HERE
        confirmed = self.api is Api.GONE and asked and self.answered
        return Sighting(
            ApiSight(self.api, "", confirmed=confirmed, pod=pod if here else None),
            RunningSight(self.running, "", self.exited and self.running is Running.YES),
            self.listed,
            parent=pod if here or self.listed else None,
            obstacle="a secret is missing" if self.obstacle else "",
        )


@frozen
class Tick:
    """A tick, and how it ends: killed before the operation of that number, or not at all."""

    seen: dict[PodName, Seen]
    seconds: float
    restart: bool
    killed_before: int | None


class KilledError(Exception):
    """The process is gone."""


@mutable
class Node:
    """What survives (records, copies, active copies), and what does not (misses)."""

    records: dict[PodName, Record] = field(factory=dict)
    copies: set[PodName] = field(factory=set)
    active: set[PodName] = field(factory=set)
    misses: dict[PodName, int] = field(factory=dict)
    now: float = 0.0
    left: int | None = None
    log: list[tuple[str, PodName]] = field(factory=list)

    def tick(self, tick: Tick) -> Plan | None:
        """Carry out a tick; return its plan, or None if it was killed."""
        self.now += tick.seconds
        self.log = []
        self.left = tick.killed_before
        if tick.restart:
            self.misses = {}
        for name in self.copies:
            self.adopt(name)
        made = self.planned(tick.seen, asked=())
        if made.to_confirm():
            made = self.planned(tick.seen, asked=made.to_confirm())
        try:
            for name in made.forgotten:
                self.do("forget", name, lambda name=name: self.records.pop(name))
            for item in made.steps:
                self.carry_out(item)
        except KilledError:
            self.misses = {}
            return None
        self.misses = dict(made.misses)
        return made

    def adopt(self, name: PodName) -> None:
        copy = Copy("u", self.now)
        record = self.records.get(name, Record(name))
        active = name in self.active
        self.records[name] = adopted(
            record, copy, active=active, inactive=True, is_self=name == OWN
        )

    def planned(self, seen: dict[PodName, Seen], *, asked: tuple[PodName, ...]) -> Plan:
        known = {
            name
            for name, what in seen.items()
            if name in self.records or what.listed or what.api is Api.HERE
        }
        return plan(
            self.records,
            {name: seen[name].sighting(name, asked=name in asked) for name in known},
            self.now,
            grace=GRACE,
            own=OWN,
            misses=self.misses,
        )

    def carry_out(self, item: Planned) -> None:
        name = item.name
        if self.records.get(name) != item.record:
            self.do("store", name, lambda: self.records.__setitem__(name, item.record))
        action = item.record.stage.state.action
        if action is Action.REMOVE:
            if not item.actions or any(other in self.copies for other in item.only_after):
                return
            self.stop(name)
            if name in self.copies:
                self.do("remove", name, lambda: self.copies.discard(name))
            self.do("bury", name, lambda: self.bury(item))
            return
        if item.save:
            copy = Copy("u", self.now)
            self.do("save", name, lambda: self.copies.add(name))
            self.do("note", name, lambda: self.note(name, copy))
        if action is Action.STOP:
            self.stop(name)
        elif action is Action.START and name not in self.active and name in self.copies:
            self.do("start", name, lambda: self.active.add(name))

    def stop(self, name: PodName) -> None:
        if name in self.active:
            self.do("stop", name, lambda: self.active.discard(name))

    def bury(self, item: Planned) -> None:
        if item.afterwards is None:
            del self.records[item.name]
        else:
            self.records[item.name] = item.afterwards

    def note(self, name: PodName, copy: Copy) -> None:
        record = self.records[name]
        self.records[name] = Record(
            name, record.stage, record.uid, record.controller_uid, copy, record.removed
        )

    def do(self, what: str, name: PodName, operation: Any) -> None:
        if self.left == 0:
            raise KilledError
        self.left = None if self.left is None else self.left - 1
        operation()
        self.log.append((what, name))

    def did(self, what: str) -> list[PodName]:
        return [name for done, name in self.log if done == what]

    def is_clean(self) -> bool:
        return not (self.records or self.copies or self.active)


sights = st.builds(
    Seen,
    st.sampled_from(Api),
    st.sampled_from(Running),
    st.sampled_from([True, False, None]),
    exited=st.booleans(),
    ready=st.booleans(),
    answered=st.booleans(),
    obstacle=st.sampled_from([False, False, False, True]),
)
WELL = Seen(Api.HERE, Running.YES, listed=True)
DOWN = Seen(Api.UNKNOWN, Running.NO, listed=None)
ENDED = Seen(Api.GONE, Running.NO, listed=False)
likely = st.sampled_from([WELL, WELL, DOWN, DOWN, ENDED]) | sights
# What one source says, it often says of all pods.
worlds = st.fixed_dictionaries(dict.fromkeys(PODS, likely)) | likely.map(
    lambda one: dict.fromkeys(PODS, one)
)
ticks = st.builds(
    Tick,
    worlds,
    st.sampled_from([0.0, 5.0, 5.0, 61.0]),
    st.sampled_from([False, False, False, True]),
    st.none() | st.none() | st.integers(0, 8),
)
histories = st.lists(ticks, max_size=8)


def after(history: list[Tick]) -> Node:
    node = Node()
    for tick in history:
        node.tick(tick)
    return node


def calm(world: dict[PodName, Seen], seconds: float = 5.0) -> Tick:
    return Tick(world, seconds, restart=False, killed_before=None)


# ---------------------------------------------------------------------------- in every single tick


@frozen
class Done:
    """A tick that was carried out, or killed."""

    tick: Tick
    plan: Plan | None
    before: dict[PodName, Record]
    copies: set[PodName]
    active: set[PodName]
    misses: dict[PodName, int]
    node: Node

    def state(self, name: PodName) -> State:
        record = self.before.get(name)
        return record.stage.state if record else State.NONE

    def api(self, name: PodName) -> Api:
        return self.tick.seen[name].api

    def runs(self, name: PodName) -> bool:
        return self.tick.seen[name].running is Running.YES


def no_copy_is_active_beside_a_parent_whose_container_runs(done: Done) -> None:
    for name in done.node.active - {OWN}:
        if done.runs(name):
            assert name in done.active, "none is started beside it"
            # What the API server says is gone is no parent here any more.
            assert done.plan is None or done.api(name) is Api.GONE


def nothing_is_removed_while_the_api_server_is_unknown(done: Done) -> None:
    for name, record in done.node.records.items():
        if record.stage.state is State.REMOVE and done.state(name) is not State.REMOVE:
            assert done.api(name) is not Api.UNKNOWN
    for name in {*done.node.did("remove"), *done.node.did("bury")}:
        assert done.api(name) is not Api.UNKNOWN or done.state(name) is State.REMOVE


def nothing_is_removed_unconfirmed_but_when_the_checkpointer_goes(done: Done) -> None:
    for item in done.plan.steps if done.plan else ():
        if item.goes and item.before.state is not State.REMOVE and "leaves this" not in item.reason:
            assert done.api(item.name) is Api.GONE
            assert done.tick.seen[item.name].answered


def the_checkpointer_goes_last_and_is_never_stopped_alone(done: Done) -> None:
    if OWN in done.node.did("remove"):
        assert not done.node.copies & (done.copies - {OWN})
    if OWN in done.node.did("stop"):
        assert not done.node.copies & (done.copies - {OWN})


def one_copy_of_a_controller_is_active(done: Done) -> None:
    assert done.plan is None or len(done.node.active & {FIRST, SECOND}) < 2


def no_copy_starts_that_was_not_missed_twice(done: Done) -> None:
    for name in done.node.active - done.active - {OWN}:
        if done.state(name).action is not Action.START:  # else a kill came between
            assert done.tick.seen[name].running is Running.NO
            assert done.misses.get(name, 0) >= 1
            assert not done.tick.restart


def no_copy_starts_that_is_not_saved_or_has_an_obstacle(done: Done) -> None:
    for name in done.node.active - done.active:
        assert name in done.node.copies
        if done.state(name).action is not Action.START:
            assert not done.tick.seen[name].obstacle


def a_grace_period_never_begins_again(done: Done) -> None:
    for name, record in done.node.records.items():
        before = done.before.get(name)
        if before and before.stage.in_grace and record.stage.in_grace:
            assert record.stage.until == before.stage.until


def what_was_removed_comes_back_with_the_api_server_alone(done: Done) -> None:
    for name, record in done.before.items():
        now = done.node.records.get(name)
        if record.removed and now is not None and not now.removed:
            assert done.api(name) is Api.HERE


LAWS = (
    no_copy_is_active_beside_a_parent_whose_container_runs,
    nothing_is_removed_while_the_api_server_is_unknown,
    nothing_is_removed_unconfirmed_but_when_the_checkpointer_goes,
    the_checkpointer_goes_last_and_is_never_stopped_alone,
    one_copy_of_a_controller_is_active,
    no_copy_starts_that_was_not_missed_twice,
    no_copy_starts_that_is_not_saved_or_has_an_obstacle,
    a_grace_period_never_begins_again,
    what_was_removed_comes_back_with_the_api_server_alone,
)


@settings(max_examples=150)
@given(st.lists(ticks, min_size=1, max_size=20))
def test_each_law_holds_in_every_tick(history: list[Tick]) -> None:
    node = Node()
    for tick in history:
        misses = {} if tick.restart else node.misses
        before = (dict(node.records), set(node.copies), set(node.active), dict(misses))
        made = node.tick(tick)
        done = Done(tick, made, *before, node)
        for law in LAWS:
            law(done)


# -------------------------------------------------------------------------------------- in the end


@settings(max_examples=40)
@given(histories)
def test_when_all_parents_run_again_no_copy_is_active_after_one_tick(history: list[Tick]) -> None:
    node = after(history)
    node.tick(calm(dict.fromkeys(PODS, WELL)))
    assert not node.active - {OWN}


@settings(max_examples=40)
@given(histories)
def test_when_all_parents_run_all_is_well_in_the_end(history: list[Tick]) -> None:
    node = after(history)
    for _ in range(3):
        node.tick(calm(dict.fromkeys(PODS, WELL)))
    stages = {name: record.stage.state for name, record in node.records.items()}
    assert stages == dict.fromkeys(PODS, State.INACTIVE) | {OWN: State.SELF}
    assert (node.copies, node.active) == (set(PODS), {OWN})


@settings(max_examples=40)
@given(histories)
def test_when_all_parents_are_gone_nothing_is_left_in_the_end(history: list[Tick]) -> None:
    node = after(history)
    for _ in range(6):
        node.tick(calm(dict.fromkeys(PODS, ENDED), seconds=GRACE))
    assert node.is_clean()


@settings(max_examples=40)
@given(histories)
def test_when_one_parent_is_gone_nothing_of_it_is_left_in_the_end(history: list[Tick]) -> None:
    node = after(history)
    world = dict.fromkeys(PODS, WELL) | {LONE: ENDED, FIRST: ENDED}
    for _ in range(4):
        node.tick(calm(world, seconds=GRACE))
    assert set(node.records) == node.copies == {OWN, SECOND}


@settings(max_examples=40)
@given(histories, st.integers(1, 8))
def test_in_an_outage_with_nothing_running_what_is_saved_runs_within_two_ticks(
    history: list[Tick], number: int
) -> None:
    node = after(history)
    for _ in range(2):
        node.tick(calm(dict.fromkeys(PODS, WELL)))
    for _ in range(2):
        node.tick(calm(dict.fromkeys(PODS, DOWN)))
    assert node.active in ({OWN, LONE, FIRST}, {OWN, LONE, SECOND})
    held = set(node.active)
    for _ in range(number):
        node.tick(calm(dict.fromkeys(PODS, DOWN), seconds=GRACE))
    assert node.active == held


@settings(max_examples=40)
@given(histories, st.lists(worlds, min_size=1, max_size=4), st.integers(0, 30))
def test_a_kill_anywhere_is_made_good_by_the_next_tick(
    history: list[Tick], worlds_after: list[dict[PodName, Seen]], killed_before: int
) -> None:
    node = after(history)
    for world in worlds_after:
        node.tick(Tick(world, 5.0, restart=False, killed_before=killed_before))
    node.tick(calm(worlds_after[-1], seconds=0.0))
    for name, record in node.records.items():
        action = record.stage.state.action
        if action is Action.START and record.copy is not None:
            assert name in node.active
        if action is Action.STOP:
            assert name not in node.active
    assert node.copies <= node.records.keys()
