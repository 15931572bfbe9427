"""What the ticks came to, as Prometheus reads it."""

from __future__ import annotations

import http.client
import logging
import socket
import struct
import subprocess
import sys
import time

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from checkpointkit.errors import MissingExtraError
from checkpointkit.pods.daemon.metrics import Metrics, serve_metrics
from checkpointkit.pods.machine import State
from checkpointkit.pods.model import PodName
from checkpointkit.pods.ticks import PodTick, Tick

WEB = PodName("prod", "web")
API = PodName("kube-system", "kube-apiserver-x7k2p")


def samples(text: bytes) -> dict[str, float]:
    return {
        sample.name.removeprefix("checkpointkit_pods_")
        + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def get(host: str, port: int, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()
    finally:
        connection.close()


def test_each_metric_is_there_before_the_first_tick() -> None:
    # what is not there cannot raise an alarm
    assert samples(Metrics().text()) == {
        "checkpoints inactive": 0,
        "checkpoints inactive-grace": 0,
        "checkpoints active": 0,
        "checkpoints active-grace": 0,
        "checkpoints self": 0,
        "checkpoints remove": 0,
        "source_failures_total api server": 0,
        "source_failures_total container runtime": 0,
        "source_failures_total kubelet": 0,
        "saves_total": 0,
        "problems": 0,
        "refused": 0,
        "not_watched": 0,
        "tick_duration_seconds_count": 0,
        "tick_duration_seconds_sum": 0,
        "last_tick_timestamp_seconds": 0,
    }


def test_ticks_are_counted() -> None:
    metrics = Metrics()
    metrics.observe(
        Tick(
            1000.0,
            (
                PodTick(WEB, State.NONE, State.INACTIVE, saved=True),
                PodTick(API, State.INACTIVE, State.ACTIVE, saved=True, problems=("a", "b")),
            ),
            unavailable={"api server": "timed out", "kubelet": "401"},
            not_watched=(PodName("monitoring", "agent"),),
            seconds=0.5,
        )
    )
    metrics.observe(
        Tick(
            1005.0,
            (
                PodTick(WEB, State.INACTIVE, State.ACTIVE),
                PodTick(API, State.ACTIVE, State.ACTIVE, saved=True, refused=True),
            ),
            unavailable={"api server": "timed out"},
            seconds=0.25,
        )
    )
    assert samples(metrics.text()) == {
        "checkpoints inactive": 0,
        "checkpoints inactive-grace": 0,
        "checkpoints active": 2,
        "checkpoints active-grace": 0,
        "checkpoints self": 0,
        "checkpoints remove": 0,
        "transitions_total none inactive": 1,
        "transitions_total inactive active": 2,
        "source_failures_total api server": 2,
        "source_failures_total container runtime": 0,
        "source_failures_total kubelet": 1,
        "saves_total": 3,
        "problems": 0,
        "refused": 1,
        "not_watched": 0,
        "tick_duration_seconds_count": 2,
        "tick_duration_seconds_sum": 0.75,
        "last_tick_timestamp_seconds": 1005,
    }


def test_two_checkpointers_of_one_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.observe(Tick(7.0))
    assert samples(other.text())["tick_duration_seconds_count"] == 0
    named = [family.name for family in REGISTRY.collect()]
    assert not [name for name in named if name.startswith("checkpointkit")]


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[metrics\]"):
        Metrics()


def test_no_extra_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys, checkpointkit.pods.daemon.metrics; print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_metrics_are_served_where_it_was_asked_for(host: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    metrics = Metrics()
    with serve_metrics(metrics, (host, 0)) as (bound, port):
        assert bound == host
        metrics.observe(Tick(7.0))
        status, kind, text = get(host, port, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert samples(text) == samples(metrics.text())
        assert samples(text)["last_tick_timestamp_seconds"] == 7
        assert get(host, port, "/metrics?x=1")[0] == 200
        assert get(host, port, "/")[0] == 404
        assert get(host, port, "/metrics/x")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        get(host, port, "/metrics")


def test_an_address_that_is_taken_is_an_error() -> None:
    metrics = Metrics()
    with (
        serve_metrics(metrics, ("127.0.0.1", 0)) as address,
        pytest.raises(OSError, match="in use"),
        serve_metrics(metrics, address),
    ):
        pass


def test_whoever_asks_and_hangs_up_is_nobodys_trouble(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    caplog.set_level(logging.DEBUG, logger="checkpointkit.pods")
    with serve_metrics(metrics, ("127.0.0.1", 0)) as address:
        rude = socket.create_connection(address)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.sendall(b"GET /metr")
        rude.close()  # a reset, in the middle of a line
        limit = time.monotonic() + 30
        while not caplog.records and time.monotonic() < limit:
            time.sleep(0.01)
        assert get(*address, "/metrics")[0] == 200
    assert capfd.readouterr() == ("", "")
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
