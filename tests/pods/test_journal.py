"""The log says each thing once, and nothing that has not changed."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.patience import Patience
from checkpointkit.pods.daemon.journal import Journal, Line
from checkpointkit.pods.machine import Action, State
from checkpointkit.pods.model import PodName
from checkpointkit.pods.ticks import PodTick, Tick

WEB = PodName("prod", "web")
API = PodName("kube-system", "kube-apiserver-x7k2p")


def told(*ticks: Tick) -> list[list[str]]:
    """Return the lines of each tick, those of the grave kind with a mark."""
    journal, every = Journal(), []
    for tick in ticks:
        lines, journal = journal.told(tick)
        every.append([("! " if line.level == "warning" else "") + line.text for line in lines])
    return every


def test_a_quiet_tick_is_not_worth_a_line() -> None:
    assert told(Tick(0.0, (PodTick(WEB, State.INACTIVE, State.INACTIVE, reason="x"),))) == [[]]


def test_a_transition_is_said_with_its_pod_its_states_and_its_reason() -> None:
    pod = PodTick(WEB, State.INACTIVE, State.ACTIVE, (Action.START,), "the API server: unknown")
    assert told(Tick(0.0, (pod,)), Tick(5.0, (pod,))) == 2 * [
        ["prod/web: inactive -> active: the API server: unknown"]
    ]


def test_a_save_and_a_removal_are_said() -> None:
    saved = PodTick(WEB, State.INACTIVE, State.INACTIVE, saved=True)
    gone = PodTick(API, State.INACTIVE_GRACE, State.REMOVE, (Action.REMOVE,), "confirmed")
    assert told(Tick(0.0, (gone, saved))) == [
        [
            "kube-system/kube-apiserver-x7k2p: inactive-grace -> remove: confirmed",
            "kube-system/kube-apiserver-x7k2p: all that was kept of it was removed",
            "prod/web: a copy was saved",
        ]
    ]


def test_a_removal_that_failed_is_not_said_to_be_one() -> None:
    pod = PodTick(WEB, State.REMOVE, State.REMOVE, (Action.REMOVE,), problems=("disk full",))
    after = PodTick(WEB, State.REMOVE, State.REMOVE, (Action.REMOVE,))
    assert told(Tick(0.0, (pod,)), Tick(5.0, (after,))) == [
        ["! prod/web: disk full"],
        ["prod/web: all that was kept of it was removed"],
    ]


def test_a_source_is_said_to_fail_once_and_again_when_the_reason_is_another() -> None:
    ticks = [{"kubelet": "401"}, {"kubelet": "401"}, {"kubelet": "500"}, {}, {}]
    made = [Tick(5.0 * number, unavailable=each) for number, each in enumerate(ticks)]
    assert told(*made) == [
        ["! the kubelet cannot be asked: 401"],
        [],
        ["! the kubelet cannot be asked: 500"],
        ["the kubelet can be asked again"],
        [],
    ]


def test_a_source_that_is_left_alone_for_a_while_is_no_news() -> None:
    first = Failed("no answer within 10 s")
    patience = Patience().after(first, took=10.0, now=10.0)
    reasons = [first.reason]
    for now in (11.0, 12.0):
        held = patience.held(now)
        assert held is not None
        reasons.append(held.reason)
    assert len(set(reasons)) == 3
    ticks = [Tick(0.0, unavailable={"api server": reason}) for reason in reasons]
    assert told(*ticks) == [["! the api server cannot be asked: no answer within 10 s"], [], []]


def test_a_problem_is_said_once_though_it_shows_in_some_ticks_alone() -> None:
    pod = PodTick(WEB, State.INACTIVE, State.INACTIVE, problems=("refused",), notes=("hostPort",))
    quiet = PodTick(WEB, State.INACTIVE, State.INACTIVE)
    once = ["! prod/web: refused", "prod/web: hostPort"]
    ticks = [Tick(0.0, (pod,)), Tick(5.0, (quiet,)), Tick(300.0, (pod,)), Tick(600.0, (pod,))]
    assert told(*ticks) == [once, [], [], []]
    assert told(*ticks, Tick(901.0, (pod,)))[-1] == once


def test_a_clock_that_was_set_back_hides_nothing() -> None:
    pod = PodTick(WEB, State.INACTIVE, State.INACTIVE, problems=("refused",))
    assert told(Tick(900.0, (pod,)), Tick(0.0, (pod,)))[-1] == ["! prod/web: refused"]


def test_what_concerns_no_pod_of_ours_is_said_once() -> None:
    tick = Tick(0.0, not_watched=(API,), problems=("the disk is full",))
    unwatched = f"! {API}: it asks for a checkpoint, and its namespace is not watched"
    assert told(tick, tick) == [[unwatched, "! the disk is full"], []]


texts = st.sampled_from(["a", "b", "c"])
pods = st.builds(
    PodTick,
    st.sampled_from([WEB, API]),
    st.just(State.INACTIVE),
    st.just(State.INACTIVE),
    problems=st.lists(texts, unique=True).map(tuple),
)
ticks_ = st.builds(
    Tick,
    st.integers(0, 299).map(float),
    st.lists(pods, unique_by=lambda pod: pod.name).map(tuple),
    unavailable=st.dictionaries(st.sampled_from(["kubelet", "api server"]), texts),
    problems=st.lists(texts, unique=True).map(tuple),
)


@given(st.lists(ticks_))
def test_each_problem_is_said_once_and_each_is_said(ticks: list[Tick]) -> None:
    ordered = sorted(ticks, key=lambda tick: tick.at)
    lines = [line for each in told(*ordered) for line in each if "asked" not in line]
    assert len(lines) == len(set(lines))
    assert set(lines) == {
        *(f"! {text}" for tick in ticks for text in tick.problems),
        *(f"! {pod.name}: {text}" for tick in ticks for pod in tick.pods for text in pod.problems),
    }


@given(st.lists(ticks_))
def test_failures_and_recoveries_of_a_source_take_turns(ticks: list[Tick]) -> None:
    def of(source: str, lines: Iterable[Line]) -> list[bool]:
        return [
            line.level == "warning" for line in lines if line.text.startswith(f"the {source} can")
        ]

    journal = Journal()
    is_down = False
    for tick in ticks:
        lines, journal = journal.told(tick)
        said = of("kubelet", lines)
        assert said in ([], [True], [False])
        is_down = said[0] if said else is_down
        assert is_down == ("kubelet" in tick.unavailable)
