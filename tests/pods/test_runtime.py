"""What the container runtime says of a parent: runs, starts, does not run, or nobody knows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.model import CHECKPOINT, CHECKPOINT_OF, CONFIG_SOURCE, PodName
from checkpointkit.pods.runtime import (
    GIVEN_UP_AFTER,
    Container,
    ContainerState,
    Running,
    RunningSight,
    Runtime,
    Sandbox,
    running_sight,
)

NAME = PodName("kube-system", "kube-apiserver-x7k2p")
NOW = 10_000.0
FROM_API = {CONFIG_SOURCE: "api", CHECKPOINT: "true"}


def sandbox(
    sandbox_id: str = "s1", *, ready: bool = True, created_at: float = 0.0, **others: Any
) -> Sandbox:
    values = {"namespace": NAME.namespace, "name": NAME.name, "annotations": FROM_API, **others}
    return Sandbox(sandbox_id, uid="7f3e", ready=ready, created_at=created_at, **values)


def container(state: ContainerState, created: float = 0.0, **others: Any) -> Container:
    return Container(
        **{"sandbox_id": "s1", "name": "main", **others}, state=state, created_at=created
    )


def exited(finished: float | None, **others: Any) -> Container:
    return container(ContainerState.EXITED, finished_at=finished, **others)


CREATED = container(ContainerState.CREATED)
RUNNING = container(ContainerState.RUNNING)


def judged(
    sandboxes: list[Sandbox], containers: list[Container], *, listed: bool | None = None
) -> RunningSight:
    runtime = Runtime(tuple(sandboxes), tuple(containers))
    return running_sight(NAME, runtime, listed=listed, now=NOW)


@pytest.mark.parametrize("listed", [True, False, None])
def test_an_error_of_the_runtime_says_nothing(listed: bool | None) -> None:
    sight = running_sight(NAME, Failed("no socket"), listed=listed, now=NOW)
    assert sight == RunningSight(Running.UNKNOWN, "no socket")


@pytest.mark.parametrize("listed", [True, False, None])
@pytest.mark.parametrize("ready", [True, False])
def test_a_container_that_runs_runs_whatever_else_is_said(ready: bool, listed: bool | None) -> None:
    others = [exited(1.0), CREATED, container(ContainerState.UNKNOWN)]
    sight = judged([sandbox(ready=ready)], [*others, RUNNING], listed=listed)
    assert sight == RunningSight(Running.YES, "a container of it runs")


@pytest.mark.parametrize("listed", [True, False, None])
@pytest.mark.parametrize("sandboxes", [[], [sandbox(ready=False)]])
def test_without_a_ready_sandbox_it_does_not_run(
    sandboxes: list[Sandbox], listed: bool | None
) -> None:
    # After a reboot the kubelet may list a pod long before it makes a new sandbox.
    assert judged(sandboxes, [exited(NOW - 1)], listed=listed).value is Running.NO


@pytest.mark.parametrize("containers", [[], [CREATED]])
@pytest.mark.parametrize("listed", [True, False, None])
def test_a_ready_sandbox_in_which_nothing_has_run_is_starting(
    containers: list[Container], listed: bool | None
) -> None:
    sight = judged([sandbox(created_at=NOW - 35)], containers, listed=listed)
    assert (sight.value, sight.age) == (Running.STARTING, 35)


def test_what_has_exited_runs_as_long_as_the_kubelet_lists_it() -> None:
    sight = judged([sandbox()], [exited(NOW - 10_000)], listed=True)
    assert (sight.value, sight.exited) == (Running.YES, True)


@pytest.mark.parametrize("listed", [False, None])
@pytest.mark.parametrize(
    ("containers", "value"),
    [
        ([exited(NOW - GIVEN_UP_AFTER)], Running.NO),
        ([exited(NOW - GIVEN_UP_AFTER + 1)], Running.UNKNOWN),
        ([exited(NOW + 50)], Running.UNKNOWN),  # the clock was set back
        ([exited(None)], Running.UNKNOWN),
        ([exited(1.0), exited(None)], Running.UNKNOWN),
        ([exited(1.0), exited(NOW - 5)], Running.UNKNOWN),
        ([exited(1.0, created=NOW - 5)], Running.UNKNOWN),
        ([exited(1.0), container(ContainerState.CREATED, NOW - 5)], Running.UNKNOWN),
        ([exited(1.0), CREATED], Running.NO),
        ([exited(1.0), container(ContainerState.UNKNOWN)], Running.UNKNOWN),
    ],
)
def test_without_the_kubelet_it_takes_six_minutes_without_an_attempt(
    containers: list[Container], value: Running, listed: bool | None
) -> None:
    assert judged([sandbox()], containers, listed=listed).value is value


def test_of_two_ready_sandboxes_the_newest_counts() -> None:
    old, new = sandbox("old", created_at=5.0), sandbox("new", created_at=6.0)
    ended = exited(6.0, sandbox_id="old")
    assert judged([new, old], [ended]).value is Running.STARTING
    first, second = sandbox("old", attempt=0), sandbox("new", attempt=1)
    assert judged([second, first], [ended]).value is Running.STARTING


@pytest.mark.parametrize(
    "others",
    [
        {"namespace": "default"},
        {"name": "kube-apiserver"},
        {"annotations": {CONFIG_SOURCE: "file"}},
        {"annotations": {CONFIG_SOURCE: "api", CHECKPOINT_OF: "a"}},
        {"annotations": {CHECKPOINT_OF: ""}},
    ],
)
def test_a_static_pod_a_checkpoint_and_another_pod_are_not_the_parent(
    others: dict[str, Any],
) -> None:
    assert judged([sandbox(**others)], [RUNNING]).value is Running.NO


def test_a_container_without_its_sandbox_belongs_to_nobody() -> None:
    assert judged([], [RUNNING]).value is Running.NO
    lost = container(ContainerState.RUNNING, sandbox_id="gone")
    assert judged([sandbox()], [lost]).value is Running.STARTING


@given(
    st.lists(
        st.builds(
            container,
            st.sampled_from(ContainerState),
            st.floats(0, NOW),
            finished_at=st.none() | st.floats(0, NOW),
            sandbox_id=st.sampled_from(["s1", "s2"]),
        ),
        max_size=4,
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([True, False, None]),
)
def test_no_is_never_said_of_what_may_run_or_start(
    containers: list[Container], ready: bool, other_ready: bool, listed: bool | None
) -> None:
    boxes = [sandbox(ready=ready), sandbox("s2", ready=other_ready, created_at=1.0)]
    sight = judged(boxes, containers, listed=listed)
    states = {item.state for item in containers}
    assert sight.reason
    assert (ContainerState.RUNNING in states) == (sight.value is Running.YES and not sight.exited)
    if sight.value is Running.NO:
        assert ContainerState.UNKNOWN not in states
        newest = "s2" if other_ready else "s1"
        latest = [
            max(item.created_at, item.finished_at or NOW)
            for item in containers
            if item.sandbox_id == newest and item.state is ContainerState.EXITED
        ]
        still = not (ready or other_ready)
        assert still or (not listed and latest and max(latest) <= NOW - GIVEN_UP_AFTER)
    if sight.value is Running.STARTING:
        assert ready or other_ready
