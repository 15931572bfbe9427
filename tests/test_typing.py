"""The types that a user sees: mypy reads `typing_tests`, where each wrong line must be one."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TYPED = ROOT / "typing_tests"

pytestmark = [
    pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy"),
    pytest.mark.skipif(not TYPED.is_dir(), reason="needs the directory typing_tests"),
    pytest.mark.slow,
]


def check(path: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--python-version=3.11",
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--cache-dir={cache}",
            path,
        ],
        cwd=TYPED,
        capture_output=True,
        text=True,
        check=False,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
    )


def test_no_cast_is_needed_and_each_wrong_line_is_an_error(tmp_path: Path) -> None:
    done = check(TYPED, tmp_path / "cache")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "Success: no issues found in 3 source files" in done.stdout

    # And the check bites: without its last word, one line of the same directory is an error.
    wrong = tmp_path / "wrong.py"
    source = (TYPED / "test_manager_types.py").read_text("utf-8")
    before, after = source.split("assert_type(pods.list(), tuple[str, ...])", 1)
    (tmp_path / "states.py").write_bytes((TYPED / "states.py").read_bytes())
    wrong.write_text(f"{before}assert_type(pods.list(), tuple[int, ...]){after}", "utf-8")
    done = check(wrong, tmp_path / "cache")
    assert done.returncode == 1
    assert "error: Expression is of type" in done.stdout
    assert "Found 1 error in 1 file" in done.stdout
