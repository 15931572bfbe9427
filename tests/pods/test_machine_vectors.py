"""The machine beside the original: the same, but for D1 to D3, each of which is counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from checkpointkit.pods.machine import Action, Stage, step
from checkpointkit.pods.model import PodName, own_name
from checkpointkit.pods.observation import Api
from checkpointkit.pods.plan import plan
from checkpointkit.pods.record import Copy, Record, adopted
from tests.pods.replay import api_of, is_known, observed, shown, sighted, stage_of, vectors

pytestmark = pytest.mark.usefixtures("unmeasured")

Vector = dict[str, Any]

# ------------------------------------------------------------------------ one transition at a time


def removed_while_unknown(row: Vector) -> bool:
    """D1: the original removes at the end of a grace period, though the API server is down."""
    if row["state"] != "inactive-grace" or row["next"] != "remove":
        return False
    return bool(row["state_end"] <= 0 and row["cond"][0] == "0" and row["cond"][2] == "1")


def test_each_transition_is_the_originals_but_for_removals_while_the_api_is_unknown() -> None:
    _, rows = vectors("transitions")
    differences = []
    for row in rows:
        before = stage_of(row["state"], row.get("state_end"))
        done = step(
            before, observed(row["cond"]), 0, grace=row["grace"], is_self=row["state"] == "self"
        )
        ours = (done.stage.state.value, done.stage.until if done.stage.in_grace else None)
        action = done.stage.state.action
        if (*ours, action.value if action else "none") != (
            row["next"],
            row.get("next_end"),
            row["action"],
        ):
            differences.append(row)
            assert removed_while_unknown(row)
            assert done.stage == before, "what is not removed stays as it was"
    assert (len(rows), len(differences)) == (235, 12)
    assert differences == [row for row in rows if removed_while_unknown(row)]


# --------------------------------------------------------------------------------- one pod in time


class OnePod:
    """A pod, its files and its record; `keeps_grace` is ours, without it restarts are as of old."""

    def __init__(self, init: str, grace: float, *, keeps_grace: bool = True) -> None:
        self.disk = {"none": "--", "inactive": "i-", "active": "-a", "both": "ia"}[init]
        self.grace = grace
        self.keeps_grace = keeps_grace
        self.now = 0.0
        self.stage: Stage | None = None
        self.start()

    def start(self) -> None:
        if self.stage is None or not self.keeps_grace:
            record = adopted(
                Record(PodName("kube-system", "a")),
                Copy("u", 0.0),
                active=self.disk[1] == "a",
                inactive=self.disk[0] == "i",
            )
            self.stage = record.stage if record.copy else None

    def tick(self, seconds: float, cond: str) -> list[str]:
        self.now += seconds
        if self.stage is None and not is_known(cond):
            return ["", "absent", self.disk]
        done = step(self.stage or Stage(), observed(cond), self.now, grace=self.grace)
        self.disk = "i" + self.disk[1]  # the original writes it before it decides
        action = done.actions[0].value if done.actions else ""
        if Action.REMOVE in done.actions:
            self.stage, self.disk = None, "--"
            return [action, "absent", self.disk]
        self.stage = done.stage
        if done.actions:
            self.disk = "ia" if Action.START in done.actions else "i-"
        return [action, shown(self.stage), self.disk]


def replayed(vector: Vector, *, keeps_grace: bool = True) -> list[list[str]]:
    pod = OnePod(vector["init"], vector["grace"], keeps_grace=keeps_grace)
    made = []
    for number, (seconds, cond) in enumerate(vector["ticks"]):
        if number == vector.get("restart_before"):
            pod.start()
        made.append(pod.tick(seconds, cond))
    return made


def first_difference(vector: Vector, ours: list[list[str]]) -> int | None:
    pairs = enumerate(zip(ours, vector["want"], strict=True))
    return next((number for number, (one, other) in pairs if one != other), None)


def is_d1(vector: Vector, tick: int) -> bool:
    """The original removes in this tick; the API server is down, and the parent runs."""
    cond = vector["ticks"][tick][1]
    return bool(
        vector["want"][tick][0] == "remove"
        and vector["want"][tick - 1][1].startswith("inactive-grace@")
        and cond[0] == "0"
        and cond[2] == "1"
    )


def is_d2(vector: Vector, tick: int) -> bool:
    """The original has forgotten a grace period at a restart before this tick, or in it."""
    restart = vector.get("restart_before")
    return (
        vector["set"] == "restart"
        and restart is not None
        and restart <= tick
        and "-grace@" in vector["want"][restart - 1][1]
    )


def test_each_sequence_is_the_originals_but_for_d1_and_d2() -> None:
    _, sequences = vectors("sequences")
    found: Counter[str] = Counter()
    for vector in sequences:
        ours = replayed(vector)
        tick = first_difference(vector, ours)
        if tick is None:
            continue
        if is_d2(vector, tick):
            # What was forgotten goes on, or has come to its end.
            assert ours[tick - 1][1] == vector["want"][tick - 1][1]
            found["D2"] += 1
        else:
            assert is_d1(vector, tick), vector
            assert ours[tick] == ["", vector["want"][tick - 1][1], "i-"], "it stays as it was"
            found["D1"] += 1
    assert len(sequences) == 7868
    assert sum(vector["set"] == "restart" for vector in sequences) == 1662
    assert found == {"D2": 176, "D1": 72}


def test_with_restarts_that_forget_as_the_original_does_d1_alone_is_left() -> None:
    _, sequences = vectors("sequences")
    found: Counter[bool] = Counter()
    for vector in sequences:
        restarts = vector["set"] == "restart"
        if restarts or any(want[0] == "remove" for want in vector["want"]):
            tick = first_difference(vector, replayed(vector, keeps_grace=False))
            if tick is not None:
                assert is_d1(vector, tick), vector
                found[restarts] += 1
    assert found == {False: 60, True: 15}  # 75 in all, three of them where D2 comes first


class Remembering(OnePod):
    """The same with the plan of a node, which remembers what was removed."""

    record: Record | None = None

    def tick(self, seconds: float, cond: str) -> list[str]:
        removed = self.record is not None and self.record.removed
        if not removed:
            made = super().tick(seconds, cond)
            if made[0] == "remove":
                self.record = Record(PodName("kube-system", "a")).buried()
            return made
        assert self.record is not None
        name = self.record.name
        planned = plan({name: self.record}, {name: sighted(cond)}, self.now, grace=self.grace)
        if planned.steps or planned.forgotten:
            self.record = None
        if planned.steps:
            return super().tick(seconds, cond)
        self.now += seconds
        return ["", "absent", self.disk]


def test_what_was_removed_comes_back_with_the_api_server_alone() -> None:
    _, sequences = vectors("sequences")
    found = 0
    for vector in sequences:
        if all(want[0] != "remove" for want in vector["want"][:-1]):
            continue
        plain, remembering = (
            kind(vector["init"], vector["grace"]) for kind in (OnePod, Remembering)
        )
        for seconds, cond in vector["ticks"]:
            ours, theirs = remembering.tick(seconds, cond), plain.tick(seconds, cond)
            if ours != theirs:
                # Known from the kubelet's list alone, which the original believes at any time.
                assert (ours, cond[3]) == (["", "absent", "--"], "1")
                assert api_of(cond) is not Api.HERE
                found += 1
                break
    assert found == 29


# ---------------------------------------------------------------------------- three pods, and self


class Node:
    """Three pods, one of them the checkpointer itself."""

    def __init__(self, vector: Vector, pods: list[str]) -> None:
        self.pods = [PodName(*pod.split("/")) for pod in pods]
        self.own = own_name("kube-system", vector["pod_name"], vector["node_name"])
        assert self.own == self.pods[0]
        self.grace = vector["grace"]
        self.now = 0.0
        first = {
            "none": {},
            "all": {0: "ia", 1: "i-", 2: "i-"},
            "self-inactive-only": {0: "i-"},
            "other-active": {0: "ia", 1: "ia"},
        }[vector["init"]]
        self.disk = {pod: first.get(number, "--") for number, pod in enumerate(self.pods)}
        self.records: dict[PodName, Record] = {}
        for pod, files in self.disk.items():
            record = adopted(
                Record(pod),
                Copy("u", 0.0),
                active=files[1] == "a",
                inactive=files[0] == "i",
                is_self=pod == self.own,
            )
            if record.copy:
                self.records[pod] = record

    def tick(self, seconds: float, conds: str) -> dict[str, Any]:
        self.now += seconds
        seen = dict(zip(self.pods, conds.split("/"), strict=True))
        known = {pod for pod in self.pods if pod in self.records or is_known(seen[pod])}
        for pod in known:
            copied = Record(pod, copy=Copy("u", 0.0))
            self.records.setdefault(pod, copied)  # the original saves at sight
            self.disk[pod] = "i" + self.disk[pod][1]
        made = plan(
            self.records,
            {pod: sighted(seen[pod]) for pod in known},
            self.now,
            grace=self.grace,
            own=self.own,
            misses=dict.fromkeys(self.pods, 2),
        )
        done: dict[str, list[str]] = {"start": [], "stop": [], "remove": []}
        for item in made.steps:
            self.records[item.name] = item.record
            for action in item.actions:
                done[action.value].append(str(item.name))
                self.disk[item.name] = {"start": "ia", "stop": "i-", "remove": "--"}[action.value]
            if item.goes:
                del self.records[item.name]
        return {
            "start": sorted(done["start"]),
            "stop": done["stop"],
            "remove": done["remove"],
            "states": {
                str(pod): shown(self.records[pod].stage) if pod in self.records else "absent"
                for pod in self.pods
            },
            "disk": {str(pod): files for pod, files in self.disk.items()},
        }


def test_each_tick_of_self_is_the_originals_but_for_d3() -> None:
    meta, runs = vectors("self")
    itself = meta["pods"][0]
    found = 0
    for vector in runs:
        node = Node(vector, meta["pods"])
        wanted = vector["want"]
        ours = [node.tick(seconds, conds) for seconds, conds in vector["ticks"]]
        different = [number for number, tick in enumerate(ours) if tick != wanted[number]]
        if different:
            # D3: the original stops itself, and then looks after nobody any more.
            assert wanted[different[0]]["states"][itself] == "inactive"
            assert ours[different[0]]["states"][itself] == "self"
            found += 1
    assert (len(runs), found) == (1417, 439)
    assert found == sum(
        any(tick["states"][itself] == "inactive" for tick in vector["want"]) for vector in runs
    )
