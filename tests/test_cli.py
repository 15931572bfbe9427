"""The command line as a program: arguments, exit statuses, signals."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from checkpointkit.cli import main

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
    assert "demo" in capsys.readouterr().out


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
        while not demo.stdout.readline().startswith("---"):
            pass
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it: to the children, too
        assert demo.stderr.read() == "checkpointkit: interrupted; nothing is left behind\n"
        assert demo.wait() == 130
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
