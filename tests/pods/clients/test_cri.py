"""The container runtime over its socket: a real gRPC server, and what else may sit there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from checkpointkit.errors import MissingExtraError
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import SourceConfigError
from checkpointkit.kubernetes.patience import Patience
from checkpointkit.pods.clients.cri import CriClient, socket_path
from checkpointkit.pods.model import PodName
from checkpointkit.pods.runtime import Running, Runtime, running_sight
from tests.pods.clients.cri_server import (
    EXITED,
    NOT_READY,
    CriServer,
    RawServer,
    container,
    sandbox,
)
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 60.0  # longer than any machine is slow
SHORT = 0.3  # for what never answers
SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # the first frame of an HTTP/2 server


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "c.sock")


@pytest.fixture
def server(path: str) -> Iterator[CriServer]:
    with CriServer(path) as server:
        yield server


@pytest.fixture
def client(path: str) -> Iterator[CriClient]:
    client = CriClient.connect(f"unix://{path}", timeout=LONG)
    yield client
    client.close()


def asked_once(path: str, **options: Any) -> Runtime | Failed:
    client = CriClient(path, **options)
    try:
        return client.runtime()
    finally:
        client.close()


def answered(client: CriClient) -> Runtime:
    runtime = client.runtime()
    assert isinstance(runtime, Runtime), runtime
    return runtime


def reason(answer: Runtime | Failed) -> str:
    assert isinstance(answer, Failed)
    return answer.reason


# ------------------------------------------------------------------------------------- it answers


def test_what_the_runtime_has_is_listed(server: CriServer, client: CriClient) -> None:
    server.sandboxes = [sandbox(f"s{n}") for n in range(20)]
    server.containers = [container(f"c{n}", f"s{n}") for n in range(20)]
    runtime = answered(client)
    assert {box.id for box in runtime.sandboxes} == {f"s{n}" for n in range(20)}
    assert len(runtime.containers) == 20
    for _ in range(3):
        assert client.runtime() is runtime
    server.containers.pop()
    assert len(answered(client).containers) == 19
    assert "ContainerStatus" not in server.calls


def test_a_runtime_without_anything_is_no_failure(server: CriServer, client: CriClient) -> None:
    assert client.runtime() == Runtime((), ())


def test_when_containers_have_exited_is_asked(server: CriServer, client: CriClient) -> None:
    server.sandboxes = [sandbox("web")]
    server.containers = [container("c1", "web", state=EXITED)]
    server.ends = {"c1": 8_500_000_000}
    assert [item.finished_at for item in answered(client).containers] == [8.5]
    answered(client)
    assert server.calls.count("ContainerStatus") == 1


def test_a_container_that_goes_between_the_calls_has_no_known_end(
    server: CriServer, client: CriClient
) -> None:
    server.sandboxes = [sandbox("web")]
    server.containers = [container("c1", "web", state=EXITED)]
    runtime = answered(client)
    sight = running_sight(PodName("kube-system", "web"), runtime, listed=False, now=10_000.0)
    assert sight.value is Running.UNKNOWN


def test_a_sandbox_that_comes_between_the_calls_is_seen_as_starting(
    server: CriServer, client: CriClient
) -> None:
    def starts(_: grpc.ServicerContext) -> None:
        server.sandboxes = [sandbox("web")]
        server.containers = [container("c1", "web")]

    server.before["ListPodSandbox"] = starts
    sight = running_sight(PodName("kube-system", "web"), answered(client), listed=None, now=9.0)
    assert sight.value is Running.STARTING
    assert server.calls == ["ListContainers", "ListPodSandbox"]


def test_a_pod_that_goes_between_the_calls_says_nothing_and_the_next_tick_sees_it_gone(
    server: CriServer, client: CriClient
) -> None:
    def goes(_: grpc.ServicerContext) -> None:
        server.sandboxes = [sandbox("other", state=NOT_READY)]
        server.containers = []

    server.sandboxes, server.containers = [sandbox("web")], [container("c1", "web")]
    server.before["ListPodSandbox"] = goes
    assert "container 'c1' is in no sandbox that is listed" in reason(client.runtime())
    assert len(answered(client).sandboxes) == 1


def test_answers_up_to_16_mib_are_read(server: CriServer, client: CriClient) -> None:
    """A gRPC client refuses anything above 4 MiB, unless it is told otherwise."""
    server.sandboxes = [sandbox(annotations={"a": "x" * (15 << 20)})]
    assert len(answered(client).sandboxes[0].annotations["a"]) == 15 << 20


def test_larger_ones_are_refused(server: CriServer, client: CriClient) -> None:
    server.sandboxes = [sandbox(annotations={"a": "x" * (16 << 20)})]
    assert "RESOURCE_EXHAUSTED" in reason(client.runtime())
    server.sandboxes = [sandbox()]
    assert len(answered(client).sandboxes) == 1


@pytest.mark.parametrize("name", ["a b", "%41", "c#d", "e?f=g", "h:i", "ü"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    # gRPC's server takes a URI as well; by way of a link, it need not know the name.
    with CriServer(str(tmp_path / "c.sock")):
        (tmp_path / name / "link").symlink_to(tmp_path / "c.sock")
        assert asked_once(str(tmp_path / name / "link"), timeout=LONG) == Runtime((), ())


def test_the_authority_is_localhost_and_not_the_path(path: str) -> None:
    with RawServer(path, SETTINGS, hangs=True) as server:
        assert reason(asked_once(path, timeout=2.0)).endswith("no answer within 2 s")
        assert b"/runtime.v1.RuntimeService/ListContainers" in server.received
        assert b"localhost" in server.received
        assert b"c.sock" not in server.received


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("unix:///run/c.sock", "/run/c.sock"), ("/run/c.sock", "/run/c.sock")],
)
def test_an_endpoint_is_the_path_of_a_socket(endpoint: str, path: str) -> None:
    assert socket_path(endpoint) == path


@pytest.mark.parametrize(
    "endpoint", ["", "c.sock", "unix://c.sock", "unix:///a\0b", "tcp://127.0.0.1:1", "npipe:////a"]
)
def test_anything_else_is_refused_at_the_start(endpoint: str) -> None:
    with pytest.raises(SourceConfigError, match="the absolute path of a socket"):
        CriClient.connect(endpoint)


@pytest.mark.parametrize("module", ["grpc", "google.protobuf.descriptor_pb2"])
def test_the_extra_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[cri\]"):
        CriClient.connect()


# ------------------------------------------------------------------------------- nobody is at home


def test_a_socket_that_is_not_there(path: str, client: CriClient) -> None:
    expected = f"the container runtime cannot be asked: {path}: No such file or directory"
    assert reason(client.runtime()) == expected


def test_a_socket_that_nobody_serves(path: str, client: CriClient) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    assert "Connection refused" in reason(client.runtime())


def test_a_path_that_is_no_socket(path: str, client: CriClient) -> None:
    Path(path).write_text("text", encoding="utf-8")
    assert "Connection refused" in reason(client.runtime())


def test_a_path_that_is_too_long() -> None:
    assert "path too long" in reason(asked_once("/" + "x" * 200))


def test_a_socket_that_we_may_not_use(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    with RawServer(str(closed / "c.sock"), b""):
        closed.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            answer = asked_once(str(closed / "c.sock"))
        finally:
            os.seteuid(user)
            closed.chmod(0o700)
    assert "Permission denied" in reason(answer)


def test_a_server_that_does_not_take_connections_any_more(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(path)
        hung.listen(0)
        waiting: list[socket.socket] = []
        try:
            for _ in range(9):
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(path)
            assert "Resource temporarily unavailable" in reason(asked_once(path))
        finally:
            for connection in waiting:
                connection.close()


def test_a_runtime_that_comes_back_is_asked_at_once(path: str, client: CriClient) -> None:
    """gRPC's own waiting grows to two minutes; the checkpointer's copies are wanted sooner."""
    for _ in range(3):
        assert "No such file" in reason(client.runtime())
    for _ in range(3):
        with CriServer(path):
            assert client.runtime() == Runtime((), ())
        failed = client.runtime()
        assert isinstance(failed, Failed)
        assert "asked again in" not in failed.reason


# ------------------------------------------------------------------------- something else answers


@pytest.mark.parametrize(
    "sends",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>secret</html>",
        b"\0" * 64,
        bytes(range(256)) * 16,
        SETTINGS,
        SETTINGS + b"\xff" * 64,
    ],
    ids=["nothing", "HTML", "zeros", "nonsense", "half of HTTP/2", "flawed HTTP/2"],
)
def test_something_that_speaks_no_grpc(path: str, sends: bytes) -> None:
    with RawServer(path, sends):
        answer = reason(asked_once(path, timeout=LONG))
    assert answer.startswith("the container runtime cannot be asked: ListContainers was answered")
    assert "UNAVAILABLE" in answer
    assert "secret" not in answer


def test_something_that_never_says_a_word(path: str) -> None:
    with RawServer(path, b"", hangs=True):
        answer = reason(asked_once(path, timeout=SHORT))
    assert answer == "the container runtime cannot be asked: no answer within 0.3 s"


@pytest.mark.parametrize("method", ["ListPodSandbox", "ListContainers", "ContainerStatus"])
def test_a_runtime_that_does_not_serve_version_1(path: str, method: str) -> None:
    others = {"ListPodSandbox", "ListContainers", "ContainerStatus"} - {method}
    with CriServer(path, tuple(others)) as server:
        server.sandboxes = [sandbox("web")]
        server.containers = [container("c1", "web", state=EXITED)]
        answer = reason(asked_once(path, timeout=LONG))
    assert "it does not serve version 1 of the CRI" in answer


@pytest.mark.parametrize("method", ["ListPodSandbox", "ListContainers", "ContainerStatus"])
def test_a_runtime_that_answers_nonsense(server: CriServer, client: CriClient, method: str) -> None:
    server.sandboxes = [sandbox("web")]
    server.containers = [container("c1", "web", state=EXITED)]
    server.ends = {"c1": 1}
    server.before[method] = lambda _: b"<html>secret</html>"
    expected = f"the container runtime's answer cannot be read: it is no {method}Response"
    assert reason(client.runtime()) == expected
    server.before.clear()
    assert len(answered(client).containers) == 1


@pytest.mark.parametrize("method", ["ListPodSandbox", "ListContainers"])
def test_what_a_runtime_says_of_an_error_is_quoted_in_part(
    server: CriServer, client: CriClient, method: str
) -> None:
    def fails(context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.INTERNAL, "lost\nthe database " + "x" * 1000)

    server.before[method] = fails
    answer = reason(client.runtime())
    assert f"{method} was answered with INTERNAL (lost the database xxx" in answer
    assert len(answer) < 320


def test_an_error_without_a_word_is_named(server: CriServer, client: CriClient) -> None:
    server.before["ListContainers"] = lambda context: context.abort(grpc.StatusCode.UNKNOWN, "")
    assert reason(client.runtime()).endswith("ListContainers was answered with UNKNOWN")


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_one_container_that_the_runtime_has_lost_does_not_spoil_the_rest(
    server: CriServer, client: CriClient, code: grpc.StatusCode
) -> None:
    server.sandboxes = [sandbox("web")]
    server.containers = [container("c1", "web", state=EXITED)]
    server.before["ContainerStatus"] = lambda context: context.abort(code, "no metadata")
    assert [item.finished_at for item in answered(client).containers] == [None]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_runtime_that_goes_while_it_is_asked_has_not_answered(
    server: CriServer, client: CriClient, code: grpc.StatusCode
) -> None:
    server.sandboxes = [sandbox("web")]
    server.containers = [container("c1", "web", state=EXITED)]
    server.before["ContainerStatus"] = lambda context: context.abort(code, "bye")
    assert f"ContainerStatus was answered with {code.name} (bye)" in reason(client.runtime())


# -------------------------------------------------------------------------------- time, and the end


@pytest.mark.parametrize("method", ["ListContainers", "ListPodSandbox", "ContainerStatus"])
def test_a_runtime_that_hangs_ends_in_time_and_is_left_alone_for_a_while(
    path: str, method: str
) -> None:
    now, goes_on = [0.0], threading.Event()

    def hangs(_: grpc.ServicerContext) -> None:
        goes_on.wait(LONG)

    client = CriClient(path, timeout=SHORT, clock=lambda: now[0], patience=Patience(slow=0.0))
    with CriServer(path) as server:
        server.sandboxes = [sandbox("web")]
        server.containers = [container("c1", "web", state=EXITED)]
        server.ends = {"c1": 1}
        server.before[method] = hangs
        try:
            first = reason(client.runtime())
            assert first == "the container runtime cannot be asked: no answer within 0.3 s"
            before = list(server.calls)
            assert reason(client.runtime()) == f"{first}; it is asked again in 5 s"
            assert server.calls == before
        finally:
            goes_on.set()
        server.before.clear()
        client._timeout = LONG
        now[0] = 5.0
        assert len(answered(client).containers) == 1
    client.close()


def test_a_runtime_that_hung_and_was_started_again_is_asked_anew(path: str) -> None:
    """gRPC would wait for the old connection, for as long as twenty seconds."""
    client = CriClient(path, timeout=SHORT)
    with RawServer(path, b"", hangs=True):
        assert reason(client.runtime()).endswith("no answer within 0.3 s")
        Path(path).unlink()
        client._timeout = LONG
        with CriServer(path):
            assert client.runtime() == Runtime((), ())
    client.close()


def test_the_time_is_for_all_calls_together(server: CriServer, path: str) -> None:
    times = iter([100.0, 101.0, 130.0, 130.0])
    answer = asked_once(path, timeout=30.0, clock=lambda: next(times))
    assert reason(answer).endswith("no answer within 30 s")
    assert server.calls == ["ListContainers"]


def test_a_client_that_is_closed_does_not_come_back(server: CriServer, client: CriClient) -> None:
    answered(client)
    for _ in range(2):
        client.close()
        expected = "the container runtime cannot be asked: the client is closed"
        assert reason(client.runtime()) == expected
    assert len(server.calls) == 2


def test_a_close_ends_what_is_under_way(server: CriServer, client: CriClient) -> None:
    """Otherwise a daemon that is told to stop would wait for a runtime that hangs."""
    goes_on = threading.Event()

    def hangs(_: grpc.ServicerContext) -> None:
        closing.start()
        goes_on.wait(LONG)

    closing = threading.Thread(target=client.close)
    server.before["ListPodSandbox"] = hangs
    try:
        assert reason(client.runtime()).endswith("the client is closed")
    finally:
        goes_on.set()
        closing.join()


def test_a_close_between_two_calls_is_no_exception(server: CriServer, path: str) -> None:
    def clock() -> float:
        if server.calls:
            closing.close()
        return 0.0

    closing = CriClient(path, timeout=LONG, clock=clock)
    assert reason(closing.runtime()).endswith("the client is closed")
    assert server.calls == ["ListContainers"]


def test_a_forked_process_does_not_hang_in_the_connection_of_its_parent(
    server: CriServer, client: CriClient
) -> None:
    def work(child: Child) -> None:
        child.say(reason(client.runtime()))
        client.close()
        child.say("closed" if client._channel is None else "left alone")

    answered(client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads: on purpose
        child = Child(work)
    with child:
        said, connection = child.end()
    assert said.endswith("this process was forked from the one that has connected")
    assert connection == "left alone"
    answered(client)


LEFT_BEHIND = """
import os, sys, time
from checkpointkit.pods.clients.cri import CriClient
def held():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
import grpc
before = held()
for _ in range(3):
    client = CriClient.connect(sys.argv[1])
    client.runtime()
    assert held() > before
    client.close()
until = time.monotonic() + 60
while held() != before and time.monotonic() < until:
    time.sleep(0.01)
print(before, held())
sys.exit(held() != before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux' /proc")
def test_no_thread_and_no_descriptor_is_left_behind(server: CriServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEFT_BEHIND, server.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
