"""The API server's client, against servers on loopback, by kubeconfig and service account."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from checkpointkit.errors import CheckpointError, MissingExtraError
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import SourceConfigError
from checkpointkit.kubernetes.patience import Patience
from checkpointkit.pods.answers import NotFound, PodList
from checkpointkit.pods.assets import Asset
from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.model import Pod, PodName
from checkpointkit.pods.references import ObjectName
from tests.pods.clients.servers import SECRET, Request, Server, pki, pod_list, reply, tls

EAGER = Patience(slow=float("inf"))
CA = {"certificate-authority": pki("ca.crt")}
TLS = ObjectName("Secret", "tls")
WEB = PodName("prod", "web")


def not_found(kind: str, name: str) -> bytes:
    details = {"name": name, "kind": kind}
    return reply({"kind": "Status", "reason": "NotFound", "details": details}, 404)


class Cluster:
    """What a small API server has; its pods come in pages of the size that is asked for."""

    def __init__(self) -> None:
        self.names = ["a", "b", "c", "d", "e"]
        self.version = 0
        self.objects: dict[str, Any] = {
            "/api/v1/namespaces/kube-system": {"kind": "Namespace", "metadata": {"uid": "6c1f"}},
            "/api/v1/namespaces/prod/pods/web": {"kind": "Pod", **pod_list("web")["items"][0]},
            "/api/v1/namespaces/prod/secrets/tls": {
                "kind": "Secret",
                "metadata": {"name": "tls", "namespace": "prod"},
                "data": {"ca.crt": base64.b64encode(SECRET.encode()).decode()},
            },
            "/api/v1/namespaces/prod/configmaps/app": {
                "kind": "ConfigMap",
                "metadata": {"name": "app", "namespace": "prod"},
                "data": {"mode": "fast"},
            },
        }

    def __call__(self, request: Request) -> bytes:
        parts = urlsplit(request.target)
        if parts.path == "/api/v1/namespaces/prod/pods":
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            assert query["fieldSelector"] == "spec.nodeName=node1"
            begin = int(query.get("continue", "0"))
            end = begin + int(query["limit"])
            self.version += 1
            metadata = {"resourceVersion": str(self.version)}
            if end < len(self.names):
                metadata["continue"] = str(end)
            return reply(pod_list(*self.names[begin:end], **metadata))
        if parts.path in self.objects:
            return reply(self.objects[parts.path])
        kind, name = parts.path.split("/")[-2:]
        return not_found(kind, name)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def server(cluster: Cluster) -> Iterator[Server]:
    with Server(cluster, tls()) as server:
        yield server


Config = Callable[..., str]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Config:
    """Write a kubeconfig, and return its path."""

    def write(
        server: str, user: dict[str, Any] | None = None, cluster: Any = CA, **more: Any
    ) -> str:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [] if user is None else [{"name": "u", "user": user}],
            "contexts": [
                {"name": "x", "context": {"cluster": "c"} | ({} if user is None else {"user": "u"})}
            ],
            "current-context": "x",
            **more,
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        return str(path)

    return write


@pytest.fixture
def client(server: Server, kubeconfig: Config) -> Iterator[ApiServerClient]:
    client = ApiServerClient.connect(kubeconfig(server.url, {"token": "t0k3n"}), page=2)
    yield client
    client.close()


# --- what is asked


def test_all_pages_of_a_list(client: ApiServerClient, server: Server) -> None:
    pods = client.pods("prod", "node1")
    assert isinstance(pods, PodList)
    assert [pod.name.name for pod in pods.pods] == ["a", "b", "c", "d", "e"]
    assert [request.target.partition("continue=")[2] for request in server.requests] == [
        "",
        "2",
        "4",
    ]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer t0k3n"}
    assert server.connections == 1


def test_pages_that_have_not_changed_are_the_same_list(
    client: ApiServerClient, cluster: Cluster
) -> None:
    first = client.pods("prod", "node1")
    assert client.pods("prod", "node1") is first
    cluster.names = ["a"]
    short = client.pods("prod", "node1")
    assert isinstance(short, PodList)
    assert [pod.name.name for pod in short.pods] == ["a"]
    assert client.pods("prod", "node1") is short
    cluster.names = []
    assert client.pods("prod", "node1") == PodList(())


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
@pytest.mark.parametrize("page", [0, 1])
def test_a_page_that_is_missing_is_no_list(
    client: ApiServerClient, server: Server, cluster: Cluster, status: int, page: int
) -> None:
    def answer(request: Request) -> bytes:
        return cluster(request) if ("continue" in request.target) < page else reply({}, status)

    server.answer = answer
    why = f"the list of pods was answered with status {status}"
    assert client.pods("prod", "node1") == Failed(why)


def test_a_page_that_is_no_list_is_no_list(
    client: ApiServerClient, server: Server, cluster: Cluster
) -> None:
    for body in (b"<html>", b'{"kind":"PodList"}', b"{}", b"[]", b"5"):

        def answer(request: Request, body: bytes = body) -> bytes:
            return reply(body) if "continue" in request.target else cluster(request)

        server.answer = answer
        assert isinstance(client.pods("prod", "node1"), Failed)
    server.answer = cluster
    assert isinstance(client.pods("prod", "node1"), PodList)


def test_a_list_that_never_ends_is_none(client: ApiServerClient, server: Server) -> None:
    tokens = iter(range(10**9))
    server.answer = lambda _: reply(pod_list("a", **{"continue": str(next(tokens))}))
    assert client.pods("prod", "node1") == Failed("the list of pods goes on and on")
    server.requests.clear()
    server.answer = lambda _: reply(pod_list("a", **{"continue": "again"}))
    assert client.pods("prod", "node1") == Failed("the list of pods goes on and on")
    assert len(server.requests) == 2


def test_all_pages_together_have_the_time_of_a_request(
    server: Server, cluster: Cluster, kubeconfig: Config
) -> None:
    cluster.names = [f"pod-{number}" for number in range(60)]
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    client = ApiServerClient.connect(kubeconfig(server.url), page=1, timeout=60.0, clock=clock)
    pods = client.pods("prod", "node1")
    client.close()
    assert pods == Failed("the list of pods goes on and on")
    assert 1 < len(server.requests) < 60


def test_a_name_is_never_part_of_a_path_or_a_selector(
    client: ApiServerClient, server: Server
) -> None:
    why = Failed("the namespace or the node has no name of Kubernetes")
    assert client.pods("prod", "node1,metadata.name=x") == why
    assert client.pods("../secrets", "node1") == why
    for name in ("../../kube-system/secrets/root", "a/b", "a?b", "", "%2e%2e"):
        asked = client.fetch("prod", ObjectName("Secret", name))
        assert asked == Failed("Secret: what the pod calls it is no name of Kubernetes")
    assert isinstance(client.fetch("../prod", TLS), Failed)
    assert not server.requests


def test_one_pod(client: ApiServerClient, cluster: Cluster) -> None:
    pod = client.pod(WEB)
    assert isinstance(pod, Pod)
    assert pod.uid == "uid-web"
    assert client.pod(PodName("prod", "other")) == NotFound()
    cluster.objects["/api/v1/namespaces/prod/pods/web"] = {"kind": "Status"}
    assert client.pod(WEB) == Failed("the answer for the pod is none")


def test_which_cluster_it_is(client: ApiServerClient, server: Server) -> None:
    assert client.cluster() == "6c1f"
    server.answer = lambda _: reply({"kind": "Status"}, 403)
    why = "the namespace kube-system was answered with status 403"
    assert client.cluster() == Failed(why)


def test_secrets_and_config_maps(client: ApiServerClient, cluster: Cluster) -> None:
    secret = client.fetch("prod", TLS)
    assert isinstance(secret, Asset)
    assert secret.data == {"ca.crt": SECRET.encode()}
    app = client.fetch("prod", ObjectName("ConfigMap", "app"))
    assert isinstance(app, Asset)
    assert app.data == {"mode": b"fast"}
    assert client.fetch("prod", ObjectName("Secret", "other")) == NotFound()
    assert client.fetch("prod", ObjectName("ConfigMap", "other")) == NotFound()


def test_an_answer_that_has_not_changed_is_the_same_object(
    client: ApiServerClient, cluster: Cluster
) -> None:
    secret = client.fetch("prod", TLS)
    assert client.fetch("prod", TLS) is secret
    cluster.objects["/api/v1/namespaces/prod/secrets/tls"]["data"]["ca.crt"] = ""
    changed = client.fetch("prod", TLS)
    assert isinstance(changed, Asset)
    assert changed.data == {"ca.crt": b""}


def test_the_memory_for_answers_is_bounded(client: ApiServerClient) -> None:
    secret = client.fetch("prod", TLS)
    for number in range(128):
        client.fetch("prod", ObjectName("Secret", f"s{number}"))
    assert client.fetch("prod", TLS) is not secret
    assert len(client._objects) == 128


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(f"<html>{SECRET}".encode()), "the answer cannot be read: the body is no JSON"),
        (reply(b"[" * 200_000), "the answer cannot be read: the body is nested too deeply"),
        (reply(SECRET.encode(), 500), "Secret tls was answered with status 500"),
        (
            reply(SECRET.encode(), 404),
            "Secret tls was answered with status 404, and not by the API server",
        ),
        (SECRET.encode() + b"\r\n\r\n", "the answer is no HTTP, or was cut short"),
    ],
)
def test_what_is_no_answer_is_a_reason_and_quotes_nothing(
    client: ApiServerClient, server: Server, answer: bytes, reason: str
) -> None:
    server.answer = lambda _: answer
    assert client.fetch("prod", TLS) == Failed(reason)


# --- who is asked, and as whom


def uid(config: str | None, **options: Any) -> str | Failed:
    client = ApiServerClient.connect(config, patience=EAGER, **options)
    try:
        return client.cluster()
    finally:
        client.close()


def data(name: str) -> str:
    return base64.b64encode(Path(pki(name)).read_bytes()).decode()


@pytest.mark.parametrize(
    "user",
    [
        {"client-certificate": pki("client.crt"), "client-key": pki("client.key")},
        {"client-certificate-data": data("client.crt"), "client-key-data": data("client.key")},
    ],
    ids=["files", "data"],
)
@pytest.mark.parametrize(
    "ca", [CA, {"certificate-authority-data": data("ca.crt")}], ids=["file", "data"]
)
def test_client_certificates(
    cluster: Cluster, kubeconfig: Config, user: dict[str, str], ca: dict[str, str]
) -> None:
    with Server(cluster, tls(client_ca="ca.crt")) as server:
        assert uid(kubeconfig(server.url, user, ca)) == "6c1f"
        assert isinstance(uid(kubeconfig(server.url, None, ca)), Failed)


def test_a_password(server: Server, kubeconfig: Config) -> None:
    assert uid(kubeconfig(server.url, {"username": "a", "password": "b"})) == "6c1f"
    assert server.requests[0].headers["authorization"] == "Basic YTpi"


def test_another_ca_is_refused(server: Server, kubeconfig: Config) -> None:
    other = {"certificate-authority": pki("other-ca.crt")}
    for authority in (other, {}):
        failed = uid(kubeconfig(server.url, {"token": "t"}, authority))
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("the server's certificate is refused: ")
    assert not server.requests


def test_the_path_of_a_server_stays(cluster: Cluster, kubeconfig: Config) -> None:
    with Server(lambda request: cluster(Request(request.target[7:], {})), tls()) as server:
        assert uid(kubeconfig(f"{server.url}/k8s/c1")) == "6c1f"
        assert server.requests[0].target == "/k8s/c1/api/v1/namespaces/kube-system"


def test_plain_http_is_for_loopback_alone(cluster: Cluster, kubeconfig: Config) -> None:
    with Server(cluster) as server:
        assert uid(kubeconfig(server.url, cluster={})) == "6c1f"
        by_name = server.url.replace("127.0.0.1", "localhost")
        assert uid(kubeconfig(by_name, cluster={})) == "6c1f"


def test_a_token_file_beside_the_kubeconfig_is_read_for_each_request(
    server: Server, kubeconfig: Config, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    config = kubeconfig(server.url, {"tokenFile": "token", "token": "stale"})
    client = ApiServerClient.connect(config)
    client.cluster()
    token.write_text("second")
    client.cluster()
    token.unlink()
    missing = f"the credentials cannot be had: {token}: No such file or directory"
    assert client.cluster() == Failed(missing)
    client.close()
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second"]


def test_a_kubeconfig_that_is_written_anew_is_read_anew(server: Server, kubeconfig: Config) -> None:
    path = kubeconfig(server.url, {"token": "first"})
    client = ApiServerClient.connect(path)
    assert client.cluster() == "6c1f"
    Path(path).write_text("{")
    failed = client.cluster()
    assert isinstance(failed, Failed)
    assert failed.reason.startswith(f"the kubeconfig {path} cannot be used: ")
    kubeconfig(server.url, {"token": "second"})
    assert client.cluster() == "6c1f"
    client.close()
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second"]


def plugin(tmp_path: Path, script: str, version: str = "v1beta1") -> dict[str, Any]:
    program = tmp_path / "plugin.py"
    program.write_text(script)
    api = f"client.authentication.k8s.io/{version}"
    return {"exec": {"apiVersion": api, "command": sys.executable, "args": [str(program)]}}


def test_an_exec_plugin(server: Server, kubeconfig: Config, tmp_path: Path) -> None:
    user = plugin(tmp_path, 'print(\'{"status": {"token": "of-the-plugin"}}\')')
    assert uid(kubeconfig(server.url, user)) == "6c1f"
    assert server.requests[0].headers["authorization"] == "Bearer of-the-plugin"


@pytest.mark.parametrize(
    "script",
    [f"raise SystemExit('{SECRET}')", f"print('{SECRET}')", "print('{}')", "print('[]')"],
)
def test_an_exec_plugin_that_fails_is_a_reason_and_quotes_nothing(
    server: Server, kubeconfig: Config, tmp_path: Path, script: str
) -> None:
    failed = uid(kubeconfig(server.url, plugin(tmp_path, script)))
    assert isinstance(failed, Failed)
    why = "the credentials cannot be had: the exec plugin of the kubeconfig failed"
    assert failed.reason.startswith(why)
    assert SECRET not in failed.reason


def test_an_exec_plugin_that_is_missing(server: Server, kubeconfig: Config) -> None:
    api = "client.authentication.k8s.io/v1beta1"
    user = {"exec": {"apiVersion": api, "command": "/missing/plugin"}}
    failed = uid(kubeconfig(server.url, user))
    assert isinstance(failed, Failed)
    assert "FileNotFoundError" in failed.reason


def test_the_service_account_of_a_pod(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    (tmp_path / "token").write_text("first")
    (tmp_path / "namespace").write_text("kube-system")
    (tmp_path / "ca.crt").write_bytes(Path(pki("ca.crt")).read_bytes())
    client = ApiServerClient.connect(service_account=str(tmp_path))
    assert client.cluster() == "6c1f"
    (tmp_path / "token").write_text("second")
    assert client.cluster() == "6c1f"
    client.close()
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
def test_outside_of_a_pod_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(SourceConfigError, match="give a kubeconfig, or run in a pod"):
        ApiServerClient.connect(service_account=str(tmp_path))
    monkeypatch.delenv(missing)
    with pytest.raises(SourceConfigError, match=f"{missing} is not set"):
        ApiServerClient.connect(service_account=str(tmp_path))


EXEC_V1 = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}}
CONTEXT = {"cluster": "c", "user": "u"}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"cluster": {"insecure-skip-tls-verify": True}}, "it has insecure-skip-tls-verify"),
        ({"server": "http://10.0.0.1:8080"}, "its server is asked over http"),
        ({"server": "http://api.example:8080"}, "its server is asked over http"),
        ({"server": "api"}, "its URL is none like https://HOST:PORT"),
        ({"cluster": {"certificate-authority": "/missing"}}, "No such file or directory"),
        ({"cluster": {"certificate-authority-data": "AAAA"}}, "none that TLS takes"),
        ({"cluster": {"certificate-authority-data": SECRET}}, "not what it should be"),
        ({"user": {"client-certificate": "/missing", "client-key": "x"}}, "No such file"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, "not what it should be (ConfigError)"),
        ({"user": {"token": [SECRET]}}, "not what it should be"),
        ({"user": EXEC_V1}, "the version of its exec plugin's API is not supported"),
        ({"current-context": None}, "it has no current context"),
        ({"current-context": SECRET}, "it has no context of the name wanted"),
        ({"contexts": [{"name": "x", "context": CONTEXT}]}, "the user of its context is missing"),
        ({"clusters": []}, "the cluster of its context is missing"),
        ({"clusters": None}, "not what it should be"),
        ({"contexts": [{"name": "x"}]}, "not what it should be (KeyError)"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_said_at_once(
    kubeconfig: Config, parts: dict[str, Any], reason: str
) -> None:
    path = kubeconfig(**{"server": "https://127.0.0.1:6443", **parts})
    with pytest.raises(CheckpointError) as caught:
        ApiServerClient.connect(path)
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("the API server cannot be asked: ")


@pytest.mark.parametrize("content", [f"a: [{SECRET}", SECRET, "", "[]", "\x00"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(SourceConfigError, match="not what it should be") as caught:
        ApiServerClient.connect(str(path))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_kubeconfig_that_is_missing(tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    with pytest.raises(SourceConfigError, match=f"the kubeconfig {path} cannot be used: it is no"):
        ApiServerClient.connect(path)


def test_the_context_that_is_named(server: Server, kubeconfig: Config) -> None:
    path = kubeconfig(server.url, {"token": "t"}, **{"current-context": None})
    assert uid(path, context="x") == "6c1f"
    with pytest.raises(SourceConfigError, match="no context of the name wanted"):
        ApiServerClient.connect(path, context="y")


def test_no_proxy_of_the_environment_is_used(
    server: Server, kubeconfig: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert uid(kubeconfig(server.url)) == "6c1f"


def test_without_the_extra_it_says_what_to_install(
    kubeconfig: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightkube", None)
    monkeypatch.delitem(sys.modules, "checkpointkit.kubernetes.kubeconfig", raising=False)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[kubernetes\]"):
        ApiServerClient.connect(kubeconfig("https://127.0.0.1:6443"))


def test_a_pair_of_files_that_is_half_replaced_is_read_again(
    cluster: Cluster, kubeconfig: Config, tmp_path: Path
) -> None:
    for name in ("client.crt", "client.key"):
        (tmp_path / name).write_bytes(Path(pki(name)).read_bytes())
    user = {"client-certificate": "client.crt", "client-key": "client.key"}
    with Server(cluster, tls(client_ca="ca.crt")) as server:
        client = ApiServerClient.connect(kubeconfig(server.url, user))
        assert client.cluster() == "6c1f"
        (tmp_path / "client.key").write_bytes(Path(pki("server.key")).read_bytes())
        os.utime(tmp_path / "client.key", (1, 1))
        failed = client.cluster()
        assert isinstance(failed, Failed)
        assert failed.reason.endswith("none that TLS takes (KEY_VALUES_MISMATCH)")
        (tmp_path / "client.key").write_bytes(Path(pki("client.key")).read_bytes())
        assert client.cluster() == "6c1f"
        client.close()
