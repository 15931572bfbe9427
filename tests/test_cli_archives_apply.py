"""`checkpointkit archives`: policies, plan, apply and watch. Nothing goes without `apply`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checkpointkit.archives.retention import Retention
from checkpointkit.stopping import Stop
from tests.support.states import tree
from tests.test_cli_archives_support import APP, GIB, JOB, Capture, Node, archives, document, node
from tests.test_cli_support import run
from tests.test_cli_terminal import Screen, person, screen, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["node", "person", "screen"]

OWN = "apiVersion: checkpointkit/v1\nkind: RetentionPolicy\n"
NOBODY_THERE = """
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: a, user: {token: abc}}]
"""


def fill(node: Node) -> list[str]:
    """Add five archives of one container and one of another; the five, oldest first."""
    names = [node.add(hours=hours, size=GIB) for hours in (97, 73, 49, 25, 1)]
    node.add(JOB, hours=3)
    return names


def policy(node: Node, text: str, head: str = OWN) -> Path:
    file = node.root / "policy.yaml"
    file.write_text(head + text)
    return file


# -------------------------------------------------------------------------------------- policies


def test_the_flags_of_rules_replace_the_default(node: Node, capsys: Capture) -> None:
    fill(node)
    found = document(capsys, "plan", "--keep-last", "2", "--max-age", "4d")
    assert (found["delete"], found["keep"]) == (3, 3)
    assert found["freed"] > 3 * GIB
    assert document(capsys, "plan")["delete"] == 0
    assert document(capsys, "plan", "--max-per-container", "4")["delete"] == 1
    assert document(capsys, "plan", "--keep-daily", "3")["delete"] == 2
    assert document(capsys, "plan", "--keep-within", "2d")["delete"] == 2


def test_the_default_does_not_join_the_flags(node: Node, capsys: Capture) -> None:
    for hours in range(1, 13):
        node.add(hours=hours)
    assert document(capsys, "plan")["delete"] == 2
    assert document(capsys, "plan", "--keep-last", "12")["delete"] == 0


def test_a_policy_of_our_own_is_read(node: Node, capsys: Capture) -> None:
    fill(node)
    file = policy(node, "keepLast: 1\nnamespaces:\n  - namespace: default\n    keepLast: 3\n")
    found = document(capsys, "plan", "--policy", file)
    assert [each["rule"] for each in found["decisions"] if each["delete"]] == ["expired"] * 2


def test_the_operators_policy_is_read_with_its_directory(node: Node, capsys: Capture) -> None:
    fill(node)
    other = node.root / "other"
    other.mkdir()
    file = policy(
        node,
        f"spec:\n  checkpointDirectory: {other}\n"
        "  globalPolicy: {maxCheckpointsPerContainer: 2}\n",
        "apiVersion: criu.org/v1\nkind: CheckpointRestoreOperator\n",
    )
    assert document(capsys, "plan", "--policy", file)["directory"] == str(other)
    found = document(capsys, "plan", "--policy", file, node.path)
    assert (found["directory"], found["delete"]) == (str(node.path), 3)


def test_a_policy_and_flags_do_not_go_together(node: Node, capsys: Capture) -> None:
    file = policy(node, "keepLast: 1\n")
    status, out, err = run(capsys, "archives", "plan", "--policy", file, "--keep-daily", "3")
    assert (status, out) == (2, "")
    assert err == (
        "checkpointkit: --keep-daily does not go with --policy\n"
        "    next: write the rule into the file\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("keepLast: 0\n", "3: keepLast"), ("keepLost: 1\n", "did you mean keepLast?")],
)
def test_a_policy_that_cannot_be_used_is_told_with_its_line(
    node: Node, capsys: Capture, text: str, message: str
) -> None:
    status, out, err = run(capsys, "archives", "apply", "--policy", policy(node, text))
    assert (status, out) == (2, "")
    assert message in err


def test_a_policy_that_is_not_there_is_told(node: Node, capsys: Capture) -> None:
    found = document(capsys, "plan", "--policy", node.root / "gone", status=2)
    assert found["error"]["type"] == "PolicyError"


def test_without_pyyaml_a_policy_file_is_told_with_the_pip_line(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = policy(node, "keepLast: 1\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    status, _, err = run(capsys, "archives", "plan", "--policy", file)
    assert status == 2
    assert "pip install 'checkpointkit[archives]'" in err
    assert archives(capsys, "plan", "--keep-last", "1").startswith("to delete  nothing\n")


@pytest.mark.parametrize("flag", ["keep-within", "max-age", "settle"])
def test_a_duration_that_is_none_is_told_with_its_flag(
    node: Node, capsys: Capture, flag: str
) -> None:
    status, _, err = run(capsys, "archives", "plan", f"--{flag}", "5m")
    assert status == 2
    assert err.startswith(f"checkpointkit: --{flag}: ")


@pytest.mark.parametrize("flag", ["keep-within", "max-age", "settle"])
def test_a_flag_is_not_told_to_be_none(node: Node, capsys: Capture, flag: str) -> None:
    status, _, err = run(capsys, "archives", "plan", f"--{flag}", "0d")
    assert (status, err) == (2, f"checkpointkit: --{flag}: has to be above 0\n")


def test_an_archive_counts_as_finished_at_once_where_that_is_said(
    node: Node, capsys: Capture
) -> None:
    node.add(hours=0)
    (row,) = document(capsys, "list", "--settle", "0s")["archives"]
    assert row["state"] == "complete"


def test_an_archive_counts_as_finished_after_the_time_that_was_said(
    node: Node, capsys: Capture
) -> None:
    node.add(hours=0.01)  # 36 seconds
    (row,) = document(capsys, "list")["archives"]
    assert row["state"] == "in flight"
    (row,) = document(capsys, "list", "--settle", "30s")["archives"]
    assert row["state"] == "complete"


# ------------------------------------------------------------------------------------------ plan


def test_a_plan_says_what_goes_by_which_rule_and_why(node: Node, capsys: Capture) -> None:
    fill(node)
    text = archives(capsys, "plan", "--max-per-container", "4")
    names, row, empty, delete, keep = text.splitlines()
    assert names.split() == ["ARCHIVE", "AGE", "SIZE", "RULE", "WHY"]
    assert row.split()[:6] == [str(APP), "4", "d", "1.0", "GiB", "container-count"]
    assert row.endswith("the container default/web/app has 5 archives, 4 are allowed")
    assert (empty, delete) == ("", "to delete  1 archive, 1.0 GiB: 1 container-count")
    assert keep.startswith("to keep    5 archives, 4.0 GiB: ")


def test_a_plan_shows_all_of_them_on_demand(node: Node, capsys: Capture) -> None:
    fill(node)
    text = archives(capsys, "plan", "--all", "--max-per-container", "4")
    assert [line.split()[0] for line in text.splitlines()[1:7]] == ["delete", *["keep"] * 5]
    assert len(text.splitlines()) == 10
    assert archives(capsys, "plan", "--all", node.root).count("\n") == 2


def test_nothing_to_do_is_said(node: Node, capsys: Capture) -> None:
    assert archives(capsys, "plan") == "to delete  nothing\nto keep    0 archives, 0 B\n"


def test_a_limit_that_cannot_be_held_has_a_status_of_its_own(node: Node, capsys: Capture) -> None:
    fill(node)
    file = policy(node, "maxTotalSizePerContainer: 1Mi\n")
    status, out, err = run(capsys, "archives", "plan", "--policy", file)
    assert (status, err) == (3, "")
    assert "\n1 limit cannot be held:\n    the container default/web/app keeps 1.0" in out
    found = document(capsys, "plan", "--policy", file, status=3)
    (unmet,) = found["unmet"]
    assert unmet["rule"] == "container-size"
    assert unmet["group"] == str(APP)
    assert (unmet["wanted"], unmet["blocked"]) == (2**20, {"floor": 1})
    assert document(capsys, "--policy", file)["plan"]["unmet"] == [unmet]
    assert run(capsys, "archives", "apply", "--yes", "--policy", file)[0] == 3


def test_what_nobody_could_be_asked_about_is_a_problem(node: Node, capsys: Capture) -> None:
    fill(node)
    file = policy(node, "orphans: {grace: 1d}\n")
    status, out, _ = run(capsys, "archives", "plan", "--policy", file)
    assert status == 1
    assert out.count("\n") == 4
    assert len(document(capsys, "plan", "--policy", file, status=1)["problems"]) == 1


def test_an_api_server_that_does_not_answer_makes_no_orphans(node: Node, capsys: Capture) -> None:
    fill(node)
    file = policy(node, "orphans: {grace: none}\n")
    (node.root / "kubeconfig").write_text(NOBODY_THERE)
    found = document(
        capsys, "plan", "--policy", file, "--kubeconfig", node.root / "kubeconfig", status=1
    )
    assert found["delete"] == 0
    assert found["problems"] != []


def test_a_kubeconfig_that_cannot_be_used_is_told(node: Node, capsys: Capture) -> None:
    found = document(capsys, "plan", "--kubeconfig", node.root / "gone", status=2)
    assert found["error"]["type"] == "SourceConfigError"


def test_two_ways_to_the_api_server_are_one_too_many(node: Node, capsys: Capture) -> None:
    status, _, err = run(capsys, "archives", "plan", "--kubeconfig", "x", "--in-cluster")
    assert status == 2
    assert "two ways" in err
    assert run(capsys, "archives", "plan", "--in-cluster")[0] == 2  # this is no pod


# ----------------------------------------------------------------------------------------- apply


def test_apply_deletes_what_the_plan_said_and_records_it(node: Node, capsys: Capture) -> None:
    names = fill(node)
    text = archives(capsys, "apply", "--yes", "--keep-last", "3")
    assert text.startswith("2 archives deleted, ")
    assert text.endswith(" freed\n")
    assert [name for name in names if name in node.names()] == names[2:]
    lines = archives(capsys, "list", "--deleted").splitlines()
    assert lines[0].split() == ["ARCHIVE", "DELETED", "SIZE", "RULE", "OUTCOME", "WHY"]
    assert len(lines) == 3
    assert lines[1].split()[1:6] == ["2026-01-02T03:04:05Z", "1.0", "GiB", "expired", "deleted"]
    found = document(capsys, "list", "--deleted", "--namespace", "default")["deleted"]
    assert sorted(each["name"] for each in found) == sorted(names[:2])
    assert document(capsys, "list", "--deleted", "--pod", "job-1")["deleted"] == []
    assert archives(capsys, "apply", "--keep-last", "3").startswith("to delete  nothing\n")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_where_nobody_can_be_asked_nothing_is_deleted(
    node: Node, capsys: Capture, more: list[str]
) -> None:
    fill(node)
    before = tree(node.path)
    status, out, err = run(capsys, "archives", "apply", "--keep-last", "1", *more)
    assert status == 2
    assert "--yes" in (json.loads(out)["error"]["next"] if more else err)
    assert tree(node.path) == before


def test_a_dry_run_deletes_nothing_and_writes_nothing(node: Node, capsys: Capture) -> None:
    fill(node)
    before = tree(node.root)
    text = archives(capsys, "apply", "--dry-run", "--keep-last", "1")
    assert "to delete  4 archives" in text
    found = document(capsys, "apply", "--dry-run", "--yes", "--keep-last", "1")
    assert (found["dry_run"], found["delete"], found["deleted"]) == (True, 4, [])
    assert (found["planned"] > 4 * GIB, found["freed"]) == (True, 0)
    assert tree(node.root) == before


def test_programs_read_what_was_deleted(node: Node, capsys: Capture) -> None:
    names = fill(node)
    found = document(capsys, "apply", "--yes", "--keep-last", "3")
    assert found["deleted"] == names[:2]
    assert found["skipped"] == []
    assert found["planned"] > 2 * GIB > found["freed"] > 0
    assert found["problems"] == []


def test_what_changes_after_the_plan_stays_and_is_told(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, second, *_ = fill(node)
    real = Retention.apply

    def overtaken(retention: Retention, look: object, **options: object) -> object:
        (node.path / f"{oldest}.keep").touch()
        return real(retention, look)  # type: ignore[arg-type]  # handed on as it is

    monkeypatch.setattr(Retention, "apply", overtaken)
    status, out, _ = run(capsys, "archives", "apply", "--yes", "--keep-last", "3")
    assert status == 1
    assert out.startswith("1 archive deleted, ")
    assert f"{oldest} ({APP}) was left: it was pinned since it was planned\n" in out
    assert oldest in node.names()
    assert second not in node.names()


def test_a_person_is_shown_the_plan_and_asked(
    node: Node, capsys: Capture, person: Callable[[], Screen]
) -> None:
    names = fill(node)
    seated = person()
    seated.type(b"y\n")
    status, out, _ = run(capsys, "archives", "apply", "--keep-last", "4")
    assert (status, out[:18]) == (0, "1 archive deleted,")
    shown = seated.shown()
    assert "to delete  1 archive, 1.0 GiB: 1 expired\n" in shown
    assert "\nDelete 1 archive for good? [y/N] " in shown
    assert names[0] not in node.names()


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"yess\n"])
def test_anything_but_a_yes_deletes_nothing(
    node: Node, capsys: Capture, person: Callable[[], Screen], answer: bytes
) -> None:
    fill(node)
    before = tree(node.path)
    person().type(answer)
    status, out, _ = run(capsys, "archives", "apply", "--keep-last", "1")
    assert (status, out) == (1, "nothing was deleted\n")
    assert tree(node.path) == before


def test_ctrl_c_at_the_question_deletes_nothing(node: Node, screen: Screen) -> None:
    fill(node)
    before = tree(node.path)
    typed: list[str | Path] = [
        "apply",
        node.path,
        "--state",
        node.state,
        "--settle",
        "0.001s",
        "--keep-last",
        "1",
    ]
    with start(screen, "archives", *typed) as program:
        screen.read_until("[y/N] ")
        screen.type(b"\x03")
        assert program.wait() == 130
    assert "interrupted; nothing was changed" in screen.shown()
    assert tree(node.path) == before


# ----------------------------------------------------------------------------------------- watch


@contextmanager
def program(node: Node, *typed: str) -> Iterator[subprocess.Popen[str]]:
    """Start a watcher, which does not outlive the test."""
    command = [sys.executable, "-m", "checkpointkit", "archives", "watch", str(node.path)]
    with subprocess.Popen(
        [*command, "--state", str(node.state), "--settle", "1s", *typed],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            yield watching
        finally:
            watching.kill()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_watch_keeps_to_the_policy_until_it_is_told_to_stop(
    node: Node, ending: signal.Signals
) -> None:
    names = fill(node)
    with program(node, "--poll", "--keep-last", "2", "--interval", "1s") as watching:
        until(lambda: not set(names[:3]) & set(node.names()))
        watching.send_signal(ending)
        out, err = watching.communicate(timeout=30)
    assert (watching.returncode, out) == (0, "")
    assert f"INFO watching {node.path}" in err
    assert err.splitlines()[-1].endswith("INFO stopped")
    assert set(names[3:]) < set(node.names())


def test_watch_with_a_dry_run_deletes_nothing(node: Node) -> None:
    fill(node)
    before = node.names()
    lines: list[str] = []
    with program(node, "--poll", "--keep-last", "1", "--dry-run") as watching:
        assert watching.stderr is not None
        for line in watching.stderr:
            lines.append(line)
            if "would be deleted" in line:
                break
        watching.terminate()
        assert watching.wait(timeout=30) == 0
    assert node.names() == before


def test_watch_without_watchfiles_says_what_to_do(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    status, _, err = run(capsys, "archives", "watch")
    assert status == 2
    assert "pip install 'checkpointkit[watch]'" in err
    assert "or give --poll" in err


def test_watch_is_told_when_its_interval_is_nothing(node: Node, capsys: Capture) -> None:
    for text in ("0s", "soon"):
        status, _, err = run(capsys, "archives", "watch", "--interval", text)
        assert status == 2
        assert "--interval" in err


def test_watch_says_what_is_odd_in_the_policy(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stop, "is_set", lambda _: True)
    path = policy(node, "keepLast: 3\n")
    _, _, err = run(capsys, "archives", "watch", "--poll", "--policy", path)
    assert "WARNING maxCheckpointsPerContainer: the default of 10 is off" in err


def test_watch_has_no_json(node: Node, capsys: Capture) -> None:
    assert run(capsys, "archives", "watch", "--json")[0] == 2


def test_watch_in_this_process_ends_with_nothing_to_print(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stop, "is_set", lambda _: True)
    status, out, err = run(capsys, "archives", "watch", "--poll")
    assert (status, out) == (0, "")
    assert "watching" in err
    assert os.listdir(node.path) == []
