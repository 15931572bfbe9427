"""docs/formats.md, followed word for word from an empty directory, as a new user would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from tests.evolution import test_edits
from tests.evolution.projects import SRC, quiet_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("unmeasured")

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "formats.md"
LOCK_FILE = DOCS / "lock-file.md"

NAMED = re.compile(r"^`([^`\n]+)`:\n\n```(?:toml|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A file: its name on a line of its own, and what is in it."""
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANY = re.compile(r"^```", re.MULTILINE)

PASSED, FAILED = "passed in 0.01s", "1 failed, "


def environment() -> dict[str, str]:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    author = {
        f"GIT_{role}_{what}": "agent@example.com"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return {
        **quiet_environment(),
        **author,
        "PYTHONPATH": str(SRC),
        "PATH": programs,
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        # what else is installed here, and may not be there, costs a second in each run
        "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:hypothesispytest -p no:xdist -p no:cov",
    }


def follow(page: str, directory: Path) -> Iterator[tuple[str, str, str]]:
    """Do what a page says; each command, what it is said to print, and what it prints."""
    steps = [*NAMED.finditer(page), *CONSOLE.finditer(page)]
    for step in sorted(steps, key=lambda step: step.start()):
        if step.re is NAMED:
            (directory / step[1]).write_text(step[2], encoding="utf-8")
            continue
        for session in re.split(r"^\$ ", step[1], flags=re.MULTILINE)[1:]:
            command, _, said = session.partition("\n")
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            yield command, said.rstrip("\n"), comparable(done.stdout, directory)


def comparable(printed: str, directory: Path) -> str:
    """Return what a command prints without what differs from run to run."""
    printed = printed.replace(str(directory), "/home/you/agent")
    printed = re.sub(
        r"^index [0-9a-f]+\.\.[0-9a-f]+", "index 0000000..1111111", printed, flags=re.MULTILINE
    )
    printed = re.sub(r"sha256:[0-9a-f]{64}", "sha256:...", printed)
    printed = re.sub(r"in \d+\.\d+s( \([\d:]+\))?", "in 0.01s", printed)
    return "\n".join(line.rstrip() for line in printed.splitlines())


@frozen
class Followed:
    """What came of the whole page.

    Attributes:
        steps: Each command, what it is said to print, and what it printed.
        careless: A copy of the project as it was when the run failed because of the class.
        message: What that run printed.
    """

    steps: list[tuple[str, str, str]]
    careless: Path
    message: str


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    base = tmp_path_factory.mktemp("howto")
    project, careless = base / "project", base / "careless"
    project.mkdir()
    steps, message = [], ""
    for step in follow(PAGE.read_text(encoding="utf-8"), project):
        steps.append(step)
        if "shape-changed" in step[2] and not message:
            message = step[2]
            shutil.copytree(project, careless)
    return Followed(steps, careless, message)


@pytest.mark.slow
def test_a_newcomer_can_follow_the_page_word_for_word(followed: Followed) -> None:
    for command, said, found in followed.steps:
        assert found == said, command
    # and it is the story that the page tells
    runs = [found for _, _, found in followed.steps if PASSED in found]
    assert [FAILED in found for found in runs] == [True, False, True, False, False]


def test_each_block_of_the_page_is_followed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = len(ANY.findall(page)) // 2
    assert len(NAMED.findall(page)) + len(CONSOLE.findall(page)) == blocks


@pytest.mark.slow
def test_the_message_alone_suffices_to_mend_the_class(followed: Followed) -> None:
    """Make the edit from what the failing run prints, and from nothing else."""
    version = re.search(r"set version=(\d+)", followed.message)
    entry = re.search(r"add (\d+: \w+) to migrations", followed.message)
    stub = re.search(r"^ *def .*?return old$", followed.message, re.DOTALL | re.MULTILINE)
    accept = re.search(r"run `(.*?)` and commit", followed.message)
    assert version
    assert entry
    assert stub
    assert accept
    state = followed.careless / "src" / "agent" / "state.py"
    edited = (
        state.read_text(encoding="utf-8")
        .replace("version=1", f"version={version[1]}, migrations={{{entry[1]}}}")
        .replace("import Schema", "import Payload, Schema")
        .replace("LEASES =", f"{dedent(stub[0])}\n\n\nLEASES =")
    )
    # what the author alone knows stands as `...`, and it is refused until it is said
    state.write_text(edited, encoding="utf-8")
    assert "seconds: expected int, got ellipsis" in run(accept[1], followed.careless)
    state.write_text(edited.replace('"seconds"] = ...', '"seconds"] = 30'), encoding="utf-8")
    accepted = run(accept[1], followed.careless)
    assert accepted.startswith("example.com/lease: version 2 is accepted")
    assert run("pytest -q", followed.careless).endswith("3 passed in 0.01s")


def run(command: str, directory: Path) -> str:
    ((_, _, printed),) = follow(f"```console\n$ {command}\n```\n", directory)
    return printed


# ------------------------------------------------------------------------------ docs/lock-file.md


def test_the_table_of_edits_is_that_of_the_tests() -> None:
    verdicts = [
        *((name, "`shape-changed`") for name, *_ in test_edits.CHANGED),
        *((name, "`golden-changed`") for name, *_ in test_edits.CAUGHT_BY_GOLDENS),
        *((name, "fine") for name, *_ in test_edits.NO_CHANGE),
        *(
            (name, " and ".join(f"`{rule}`" for rule in dict.fromkeys(rules)) or "fine")
            for name, _, rules, _ in test_edits.VERSIONS
            if name != "nothing"
        ),
    ]
    text = LOCK_FILE.read_text(encoding="utf-8")
    table = text[text.index("| you edit | verdict |") :].split("\n\n")[0]
    assert table.splitlines()[2:] == [f"| {name} | {verdict} |" for name, verdict in verdicts]


def test_each_rule_has_its_row() -> None:
    source = "".join(
        (SRC / "checkpointkit" / "evolution" / name).read_text(encoding="utf-8")
        for name in ("check.py", "integrity.py", "workspace.py")
    )
    rules = set(re.findall(r'"((?:[a-z]+-)+[a-z]+)"', source))
    text = LOCK_FILE.read_text(encoding="utf-8")
    table = text[text.index("| rule | it means |") :].split("\n\n")[0]
    named = {
        rule
        for row in table.splitlines()[2:]
        for rule in re.findall("`([^`]+)`", row.split("|")[1])
    }
    assert named == rules
