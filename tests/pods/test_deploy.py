"""What deploy/pods applies: it parses, fits the daemon, and allows what is asked for alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from checkpointkit.cli.arguments import make_parser
from checkpointkit.cli.pods.arguments import flags_of
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.assets import Asset
from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.clients.kubelet import KubeletClient
from checkpointkit.pods.daemon.settings import Settings, read_settings
from checkpointkit.pods.model import CHECKPOINT, PodName, read_pod
from checkpointkit.pods.references import ObjectName, needed
from checkpointkit.pods.sanitize import Sanitized, sanitize
from tests.pods.clients.servers import Request, Server, pki, reply, tls

DEPLOY = Path(__file__).parents[2] / "deploy" / "pods"
NODE = "node1"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.made.up"

Right = tuple[str, str, str, tuple[str, ...]]
"""Namespace (empty for the cluster), verb, resource, and names if it is for some alone."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def of_kind(kind: str, *names: str) -> list[dict[str, Any]]:
    files = names or tuple(path.name for path in DEPLOY.glob("*.yaml"))
    return [each for name in files for each in documents(name) if each["kind"] == kind]


def pod() -> dict[str, Any]:
    """Return a pod of the DaemonSet, as the API server has it."""
    (daemonset,) = of_kind("DaemonSet")
    template = daemonset["spec"]["template"]
    assert template["metadata"]["labels"].items() >= (
        daemonset["spec"]["selector"]["matchLabels"].items()
    )
    metadata = {
        **template["metadata"],
        "name": "pod-checkpointer-q9zlm",
        "namespace": daemonset["metadata"]["namespace"],
        "uid": "7f3e",
    }
    spec = {**template["spec"], "nodeName": NODE, "priority": 2000001000, "restartPolicy": "Always"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def objects() -> dict[ObjectName, Asset | None]:
    (config,) = of_kind("ConfigMap")
    kubeconfig = ObjectName("ConfigMap", config["metadata"]["name"])
    (account,) = of_kind("Secret")
    token = ObjectName("Secret", account["metadata"]["name"])
    # what the control plane puts into such a Secret
    data = {"token": TOKEN.encode(), "ca.crt": b"-", "namespace": b"kube-system"}
    values = {key: value.encode() for key, value in config["data"].items()}
    return {kubeconfig: Asset(kubeconfig, values), token: Asset(token, data)}


def container() -> dict[str, Any]:
    (only,) = pod()["spec"]["containers"]
    made: dict[str, Any] = only
    return made


def settings() -> Settings:
    """Return what the daemon makes of its arguments and its environment."""
    values = {
        "spec.nodeName": NODE,
        "metadata.name": "pod-checkpointer-q9zlm",
        "metadata.namespace": "kube-system",
        "status.hostIP": "192.0.2.7",
    }
    environment = {
        each["name"]: values[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in container()["env"]
    }
    arguments = [each.replace("$(NODE_NAME)", NODE) for each in container()["args"]]
    return read_settings(flags_of(make_parser().parse_args(arguments)), environment)


# ------------------------------------------------------------------------------- the DaemonSet


def test_everything_is_in_the_namespace_of_the_checkpointer_or_in_none() -> None:
    found = [each for path in DEPLOY.glob("*.yaml") for each in documents(path.name)]
    assert len(found) == 10
    assert {each["metadata"].get("namespace") for each in found} == {"kube-system", None}


def test_its_pod_is_a_parent_and_becomes_a_static_pod_that_a_kubelet_takes() -> None:
    assert read_pod(pod()).is_parent
    assert pod()["metadata"]["annotations"] == {CHECKPOINT: "true"}
    done = sanitize(pod(), objects(), node=NODE)
    assert isinstance(done, Sanitized), done
    assert refusals(done.manifest, node=NODE) == ()
    assert done.notes == ()
    assert sorted(each.place for each in done.assets) == [
        "configmaps/kube-system/pod-checkpointer-q9zlm/pod-checkpointer-kubeconfig",
        "secrets/kube-system/pod-checkpointer-q9zlm/pod-checkpointer-token",
    ]


def test_all_that_it_mounts_is_there() -> None:
    assert set(needed(pod())) == set(objects())
    volumes = {each["name"] for each in pod()["spec"]["volumes"]}
    assert volumes == {each["name"] for each in container()["volumeMounts"]}


def test_its_environment_is_the_one_that_the_daemon_reads() -> None:
    made = settings()
    assert made.scope.node == NODE
    assert made.own == PodName("kube-system", "pod-checkpointer-q9zlm")
    assert made.scope.namespaces == {"kube-system"}
    assert made.kubelet.url == "https://192.0.2.7:10250"
    assert made.kubelet.server_name == NODE
    assert not made.kubelet.is_anonymous


def mount_of(path: str) -> tuple[dict[str, Any], dict[str, Any], PurePosixPath]:
    """Return the mount and the volume that a path is in, and where in it."""
    wanted = PurePosixPath(path.replace("/var/run/", "/run/"))  # a link in every image
    mounts = [
        each for each in container()["volumeMounts"] if wanted.is_relative_to(each["mountPath"])
    ]
    mount = max(mounts, key=lambda each: len(each["mountPath"]))
    (volume,) = (each for each in pod()["spec"]["volumes"] if each["name"] == mount["name"])
    return mount, volume, wanted.relative_to(mount["mountPath"])


def test_what_it_writes_is_on_the_node_at_the_same_path() -> None:
    made = settings()
    directories = made.directories
    written = [
        *(directories.state, directories.inactive, directories.active, made.lock_file),
        *(directories.roots.secrets, directories.roots.configmaps),
    ]
    for path in written:
        mount, volume, _ = mount_of(path)
        assert not mount.get("readOnly"), path
        assert volume["hostPath"]["path"] == mount["mountPath"], path


def test_what_it_only_reads_is_mounted_read_only() -> None:
    made = settings()
    socket = made.runtime_endpoint.removeprefix("unix://")
    assert made.kubelet.token_file
    assert made.kubelet.ca
    read = [socket, made.kubeconfig, made.kubelet.token_file, made.kubelet.ca]
    mounts = [mount_of(path) for path in read]
    assert [mount["readOnly"] for mount, _, _ in mounts] == 4 * [True]
    assert mounts[0][1]["hostPath"]["path"] == "/run/containerd"
    (config,) = of_kind("ConfigMap")
    assert list(config["data"]) == [str(mounts[1][2])]
    assert str(mounts[2][2]) == "token"
    # the directory around it holds the kubelet's own keys
    assert mounts[3][1]["hostPath"] == {"path": "/var/lib/kubelet/pki/kubelet.crt", "type": "File"}


def test_it_has_the_least_privileges_that_it_works_with() -> None:
    assert pod()["spec"]["automountServiceAccountToken"] is False
    context = container()["securityContext"]
    assert "privileged" not in context
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN", "FSETID"]}
    assert "hostPID" not in pod()["spec"]


# ----------------------------------------------------------------------------------- the rights


def granted() -> set[Right]:
    """Return what the account may do, whichever role says so."""
    (account,) = of_kind("ServiceAccount")
    roles = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in (*of_kind("Role"), *of_kind("ClusterRole"))
    }
    found: set[Right] = set()
    for binding in (*of_kind("RoleBinding"), *of_kind("ClusterRoleBinding")):
        assert [(each["kind"], each["name"]) for each in binding["subjects"]] == [
            ("ServiceAccount", account["metadata"]["name"])
        ]
        namespace = binding["metadata"].get("namespace", "")
        role = roles.pop((binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"]))
        for rule in role["rules"]:
            assert rule["apiGroups"] == [""]
            found.update(
                (namespace, verb, resource, tuple(rule.get("resourceNames", ())))
                for verb in rule["verbs"]
                for resource in rule["resources"]
            )
    assert roles == {}  # each is bound
    return found


def right_of(request: Request) -> Right:
    """Return the right that the API server asks for, for a GET."""
    _, _, _, _, namespace, *rest = request.path.split("/")
    if not rest:  # a namespace is in itself (apiserver's RequestInfo)
        return namespace, "get", "namespaces", (namespace,)
    return namespace, "get" if rest[1:] else "list", rest[0], ()


def answered(ask: Callable[[ApiServerClient], Iterable[object]], tmp_path: Path) -> list[Request]:
    """Ask a server through the client that the kubeconfig makes; return the requests."""
    (config,) = of_kind("ConfigMap")
    credentials = "/etc/pod-checkpointer/credentials"
    (tmp_path / "ca.crt").write_bytes(Path(pki("ca.crt")).read_bytes())
    (tmp_path / "token").write_text(TOKEN)
    with Server(lambda _: reply({}, 404), tls()) as server:
        text = config["data"]["kubeconfig"].replace(credentials, str(tmp_path))
        (tmp_path / "kubeconfig").write_text(text.replace("https://192.0.2.1:6443", server.url))
        with closing(ApiServerClient.connect(str(tmp_path / "kubeconfig"))) as client:
            for answer in ask(client):
                assert isinstance(answer, Failed)
                assert "404" in answer.reason  # so TLS has worked
        return server.requests


def all_requests(client: ApiServerClient) -> list[object]:
    name = PodName("kube-system", "web")
    return [
        client.pods(name.namespace, NODE),
        client.pod(name),
        client.cluster(),
        client.fetch(name.namespace, ObjectName("Secret", "a")),
        client.fetch(name.namespace, ObjectName("ConfigMap", "a")),
    ]


def test_the_rights_are_those_of_the_requests_and_no_others(tmp_path: Path) -> None:
    public = {name for name in vars(ApiServerClient) if not name.startswith("_")}
    assert public == {"connect", "close", "pods", "pod", "cluster", "fetch"}  # all are asked
    requests = answered(all_requests, tmp_path)
    asked = {right_of(request) for request in requests}
    with (
        Server(lambda _: reply({}, 404)) as server,
        closing(KubeletClient.connect(server.url)) as kubelet,
    ):
        kubelet.pods()
        (request,) = server.requests
    # kubelet, pkg/kubelet/server/auth.go: a path is a subresource of nodes
    asked.add(("", "get", f"nodes{request.path}", ()))
    assert granted() == asked


def test_the_kubeconfig_takes_its_credentials_from_the_secret(tmp_path: Path) -> None:
    (request,) = answered(lambda client: [client.cluster()], tmp_path)
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    (secret,) = of_kind("Secret")
    (account,) = of_kind("ServiceAccount")
    assert secret["type"] == "kubernetes.io/service-account-token"
    named = secret["metadata"]["annotations"]["kubernetes.io/service-account.name"]
    assert named == account["metadata"]["name"]


# ------------------------------------------------------------------------------------ the image


def test_the_image_runs_the_daemon() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    entry = [line.partition(" ")[2] for line in lines if line.startswith(("ENTRYPOINT", "CMD"))]
    assert [json.loads(each) for each in entry] == [["checkpointkit"], ["pods", "run"]]
    assert not any("--editable" in line or " -e " in line for line in lines)
    assert container()["args"][:2] == ["pods", "run"]


@pytest.mark.parametrize(
    "name", ["rbac.yaml", "kubeconfig.yaml", "daemonset.yaml", "Containerfile"]
)
def test_the_readme_names_each_file(name: str) -> None:
    assert f"`{name}`" in (DEPLOY / "README.md").read_text()
