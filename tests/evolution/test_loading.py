"""From `pkg.mod:NAME` to a schema: whatever users write, and whatever their modules do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from checkpointkit.chain import MissingMigrationError
from checkpointkit.errors import LockFileError
from checkpointkit.evolution.findings import Broken, Listed
from checkpointkit.evolution.loading import (
    importable,
    load_listed,
    load_object,
    load_schema,
    said,
    split_reference,
)
from tests.evolution.projects import GAP, STATE_1, UsersProject, forget, make_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UsersProject:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    return make_project(tmp_path)


@pytest.mark.parametrize(
    "reference",
    ["", ":", "agent", "agent.state.LEASES", ":LEASES", "agent:", "agent.:X", "a b:X", "a:X:Y",
     "agent/state.py:LEASES", "../agent:X", "a:X[0]", "a:1"],
)  # fmt: skip
def test_a_reference_of_another_form_is_refused_with_the_form(reference: str) -> None:
    with pytest.raises(LockFileError, match="write it as module:NAME") as caught:
        split_reference(reference)
    assert caught.value.path == reference


def test_a_name_may_be_in_a_class() -> None:
    assert (
        load_object("collections:OrderedDict.fromkeys")
        == __import__("collections").OrderedDict.fromkeys
    )


def test_the_package_is_found_in_src_and_beside_it_and_only_for_the_time_of_the_block(
    project: UsersProject,
) -> None:
    project.write("flat.py", "NAME = 1\n")
    before = list(sys.path)
    with importable(project.root):
        assert load_schema("agent.state:LEASES").kind == "example.com/lease"
        assert load_object("flat:NAME") == 1
    del sys.modules["flat"]
    assert sys.path == before
    forget()
    with pytest.raises(LockFileError, match="cannot be imported: ModuleNotFoundError: No module"):
        load_schema("agent.state:LEASES")


def test_the_tree_goes_before_an_installed_release(
    project: UsersProject, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = make_project(
        tmp_path_factory.mktemp("installed"), STATE_1.replace("example.com/lease", "installed")
    )
    monkeypatch.syspath_prepend(installed.root / "src")
    with importable(project.root):
        assert load_schema("agent.state:LEASES").kind == "example.com/lease"


def test_what_a_module_adds_to_the_path_stays(
    project: UsersProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    project.state(
        f"import sys\nsys.path.insert(0, 'added')\nsys.path.remove({str(project.root)!r})"
    )
    before = list(sys.path)
    with importable(project.root):
        load_object("agent.state:sys")
    assert sys.path == ["added", *before]


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ("", "there is no LEASES in it"),
        ("LEASE = 1", "there is no LEASES in it; is LEASE meant?"),
        ("LEASES = 1", "is a int, not a Schema"),
        ("raise KeyError('x')", "cannot be imported: KeyError: 'x'"),
        ("import nowhere", "cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("def", "cannot be imported: SyntaxError: invalid syntax (state.py, line 1)"),
        ("raise SystemExit", "cannot be imported: ImportError: agent.state ends the process when"),
    ],
)
def test_what_is_no_schema_is_refused_with_the_reason(
    project: UsersProject, state: str, problem: str
) -> None:
    project.state(state)
    with importable(project.root), pytest.raises(LockFileError) as caught:
        load_schema("agent.state:LEASES")
    assert str(caught.value).startswith(f"agent.state:LEASES: {problem}")


def test_ctrl_c_during_an_import_ends_the_command(project: UsersProject) -> None:
    project.state("raise KeyboardInterrupt")
    with importable(project.root), pytest.raises(KeyboardInterrupt):
        load_listed(["agent.state:LEASES"])


def test_what_a_module_prints_does_not_get_into_a_document(
    project: UsersProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.state("print('hello')\n" + STATE_1)
    with importable(project.root):
        load_schema("agent.state:LEASES")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


def test_one_schema_that_cannot_be_imported_keeps_no_other_from_it(project: UsersProject) -> None:
    project.write("src/agent/other.py", "1 / 0")
    with importable(project.root):
        listed = load_listed(
            ["agent.other:A", "agent.state:LEASES", "agent.state:NONE", "agent.other:B", "no"]
        )
    assert [type(each) for each in listed] == [Broken, Listed, Broken, Broken, Broken]
    assert [each.reference for each in listed][:2] == ["agent.other:A", "agent.state:LEASES"]
    first, second, third, fourth, fifth = listed
    assert isinstance(second, Listed)
    assert second.schema.version == 1
    for broken, text in (
        (first, "ZeroDivisionError: division by zero"),
        (third, "LockFileError: agent.state:NONE: there is no NONE in it"),
        (fifth, "LockFileError: no: names no module and object; write it as module:NAME, for"),
    ):
        assert isinstance(broken, Broken)
        assert said(broken.error).startswith(text)
    assert isinstance(first, Broken)
    assert isinstance(fourth, Broken)
    assert first.error is fourth.error  # one failure: the module is imported once


def test_a_gap_in_a_chain_is_told_from_any_other_failure(project: UsersProject) -> None:
    project.state(GAP)
    with importable(project.root):
        (broken,) = load_listed(["agent.state:LEASES"])
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, MissingMigrationError)
    assert (broken.error.kind, broken.error.missing) == ("example.com/lease", (2,))


def test_an_error_is_said_on_one_line() -> None:
    assert said(ValueError("one\n  two")) == "ValueError: one two"
