"""Connections by httpx2 whose requests have one deadline, and answers of a bounded size.

A time-out of httpx2 is one for each read, so that a server that sends a byte a second holds its
client for ever; here each step on the socket gets what is left of the time for the request. No
proxy is used, no redirect is followed, and no compression is asked for: what the environment says
of proxies is meant for other traffic, and a kubelet on loopback is behind none.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

from checkpointkit._extras import require
from checkpointkit.pods.clients.http import Marks, Reply, SourceConfigError

require("kubernetes", "httpx2")
require("kubernetes", "httpcore2")

import httpcore2  # noqa: E402 - only now it is known to be there
import httpx2  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

__all__ = ["Auth", "Channel", "CredentialsError", "TokenFile", "explain", "read_token"]

Auth = httpx2.Auth

_KEPT_ALIVE: Final = 120.0
"""Seconds; longer than the time between two ticks, so that no tick pays for a handshake."""
_MAX_TOKEN: Final = 64 * 1024
_TOO_LATE: Final = "no whole answer in time"


class CredentialsError(Exception):
    """The credentials of a request could not be had."""


class _RefusedError(Exception):
    """An answer that is not read to its end, with the reason."""


class Channel:
    """A connection to one server.

    Args:
        url: The server's URL.
        context: How its certificate is verified, and what we show it.
        auth: What is added to each request.
        server_name: The name that the certificate has to bear; None for that in the URL.
        limit: The largest body, in bytes.
        clock: A clock that is never set.
        marks: The files that it was made with.
    """

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | None,
        *,
        auth: httpx2.Auth | None = None,
        server_name: str | None = None,
        limit: int,
        clock: Callable[[], float],
        marks: Marks,
    ) -> None:
        self.marks = marks
        self._deadline = _Deadline(clock)
        self._extensions = {"sni_hostname": server_name} if server_name else {}
        self._client = httpx2.Client(
            base_url=url,
            auth=auth,
            transport=_Transport(context, self._deadline, limit),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # the deadline stands for it
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "checkpointkit",
            },
        )

    def get(self, path: str, params: Mapping[str, str], timeout: float) -> Reply:
        """Return what the server answers."""
        self._deadline.start(timeout)
        with self._client.stream(
            "GET", path, params=dict(params), extensions=self._extensions
        ) as response:
            return Reply(response.status_code, b"".join(response.iter_raw()))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class TokenFile(httpx2.Auth):
    """A bearer token from a file, which is read for each request: tokens rotate.

    Args:
        file: The path of the file.
    """

    def __init__(self, file: str) -> None:
        self._file = file

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Add the token."""
        request.headers["Authorization"] = f"Bearer {read_token(self._file)}"
        yield request


def read_token(file: str) -> str:
    """Return the token in a file.

    Raises:
        CredentialsError: There is none.
    """
    try:
        with open(file, "rb") as opened:
            token = opened.read(_MAX_TOKEN).strip()
    except OSError as error:
        raise CredentialsError(f"{file}: {error.strerror}") from None
    if not token.isascii() or len(token.split()) != 1 or not token.decode().isprintable():
        raise CredentialsError(f"{file} holds no token")
    return token.decode()


class _Deadline:
    """When the request of the moment has to be over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = 0.0

    def start(self, timeout: float) -> None:
        self._at = self._clock() + timeout

    def left(self) -> float:
        left = self._at - self._clock()
        if left <= 0:
            raise _RefusedError(_TOO_LATE)
        return left


class _Backend(httpcore2.NetworkBackend):
    """Sockets that know the deadline."""

    def __init__(self, deadline: _Deadline) -> None:
        self._inner = httpcore2.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline stands for it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._deadline.left()
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore2.NetworkStream):
    """A socket that knows the deadline."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._inner.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        stream = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _Stream(stream, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _Transport(httpx2.BaseTransport):
    """httpx2's way to httpcore2, with our sockets."""

    def __init__(self, context: ssl.SSLContext | None, deadline: _Deadline, limit: int) -> None:
        self._limit = limit
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            keepalive_expiry=_KEPT_ALIVE,
            network_backend=_Backend(deadline),
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore2.Request(
            request.method, url, headers=request.headers.raw, extensions=request.extensions
        )
        answer = self._pool.handle_request(asked)
        # A few compressed bytes can stand for gigabytes, and nobody has asked for that.
        encodings = {
            value.lower() for name, value in answer.headers if name.lower() == b"content-encoding"
        }
        if encodings - {b"identity"}:
            answer.close()
            raise _RefusedError("the body is compressed, which was not asked for")
        # Cookies, redirects, character sets: no header of the answer is of any interest.
        return httpx2.Response(answer.status, stream=_Body(answer, self._limit))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    """A body that ends at the limit."""

    def __init__(self, answer: httpcore2.Response, limit: int) -> None:
        self._answer = answer
        self._limit = limit

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._answer.iter_stream():
            size += len(chunk)
            if size > self._limit:
                raise _RefusedError(f"the body has more than {self._limit} bytes")
            yield chunk

    def close(self) -> None:
        self._answer.close()


def explain(error: Exception) -> str:
    """Return why a request failed.

    Messages of others are quoted where they can hold nothing of the answer: those of the TLS
    library and of the operating system.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__  # httpcore2 raises again, "from None"
    known = _explain_own(error) or _explain_system(cause)
    if known:
        return known
    if isinstance(error, httpcore2.ProtocolError):
        return "the answer is no HTTP, or was cut short"
    return f"the request failed ({type(error).__name__})"


def _explain_own(error: Exception) -> str:
    if isinstance(error, CredentialsError):
        return f"the credentials cannot be had: {error}"
    if isinstance(error, SourceConfigError):
        return error.reason
    if isinstance(error, OSError):  # what a socket says comes as the cause of httpcore2's errors
        return f"the credentials cannot be had: {error.strerror or type(error).__name__}"
    return str(error) if isinstance(error, _RefusedError) else ""


def _explain_system(error: OSError | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    if isinstance(error, TimeoutError):
        return _TOO_LATE
    if isinstance(error, socket.gaierror):
        return f"the server's name cannot be resolved: {error.strerror}"
    if error is not None and error.errno is not None:
        return f"the connection failed: {os.strerror(error.errno)}"
    return ""
