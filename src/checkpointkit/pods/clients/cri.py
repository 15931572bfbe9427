"""The container runtime, asked by version 1 of the CRI over its Unix socket.

Three calls are made, and none of them changes anything: ListContainers, ListPodSandbox, and
ContainerStatus for the few containers of which it matters when they have exited.

Sources: the limit of 16 MiB and the authority are the kubelet's own (k8s.io/cri-client,
pkg/remote_runtime.go and pkg/util); how gRPC behaves was seen with grpcio 1.85 and containerd.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from checkpointkit._extras import require
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import SourceConfigError
from checkpointkit.kubernetes.patience import Patience
from checkpointkit.pods.clients.crimessages import METHODS
from checkpointkit.pods.clients.crireading import CriReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.pods.runtime import Runtime

__all__ = ["CriClient", "socket_path"]

_SCHEME: Final = "unix://"
_NO_ARGUMENTS: Final = b""  # a request without fields
_QUOTED: Final = 200  # characters of what a runtime says of an error
_MAX_BYTES: Final = 16 * 1024 * 1024
_OPTIONS: Final = (
    # gRPC would send the socket's path, and some servers refuse that (grpc/grpc#38142).
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", _MAX_BYTES),
)


class _NoAnswerError(Exception):
    """The runtime has not answered; the message says why."""


class _CallError(_NoAnswerError):
    """The runtime has answered one call with an error, and serves others."""


class CriClient:
    """The container runtime of this node, behind a Unix socket; a `ContainerRuntime`.

    It is used by one thread at a time; `close` may come from another one, and ends what is under
    way. It does not work in a process that was forked from the one that has asked something.

    Args:
        path: The path of the socket.
        timeout: Seconds for all that is asked in one tick.
        clock: A clock that is never set.
        patience: When the runtime is asked again after it did not answer in time.

    Raises:
        MissingExtraError: The extra `cri` is not installed.
    """

    def __init__(
        self,
        path: str,
        *,
        timeout: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> None:
        self._path = path
        self._timeout = timeout
        self._clock = clock
        self._patience = patience or Patience()
        self._grpc: Any = require("cri", "grpc")
        self._reader = CriReader()
        self._channel: Any = None
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.RLock()  # a signal's handler may close the client, too

    @classmethod
    def connect(
        cls,
        endpoint: str = "unix:///run/containerd/containerd.sock",
        *,
        timeout: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Return a client; the runtime need not be there yet.

        Args:
            endpoint: `unix://` and the path of the socket, or the path alone.
            timeout: Seconds for all that is asked in one tick.
            clock: A clock that is never set.

        Raises:
            SourceConfigError: The endpoint is none.
            MissingExtraError: The extra `cri` is not installed.
        """
        return cls(socket_path(endpoint), timeout=timeout, clock=clock)

    def runtime(self) -> Runtime | Failed:
        """Return all sandboxes and containers; the same object if nothing has changed."""
        begun = self._clock()
        held = self._patience.held(begun)
        if held is not None:
            return held
        answer = self._ask(begun + self._timeout)
        now = self._clock()
        failed = answer if isinstance(answer, Failed) else None
        self._patience = self._patience.after(failed, took=now - begun, now=now)
        return answer

    def close(self) -> None:
        """Close the connection, for good."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _ask(self, deadline: float) -> Runtime | Failed:
        def end(container: str) -> float | None:
            request = self._reader.status_request(container)
            try:
                return self._reader.end(self._call("ContainerStatus", request, deadline))
            except _CallError:
                return None  # it has gone since it was listed, or the runtime has lost sight of it

        try:
            # In this order: see CriReader.read.
            containers = self._call("ListContainers", _NO_ARGUMENTS, deadline)
            sandboxes = self._call("ListPodSandbox", _NO_ARGUMENTS, deadline)
            return self._reader.read(containers, sandboxes, end)
        except _NoAnswerError as error:
            return Failed(f"the container runtime cannot be asked: {error}")
        except ValueError as error:
            return Failed(f"the container runtime's answer cannot be read: {error}")

    def _call(self, name: str, request: bytes, deadline: float) -> bytes:
        channel = self._connected()
        left = deadline - self._clock()
        if left <= 0:  # gRPC would ask all the same
            raise self._too_late()
        try:
            # Without functions that would (de)serialize, bytes go and come.
            answer: bytes = channel.unary_unary(METHODS[name])(request, timeout=left)
        except self._grpc.RpcError as error:
            raise self._explained(name, error) from None
        except ValueError:  # gRPC's word for a channel that was closed
            raise _NoAnswerError("the client is closed") from None
        return answer

    def _connected(self) -> Any:
        """Return the channel; a new one if there is none."""
        with self._lock:
            if self._closed:
                raise _NoAnswerError("the client is closed")
            if self._channel is None:
                _try_socket(self._path)
                target = "unix:" + quote(self._path)
                self._pid = os.getpid()
                self._channel = self._grpc.insecure_channel(target, options=_OPTIONS)
            elif os.getpid() != self._pid:
                # gRPC's threads have stayed behind, with whatever they had locked.
                raise _NoAnswerError("this process was forked from the one that has connected")
            return self._channel

    def _disconnect(self) -> None:
        with self._lock:
            if os.getpid() == self._pid:
                channel, self._channel = self._channel, None
                if channel is not None:
                    channel.close()

    def _too_late(self) -> _NoAnswerError:
        return _NoAnswerError(f"no answer within {self._timeout:g} s")

    def _explained(self, name: str, error: Any) -> _NoAnswerError:
        if self._closed:
            return _NoAnswerError("the client is closed")
        codes = self._grpc.StatusCode
        code = error.code()
        if code is codes.DEADLINE_EXCEEDED:
            # gRPC may have been connecting all the time: the next attempt begins anew.
            self._disconnect()
            return self._too_late()
        if code is codes.UNIMPLEMENTED:
            return _NoAnswerError(
                "it does not serve version 1 of the CRI: a containerd before 1.6, or one whose "
                "CRI plugin is disabled"
            )
        said = "".join(c if c.isprintable() else " " for c in (error.details() or "")[:_QUOTED])
        reason = f"{name} was answered with {code.name}" + (f" ({said})" if said else "")
        if code in {codes.UNAVAILABLE, codes.CANCELLED}:
            # gRPC tries again after up to two minutes; the next tick is sooner, with a new channel.
            self._disconnect()
            return _NoAnswerError(reason)
        return _CallError(reason)


def _try_socket(path: str) -> None:
    """Refuse a socket that does not take a connection: the system says why in so many words."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        attempt.setblocking(False)  # noqa: FBT003 - its only parameter
        try:
            attempt.connect(path)
        except OSError as error:
            raise _NoAnswerError(f"{path}: {error.strerror or error}") from None


def socket_path(endpoint: str) -> str:
    """Return the path of a container runtime's socket.

    Args:
        endpoint: `unix://` and the path, or the path alone.

    Raises:
        SourceConfigError: It is neither.

    Example:
        >>> socket_path("unix:///run/containerd/containerd.sock")
        '/run/containerd/containerd.sock'
        >>> socket_path("tcp://127.0.0.1:2375")
        Traceback (most recent call last):
        ...
        checkpointkit.kubernetes.http.SourceConfigError: the container runtime cannot be asked: \
its endpoint has to be unix:// and the absolute path of a socket
    """
    path = endpoint.removeprefix(_SCHEME)
    if not path.startswith("/") or "\0" in path:
        raise SourceConfigError(
            "the container runtime",
            "its endpoint has to be unix:// and the absolute path of a socket",
        )
    return path
