"""The API server itself is a pod: after a power cut nobody but its copy can bring it back."""

from __future__ import annotations

import base64
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import frozen

from tests.e2e.account import NAMESPACE
from tests.e2e.processes import eventually
from tests.e2e.scene import ACTIVE, INACTIVE, Scene
from tests.e2e.seen import now
from tests.e2e.workload import GOOD, annotated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.root]

_NAME: Final = "kube-apiserver"
_SOON: Final = 40.0
"""Seconds within which the API server serves after the start of the node; measured 7 to 12."""
_SILENCE: Final = 30.0
"""Seconds for which it may not serve once it does; measured 0.2 to 6."""
_WHILE: Final = 15.0
"""Seconds within which it would have gone away again."""


@frozen
class Hosted:
    """The API server runs as a pod, and is saved; no other one runs."""

    scene: Scene
    parent: str

    @property
    def file(self) -> str:
        return f"{NAMESPACE}_{self.parent}.json"


@frozen
class Handover:
    """The node came back at `on`; its copy was `started`, and the API server `served` after that.

    `silence` is for how long it was away in all the time until the copy had gone, and a while
    longer; `left` are the copies that still ran then.
    """

    on: float
    started: float
    served: float
    silence: float
    left: set[str]


@pytest.fixture(scope="module")
def hosted(cluster: Cluster) -> Iterator[Hosted]:
    with Scene(cluster, _NAME) as scene:
        cluster.kube.apply(_keys(cluster.control.keys))
        cluster.kube.apply(_server(cluster))
        scene.start_daemon()
        parent = scene.pod()
        hosted = Hosted(scene, parent)
        eventually(f"{parent} is saved", lambda: hosted.file in scene.files(INACTIVE))
        cluster.control.stop_server()
        eventually("the pod serves", cluster.kube.is_ready)
        yield hosted


@pytest.fixture(scope="module")
def handover(hosted: Hosted) -> Handover:
    scene = hosted.scene
    scene.cluster.node.power_off()
    on = now()
    scene.cluster.node.power_on()
    scene.start_daemon()
    eventually("its copy starts", lambda: hosted.file in scene.files(ACTIVE), pause=0.02)
    started = now()
    with _watched(scene.cluster) as times:
        eventually("the copy has gone", lambda: not scene.files(ACTIVE), 180)
        eventually("it serves again", lambda: times, 120)
        time.sleep(_WHILE)
    silence = max(after - before for before, after in pairwise([*times, now()]))
    return Handover(on, started, times[0], silence, set(scene.files(ACTIVE)))


def test_the_api_server_comes_back_by_its_copy(handover: Handover) -> None:
    print(f"\nfrom power to the API server: {handover.served - handover.on:.2f} s")  # noqa: T201
    print(f"of this, since its copy started: {handover.served - handover.started:.2f} s")  # noqa: T201
    assert handover.served - handover.on < _SOON


def test_the_copy_makes_room_for_the_parent(hosted: Hosted, handover: Handover) -> None:
    print(f"\nlongest silence of the API server: {handover.silence:.2f} s")  # noqa: T201
    assert handover.left == set()
    assert handover.silence < _SILENCE
    assert hosted.scene.pod() == hosted.parent


@contextmanager
def _watched(cluster: Cluster) -> Iterator[list[float]]:
    """Note when the API server serves, again and again."""
    times: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if cluster.kube.is_ready():
                times.append(now())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield times
    finally:
        over.set()
        watcher.join()


def _keys(directory: Path) -> dict[str, Any]:
    """Return the API server's keys and certificates as a secret."""
    data = {
        path.name: base64.b64encode(path.read_bytes()).decode()
        for path in directory.iterdir()
        if path.suffix in {".crt", ".key"}
    }
    metadata = {"name": _NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def _server(cluster: Cluster) -> dict[str, Any]:
    """Return a DaemonSet that runs the API server, as the launcher does."""
    command = cluster.control.server_command()
    port = int(cluster.control.url.rpartition(":")[2])
    probe = {"path": "/readyz", "port": port, "scheme": "HTTPS", "host": "127.0.0.1"}
    mounts = {
        "keys": str(cluster.control.keys),
        "data": str(cluster.directory),
        "program": command[0],
    }
    container = {
        "name": _NAME,
        "image": GOOD,
        "imagePullPolicy": "Never",
        "command": command,
        "readinessProbe": {"httpGet": probe, "periodSeconds": 2},
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": name != "data"}
            for name, path in sorted(mounts.items(), key=lambda each: each[1])
        ],
    }
    volumes = [
        {"name": "keys", "secret": {"secretName": _NAME}},
        *({"name": name, "hostPath": {"path": mounts[name]}} for name in ("data", "program")),
    ]
    return annotated(_NAME, NAMESPACE, {"containers": [container], "volumes": volumes})
