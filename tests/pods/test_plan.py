"""What takes more than one tick, and what takes all pods: itself goes last."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from checkpointkit.pods.machine import Action, Stage, State
from checkpointkit.pods.model import Pod, PodName
from checkpointkit.pods.observation import Api
from checkpointkit.pods.plan import Plan, plan
from checkpointkit.pods.record import Record
from checkpointkit.pods.runtime import (
    Running,
)
from checkpointkit.pods.sightings import Sighting
from tests.pods.tick import (
    GONE,
    NOW,
    ONE,
    OTHER,
    OWN,
    TWO,
    actions,
    of,
    planned,
    saved,
    sight,
    states,
)

# ------------------------------------------------------------------------------- two ticks of "no"


@pytest.mark.parametrize("between", [None, Running.YES, Running.STARTING, Running.UNKNOWN])
def test_one_no_starts_nothing_and_two_in_a_row_do(between: Running | None) -> None:
    records = {ONE: saved()}
    ticks = [Running.NO] if between is None else [Running.NO, between, Running.NO]
    misses: Any = None
    for running in ticks:
        made = plan(records, {ONE: sight(running=running)}, NOW, grace=60, misses=misses)
        assert states(made) == {ONE: State.INACTIVE}
        assert running is not Running.NO or "for the first time" in of(made, ONE).reason
        misses = made.misses
    made = plan(records, {ONE: sight()}, NOW, grace=60, misses=misses)
    assert actions(made) == [(ONE, Action.START)]


def test_a_restart_begins_to_count_anew() -> None:
    first = planned({ONE: sight()}, saved(), misses=0)
    assert first.misses == {ONE: 1}
    assert states(planned({ONE: sight()}, saved(), misses=0)) == {ONE: State.INACTIVE}
    assert plan({}, {ONE: sight()}, NOW, grace=60, misses={ONE: 7}).misses == {ONE: 2}


# -------------------------------------------------------------------------------- one pod's record


def test_a_new_parent_gets_a_record_with_its_uids() -> None:
    pod = Pod(ONE, uid="7f3e", controller_uid="c", marked=True)
    made = planned({ONE: sight(Api.HERE, Running.YES, listed=True, pod=pod)})
    assert of(made, ONE).record == Record(
        ONE, Stage(State.INACTIVE), uid="7f3e", controller_uid="c"
    )
    assert of(made, ONE).before == Stage()


def test_a_tick_that_sees_the_same_again_has_nothing_to_store_and_nothing_to_do() -> None:
    pod = Pod(ONE, uid="7f3e", controller_uid="c", ready=True, marked=True)
    seen = {
        ONE: sight(Api.HERE, Running.YES, listed=True, pod=pod),
        OTHER: sight(),
        OWN: sight(Api.HERE, Running.YES, listed=True),
    }
    first = planned(seen, saved(), saved(OTHER), saved(OWN), own=OWN)
    stored = [item.afterwards for item in first.steps if item.afterwards]
    again = planned(seen, *stored, own=OWN)
    assert sorted((item.record for item in again.steps), key=lambda record: record.name) == (
        sorted(stored, key=lambda record: record.name)
    )
    assert actions(again) == [(OWN, Action.START)]


def test_a_copy_that_was_never_saved_is_not_started() -> None:
    made = planned({ONE: sight(listed=True)}, saved(at=None))
    assert actions(made) == []
    assert of(made, ONE).reason.endswith("no copy of it is saved")


def test_a_copy_with_an_obstacle_is_not_started() -> None:
    made = planned({ONE: sight(obstacle="a secret is missing")}, saved())
    assert actions(made) == []
    assert of(made, ONE).reason.endswith("a secret is missing")


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize(
    ("api", "running", "exited", "state", "saves"),
    [
        (Api.HERE, Running.YES, False, State.INACTIVE, True),
        (Api.HERE, Running.YES, True, State.INACTIVE, False),
        (Api.HERE, Running.STARTING, False, State.INACTIVE, False),
        (Api.UNKNOWN, Running.YES, False, State.INACTIVE, False),
        (Api.GONE, Running.YES, False, State.INACTIVE, False),
        (Api.HERE, Running.YES, False, State.NONE, True),
        (Api.HERE, Running.YES, False, State.REMOVE, False),
    ],
)
def test_a_copy_is_made_of_a_parent_that_is_here_runs_and_is_ready(
    api: Api, running: Running, exited: bool, state: State, saves: bool, ready: bool
) -> None:
    pod = Pod(ONE, uid="u", ready=ready) if api is Api.HERE else None
    made = planned({ONE: sight(api, running, exited=exited, pod=pod)}, saved(state=state))
    assert of(made, ONE).save == (saves and ready)


@pytest.mark.parametrize("api", [Api.GONE, Api.UNKNOWN])
def test_a_stale_list_of_the_kubelet_renames_nobody(api: Api) -> None:
    stale = Pod(ONE, uid="old", controller_uid="old")
    seen = evolve(sight(api, listed=True), parent=stale)
    assert of(planned({ONE: seen}, saved(controller="c")), ONE).record.uid == "u"
    assert of(planned({ONE: seen}), ONE).record.controller_uid == "old"


def test_the_same_name_with_another_uid_keeps_the_copy_until_it_is_saved_anew() -> None:
    successor = Pod(ONE, uid="new", ready=False)
    made = planned({ONE: sight(Api.HERE, Running.YES, pod=successor)}, saved())
    assert of(made, ONE).record == evolve(saved(), uid="new")
    assert not of(made, ONE).save


def test_the_checkpointer_itself_is_saved_before_it_can_be_itself() -> None:
    pod = Pod(OWN, uid="u", ready=True)
    seen = {OWN: sight(Api.HERE, Running.YES, listed=True, pod=pod)}
    first = planned(seen, own=OWN)
    assert (states(first), of(first, OWN).save) == ({OWN: State.NONE}, True)
    second = planned(seen, evolve(saved(OWN), stage=Stage()), own=OWN)
    assert states(second) == {OWN: State.SELF}


# -------------------------------------------------------------------------------- what was removed


@pytest.mark.parametrize("state", [State.INACTIVE_GRACE, State.ACTIVE_GRACE, State.REMOVE])
def test_what_is_removed_leaves_a_record_that_it_was(state: State) -> None:
    made = planned({ONE: GONE}, saved(state=state))
    assert actions(made) == [(ONE, Action.REMOVE)]
    assert of(made, ONE).record.stage.state is State.REMOVE
    assert of(made, ONE).afterwards == evolve(saved(), stage=Stage(), copy=None, removed=True)


def test_what_is_not_removed_leaves_the_record_as_it_is() -> None:
    made = planned({ONE: sight(Api.GONE)}, saved())
    assert of(made, ONE).afterwards == of(made, ONE).record


def test_what_may_go_is_asked_for() -> None:
    seen = {ONE: sight(Api.GONE), OTHER: sight(Api.GONE)}
    made = planned(seen, saved(state=State.ACTIVE_GRACE), saved(OTHER))
    assert made.to_confirm() == (ONE,)


@pytest.mark.parametrize("api", [Api.GONE, Api.UNKNOWN])
@pytest.mark.parametrize(
    ("running", "listed"),
    [(Running.NO, True), (Running.NO, None), (Running.YES, False), (Running.UNKNOWN, False)],
)
def test_a_stale_list_does_not_bring_back_what_was_removed(
    api: Api, running: Running, listed: bool | None
) -> None:
    made = planned({ONE: sight(api, running, listed=listed)}, saved().buried())
    assert (made.steps, made.forgotten) == ((), ())


@pytest.mark.parametrize("api", [Api.GONE, Api.UNKNOWN])
def test_a_removed_pod_is_forgotten_when_nobody_knows_it(api: Api) -> None:
    made = planned({ONE: sight(api, listed=False)}, saved().buried())
    assert (made.steps, made.forgotten) == ((), (ONE,))


def test_a_removed_pod_that_the_api_server_has_here_begins_anew() -> None:
    pod = Pod(ONE, uid="new")
    seen = sight(Api.HERE, Running.YES, listed=True, pod=pod)
    made = planned({ONE: seen}, saved().buried())
    assert of(made, ONE).record == Record(ONE, Stage(State.INACTIVE), uid="new")


def test_a_pod_that_was_seen_once_and_never_saved_is_forgotten() -> None:
    assert planned({ONE: GONE}, Record(ONE)).forgotten == (ONE,)
    assert planned({ONE: GONE}).forgotten == ()
    assert planned({ONE: GONE}, evolve(saved(), stage=Stage())).forgotten == ()
    assert planned({ONE: sight(Api.GONE, listed=True)}, Record(ONE)).forgotten == ()


@pytest.mark.parametrize("api", [Api.HERE, Api.UNKNOWN])
def test_a_pod_that_is_here_or_may_be_is_not_forgotten(api: Api) -> None:
    made = planned({ONE: sight(api, listed=False)}, Record(ONE))
    assert (states(made), made.forgotten) == ({ONE: State.NONE}, ())


# ------------------------------------------------------------------------------------------ itself


def leaving(others: dict[PodName, Sighting], *records: Record, own: Record) -> Plan:
    return planned({OWN: GONE, **others}, own, *records, own=OWN)


def test_when_it_goes_all_others_go_first_and_nothing_stays() -> None:
    made = leaving(
        {ONE: sight(Api.HERE, Running.YES), OTHER: GONE, TWO: sight(Api.GONE, listed=True)},
        saved(ONE),
        saved(OTHER, State.ACTIVE),
        saved(TWO).buried(),
        own=saved(OWN, State.ACTIVE_GRACE),
    )
    assert actions(made) == [
        (OTHER, Action.REMOVE),
        (ONE, Action.REMOVE),
        (OWN, Action.REMOVE),
    ]
    assert of(made, OWN).only_after == (OTHER, ONE)
    assert [item.afterwards for item in made.steps] == [None, None, None]
    assert made.forgotten == (TWO,)
    assert not any(item.save for item in made.steps)


def test_it_waits_while_the_api_server_says_nothing_of_another_pod() -> None:
    made = leaving(
        {ONE: sight(Api.HERE, Running.YES), OTHER: sight(Api.UNKNOWN, Running.YES)},
        saved(ONE),
        saved(OTHER),
        saved(TWO).buried(),
        own=saved(OWN, State.ACTIVE_GRACE),
    )
    assert states(made) == {
        ONE: State.INACTIVE,
        OTHER: State.INACTIVE,
        OWN: State.ACTIVE_GRACE,
    }
    assert actions(made) == [(OWN, Action.START)]
    assert "it goes after kube-system/a-scheduler-1" in of(made, OWN).reason
    assert of(made, OWN).record == saved(OWN, State.ACTIVE_GRACE)
    assert of(made, OWN).afterwards == of(made, OWN).record
    again = plan(
        {item.name: item.record for item in made.steps},
        {OWN: GONE, ONE: GONE, OTHER: GONE},
        NOW,
        grace=60.0,
        own=OWN,
    )
    assert (OWN, Action.REMOVE) in actions(again)


def test_without_a_grace_period_it_waits_in_one_that_has_ended() -> None:
    records = {OWN: saved(OWN, State.SELF), OTHER: saved(OTHER)}
    made = plan(records, {OWN: GONE, OTHER: sight()}, NOW, grace=0, own=OWN)
    assert of(made, OWN).record.stage == Stage(State.ACTIVE_GRACE, NOW, NOW)
    assert (OWN, Action.START) in actions(made)


def test_itself_comes_last_whatever_its_name_and_whatever_it_does() -> None:
    zebra = PodName("zoo", "zebra")
    seen = {OWN: sight(), zebra: sight(Api.GONE, confirmed=True)}
    made = planned(seen, saved(OWN, State.SELF), saved(zebra, State.ACTIVE_GRACE), own=OWN)
    assert actions(made) == [(zebra, Action.REMOVE), (OWN, Action.START)]


def test_its_removal_begun_it_still_waits_for_another_pod() -> None:
    made = leaving(
        {OTHER: sight(Api.UNKNOWN, Running.YES)}, saved(OTHER), own=saved(OWN, State.REMOVE)
    )
    assert actions(made) == []
    assert states(made) == {OTHER: State.INACTIVE, OWN: State.REMOVE}


def test_a_removal_that_was_begun_goes_on_though_nobody_knows() -> None:
    made = planned(
        {OWN: sight(), OTHER: sight()},
        saved(OWN, State.REMOVE),
        saved(OTHER, State.REMOVE),
        own=OWN,
    )
    assert actions(made) == [(OTHER, Action.REMOVE), (OWN, Action.REMOVE)]


def test_for_its_own_successor_it_waits_and_leaves_the_others_to_it() -> None:
    successor = PodName("kube-system", "pod-checkpointer-new")
    seen = {
        OWN: GONE,
        successor: sight(Api.HERE, Running.YES),
        ONE: sight(Api.HERE, Running.YES),
    }
    itself = saved(OWN, State.ACTIVE_GRACE, controller="c")
    waiting = planned(seen, itself, saved(successor, at=None, controller="c"), saved(ONE), own=OWN)
    assert actions(waiting) == [(OWN, Action.START)]
    done = planned(seen, itself, saved(successor, controller="c"), saved(ONE), own=OWN)
    assert actions(done) == [(OWN, Action.REMOVE)]
    assert of(done, OWN).only_after == ()


@pytest.mark.parametrize("at", [1.0, 3.0])
def test_its_own_copy_is_no_rival(at: float) -> None:
    successor = PodName("kube-system", "pod-checkpointer-new")
    made = planned(
        {OWN: sight(), successor: sight()},
        saved(OWN, State.SELF, at=at, controller="c"),
        saved(successor, at=2.0, controller="c"),
        own=OWN,
    )
    assert states(made) == {OWN: State.SELF, successor: State.ACTIVE}


def test_what_it_was_before_is_a_pod_like_others() -> None:
    for running in Running:
        state = State.INACTIVE if running is Running.YES else State.ACTIVE
        made = planned({ONE: sight(running=running)}, saved(ONE, State.SELF), own=OWN)
        assert states(made) == {ONE: state}


def test_a_pod_that_was_seen_and_never_saved_is_forgotten_when_it_is_gone() -> None:
    gone = sight(Api.GONE, listed=False)  # not confirmed: nothing is kept of it
    made = planned({ONE: gone}, saved(at=None), saved(TWO, State.INACTIVE_GRACE, at=None))
    assert made.forgotten == (ONE,)
    assert planned({ONE: sight(Api.GONE, listed=True)}, saved(at=None)).forgotten == ()
    assert planned({ONE: gone}, saved()).forgotten == ()
