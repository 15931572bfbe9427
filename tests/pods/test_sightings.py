"""The answers of all sources, put together; and what is kept of a pod."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import Schema
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import NotFound, PodList
from checkpointkit.pods.machine import Stage, State
from checkpointkit.pods.model import CONFIG_SOURCE, Pod, PodName
from checkpointkit.pods.observation import Api
from checkpointkit.pods.record import Copy, Record, adopted
from checkpointkit.pods.runtime import (
    Container,
    ContainerState,
    Running,
    Runtime,
    Sandbox,
)
from checkpointkit.pods.sightings import Answers, sightings
from tests.pods.tick import (
    NOW,
    ONE,
    OTHER,
    OWN,
    SCOPE,
    TWO,
    saved,
)

# ---------------------------------------------------------------------------- answers to sightings


def parent(name: PodName, **changes: Any) -> Pod:
    return Pod(**{"name": name, "uid": "u", "node": "node1", "marked": True, **changes})


def test_every_record_and_every_parent_of_a_list_is_looked_at_and_nobody_else() -> None:
    answers = Answers(
        {"kube-system": PodList((parent(ONE), parent(OTHER, marked=False)))},
        PodList((parent(TWO), parent(PodName("default", "a")))),
        Failed("no socket"),
    )
    seen = sightings(answers, {OWN: saved(OWN)}, SCOPE, NOW, obstacles={ONE: "a reason"})
    assert {name: what.api.value for name, what in seen.items()} == {
        OWN: Api.GONE,
        ONE: Api.HERE,
        TWO: Api.GONE,
    }
    assert seen[ONE].parent == parent(ONE)
    assert (seen[ONE].obstacle, seen[TWO].obstacle) == ("a reason", "")
    assert (seen[TWO].listed, seen[TWO].parent) == (True, parent(TWO))
    assert (seen[OWN].listed, seen[OWN].parent) == (False, None)


def test_what_was_asked_for_counts_for_that_pod_and_by_its_recorded_uid() -> None:
    answers = Answers(
        {"kube-system": PodList(())},
        Failed("401"),
        Failed("no socket"),
        got={ONE: NotFound(), TWO: parent(TWO, uid="new", terminating=True)},
        same_cluster=True,
    )
    records = {name: saved(name) for name in (ONE, TWO, OTHER)}
    seen = sightings(answers, records, SCOPE, NOW)
    confirmed = {name: what.api.confirmed for name, what in seen.items()}
    assert confirmed == {ONE: True, TWO: True, OTHER: False}
    assert seen[ONE].listed is None


def test_what_the_runtime_shows_is_seen_with_what_the_kubelet_lists() -> None:
    box = Sandbox("s", ONE.namespace, ONE.name, "u", ready=True, created_at=0.0)
    ended = Container("s", "main", ContainerState.EXITED, 1.0, finished_at=NOW)
    runtime = Runtime((box, evolve(box, annotations={CONFIG_SOURCE: "file"})), (ended,))
    answers = Answers({}, PodList((parent(ONE),)), runtime)
    seen = sightings(answers, {}, SCOPE, NOW)
    assert (seen[ONE].running.value, seen[ONE].running.exited) == (Running.YES, True)


# ---------------------------------------------------------------------------------- what is stored


@pytest.mark.parametrize(
    ("active", "inactive", "is_self", "state"),
    [
        (True, True, False, State.ACTIVE),
        (True, False, False, State.ACTIVE),
        (False, True, False, State.INACTIVE),
        (True, True, True, State.SELF),
        (False, True, True, State.INACTIVE),  # it is started as any other, if nothing hinders it
    ],
)
def test_files_without_a_record_are_adopted(
    active: bool, inactive: bool, is_self: bool, state: State
) -> None:
    copy = Copy("7f3e", 5.0)
    for record in (Record(ONE), Record(ONE, removed=True)):
        found = adopted(record, copy, active=active, inactive=inactive, is_self=is_self)
        assert found == Record(ONE, Stage(state), uid="7f3e", copy=copy)


def test_without_files_nothing_is_adopted() -> None:
    for record in (Record(ONE), saved(at=None)):
        copy = Copy("7f3e", 5.0)
        assert adopted(record, copy, active=False, inactive=False, is_self=True) == record


def test_what_a_record_knows_counts_for_more_than_the_files() -> None:
    copy = Copy("7f3e", 5.0)
    for record in (saved(), saved(state=State.REMOVE, at=None)):
        assert adopted(record, copy, active=True, inactive=True) == record
    unsaved = saved(state=State.INACTIVE_GRACE, at=None)
    assert adopted(unsaved, copy, active=True, inactive=True) == evolve(unsaved, copy=copy)


RECORDS = Schema(Record, kind="example.com/pod-record", version=1)
times = st.floats(0, 10**10)


@given(
    st.builds(
        Record,
        st.sampled_from([ONE, OTHER, OWN]),
        st.builds(Stage, st.sampled_from(State), times, times),
        uid=st.text(max_size=5),
        controller_uid=st.text(max_size=5),
        copy=st.none()
        | st.builds(
            Copy,
            st.text(max_size=5),
            times,
            st.text(max_size=5),
            st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
        ),
        removed=st.booleans(),
    )
)
def test_a_record_is_ready_to_be_a_checkpoint(record: Record) -> None:
    stored = json.loads(json.dumps(RECORDS.dump(record)))
    assert RECORDS.load(stored, version=1) == record
