"""The connection itself: what of an answer is read, and when it is opened anew."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest

from checkpointkit.kubernetes.wire import Deadline, RefusedError, Wire, WireError
from tests.pods.clients.servers import Request, Server, reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 10_000


def wire(port: int, timeout: float = 10.0) -> Wire:
    deadline = Deadline(time.monotonic)
    deadline.start(timeout)
    return Wire("127.0.0.1", port, None, server_name="", deadline=deadline, limit=LIMIT)


def port_of(server: Server) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + b"-5\r\n" + b"x" * 200_000,
        CHUNKED + b"10;" + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 200_000,
        reply(b"x" * 200_000),
        CHUNKED + b"30d40\r\n" + b"x" * 200_000,
    ],
)
def test_no_more_is_read_than_is_wanted(answer: bytes) -> None:
    with Server(lambda _: answer) as server:
        asking = wire(port_of(server))
        with pytest.raises((RefusedError, WireError)):
            asking.get("/", {})
        asking.close()


def test_a_chunk_whose_size_is_below_zero_is_not_read_to_the_end_of_all_things() -> None:
    with Server(lambda _: CHUNKED + b"-1\r\n" + b"x" * 200_000) as server:
        asking = wire(port_of(server))
        with pytest.raises(RefusedError, match="does not end"):
            asking.get("/", {})


def test_a_connection_that_the_server_has_closed_meanwhile_is_opened_again() -> None:
    with Server(lambda _: reply(b"{}")) as server:
        asking = wire(port_of(server))
        assert asking.get("/", {}).body == b"{}"
        server._open[0].shutdown(socket.SHUT_RDWR)
        assert asking.get("/", {}).body == b"{}"
        assert asking.get("/", {}).body == b"{}"
        assert server.connections == 2
        asking.close()


def test_a_server_that_closes_each_connection_is_not_asked_for_ever() -> None:
    with Server(lambda _: b"") as server:
        asking = wire(port_of(server))
        with pytest.raises(WireError):
            asking.get("/", {})
        assert server.connections == 1


def test_an_answer_of_exactly_the_limit_is_read() -> None:
    chunk = CHUNKED + b"2710\r\n" + b"x" * LIMIT + b"\r\n0\r\n\r\n"
    bodies = {"/whole": reply(b"x" * LIMIT), "/chunked": chunk}
    with Server(lambda request: bodies[request.path]) as server:
        asking = wire(port_of(server))
        for path in bodies:
            assert asking.get(path, {}).body == b"x" * LIMIT
        asking.close()


def test_requests_follow_one_another_on_one_connection() -> None:
    with Server(lambda request: reply(request.path.encode())) as server:
        asking = wire(port_of(server))
        assert [asking.get(f"/{each}", {}).body for each in "abc"] == [b"/a", b"/b", b"/c"]
        assert server.connections == 1
        asking.close()


def test_what_is_left_of_an_answer_is_not_taken_for_the_next() -> None:
    forged = reply(b"forged")
    more = b"x" * 100_000 + forged  # more than is read ahead

    def answer(request: Request) -> bytes:
        return reply(b"first") + more if request.path == "/first" else reply(b"second")

    with Server(answer) as server:
        asking = wire(port_of(server))
        assert asking.get("/first", {}).body == b"first"
        assert asking.get("/second", {}).body == b"second"
        asking.close()


def test_a_body_comes_in_as_many_chunks_as_the_server_likes() -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in range(1, 100))
    with Server(lambda _: CHUNKED + chunks + b"0\r\n\r\n") as server:
        asking = wire(port_of(server))
        assert asking.get("/", {}).body == b"x" * sum(range(1, 100))
        asking.close()
