"""`checkpointkit schema`: what people see, what programs see, and what is written when."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from checkpointkit.evolution.lockfile import parse_lock
from tests.evolution.projects import (
    CARELESS,
    GAP,
    GOLDENS,
    LOCK,
    PYPROJECT,
    RAISED,
    STATE_1,
    STATE_2,
    UsersProject,
    forget,
    make_project,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

KIND = "example.com/lease"
GOLDENS_1 = f"{GOLDENS}/example.com%2flease.1.jsonl"
GOLDENS_2 = f"{GOLDENS}/example.com%2flease.2.jsonl"


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsersProject]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    yield project
    forget()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose version 1 is accepted, and released as the tag v1; to be copied."""
    project = make_project(tmp_path_factory.mktemp("release") / "project")
    assert project.python("-m", "checkpointkit", "schema", "accept")[0] == 0
    shutil.rmtree(project.root / "src" / "agent" / "__pycache__", ignore_errors=True)
    project.commit("v1")
    return project.root


@pytest.fixture
def accepted(users: UsersProject, release: Path) -> UsersProject:
    """Version 1 is accepted, and released as the tag v1."""
    shutil.copytree(release, users.root, dirs_exist_ok=True)
    return users


# ----------------------------------------------------------------------------------------- check


def test_a_class_that_is_as_accepted_is_fine(accepted: UsersProject, capsys: Capture) -> None:
    before = accepted.tree()
    assert accepted.schema(capsys, "check") == (0, "1 schema, 1 version: as accepted\n", "")
    assert accepted.schema(capsys, "check", "--against", "v1")[0] == 0
    assert accepted.schema_json(capsys, "check") == (
        0,
        {
            "format": 1,
            "command": "schema check",
            "project": str(accepted.root),
            "lock": LOCK,
            "note": "",
            "ok": True,
            "findings": [],
        },
    )
    assert accepted.tree() == before


