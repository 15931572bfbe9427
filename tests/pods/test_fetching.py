from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import NotFound
from checkpointkit.pods.assets import Asset
from checkpointkit.pods.fetching import Held, is_due, spread, taken
from checkpointkit.pods.references import ObjectName

TLS = ObjectName("Secret", "tls")
SECRET = Asset(TLS, {"ca.crt": b"abc"}, uid="s1", resource_version="7")
FROZEN = Asset(TLS, {"ca.crt": b"abc"}, uid="s1", resource_version="7", immutable=True)

times = st.floats(0, 1e9)


def test_what_was_never_asked_for_is_due() -> None:
    assert is_due(None, 0.0, after=60.0)


@given(times, st.floats(0, 1e6), st.sampled_from([SECRET, None]))
def test_an_answer_is_good_for_a_minute_and_no_longer(
    at: float, later: float, asset: Asset | None
) -> None:
    held = Held(at, is_known=True, asset=asset)
    assert is_due(held, at + later, after=60.0) == (at + later >= at + 60.0)


@given(times, st.floats(0, 1e6))
def test_what_is_immutable_is_not_asked_for_again(at: float, later: float) -> None:
    assert not is_due(Held(at, is_known=True, asset=FROZEN), at + later, after=60.0)


@given(times, st.floats(0.001, 1e6))
def test_a_clock_that_was_set_back_does_not_put_it_off(at: float, back: float) -> None:
    if at - back < at:
        assert is_due(Held(at, is_known=True, asset=SECRET), at - back, after=60.0)


@given(st.integers(1, 10_000))
def test_after_failures_it_is_asked_for_less_and_less_often_but_each_minute(failures: int) -> None:
    waits = [
        next(wait for wait in range(61) if is_due(Held(0.0, failures=count), wait, after=60.0))
        for count in (failures, failures + 1)
    ]
    assert 5 <= waits[0] <= waits[1] <= 60


def test_what_was_known_is_kept_when_it_cannot_be_had() -> None:
    known = taken(None, SECRET, 1.0)
    failed = taken(taken(known, Failed("status 403"), 61.0), Failed("status 500"), 66.0)
    assert failed == Held(66.0, is_known=True, asset=SECRET, failures=2, reason="status 500")
    assert taken(failed, SECRET, 80.0) == Held(80.0, is_known=True, asset=SECRET)


def test_that_there_is_none_is_an_answer_and_no_answer_is_not() -> None:
    assert taken(taken(None, SECRET, 1.0), NotFound(), 61.0) == Held(61.0, is_known=True)
    assert not taken(None, Failed("timed out"), 1.0).is_known


@given(st.text(), st.floats(0.001, 1e6))
def test_what_is_spread_is_done_sooner_and_never_later(name: str, after: float) -> None:
    assert 0.75 * after <= spread(after, name) <= after
    assert spread(after, name) == spread(after, name)


def test_what_begins_together_is_divided_among_many_ticks() -> None:
    ticks = {int(spread(60.0, f"prod/Secret tls-{number}") // 5) for number in range(40)}
    assert ticks == {9, 10, 11}
