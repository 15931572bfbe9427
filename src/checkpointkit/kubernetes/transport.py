"""Requests by httpx2, for its URLs and its ways to log in, over connections of our own (`wire`).

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
from checkpointkit.kubernetes.http import Marks, Reply, SourceConfigError
from checkpointkit.kubernetes.wire import TOO_LATE, Deadline, RefusedError, Wire, WireError

require("kubernetes", "httpx2")

import httpx2  # noqa: E402 - only now it is known to be there

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

__all__ = ["Auth", "Channel", "CredentialsError", "TokenFile", "explain", "read_token"]

Auth = httpx2.Auth

_MAX_TOKEN: Final = 64 * 1024


class CredentialsError(Exception):
    """The credentials of a request could not be had."""


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
        self._deadline = Deadline(clock)
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
        response = self._client.get(path, params=dict(params), extensions=self._extensions)
        return Reply(response.status_code, response.content)

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


class _Transport(httpx2.BaseTransport):
    """httpx2's way to a connection."""

    def __init__(self, context: ssl.SSLContext | None, deadline: Deadline, limit: int) -> None:
        self._context = context
        self._deadline = deadline
        self._limit = limit
        self._wire: Wire | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if self._wire is None:
            is_secure = url.scheme == "https"
            self._wire = Wire(
                url.host,
                url.port or (443 if is_secure else 80),
                self._context if is_secure else None,
                server_name=request.extensions.get("sni_hostname") or url.host,
                deadline=self._deadline,
                limit=self._limit,
            )
        reply = self._wire.get(url.raw_path.decode("ascii"), request.headers)
        # Cookies, redirects, character sets: no header of the answer is of any interest.
        return httpx2.Response(reply.status, content=reply.body)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()


def explain(error: Exception) -> str:
    """Return why a request failed.

    Messages of others are quoted where they can hold nothing of the answer: those of the TLS
    library and of the operating system.
    """
    if isinstance(error, WireError):
        cause = error.__cause__
        known = _explain_system(cause) if isinstance(cause, OSError) else ""
        return known or "the answer is no HTTP, or was cut short"
    return _explain_own(error) or f"the request failed ({type(error).__name__})"


def _explain_own(error: Exception) -> str:
    if isinstance(error, CredentialsError):
        return f"the credentials cannot be had: {error}"
    if isinstance(error, SourceConfigError):
        return error.reason
    if isinstance(error, OSError):  # what a socket says comes as the cause of a WireError
        return f"the credentials cannot be had: {error.strerror or type(error).__name__}"
    return str(error) if isinstance(error, RefusedError) else ""


def _explain_system(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    if isinstance(error, TimeoutError):
        return TOO_LATE
    if isinstance(error, socket.gaierror):
        return f"the server's name cannot be resolved: {error.strerror}"
    return "" if error.errno is None else f"the connection failed: {os.strerror(error.errno)}"
