"""GET, and nothing else: a status and a body, or why there is none.

Whatever a server does, this ends within its time and its memory, and never with an exception.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from attrs import field, frozen

from checkpointkit.errors import CheckpointError
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MAX_BODY",
    "Connection",
    "Http",
    "Marks",
    "Opener",
    "Reply",
    "SourceConfigError",
    "as_go_verifies",
    "check_url",
    "decode",
    "marks_of",
]

MAX_BODY: Final = 64 * 1024 * 1024
"""More bytes than that are no answer."""

Marks = dict[str, tuple[int, int, int, int] | None]
"""What tells that a file was replaced, by its path; None for a file that is not there."""

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_EXTRA: Final = 1.0


class SourceConfigError(CheckpointError):
    """What a source of pods is to be asked with cannot be used.

    Attributes:
        source: The source.
        reason: What is wrong, and what to do.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.source} cannot be asked: {self.reason}"


@frozen
class Reply:
    """What a server has answered.

    Attributes:
        status: The HTTP status.
        body: The body, as it came.
    """

    status: int
    body: bytes = field(repr=False)


class Connection(Protocol):
    """A way to a server that is open; it is used by one thread at a time."""

    marks: Marks

    def get(self, path: str, params: Mapping[str, str], timeout: float) -> Reply:
        """Return what the server answers, or raise; the time is for all that a socket does."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Opener(Protocol):
    """How connections are made."""

    def open(self) -> Connection:
        """Return a new connection, from files as they are now; nothing is asked yet."""
        ...

    def explain(self, error: Exception) -> str:
        """Return why a request failed, in words that quote nothing that the server has sent."""
        ...


def as_go_verifies(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context, with certificates verified as strictly as Kubernetes itself does.

    From Python 3.13 on, certificates without key identifiers are refused; Go accepts them, and
    clusters whose certificates were made with openssl by hand have such.

    Args:
        context: A context that verifies.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def check_url(source: str, url: str) -> tuple[str, str]:
    """Return the scheme and the host of a server's URL.

    Args:
        source: What the server is, for the error.
        url: Its URL.

    Raises:
        SourceConfigError: It is none.

    Example:
        >>> check_url("the kubelet", "https://127.0.0.1:10250")
        ('https', '127.0.0.1')
        >>> check_url("the kubelet", "127.0.0.1:10250")
        Traceback (most recent call last):
        ...
        checkpointkit.kubernetes.http.SourceConfigError: the kubelet cannot be asked: its URL \
is none like https://HOST:PORT
    """
    try:
        parts = urlsplit(url)
        is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
        host = parts.hostname if is_plain and parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or parts.scheme not in {"http", "https"}:
        # It is not quoted: it may have a password in it.
        raise SourceConfigError(source, "its URL is none like https://HOST:PORT")
    return parts.scheme, host


def marks_of(files: Iterable[str]) -> Marks:
    """Return the marks of files: certificates and tokens are replaced while we run."""
    marks: Marks = {}
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            marks[file] = None
        else:
            marks[file] = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
    return marks


def decode(body: bytes) -> Any:
    """Return what JSON has said.

    Raises:
        ValueError: It is none, or none that can be handled; nothing of it is quoted.

    Example:
        >>> decode(b'{"kind": "PodList"}')
        {'kind': 'PodList'}
        >>> decode(b'{"kind": "PodLi')
        Traceback (most recent call last):
        ...
        ValueError: the body is no JSON
        >>> decode(b"[" * 100_000)
        Traceback (most recent call last):
        ...
        ValueError: the body is nested too deeply
    """
    problem, decoded = "", None
    try:
        text = body.decode()
        decoded = json.loads(text, parse_constant=_refuse)
        if _SURROGATE.search(text):
            # Half a character: whoever writes it later would fail.
            json.dumps(decoded, ensure_ascii=False).encode()
    except RecursionError:
        problem = "nested too deeply"
    except ValueError:
        problem = "no JSON"
    if problem:  # raised here: the error in the `except` block has the body in it
        raise ValueError(f"the body is {problem}")
    return decoded


def _refuse(constant: str) -> None:
    raise ValueError(constant)


class Http:
    """Asks one server, with patience.

    A request runs in a thread of its own: for a name server, or for a program that fetches
    credentials, there is no time-out that one could set. One that hangs is left behind, and the
    next request waits until it has ended. What a socket does ends in time by itself.

    Args:
        opener: How connections are made.
        timeout: Seconds for a request, from its beginning to the end of the answer.
        clock: A clock that is never set.
        patience: When a server is asked again that did not answer in time.
    """

    def __init__(
        self,
        opener: Opener,
        *,
        timeout: float,
        clock: Callable[[], float],
        patience: Patience | None = None,
    ) -> None:
        self.timeout = timeout
        self._opener = opener
        self._clock = clock
        self._patience = patience or Patience()
        self._connection: Connection | None = opener.open()
        self._asking = threading.Lock()
        self._using = threading.Lock()
        self._closed = False

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply | Failed:
        """Return what the server answers to a GET.

        Args:
            path: The path.
            params: The query.
        """
        with self._asking:
            begun = self._clock()
            held = self._patience.held(begun)
            if held is not None:
                return held
            answer = self._ask(path, params or {})
            now = self._clock()
            failed = answer if isinstance(answer, Failed) else None
            self._patience = self._patience.after(failed, took=now - begun, now=now)
            return answer

    def close(self) -> None:
        """Close the connection; one that hangs is closed when it does not any more."""
        self._closed = True
        self._shut_if_closed()

    def _ask(self, path: str, params: Mapping[str, str]) -> Reply | Failed:
        if self._closed:
            return Failed("the client is closed")
        if self._using.locked():
            return Failed("the request before hangs, in a name server or an exec plugin")
        answers: list[Reply | Failed] = []

        def work() -> None:
            with self._using:
                answers.append(self._answer(path, params))
            self._shut_if_closed()

        thread = threading.Thread(target=work, name="checkpointkit-get", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return Failed("no thread can be started for the request")
        thread.join(self.timeout + min(self.timeout, _LONGEST_EXTRA))
        return answers[0] if answers else Failed(f"no answer within {self.timeout:g} s")

    def _answer(self, path: str, params: Mapping[str, str]) -> Reply | Failed:
        try:
            return self._connected().get(path, params, self.timeout)
        except Exception as error:  # noqa: BLE001 - whatever a server makes of a client: no answer
            return Failed(self._opener.explain(error))

    def _connected(self) -> Connection:
        """Return the connection; a new one if a file that it was made with has changed."""
        connection = self._connection
        if connection is not None:
            if marks_of(connection.marks) == connection.marks:
                return connection
            self._connection = None
            connection.close()
        self._connection = connection = self._opener.open()
        return connection

    def _shut_if_closed(self) -> None:
        if self._closed and self._using.acquire(blocking=False):
            try:
                connection, self._connection = self._connection, None
                if connection is not None:
                    connection.close()
            finally:
                self._using.release()