def test_a_check_works_from_any_directory_of_the_project(
    accepted: UsersProject, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(accepted.root / "src" / "agent")
    assert accepted.schema(capsys, "check", "--against", "v1")[0] == 0


def test_what_is_not_accepted_yet_is_a_finding(users: UsersProject, capsys: Capture) -> None:
    status, out, err = users.schema(capsys, "check")
    assert (status, err) == (1, "")
    assert out.startswith(f"{KIND} (agent.state:LEASES): not-accepted\n")
    assert "checkpointkit schema accept" in out
    assert out.endswith("\n\n1 finding\n")


def test_a_careless_edit_is_a_finding_with_the_edit_and_a_stub(
    accepted: UsersProject, capsys: Capture
) -> None:
    accepted.state(CARELESS)
    before = accepted.tree()
    status, out, _ = accepted.schema(capsys, "check")
    assert status == 1
    assert "shape-changed" in out
    assert "in agent.state: set version=2, and add 1: to_2 to migrations" in out
    assert "def to_2(old: Payload) -> Payload:  # 1 -> 2" in out
    status, document = accepted.schema_json(capsys, "check")
    assert (status, document["ok"]) == (1, False)
    (finding,) = document["findings"]
    assert finding["rule"] == "shape-changed"
    assert (finding["kind"], finding["version"]) == (KIND, 1)
    assert finding["reference"] == "agent.state:LEASES"
    assert "seconds" in finding["message"]
    assert finding["edit"].startswith("in agent.state: set version=2")
    assert finding["stub"].startswith("def to_2(")
    assert accepted.tree() == before


def test_the_lock_cannot_simply_be_edited(accepted: UsersProject, capsys: Capture) -> None:
    # the way out that everybody finds: amend, and the check is green again
    accepted.state(CARELESS)
    assert accepted.schema(capsys, "accept", "--amend")[0] == 0
    assert accepted.schema(capsys, "check")[0] == 0
    status, out, _ = accepted.schema(capsys, "check", "--against", "v1")
    assert status == 1
    assert f"{KIND}, version 1: released-changed" in out
    assert accepted.schema(capsys, "accept", "--amend", "--against", "v1")[0] == 1


def test_goldens_that_the_lock_does_not_name_are_a_finding(
    accepted: UsersProject, capsys: Capture
) -> None:
    accepted.write(f"{GOLDENS}/left.1.jsonl", "")
    status, out, _ = accepted.schema(capsys, "check")
    assert status == 1
    assert "unnamed-goldens" in out
    assert f"{GOLDENS}/left.1.jsonl is there, and the lock file does not name it" in out
    assert f"delete {GOLDENS}/left.1.jsonl" in out


def test_a_revision_without_a_lock_is_noted(accepted: UsersProject, capsys: Capture) -> None:
    accepted.git("rm", "-r", "--quiet", "--cached", "src")
    accepted.git("commit", "--quiet", "-m", "before")
    status, out, err = accepted.schema(capsys, "check", "--against", "HEAD")
    assert (status, out) == (0, "1 schema, 1 version: as accepted\n")
    assert err == f"(note: HEAD has no {LOCK}: nothing was released yet, as far as it goes)\n"
    _, document = accepted.schema_json(capsys, "check", "--against", "HEAD")
    assert document["note"].startswith("HEAD has no ")


def test_a_schema_that_cannot_be_imported_is_a_finding(
    accepted: UsersProject, capsys: Capture
) -> None:
    accepted.state("import nowhere")
    status, out, _ = accepted.schema(capsys, "check")
    assert status == 1
    assert "ModuleNotFoundError: No module named 'nowhere'" in out


def test_no_output_of_a_module_gets_into_a_document(
    accepted: UsersProject, capsys: Capture
) -> None:
    accepted.state("print('hello')\n" + STATE_1)
    status, out, err = accepted.schema(capsys, "check", "--json")
    assert (status, err) == (0, "hello\n")
    assert json.loads(out)["ok"] is True


# ---------------------------------------------------------------------------------------- accept


def test_the_first_accept_writes_the_lock_and_the_goldens(
    users: UsersProject, capsys: Capture
) -> None:
    status, out, err = users.schema(capsys, "accept")
    assert (status, err) == (0, "")
    assert out.startswith(f"{KIND}: version 1 is accepted, with ")
    assert out.endswith(f"wrote {GOLDENS_1}\nwrote {LOCK}\n")
    assert list(parse_lock(users.read(LOCK), LOCK).kinds[KIND].versions) == [1]
    assert users.schema(capsys, "accept") == (0, "nothing is new\n", "")


def test_accept_leaves_nothing_but_the_lock_and_its_goldens(users: UsersProject) -> None:
    # Hypothesis keeps what it found in the modules of a project: `git add .` would commit it
    before = {path for path in users.root.rglob("*") if "__pycache__" not in path.parts}
    assert users.python("-m", "checkpointkit", "schema", "accept")[0] == 0
    after = {path for path in users.root.rglob("*") if "__pycache__" not in path.parts}
    made = {str(path.relative_to(users.root)) for path in after - before}
    assert made == {LOCK, GOLDENS, GOLDENS_1}


def test_a_place_for_hypothesis_that_is_set_is_used(
    users: UsersProject, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path / "mine"))
    assert users.schema(capsys, "check")[0] == 1
    assert os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] == str(tmp_path / "mine")


LOUD = STATE_1.replace(
    "    holder: str\n", "    holder: str\n\n    def __attrs_post_init__(self):\n        BODY\n"
)


def test_what_a_class_prints_gets_into_no_document(accepted: UsersProject, capsys: Capture) -> None:
    accepted.state(LOUD.replace("BODY", 'print("built")'))
    status, out, errors = accepted.schema(capsys, "check", "--json")
    assert (status, json.loads(out)["ok"]) == (0, True)
    assert "built" in errors


def test_a_class_that_ends_the_process_is_no_success(
    accepted: UsersProject, capsys: Capture
) -> None:
    accepted.state(LOUD.replace("BODY", "raise SystemExit(0)"))
    status, _, errors = accepted.schema(capsys, "check")
    assert status == 2
    assert "ends the process" in errors


def test_a_lock_that_git_ignores_is_said(users: UsersProject, capsys: Capture) -> None:
    # `*.lock` stands in many a .gitignore: the lock would not be committed, nor packed
    users.write(".gitignore", "*.lock\n")
    users.git("init", "--quiet")
    status, out, _ = users.schema(capsys, "accept", "-n")
    assert status == 0
    assert out.endswith(f"\ngit ignores {LOCK}: mend .gitignore, else it is not committed\n")
    assert users.schema_json(capsys, "accept")[1]["ignored"] == [LOCK]


