"""One connection to a server, over which requests with one deadline each go.

`http.client` reads what httpx2's own transport reads in a third of the time: an API server sends a
list of 250 pods as some 500 chunks in 400 TLS records, and each of them is a step of h11's.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.kubernetes.http import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TOO_LATE", "Deadline", "RefusedError", "Wire", "WireError"]

TOO_LATE: Final = "no whole answer in time"
_BUFFER: Final = 64 * 1024
_LOST: Final = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class RefusedError(Exception):
    """An answer that is not read to its end, with the reason."""


class WireError(Exception):
    """A connection that failed; what the operating system says of it is its cause."""


class Deadline:
    """When the request of the moment has to be over.

    Args:
        clock: A clock that is never set.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = 0.0

    def start(self, timeout: float) -> None:
        """Begin a request, which may take this many seconds."""
        self._at = self._clock() + timeout

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            RefusedError: There are none.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise RefusedError(TOO_LATE)
        return left


class Wire:
    """A connection to one server; it is opened when it is needed, and again when it is lost.

    Args:
        host: The server.
        port: Its port.
        context: How it is encrypted; None for not.
        server_name: The name that the certificate has to bear.
        deadline: When requests have to be over.
        limit: The largest body, in bytes.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        server_name: str,
        deadline: Deadline,
        limit: int,
    ) -> None:
        self._connection = _Connection(host, port, context, server_name, deadline, 2 * limit)
        self._limit = limit

    def get(self, target: str, headers: Mapping[str, str]) -> Reply:
        """Return what the server answers.

        Raises:
            RefusedError: There is no time left, or more to read than is read.
            WireError: The connection failed, or the answer is no HTTP.
        """
        if self._connection.has_more():
            self.close()  # its end, or what must not be taken for the next answer
        is_kept = self._connection.sock is not None
        try:
            return self._ask(target, headers)
        except WireError as error:
            if not is_kept or not isinstance(error.__cause__, _LOST):
                raise
        # the server has closed a connection that was idle: over a new one it may answer
        return self._ask(target, headers)

    def _ask(self, target: str, headers: Mapping[str, str]) -> Reply:
        try:
            self._connection.request("GET", target, headers=dict(headers))
            with self._connection.getresponse() as response:
                reply = Reply(response.status, self._body(response))
        except (OSError, ValueError, HTTPException) as error:
            self.close()
            raise WireError from error
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return reply

    def _body(self, response: HTTPResponse) -> bytes:
        # A few compressed bytes can stand for gigabytes, and nobody has asked for that.
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise RefusedError("the body is compressed, which was not asked for")
        if (
            response.length is None
            and not response.chunked
            and "content-length" in response.headers
        ):
            raise HTTPException("the length is no number")
        if response.length is None:  # it comes in chunks, or until the connection ends
            body = response.read(self._limit + 1)
            too_long = len(body) > self._limit
        else:
            too_long = response.length > self._limit
            body = b"" if too_long else response.read()  # all of it, or an error
        if too_long:
            raise RefusedError(f"the body has more than {self._limit} bytes")
        return body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Connection(HTTPConnection):
    """A connection whose socket knows the deadline."""

    sock: _Socket | None

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        server_name: str,
        deadline: Deadline,
        most: int,
    ) -> None:
        super().__init__(host, port)
        self._most = most
        self._context = context
        self._server_name = server_name
        self._deadline = deadline

    def has_more(self) -> bool:
        """Tell whether something has come that nobody has asked for."""
        return self.sock is not None and self.sock.has_more()

    def connect(self) -> None:
        opened = socket.create_connection((self.host, self.port), self._deadline.left())
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            opened.settimeout(self._deadline.left())
            if self._context is not None:
                opened = self._context.wrap_socket(opened, server_hostname=self._server_name)
        except BaseException:
            opened.close()
            raise
        self.sock = _Socket(opened, self._deadline, self._most)


class _Socket:
    """What `http.client` needs of a socket; each step gets what is left of the time."""

    def __init__(self, opened: socket.socket, deadline: Deadline, most: int) -> None:
        self._opened = opened
        self._deadline = deadline
        self._most = most

    def has_more(self) -> bool:
        """Tell whether there is something to read, or it has ended."""
        polled = select.poll()
        polled.register(self._opened, select.POLLIN)
        return bool(polled.poll(0))

    def sendall(self, data: bytes) -> None:
        self._opened.settimeout(self._deadline.left())
        self._opened.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._opened, self._deadline, self._most), _BUFFER)

    def close(self) -> None:
        self._opened.close()


class _Reader(io.RawIOBase):
    """Reads one answer; headers without end and chunks of a size below 0 are bounded, too."""

    def __init__(self, opened: socket.socket, deadline: Deadline, most: int) -> None:
        self._opened = opened
        # as long as it is open, so is the socket, whoever closes that
        self._raw = opened.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = most + _BUFFER

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        self._opened.settimeout(self._deadline.left())
        size = self._raw.readinto(buffer) or 0
        self._left -= size
        if self._left < 0:
            raise RefusedError("the answer does not end")
        return size
