"""HTTP servers on loopback that answer with whatever bytes a test wants, over TLS or without."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from attrs import frozen

PKI = Path(__file__).parents[2] / "data" / "pods" / "pki"
SECRET = "s3cr3t-v4lue"
"""It is in what servers answer, and must be in no reason."""


def pki(name: str) -> str:
    """Return the path of a test certificate or key."""
    return str(PKI / name)


def tls(certificate: str = "server", *, client_ca: str | None = None) -> ssl.SSLContext:
    """Return a server's side of TLS; with a CA for clients, it wants their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki(f"{certificate}.crt"), pki(f"{certificate}.key"))
    if client_ca is not None:
        context.load_verify_locations(pki(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@frozen
class Request:
    """What a client has asked for."""

    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


Answer = Callable[[Request], bytes | Iterable[bytes]]


def reply(body: Any, status: int = 200, **headers: str) -> bytes:
    """Return a whole answer; what is no bytes is written as JSON, as Kubernetes writes it."""
    data: bytes = body if isinstance(body, bytes) else as_json(body)
    lines = [f"HTTP/1.1 {status} Whatever"]
    headers = {"Content_Type": "application/json", "Content_Length": str(len(data)), **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def as_json(decoded: Any) -> bytes:
    """Return JSON as Go writes it: without spaces, a line feed behind it."""
    return json.dumps(decoded, separators=(",", ":")).encode() + b"\n"


def pod_list(*names: str, padding: str = "", **metadata: Any) -> dict[str, Any]:
    """Return a list of pods, the fields in Kubernetes' order."""
    items = [
        {
            "metadata": {"name": name, "namespace": "prod", "uid": f"uid-{name}"},
            "spec": {"nodeName": "node1", "containers": [{"name": "c", "env": [padding]}]},
            "status": {"phase": "Running"},
        }
        for name in names
    ]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}


class Server:
    """A server with a thread for each connection; it ends with the `with` block.

    Args:
        answer: What is sent for a request, at once or piece by piece. Behind an answer that is no
            HTTP, or that says `Connection: close`, the connection is closed.
        context: The server's side of TLS; None without.
    """

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.keeps_alive = True
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()

    def slowly(self, pieces: Iterable[bytes], pause: float = 0.02) -> Iterator[bytes]:
        """Yield pieces, a pause before each, until the test ends."""
        for piece in pieces:
            if self.stopping.wait(pause):
                return
            yield piece

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # An OSError: the client has gone, or the test has ended. So a ValueError: TLS is gone.
        with contextlib.suppress(OSError, ValueError):
            if self._context is not None:
                plain = connection
                connection = self._context.wrap_socket(plain, server_side=True)
                self._open[self._open.index(plain)] = connection
            while self._serve_one(connection):
                pass
            connection.shutdown(socket.SHUT_RDWR)

    def _serve_one(self, connection: socket.socket) -> bool:
        asked = b""
        while b"\r\n\r\n" not in asked:
            received = connection.recv(65536)
            if not received:
                return False
            asked += received
        lines = asked.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (a.partition(": ") for a in lines[1:])}
        request = Request(lines[0].split(" ")[1], headers)
        self.requests.append(request)
        answer = self.answer(request)
        first = b""
        for piece in [answer] if isinstance(answer, bytes) else answer:
            first = first or piece
            connection.sendall(piece)
        is_plain = first.startswith(b"HTTP/1.1") and b"connection: close" not in first.lower()
        return self.keeps_alive and is_plain
