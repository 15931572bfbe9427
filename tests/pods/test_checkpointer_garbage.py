"""Garbage from every source: a reason, the state as it was, and the next tick is fine.

The clients are the real ones; the servers listen on loopback, and misbehave when they are told to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from attrs import mutable

from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.clients.cri import CriClient
from checkpointkit.pods.clients.kubelet import KubeletClient
from checkpointkit.pods.machine import Stage
from checkpointkit.pods.ticks import Tick
from tests.pods.laws import check
from tests.pods.lives import FIRST, LONE, OWN, PODS, SECRET
from tests.pods.misbehaving import (
    GARBAGE,
    MARK,
    RUNTIME_GARBAGE,
    SOME_GARBAGE,
    Cri,
    Server,
    nothing,
    serving,
    serving_cri,
)
from tests.pods.simulation import Node, Step
from tests.pods.world import Disk

TIMEOUT: Final = 0.5
NAMESPACES: Final = "/api/v1/namespaces/"

# ------------------------------------------------------------------------------------------ a node


@mutable
class Served:
    """A node whose checkpointer asks servers."""

    node: Node
    api: Server
    kubelet: Server
    cri: Cri

    def tick(self, *events: tuple[str, ...], seconds: float = 5.0) -> Tick:
        moment = self.node.tick(Step(events, seconds))
        check(moment)
        assert moment.tick is not None
        return moment.tick

    def states(self) -> dict[str, Stage]:
        assert self.node.state is not None
        return {str(name): it.stage for name, it in self.node.state.records().items()}


@pytest.fixture
def served(quick: Path, tmp_path: Path) -> Iterator[Served]:
    """A node that has been well for a while."""
    node = Node(Disk(quick))
    sources = node.sources

    def api(path: str, node_name: str) -> tuple[int, Any]:
        said = sources.api.respond(path.removeprefix(NAMESPACES), node_name)
        assert isinstance(said, tuple)
        return said

    with ExitStack() as stack:
        api_server = stack.enter_context(serving(api))
        kubelet = stack.enter_context(serving(lambda *_: (200, sources.kubelet.list())))
        cri = Cri(sources.runtime)
        endpoint = stack.enter_context(serving_cri(cri, tmp_path / "cri.sock"))
        config = tmp_path / "kubeconfig"
        config.write_text(kubeconfig(api_server.url))
        clients = (
            ApiServerClient.connect(str(config), timeout=TIMEOUT, max_bytes=1 << 20),
            KubeletClient.connect(kubelet.url, timeout=TIMEOUT, max_bytes=1 << 20),
            CriClient.connect(endpoint, timeout=TIMEOUT),
        )
        for client in clients:
            stack.enter_context(closing(client))
        node.asked = clients
        served = Served(node, api_server, kubelet, cri)
        served.tick(("everything", "runs"))
        served.tick()
        assert served.tick().unavailable == {}
        yield served


def kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": url}}],
            "users": [{"name": "it", "user": {"token": "abc"}}],
        }
    )


def is_a_reason(text: str) -> bool:
    """Whether a text can be logged: one line, and nothing of what a source has sent."""
    return bool(text) and text.isprintable() and MARK not in text and SECRET not in text


# ----------------------------------------------------------------------------------- each of them


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage.__name__)
def test_what_the_api_server_says_is_garbage(served: Served, garbage: Any) -> None:
    before = served.states()
    served.api.misbehave = garbage
    said = served.tick(("everything", "down"), seconds=61.0)
    assert set(said.unavailable) == {"api server"}
    assert is_a_reason(said.unavailable["api server"]), said.unavailable
    assert served.states() == before
    served.api.released.set()
    served.api.misbehave = None
    fine = served.tick(("everything", "runs"))
    assert (fine.unavailable, fine.problems, served.states()) == ({}, (), before)


@pytest.mark.parametrize("garbage", SOME_GARBAGE, ids=lambda garbage: garbage.__name__)
def test_what_the_kubelet_says_is_garbage(served: Served, garbage: Any) -> None:
    before = served.states()
    served.kubelet.misbehave = garbage
    said = served.tick(seconds=61.0)
    assert set(said.unavailable) == {"kubelet"}
    assert is_a_reason(said.unavailable["kubelet"]), said.unavailable
    assert served.states() == before
    served.kubelet.released.set()
    served.kubelet.misbehave = None
    fine = served.tick()
    assert (fine.unavailable, fine.problems, served.states()) == ({}, (), before)


@pytest.mark.parametrize("garbage", SOME_GARBAGE, ids=lambda garbage: garbage.__name__)
def test_what_is_said_of_a_secret_is_garbage(served: Served, garbage: Any) -> None:
    kept = served.node.disk.manifests(served.node.disk.inactive)
    served.api.misbehave, served.api.only = garbage, "/secrets/"
    said = served.tick(("secret", "changed"), seconds=61.0)
    assert said.unavailable == {}
    told = {str(pod.name): pod.problems for pod in said.pods}
    assert set(told) == {str(name) for name in PODS}
    for problems in told.values():
        assert any("Secret tls" in problem for problem in problems), told
        assert all(is_a_reason(problem) for problem in problems), told
    assert served.node.disk.manifests(served.node.disk.inactive) == kept
    served.api.released.set()
    served.api.misbehave = None
    fine = served.tick(seconds=61.0)
    assert [pod.problems for pod in fine.pods] == [()] * len(PODS)
    assert f"{SECRET}2" in json.dumps(served.node.disk.manifests(served.node.disk.inactive))


@pytest.mark.parametrize("garbage", RUNTIME_GARBAGE, ids=lambda garbage: garbage.__name__)
def test_what_the_runtime_says_is_garbage(served: Served, garbage: Any) -> None:
    before = served.states()
    served.cri.misbehave = garbage
    for _ in range(3):
        said = served.tick()
        assert set(said.unavailable) == {"container runtime"}
        assert is_a_reason(said.unavailable["container runtime"]), said.unavailable
        assert served.states() == before
    served.cri.misbehave = None
    fine = served.tick()
    assert (fine.unavailable, fine.problems, served.states()) == ({}, (), before)


def test_the_runtime_does_not_answer(served: Served) -> None:
    before = served.states()

    def hangs(context: grpc.ServicerContext, body: bytes) -> bytes:
        served.cri.released.wait(30)
        return body

    served.cri.misbehave = hangs
    said = served.tick()
    assert set(said.unavailable) == {"container runtime"}
    assert is_a_reason(said.unavailable["container runtime"])
    assert served.states() == before
    served.cri.released.set()
    served.cri.misbehave = None
    assert served.tick().unavailable == {}


# ---------------------------------------------------------------------------- what is not garbage


def test_a_huge_list_is_a_list(served: Served) -> None:
    foreign = [
        {
            "metadata": {"namespace": "kube-system", "name": f"foreign-{number}", "uid": "u"},
            "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "i"}]},
        }
        for number in range(4000)
    ]
    real = served.api.respond

    def respond(path: str, node: str) -> tuple[int, Any]:
        status, decoded = real(path, node)
        if path.endswith("/pods"):
            decoded = {**decoded, "items": [*foreign, *decoded["items"]]}
        return status, decoded

    before = served.states()
    served.api.respond = respond
    said = served.tick()
    assert (said.unavailable, said.problems, served.states()) == ({}, (), before)


@pytest.mark.parametrize("item", [1, None, "text", [], {}, {"metadata": {"name": 7}}])
def test_a_list_with_something_that_is_no_pod_removes_nobody(served: Served, item: Any) -> None:
    real = served.api.respond

    def respond(path: str, node: str) -> tuple[int, Any]:
        status, decoded = real(path, node)
        if path.endswith("/pods"):
            decoded = {**decoded, "items": [item]}
        return status, decoded

    before = served.states()
    served.api.respond = respond
    for _ in range(3):
        said = served.tick(seconds=61.0)
        reasons = {pod.reason for pod in said.pods}
        assert served.states() == before
        assert all("unknown" in reason and is_a_reason(reason) for reason in reasons), reasons
    served.api.respond = real
    assert all("here" in pod.reason for pod in served.tick().pods)


# -------------------------------------------------------------------------------- strange files


def strange_files(directory: Path, outside: Path) -> None:
    """Fill a directory with what is no manifest of ours, whatever its name."""
    (directory / "a.json").write_bytes(b"{")
    (directory / "b.json").write_bytes(b"\xff\xfe\x00")
    (directory / "c.json").write_bytes(b"[" * 100_000)
    (directory / "d.json").write_bytes(b"null")
    (directory / "e.yaml").write_text("kind: Pod\n")
    (directory / "f.json").write_text('{"kind": "Pod", "metadata": []}')
    (directory / "g.json").write_text('{"metadata": {"annotations": "none"}}')
    (directory / "empty.json").write_bytes(b"")
    (directory / "kube-system_strange.json").write_text(json.dumps({"note": MARK})[:-1])
    (directory / "kube-system_strange_2.json").mkdir()
    (directory / "a directory").mkdir()
    (directory / "link.json").symlink_to(outside)
    (directory / "nowhere.json").symlink_to("nowhere")
    (directory / "loop.json").symlink_to("loop.json")
    (directory / ".swp").write_bytes(b"x")
    (directory / "new\nline.json").write_bytes(b"{")
    os.mkfifo(directory / "kube-system_fifo.json")
    with open(os.fsencode(directory) + b"/\xff\xfe.json", "wb") as file:
        file.write(b"{")
    with (directory / "huge.json").open("wb") as file:
        file.truncate(1 << 33)


def names_in(directory: Path) -> set[bytes]:
    return {os.fsencode(name) for name in os.listdir(directory)}


def test_directories_full_of_strange_files_are_in_nobodys_way(
    served: Served, tmp_path: Path
) -> None:
    node = served.node
    outside = tmp_path / "outside.json"
    outside.write_text('{"kind": "Pod"}')
    directories = [node.disk.active, node.disk.inactive]
    for directory in directories:
        strange_files(directory, outside)
    strange = {directory: names_in(directory) for directory in directories}
    said = served.tick()
    assert said.unavailable == {}
    assert said.problems
    assert all(is_a_reason(problem) for problem in said.problems), said.problems
    outage = (("api", "unreachable"), ("everything", "down"))
    served.api.misbehave = nothing
    for _ in range(3):
        served.tick(*outage)
    active = set(node.disk.manifests(node.disk.active))
    assert len(active) == 3, "itself, one of the controller's, and the lone one"
    served.api.misbehave = None
    served.tick(("api", "ok"), ("everything", "runs"))
    assert set(node.disk.manifests(node.disk.active)) == {f"kube-system_{OWN.name}.json"}
    served.tick(("life", LONE.name, "gone"), ("life", FIRST.name, "gone"))
    served.tick(seconds=61.0)
    assert len(node.disk.manifests(node.disk.inactive)) == 2
    for directory, names in strange.items():
        assert names <= names_in(directory) | {
            os.fsencode(f"kube-system_{name.name}.json") for name in PODS
        }
    assert outside.read_text() == '{"kind": "Pod"}'
