"""`schema check` as a part of a user's own tests: one line in their settings, real pytest runs."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.evolution.projects import (
    CARELESS,
    LOCK,
    PYPROJECT,
    STATE_1,
    UsersProject,
    forget,
    make_project,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = "pytester"

ON = "checkpointkit_schemas = true"
ITEM = "pyproject.toml::agent.state:LEASES"
LOCK_ITEM = "pyproject.toml::lock"
USERS_TEST = "tests/test_it.py::test_it"


class InProcess:
    """A user's project with pytest in this process: a process of its own is slow."""

    def __init__(self, users: UsersProject, pytester: pytest.Pytester) -> None:
        self.users = users
        self._pytester = pytester

    def run(self, *arguments: str, cache: bool = False) -> pytest.RunResult:
        forget()
        # what the outer run was started with must not count
        options = ["-p", "no:xdist", "-o", "addopts=", "-W", "error"]
        options += [] if cache else ["-p", "no:cacheprovider"]
        return self._pytester.runpytest_inprocess(*options, *arguments)

    def names(self, *arguments: str) -> list[str]:
        """Return what is collected."""
        lines = self.run("--collect-only", "-q", *arguments).outlines
        return [line for line in lines if "::" in line and " " not in line]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose schema is accepted, to be copied."""
    users = make_project(tmp_path_factory.mktemp("users") / "accepted")
    users.write("tests/test_it.py", "def test_it(): pass\n")
    assert users.python("-m", "checkpointkit", "schema", "accept")[0] == 0
    return users.root


@pytest.fixture
def runs(
    accepted: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shutil.copytree(accepted, pytester.path, dirs_exist_ok=True)
    yield InProcess(UsersProject(pytester.path), pytester)
    forget()


# ------------------------------------------------------------------------------ what is collected


def test_a_run_of_directories_has_the_checks_at_its_end(runs: InProcess) -> None:
    for arguments in ([], ["."], ["tests", "src"], ["tests/"]):
        assert runs.names(*arguments) == [USERS_TEST, LOCK_ITEM, ITEM]


def test_one_line_switches_it_on_and_without_it_nothing_is_there(runs: InProcess) -> None:
    runs.users.write("pyproject.toml", PYPROJECT.replace(ON, ""))
    assert runs.names() == [USERS_TEST]
    assert runs.names("pyproject.toml") == []
    runs.users.write("pyproject.toml", PYPROJECT.replace(ON, ON.replace("true", "false")))
    assert runs.names() == [USERS_TEST]


@pytest.mark.parametrize(
    "argument", ["tests/test_it.py", USERS_TEST, "tests/test_it.py::test_it[x::y]"]
)
def test_who_asks_for_one_test_gets_that_one(runs: InProcess, argument: str) -> None:
    assert ITEM not in runs.names(argument)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([ITEM], [ITEM]),  # as a failure names it
        (["pyproject.toml"], [LOCK_ITEM, ITEM]),
        (["tests", ITEM], [USERS_TEST, ITEM]),
        (["-k", "LEASES"], [ITEM]),
        (["-k", "not LEASES"], [USERS_TEST, LOCK_ITEM]),
        (["-m", "checkpointkit", "--strict-markers"], [LOCK_ITEM, ITEM]),
        (["-m", "not checkpointkit"], [USERS_TEST]),
        (["--deselect", "pyproject.toml"], [USERS_TEST]),
    ],
)
def test_the_checks_are_chosen_like_any_test(
    runs: InProcess, arguments: list[str], names: list[str]
) -> None:
    assert runs.names(*arguments) == names


def test_a_project_below_the_root_of_the_tests_does_not_matter(
    runs: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.users.root / "tests")
    assert runs.names() == [USERS_TEST, LOCK_ITEM, ITEM]


# --------------------------------------------------------------------------------- what is reported


def test_as_accepted_the_checks_pass(runs: InProcess) -> None:
    result = runs.run("--strict-markers", "--strict-config")
    result.assert_outcomes(passed=3)
    assert result.ret == 0


def test_a_careless_edit_fails_with_the_edit_to_make_and_no_traceback(runs: InProcess) -> None:
    runs.users.state(CARELESS)
    result = runs.run()
    result.assert_outcomes(passed=2, failed=1)
    text = result.stdout.str()
    assert "checkpointkit: agent.state:LEASES" in text
    assert "in agent.state: set version=2, and add 1: to_2 to migrations" in text
    assert "def to_2(old: Payload) -> Payload:  # 1 -> 2" in text
    assert f"FAILED {ITEM} - example.com/lease, version 1 (" in text
    assert "Traceback" not in text
    assert "pytest_checkpointkit.py" not in text


def test_with_x_the_first_failure_ends_the_run(runs: InProcess) -> None:
    runs.users.write(LOCK, "{")
    runs.run("-x").assert_outcomes(passed=1, failed=1)


def test_a_finding_of_one_schema_does_not_fail_another(runs: InProcess) -> None:
    runs.users.write("src/agent/other.py", STATE_1.replace("example.com/lease", "other"))
    runs.users.write(
        "pyproject.toml", PYPROJECT.replace("schemas = [", 'schemas = ["agent.other:LEASES", ')
    )
    result = runs.run("-rA")
    result.assert_outcomes(passed=3, failed=1)
    text = result.stdout.str()
    assert f"PASSED {ITEM}" in text
    assert "FAILED pyproject.toml::agent.other:LEASES - other (agent.other:LEASES)" in text


def test_what_belongs_to_no_schema_fails_the_test_of_the_lock(runs: InProcess) -> None:
    runs.users.write("pyproject.toml", PYPROJECT.replace('"agent.state:LEASES"', ""))
    result = runs.run()
    result.assert_outcomes(passed=1, failed=1)
    assert f"FAILED {LOCK_ITEM} - example.com/lease: not-listed" in result.stdout.str()


@pytest.mark.parametrize(
    ("pyproject", "problem"),
    [
        (PYPROJECT.replace("[tool.checkpointkit]", "[tool.other]"), "has no table [tool.check"),
        (PYPROJECT.replace("\nschemas =", "\nschema ="), "is schemas meant?"),
        (PYPROJECT.replace("src/agent/c", "c"), "not-accepted"),
    ],
)
def test_settings_that_make_no_sense_fail_and_do_not_switch_the_check_off(
    runs: InProcess, pyproject: str, problem: str
) -> None:
    runs.users.write("pyproject.toml", pyproject)
    result = runs.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert problem in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_the_failed_check_alone_is_run_again(runs: InProcess) -> None:
    runs.users.state(CARELESS)
    assert runs.run(cache=True).ret == pytest.ExitCode.TESTS_FAILED
    runs.run("--last-failed", cache=True).assert_outcomes(failed=1)


def test_a_mistake_of_ours_shows_with_its_traceback(runs: InProcess) -> None:
    runs.users.write(
        "conftest.py",
        """\
        import sys

        import checkpointkit.evolution.workspace

        workspace = sys.modules["checkpointkit.evolution.workspace"]
        real = workspace.check

        def pytest_sessionstart():
            workspace.check = lambda *_: 1 / 0

        def pytest_sessionfinish():
            workspace.check = real
        """,
    )
    result = runs.run()
    result.assert_outcomes(passed=1, failed=2)
    assert "workspace.py" in result.stdout.str()


def test_without_the_plugin_nothing_is_checked(runs: InProcess) -> None:
    runs.users.state(CARELESS)
    runs.users.write("pyproject.toml", PYPROJECT.replace(ON, ""))
    runs.run("-p", "no:checkpointkit").assert_outcomes(passed=1)


# ----------------------------------------------------------------------------------------- against


def test_against_a_release_an_edited_lock_fails(
    runs: InProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.users.commit("v1")
    runs.users.state(CARELESS)
    assert runs.users.schema(capsys, "accept", "--amend")[0] == 0
    runs.run().assert_outcomes(passed=3)
    result = runs.run("--checkpointkit-against", "v1")
    result.assert_outcomes(passed=2, failed=1)
    assert "released-changed" in result.stdout.str()
    result = runs.run("--checkpointkit-against=v2")
    assert "v2: is no revision of the repository" in result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_an_option_that_would_do_nothing_is_refused(runs: InProcess) -> None:
    runs.users.write("pyproject.toml", PYPROJECT.replace(ON, ""))
    result = runs.run("--checkpointkit-against", "v1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--checkpointkit-against needs {ON} in the settings" in result.stderr.str()


# -------------------------------------------------------------------- in a process of its own


@pytest.fixture
def elsewhere(accepted: Path, tmp_path: Path) -> UsersProject:
    users = UsersProject(tmp_path / "project")
    shutil.copytree(accepted, users.root)
    users.state(CARELESS)
    return users


def counts(out: str) -> list[str]:
    return re.findall(r"\d+ (?:passed|failed|deselected)", out.splitlines()[-1])


def test_workers_share_the_checks_like_any_tests(elsewhere: UsersProject) -> None:
    status, out, err = elsewhere.python(
        "-m", "pytest", "-n2", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"
    )
    assert (status, counts(out)) == (1, ["1 failed", "2 passed"]), out + err
    assert f"FAILED {ITEM}" in out


def test_a_release_from_before_the_lock_is_noted_and_not_passed_over_in_silence(
    elsewhere: UsersProject,
) -> None:
    elsewhere.state(STATE_1)
    elsewhere.commit("all")
    elsewhere.git("rm", "-r", "--quiet", "--cached", "src")
    elsewhere.commit_index("v0")
    status, out, err = elsewhere.python(
        "-m", "pytest", "-n1", "-p", "no:hypothesispytest", "--checkpointkit-against=v0"
    )
    assert status == 0, out + err
    assert f"\ncheckpointkit: v0 has no {LOCK}: nothing was released yet" in out
