"""The table, cell by cell, and what it has no room for: grace, clocks, obstacles, successors."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.pods.machine import Action, Kin, Observation, Stage, State, Step, step
from checkpointkit.pods.observation import Api
from checkpointkit.pods.runtime import Running

NOW = 1000.0
GRACE = 60.0
AT_ITS_END = [Action.CONFIRM]

COLUMNS = [
    (Api.GONE, tuple(Running)),
    (Api.HERE, (Running.YES,)),
    (Api.HERE, (Running.NO,)),
    (Api.HERE, (Running.STARTING, Running.UNKNOWN)),
    (Api.UNKNOWN, (Running.YES,)),
    (Api.UNKNOWN, (Running.NO,)),
    (Api.UNKNOWN, (Running.STARTING, Running.UNKNOWN)),
]
TABLE = """
none           | inactive-grace | inactive | active | inactive | inactive | active | inactive
inactive       | inactive-grace | inactive | active | stay     | stay     | active | stay
active         | active-grace   | inactive | stay   | stay     | inactive | stay   | stay
inactive-grace | end: remove    | inactive | active | inactive | stay     | active | stay
active-grace   | end: remove    | inactive | active | active   | inactive | end: active | stay
remove         | stay           | stay     | stay   | stay     | stay     | stay   | stay
"""
OWN_TABLE = """
self           | active-grace   | self | self   | self   | self | self        | self
none           | active-grace   | self | self   | self   | self | self        | self
inactive       | active-grace   | self | self   | self   | self | self        | self
inactive-grace | active-grace   | self | self   | self   | self | self        | self
active         | active-grace   | self | stay   | stay   | self | stay        | stay
active-grace   | end: remove    | self | active | active | self | end: active | stay
remove         | stay           | stay | stay   | stay   | stay | stay        | stay
"""


def in_state(state: State, *, left: float = 30.0) -> Stage:
    """Return a stage, with as many seconds left of a grace period, if there is one."""
    if not Stage(state).in_grace:
        return Stage(state)
    return Stage(state, NOW + left - GRACE, NOW + left)


def cells(table: str) -> list[tuple[State, str, Api, Running]]:
    found = []
    for line in table.strip().splitlines():
        first, *row = (cell.strip() for cell in line.split("|"))
        assert len(row) == len(COLUMNS)
        for cell, (api, runnings) in zip(row, COLUMNS, strict=True):
            found += [(State(first), cell, api, running) for running in runnings]
    return found


def taken(stage: Stage, seen: Observation, *, grace: float = GRACE, is_self: bool = False) -> Step:
    return step(stage, seen, NOW, grace=grace, is_self=is_self)


def check_cell(state: State, cell: str, seen: Observation, *, left: float, is_self: bool) -> None:
    before = in_state(state, left=left)
    done = taken(before, seen, is_self=is_self)
    wanted = cell.removeprefix("end: ")
    if wanted == "stay" or (cell.startswith("end: ") and left > 0):
        assert done.stage == before
    else:
        assert done.stage.state is State(wanted)
        assert done.stage.until == (NOW + GRACE if done.stage.in_grace else 0)


@pytest.mark.parametrize("left", [30, 0, -30])
@pytest.mark.parametrize(("state", "cell", "api", "running"), cells(TABLE))
def test_the_table_says_where_a_pod_goes(
    state: State, cell: str, api: Api, running: Running, left: float
) -> None:
    seen = Observation(api, running, listed=True, confirmed=True)
    check_cell(state, cell, seen, left=left, is_self=False)


@pytest.mark.parametrize("left", [30, 0, -30])
@pytest.mark.parametrize(("state", "cell", "api", "running"), cells(OWN_TABLE))
def test_the_table_says_where_the_checkpointer_itself_goes(
    state: State, cell: str, api: Api, running: Running, left: float
) -> None:
    for listed in (True, False, None):
        seen = Observation(api, running, listed=listed, confirmed=True)
        check_cell(state, cell, seen, left=left, is_self=True)


@pytest.mark.parametrize(("api", "running"), [*product(Api, Running)])
@pytest.mark.parametrize("listed", [False, None])
def test_a_pod_that_neither_kubelet_nor_runtime_knows_stays_unknown(
    api: Api, running: Running, listed: bool | None
) -> None:
    done = taken(Stage(), Observation(api, running, listed, confirmed=True))
    known = running in {Running.YES, Running.STARTING}
    assert (done.stage.state is not State.NONE) == known
    if not known:
        assert done.actions == ()


@pytest.mark.parametrize(("state", "api", "running"), [*product(State, Api, Running)])
def test_the_kubelets_list_decides_nothing_but_whether_a_pod_leaves_none(
    state: State, api: Api, running: Running
) -> None:
    results = {
        taken(in_state(state), Observation(api, running, listed, confirmed=True)).stage
        for listed in (True, False, None)
        if state is not State.NONE or listed
    }
    assert len(results) == 1


# ------------------------------------------------------------------------------------------- grace


@pytest.mark.parametrize("state", [State.INACTIVE, State.ACTIVE, State.SELF])
def test_without_grace_a_checkpoint_goes_at_once(state: State) -> None:
    gone = Observation(Api.GONE, Running.NO, confirmed=True)
    done = taken(Stage(state), gone, grace=0, is_self=state is State.SELF)
    assert done.stage == Stage(State.REMOVE)
    assert done.actions == (Action.REMOVE,)


@pytest.mark.parametrize("state", [State.INACTIVE_GRACE, State.ACTIVE_GRACE])
@pytest.mark.parametrize("left", [-1000, -1, 0])
def test_what_is_not_confirmed_is_asked_for_and_kept(state: State, left: float) -> None:
    before = in_state(state, left=left)
    done = taken(before, Observation(Api.GONE, Running.NO))
    assert done.stage == before
    assert done.actions == (Action.CONFIRM,)
    assert "asked for this very pod" in done.reason


def test_without_grace_what_is_not_confirmed_is_asked_for_at_once() -> None:
    done = taken(Stage(State.ACTIVE), Observation(Api.GONE, Running.NO), grace=0)
    assert done.stage == Stage(State.ACTIVE_GRACE, NOW, NOW)
    assert done.actions == (Action.CONFIRM,)


@pytest.mark.parametrize("state", [State.INACTIVE_GRACE, State.ACTIVE_GRACE])
def test_nobody_is_asked_before_the_end(state: State) -> None:
    assert taken(in_state(state, left=0.001), Observation(Api.GONE, Running.NO)).actions == ()


@pytest.mark.parametrize("state", [State.INACTIVE_GRACE, State.ACTIVE_GRACE])
def test_a_clock_that_is_set_back_begins_the_grace_period_anew_and_no_more(state: State) -> None:
    before = Stage(state, NOW + 5000, NOW + 5060)
    done = taken(before, Observation(Api.GONE, Running.NO))
    assert done.stage == Stage(state, NOW, NOW + 60)


# -------------------------------------------------------------------------------------- what to do


def test_an_action_is_said_once_but_of_itself_every_tick() -> None:
    down = Observation(Api.UNKNOWN, Running.NO)
    assert taken(Stage(State.INACTIVE), down).actions == (Action.START,)
    assert taken(Stage(State.ACTIVE), down).actions == ()
    assert taken(Stage(State.SELF), down, is_self=True).actions == (Action.START,)
    gone = Observation(Api.GONE, Running.NO)
    assert taken(Stage(State.SELF), gone, is_self=True).actions == (Action.START,)
    assert taken(Stage(State.REMOVE), down).actions == (Action.REMOVE,)


def test_a_pod_that_leaves_none_stops_what_somebody_may_have_left() -> None:
    done = taken(Stage(), Observation(Api.HERE, Running.YES))
    assert done.actions == (Action.STOP,)


@pytest.mark.parametrize("state", [State.NONE, State.INACTIVE, State.INACTIVE_GRACE])
def test_a_copy_that_cannot_be_started_keeps_its_state_and_says_why(state: State) -> None:
    before = in_state(state)
    down = Observation(Api.UNKNOWN, Running.NO, listed=True, obstacle="a secret is missing")
    done = taken(before, down)
    assert (done.stage, done.actions) == (before, ())
    assert done.reason.endswith("its copy cannot be started: a secret is missing")


@pytest.mark.parametrize("state", [State.ACTIVE, State.ACTIVE_GRACE])
def test_an_obstacle_does_not_stop_a_copy_that_runs(state: State) -> None:
    seen = Observation(Api.UNKNOWN, Running.NO, obstacle="a secret is missing")
    assert taken(in_state(state, left=-1), seen).stage == Stage(State.ACTIVE)


def test_a_reason_tells_both_sources_and_why() -> None:
    seen = Observation(Api.UNKNOWN, Running.NO, why_api="timed out", why_running="no sandbox")
    reason = taken(Stage(State.INACTIVE), seen).reason
    assert reason == "the API server: unknown (timed out); the runtime: no (no sandbox)"


# -------------------------------------------------------------------------- pods of one controller


@pytest.mark.parametrize("left", [30, -30])
def test_a_successor_that_runs_takes_over_at_once(left: float) -> None:
    seen = Observation(Api.GONE, Running.NO, kin=Kin.RUNNING, held=True, confirmed=True)
    done = taken(in_state(State.ACTIVE_GRACE, left=left), seen)
    assert done.stage == in_state(State.INACTIVE_GRACE, left=left)
    assert done.actions == (Action.STOP,)
    assert taken(Stage(State.ACTIVE), seen).stage.state is State.INACTIVE_GRACE


@pytest.mark.parametrize("kin", [Kin.QUIET, Kin.STARTING])
def test_the_last_good_copy_runs_on_past_grace_until_its_successor_runs(kin: Kin) -> None:
    before = in_state(State.ACTIVE_GRACE, left=-1000)
    seen = Observation(Api.GONE, Running.NO, kin=kin, held=True, confirmed=True)
    assert taken(before, seen) == Step(before, (), taken(before, seen).reason)


@pytest.mark.parametrize("kin", Kin)
def test_the_last_good_copy_is_held_past_grace_when_it_does_not_run(kin: Kin) -> None:
    before = in_state(State.INACTIVE_GRACE, left=-1000)
    done = taken(before, Observation(Api.GONE, Running.NO, kin=kin, held=True, confirmed=True))
    assert (done.stage, done.actions) == (before, ())


def test_no_copy_runs_past_grace_beside_a_crash_loop_while_the_api_server_answers() -> None:
    seen = Observation(Api.GONE, Running.NO, kin=Kin.CRASHING, held=True, confirmed=True)
    in_grace = in_state(State.ACTIVE_GRACE)
    assert taken(in_grace, seen).stage == in_grace
    done = taken(in_state(State.ACTIVE_GRACE, left=0), seen)
    assert done.stage == in_state(State.INACTIVE_GRACE, left=0)
    assert done.actions == (Action.STOP,)


@pytest.mark.parametrize(
    ("kin", "activates"),
    [
        (Kin.NONE, True),
        (Kin.QUIET, True),
        (Kin.CRASHING, True),
        (Kin.STARTING, False),
        (Kin.RUNNING, False),
    ],
)
def test_in_an_outage_the_last_good_copy_starts_unless_a_successor_runs_or_starts(
    kin: Kin, activates: bool
) -> None:
    before = in_state(State.INACTIVE_GRACE, left=-1000)
    done = taken(before, Observation(Api.UNKNOWN, Running.NO, kin=kin))
    assert (done.stage == Stage(State.ACTIVE)) == activates
    assert activates or done.stage == before


@pytest.mark.parametrize("running", [Running.NO, Running.STARTING, Running.UNKNOWN])
def test_in_an_outage_a_copy_yields_to_a_successor_that_runs(running: Running) -> None:
    done = taken(Stage(State.ACTIVE), Observation(Api.UNKNOWN, running, kin=Kin.RUNNING))
    assert done.stage == Stage(State.INACTIVE)


@pytest.mark.parametrize("kin", Kin)
def test_the_checkpointers_own_copy_yields_to_nobody(kin: Kin) -> None:
    for api, running in product(Api, Running):
        seen = Observation(api, running, kin=kin, held=True)
        for state in (State.SELF, State.ACTIVE_GRACE):
            done = taken(in_state(state, left=-1), seen, is_self=True)
            assert done.stage.state.action is Action.START


# -------------------------------------------------------------------------------- laws of one step

observations = st.builds(
    Observation,
    st.sampled_from(Api),
    st.sampled_from(Running),
    st.sampled_from([True, False, None]),
    confirmed=st.booleans(),
    obstacle=st.sampled_from(["", "a secret is missing"]),
    kin=st.sampled_from(Kin),
    held=st.booleans(),
)
stages = st.builds(in_state, st.sampled_from(State), left=st.integers(-90, 60))


@given(stages, observations, st.booleans(), st.sampled_from([0.0, GRACE]))
def test_nothing_is_removed_but_what_is_gone_confirmed_past_grace_and_not_held(
    before: Stage, seen: Observation, is_self: bool, grace: float
) -> None:
    done = taken(before, seen, grace=grace, is_self=is_self)
    if done.stage.state is State.REMOVE and before.state is not State.REMOVE:
        assert seen.api is Api.GONE
        assert seen.confirmed
        assert not seen.held
        assert before.until <= NOW if before.in_grace else grace == 0


@given(stages, observations)
def test_no_copy_starts_beside_a_parent_that_runs_or_starts_nor_past_an_obstacle(
    before: Stage, seen: Observation
) -> None:
    done = taken(before, seen)
    if Action.START in done.actions:
        assert seen.running is Running.NO
        assert seen.api is not Api.GONE
        assert not seen.obstacle


@given(stages, observations)
def test_no_copy_runs_on_beside_a_parent_that_runs_and_belongs_here(
    before: Stage, seen: Observation
) -> None:
    done = taken(before, seen)
    if seen.running is Running.YES and seen.api is not Api.GONE:
        assert done.stage.state.action is not Action.START


@given(stages, observations, st.booleans())
def test_a_tick_that_sees_the_same_again_changes_nothing(
    before: Stage, seen: Observation, is_self: bool
) -> None:
    once = taken(before, seen, is_self=is_self)
    again = taken(once.stage, seen, is_self=is_self)
    assert again.stage == once.stage
    assert again.reason.startswith("the API server: ")


@given(stages, observations, st.booleans())
def test_the_actions_lead_to_the_state(before: Stage, seen: Observation, is_self: bool) -> None:
    done = taken(before, seen, is_self=is_self)
    moves: list[Any] = [action for action in done.actions if action is not Action.CONFIRM]
    if done.stage.state.action is not before.state.action:
        assert moves == [done.stage.state.action]
    assert set(moves) <= {done.stage.state.action}
