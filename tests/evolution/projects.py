"""A user's project in a directory: real files, real git, the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from attrs import frozen

import checkpointkit
from checkpointkit.cli import main

if TYPE_CHECKING:
    import pytest

SRC = Path(checkpointkit.__file__).parents[1]
"""Where the package is imported from: other processes shall import the same one."""

_SAYS_BUILD = {"BUILD_NUMBER", "CI"}

PYPROJECT = """\
[project]
name = "agent"
version = "1.0"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.checkpointkit]
lock = "src/agent/checkpointkit.lock"
schemas = ["agent.state:LEASES"]

[tool.pytest.ini_options]
checkpointkit_schemas = true
"""

STATE_1 = """\
from attrs import frozen

from checkpointkit import Payload, Schema


@frozen
class Lease:
    holder: str


LEASES = Schema(Lease, kind="example.com/lease", version=1)
"""

CARELESS = STATE_1.replace("holder: str", "holder: str\n    seconds: int")
"""The class has changed, and the version has not."""

RAISED = CARELESS.replace("version=1", "version=2")
"""The version is raised, and there is no migration."""

GAP = CARELESS.replace("version=1", "version=3, migrations={1: dict}")
"""A step in the middle is missing: the schema cannot be made."""

STATE_2 = CARELESS.replace(
    "LEASES =",
    "def to_2(old: Payload) -> Payload:\n    return {**old, 'seconds': 30}\n\n\nLEASES =",
).replace("version=1", "version=2, migrations={1: to_2}")

LOCK = "src/agent/checkpointkit.lock"
GOLDENS = "src/agent/checkpointkit.goldens"

Run = tuple[int, str, str]


@frozen
class UsersProject:
    """A project whose package is `agent`."""

    root: Path

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")

    def read(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def state(self, text: str) -> None:
        """Write the module with the schemas."""
        self.write("src/agent/state.py", text)

    def tree(self) -> dict[str, bytes]:
        """Return all files with what is in them, but for git's."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".git" not in path.parts
        }

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
            cwd=self.root,
            env=quiet_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def commit(self, tag: str) -> None:
        """Commit everything there is, with a tag."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet")
        self.git("add", "--all")
        self.commit_index(tag)

    def commit_index(self, tag: str) -> None:
        """Commit what is in git's index, with a tag."""
        self.git("commit", "--quiet", "--allow-empty", "-m", tag)
        self.git("tag", tag)

    def schema(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
        """Run `checkpointkit schema` in this process, as a new one would see the files."""
        capsys.readouterr()
        forget()
        try:
            status = main(["schema", *arguments])
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            status = ended.code
        out, err = capsys.readouterr()
        return status, out, err

    def schema_json(
        self, capsys: pytest.CaptureFixture[str], *arguments: str
    ) -> tuple[int, dict[str, Any]]:
        status, out, err = self.schema(capsys, *arguments, "--json")
        assert err == ""
        document = json.loads(out)
        assert (document["format"], document["command"]) == (1, f"schema {arguments[0]}")
        return status, document

    def python(self, *arguments: str, directory: str = ".") -> Run:
        """Run a Python process in the project."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root / directory,
            env=quiet_environment() | {"PYTHONPATH": str(SRC)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


def make_project(root: Path, state: str = STATE_1) -> UsersProject:
    """Write a project with one schema, nothing of it accepted."""
    project = UsersProject(root)
    project.write("pyproject.toml", PYPROJECT)
    project.write("src/agent/__init__.py", "")
    project.state(state)
    return project


def forget() -> None:
    """Forget what was imported of a user's project: the next one has the same names."""
    for name in list(sys.modules):
        if name == "agent" or name.startswith("agent."):
            del sys.modules[name]


def quiet_environment() -> dict[str, str]:
    """Return an environment in which git asks nobody and reads nobody's settings.

    Nor does it say that it is a build's: pytest, told so, does not cut its lines at the width of
    the terminal. A test that compared its output passed everywhere but in continuous integration.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _SAYS_BUILD}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
