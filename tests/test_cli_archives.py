"""`checkpointkit archives`: the first look, list, usage, and what may be typed."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from checkpointkit.archives.disk.directory import ArchiveCalls, ArchiveDirectory
from checkpointkit.archives.model import Container, Space
from checkpointkit.cli import main
from checkpointkit.cli.archives.session import Session
from checkpointkit.cli.archives.words import bar, moment_text, since_text
from checkpointkit.cli.arguments import make_parser
from tests.archives import making
from tests.support.states import NOW, tree
from tests.test_cli_archives_apply import NOBODY_THERE
from tests.test_cli_archives_support import (
    APP,
    GIB,
    JOB,
    PROXY,
    Capture,
    Node,
    archives,
    document,
    node,
    rows,
)
from tests.test_cli_support import run

__all__ = ["node"]

AMBIGUOUS = "checkpoint-a-b_c-d-e-2026-01-01T00:00:00Z.tar"


def fill(node: Node) -> None:
    for hours in (1, 25, 49):
        node.add(hours=hours, size=GIB)
    node.add(PROXY, hours=2, size=GIB // 2)
    node.add(JOB, hours=3, size=4 * GIB)


def odd(node: Node) -> None:
    """One of each kind that is not deleted by a count."""
    node.write(AMBIGUOUS, making.archive(runtime="nospec", checkpointed_ns=None))
    node.write("checkpoint-half_default-x-2026-01-01T00:00:00Z.tar", making.archive()[:3000])
    node.write("checkpoint-new_default-x-2026-01-01T00:00:00Z.tar", making.archive(), hours=0)
    node.write("README", b"x" * 100)
    (node.path / "checkpoint-12ab").mkdir()


# ------------------------------------------------------------------------------- the first look


def test_the_first_look_says_what_people_ask(node: Node, capsys: Capture) -> None:
    fill(node)
    text = archives(capsys)
    lines = text.splitlines()
    assert lines[0] == str(node.path)
    assert lines[1] == "file system  100.0 GiB, 75.0 GiB (75%) in use, 25.0 GiB free"
    assert lines[2] == "archives     5 archives, 7.5 GiB, 8% of it"
    assert [row[0] for row in rows("\n".join(lines[4:8]))] == [str(JOB), str(APP), str(PROXY)]
    assert lines[5].split() == [str(JOB), "1", "4.0", "GiB", "53%", "3", "h", "3", "h"]
    assert "the default policy, 10 of each container at most, would delete nothing" in text
    assert "checkpointkit archives plan --all\n" in text


def test_it_deletes_nothing_and_writes_nothing(node: Node, capsys: Capture) -> None:
    fill(node)
    before = tree(node.root)
    for typed in ([], ["list"], ["plan", "--keep-last", "1"], ["usage"], ["verify"]):
        archives(capsys, *typed)
    assert tree(node.root) == before


def test_what_the_policy_would_delete_comes_with_the_next_commands(
    node: Node, capsys: Capture
) -> None:
    fill(node)
    text = archives(capsys, "--keep-last", "1", node.path / ".." / "checkpoints")
    assert "the policy --keep-last 1 would delete 2 archives, 2.0 GiB\n" in text
    typed = f"--keep-last 1 {node.path}/../checkpoints\n"
    assert f"checkpointkit archives plan {typed}" in text
    assert f"checkpointkit archives apply {typed}" in text


def test_what_is_special_is_said(node: Node, capsys: Capture) -> None:
    pinned = node.add()
    (node.path / f"{pinned}.keep").touch()
    odd(node)
    text = archives(capsys)
    for begin in (
        "other files  1 file, 100 B, left alone",
        "pinned           1 archive",
        "unknown          1 archive",
        "in flight        1 archive",
        "broken           1 archive",
        "pod checkpoints  1 archive",
    ):
        assert f"\n{begin}" in text
    assert "unreadable" not in text


def test_broken_archives_are_not_said_to_be_kept_where_a_quarantine_deletes_them(
    node: Node, capsys: Capture
) -> None:
    for name in ("checkpoint-a.tar", "checkpoint-b.tar"):
        node.write(name, b"no archive")
    text = archives(capsys)
    assert "unknown" not in text
    assert "broken  2 archives, 20 B; no whole archives: they are kept\n" in text
    found = document(capsys)
    assert (found["unknown"]["archives"], found["broken"]["archives"]) == (0, 2)
    policy = node.root / "policy.yaml"
    policy.write_text(
        "apiVersion: checkpointkit/v1\nkind: RetentionPolicy\nquarantine: {maxCheckpoints: 1}\n"
    )
    text = archives(capsys, "--policy", policy)
    assert "no whole archives: the policy's quarantine says how many are kept\n" in text
    assert "would delete 1 archive, 10 B\n" in text
    assert "\nbroken, of nobody: 2 archives, 20 B\n" in archives(capsys, "usage")
    assert document(capsys, "usage")["broken"]["archives"] == 2


def test_the_next_commands_repeat_all_that_was_typed(node: Node, capsys: Capture) -> None:
    fill(node)
    policy = node.root / "a policy.yaml"
    policy.write_text(
        "apiVersion: checkpointkit/v1\nkind: RetentionPolicy\nmaxCheckpointsPerContainer: 1\n"
    )
    (node.root / "my node").symlink_to(node.path.parent)
    path, state = node.root / "my node" / "checkpoints", node.root / "a state"
    typed: list[str | Path] = ["--policy", policy, "--state", state, "--settle", "2s", path]
    lines = archives(capsys, *typed).splitlines()
    for line, part in zip(lines[-2:], ("plan", "apply"), strict=True):
        _, _, command = line.partition(": checkpointkit archives ")
        assert shlex.split(command) == [part, *map(str, typed)]


def test_the_first_look_says_which_limits_cannot_be_held(node: Node, capsys: Capture) -> None:
    node.add(size=GIB)
    policy = node.root / "policy.yaml"
    policy.write_text(
        "apiVersion: checkpointkit/v1\nkind: RetentionPolicy\nmaxTotalSizePerDirectory: 1Mi\n"
    )
    assert "\n1 limit cannot be held:\n" in archives(capsys, "--policy", policy)


def test_the_first_look_asks_the_api_server(node: Node, capsys: Capture) -> None:
    node.add()
    policy, kubeconfig = node.root / "policy.yaml", node.root / "k"
    policy.write_text("apiVersion: checkpointkit/v1\nkind: RetentionPolicy\norphans: {grace: 1d}\n")
    kubeconfig.write_text(NOBODY_THERE)
    typed = ("--policy", policy, "--kubeconfig", kubeconfig)
    status, out, _ = run(capsys, "archives", *typed)
    assert status == 1  # it was asked, and does not answer
    assert "nobody is asked" not in out
    assert f"plan --all --policy {policy} --kubeconfig {kubeconfig}\n" in out
    status, out, err = run(capsys, "archives", "--policy", policy, "--in-cluster")
    assert (status, out) == (2, "")  # this is no pod
    assert err


def test_the_way_into_the_cluster_is_typed_again(node: Node) -> None:
    arguments = make_parser().parse_args(["archives", "--in-cluster"])
    session = Session(arguments, NOW, lambda: NOW, None, "utf-8", {})
    assert session.typed(str(node.path), lookup=True) == " --in-cluster"
    assert session.typed(str(node.path)) == ""


def test_that_there_are_no_leases_is_said_and_is_no_problem(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "no")

    node.add()
    commands: tuple[list[str], ...] = ([], ["plan"], ["apply", "--dry-run"])
    for typed in commands:
        assert document(capsys, *typed)["leases"] is True
        assert "leases" not in archives(capsys, *typed)
    monkeypatch.setattr(ArchiveCalls, "set_lease", staticmethod(refuse))
    for typed in commands:
        assert document(capsys, *typed)["leases"] is False
        assert "leases are not supported, or not permitted" in archives(capsys, *typed)


def test_what_is_not_read_without_the_extra_is_said_with_what_to_install(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.add(compression="zstd")
    for module in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    commands: tuple[list[str], ...] = ([], ["plan"], ["apply", "--dry-run"])
    for typed in commands:
        text = archives(capsys, *typed)
        assert text.count("install checkpointkit[archives]\n") == 1
        assert "1 archive could not be read for want of zstd, and stay" in text


def test_a_removed_working_directory_is_no_matter_to_whole_paths(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.add()
    gone = node.root / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for typed in ([], ["plan"], ["list"], ["usage"]):
        assert document(capsys, *typed, node.path)["directory"] == str(node.path)
    status, _, err = run(capsys, "archives", "plan", "checkpoints")
    assert status == 2
    assert "the working directory is not there any more; write the whole path" in err
    status, out, err = run(capsys, "archives", "list", "--deleted", "checkpoints")
    assert (status, out) == (2, "")
    assert err == (
        "checkpointkit: the working directory is not there any more; change to another\n"
    )


def test_many_containers_are_told_by_their_number(node: Node, capsys: Capture) -> None:
    for number in range(7):
        node.add(Container("default", f"web{number}", "app"))
    assert "\nand 2 containers more: checkpointkit archives usage\n" in archives(capsys)


def test_an_empty_directory_is_fine(node: Node, capsys: Capture) -> None:
    text = archives(capsys)
    assert "archives     0 archives, 0 B, 0% of it" in text
    assert "CONTAINER" not in text


def test_programs_read_the_first_look(node: Node, capsys: Capture) -> None:
    fill(node)
    odd(node)
    found = document(capsys)
    assert found["directory"] == str(node.path)
    assert found["space"] == {"total": 100 * GIB, "free": 25 * GIB}
    assert found["totals"]["archives"] == 9
    assert found["other_files"] == {"files": 1, "size": 100}
    assert found["containers"] == 5
    assert found["top"][0]["name"] == str(JOB)
    assert found["plan"]["delete"] == 0
    assert "decisions" not in found["plan"]
    assert found["unknown"]["archives"] == 1
    assert found["pod_checkpoints"]["archives"] == 1
    assert found["problems"] == []


# ------------------------------------------------------------------------------ what may be typed


@pytest.mark.parametrize("name", ["list", "plan", "usage"])
def test_a_directory_with_a_commands_name_is_written_with_a_dot(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (node.root / name).mkdir()
    monkeypatch.chdir(node.root)
    assert document(capsys, f"./{name}")["directory"] == str(node.root / name)
    assert document(capsys, name)["directory"] == str(node.path)


@pytest.mark.parametrize(
    "typed",
    [
        ["--keep-last", "0"],
        ["--keep-last", "x"],
        ["--keep", "1"],
        [""],
        ["a\0b"],
        ["--state", ""],
        ["list", "--only", "odd"],
        ["list", "--sort", "odd"],
        ["usage", "--by", "odd"],
        ["usage", "--top", "0"],
        ["pin"],
        ["--json", "list", "x"],
    ],
)
def test_arguments_that_make_no_sense_end_with_2(
    node: Node, capsys: Capture, typed: list[str]
) -> None:
    status, out, err = run(capsys, "archives", *typed)
    assert (status, out) == (2, "")
    assert err.startswith("usage: checkpointkit")


@pytest.mark.parametrize("typed", [[], ["list"], ["apply"], ["watch"], ["unpin"]])
def test_each_command_has_help(capsys: Capture, typed: list[str]) -> None:
    status, out, err = run(capsys, "archives", *typed, "--help")
    assert (status, err) == (0, "")
    assert "3 a limit" in " ".join(out.split())


@pytest.mark.parametrize("command", [[], ["list"], ["plan"], ["usage"], ["verify"]])
def test_a_directory_that_is_not_there_is_told(
    node: Node, capsys: Capture, command: list[str]
) -> None:
    gone = node.root / "gone"
    status, out, err = run(capsys, "archives", *command, gone)
    assert (status, out) == (2, "")
    assert err.startswith(f"checkpointkit: cannot open {gone}: it is not there")
    found = document(capsys, *command, gone, status=2)
    assert found["error"]["type"] == "DirectoryError"


# ---------------------------------------------------------------------------------------- list


def test_archives_are_listed_newest_first(node: Node, capsys: Capture) -> None:
    fill(node)
    found = rows(archives(capsys, "list"))
    assert [row[0] for row in found] == [str(APP), str(PROXY), str(JOB), str(APP), str(APP)]
    assert found[0] == [str(APP), "60", "min", "1.0", "GiB", "complete", "-"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--namespace", "batch"], [JOB]),
        (["--pod", "web"], [APP, PROXY, APP, APP]),
        (["--container", "proxy"], [PROXY]),
        (["--namespace", "default", "--container", "work"], []),
        (["--sort", "size"], [JOB, APP, APP, APP, PROXY]),
        (["--sort", "name"], [JOB, APP, APP, APP, PROXY]),
        (["--only", "complete"], [APP, PROXY, JOB, APP, APP]),
        (["--only", "in-flight"], []),
    ],
)
def test_some_are_chosen_and_sorted(
    node: Node, capsys: Capture, typed: list[str], expected: list[Container]
) -> None:
    fill(node)
    found = document(capsys, "list", *typed)["archives"]
    assert [f"{each['namespace']}/{each['pod']}/{each['container']}" for each in found] == [
        str(each) for each in expected
    ]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("unknown", AMBIGUOUS),
        ("broken", "checkpoint-half_default-x-2026-01-01T00:00:00Z.tar"),
        ("in-flight", "checkpoint-new_default-x-2026-01-01T00:00:00Z.tar"),
        ("pod-checkpoint", "checkpoint-12ab"),
    ],
)
def test_a_state_is_chosen(node: Node, capsys: Capture, only: str, expected: str) -> None:
    fill(node)
    odd(node)
    found = document(capsys, "list", "--only", only)["archives"]
    assert expected in [each["name"] for each in found]
    assert len(found) == (2 if only == "unknown" else 1)


def test_pins_are_listed_with_their_owners(node: Node, capsys: Capture) -> None:
    fill(node)
    name = node.add(hours=99)
    archives(capsys, "pin", "--owner", "alice", node.path / name)
    (row,) = rows(archives(capsys, "list", "--only", "pinned"))
    assert row[-1] == "alice"
    (row,) = rows(archives(capsys, "list", "--long", "--only", "pinned"))
    assert row[1] == "2025-12-29T00:04:05Z"
    assert row[-1] == name


def test_a_problem_is_listed_and_a_name_moves_no_cursor(node: Node, capsys: Capture) -> None:
    node.write("checkpoint-\x1b[2J\n.tar", b"no tar at all" * 100)
    (row,) = archives(capsys, "list").splitlines()[1:]
    assert row.startswith("checkpoint-\\x1b[2J\\n.tar ")
    assert len(row.split("broken")[1].strip()) > 10


def test_nothing_to_list_is_said_on_stderr(node: Node, capsys: Capture) -> None:
    assert run(capsys, "archives", "list") == (0, "", "(0 archives, 0 B)\n")


def test_nothing_that_was_deleted_is_said_on_stderr(node: Node, capsys: Capture) -> None:
    assert run(capsys, "archives", "list", "--deleted") == (0, "", "(0 deletions)\n")
    assert document(capsys, "list", "--deleted")["deleted"] == []


# --------------------------------------------------------------------------------------- usage


def test_usage_draws_who_has_how_much(node: Node, capsys: Capture) -> None:
    fill(node)
    text = archives(capsys, "usage")
    assert [line for line in text.splitlines() if line.startswith("by ")] == [
        "by namespace",
        "by pod",
        "by container",
    ]
    assert "batch    4.0 GiB  ███████████░░░░░░░░░  53%   1 archive\n" in text
    assert "default  3.5 GiB  ██████████░░░░░░░░░░  47%  4 archives\n" in text


def test_usage_by_one_level_and_the_top_alone(node: Node, capsys: Capture) -> None:
    fill(node)
    text = archives(capsys, "usage", "--by", "container", "--top", "2")
    assert "by namespace" not in text
    assert str(PROXY) not in text
    assert text.endswith("and 1 container more: --top N\n")
    found = document(capsys, "usage", "--by", "container", "--top", "2")
    assert [each["name"] for each in found["containers"]] == [str(JOB), str(APP)]
    assert "pods" not in found


def test_usage_says_what_is_apart(node: Node, capsys: Capture) -> None:
    odd(node)
    text = archives(capsys, "usage")
    assert "\nof unknown identity: 1 archive, " in text
    assert "\npod checkpoints: 1 item, " in text
    assert "\nother files: 1 file, 100 B\n" in text


def test_usage_of_nothing_is_fine(node: Node, capsys: Capture) -> None:
    assert archives(capsys, "usage").count("\n") == 2


def test_a_name_gives_way_to_the_bars_on_a_narrow_terminal(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.add(Container("a-namespace-with-a-name", "a-pod-with-a-name", "a-container-with-a-name"))
    monkeypatch.setattr("checkpointkit.cli.archives.run.width_of", lambda _: 68)
    lines = archives(capsys, "usage", "--by", "container").splitlines()
    assert lines[-1].startswith("a-namespace-with...  ")
    assert len(lines[-1]) == 67


def test_an_ascii_terminal_gets_ascii_bars(node: Node) -> None:
    fill(node)
    text = (
        "import sys; from checkpointkit.cli import main; "
        "sys.exit(main(['archives', 'usage', *sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(node.path), "--state", str(node.state)],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"###########........." in done.stdout


# --------------------------------------------------------------------------- a program of its own


def test_the_program_itself_looks(node: Node) -> None:
    name = node.add(size=GIB)
    done = subprocess.run(
        [sys.executable, "-m", "checkpointkit", "archives", "list", str(node.path), "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert [each["name"] for each in json.loads(done.stdout)["archives"]] == [name]


def test_a_file_system_of_no_size_divides_by_nothing(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ArchiveDirectory, "space", lambda _: Space(0, 0))
    node.add()
    assert "0 B, 0 B (0%) in use" in archives(capsys)


def test_a_stdout_that_was_closed_is_no_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["archives", "list"]) == 0


# ----------------------------------------------------------------------------------------- words


def test_a_bar_is_never_longer_than_it_can_be_and_never_hides_a_byte() -> None:
    for part in range(12):
        drawn = bar(part, 10, "ascii")
        assert len(drawn) == 20
        assert ("#" in drawn) == (part > 0)
    assert bar(0, 0, "ascii") == "." * 20


def test_times_beyond_all_calendars_are_no_error() -> None:
    assert moment_text(2**63 - 1).startswith("2262-")
    assert moment_text(10**20) == "5138-11-16T09:46:40Z"
    assert moment_text(-(10**21)) == "?"
    assert since_text(5, 0) == "0 s"
    assert since_text(-(10**9), 0) == "1 s"
