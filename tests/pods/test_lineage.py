"""Pods of one controller: the last good copy is held, and one copy is active."""

from __future__ import annotations

from typing import Any

import pytest

from checkpointkit.pods.lineage import STARTS_WITHIN
from checkpointkit.pods.machine import Action, Stage, State
from checkpointkit.pods.model import PodName
from checkpointkit.pods.observation import Api
from checkpointkit.pods.plan import Plan
from checkpointkit.pods.runtime import (
    Running,
)
from checkpointkit.pods.sightings import Sighting
from tests.pods.tick import (
    GONE,
    NOW,
    ONE,
    OTHER,
    TWO,
    actions,
    of,
    planned,
    saved,
    sight,
    states,
)


def both(
    first: Sighting, second: Sighting, *, at: tuple[float | None, float | None], **states_of: Any
) -> Plan:
    return planned(
        {ONE: first, TWO: second},
        saved(ONE, states_of.get("one", State.INACTIVE), at=at[0], controller="c"),
        saved(TWO, states_of.get("two", State.INACTIVE), at=at[1], controller="c"),
    )


def test_the_last_good_copy_is_held_until_the_successor_is_saved() -> None:
    here = sight(Api.HERE, Running.STARTING)
    held = both(GONE, here, at=(1.0, None), one=State.INACTIVE_GRACE)
    assert states(held)[ONE] is State.INACTIVE_GRACE
    unasked = both(sight(Api.GONE), here, at=(1.0, None), one=State.INACTIVE_GRACE)
    assert unasked.to_confirm() == (), "what is held needs no confirmation yet"
    replaced = both(GONE, here, at=(1.0, 2.0), one=State.INACTIVE_GRACE)
    assert states(replaced)[ONE] is State.REMOVE


@pytest.mark.parametrize("api", [Api.GONE, Api.UNKNOWN])
def test_a_copy_is_not_held_for_a_successor_that_is_not_here(api: Api) -> None:
    made = both(GONE, sight(api), at=(1.0, None), one=State.INACTIVE_GRACE)
    assert states(made)[ONE] is State.REMOVE


def test_what_was_never_saved_is_not_held() -> None:
    here = sight(Api.HERE, Running.STARTING)
    made = both(GONE, here, at=(None, None), one=State.INACTIVE_GRACE)
    assert made.forgotten == (ONE,)


def test_another_controllers_pod_is_no_successor() -> None:
    made = planned(
        {ONE: GONE, OTHER: sight(Api.HERE, Running.YES)},
        saved(ONE, State.INACTIVE_GRACE, controller="c"),
        saved(OTHER, controller="d", at=None),
    )
    assert states(made)[ONE] is State.REMOVE


def test_a_namespace_away_the_same_controller_is_another() -> None:
    far = PodName("default", TWO.name)
    made = planned(
        {ONE: GONE, far: sight(Api.HERE, Running.YES)},
        saved(ONE, State.INACTIVE_GRACE, controller="c"),
        saved(far, controller="c", at=None),
    )
    assert states(made)[ONE] is State.REMOVE


@pytest.mark.parametrize(
    ("running", "details", "state"),
    [
        (Running.YES, {}, State.INACTIVE_GRACE),
        (Running.YES, {"exited": True}, State.ACTIVE),
        (Running.STARTING, {"age": STARTS_WITHIN - 1}, State.INACTIVE_GRACE),
        (Running.STARTING, {"age": STARTS_WITHIN}, State.ACTIVE),
        (Running.NO, {}, State.ACTIVE),
        (Running.UNKNOWN, {}, State.ACTIVE),
    ],
)
def test_in_an_outage_what_crashes_or_never_starts_gives_way_to_the_last_good_copy(
    running: Running, details: dict[str, Any], state: State
) -> None:
    successor = sight(running=running, **details)
    made = both(sight(), successor, at=(1.0, None), one=State.INACTIVE_GRACE)
    assert states(made)[ONE] is state


def test_while_the_api_server_answers_no_copy_is_active_for_a_crash_loop() -> None:
    crashing = sight(Api.HERE, Running.YES, exited=True)
    for before in (State.ACTIVE_GRACE, State.INACTIVE_GRACE):
        made = both(GONE, crashing, at=(1.0, None), one=before)
        assert states(made)[ONE] is State.INACTIVE_GRACE


def test_of_one_controller_the_newest_copy_is_active_and_no_other() -> None:
    made = both(sight(), sight(), at=(1.0, 2.0))
    assert actions(made) == [(TWO, Action.START)]
    assert "has the newer copy" in of(made, ONE).reason
    made = both(sight(), sight(), at=(1.0, 1.0))
    assert actions(made) == [(TWO, Action.START)]


def test_an_older_copy_that_is_active_stops_for_the_newer_one() -> None:
    made = both(sight(), sight(), at=(1.0, 2.0), one=State.ACTIVE)
    assert actions(made) == [(ONE, Action.STOP), (TWO, Action.START)]
    assert states(made) == {ONE: State.INACTIVE, TWO: State.ACTIVE}
    made = both(sight(), sight(), at=(2.0, 1.0), two=State.ACTIVE)
    assert actions(made) == [(TWO, Action.STOP), (ONE, Action.START)], "first what stops"


def test_an_older_copy_in_grace_stops_and_keeps_its_end_and_its_question() -> None:
    made = both(sight(Api.GONE), sight(), at=(1.0, 2.0), one=State.ACTIVE_GRACE)
    assert actions(made) == [
        (ONE, Action.STOP),
        (ONE, Action.CONFIRM),
        (TWO, Action.START),
    ]
    assert of(made, ONE).record.stage == Stage(State.INACTIVE_GRACE, NOW - 61, NOW - 1)


def test_a_newer_copy_that_cannot_start_leaves_the_place_to_the_older() -> None:
    made = both(sight(), sight(obstacle="a secret is missing"), at=(1.0, 2.0))
    assert actions(made) == [(ONE, Action.START)]