def test_a_project_without_git_can_be_accepted(
    users: UsersProject, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(users.root))
    status, out, _ = users.schema(capsys, "accept")
    assert status == 0
    assert "ignores" not in out


def test_a_dry_run_of_accept_writes_nothing(users: UsersProject, capsys: Capture) -> None:
    before = users.tree()
    status, out, _ = users.schema(capsys, "accept", "-n")
    assert status == 0
    assert out.endswith(f"would write {GOLDENS_1}\nwould write {LOCK}\n")
    status, document = users.schema_json(capsys, "accept", "--dry-run")
    assert (status, document["dry_run"]) == (0, True)
    assert document["written"] == [GOLDENS_1, LOCK]
    assert len(document["done"]) == 1
    assert users.tree() == before


def test_a_new_version_leaves_the_old_ones_byte_for_byte(
    accepted: UsersProject, capsys: Capture
) -> None:
    before = accepted.tree()
    accepted.state(STATE_2)
    status, document = accepted.schema_json(capsys, "accept", "--against", "v1")
    assert (status, document["ok"], document["findings"]) == (0, True, [])
    assert document["written"] == [GOLDENS_2, LOCK]
    after = accepted.tree()
    assert after[GOLDENS_1] == before[GOLDENS_1]
    old, new = (parse_lock(tree[LOCK].decode(), LOCK) for tree in (before, after))
    assert new.kinds[KIND].versions[1] == old.kinds[KIND].versions[1]
    assert accepted.schema(capsys, "check", "--against", "v1")[0] == 0


def test_accept_refuses_what_would_hide_a_mistake(accepted: UsersProject, capsys: Capture) -> None:
    for state, rule in ((CARELESS, "shape-changed"), (RAISED, "missing-migration")):
        accepted.state(state)
        before = accepted.tree()
        status, out, _ = accepted.schema(capsys, "accept")
        assert status == 1
        assert rule in out
        assert out.endswith("1 finding\n")
        assert accepted.tree() == before


def test_a_kind_is_retired_on_purpose_alone(accepted: UsersProject, capsys: Capture) -> None:
    accepted.write("pyproject.toml", PYPROJECT.replace('"agent.state:LEASES"', ""))
    status, out, _ = accepted.schema(capsys, "check")
    assert status == 1
    assert f"checkpointkit schema accept --retire {KIND}" in out
    assert accepted.schema(capsys, "accept", "--retire", "example.com/leases") == (
        2,
        "",
        f"checkpointkit: {LOCK}: has no kind example.com/leases to retire; is {KIND} meant?\n",
    )
    assert accepted.schema(capsys, "accept", "--retire", "x")[2].endswith("no kind x to retire\n")
    status, out, _ = accepted.schema(capsys, "accept", "--retire", KIND)
    assert (status, out) == (0, f"{KIND}: retired\nwrote {LOCK}\n")
    assert accepted.schema(capsys, "check", "--against", "v1")[0] == 0


def test_old_versions_are_dropped_on_purpose_alone(accepted: UsersProject, capsys: Capture) -> None:
    accepted.state(RAISED)
    status, out, _ = accepted.schema(capsys, "accept", "--drop-old")
    assert status == 0
    assert f"{KIND}: versions before 2 are dropped" in out
    assert GOLDENS_1 in accepted.tree()  # the proof of what was, and no file is ever deleted
    assert accepted.schema(capsys, "check", "--against", "v1")[0] == 0


def test_goldens_begin_with_the_examples_of_the_settings(
    users: UsersProject, capsys: Capture
) -> None:
    users.write(
        "pyproject.toml",
        f'{PYPROJECT}\n[tool.checkpointkit.examples]\n"{KIND}" = "agent.examples:LEASES"\n',
    )
    users.write(
        "src/agent/examples.py",
        "from agent.state import Lease\nLEASES = [Lease('a name of their own')]\n",
    )
    assert users.schema(capsys, "accept")[0] == 0
    assert "a name of their own" in users.read(GOLDENS_1)


