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
NAMES = ("before", "inside", "forked", "started", "after", "forked_after")
CONFIG = """
[run]
branch = true
parallel = true
include = program.py
patch = _exit, fork, subprocess
"""


def test_in_a_part_that_is_unmeasured_nothing_is_measured_and_after_it_all_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("coverage")
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))

    def coverage(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=tmp_path, check=True)

    coverage("run", "--rcfile=config", "program.py")
    coverage("combine", "--rcfile=config")
    coverage("json", "--rcfile=config", "-q")
    lines = json.loads((tmp_path / "coverage.json").read_text())["files"]["program.py"]
    text = PROGRAM.splitlines()
    measured = {name: text.index(f"def {name}():") + 2 in lines["executed_lines"] for name in NAMES}
    assert [name for name in NAMES if measured[name]] == ["before", "after", "forked_after"]
