"""When a source is asked again that could not be asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.patience import Patience

LATE = Failed("no answer within 10 s")
REFUSED = Failed("connection refused")
SECONDS = st.floats(0.0, 1e6)


def test_what_fails_at_once_is_asked_in_every_tick() -> None:
    assert Patience().after(REFUSED, took=0.1, now=100.0).held(100.0) is None


def test_what_costs_time_is_asked_less_and_less_often() -> None:
    patience, now, waits = Patience(), 0.0, []
    for _ in range(7):
        patience = patience.after(LATE, took=10.0, now=now)
        waits.append(patience.wait)
        now = patience.until
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_an_answer_ends_it() -> None:
    patience = Patience().after(LATE, took=10.0, now=0.0).after(LATE, took=10.0, now=5.0)
    assert patience.after(None, took=10.0, now=30.0) == Patience()
    assert patience.after(REFUSED, took=0.0, now=30.0) == Patience()  # somebody is there


def test_the_reason_of_the_last_request_stays_and_says_when_the_next_one_is() -> None:
    patience = Patience().after(LATE, took=10.0, now=100.0)
    assert patience.held(100.0) == Failed("no answer within 10 s; it is asked again in 5 s")
    assert patience.held(104.9) == Failed("no answer within 10 s; it is asked again in 1 s")
    assert patience.held(105.0) is None


@given(st.lists(st.tuples(st.booleans(), SECONDS, SECONDS)))
def test_it_is_never_left_alone_for_longer_than_the_bound_and_never_shrinks(
    requests: list[tuple[bool, float, float]],
) -> None:
    patience, now = Patience(), 0.0
    for fails, took, pause in requests:
        now += took
        before = patience
        patience = before.after(LATE if fails else None, took=took, now=now)
        slow = fails and took >= patience.slow
        assert (patience.held(now) is not None) is slow
        assert patience.held(now + patience.longest) is None
        if slow:
            assert min(before.longest, max(before.first, before.wait)) <= patience.wait
        now += pause
