"""The kubelet's client, against servers on loopback."""

from __future__ import annotations

import gzip
import os
import random
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from checkpointkit.errors import MissingExtraError
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import SourceConfigError
from checkpointkit.kubernetes.patience import Patience
from checkpointkit.pods.answers import PodList
from checkpointkit.pods.clients.kubelet import KubeletClient
from tests.pods.clients.servers import SECRET, Request, Server, as_json, pki, pod_list, reply, tls

MISMATCH = "KEY_VALUES_MISMATCH"
EAGER = Patience(slow=float("inf"))


def asked(server: Server, **options: Any) -> PodList | Failed:
    """Return what one request to a server comes to."""
    options = {"timeout": 5.0, "patience": EAGER, **options}
    if server.url.startswith("https"):
        options.setdefault("ca", pki("ca.crt"))
    client = KubeletClient.connect(server.url, **options)
    try:
        return client.pods()
    finally:
        client.close()


def refused(answer: bytes, **options: Any) -> str:
    """Return why an answer is none, which is the same with TLS and without."""
    reasons = []
    for context in (None, tls()):
        with Server(lambda _: answer, context) as server:
            failed = asked(server, **options)
        assert isinstance(failed, Failed), failed
        assert SECRET not in failed.reason
        reasons.append(failed.reason)
    assert reasons[0] == reasons[1]
    return reasons[0]


@pytest.mark.parametrize("context", [None, tls()], ids=["http", "https"])
def test_the_pods_that_the_kubelet_lists(context: Any) -> None:
    with Server(lambda _: reply(pod_list("a", "b")), context) as server:
        pods = asked(server)
        assert isinstance(pods, PodList)
        assert [pod.name.name for pod in pods.pods] == ["a", "b"]
        assert [request.target for request in server.requests] == ["/pods"]


CUT = reply(pod_list("a", padding=SECRET))[:-20]
GARBAGE = {
    "HTML": (
        reply(f"<html>{SECRET}".encode()),
        "the list of pods cannot be read: the body is no JSON",
    ),
    "JSON cut short": (
        reply(as_json(pod_list("a", padding=SECRET))[:-20]),
        "the list of pods cannot be read: the body is no JSON",
    ),
    "a body that is cut": (
        CUT.replace(b"\r\n", b"\r\nConnection: close\r\n", 1),
        "the answer is no HTTP, or was cut short",
    ),
    "a chunked body that is cut": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n99\r\n{",
        "the answer is no HTTP, or was cut short",
    ),
    "a length that is none": (
        reply({}, Content_Length=SECRET),
        "the answer is no HTTP, or was cut short",
    ),
    "a length that is too small": (
        reply(pod_list("a", padding=SECRET), Content_Length="20"),
        "the list of pods cannot be read: the body is no JSON",
    ),
    "deep nesting": (
        reply(b"[" * 200_000),
        "the list of pods cannot be read: the body is nested too deeply",
    ),
    "deep nesting in the metadata": (
        reply(b'{"kind":"PodList","apiVersion":"v1","metadata":{"a":' + b"[" * 200_000 + b"}"),
        "the list of pods cannot be read: the body is nested too deeply",
    ),
    "half a character": (
        reply(b'{"kind":"PodList","items":[],"a":"\\ud800"}'),
        "the list of pods cannot be read: the body is no JSON",
    ),
    "not a number": (
        reply(b'{"kind":"PodList","items":[NaN]}'),
        "the list of pods cannot be read: the body is no JSON",
    ),
    "no UTF-8": (reply(b"\xff\xfe{}"), "the list of pods cannot be read: the body is no JSON"),
    "an empty body": (reply(b""), "the list of pods cannot be read: the body is no JSON"),
    "another kind": (reply({"kind": "Status"}), "the kubelet's list of pods is none"),
    "401": (
        reply(SECRET.encode(), 401),
        "the kubelet's list of pods was answered with status 401",
    ),
    "500": (
        reply(SECRET.encode(), 500),
        "the kubelet's list of pods was answered with status 500",
    ),
    "a redirect": (
        reply(b"", 302, Location="http://127.0.0.1:1/"),
        "the kubelet's list of pods was answered with status 302",
    ),
    "a bomb": (
        reply(gzip.compress(b" " * 1_000_000), Content_Encoding="gzip"),
        "the body is compressed, which was not asked for",
    ),
    "no HTTP": (b"SSH-2.0-" + SECRET.encode() + b"\r\n", "the answer is no HTTP, or was cut short"),
    "nothing": (b"", "the answer is no HTTP, or was cut short"),
    "endless headers": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + b"A: b\r\n" * 100_000,
        "the answer is no HTTP, or was cut short",
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_answer_is_a_reason_and_quotes_nothing(name: str) -> None:
    answer, reason = GARBAGE[name]
    assert refused(answer) == reason


def test_a_body_is_bounded() -> None:
    body = as_json(pod_list("a", padding="x" * 10_000))
    assert refused(reply(body), max_bytes=5000) == "the body has more than 5000 bytes"
    with Server(lambda _: reply(body)) as server:
        assert isinstance(asked(server, max_bytes=len(body)), PodList)


def endless(server: Server, head: bytes, piece: bytes) -> Iterable[bytes]:
    yield head
    yield from server.slowly(piece for _ in range(10**9))


@pytest.mark.parametrize("context", [None, tls()], ids=["http", "https"])
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b""),
    ],
    ids=["body", "headers", "continue", "silence"],
)
def test_a_server_that_drips_is_left_in_time(context: Any, head: bytes, piece: bytes) -> None:
    with Server(lambda _: endless(server, head, piece), context) as server:
        assert asked(server, timeout=0.4) == Failed("no whole answer in time")


