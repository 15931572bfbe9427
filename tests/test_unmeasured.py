"""What is run unmeasured: nothing of it is measured, and all that comes before and after it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os
import subprocess
import sys
from tests.support.unmeasured import unmeasured

def before():
    return 1

def inside():
    return 2

def forked():
    return 3

def started():
    return 4

def after():
    return 5

def forked_after():
    return 6


def fork(work):
    child = os.fork()
    if not child:
        work()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

if sys.argv[1:]:
    started()
else:
    before()
    with unmeasured():
        inside()
        fork(forked)
        subprocess.run([sys.executable, __file__, "child"], check=True)
    after()
    fork(forked_after)
"""
FORKING = """
import os
from tests.support.unmeasured import save_before_forks, unmeasured

def before():
    return 1

def forked():
    return 2

save_before_forks()
before()
for _ in range(5):
    with unmeasured():
        pass
for _ in range(2):
    child = os.fork()
    if not child:
        forked()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
NAMES = ("before", "inside", "forked", "started", "after", "forked_after")
CONFIG = """
[run]
branch = true
parallel = true
include = program.py
patch = _exit, fork, subprocess
"""


def run(program: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("coverage")
    (directory / "program.py").write_text(program)
    (directory / "config").write_text(CONFIG)
    for name in ("COVERAGE_FILE", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    coverage(directory, "run", "--rcfile=config", "program.py")


def coverage(directory: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=directory, check=True)


def test_in_a_part_that_is_unmeasured_nothing_is_measured_and_after_it_all_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(PROGRAM, tmp_path, monkeypatch)
    coverage(tmp_path, "combine", "--rcfile=config")
    coverage(tmp_path, "json", "--rcfile=config", "-q")
    lines = json.loads((tmp_path / "coverage.json").read_text())["files"]["program.py"]
    text = PROGRAM.splitlines()
    measured = {name: text.index(f"def {name}():") + 2 in lines["executed_lines"] for name in NAMES}
    assert [name for name in NAMES if measured[name]] == ["before", "after", "forked_after"]


def test_a_child_saves_what_it_has_covered_itself_once_however_often_nothing_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(FORKING, tmp_path, monkeypatch)
    from coverage import CoverageData  # noqa: PLC0415 - skipped where it is absent

    saved = []
    for path in sorted(tmp_path.glob(".coverage.*")):
        data = CoverageData(str(path))
        data.read()
        saved.append(set(data.lines(str(tmp_path / "program.py")) or ()))
    text = FORKING.splitlines()
    before, forked = (text.index(f"def {name}():") + 2 for name in ("before", "forked"))
    assert len(saved) == 3
    assert sum(before in lines for lines in saved) == 1
    assert sum(forked in lines for lines in saved) == 2
