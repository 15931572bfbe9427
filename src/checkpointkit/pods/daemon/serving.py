"""The daemon: everything is put together, and ticks until it is told to stop.

One daemon works on a node at a time. A checkpointer and its own copy run side by side: the second
waits for the lock of the first, and takes over when that ends.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from checkpointkit.errors import CheckpointError, StoreError
from checkpointkit.pods.checkpointer import Options, PodCheckpointer
from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.clients.cri import CriClient
from checkpointkit.pods.clients.kubelet import KubeletClient
from checkpointkit.pods.daemon.durations import duration_text
from checkpointkit.pods.daemon.journal import Journal
from checkpointkit.pods.daemon.metrics import Metrics, serve_metrics
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.manifests import Manifests
from checkpointkit.pods.references import TOKEN_PATH
from checkpointkit.pods.state import PodState
from checkpointkit.stopping import Stop, Stopped, between, while_waiting
from checkpointkit.stores.files.system import SystemCalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from checkpointkit.pods.daemon.settings import Settings
    from checkpointkit.pods.ticks import Tick

    _T = TypeVar("_T")

__all__ = ["StartError", "alone_on_the_node", "serve"]

_log: Final = logging.getLogger("checkpointkit.pods")
_POLL: Final = 1.0
"""Seconds between two looks at a lock that another daemon has."""
_FINISHING: Final = {"delete", "remove", "remove_active", "remove_inactive"}
"""What is done to its end: a checkpointer that goes is stopped when its active manifest is gone;
what it had not taken away by then would stay, with secrets, and nobody would take it away."""
_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING}


class StartError(CheckpointError):
    """The daemon cannot start.

    Attributes:
        reason: Why, and what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def serve(settings: Settings, stop: Stop) -> None:
    """Keep the pods of this node alive until it is time to stop.

    Args:
        settings: What to do, and with what.
        stop: Says when; for signals there is `stopping.handling_signals`.

    Raises:
        CheckpointError: It cannot start; the message says why.
    """
    with ExitStack() as stack:
        stack.enter_context(_until_stopped())
        _introduce(settings)
        _check_kubeconfig(settings)
        api = stack.enter_context(closing(ApiServerClient.connect(settings.kubeconfig)))
        kubelet = stack.enter_context(closing(_connect_kubelet(settings)))
        runtime = CriClient.connect(settings.runtime_endpoint, timeout=settings.runtime_timeout)
        stack.enter_context(closing(runtime))
        metrics = Metrics() if settings.metrics else None
        stack.enter_context(alone_on_the_node(settings.lock_file, stop))
        directories = settings.directories
        checkpointer = PodCheckpointer(
            while_waiting(api, stop),
            while_waiting(kubelet, stop),
            while_waiting(runtime, stop),
            manifests=_writing(Manifests(directories.inactive, directories.active), stop),
            assets=_writing(AssetFiles(directories.roots), stop),
            state=_writing(_open_state(directories.state), stop),
            options=Options(
                scope=settings.scope,
                own=settings.own,
                grace=settings.grace,
                roots=directories.roots,
                keep_labels=settings.keep_labels,
            ),
        )
        if metrics and settings.metrics:
            stack.enter_context(_shown(metrics, settings.metrics))
        _tick(checkpointer, metrics, settings, stop)


def _writing(inner: _T, stop: Stop) -> _T:
    return between(inner, stop, finishing=_FINISHING)


def _tick(
    checkpointer: PodCheckpointer, metrics: Metrics | None, settings: Settings, stop: Stop
) -> None:
    journal = Journal()

    def report(tick: Tick) -> None:
        nonlocal journal
        if metrics:
            metrics.observe(tick)
        journal = _say(tick, journal)

    if settings.once:
        report(checkpointer.reconcile())
    else:
        checkpointer.run(stop, interval=settings.interval, report=report)


def _say(tick: Tick, journal: Journal) -> Journal:
    lines, after = journal.told(tick)
    for line in lines:
        _log.log(_LEVELS[line.level], "%s", line.text)
    return after


@contextmanager
def _until_stopped() -> Iterator[None]:
    with suppress(Stopped):
        yield
    _log.info("stopped")


def _introduce(settings: Settings) -> None:
    scope, own = settings.scope, settings.own
    _log.info(
        "node %s, namespaces %s, grace period %s; %s",
        scope.node,
        ", ".join(sorted(scope.namespaces)),
        duration_text(settings.grace),
        f"it keeps itself alive as {own}" if own else "it is no pod, and nothing keeps it alive",
    )
    if settings.kubelet.is_anonymous:
        _log.warning(
            "the kubelet at %s is asked without credentials, and may not answer: give "
            "--kubelet-token-file, or --kubelet-certificate and --kubelet-key",
            settings.kubelet.url,
        )


def _check_kubeconfig(settings: Settings) -> None:
    """Refuse a kubeconfig that is good for as long alone as the checkpointer is no static pod."""
    path = settings.kubeconfig
    try:
        with open(path, "rb") as file:
            is_short_lived = TOKEN_PATH.removeprefix("/var/run").encode() in file.read()
    except OSError as error:
        raise StartError(f"--kubeconfig {path}: {error.strerror}") from error
    if settings.own and is_short_lived:
        raise StartError(
            f"--kubeconfig {path}: it names files of the service account's volume, which the "
            "checkpointer's own copy does not have: let it name files of a Secret, or of a "
            "directory of the node"
        )


def _connect_kubelet(settings: Settings) -> KubeletClient:
    access = settings.kubelet
    return KubeletClient.connect(
        access.url,
        token_file=access.token_file,
        certificate=access.certificate,
        key=access.key,
        ca=access.ca,
        server_name=access.server_name,
    )


def _open_state(directory: str) -> PodState:
    try:
        return PodState.open(directory)
    except StoreError as error:
        raise StartError(f"--state-directory {directory}: {error.reason}") from error


@contextmanager
def _shown(metrics: Metrics, address: tuple[str, int]) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            host, port = stack.enter_context(serve_metrics(metrics, address))
        except OSError as error:
            raise StartError(f"--metrics: cannot listen there: {error.strerror}") from error
        _log.info("metrics are at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)
        yield


@contextmanager
def alone_on_the_node(path: str, stop: Stop) -> Iterator[None]:
    """Hold the lock of the one daemon of this node; wait while another has it.

    Args:
        path: The file that is locked, the same for all of them; bootkube's checkpointer locks it
            in the same way.
        stop: Ends the waiting.

    Raises:
        StartError: The file cannot be opened.
        Stopped: It is time to stop.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise StartError(f"--lock-file {path}: {reason}") from error
    try:
        _lock(file, path, stop)
        yield
    finally:
        os.close(file)  # which unlocks it: nobody else has a copy of the descriptor


def _lock(file: int, path: str, stop: Stop) -> None:
    try:
        if SystemCalls.try_lock(file):
            return
        _log.info("another checkpointer has the lock %s; waiting until it ends", path)
        while not SystemCalls.try_lock(file):
            stop.wait(_POLL)
            stop.check()
    except OSError as error:
        raise StartError(f"--lock-file {path}: {error.strerror}") from error
    _log.info("the other checkpointer has ended; taking over")
