"""Whatever a server sends, there is an answer or a reason, and never an exception."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from httpcore2 import ConnectError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import Http, Marks, Reply, SourceConfigError, decode, marks_of
from checkpointkit.kubernetes.patience import Patience
from checkpointkit.kubernetes.transport import explain
from checkpointkit.pods.answers import NotFound, PodList
from checkpointkit.pods.assets import Asset
from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.clients.kubelet import KubeletClient
from checkpointkit.pods.model import Pod, PodName
from checkpointkit.pods.references import ObjectName
from tests.pods.clients.servers import SECRET, Server, as_json, pod_list, reply

EAGER = Patience(slow=float("inf"))

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["kind", "metadata", "items", "name", "uid", "continue", "data"])
            | st.text(max_size=5),
            inner | st.sampled_from(["PodList", "Pod", "Secret", "Namespace", "Status"]),
            max_size=6,
        )
    ),
    max_leaves=20,
)
GOOD = as_json(pod_list("a", "b"))
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(as_json),
    # A good list with a few bytes changed, or cut.
    st.builds(
        lambda at, new, end: (GOOD[:at] + new + GOOD[at + len(new) :])[:end],
        st.integers(0, len(GOOD)),
        st.binary(max_size=3),
        st.integers(0, len(GOOD)),
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "Content-Encoding", "Location", "Set-Cookie", "Transfer-Encoding", "X"]
    ),
    st.sampled_from(["", "gzip", "identity", "chunked", "http://", "a=b", "text/html; charset=x"])
    | st.text("abc,;= ", max_size=5),
    max_size=3,
)
ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda body, status, headers: reply(body, status, **headers),
        BODIES,
        st.sampled_from([200, 200, 200, 204, 301, 401, 404, 500, 999, 101, 100]),
        HEADERS,
    ),
    st.builds(
        lambda start, rest: start + rest,
        st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n\r\n", b"HTTP/1.1 "]),
        st.binary(max_size=100) | BODIES,
    ),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(lambda _: b"") as server:
        server.keeps_alive = False  # so that no client waits for more
        yield server


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=ANSWERS)
@example(answer=reply(b'{"kind":"PodList","items":[{"metadata":{"name":"\\ud800"}}]}'))
@example(answer=reply(b"1" * 5000))
@example(answer=reply(b"{" * 100_000))
@example(answer=b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n")
@example(answer=b"HTTP/1.1 101 Switching\r\n\r\n")
def test_whatever_bytes_come_there_is_an_answer_or_a_reason(
    server: Server, tmp_path_factory: pytest.TempPathFactory, answer: bytes
) -> None:
    server.answer = lambda _: answer
    kubelet = KubeletClient.connect(server.url, timeout=2.0, patience=EAGER)
    assert isinstance(kubelet.pods(), PodList | Failed)
    kubelet.close()
    path = tmp_path_factory.getbasetemp() / "http-kubeconfig"
    cluster = [{"name": "c", "cluster": {"server": server.url}}]
    contexts = [{"name": "c", "context": {"cluster": "c"}}]
    config = {"clusters": cluster, "contexts": contexts, "current-context": "c"}
    path.write_text(json.dumps(config))
    api = ApiServerClient.connect(str(path), timeout=2.0, patience=EAGER)
    assert isinstance(api.pods("prod", "node1"), PodList | Failed)
    assert isinstance(api.pod(PodName("prod", "web")), Pod | NotFound | Failed)
    assert isinstance(api.cluster(), str | Failed)
    assert isinstance(api.fetch("prod", ObjectName("Secret", "tls")), Asset | NotFound | Failed)
    api.close()


@given(st.binary(max_size=50) | BODIES)
def test_a_body_is_json_that_can_be_written_again_or_none(body: bytes) -> None:
    try:
        decoded = decode(body)
    except ValueError as error:
        assert str(error) in {"the body is no JSON", "the body is nested too deeply"}
        assert error.__cause__ is None
        assert error.__context__ is None  # its message would have the body in it
        return
    assert json.dumps(decoded, ensure_ascii=False, allow_nan=False).encode()


def test_a_character_beyond_16_bits_is_one_whatever_it_is_written_as() -> None:
    assert decode(b'"\\ud83d\\ude00"') == decode('"\N{GRINNING FACE}"'.encode())


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), httpx2.InvalidURL(SECRET), ConnectError(SECRET)]
)
def test_an_error_of_another_kind_is_named_and_not_quoted(error: Exception) -> None:
    assert explain(error) == f"the request failed ({type(error).__name__})"


def test_a_file_that_cannot_be_read_is_not_the_servers_doing() -> None:
    gone = FileNotFoundError(2, "No such file or directory", SECRET)
    assert explain(gone) == "the credentials cannot be had: No such file or directory"
    assert explain(OSError()) == "the credentials cannot be had: OSError"


# --- the connection


class Line:
    """A way to a server that a test holds in its hands."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.closed = False
        self.error: Exception | None = None
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def get(self, path: str, params: Any, timeout: float) -> Reply:
        assert not self.closed
        self.entered.set()
        self.go_on.wait()
        if self.error is not None:
            raise self.error
        return Reply(200, path.encode())

    def close(self) -> None:
        self.closed = True


