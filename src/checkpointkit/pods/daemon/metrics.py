"""What the ticks came to, as metrics for Prometheus, and a small server that shows them.

Needs the extra `metrics`. The registry is an own one: what the rest of a program counts is not in
it, and two checkpointers in one process do not share it.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from checkpointkit._extras import require
from checkpointkit.pods.machine import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import CollectorRegistry, Metric

    from checkpointkit.pods.ticks import Tick

__all__ = ["Metrics", "serve_metrics"]

_log: Final = logging.getLogger("checkpointkit.pods")
_PREFIX: Final = "checkpointkit_pods"
_SOURCES: Final = ("api server", "container runtime", "kubelet")
_KEPT: Final = tuple(state.value for state in State if state is not State.NONE)
_POLL: Final = 0.1
"""Seconds until the server notices that it is to end."""
_PATIENCE: Final = 5.0
"""Seconds that whoever asks for the metrics may take."""


@frozen
class _Counted:
    """What was counted so far."""

    states: Mapping[str, int] = field(factory=dict[str, int])
    transitions: Mapping[tuple[str, str], int] = field(factory=dict[tuple[str, str], int])
    failures: Mapping[str, int] = field(factory=dict[str, int])
    ticks: int = 0
    seconds: float = 0.0
    at: float = 0.0
    saves: int = 0
    problems: int = 0
    refused: int = 0
    not_watched: int = 0

    def with_tick(self, tick: Tick) -> _Counted:
        """Return it with one tick more."""
        states: dict[str, int] = {}
        transitions = dict(self.transitions)
        failures = dict(self.failures)
        for pod in tick.pods:
            states[pod.state.value] = states.get(pod.state.value, 0) + 1
        for pod in tick.transitions:
            way = (pod.before.value, pod.state.value)
            transitions[way] = transitions.get(way, 0) + 1
        for source in tick.unavailable:
            failures[source] = failures.get(source, 0) + 1
        return evolve(
            self,
            states=states,
            transitions=transitions,
            failures=failures,
            ticks=self.ticks + 1,
            seconds=self.seconds + tick.seconds,
            at=tick.at,
            saves=self.saves + sum(pod.saved for pod in tick.pods),
            problems=sum(bool(pod.problems) for pod in tick.pods),
            refused=sum(pod.refused for pod in tick.pods),
            not_watched=len(tick.not_watched),
        )


class Metrics:
    """Counts what the ticks came to.

    Raises:
        MissingExtraError: The extra `metrics` is not installed.

    Example:
        >>> from checkpointkit.pods.ticks import Tick
        >>> metrics = Metrics()
        >>> metrics.observe(Tick(1767322800.0, seconds=0.02))
        >>> b"checkpointkit_pods_last_tick_timestamp_seconds 1.7673228e+09" in metrics.text()
        True
    """

    def __init__(self) -> None:
        require("metrics", "prometheus_client")
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - of an extra

        self._counted = _Counted()  # replaced as a whole: the server's threads see one tick
        self.registry: CollectorRegistry = CollectorRegistry()
        """The registry that they are in."""
        self.registry.register(self)

    def observe(self, tick: Tick) -> None:
        """Count one tick."""
        self._counted = self._counted.with_tick(tick)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        from prometheus_client import generate_latest  # noqa: PLC0415 - of an extra

        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; the registry calls it."""
        from prometheus_client.core import (  # noqa: PLC0415 - of an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            SummaryMetricFamily,
        )

        now = self._counted
        states = GaugeMetricFamily(
            f"{_PREFIX}_checkpoints", "Pods that something is kept of, by state.", labels=["state"]
        )
        for state in _KEPT:
            states.add_metric([state], now.states.get(state, 0))
        yield states
        transitions = CounterMetricFamily(
            f"{_PREFIX}_transitions", "Changes of a pod's state.", labels=["from", "to"]
        )
        for way, number in sorted(now.transitions.items()):
            transitions.add_metric(way, number)
        yield transitions
        failures = CounterMetricFamily(
            f"{_PREFIX}_source_failures",
            "Ticks in which a source could not be asked.",
            labels=["source"],
        )
        for source in sorted({*_SOURCES, *now.failures}):
            failures.add_metric([source], now.failures.get(source, 0))
        yield failures
        yield CounterMetricFamily(
            f"{_PREFIX}_saves", "Copies that were saved, or saved anew.", value=now.saves
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_problems",
            "Pods of which something could not be done: they are refused, or not fetched.",
            value=now.problems,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_refused",
            "Pods whose copies cannot be made independent of the API server.",
            value=now.refused,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_not_watched",
            "Pods that ask for a checkpoint in namespaces that are not watched.",
            value=now.not_watched,
        )
        yield SummaryMetricFamily(
            f"{_PREFIX}_tick_duration_seconds",
            "How long a tick takes.",
            count_value=now.ticks,
            sum_value=now.seconds,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_last_tick_timestamp_seconds",
            "When the last tick began.",
            value=now.at,
        )


@contextmanager
def serve_metrics(metrics: Metrics, address: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """Serve the metrics at `/metrics`, from a thread, until the block is left.

    Args:
        metrics: What is served.
        address: The host and the port to listen on; port 0 for any that is free.

    Yields:
        The host and the port that it listens on.

    Raises:
        OSError: It cannot listen there.
    """
    with _Server(metrics, address) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
        thread.start()
        try:
            host, port, *_ = server.socket.getsockname()
            yield host, port
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    """Serves the metrics; what goes wrong with one request is no matter of the daemon's."""

    def __init__(self, metrics: Metrics, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, partial(_Handler, metrics))

    def server_bind(self) -> None:
        """Bind without asking the name service for the host's name, which can take its time."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Say next to nothing where Python's own would print a traceback."""
        _log.debug("a request for metrics has failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE

    def __init__(self, metrics: Metrics, *asked: Any) -> None:
        self._metrics = metrics
        super().__init__(*asked)  # which answers the request

    def do_GET(self) -> None:
        """Answer `/metrics`, and nothing else."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        from prometheus_client import CONTENT_TYPE_LATEST  # noqa: PLC0415 - of an extra

        text = self._metrics.text()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base has it
        """Write no log of who asked."""