@pytest.mark.parametrize(
    ("kind", "module", "problem"),
    [
        (KIND, "LEASES = 1", "agent.examples:LEASES: gives no examples: TypeError: 'int' object"),
        (KIND, "", "agent.examples:LEASES: there is no LEASES in it"),
        (KIND, "1 / 0", "agent.examples:LEASES: gives no examples: ZeroDivisionError: division"),
        ("x", "", "pyproject.toml: [tool.checkpointkit]: examples are for x, and no listed sche"),
    ],
)
def test_examples_that_are_none_are_refused(
    users: UsersProject, capsys: Capture, kind: str, module: str, problem: str
) -> None:
    users.write(
        "pyproject.toml",
        f'{PYPROJECT}\n[tool.checkpointkit.examples]\n"{kind}" = "agent.examples:LEASES"\n',
    )
    users.write("src/agent/examples.py", module)
    status, out, err = users.schema(capsys, "accept")
    assert (status, out) == (2, "")
    assert problem in err


# ----------------------------------------------------------------------------------- diff and stub


def test_diff_says_path_by_path_what_differs(accepted: UsersProject, capsys: Capture) -> None:
    assert accepted.schema(capsys, "diff") == (0, "every class is as it was accepted\n", "")
    accepted.state(CARELESS)
    status, out, _ = accepted.schema(capsys, "diff")
    assert status == 1
    title, line = out.splitlines()
    assert title == (
        f"{KIND} (agent.state:LEASES): from version 1 in the lock file to version 1 of the class"
    )
    assert line.startswith("    ")
    assert "seconds" in line
    for name in (KIND, "agent.state:LEASES"):
        assert accepted.schema(capsys, "diff", name) == (status, out, "")
    status, document = accepted.schema_json(capsys, "diff", KIND)
    assert (status, document["ok"], document["broken"]) == (1, False, [])
    assert document["differences"] == [
        {
            "kind": KIND,
            "reference": "agent.state:LEASES",
            "version": 1,
            "against": 1,
            "lines": [line.strip()],
        }
    ]


def test_diff_compares_with_the_newest_version_before_the_class(
    accepted: UsersProject, capsys: Capture
) -> None:
    for state, version in ((RAISED, 2), (GAP, 3)):  # GAP cannot even be imported
        accepted.state(state)
        status, out, _ = accepted.schema(capsys, "diff")
        assert status == 1
        assert f"from version 1 in the lock file to version {version} of the class\n" in out
        assert "seconds" in out
    accepted.state(STATE_1.replace("version=1", "version=2"))
    assert accepted.schema(capsys, "diff")[1].endswith("of the class\n    the same shape\n")
    accepted.state(STATE_2)
    assert accepted.schema(capsys, "accept")[0] == 0
    accepted.state(STATE_2.replace("seconds: int", "seconds: float"))
    assert "from version 2 in the lock file to version 2" in accepted.schema(capsys, "diff")[1]


def test_diff_tells_what_was_never_accepted_and_what_cannot_be_imported(
    users: UsersProject, capsys: Capture
) -> None:
    users.write("pyproject.toml", PYPROJECT.replace("schemas = [", 'schemas = ["agent.other:X", '))
    users.write("src/agent/other.py", "1 / 0")
    status, out, _ = users.schema(capsys, "diff")
    assert status == 1
    assert out == (
        f"{KIND} (agent.state:LEASES): version 1 is not in the lock file\n"
        "\n"
        "agent.other:X: ZeroDivisionError: division by zero\n"
    )
    _, document = users.schema_json(capsys, "diff")
    assert document["differences"][0]["against"] is None
    assert document["broken"] == [
        {"reference": "agent.other:X", "message": "ZeroDivisionError: division by zero"}
    ]


@pytest.mark.parametrize("state", [CARELESS, RAISED])
def test_a_stub_can_be_pasted_as_it_is_printed(
    accepted: UsersProject, capsys: Capture, state: str
) -> None:
    accepted.state(state)
    status, out, err = accepted.schema(capsys, "stub", KIND)
    assert (status, err) == (0, "")
    compile(out, "stub", "exec")
    assert out.startswith("def to_2(old: Payload) -> Payload:  # 1 -> 2\n")
    assert accepted.schema_json(capsys, "stub", "agent.state:LEASES")[1]["stubs"] == [out]


