"""The command line as a program: arguments, exit statuses, signals, streams."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from checkpointkit.cli import main
from checkpointkit.cli.demo.table import Result, Row
from checkpointkit.records import State, StateSeal
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW
from tests.test_cli_support import make_scope, make_store, run, run_json

DEMO = [sys.executable, "-m", "checkpointkit", "demo"]


def test_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"checkpointkit {version('checkpointkit')}\n"


def test_the_installed_script_is_the_same_program() -> None:
    script = Path(sys.executable).parent / "checkpointkit"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"checkpointkit {version('checkpointkit')}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out.partition("COMMAND\n")[2].splitlines()
    assert [line.split()[0] for line in listed if line[4:5].isalpha() and line[:4] == "    "] == [
        "list",
        "show",
        "history",
        "verify",
        "recover",
        "rollback",
        "remove",
        "migrate",
        "unpin",
        "demo",
        "schema",
        "pods",
        "archives",
        "kubelet",
    ]


@pytest.mark.parametrize(
    "command", ["list", "show", "verify", "recover", "rollback", "remove", "migrate", "unpin"]
)
def test_each_command_on_a_store_tells_its_exit_statuses(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, command, "--help")
    assert (status, err) == (0, "")
    assert "exit status: 0 fine; 1 something in the store" in out
    assert {"--json", "--scope", "--max-bytes"} <= set(out.replace(",", " ").split())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: COMMAND"),
        (["no-such-command"], "invalid choice: 'no-such-command'"),
        (["demo", "--kills", "0"], "'0' is no whole number above 0"),
        (["demo", "--kills", "-1"], "'-1' is no whole number above 0"),
        (["demo", "--kills", "many"], "'many' is no whole number above 0"),
        (["demo", "--kills", "٣"], "'٣' is no whole number above 0"),
        (["demo", "more"], "unrecognized arguments: more"),
        (["list"], "required: STORE"),
        (["list", ""], "argument STORE: '' is no directory"),
        (["list", "a\0b"], "argument STORE: 'a\\x00b' is no directory"),
        (["list", "x", "--scope", "../y"], "argument --scope: '../y' is no key: use 1 to 250"),
        (["list", "x", "--long", "--rec"], "unrecognized arguments: --rec"),
        (["show", "x"], "required: KEY"),
        (["show", "x", ".key"], "argument KEY: '.key' is no key"),
        (["show", "x", "a", "--generation", "0"], "'0' is no whole number above 0"),
        (["show", "x", "a", "--max-bytes", "1k"], "'1k' is no whole number above 0"),
        (["rollback", "x", "a"], "required: GENERATION"),
        (["recover", "x"], "required: KEY"),
        (["remove", "x"], "required: KEY"),
    ],
)
def test_arguments_that_make_no_sense_end_with_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_importing_the_program_does_not_run_it(capsys: pytest.CaptureFixture[str]) -> None:
    importlib.reload(importlib.import_module("checkpointkit.__main__"))
    assert capsys.readouterr() == ("", "")


def test_python_m_runs_the_demo(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--kills", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "2 agents, " in done.stdout
    assert not any(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*DEMO, "--kills", "1000000"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        begun = any(line.startswith("---") for line in demo.stdout)
        assert begun, demo.stderr.read()
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it: to the children, too
        assert demo.stderr.read() == "checkpointkit: interrupted; nothing is left behind\n"
        # Where CPython was interrupted within an exec(), of an import, say, it ends by the signal
        # itself, however well the interrupt was handled. To a shell both are 130.
        assert demo.wait() in (130, -signal.SIGINT)
    assert not any(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)  # no process of its session is left


def test_a_reader_that_has_seen_enough_is_no_crash(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*DEMO, "--kills", "1"],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
    assert not any(tmp_path.iterdir())


# ----------------------------------------------------------------------- stores that do not open


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("show", "a"),
        ("history", "a"),
        ("verify",),
        ("verify", "a"),
        ("recover", "--yes", "a"),
        ("rollback", "a", "1"),
        ("remove", "--yes", "a"),
    ],
    ids=" ".join,
)
def test_what_is_no_store_ends_with_2_and_is_not_made_one(
    command: tuple[str, ...], quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = command
    missing = quick / "missing"
    hint = "name the directory that was given to FileStore: there is a file .format in it"
    assert run(capsys, name, missing, *rest) == (
        2,
        "",
        (
            f"checkpointkit: cannot open the store {missing}: No such file or directory (ENOENT)\n"
            f"    next: {hint}\n"
        ),
    )
    (quick / "file").write_text("")
    status, document = run_json(capsys, name, quick, *rest)
    assert status == 2
    assert document["error"] == {
        "type": "StoreError",
        "message": f"cannot open the store {quick}: there is no store yet",
        "next": hint,
    }
    assert os.listdir(quick) == ["file"]


def test_a_scope_that_is_not_there_is_told_with_those_that_are(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_scope(quick, "s", "inner")
    make_scope(quick, "t")
    before = sorted(quick.rglob("*"))
    for command, *rest in (["list"], ["remove", "a", "--yes"]):
        status, out, err = run(capsys, command, "--scope=x", quick, *rest)
        assert (status, out) == (2, "")
        assert err.endswith(f"    next: the scopes in {quick} are: s, t\n")
    err = run(capsys, "list", "--scope=s", "--scope=x", quick)[2]
    assert err.endswith(f"    next: the scopes in {quick}/.scope/s are: inner\n")
    err = run(capsys, "list", "--scope=t", "--scope=x", quick)[2]
    assert err.endswith(f"    next: the scopes in {quick}/.scope/t are: none\n")
    assert sorted(quick.rglob("*")) == before


def test_a_store_of_somebody_else_is_told_as_such(
    quick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("checkpointkit.stores.files.system.SystemCalls.open", deny)
    assert run(capsys, "list", quick) == (
        2,
        "",
        (
            f"checkpointkit: cannot open the store {quick}: Permission denied (EACCES)\n"
            "    next: run it as the user that the store belongs to\n"
        ),
    )


# ---------------------------------------------------------------------------------- the streams


def program(
    *arguments: str | Path,
    output: int | None = subprocess.PIPE,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "checkpointkit", *arguments],
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        check=False,
    )


def test_each_status_reaches_the_shell(quick: Path) -> None:
    make_store(quick, "a")
    assert program("list", quick).returncode == 0
    (quick / "a" / "current").write_bytes(b"")
    done = program("verify", quick)
    assert (done.returncode, done.stderr) == (1, b"")
    done = program("recover", quick, "a")
    assert (done.returncode, done.stdout) == (2, b"")
    done = program("recover", "--yes", quick, "a")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_list_into_a_closed_pipe_is_quiet(quick: Path) -> None:
    make_store(quick, "a")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = program("list", quick, output=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_told_in_a_line(quick: Path) -> None:
    make_store(quick, "a")
    with open("/dev/full", "wb") as full:
        done = program("list", quick, output=full.fileno())
    assert done.returncode == 1
    assert done.stderr == (b"checkpointkit: cannot write the output: No space left on device\n")


def test_a_closed_stdout_is_no_crash(quick: Path) -> None:
    make_store(quick, "a")
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m checkpointkit list "$1" >&-', sys.executable, quick],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_ascii_terminal_gets_the_same_document(quick: Path) -> None:
    with FileStore(quick, durability="none") as store:
        payload = '{"name":"日本"}'.encode()
        state = State("example.com/number", 1, "fp1:0", payload)
        store.write("a", StateSeal("a", state, NOW, lambda _: None))
    ascii_alone = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = program("show", "--payload", quick, "a", environment=ascii_alone)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == {"name": "日本"}
    store_name = quick / "日本"
    done = program("list", store_name, environment=ascii_alone)
    assert done.returncode == 2
    assert done.stderr.isascii()


def test_a_path_cannot_write_on_the_terminal(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = quick / "\x1b[31m\n\udcff"
    status, _, err = run(capsys, "list", odd)
    assert status == 2
    assert "\x1b" not in err
    assert err.startswith(f"checkpointkit: cannot open the store {quick}/\\x1b[31m\\n\\udcff: ")
    make_store(odd, "a")
    assert run(capsys, "list", odd)[:2] == (0, "a\n")
    assert run_json(capsys, "list", odd)[1]["store"] == str(odd)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("list",), "interrupted"),
        (("remove", "--yes"), "interrupted; each checkpoint is as it was, or as it was to be"),
    ],
)
def test_ctrl_c_ends_with_130(
    command: tuple[str, ...],
    said: str,
    quick: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_store(quick, "a")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileStore, "keys" if command == ("list",) else "remove", interrupt)
    key = () if command == ("list",) else ("a",)
    assert run(capsys, *command, quick, *key) == (130, "", f"checkpointkit: {said}\n")


def test_a_command_imports_no_more_than_it_needs(quick: Path) -> None:
    make_store(quick, "a")
    code = (
        "import sys; from checkpointkit.cli import main; main(['list', sys.argv[1]]); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, quick],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "checkpointkit.cli.read" in loaded
    assert not loaded & {
        "asyncio",
        "checkpointkit.cli.demo",
        "filelock",
        "importlib.metadata",
        "subprocess",
        "tempfile",
    }


# ------------------------------------------------------------------------------------- the demo


@pytest.mark.parametrize(("kept", "status"), [(True, 0), (False, 1)])
def test_the_demo_as_json(
    kept: bool, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        Row("SIGKILL", Result.OK if kept else Result.FAILED, "200 agents"),
        Row("disk full", Result.NOT_SHOWN, "no small disk"),
    ]
    monkeypatch.setattr("checkpointkit.cli.demo.play", lambda *_, **__: iter(rows))
    found, document = run_json(capsys, "demo")
    assert document.pop("seconds") >= 0
    assert (found, document) == (
        status,
        {
            "format": 1,
            "command": "demo",
            "ok": kept,
            "rows": [
                {
                    "label": "SIGKILL",
                    "result": "ok" if kept else "failed",
                    "text": "200 agents",
                },
                {"label": "disk full", "result": "not_shown", "text": "no small disk"},
            ],
        },
    )
