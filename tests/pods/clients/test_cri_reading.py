"""What a container runtime has answered: read whole, or not at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.pods.clients.crireading import CriReader
from checkpointkit.pods.model import CHECKPOINT_OF, CONFIG_SOURCE, PodName
from checkpointkit.pods.runtime import (
    Container,
    ContainerState,
    Running,
    Runtime,
    Sandbox,
    running_sight,
)
from tests.pods.clients.cri_server import (
    CREATED,
    EXITED,
    FROM_API,
    NOT_READY,
    UNKNOWN,
    container,
    encoded,
    sandbox,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Asked:
    """When containers have exited; and which of them was asked for."""

    def __init__(self, **ends: float) -> None:
        self.ends = ends
        self.names: list[str] = []

    def __call__(self, name: str) -> float | None:
        self.names.append(name)
        return self.ends.get(name)


def read(
    reader: CriReader,
    boxes: list[Any],
    containers: list[Any],
    end: Callable[[str], float | None] | None = None,
) -> Runtime:
    return reader.read(
        encoded("ListContainersResponse", "containers", containers),
        encoded("ListPodSandboxResponse", "items", boxes),
        end or Asked(),
    )


def test_what_is_listed_becomes_values_with_times_in_seconds() -> None:
    box = sandbox("s1", state=NOT_READY, created_at=1_795_286_824_501_106_970)
    runtime = read(CriReader(), [box], [container("c1", state=CREATED)])
    assert runtime.sandboxes == (
        Sandbox(
            "s1",
            "kube-system",
            "s1",
            "uid-s1",
            ready=False,
            created_at=1_795_286_824.501107,
            attempt=1,
            annotations=FROM_API,
        ),
    )
    assert runtime.containers == (
        Container("s1", "c1-name", ContainerState.CREATED, 3.5, attempt=2),
    )


@pytest.mark.parametrize("state", ContainerState)
def test_each_state_of_a_container_is_its_own(state: ContainerState) -> None:
    (read_one,) = read(CriReader(), [sandbox()], [container("c1", state=state.value)]).containers
    assert read_one.state is state


def test_the_same_in_another_order_is_the_same_object() -> None:
    reader = CriReader()
    boxes = [sandbox(f"s{n}") for n in range(9)]
    containers = [container(f"c{n}", f"s{n}") for n in range(9)]
    first = read(reader, boxes, containers)
    for seed in range(5):
        mixed = random.Random(seed)
        assert read(reader, mixed.sample(boxes, 9), mixed.sample(containers, 9)) is first


@pytest.mark.parametrize(
    ("boxes", "containers"),
    [
        ([sandbox(state=NOT_READY)], [container("c1")]),
        ([sandbox()], [container("c1", state=EXITED)]),
        ([sandbox()], []),
        ([sandbox(), sandbox("s2")], [container("c1")]),
        ([], []),
        ([sandbox()], [container("c1"), container("c2")]),
    ],
)
def test_a_change_is_seen_and_what_was_remembered_says_nothing_else(
    boxes: list[Any], containers: list[Any]
) -> None:
    reader = CriReader()
    first = read(reader, [sandbox()], [container("c1")])
    then = read(reader, boxes, containers)
    assert then is not first
    assert then == read(CriReader(), boxes, containers)
    assert read(reader, [sandbox()], [container("c1")]) == first


def test_the_end_of_a_container_is_asked_for_once() -> None:
    reader, asked = CriReader(), Asked(c1=8.5)
    containers = [container("c1", state=EXITED), container("c2", state=CREATED)]
    first = read(reader, [sandbox()], containers, asked)
    assert [item.finished_at for item in first.containers] == [8.5, None]
    assert read(reader, [sandbox()], containers, asked) is first
    more = read(reader, [sandbox()], [*containers, container("c3", state=CREATED)], asked)
    assert [item.finished_at for item in more.containers] == [8.5, None, None]
    assert asked.names == ["c1"]


def test_an_end_that_nobody_knows_is_asked_for_again_in_the_next_tick() -> None:
    reader, asked = CriReader(), Asked(c1=8.5)
    both = [container("c1", state=EXITED), container("c2", state=EXITED)]
    first = read(reader, [sandbox()], both, asked)
    assert [item.finished_at for item in first.containers] == [8.5, None]
    asked.ends["c2"] = 9.5
    then = read(reader, [sandbox()], both, asked)
    assert [item.finished_at for item in then.containers] == [8.5, 9.5]
    assert sorted(asked.names) == ["c1", "c2", "c2"]


def test_ends_are_forgotten_with_their_containers() -> None:
    reader, asked = CriReader(), Asked(c1=8.5)
    for containers in ([container("c1", state=EXITED)], [], [container("c1", state=EXITED)]):
        read(reader, [sandbox()], containers, asked)
    assert asked.names == ["c1", "c1"]


@pytest.mark.parametrize(
    ("box", "others"),
    [
        (sandbox(state=NOT_READY), []),
        (sandbox(annotations={CONFIG_SOURCE: "file"}), []),
        (sandbox(annotations={CONFIG_SOURCE: "api", CHECKPOINT_OF: "a"}), []),
        (sandbox(), [container("c2")]),
    ],
    ids=["not ready", "static", "a checkpoint", "one runs"],
)
def test_an_end_that_does_not_matter_is_not_asked_for(box: Any, others: list[Any]) -> None:
    asked = Asked()
    read(CriReader(), [box], [container("c1", state=EXITED), *others], asked)
    assert asked.names == []


def test_a_failure_to_ask_fails_the_whole_and_what_was_found_stays() -> None:
    def fails(name: str) -> float:
        if tried:
            raise TimeoutError
        tried.append(name)
        return 8.5

    tried: list[str] = []
    reader, asked = CriReader(), Asked(c1=8.5, c2=8.5)
    both = [container("c1", state=EXITED), container("c2", state=EXITED)]
    with pytest.raises(TimeoutError):
        read(reader, [sandbox()], both, fails)
    then = read(reader, [sandbox()], both, asked)
    assert [item.finished_at for item in then.containers] == [8.5, 8.5]
    assert asked.names == [name for name in ("c1", "c2") if name not in tried]


@pytest.mark.parametrize(
    ("boxes", "containers", "reason"),
    [
        ([sandbox(id="")], [], "a sandbox has no id"),
        ([sandbox(state=2)], [], "sandbox 's1' is in the unknown state 2"),
        ([sandbox(state=-1)], [], "sandbox 's1' is in the unknown state -1"),
        ([sandbox(metadata=None)], [], "sandbox 's1' is ready, and does not say which pod's it is"),
        ([sandbox(metadata={"name": "a"})], [], "does not say which pod's it is"),
        ([sandbox(metadata={"namespace": "a"})], [], "does not say which pod's it is"),
        ([sandbox()], [container("")], "a container has no id"),
        ([sandbox("s2")], [container("c1")], "container 'c1' is in no sandbox that is listed"),
        ([], [container("c1", state=UNKNOWN)], "container 'c1' is in no sandbox that is listed"),
        ([], [container("c1", state=9)], "container 'c1' is in no sandbox that is listed"),
        (
            [sandbox(state=NOT_READY, metadata=None)],
            [container("c1")],
            "container 'c1' is in no sandbox that is listed",
        ),
    ],
)
def test_what_may_be_a_parents_and_cannot_be_read_spoils_the_whole(
    boxes: list[Any], containers: list[Any], reason: str
) -> None:
    """To leave it out would be to say that the parent does not run."""
    reader = CriReader()
    with pytest.raises(ValueError, match=reason):
        read(reader, [*boxes, sandbox("s9")], [*containers, container("c9", "s9")])
    after = read(reader, [sandbox("s9")], [container("c9", "s9")])
    assert len(after.sandboxes) == len(after.containers) == 1


def test_an_id_is_quoted_in_part_and_without_control_characters() -> None:
    with pytest.raises(ValueError, match=r"sandbox '\\x1b\[31mAAAAAAAA' is in the unknown"):
        read(CriReader(), [sandbox(id="\x1b[31m" + "A" * 100, state=5)], [])


@pytest.mark.parametrize(
    ("boxes", "containers"),
    [
        ([sandbox(state=NOT_READY, metadata=None)], []),
        ([sandbox(metadata={"namespace": "a/b", "name": "A_b"})], [container("c1")]),
        ([], [container("c1", state=EXITED)]),
        ([], [container("c1", state=CREATED)]),
        ([sandbox()], [container("c1", metadata=None)]),
        ([sandbox(annotations={})], []),
        ([sandbox(created_at=0)], [container("c1", created_at=-1)]),
    ],
    ids=["no name", "an odd name", "stray", "stray", "no metadata", "no annotations", "no time"],
)
def test_what_is_odd_and_can_be_no_running_parents_is_tolerated(
    boxes: list[Any], containers: list[Any]
) -> None:
    runtime = read(CriReader(), [*boxes, sandbox("web")], [*containers, container("c9", "web")])
    assert len(runtime.sandboxes) == len(boxes) + 1
    sight = running_sight(PodName("kube-system", "web"), runtime, listed=None, now=9.0)
    assert sight.value is Running.YES


def test_a_container_in_a_state_of_the_future_is_in_an_unknown_state() -> None:
    runtime = read(CriReader(), [sandbox("web")], [container("c1", "web", state=7)])
    sight = running_sight(PodName("kube-system", "web"), runtime, listed=None, now=9.0)
    assert sight.value is Running.UNKNOWN


@pytest.mark.parametrize("finished", [0, -1])
def test_an_end_without_a_time_is_unknown(finished: int) -> None:
    status = encoded("ContainerStatusResponse", "status", {"finished_at": finished})  # type: ignore[arg-type]
    assert CriReader().end(status) is None


GARBAGE = [
    b"\xff",
    b"\x0a\x7f",
    b"<html><body>502</body></html>",
    b'{"items": []}',
    b"\x0a\x02\x0a\xff",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused_and_not_quoted(garbage: bytes) -> None:
    reader = CriReader()
    for call in (
        lambda: reader.read(garbage, b"", Asked()),
        lambda: reader.read(b"", garbage, Asked()),
        lambda: reader.end(garbage),
    ):
        with pytest.raises(ValueError, match=r"^it is no (List|Container)\w+Response$") as caught:
            call()
        assert caught.value.__cause__ is caught.value.__context__ is None


READER = CriReader()


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_comes_is_a_runtime_or_a_value_error(containers: bytes, boxes: bytes) -> None:
    try:
        found = READER.read(containers, boxes, Asked())
    except ValueError:
        return
    assert isinstance(found, Runtime)


SOME = encoded("ListPodSandboxResponse", "items", [sandbox("s1"), sandbox("s2", state=NOT_READY)])


@given(st.data())
def test_a_list_with_a_flaw_is_a_runtime_or_a_value_error(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SOME) - 1))
    flawed = SOME[:at] + data.draw(st.binary(max_size=3)) + SOME[at + 1 :]
    try:
        found = READER.read(b"", flawed, Asked())
    except ValueError:
        return
    assert isinstance(found, Runtime)
