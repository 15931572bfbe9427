"""Garbage from every source: a reason, the state as it was, and the next tick is fine.

The clients are the real ones; the servers listen on loopback, and misbehave when they are told to.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from attrs import field, mutable

from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.clients.cri import CriClient
from checkpointkit.pods.clients.crimessages import METHODS, message_classes
from checkpointkit.pods.clients.kubelet import KubeletClient
from checkpointkit.pods.machine import Stage
from checkpointkit.pods.ticks import Tick
from tests.pods.laws import check
from tests.pods.lives import FIRST, LONE, OWN, PODS, SECRET
from tests.pods.simulation import Node, Step
from tests.pods.world import Disk, FakeRuntime

TIMEOUT: Final = 0.5
MARK: Final = "not-to-be-quoted"
NAMESPACES: Final = "/api/v1/namespaces/"

# ------------------------------------------------------------------------------------ http servers


class Server(ThreadingHTTPServer):
    """A server that answers what it is told to, in the way that it is told to."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, respond: Callable[[str, str], tuple[int, Any]]) -> None:
        self.respond = respond
        self.misbehave: Callable[[Handler, bytes], None] | None = None
        self.only = ""
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that has gone away is what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Answers a GET."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        selector = parse_qs(url.query).get("fieldSelector", [""])[0]
        status, decoded = self.server.respond(url.path, selector.partition("=")[2])
        body = json.dumps(decoded, separators=(",", ":")).encode()
        if self.server.misbehave is not None and self.server.only in url.path:
            self.server.misbehave(self, body)
        else:
            self.say(status, body)

    def say(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def cut_short(handler: Handler, body: bytes) -> None:
    handler.say(200, body[: len(body) // 2])


def ended_early(handler: Handler, body: bytes) -> None:
    handler.say(200, body[: len(body) // 2], length=len(body))
    handler.close_connection = True


def an_error(handler: Handler, body: bytes) -> None:
    handler.say(500, f'{{"kind": "Status", "message": "{MARK}"}}'.encode())


def too_many_requests(handler: Handler, body: bytes) -> None:
    handler.say(429, MARK.encode(), Retry_After="1")


def html(handler: Handler, body: bytes) -> None:
    handler.say(200, f"<html><body>{MARK}</body></html>".encode())


def a_wrong_address(handler: Handler, body: bytes) -> None:
    handler.say(404, f"404 page not found {MARK}".encode())


def elsewhere(handler: Handler, body: bytes) -> None:
    handler.say(302, b"", Location=handler.path)


def no_answer(handler: Handler, body: bytes) -> None:
    handler.server.released.wait(30)
    handler.close_connection = True


def a_byte_at_a_time(handler: Handler, body: bytes) -> None:
    handler.say(200, b"", length=len(body))
    for at in range(len(body)):
        handler.wfile.write(body[at : at + 1])
        if handler.server.released.wait(0.05):
            break


def without_end(handler: Handler, body: bytes) -> None:
    handler.say(200, b"", length=1 << 40)
    while not handler.server.released.is_set():
        handler.wfile.write(b" " * 65536)


def a_reset(handler: Handler, body: bytes) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def nothing(handler: Handler, body: bytes) -> None:
    handler.close_connection = True


def noise(handler: Handler, body: bytes) -> None:
    handler.wfile.write(bytes(range(256)) * 8)
    handler.close_connection = True


def no_text(handler: Handler, body: bytes) -> None:
    handler.say(200, body.replace(b'":"', b'":"\xff\xfe\xc3'))


def nested_deeply(handler: Handler, body: bytes) -> None:
    handler.say(200, b'{"kind":"PodList","items":' + b"[" * 200_000)


def compressed(handler: Handler, body: bytes) -> None:
    handler.say(200, body, Content_Encoding="gzip")


def another_kind(handler: Handler, body: bytes) -> None:
    handler.say(200, f'{{"kind":"NodeList","items":[],"note":"{MARK}"}}'.encode())


def no_list(handler: Handler, body: bytes) -> None:
    handler.say(200, f'{{"kind":"PodList","apiVersion":"v1","items":"{MARK}"}}'.encode())


def null(handler: Handler, body: bytes) -> None:
    handler.say(200, b"null")


def no_number(handler: Handler, body: bytes) -> None:
    handler.say(200, b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[],"n":NaN}')


GARBAGE: Final = (
    cut_short,
    ended_early,
    an_error,
    too_many_requests,
    html,
    a_wrong_address,
    elsewhere,
    no_answer,
    a_byte_at_a_time,
    without_end,
    a_reset,
    nothing,
    noise,
    no_text,
    nested_deeply,
    compressed,
    another_kind,
    no_list,
    null,
    no_number,
)


@contextmanager
def serving(respond: Callable[[str, str], tuple[int, Any]]) -> Iterator[Server]:
    server = Server(respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


# ----------------------------------------------------------------------------- a container runtime


@mutable
class Cri:
    """A server of the CRI, version 1, with what a `FakeRuntime` has."""

    runtime: FakeRuntime
    misbehave: Callable[[grpc.ServicerContext, bytes], bytes] | None = None
    released: threading.Event = field(factory=threading.Event)
    messages: dict[str, Any] = field(factory=message_classes)

    def answer(self, method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            body: bytes = getattr(self, f"_{method}")(request).SerializeToString()
            return body if self.misbehave is None else self.misbehave(context, body)

        return handle

    def _ListPodSandbox(self, request: bytes) -> Any:  # noqa: N802 - the name of the call
        items = [
            {
                "id": box.id,
                "metadata": {"name": box.name, "namespace": box.namespace, "uid": box.uid},
                "state": 0 if box.ready else 1,
                "created_at": int(box.created_at * 1e9),
                "annotations": [{"key": k, "value": v} for k, v in box.annotations.items()],
            }
            for box in self.runtime.sandboxes
        ]
        return self.messages["ListPodSandboxResponse"](items=items)

    def _ListContainers(self, request: bytes) -> Any:  # noqa: N802 - the name of the call
        containers = [
            {
                "id": f"c-{each.sandbox_id}",
                "pod_sandbox_id": each.sandbox_id,
                "metadata": {"name": each.name},
                "state": each.state.value,
                "created_at": int(each.created_at * 1e9),
            }
            for each in self.runtime.containers
        ]
        return self.messages["ListContainersResponse"](containers=containers)

    def _ContainerStatus(self, request: bytes) -> Any:  # noqa: N802 - the name of the call
        asked = self.messages["ContainerStatusRequest"].FromString(request).container_id
        found = next(e for e in self.runtime.containers if f"c-{e.sandbox_id}" == asked)
        ended = int((found.finished_at or 0) * 1e9)
        status = {"id": asked, "state": found.state.value, "finished_at": ended}
        return self.messages["ContainerStatusResponse"](status=status)


def is_unavailable(context: grpc.ServicerContext, body: bytes) -> bytes:
    context.abort(grpc.StatusCode.UNAVAILABLE, "containerd is not ready")


def has_failed(context: grpc.ServicerContext, body: bytes) -> bytes:
    context.abort(grpc.StatusCode.INTERNAL, "a panic\nof several lines")


def is_another(context: grpc.ServicerContext, body: bytes) -> bytes:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service runtime.v1.RuntimeService")


def says_noise(context: grpc.ServicerContext, body: bytes) -> bytes:
    return b"\xff" * 64


def is_cut_short(context: grpc.ServicerContext, body: bytes) -> bytes:
    return body[:-3]


def says_too_much(context: grpc.ServicerContext, body: bytes) -> bytes:
    return body + b"\0" * (17 << 20)


RUNTIME_GARBAGE: Final = (
    is_unavailable,
    has_failed,
    is_another,
    says_noise,
    is_cut_short,
    says_too_much,
)


@contextmanager
def serving_cri(cri: Cri, path: Path) -> Iterator[str]:
    handlers = {name: grpc.unary_unary_rpc_method_handler(cri.answer(name)) for name in METHODS}
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(
            pool, options=[("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
        )
        generic = grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", handlers)
        server.add_generic_rpc_handlers((generic,))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield f"unix://{path}"
        finally:
            cri.released.set()
            server.stop(None).wait()


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


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage.__name__)
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


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage.__name__)
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
