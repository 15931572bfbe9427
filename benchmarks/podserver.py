"""The sources of the pods of a node, as servers in a process of their own.

They write as the real ones do, since reading that is most of a tick's work.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from benchmarks.podnode import Node, pods_of_node
from checkpointkit.pods.clients.crimessages import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PKI: Final = Path(__file__).parents[1] / "tests" / "data" / "pods" / "pki"
_SMALL: Final = 2048
"""Bytes up to which Go's HTTP server says how long an answer is."""


def as_written(body: bytes) -> list[bytes]:
    """Return what a kubelet writes for a list: one chunk of HTTP."""
    return [b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)]


def as_streamed(body: bytes) -> list[bytes]:
    """Return what a Kubernetes 1.36 API server writes for a list, one TLS record after the other.

    It writes a list item by item: two chunks of HTTP for each, through a buffer of 4 KiB (seen).
    """
    sizes = cycle((2048, len(body) // max(1, body.count(b'"uid":"7f3e')) - 2048))
    chunks = []
    at = 0
    while at < len(body):
        chunk = body[at : at + max(1, next(sizes))]
        chunks.append(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        at += len(chunk)
    written = b"".join(chunks) + b"0\r\n\r\n"
    return [written[at : at + 4096] for at in range(0, len(written), 4096)]


@contextmanager
def serve_http(
    answer: Callable[[str], bytes], pieces_of: Callable[[bytes], list[bytes]]
) -> Iterator[int]:
    """Serve an API over TLS on loopback, and yield the port.

    Args:
        answer: Returns the body for a path.
        pieces_of: Returns what is written for a large body, in chunks of HTTP.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers are one write

        def do_GET(self) -> None:
            body = answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if len(body) <= _SMALL:
                self.send_header("Content-Length", str(len(body)))
                pieces = [body]
            else:
                self.send_header("Transfer-Encoding", "chunked")
                pieces = pieces_of(body)
            self.end_headers()
            self.wfile.flush()
            for piece in pieces:
                self.connection.sendall(piece)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PKI / "server.crt", PKI / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serve_cri(path: str, node: Node) -> Iterator[None]:
    """Serve the CRI on a Unix socket."""
    answers: Mapping[str, Callable[[], bytes]] = {
        "ListPodSandbox": node.sandboxes,
        "ListContainers": node.containers,
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(lambda _, __, answer=answer: answer())
        for name, answer in answers.items()
    }
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        service = grpc.method_handlers_generic_handler(f"{PACKAGE}.RuntimeService", handlers)
        server.add_generic_rpc_handlers((service,))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


@contextmanager
def servers(directory: str, pods: int, parents: int, watched: int) -> Iterator[dict[str, int]]:
    """Run all of them in a process of its own; yield the ports of `api` and `kubelet`.

    The CRI is on the socket `cri.sock` in the directory.
    """
    command = [sys.executable, "-m", __name__, directory, str(pods), str(parents), str(watched)]
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()  # it ends then


def main() -> None:
    directory, *numbers = sys.argv[1:]
    node = Node(pods_of_node(*map(int, numbers)))
    with (
        serve_http(node.api, as_streamed) as api,
        serve_http(node.kubelet, as_written) as kubelet,
        serve_cri(f"{directory}/cri.sock", node),
    ):
        print(json.dumps({"api": api, "kubelet": kubelet}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
