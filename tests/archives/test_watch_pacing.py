"""When the watcher looks next: a hint brings a look forward, and can never put one off for long."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.archives.watching.pacing import Pace, settles_after

SECOND = 10**9

seconds = st.floats(0.0, 5000.0, allow_nan=False)
durations = st.floats(0.0, 100.0)


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    """Make a pace as settings may have it."""
    return Pace(
        interval=draw(st.floats(1.0, 3600.0)),
        quiet=draw(st.floats(0.0, 10.0)),
        longest=draw(st.floats(0.0, 60.0)),
        rest=draw(st.floats(0.0, 10.0)),
    )


@st.composite
def histories(draw: st.DrawFn) -> Pace:
    """Make a pace after a look, and perhaps some changes."""
    began, took = draw(seconds), draw(durations)
    settles = draw(st.none() | st.floats(0.0, 200.0))
    pace = draw(paces()).looked_at(
        began=began,
        ended=began + took,
        settles=None if settles is None else began + settles,
    )
    now = began + took
    for step in draw(st.lists(st.floats(0.0, 5.0), max_size=20)):
        now += step
        pace = pace.changed(now)
    return pace


def rest_of(pace: Pace) -> float:
    return min(max(pace.rest, 4 * pace.took), pace.interval)


@given(paces())
def test_the_first_look_is_due_at_once(pace: Pace) -> None:
    assert pace.due == 0.0
    assert pace.changed(5.0).due == 0.0


@given(histories())
def test_the_next_look_comes_within_the_interval_whatever_was_heard_of(pace: Pace) -> None:
    assert pace.looked is not None
    assert pace.due <= pace.looked + pace.interval


@given(histories())
def test_two_looks_have_a_rest_between_them_that_is_in_proportion(pace: Pace) -> None:
    assert pace.looked is not None
    assert pace.due >= pace.looked + rest_of(pace)


@given(paces(), durations, st.lists(st.floats(0.0, 5.0), min_size=1, max_size=40))
def test_a_stream_of_changes_cannot_put_a_look_off(
    pace: Pace, took: float, steps: list[float]
) -> None:
    pace = pace.looked_at(began=0.0, ended=took)
    first = now = took + steps[0]
    for step in steps:
        pace = pace.changed(now)
        now += step
    assert pace.due <= max(first + pace.longest, took + rest_of(pace))


@given(histories(), st.floats(0.0, 100.0))
def test_without_hints_the_look_is_never_earlier_than_with_them(pace: Pace, after: float) -> None:
    silent = evolve(pace, first=None, last=None)
    assert pace.due <= silent.due
    assert silent.due <= evolve(silent, settles=None).due


@given(histories(), st.floats(0.0, 10.0))
def test_a_further_change_is_waited_for_no_longer_than_the_quiet_time(
    pace: Pace, after: float
) -> None:
    assert pace.looked is not None
    now = (pace.looked if pace.last is None else pace.last) + after
    changed = pace.changed(now)
    assert changed.due <= max(now + pace.quiet, pace.looked + rest_of(pace))


@given(histories(), durations)
def test_a_look_has_seen_all_that_was_heard_of_before(pace: Pace, took: float) -> None:
    looked = pace.looked_at(began=pace.due, ended=pace.due + took)
    assert looked.due == pace.due + took + pace.interval


@given(paces(), st.lists(st.floats(0.0, 2000.0), max_size=30), durations)
def test_each_change_is_followed_by_a_look_in_time(
    pace: Pace, changes: list[float], took: float
) -> None:
    left = sorted(changes)
    looks: list[tuple[float, float]] = []
    now = 0.0
    while left or not looks:
        while left and left[0] <= max(now, pace.due):  # heard of while it waits
            now = max(now, left.pop(0))
            pace = pace.changed(now)
        began = max(now, pace.due)
        if looks:
            assert began - looks[-1][1] <= pace.interval + 1e-6
        now = began + took
        # what happens during a look is heard of behind it
        while left and left[0] < now:
            left.pop(0)
            late = True
            break
        else:
            late = False
        looks.append((began, now))
        pace = pace.looked_at(began=began, ended=now)
        if late:
            pace = pace.changed(now)
    for change in changes:
        following = [began for began, _ in looks if began >= change]
        if not following:
            assert pace.due <= looks[-1][1] + pace.interval  # the one that is still to come
            continue
        began = min(following)
        ended = max((end for _, end in looks if end <= began), default=0.0)
        waited = max(change, ended)
        assert began <= max(waited + pace.longest, ended + rest_of(pace)) + 1e-6


def test_what_fails_is_tried_again_less_and_less_often_and_never_given_up() -> None:
    pace = Pace(interval=600.0)
    waits: list[float] = []
    for _ in range(100):
        pace = pace.failed(began=10.0, ended=11.0)
        waits.append(pace.due - 11.0)
    assert waits[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert set(waits[6:]) == {60.0}
    assert pace.looked_at(began=20.0, ended=20.0).failed(began=30.0, ended=30.0).due == 35.0


@given(histories(), st.integers(1, 2000), durations)
def test_a_failure_is_never_waited_for_longer_than_the_interval(
    pace: Pace, failures: int, took: float
) -> None:
    pace = evolve(pace, failures=failures - 1).failed(began=50.0, ended=50.0 + took)
    assert 50.0 + took < pace.due <= 50.0 + took + min(pace.interval, 60.0)
    assert pace.changed(60.0 + took).due == pace.due  # what fails may change all the time


def test_an_archive_that_settles_brings_the_look_forward() -> None:
    pace = Pace(interval=600.0).looked_at(began=100.0, ended=101.0, settles=130.0)
    assert pace.due == 130.0
    assert pace.looked_at(began=130.0, ended=131.0).due == 731.0


# ------------------------------------------------------------------------------- in-flight archives

moments = st.integers(-(10**12), 2 * 10**12)


def test_without_archives_in_flight_nothing_settles() -> None:
    assert settles_after([], now_ns=5, settle_ns=60 * SECOND) is None


@given(st.lists(moments, min_size=1), st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_first_that_settles_counts_and_never_in_the_past(
    written: list[int], now: int, settle: int
) -> None:
    after = settles_after(written, now_ns=now, settle_ns=settle)
    assert after is not None
    assert after > 0
    coming = [(at + settle - now) / SECOND for at in written if at + settle > now]
    if coming:
        assert after <= min(coming)


@pytest.mark.parametrize(("settle", "again"), [(60, 60.0), (600, 600.0), (0, 30.0)])
def test_one_that_somebody_keeps_open_is_looked_at_again(settle: int, again: float) -> None:
    after = settles_after([0], now_ns=10**6 * SECOND, settle_ns=settle * SECOND)
    assert after == again