def test_a_server_that_never_shakes_hands_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = KubeletClient.connect(
            f"https://127.0.0.1:{listener.getsockname()[1]}", ca=pki("ca.crt"), timeout=0.3
        )
        assert client.pods() == Failed("no whole answer in time")
        client.close()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = KubeletClient.connect(f"http://127.0.0.1:{port}")
    refusal = Failed("the connection failed: Connection refused")
    assert [client.pods(), client.pods()] == [refusal, refusal]  # asked again at once: it is cheap
    client.close()


def test_a_name_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    client = KubeletClient.connect("http://node1:10255")
    why = "the server's name cannot be resolved: Name or service not known"
    assert client.pods() == Failed(why)
    client.close()


def test_a_name_server_that_hangs_is_left_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:

    hanging, hangs = threading.Event(), threading.Event()

    def resolve(*_: Any, **__: Any) -> Any:
        hangs.set()
        hanging.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    client = KubeletClient.connect("http://node1:10255", timeout=0.1, patience=EAGER)
    before = threading.active_count()
    assert client.pods() == Failed("no answer within 0.1 s")
    assert client.pods() == Failed("the request before hangs, in a name server or an exec plugin")
    assert threading.active_count() == before + 1
    client.close()
    assert hangs.is_set()
    hanging.set()
    for thread in threading.enumerate():
        if thread.name == "checkpointkit-get":
            thread.join()
    assert client.pods() == Failed("the client is closed")


