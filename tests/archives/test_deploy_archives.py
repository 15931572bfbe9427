"""What deploy/archives applies: it parses, fits the code, and allows what is asked for alone."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from argparse import Namespace
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
import yaml

from checkpointkit.archives.model import DEFAULT_DIRECTORY, Container, Parent
from checkpointkit.archives.policies import Rules
from checkpointkit.archives.policyfiles.reading import PolicyFile, read_policy
from checkpointkit.archives.watching.orphans import KubernetesLookup
from checkpointkit.cli.arguments import make_parser
from tests.pods.clients.servers import Request, Server, pki, reply, tls

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy" / "archives"
SERVICE: Final = "checkpointkit-archives.service"
TIMER: Final = "checkpointkit-archives.timer"
UID: Final = "d2139d84-b72d-4e56-aa68-06d2f74e2528"

Right = tuple[str, str]
"""Verb and resource, in the whole cluster."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def of_kind(kind: str) -> dict[str, Any]:
    names = ("rbac.yaml", "policy.yaml", "daemonset.yaml")
    (found,) = (each for name in names for each in documents(name) if each["kind"] == kind)
    made: dict[str, Any] = found
    return made


def pod() -> dict[str, Any]:
    daemonset = of_kind("DaemonSet")
    template = daemonset["spec"]["template"]
    labels = daemonset["spec"]["selector"]["matchLabels"]
    assert template["metadata"]["labels"].items() >= labels.items()
    made: dict[str, Any] = template["spec"]
    return made


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    made: dict[str, Any] = only
    return made


