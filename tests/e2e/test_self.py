"""The checkpointer as a pod: it checkpoints itself, takes over after a power cut, and goes last."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from tests.e2e.account import ACCOUNT, NAMESPACE
from tests.e2e.daemon import GRACE, deploy_daemon
from tests.e2e.node import NODE
from tests.e2e.processes import eventually
from tests.e2e.scene import ACTIVE, INACTIVE, Scene
from tests.e2e.seen import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.root]

_SOON = 30.0
"""Seconds within which a copy lives after the start of the node; measured 3 to 7."""
_WHILE = 4.0
"""Seconds within which something wrong would have happened."""


@frozen
class Pods:
    """The checkpointer runs as a pod, and has saved itself and another."""

    scene: Scene
    own: str
    other: str

    def file(self, name: str) -> str:
        return f"{NAMESPACE}_{name}.json"

    def kept(self) -> set[str]:
        return set(self.scene.files(INACTIVE))

    def running(self) -> set[str]:
        return set(self.scene.files(ACTIVE))


@frozen
class End:
    """It has left the node; while another's copy could not be removed, `held` still ran."""

    held: set[str]
    leftovers: list[Path]


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[Pods]:
    with Scene(cluster, "kept") as scene:
        scene.apply()
        deploy_daemon(cluster)
        both = Pods(scene, scene.pod(app=ACCOUNT), scene.pod())
        eventually("it is saved", lambda: both.file(both.other) in both.kept(), 120)
        eventually("so is itself", lambda: both.file(both.own) in both.running())
        yield both


@pytest.fixture(scope="module")
def outage(pods: Pods) -> float:
    """The API server is down, the node was restarted; how long it took until the copy lived."""
    pods.scene.cluster.control.stop_server()
    pods.scene.cluster.node.power_off()
    on = now()
    pods.scene.cluster.node.power_on()
    return pods.scene.diary.first(f"{pods.other}-{NODE}", on) - on


@pytest.fixture(scope="module")
def back(pods: Pods, outage: float) -> set[str]:
    """The API server is back; what runs as a static pod then."""
    pods.scene.cluster.control.start_server()
    eventually("the parent is back", lambda: pods.file(pods.other) not in pods.running(), 120)
    time.sleep(_WHILE)
    return pods.running()


@pytest.fixture(scope="module")
def end(pods: Pods, back: set[str]) -> End:
    """The checkpointer's DaemonSet was deleted; the other pod's was not."""
    scene, node = pods.scene, pods.scene.cluster.node
    other = node.at(INACTIVE) / pods.file(pods.other)
    subprocess.run(["chattr", "+i", other], check=True)
    try:
        scene.delete(ACCOUNT)
        eventually("its parent has gone", lambda: not scene.pods(ACCOUNT))
        time.sleep(GRACE + _WHILE)
        held = pods.running()
    finally:
        subprocess.run(["chattr", "-i", other], check=True)
    eventually("its copy has gone", lambda: not pods.running(), 120)
    eventually("it has ended", lambda: not node.runs("checkpointkit pods run"))
    return End(held, scene.leftovers())


def test_the_checkpointer_runs_beside_a_copy_of_itself(pods: Pods) -> None:
    assert pods.running() == {pods.file(pods.own)}


def test_its_copy_takes_over_after_a_power_cut(outage: float) -> None:
    print(f"\nfrom power to life: {outage:.2f} s")  # noqa: T201
    assert outage < _SOON


def test_what_it_has_saved_is_whole(pods: Pods, outage: float) -> None:
    # it has few of root's rights: the files' groups and modes need the right ones
    files = pods.scene.diary.files(pods.other)
    assert pods.scene.diary.files(f"{pods.other}-{NODE}") == files


def test_its_copy_stays_when_all_parents_are_back(pods: Pods, back: set[str]) -> None:
    assert back == {pods.file(pods.own)}


def test_it_stays_as_long_as_something_of_another_is_there(pods: Pods, end: End) -> None:
    assert end.held == {pods.file(pods.own)}


def test_it_goes_when_it_is_no_longer_wanted_here(end: End) -> None:
    assert end.leftovers == []


def test_a_pod_that_it_has_kept_runs_on(pods: Pods, end: End) -> None:
    assert pods.scene.diary.first(pods.other, now())
