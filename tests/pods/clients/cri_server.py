"""A container runtime that serves the CRI on a Unix socket, and what else may sit there."""

from __future__ import annotations

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import grpc

from checkpointkit.pods.model import CHECKPOINT, CONFIG_SOURCE
from tests.pods.clients import proto

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

READY, NOT_READY = 0, 1
CREATED, RUNNING, EXITED, UNKNOWN = range(4)
FROM_API = {CONFIG_SOURCE: "api", CHECKPOINT: "true"}


def sandbox(name: str = "s1", *, state: int = READY, **others: Any) -> Any:
    """Return a sandbox of the pod kube-system/NAME, as protobuf has it."""
    metadata = {"namespace": "kube-system", "name": name, "uid": f"uid-{name}", "attempt": 1}
    values = {"metadata": metadata, "created_at": 2_000_000_000, "annotations": FROM_API, **others}
    return proto.classes()["PodSandbox"](**{"id": name, **values}, state=state)


def container(name: str, box: str = "s1", *, state: int = RUNNING, **others: Any) -> Any:
    """Return a container, as protobuf has it."""
    values = {
        "id": name,
        "pod_sandbox_id": box,
        "metadata": {"name": f"{name}-name", "attempt": 2},
        "created_at": 3_500_000_000,
        **others,
    }
    return proto.classes()["Container"](**values, state=state)


def encoded(kind: str, field: str, items: list[Any]) -> bytes:
    """Return the answer that has those items."""
    data: bytes = proto.classes()[kind](**{field: items}).SerializeToString()
    return data


class CriServer:
    """A container runtime; its lists are in another order each time, as containerd's are.

    Args:
        path: The path of its socket.
        serves: Its methods; the others are not implemented.

    Attributes:
        sandboxes: What it has.
        containers: Likewise.
        ends: When containers have exited, in nanoseconds, by id; others are not found.
        calls: The methods that were called, in order.
        before: What to do before a method answers; it may return other bytes, or abort.
    """

    def __init__(self, path: str, serves: tuple[str, ...] = tuple(proto.methods())) -> None:
        self.path = path
        self.sandboxes: list[Any] = []
        self.containers: list[Any] = []
        self.ends: dict[str, int] = {}
        self.calls: list[str] = []
        self.before: dict[str, Callable[[grpc.ServicerContext], bytes | None]] = {}
        self._serves = serves
        self._shuffled = random.Random(7)
        self._answers = {
            "ListPodSandbox": lambda _, __: self._list(
                "ListPodSandboxResponse", "items", self.sandboxes
            ),
            "ListContainers": lambda _, __: self._list(
                "ListContainersResponse", "containers", self.containers
            ),
            "ContainerStatus": self._status,
        }

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(2)
        self._server = grpc.server(self._threads)
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._on(name)) for name in self._serves
        }
        service = grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", handlers)
        self._server.add_generic_rpc_handlers((service,))
        assert self._server.add_insecure_port(f"unix:{self.path}")
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()
        self._threads.shutdown()
        del self._server

    def _on(self, name: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append(name)
            before = self.before.get(name)
            instead = before(context) if before else None
            return self._answers[name](request, context) if instead is None else instead

        return answer

    def _list(self, kind: str, field: str, items: list[Any]) -> bytes:
        return encoded(kind, field, self._shuffled.sample(items, len(items)))

    def _status(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        name = proto.classes()["ContainerStatusRequest"].FromString(request).container_id
        if name not in self.ends:
            context.abort(grpc.StatusCode.NOT_FOUND, f"container {name!r}: not found")
        answer: bytes = proto.classes()["ContainerStatusResponse"](
            status={"id": name, "state": EXITED, "finished_at": self.ends[name]}
        ).SerializeToString()
        return answer


class RawServer:
    """Sends some bytes to whoever connects, and keeps what it is sent.

    Args:
        path: The path of its socket.
        sends: What it sends.
        hangs: It goes on listening afterwards; otherwise it closes the connection.

    Attributes:
        received: What it was sent.
    """

    def __init__(self, path: str, sends: bytes, *, hangs: bool = False) -> None:
        self.received = bytearray()
        self._connections: list[socket.socket] = []
        self._sends = sends
        self._hangs = hangs
        self._over = False
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(9)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        for used in (self._socket, *self._connections):
            with suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)  # wakes it up
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            with connection, suppress(OSError):  # the other side may have gone
                connection.sendall(self._sends)
                while self._hangs and not self._over and (data := connection.recv(65536)):
                    self.received += data
