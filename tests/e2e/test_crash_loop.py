"""A new image crashes: the last good copy is kept until there is a better one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from tests.e2e.account import NAMESPACE
from tests.e2e.daemon import GRACE
from tests.e2e.node import NODE
from tests.e2e.processes import eventually
from tests.e2e.scene import ACTIVE, INACTIVE, Scene
from tests.e2e.seen import now
from tests.e2e.workload import CRASHING, GOOD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.root]

_SOON = 15.0
"""Seconds within which a copy lives after the start of the node; measured 2 to 5."""
_WHILE = 4.0
"""Seconds within which something wrong would have happened."""


@frozen
class Files:
    """The files of copies at one moment: those that are kept, and those that run."""

    kept: dict[str, str]
    running: dict[str, str]


@frozen
class Good:
    """A pod with a good image was saved."""

    scene: Scene
    name: str

    @property
    def copy(self) -> dict[str, str]:
        """What there is to be on the disk: its file, and the image that is in it."""
        return {f"{NAMESPACE}_{self.name}.json": GOOD}

    def files(self) -> Files:
        return Files(*(self._images(directory) for directory in (INACTIVE, ACTIVE)))

    def _images(self, directory: str) -> dict[str, str]:
        files = self.scene.files(directory)
        return {name: each["spec"]["containers"][0]["image"] for name, each in files.items()}


@frozen
class Crashing:
    """A crash loop: what was kept in the end, and what was started in between."""

    files: Files
    started: set[str]


@pytest.fixture(scope="module")
def good(cluster: Cluster) -> Iterator[Good]:
    with Scene(cluster, "crash") as scene:
        scene.apply()
        scene.start_daemon()
        saved = Good(scene, scene.pod())
        eventually("it is saved", lambda: saved.files().kept == saved.copy)
        yield saved


@pytest.fixture(scope="module")
def crashing(good: Good) -> Crashing:
    """A new image has crashed again and again, for longer than the grace period."""
    good.scene.apply(CRASHING)
    successor = good.scene.pod(CRASHING)
    started: set[str] = set()
    ended = now() + GRACE + _WHILE
    while not (good.scene.restarts(successor) and now() > ended):
        started |= good.scene.started(1.0)
    return Crashing(good.files(), started)


@pytest.fixture(scope="module")
def outage(good: Good, crashing: Crashing) -> float:
    """The API server is down, and the node was restarted; how long it took until the copy lived."""
    good.scene.cluster.control.stop_server()
    good.scene.cluster.node.power_off()
    on = now()
    good.scene.cluster.node.power_on()
    good.scene.start_daemon()
    return good.scene.diary.first(f"{good.name}-{NODE}", on) - on


@pytest.fixture(scope="module")
def back(good: Good, outage: float) -> Files:
    """The API server is back, and with it the crash loop."""
    good.scene.cluster.control.start_server()
    eventually("no copy runs", lambda: not good.files().running, 120)
    time.sleep(_WHILE)
    return good.files()


@pytest.fixture(scope="module")
def mended(good: Good, back: Files) -> tuple[Good, Files]:
    """The image was mended."""
    good.scene.apply(GOOD)
    successor = Good(good.scene, good.scene.pod())
    eventually("the successor is saved", lambda: successor.files().kept == successor.copy, 120)
    time.sleep(_WHILE)
    return successor, successor.files()


def test_a_crash_loop_never_replaces_the_last_good_copy(good: Good, crashing: Crashing) -> None:
    assert crashing.files.kept == good.copy


def test_no_copy_runs_beside_a_crash_loop_while_the_api_server_answers(crashing: Crashing) -> None:
    assert crashing.started == set()


def test_the_last_good_copy_lives_when_the_api_server_is_down(outage: float) -> None:
    print(f"\nfrom power to life: {outage:.2f} s")  # noqa: T201
    assert outage < _SOON


def test_the_last_good_copy_stops_for_the_crash_loop_and_is_kept(good: Good, back: Files) -> None:
    assert back == Files(good.copy, {})


def test_a_good_successor_replaces_it(good: Good, mended: tuple[Good, Files]) -> None:
    successor, files = mended
    assert successor.name != good.name
    assert files == Files(successor.copy, {})