def mount_of(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mount and the volume that a path is in."""
    (mount,) = (
        each
        for each in container()["volumeMounts"]
        if PurePosixPath(path).is_relative_to(each["mountPath"])
    )
    (volume,) = (each for each in pod()["volumes"] if each["name"] == mount["name"])
    return mount, volume


def parsed(arguments: list[str]) -> Namespace:
    return make_parser().parse_args(arguments)


def unit(name: str) -> configparser.SectionProxy:
    """Return the section that says what a unit does; no setting of ours is there twice."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / name).read_text())
    return parser["Service" if name == SERVICE else "Timer"]


# ------------------------------------------------------------------------------------ the DaemonSet


def test_everything_is_in_one_namespace_or_in_none() -> None:
    found = [each for path in DEPLOY.glob("*.yaml") for each in documents(path.name)]
    kinds = sorted(each["kind"] for each in found)
    assert kinds == [
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "DaemonSet",
        "RetentionPolicy",
        "ServiceAccount",
    ]
    namespaces = {each.get("metadata", {}).get("namespace") for each in found}
    assert namespaces == {"kube-system", None}
    account = of_kind("ServiceAccount")
    assert pod()["serviceAccountName"] == account["metadata"]["name"]


def test_it_runs_the_watcher_with_flags_that_there_are() -> None:
    arguments = parsed(container()["args"])
    assert (arguments.command, arguments.part) == ("archives", "watch")
    assert arguments.directory == DEFAULT_DIRECTORY
    assert arguments.in_cluster
    assert not arguments.poll  # the image has the extra
    assert arguments.dry_run  # nothing goes before somebody has seen what would
    assert "--dry-run" in (DEPLOY / "README.md").read_text()


def test_the_readme_plans_what_the_watcher_would_do() -> None:
    text = (DEPLOY / "README.md").read_text()
    (line,) = re.findall(r"-- checkpointkit (archives plan .*)$", text, re.MULTILINE)
    planned, watched = parsed(shlex.split(line)), parsed(container()["args"])
    for name in ("directory", "policy", "state", "settle", "in_cluster", "kubeconfig"):
        assert getattr(planned, name) == getattr(watched, name), name


def test_each_node_is_served() -> None:
    assert pod()["tolerations"] == [{"operator": "Exists"}]
    assert pod()["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_what_it_writes_is_on_the_node_at_the_same_path() -> None:
    arguments = parsed(container()["args"])
    for path in (arguments.directory, arguments.state):
        mount, volume = mount_of(path)
        assert not mount.get("readOnly")
        assert mount["mountPath"] == volume["hostPath"]["path"] == path
    mount, volume = mount_of(arguments.directory)
    # a directory that the kubelet has not made yet is not made in its place
    assert volume["hostPath"]["type"] == "Directory"
    assert mount["mountPropagation"] == "HostToContainer"
    state, directory = PurePosixPath(arguments.state), PurePosixPath(arguments.directory)
    assert not state.is_relative_to(directory)
    assert not directory.is_relative_to(state)


def test_what_is_done_by_hand_in_its_pod_finds_the_same_state() -> None:
    by_hand = parsed(["archives", "list", "--deleted"])
    assert by_hand.state == parsed(container()["args"]).state


def test_all_volumes_are_mounted_and_all_mounts_are_there() -> None:
    volumes = sorted(each["name"] for each in pod()["volumes"])
    assert volumes == sorted(each["name"] for each in container()["volumeMounts"])


def test_it_has_the_least_privileges_that_it_works_with() -> None:
    context = container()["securityContext"]
    assert "privileged" not in context
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostPID", "hostNetwork", "hostIPC"} & pod().keys()
    assert set(container()["resources"]) == {"requests", "limits"}


# --------------------------------------------------------------------------------------- the policy


def policy(name: str) -> PolicyFile:
    if name == "archives.yaml":
        return read_policy((DEPLOY / name).read_text(), source=name)
    config = of_kind("ConfigMap")
    mount, volume = mount_of(parsed(container()["args"]).policy)
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    assert mount["readOnly"] is True
    file = PurePosixPath(parsed(container()["args"]).policy).relative_to(mount["mountPath"])
    assert list(config["data"]) == [str(file)]
    return read_policy(config["data"][str(file)], source=name)


@pytest.mark.parametrize("name", ["archives.yaml", "policy.yaml"])
def test_the_policy_is_one_and_deletes_no_more_than_it_says(name: str) -> None:
    made = policy(name)
    assert made.directory == DEFAULT_DIRECTORY
    assert made.notes == ()
    assert made.policy.rules.container_count == 10
    assert made.policy.rules.allow_empty in {Rules().allow_empty, False}


def test_both_policies_are_the_same_but_for_what_takes_an_api_server() -> None:
    alone = yaml.safe_load((DEPLOY / "archives.yaml").read_text())
    everywhere = yaml.safe_load(of_kind("ConfigMap")["data"]["archives.yaml"])
    assert everywhere.pop("orphans") == {"grace": "7d", "gone": "pod"}
    assert everywhere == alone


# --------------------------------------------------------------------------------------- the rights


def granted() -> set[Right]:
    role, binding = of_kind("ClusterRole"), of_kind("ClusterRoleBinding")
    account = of_kind("ServiceAccount")["metadata"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [(each["kind"], each["name"], each["namespace"]) for each in binding["subjects"]] == [
        ("ServiceAccount", account["name"], account["namespace"])
    ]
    (rule,) = role["rules"]
    assert rule["apiGroups"] == [""]
    assert set(rule) == {"apiGroups", "resources", "verbs"}
    return {(verb, resource) for verb in rule["verbs"] for resource in rule["resources"]}


def right_of(request: Request) -> Right:
    """Return the right that the API server asks for, for a GET."""
    _, _, _, _, _, *rest = request.path.split("/")
    if not rest:
        return "get", "namespaces"
    return "get" if rest[1:] else "list", rest[0]


def test_the_rights_are_those_of_the_requests_and_no_others(tmp_path: Path) -> None:
    def answer(request: Request) -> bytes:
        *_, kind, name = request.path.split("/")
        if name == "kube-system":
            metadata = {"name": name, "uid": "6c1f"}
            return reply({"kind": "Namespace", "metadata": metadata})
        details = {"kind": kind, "name": name}
        return reply({"kind": "Status", "reason": "NotFound", "details": details}, 404)

    parent = Parent(Container("default", "web", "app"), UID)
    with Server(answer, tls()) as server:
        cluster = {"server": server.url, "certificate-authority": pki("ca.crt")}
        config = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            "current-context": "c",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        with closing(KubernetesLookup.connect(str(tmp_path / "kubeconfig"))) as lookup:
            assert lookup.look([parent]).gone  # all that there is to ask was asked
    assert {right_of(request) for request in server.requests} == granted()


def test_the_account_has_a_token_where_it_is_used_alone() -> None:
    assert of_kind("ServiceAccount")["automountServiceAccountToken"] is False
    assert pod()["automountServiceAccountToken"] is True


# ---------------------------------------------------------------------------------------- the image


def test_the_image_runs_the_command_line_with_all_that_the_watcher_needs() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    (command,) = re.findall(r"^CMD (.*)$", text, re.MULTILINE)
    assert (json.loads(entry), json.loads(command)) == (["checkpointkit"], ["archives"])
    parsed(json.loads(command))
    assert "'/src[archives,kubernetes,watch]'" in text
    assert "--editable" not in text


# ---------------------------------------------------------------------------------------- systemd


def command_of_service() -> Namespace:
    program, *arguments = shlex.split(unit(SERVICE)["ExecStart"])
    assert program == "/opt/checkpointkit/bin/checkpointkit"
    assert f"{program.removesuffix('checkpointkit')}pip install" in (
        (DEPLOY / "README.md").read_text()
    )
    return parsed(arguments)


def test_the_service_applies_the_policy_to_the_same_directory() -> None:
    arguments = command_of_service()
    assert (arguments.command, arguments.part, arguments.yes) == ("archives", "apply", True)
    watched = parsed(container()["args"])
    for name in ("directory", "state", "policy"):
        assert getattr(arguments, name) == getattr(watched, name), name
    assert f"archives.yaml {arguments.policy}" in (DEPLOY / "README.md").read_text()


def test_the_service_may_write_what_it_writes_and_nothing_else() -> None:
    service, arguments = unit(SERVICE), command_of_service()
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == arguments.directory
    assert f"/var/lib/{service['StateDirectory']}" == arguments.state
    text = (DEPLOY / SERVICE).read_text()
    assert f"ConditionPathIsDirectory={arguments.directory}\n" in text
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    # who is asked whose pods are gone is on the network
    assert (arguments.kubeconfig, arguments.in_cluster) == (None, False)
    assert service["PrivateNetwork"] == "yes"
    assert read_policy((DEPLOY / "archives.yaml").read_text(), source="-").policy.rules.orphans in {
        None,
        Rules().orphans,
    }


def test_the_timer_starts_the_service() -> None:
    assert TIMER.removesuffix(".timer") == SERVICE.removesuffix(".service")
    assert unit(TIMER)["OnUnitInactiveSec"]
    assert "Unit" not in unit(TIMER)
    assert f"systemctl enable --now {TIMER}" in (DEPLOY / "README.md").read_text()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("there is no systemd-analyze")
    for name in (SERVICE, TIMER):
        text = (DEPLOY / name).read_text()
        # the program need not be installed here
        text = text.replace("/opt/checkpointkit/bin/checkpointkit", "/bin/true")
        (tmp_path / name).write_text(text)
    command = [verify, "verify", "--man=no", *(str(tmp_path / name) for name in (SERVICE, TIMER))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "checkpointkit-archives" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_the_readme_names_each_file(path: Path) -> None:
    text = (DEPLOY / "README.md").read_text()
    assert path.name == "README.md" or f"| `{path.name}` |" in text


def test_the_readme_applies_files_that_there_are_and_types_commands_that_there_are() -> None:
    text = (DEPLOY / "README.md").read_text()
    for path in re.findall(r"deploy/archives/[\w.-]+", text):
        assert (ROOT / path).is_file(), path
    typed = re.findall(r"^(?:.*-- )?checkpointkit (archives .*)$", text, re.MULTILINE)
    assert len(typed) == 4
    for line in typed:
        parsed(shlex.split(line))
