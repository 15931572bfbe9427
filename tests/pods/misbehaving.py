"""Servers on loopback that answer what they are told to, or misbehave: the three sources."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import grpc
from attrs import field, mutable

from checkpointkit.pods.clients.crimessages import METHODS, message_classes
from tests.pods.world import FakeRuntime

MARK: Final = "not-to-be-quoted"
"""It is in what the servers say, and has no business in a log."""

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

SOME_GARBAGE: Final = (
    cut_short,
    an_error,
    html,
    a_wrong_address,
    no_answer,
    no_text,
    another_kind,
    null,
)
"""One of each sort, for what is asked in the same way."""


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
