"""The daemon, as a process among servers: it starts, works, waits, and stops."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from checkpointkit.errors import CheckpointError, VersionTooNewError
from checkpointkit.kubernetes.http import SourceConfigError
from checkpointkit.manager import CheckpointManager
from checkpointkit.pods.daemon.serving import StartError, alone_on_the_node, serve
from checkpointkit.pods.model import CHECKPOINT_OF, PodName
from checkpointkit.pods.record import Record
from checkpointkit.pods.state import RECORDS, PodState
from checkpointkit.schema import Schema
from checkpointkit.stopping import Stop, Stopped
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.files.system import SystemCalls
from tests.pods.clients.servers import SECRET
from tests.pods.daemon import AS_POD, OWN, WEB, Node, daemon, wait_until

SAVED = f"{WEB}: a copy was saved"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path) as made:
        yield made


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the daemon logs in this process."""
    caplog.set_level(logging.INFO, logger="checkpointkit")
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    handler = Lines()
    logging.getLogger("checkpointkit").addHandler(handler)
    yield lines
    logging.getLogger("checkpointkit").removeHandler(handler)


def refused(node: Node, **options: Any) -> str:
    """Return why the daemon does not start."""
    with pytest.raises(CheckpointError) as caught:
        serve(node.settings(**options), Stop())
    return str(caught.value)


# ---------------------------------------------------------------------------------- one tick


def test_a_tick_saves_what_is_ready_and_says_so(node: Node, said: list[str]) -> None:
    node.run()
    serve(node.settings(), Stop())
    (manifest,) = node.disk.manifests(node.disk.inactive).values()
    assert manifest["metadata"]["annotations"] == {CHECKPOINT_OF: "web"}
    assert (Path(node.disk.roots.secrets) / "kube-system/web/tls/ca.crt").read_text() == SECRET
    assert f"INFO {SAVED}" in said
    assert any(line.startswith(f"INFO {WEB}: none -> inactive: ") for line in said)
    assert said[-1] == "INFO stopped"
    assert SECRET not in "".join(said)


def test_it_says_at_the_start_what_it_is(node: Node, said: list[str]) -> None:
    serve(node.settings(AS_POD), Stop())
    assert said[0] == (
        "INFO node node1, namespaces kube-system, grace period 1m0s; "
        f"it keeps itself alive as {OWN}"
    )
    said.clear()
    environment = {"NODE_NAME": "node1"}
    serve(node.settings(environment, namespaces="b,a"), Stop())
    assert said[0] == (
        "INFO node node1, namespaces a, b, grace period 1m0s; "
        "it is no pod, and nothing keeps it alive"
    )


def test_a_kubelet_that_is_asked_without_credentials_is_said_at_the_start(
    node: Node, said: list[str]
) -> None:
    serve(node.settings(), Stop())
    assert not any("without credentials" in line for line in said)
    serve(node.settings(kubelet_url="https://127.0.0.1:1"), Stop())
    assert any(line.startswith("WARNING the kubelet at https://127.0.0.1:1 is") for line in said)


def test_it_is_itself_by_its_environment(node: Node) -> None:
    node.run(OWN)
    serve(node.settings({**AS_POD, "POD_NAME": f"{OWN.name}-node1"}), Stop())
    assert list(node.disk.manifests(node.disk.active)) == [f"{OWN.namespace}_{OWN.name}.json"]


def test_labels_stay_when_that_is_asked_for(node: Node) -> None:
    node.run()
    node.api.existing[WEB]["metadata"]["labels"] = {"app": "web"}
    serve(node.settings(keep_labels=True), Stop())
    (manifest,) = node.disk.manifests(node.disk.inactive).values()
    assert manifest["metadata"]["labels"] == {"app": "web"}


# ---------------------------------------------------------------------------------- it cannot


def test_a_kubeconfig_that_is_missing_is_named(node: Node) -> None:
    path = f"{node.root}/none"
    assert refused(node, kubeconfig=path) == f"--kubeconfig {path}: No such file or directory"


def test_a_kubeconfig_that_is_none_is_named_and_not_quoted(node: Node) -> None:
    (node.root / "kubeconfig").write_text(f"{SECRET}: [")
    with pytest.raises(SourceConfigError) as caught:
        serve(node.settings(), Stop())
    assert f"{node.root}/kubeconfig" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("run", ["/var/run", "/run"])
def test_a_kubeconfig_with_the_service_accounts_token_is_refused(node: Node, run: str) -> None:
    token = f"{run}/secrets/kubernetes.io/serviceaccount/token"
    users = [{"name": "u", "user": {"tokenFile": token}}]
    (node.root / "kubeconfig").write_text(json.dumps({**node.kubeconfig, "users": users}))
    assert "which the checkpointer's own copy does not have" in refused(node, environment=AS_POD)
    serve(node.settings({"NODE_NAME": "node1"}, namespaces="a"), Stop())  # it has no copy


def test_a_state_directory_that_cannot_be_is_named(node: Node) -> None:
    (node.root / "file").touch()
    path = f"{node.root}/file/state"
    said = f"--state-directory {path}: Not a directory (ENOTDIR)"
    assert refused(node, state_directory=path) == said


