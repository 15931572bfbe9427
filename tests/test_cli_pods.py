"""`checkpointkit pods`: sanitize, status, and the arguments of run."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkpointkit.cli.arguments import make_parser
from checkpointkit.cli.logs import logging_to_stderr
from checkpointkit.cli.pods.arguments import flags_of
from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.daemon.flags import Flags
from checkpointkit.pods.model import CHECKPOINT, CHECKPOINT_OF
from tests.test_cli_support import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NODE_NAME", "POD_NAME", "POD_NAMESPACE", "HOST_IP"):
        monkeypatch.delenv(name, raising=False)


def run_json(capsys: Capture, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    status, out, err = run(capsys, *arguments, "--json")
    assert err == ""
    document = json.loads(out)
    assert document["format"] == 1
    assert document["command"] == f"pods {arguments[1]}"
    return status, document


# ------------------------------------------------------------------------------- the arguments


def test_the_flags_of_the_original_are_understood_with_one_dash_and_with_two() -> None:
    one = "-lock-file=/l -kubeconfig /k -container-runtime-endpoint unix:///r "
    one += "-runtime-request-timeout 1m -checkpoint-grace-period=2m"
    expected = Flags(
        lock_file="/l",
        kubeconfig="/k",
        container_runtime_endpoint="unix:///r",
        runtime_request_timeout="1m",
        checkpoint_grace_period="2m",
    )
    for typed in (one, f" {one}".replace(" -", " --")):
        arguments = make_parser().parse_args(["pods", "run", *typed.split()])
        assert flags_of(arguments) == expected


def test_each_flag_of_the_daemon_can_be_typed() -> None:
    typed = make_parser().parse_args(["pods", "run"])
    assert flags_of(typed) == Flags()
    assert Flags.__annotations__.keys() <= vars(typed).keys()


def test_other_commands_import_nothing_of_the_pods_but_their_flags() -> None:
    program = (
        "import sys; from checkpointkit.cli import main; main(['list', '.']);"
        "print([name for name in sys.modules if name.startswith('checkpointkit.pods.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout == "['checkpointkit.pods.daemon', 'checkpointkit.pods.daemon.flags']\n"


# ------------------------------------------------------------------------------------ sanitize

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "prod", "annotations": {CHECKPOINT: "true"}},
    "spec": {
        "nodeName": "node1",
        "containers": [
            {
                "name": "web",
                "image": "web:1",
                "env": [
                    {
                        "name": "LEVEL",
                        "valueFrom": {"configMapKeyRef": {"name": "web", "key": "level"}},
                    }
                ],
                "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
            }
        ],
        "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    },
}
TLS = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "tls", "namespace": "prod"},
    "data": {"ca.crt": base64.b64encode(b"hush").decode()},
}
WEB = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "web", "namespace": "prod"},
    "data": {"level": "debug"},
}


def write(path: Path, *documents: Any) -> Path:
    """Write a file: one document as JSON, several as YAML."""
    text = json.dumps(documents[0]) if len(documents) == 1 else yaml.safe_dump_all(documents)
    path.write_text(text)
    return path


def test_sanitize_prints_what_a_kubelet_takes(tmp_path: Path, capsys: Capture) -> None:
    pod = write(tmp_path / "pod.json", POD)
    objects = write(tmp_path / "objects.yaml", TLS, WEB)
    status, out, err = run(capsys, "pods", "sanitize", pod, "--objects", objects)
    assert status == 0
    manifest = json.loads(out)
    assert refusals(manifest, node="node1") == ()
    assert manifest["metadata"]["annotations"] == {CHECKPOINT_OF: "web"}
    assert manifest["spec"]["containers"][0]["env"] == [{"name": "LEVEL", "value": "debug"}]
    assert err == (
        "directory /etc/kubernetes/checkpoint-secrets/prod/web/tls, mode 0755, group 0\n"
        "    ca.crt, mode 0644, 4 bytes\n"
    )


def test_sanitize_says_the_same_to_programs(tmp_path: Path, capsys: Capture) -> None:
    pod = write(tmp_path / "pod.json", POD)
    objects = write(tmp_path / "objects.yaml", TLS, WEB)
    options = ["--objects", str(objects), "--checkpoint-secrets", "/secrets"]
    status, document = run_json(capsys, "pods", "sanitize", pod, *options)
    assert (status, document["ok"], document["notes"]) == (0, True, [])
    volume = {"name": "tls", "hostPath": {"path": "/secrets/prod/web/tls"}}
    assert document["manifest"]["spec"]["volumes"] == [volume]
    assert document["assets"] == [
        {
            "path": "/secrets/prod/web/tls",
            "mode": "0755",
            "gid": 0,
            "files": [{"path": "ca.crt", "mode": "0644", "size": 4}],
        }
    ]


def test_what_is_missing_is_named_with_its_path(tmp_path: Path, capsys: Capture) -> None:
    pod = write(tmp_path / "pod.json", POD)
    other = {**TLS, "metadata": {"name": "tls", "namespace": "elsewhere"}}
    objects = write(tmp_path / "objects.json", other)
    said = (
        "checkpointkit: this pod cannot run without the API server\n"
        "spec.volumes[0].secret: Secret tls was not fetched\n"
        "spec.containers[0].env[0].valueFrom.configMapKeyRef: ConfigMap web was not fetched\n"
        "    next: give what it needs with --objects FILE: ConfigMap web, Secret tls\n"
    )
    assert run(capsys, "pods", "sanitize", pod, "--objects", objects) == (1, "", said)
    status, document = run_json(capsys, "pods", "sanitize", pod)
    assert (status, document["ok"]) == (1, False)
    assert document["missing"] == ["ConfigMap web", "Secret tls"]
    assert document["refusals"][0] == {
        "path": "spec.volumes[0].secret",
        "reason": "Secret tls was not fetched",
    }


def test_a_pod_that_no_object_helps_is_refused_with_its_path(
    tmp_path: Path, capsys: Capture
) -> None:
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    pod = {**POD, "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [claim]}}
    status, out, err = run(capsys, "pods", "sanitize", write(tmp_path / "pod.json", pod))
    assert (status, out) == (1, "")
    assert "\nspec.volumes[0].persistentVolumeClaim: " in err
    assert "next:" not in err


@pytest.mark.parametrize("spec", [None, "text", {"containers": "none"}])
def test_a_pod_of_another_shape_is_refused(tmp_path: Path, capsys: Capture, spec: Any) -> None:
    pod = write(tmp_path / "pod.json", {**POD, "spec": spec, "metadata": {"annotations": 1}})
    status, out, err = run(capsys, "pods", "sanitize", pod)
    assert (status, out) == (1, "")
    assert err.startswith("checkpointkit: this pod cannot run without the API server\n")


@pytest.mark.parametrize(
    "documents",
    [
        [{"apiVersion": "v1", "kind": "List", "items": [TLS, WEB]}],
        [TLS, WEB],
        [
            {"kind": "SecretList", "items": [{k: TLS[k] for k in ("metadata", "data")}, 7]},
            {"kind": "ConfigMapList", "items": [{"metadata": {"name": "web"}, **WEB}]},
            {"kind": "ServiceList", "items": [{"metadata": {"name": "tls"}}]},
            {"kind": "Service"},
            None,
        ],
    ],
)
def test_objects_come_as_kubectl_prints_them(
    tmp_path: Path, capsys: Capture, documents: list[Any]
) -> None:
    pod = write(tmp_path / "pod.json", POD)
    objects = write(tmp_path / "objects", *documents)
    assert run(capsys, "pods", "sanitize", pod, "--objects", objects)[0] == 0


def test_a_pod_may_come_from_a_pipe_and_as_yaml(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "kind: Pod\napiVersion: v1\nmetadata:\n  name: web\n  namespace: prod\n"
        "  creationTimestamp: 2026-01-02T03:04:05Z\nspec:\n  nodeName: node1\n"
        "  containers:\n  - {name: c, image: i}\n---\n"
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    status, out, err = run(capsys, "pods", "sanitize", "-")
    assert (status, json.loads(out)["metadata"]["name"]) == (0, "web")
    assert (
        err == f'note: metadata.annotations: without {CHECKPOINT}: "true" nothing is kept of it\n'
    )


def test_the_name_of_the_node_counts(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
    sources = [{"secret": {"name": "tls", "optional": True}}, {"downwardAPI": {"items": [name]}}]
    volumes = [{"name": "all", "projected": {"sources": sources}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    objects = write(tmp_path / "objects.json", TLS)

    def size(*options: str, node: str | None = None) -> int:
        """Return the length of the name that the copy will have on the node."""
        pod = write(tmp_path / "pod.json", {**POD, "spec": {**spec, "nodeName": node}})
        _, document = run_json(capsys, "pods", "sanitize", pod, "--objects", str(objects), *options)
        (files,) = document["assets"]
        found = {file["path"]: file["size"] for file in files["files"]}
        return int(found["name"])

    monkeypatch.setenv("NODE_NAME", "a")
    assert size() == len("web-a")
    assert size(node="bb") == len("web-bb")
    assert size("--node", "ccc", node="bb") == len("web-ccc")


def test_labels_are_kept_when_that_is_asked_for(tmp_path: Path, capsys: Capture) -> None:
    metadata = {**POD["metadata"], "labels": {"app": "web"}}
    spec = {"containers": [{"name": "c", "image": "i"}]}
    pod = write(tmp_path / "pod.json", {**POD, "metadata": metadata, "spec": spec})
    _, document = run_json(capsys, "pods", "sanitize", pod)
    assert "labels" not in document["manifest"]["metadata"]
    _, document = run_json(capsys, "pods", "sanitize", pod, "--keep-labels")
    assert document["manifest"]["metadata"]["labels"] == {"app": "web"}


def test_a_checkpoint_is_printed_as_it_is(tmp_path: Path, capsys: Capture) -> None:
    metadata = {**POD["metadata"], "annotations": {CHECKPOINT_OF: "web"}}
    copy = {**POD, "metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    status, out, err = run(capsys, "pods", "sanitize", write(tmp_path / "copy.json", copy))
    assert (status, json.loads(out), err) == (0, copy, "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "neither JSON nor YAML of objects"),
        (b"hush: [", "neither JSON nor YAML of objects"),
        (b"hush", "neither JSON nor YAML of objects"),
        (b'"hush"', "neither JSON nor YAML of objects"),
        (b"[" * 100_000, "neither JSON nor YAML of objects"),
        (b"!!python/object/apply:os.system [hush]", "neither JSON nor YAML of objects"),
        (b"", "has 0 documents"),
        (b"a: 1\n---\nb: 1\n", "has 2 documents"),
    ],
)
def test_a_file_that_is_none_is_refused_and_not_quoted(
    tmp_path: Path, capsys: Capture, content: bytes, said: str
) -> None:
    path = tmp_path / "pod"
    path.write_bytes(content)
    status, out, err = run(capsys, "pods", "sanitize", path)
    assert (status, out) == (2, "")
    assert f"{path}" in err
    assert said in err
    assert "hush" not in err


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "pod"
    assert run(capsys, "pods", "sanitize", path) == (
        2,
        "",
        f"checkpointkit: {path} cannot be read: No such file or directory\n    next: see to it\n",
    )
    status, document = run_json(capsys, "pods", "sanitize", path)
    assert (status, document["error"]["type"]) == (2, "NoFile")


def test_an_object_that_is_none_is_refused_and_not_quoted(tmp_path: Path, capsys: Capture) -> None:
    pod = write(tmp_path / "pod.json", POD)
    objects = write(tmp_path / "objects", {**TLS, "data": {"ca.crt": "hush!"}})
    status, out, err = run(capsys, "pods", "sanitize", pod, "--objects", objects)
    assert (status, out) == (2, "")
    assert f"{objects} has a Secret that is none: a value is no base64" in err
    assert "hush" not in err


def test_yaml_without_its_extra_says_what_to_install(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text("a: 1")
    monkeypatch.setitem(sys.modules, "yaml", None)
    said = "yaml is missing; install it with: pip install 'checkpointkit[kubernetes]'"
    assert run(capsys, "pods", "sanitize", path) == (2, "", f"checkpointkit: {said}\n")
    status, document = run_json(capsys, "pods", "sanitize", path)
    assert (status, document["error"]) == (2, {"type": "MissingExtraError", "message": said})
    assert run(capsys, "pods", "sanitize", write(tmp_path / "pod.json", POD))[0] == 1


def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    unmarked = {**POD, "metadata": {"name": "a", "namespace": "b"}, "spec": spec}
    pod = write(tmp_path / "pod.json", unmarked)
    command = [sys.executable, "-m", "checkpointkit", "pods", "sanitize", str(pod)]
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" >&-', "bash", *command],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("note: ")


# ------------------------------------------------------------------------------------- the log


def test_a_line_of_the_log_stays_one_line_with_its_time_in_utc(capsys: Capture) -> None:
    log = logging.getLogger("checkpointkit.pods")
    with logging_to_stderr():
        log.info("a\nb\x1b[2J")
        log.debug("hidden")
    log.warning("after it")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO a\\nb\\x1b\[2J\n", err)
    written = datetime.fromisoformat(err.partition(" ")[0])
    assert abs((datetime.now(UTC) - written).total_seconds()) < 600
