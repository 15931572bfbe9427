"""What the package says where an extra is missing, and what the plugin imports."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from checkpointkit._extras import require
from checkpointkit.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]


def run(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(directory), *map(os.path.abspath, sys.path)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


# ----------------------------------------------------------------------------------- the extras


def test_what_is_there_is_imported() -> None:
    assert require("testing", "os.path") is os.path


@pytest.mark.parametrize("module", ["not_installed", "not_installed.at.all", "json.not_installed"])
def test_what_is_missing_names_the_extra_and_nothing_else(module: str) -> None:
    with pytest.raises(MissingExtraError) as caught:
        require("testing", module)
    error = caught.value
    assert (error.extra, error.module) == ("testing", module)
    assert (
        str(error) == f"{module} is missing; install it with: pip install 'checkpointkit[testing]'"
    )
    assert isinstance(error, ImportError)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize("inner", ["import not_installed", "raise ModuleNotFoundError('by hand')"])
def test_a_module_that_is_there_and_broken_says_so_itself(
    inner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text(inner)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("testing", "half_there")
    assert not isinstance(caught.value, MissingExtraError)


@pytest.mark.parametrize("missing", ["pytest", "hypothesis"])
def test_the_test_tools_name_the_extra_that_they_need(missing: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import checkpointkit.testing"
    done = run("-c", program, directory=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last == (
        "checkpointkit.errors.MissingExtraError: "
        f"{missing} is missing; install it with: pip install 'checkpointkit[testing]'"
    )


def test_without_the_extra_the_package_itself_works(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "from checkpointkit import CheckpointManager, MemoryStore, Schema\n"
        "manager = CheckpointManager(MemoryStore(), Schema(int, kind='a/b', version=1))\n"
    )
    done = run(
        "-c", "import sys\n" + program.replace("int,", "dict[str, int],"), directory=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")


# ----------------------------------------------------------------------------------- the plugin

USERS_TESTS = """
from checkpointkit import CheckpointManager, FileStore, Schema

COUNTS = Schema(dict[str, int], kind="example.com/counts", version=1)
opened = []

def test_a_restart_finds_the_state(checkpoint_store, checkpoint_dir):
    opened.append(checkpoint_store)
    assert checkpoint_store.keys() == ()
    CheckpointManager(checkpoint_store, COUNTS).create("a", {"n": 1})
    with FileStore(checkpoint_dir) as after:
        assert CheckpointManager(after, COUNTS).get("a") == {"n": 1}

def test_another_test_has_another_store(checkpoint_store):
    assert checkpoint_store.keys() == ()
    assert "durable" not in checkpoint_store.features

def test_a_directory_alone_is_not_made(checkpoint_dir):
    assert not checkpoint_dir.exists()

def test_the_store_was_closed():
    import pytest
    with pytest.raises(Exception, match="the store is closed"):
        opened[0].keys()
"""


def test_the_fixtures_give_a_store_of_ones_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(USERS_TESTS)
    result = pytester.runpytest_inprocess("-W", "error")
    result.assert_outcomes(passed=4)


def test_the_plugin_imports_nothing_of_the_package_until_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_before():\n"
        "    assert 'pytest_checkpointkit' in sys.modules\n"
        "    assert not {'checkpointkit', 'hypothesis', 'attrs'} & set(sys.modules)\n"
        "def test_used(checkpoint_store):\n"
        "    assert 'checkpointkit' in sys.modules\n"
        "    assert not {'checkpointkit.testing', 'hypothesis'} & set(sys.modules)\n"
    )
    environment = "-p", "no:hypothesispytest", "-p", "no:cov"
    done = run("-m", "pytest", "-q", *environment, "--rootdir=.", directory=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixtures_say_what_they_are(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--fixtures")
    shown = result.stdout.str()
    assert "An empty `FileStore` in `checkpoint_dir`" in shown
    assert "A directory for a `FileStore`" in shown