def test_a_machine_without_threads_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:

    client = KubeletClient.connect("http://127.0.0.1:1")

    def start(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert client.pods() == Failed("no thread can be started for the request")
    client.close()


def test_a_time_out_is_not_paid_in_every_tick() -> None:
    now, step = [0.0], [0.0]

    def clock() -> float:
        now[0] += step[0]
        return now[0]

    with Server(lambda _: reply(pod_list())) as server:
        client = KubeletClient.connect(server.url, clock=clock)
        step[0] = 100.0  # whatever is begun, its time is over
        assert client.pods() == Failed("no whole answer in time")
        step[0] = 0.0
        assert client.pods() == Failed("no whole answer in time; it is asked again in 5 s")
        assert not server.requests
        now[0] += 5.0
        assert isinstance(client.pods(), PodList)
        client.close()


# --- who is asked, and as whom


def test_a_certificate_of_another_ca_is_refused() -> None:
    with Server(lambda _: reply(pod_list()), tls()) as server:
        failed = asked(server, ca=pki("other-ca.crt"))
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("the server's certificate is refused: ")
        assert not server.requests


def test_a_server_without_tls_is_none_with() -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        client = KubeletClient.connect(url, ca=pki("ca.crt"))
        failed = client.pods()
        client.close()
        thread.join()
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("TLS failed: ")


def test_without_a_ca_those_of_the_system_count() -> None:
    with Server(lambda _: reply(pod_list()), tls()) as server:
        failed = asked(server, ca=None)
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("the server's certificate is refused: ")


def test_the_kubelets_own_certificate_is_good_for_its_name_alone() -> None:
    with Server(lambda _: reply(pod_list()), tls("kubelet")) as server:
        own = pki("kubelet.crt")
        failed = asked(server, ca=own)
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("the server's certificate is refused: ")
        assert isinstance(asked(server, ca=own, server_name="node2"), Failed)
        assert not server.requests
        assert isinstance(asked(server, ca=own, server_name="node1"), PodList)


def test_a_token_is_read_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with Server(lambda _: reply(pod_list()), tls()) as server:
        client = KubeletClient.connect(server.url, token_file=str(token), ca=pki("ca.crt"))
        client.pods()
        token.write_text("second")
        client.pods()
        client.close()
        sent = [request.headers["authorization"] for request in server.requests]
        assert sent == ["Bearer first", "Bearer second"]
        assert server.connections == 1


@pytest.mark.parametrize("content", [b"", b"two words", b"a\r\nX: y", b"\xff", b"a\x00b", None])
def test_a_token_that_is_none_is_not_sent(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with Server(lambda _: reply(pod_list()), tls()) as server:
        failed = asked(server, token_file=str(token))
        assert not server.requests
    why = f"{token}: No such file or directory" if content is None else f"{token} holds no token"
    assert failed == Failed(f"the credentials cannot be had: {why}")


def test_a_client_certificate() -> None:
    with Server(lambda _: reply(pod_list()), tls(client_ca="ca.crt")) as server:
        certified = asked(server, certificate=pki("client.crt"), key=pki("client.key"))
        assert isinstance(certified, PodList)
        assert isinstance(asked(server), Failed)


def test_certificates_that_are_replaced_are_read_again(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(Path(pki("other-ca.crt")).read_bytes())
    with Server(lambda _: reply(pod_list()), tls()) as server:
        client = KubeletClient.connect(server.url, ca=str(ca))
        assert isinstance(client.pods(), Failed)
        ca.write_bytes(b"half")
        why = "cannot be used: NO_CERTIFICATE_OR_CRL_FOUND"
        assert client.pods() == Failed(f"the file {ca} with its CA {why}")
        ca.unlink()
        why = "cannot be used: No such file or directory"
        assert client.pods() == Failed(f"the file {ca} with its CA {why}")
        ca.write_bytes(Path(pki("ca.crt")).read_bytes())
        assert isinstance(client.pods(), PodList)
        os.utime(ca, (1, 1))
        assert isinstance(client.pods(), PodList)
        assert server.connections == 3
        client.close()


def test_no_proxy_stands_before_a_kubelet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server(lambda _: reply(pod_list())) as server:
        assert isinstance(asked(server), PodList)


def test_nothing_that_a_server_sets_is_sent_back() -> None:
    with Server(lambda _: reply(pod_list(), Set_Cookie="a=b")) as server:
        client = KubeletClient.connect(server.url)
        client.pods()
        client.pods()
        client.close()
        assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("127.0.0.1:10250", {}, "its URL is none like https://HOST:PORT"),
        ("https://node1:x", {}, "its URL is none like https://HOST:PORT"),
        ("https://a:b@node1:10250", {}, "its URL is none like https://HOST:PORT"),
        ("https://[::1", {}, "its URL is none like https://HOST:PORT"),
        ("ftp://node1", {}, "its URL is none like https://HOST:PORT"),
        ("http://node1:10255", {"ca": "x"}, "over http nothing is verified; give an https URL"),
        (
            "http://node1:10255",
            {"token_file": "x"},
            "over http nothing is verified; give an https URL",
        ),
        ("https://node1", {"key": "x"}, "there is a key, and no certificate; give both"),
        (
            "https://node1",
            {"ca": "/missing/ca"},
            "the file /missing/ca with its CA cannot be used: No such file or directory",
        ),
        (
            "https://node1",
            {"certificate": pki("client.crt"), "key": pki("server.key")},
            f"the client certificate {pki('client.crt')}, or its key, cannot be used: {MISMATCH}",
        ),
    ],
)
def test_what_cannot_be_used_is_said_at_once(url: str, options: Any, reason: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        KubeletClient.connect(url, **options)
    assert (caught.value.source, caught.value.reason) == ("the kubelet", reason)
    assert str(caught.value) == f"the kubelet cannot be asked: {reason}"


def test_an_encrypted_key_is_no_question_on_the_terminal() -> None:
    certificate, key = pki("client.crt"), pki("client-encrypted.key")
    with pytest.raises(SourceConfigError, match="cannot be used"):
        KubeletClient.connect("https://node1", certificate=certificate, key=key)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "checkpointkit.kubernetes.transport", raising=False)
    monkeypatch.delattr("checkpointkit.kubernetes.transport", raising=False)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[kubernetes\]"):
        KubeletClient.connect("http://127.0.0.1:10255")


# --- what has not changed


def test_a_list_of_the_same_pods_is_the_same_object_in_whatever_order() -> None:
    names = [f"pod-{number}" for number in range(20)]
    shuffle = random.Random(1).shuffle

    def answer(_: Request) -> bytes:
        shuffle(names)
        return reply(pod_list(*names))

    with Server(answer) as server:
        client = KubeletClient.connect(server.url)
        first = client.pods()
        assert isinstance(first, PodList)
        assert client.pods() is first
        server.answer = lambda _: reply(b"", 500)
        assert isinstance(client.pods(), Failed)
        server.answer = answer
        assert client.pods() is first
        names.pop()
        fewer = client.pods()
        assert isinstance(fewer, PodList)
        assert {pod.name.name for pod in fewer.pods} == set(names)
        whole = {pod.name: pod.decoded for pod in first.pods}
        assert all(whole[pod.name] is pod.decoded for pod in fewer.pods)
        client.close()
        assert server.connections == 1