class Lines:
    """Opens one after the other."""

    def __init__(self, *files: str) -> None:
        self.files = files
        self.opened: list[Line] = []

    def open(self) -> Line:
        self.opened.append(Line(marks_of(self.files)))
        return self.opened[-1]

    def explain(self, error: Exception) -> str:
        return type(error).__name__


def asking(lines: Lines, timeout: float = 5.0) -> Http:
    return Http(lines, timeout=timeout, clock=lambda: 0.0)


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), KeyError("a"), OSError()])
def test_no_exception_of_a_connection_comes_through(error: Exception) -> None:
    lines = Lines()
    http = asking(lines)
    lines.opened[0].error = error
    assert http.get("/") == Failed(type(error).__name__)
    http.close()


def test_a_file_that_is_replaced_makes_a_new_connection(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    lines = Lines(str(file))
    http = asking(lines)
    http.get("/")
    assert len(lines.opened) == 1
    file.write_bytes(b"1")
    http.get("/")
    http.get("/")
    assert [line.closed for line in lines.opened] == [True, False]
    file.unlink()
    http.get("/")
    assert [line.closed for line in lines.opened] == [True, True, False]
    http.close()
    assert lines.opened[-1].closed
    http.close()


def test_a_connection_that_hangs_is_closed_by_whoever_hangs_in_it() -> None:
    lines = Lines()
    http = asking(lines, timeout=0.05)
    line = lines.opened[0]
    line.go_on.clear()
    assert http.get("/") == Failed("no answer within 0.05 s")
    assert line.entered.is_set()
    http.close()
    closed = [line.closed]
    line.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "checkpointkit-get":
            thread.join()
    assert [*closed, line.closed] == [False, True]
    assert http.get("/") == Failed("the client is closed")


def test_what_hung_and_came_back_is_used_again() -> None:
    lines = Lines()
    http = asking(lines, timeout=0.05)
    line = lines.opened[0]
    line.go_on.clear()
    http.get("/late")
    hangs = "the request before hangs, in a name server or an exec plugin"
    assert http.get("/busy") == Failed(hangs)
    line.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "checkpointkit-get":
            thread.join()
    assert http.get("/now") == Reply(200, b"/now")  # and not the answer that came too late
    http.close()


def test_the_error_of_a_configuration_survives_a_queue() -> None:
    error = SourceConfigError("the kubelet", "give a token")
    again = pickle.loads(pickle.dumps(error))
    assert (again.source, again.reason, str(again)) == (error.source, error.reason, str(error))