def test_the_stub_of_the_way_back_has_the_shape_that_it_leads_to(
    accepted: UsersProject, capsys: Capture
) -> None:
    accepted.state(STATE_2)
    status, out, err = accepted.schema(capsys, "stub", KIND, "--downgrade")
    assert (status, err) == (0, "")
    release_c = (
        STATE_2.replace("Payload, Schema", "Downgrade, Payload, Schema")
        .replace("LEASES =", f"{out}\n\nLEASES =")
        .replace("version=2", "version=2, downgrades={2: FROM_2}")
    )
    accepted.state(release_c.replace("version=2", "version=2, write_version=1"))  # release B
    assert accepted.schema(capsys, "accept")[0] == 0
    assert accepted.schema(capsys, "check", "--against", "v1")[0] == 0
    accepted.commit("b")
    accepted.state(release_c)  # nothing new on the wire: version 2 was accepted with B
    assert accepted.schema(capsys, "accept") == (0, "nothing is new\n", "")
    assert accepted.schema(capsys, "check", "--against", "b")[0] == 0


def test_there_is_no_way_back_from_the_first_version(
    accepted: UsersProject, capsys: Capture
) -> None:
    status, out, err = accepted.schema(capsys, "stub", KIND, "--downgrade")
    assert (status, out) == (2, "")
    assert err == (
        f"checkpointkit: {LOCK}: has no version 0 of {KIND}, which a downgrade would lead to; the "
        "version of its schema is 1\n"
    )


def test_no_stub_is_needed_where_no_migration_is_missing(
    accepted: UsersProject, capsys: Capture
) -> None:
    status, out, _ = accepted.schema(capsys, "stub", KIND)
    assert status == 0
    assert out.startswith(f"# {KIND} needs no migration")
    assert accepted.schema_json(capsys, "stub", KIND)[1]["stubs"] == []


@pytest.mark.parametrize("part", ["diff", "stub"])
def test_a_kind_that_is_not_there_is_refused_with_those_that_are(
    users: UsersProject, capsys: Capture, part: str
) -> None:
    status, out, err = users.schema(capsys, part, "x")
    assert (status, out) == (2, "")
    assert err == (
        f"checkpointkit: x: is no kind of a listed schema; there are: {KIND} (the list is in "
        "pyproject.toml, [tool.checkpointkit])\n"
    )
    users.state("1 / 0")
    assert "there are: none" in users.schema(capsys, part, KIND)[2]


# ----------------------------------------------------------------- what cannot be carried out


@pytest.mark.parametrize(
    "arguments", [["check"], ["accept"], ["accept", "-n"], ["diff"], ["stub", "x"]]
)
def test_a_project_that_cannot_be_read_is_no_finding(
    users: UsersProject, capsys: Capture, arguments: list[str]
) -> None:
    users.write(LOCK, "{")
    before = users.tree()
    status, out, err = users.schema(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"checkpointkit: {LOCK}: ")
    status, document = users.schema_json(capsys, *arguments)
    assert status == 2
    assert document["error"]["type"] == "LockFileError"
    assert document["error"]["message"].startswith(f"{LOCK}: ")
    assert users.tree() == before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["checks"], "invalid choice: 'checks'"),
        (["stub"], "the following arguments are required: KIND"),
        (["check", "x"], "unrecognized arguments: x"),
        (["check", "--amend"], "unrecognized arguments: --amend"),
        (["check", "--agai", "v1"], "unrecognized arguments: --agai v1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    users: UsersProject, capsys: Capture, arguments: list[str], problem: str
) -> None:
    status, out, err = users.schema(capsys, *arguments)
    assert (status, out) == (2, "")
    assert problem in err


def test_without_hypothesis_goldens_cannot_be_made_and_it_says_how_to_install_it(
    users: UsersProject,
) -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from checkpointkit.cli import main; sys.exit(main(['schema', 'accept']))"
    )
    status, out, err = users.python("-c", code)
    assert (status, out) == (2, "")
    assert err.endswith("install it with: pip install 'checkpointkit[testing]'\n")


def test_a_check_needs_no_extra(accepted: UsersProject) -> None:
    code = (
        "import sys; sys.modules.update(hypothesis=None, pytest=None)\n"
        "from checkpointkit.cli import main; sys.exit(main(['schema', 'check']))"
    )
    assert accepted.python("-c", code) == (0, "1 schema, 1 version: as accepted\n", "")
