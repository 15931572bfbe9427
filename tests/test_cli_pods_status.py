"""`checkpointkit pods status`: what the daemon keeps, and what of it is missing."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from checkpointkit.pods.daemon.serving import serve
from checkpointkit.pods.machine import Stage, State
from checkpointkit.pods.model import PodName, record_key
from checkpointkit.pods.record import Copy, Record
from checkpointkit.pods.state import PodState
from checkpointkit.stopping import Stop
from tests.pods.clients.servers import SECRET
from tests.pods.daemon import WEB, Node, daemon
from tests.support.states import tree
from tests.test_cli_support import flip, run

Capture = pytest.CaptureFixture[str]
LATER = 7260.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with one pod, which was saved two hours ago."""
    with Node(tmp_path) as made:
        made.run()
        serve(made.settings(), Stop())
        yield made


class Clock:
    """Stands in for `datetime`: two hours and a minute later."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(later(), zone)


def later() -> float:
    return time.time() + LATER


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpointkit.cli.pods.run.datetime", Clock)


def shown(node: Node, capsys: Capture) -> tuple[int, str]:
    status, out, err = run(capsys, "pods", "status", *node.directories())
    assert err == ""
    return status, out


def document(node: Node, capsys: Capture) -> dict[str, Any]:
    _, out, err = run(capsys, "pods", "status", "--json", *node.directories())
    assert err == ""
    assert SECRET not in out
    found: dict[str, Any] = json.loads(out)
    assert found["command"] == "pods status"
    return found


def store(node: Node, *records: Record) -> None:
    state = PodState.open(str(node.disk.state))
    for record in records:
        state.save(record)


def test_a_pod_is_a_row_and_nothing_is_changed(node: Node, capsys: Capture) -> None:
    before = tree(node.root / "etc"), tree(node.root / "var")
    status, out = shown(node, capsys)
    assert status == 0
    names, row = out.splitlines()
    assert names.split() == ["POD", "STATE", "UNTIL", "COPY", "UID", "DIGEST", "FILES"]
    digest = document(node, capsys)["pods"][0]["copy"]["digest"].removeprefix("sha256:")[:12]
    assert row.split() == [
        "kube-system/web",
        "inactive",
        "-",
        *("2", "h", "ago", "uid-web"),
        digest,
        "kept",
    ]
    assert (tree(node.root / "etc"), tree(node.root / "var")) == before


def test_programs_read_the_same(node: Node, capsys: Capture) -> None:
    found = document(node, capsys)
    (pod,) = found.pop("pods")
    assert found == {
        "format": 1,
        "command": "pods status",
        "ok": True,
        "cluster": "cluster-1",
        "problems": [],
    }
    copy = pod.pop("copy")
    assert pod == {
        "namespace": "kube-system",
        "name": "web",
        "state": "inactive",
        "until": None,
        "uid": "uid-web",
        "controller_uid": None,
        "inactive": ["kube-system_web.json"],
        "active": [],
        "problems": [],
    }
    assert copy.keys() == {"uid", "saved_at", "digest", "assets"}
    assert copy["assets"] == ["secrets/kube-system/web/tls"]


def test_a_grace_period_shows_its_end(node: Node, capsys: Capture) -> None:
    (record,) = PodState.open(str(node.disk.state), read_only=True).records().values()
    since = later() - 600
    for until, cell in ((later() + 200, "in 3 min"), (later() - 200, "3 min ago")):
        store(node, evolve(record, stage=Stage(State.INACTIVE_GRACE, since, until)))
        _, out = shown(node, capsys)
        assert f"  inactive-grace  {cell}  2 h ago  " in out
        assert document(node, capsys)["pods"][0]["until"].startswith("20")


def test_what_runs_shows_where_it_is(node: Node, capsys: Capture) -> None:
    node.crash()
    with daemon(node.arguments()) as started:
        started.wait_for("inactive -> active")
        status, out = shown(node, capsys)  # beside the daemon
        assert started.end(signal.SIGTERM) == 0
    assert status == 0
    assert out.splitlines()[1].endswith("  kept, active")
    assert document(node, capsys)["pods"][0]["active"] == ["kube-system_web.json"]


def test_an_empty_node_says_so_in_a_terminal_and_is_no_problem(
    tmp_path: Path, capsys: Capture
) -> None:
    with Node(tmp_path) as node:
        serve(node.settings(), Stop())
        assert run(capsys, "pods", "status", *node.directories()) == (0, "", "0 pods\n")
        found = document(node, capsys)
        assert (found["ok"], found["pods"]) == (True, [])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lambda disk: (disk.inactive / "kube-system_web.json").unlink(),
            "its saved manifest is missing",
        ),
        (
            lambda disk: rewrite(disk.inactive / "kube-system_web.json"),
            "its saved manifest is another one",
        ),
        (
            lambda disk: copy_to(disk.inactive / "kube-system_web.json", disk.active),
            "it is in the kubelet's directory, and is not to run",
        ),
        (
            lambda disk: shutil.rmtree(disk.roots.secrets),
            "secrets/kube-system/web/tls: is missing",
        ),
    ],
)
def test_what_is_not_as_it_was_saved_is_a_problem_of_its_pod(
    node: Node, capsys: Capture, damage: Any, problem: str
) -> None:
    damage(node.disk)
    status, out = shown(node, capsys)
    assert (status, out.splitlines()[2:]) == (1, ["", f"{WEB}: {problem}"])
    found = document(node, capsys)
    assert (found["ok"], found["pods"][0]["problems"]) == (False, [problem])


def test_a_manifest_that_no_kubelet_takes_is_a_problem(node: Node, capsys: Capture) -> None:
    path = node.disk.inactive / "kube-system_web.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "spec": ["strange"]}))
    status, out = shown(node, capsys)
    assert status == 1
    assert f"\n{WEB}: kube-system_web.json: a kubelet would refuse it: spec: " in out


def rewrite(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text())))


def copy_to(path: Path, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    shutil.copy(path, directory)


def test_what_is_to_run_and_is_not_there_is_a_problem(node: Node, capsys: Capture) -> None:
    (record,) = PodState.open(str(node.disk.state), read_only=True).records().values()
    store(node, evolve(record, stage=Stage(State.ACTIVE)))
    status, out = shown(node, capsys)
    assert status == 1
    assert f"\n{WEB}: it is to run from the kubelet's directory, and is not there\n" in out


def test_a_pod_without_a_copy_is_a_problem(node: Node, capsys: Capture) -> None:
    store(node, Record(PodName("prod", "a"), Stage(State.INACTIVE)))
    status, out = shown(node, capsys)
    assert status == 1
    assert "prod/a: no copy of it is saved; the daemon's log says why\n" in out
    assert "prod/a           inactive  -      -        -        -             -\n" in out


def test_what_was_removed_is_not_shown(node: Node, capsys: Capture) -> None:
    gone = Record(PodName("prod", "a"), copy=Copy("u", 1.0)).buried()
    store(node, gone)
    assert "prod/a" not in shown(node, capsys)[1]


def test_manifests_without_a_record_are_a_problem(node: Node, capsys: Capture) -> None:
    PodState.open(str(node.disk.state)).delete(WEB)
    assert shown(node, capsys) == (1, f"{WEB}: it has manifests, and no record\n")


def test_a_damaged_record_is_a_problem_and_stays_as_it_is(node: Node, capsys: Capture) -> None:
    flip(node.disk.state / "pods" / record_key(WEB) / "current")
    before = tree(node.disk.state)
    status, out = shown(node, capsys)
    assert status == 1
    assert "corrupt" in out
    assert tree(node.disk.state) == before


def test_a_directory_that_is_none_ends_it_with_2(tmp_path: Path, capsys: Capture) -> None:
    status, out, err = run(capsys, "pods", "status", f"--state-directory={tmp_path}/none")
    assert (status, out) == (2, "")
    assert err.startswith("checkpointkit: ")
    assert not (tmp_path / "none").exists()


def test_directories_that_make_no_sense_end_it_with_2(tmp_path: Path, capsys: Capture) -> None:
    status, out, err = run(capsys, "pods", "status", "--manifests=relative")
    assert (status, out) == (2, "")
    assert err == (
        "checkpointkit: --manifests is no absolute path\n"
        "    next: see checkpointkit pods status --help\n"
    )