def test_records_of_a_newer_release_are_left_alone(node: Node) -> None:
    node.disk.state.mkdir(parents=True)
    newer = Schema(RECORDS.cls, kind=RECORDS.kind, version=2, migrations={1: lambda old: old})
    CheckpointManager(FileStore(node.disk.state / "pods"), newer).create("a.b", Record(WEB))
    with pytest.raises(VersionTooNewError):
        serve(node.settings(), Stop())


def test_an_address_that_is_taken_is_named(node: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(node, metrics=f"127.0.0.1:{port}")
    assert said == "--metrics: cannot listen there: Address already in use"


# ------------------------------------------------------------------------------------ the lock


def test_the_lock_goes_with_the_block(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    for _ in range(2):
        with alone_on_the_node(path, Stop()):
            file = os.open(path, os.O_RDWR)
            assert not SystemCalls.try_lock(file)
            os.close(file)
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_lock_file_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name, why in (("link", "it is a link"), ("none/lock", "No such file or directory")):
        path = str(tmp_path / name)
        with pytest.raises(StartError) as caught, alone_on_the_node(path, Stop()):
            pass
        assert str(caught.value) == f"--lock-file {path}: {why}"
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(SystemCalls, "try_lock", staticmethod(no_locks))
    path = str(tmp_path / "lock")
    with (
        pytest.raises(StartError, match="No locks available"),
        alone_on_the_node(path, Stop()),
    ):
        pass


def test_whoever_waits_for_the_lock_says_so_once_and_takes_over(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpointkit.pods.daemon.serving._POLL", 0.01)
    path = str(tmp_path / "lock")
    other = os.open(path, os.O_RDWR | os.O_CREAT)
    assert SystemCalls.try_lock(other)
    timer = threading.Timer(0.1, os.close, (other,))
    timer.start()
    with alone_on_the_node(path, Stop()):
        assert said == [
            f"INFO another checkpointer has the lock {path}; waiting until it ends",
            "INFO the other checkpointer has ended; taking over",
        ]
    timer.join()


def test_whoever_waits_for_the_lock_can_be_stopped(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    other = os.open(path, os.O_RDWR | os.O_CREAT)
    assert SystemCalls.try_lock(other)
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped), alone_on_the_node(path, stop):
        pass
    os.close(other)


# -------------------------------------------------------------------------------- as a process


def test_an_outage_from_its_beginning_to_its_end(node: Node) -> None:
    node.run()
    with daemon(node.arguments("--metrics=127.0.0.1:0")) as started:
        started.wait_for(SAVED)
        started.wait_for("metrics are at http://")
        node.crash()
        started.wait_for(f"{WEB}: inactive -> active: ")
        assert list(node.disk.manifests(node.disk.active)) == ["kube-system_web.json"]
        node.api.mode = node.kubelet.mode = "ok"
        node.run()
        started.wait_for(f"{WEB}: active -> inactive: ")
        assert node.disk.manifests(node.disk.active) == {}
        (url,) = (line.rpartition(" ")[2] for line in started.lines if "metrics are at" in line)
        with urllib.request.urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        assert 'transitions_total{from="inactive",to="active"} 1.0' in text
        assert 'source_failures_total{source="container runtime"} 0.0' in text
        assert started.end(signal.SIGTERM) == 0
    assert started.lines[-1].endswith(" INFO stopped")
    down = [line for line in started.lines if "the api server cannot be asked" in line]
    assert len(down) == 1  # and not in each tick
    assert any(line.endswith("INFO the api server can be asked again") for line in started.lines)
    assert SECRET not in "\n".join(started.lines)


def test_it_stops_while_it_waits_for_a_source_that_hangs(node: Node) -> None:
    hanging = threading.Event()
    over = threading.Event()

    def hang(_: grpc.ServicerContext) -> None:
        hanging.set()
        over.wait()

    node.cri.before["ListContainers"] = hang
    with daemon(node.arguments("--runtime-request-timeout=1h")) as started:
        wait_until(hanging.is_set)
        assert started.end(signal.SIGINT) == 0
        over.set()
    assert started.lines[-1].endswith(" INFO stopped")
    assert "Traceback" not in "\n".join(started.lines)


def test_its_own_copy_waits_beside_it_and_takes_over(node: Node) -> None:
    with daemon(node.arguments()) as first:
        wait_until(lambda: bool(node.requests))
        with daemon(node.arguments()) as second, daemon(node.arguments()) as third:
            second.wait_for("waiting until it ends")
            third.wait_for("waiting until it ends")
            assert third.end(signal.SIGTERM) == 0  # it can be stopped while it waits
            assert third.lines[-1].endswith(" INFO stopped")
            assert first.end(signal.SIGTERM) == 0
            asked = len(node.requests)  # nobody else is left
            second.wait_for("taking over")
            wait_until(lambda: len(node.requests) > asked)
            assert second.end(signal.SIGTERM) == 0


def test_what_makes_no_sense_ends_it_with_2_at_once(node: Node) -> None:
    without = [each for each in node.arguments() if not each.startswith("--kubeconfig")]
    with daemon(without) as started:
        assert started.ended() == 2
    assert "in-cluster" in started.lines[0]
    assert started.lines[-1] == "    next: see checkpointkit pods run --help"


def test_a_record_says_where_it_is_after_a_restart(node: Node) -> None:
    node.run()
    for _ in range(2):
        serve(node.settings(), Stop())
    (record,) = PodState.open(str(node.disk.state), read_only=True).records().values()
    assert (record.name, record.stage.state.value) == (PodName("kube-system", "web"), "inactive")
