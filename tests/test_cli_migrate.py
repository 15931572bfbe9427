"""`checkpointkit migrate` and `unpin`: a plan, a question, and what came of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit import CheckpointManager, Schema
from checkpointkit.cli.mend import NOT_DONE
from checkpointkit.cli.target import Target
from checkpointkit.cli.trouble import trouble
from checkpointkit.errors import (
    DowngradeLossError,
    EncodeError,
    InvalidKeyError,
    SchemaDriftError,
    StoreUnavailableError,
    StructureError,
)
from checkpointkit.stores.files.store import FileStore
from tests.support.states import generations, pins, tree
from tests.test_cli_support import Clock, overtake, run, run_json
from tests.test_cli_terminal import Screen, person, screen, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.errors import CheckpointError

__all__ = ["person", "screen"]

Capture = pytest.CaptureFixture[str]
MODULE = '''
"""The formats of an agent."""
from attrs import frozen
from checkpointkit import Downgrade, Schema
print("imported")

@frozen
class Lease:
    holder: str
    seconds: int

def add_seconds(old):
    if old["holder"] == "secret":
        raise ValueError(old)
    return {**old, "seconds": 30}

KIND = "example.com/lease"
OLD = Schema(dict[str, str], kind=KIND, version=1)
LEASES = Schema(Lease, kind=KIND, version=2, migrations={1: add_seconds})
LATER = Schema(Lease, kind=KIND, version=3, migrations={2: lambda old: old})
BOTH = Schema(
    Lease,
    kind=KIND,
    version=2,
    migrations={1: add_seconds},
    downgrades={2: Downgrade(lambda new: {"holder": new["holder"]}, OLD.shape)},
    write_version=1,
)
DRIFTED = Schema(dict[str, int], kind=KIND, version=1)
'''
KIND = "example.com/lease"
OLD: Schema[dict[str, str]] = Schema(dict[str, str], kind=KIND, version=1)


@pytest.fixture(autouse=True)
def _agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """An agent that is installed, under a name of its own for each test."""
    package = tmp_path / "lib" / "agent_of_a_test"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "state.py").write_text(MODULE)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr("checkpointkit.cli.run.datetime", Clock)
    for name in [name for name in sys.modules if name.startswith("agent_of_a_test")]:
        monkeypatch.delitem(sys.modules, name)


def schema(name: str) -> str:
    return f"--schema=agent_of_a_test.state:{name}"


LEASES = schema("LEASES")


def make(path: Path, *keys: str, holder: str = "") -> Path:
    """Save each key once, in version 1."""
    with FileStore(path, history=1, durability="none") as store:
        for key in keys:
            CheckpointManager(store, OLD).create(key, {"holder": holder or key})
    return path


def versions(path: Path, key: str) -> list[tuple[int, bool]]:
    with FileStore(path, read_only=True) as store:
        manager = CheckpointManager(store, OLD)
        return [(info.schema_version, info.pinned) for info in manager.history(key)]


# ------------------------------------------------------------------------------------------ migrate


def test_a_dry_run_says_what_is_there_and_changes_nothing(quick: Path, capsys: Capture) -> None:
    make(quick, "a", "b")
    before = tree(quick)
    assert run(capsys, "migrate", "-n", LEASES, quick) == (
        0,
        (
            "2 keys at schema version 1\n"
            "2 checkpoints to migrate to version 2\n"
            "    the generations before are kept until they are unpinned: "
            f"checkpointkit unpin {quick}\n"
        ),
        "imported\n",
    )
    status, document = run_json(capsys, "migrate", "-n", LEASES, quick)
    assert (status, document["migrated"], document["pinned"]) == (0, ["a", "b"], ["a", "b"])
    assert (document["ok"], document["dry_run"]) == (True, True)
    assert tree(quick) == before


def test_migrate_does_what_the_plan_says_and_a_second_one_has_nothing_to_do(
    quick: Path, capsys: Capture
) -> None:
    make(quick, "a", "b")
    assert run(capsys, "migrate", "--yes", LEASES, quick, "a")[:2] == (
        0,
        "1 checkpoint migrated to version 2\n",
    )
    assert (versions(quick, "a"), versions(quick, "b")) == ([(2, False), (1, True)], [(1, False)])
    status, document = run_json(capsys, "migrate", "-y", LEASES, quick)
    assert status == 0
    assert document == {
        "format": 1,
        "command": "migrate",
        "store": str(quick),
        "scope": [],
        "ok": True,
        "dry_run": False,
        "schema": "agent_of_a_test.state:LEASES",
        "kind": KIND,
        "version": 2,
        "versions": {"1": 1, "2": 1},
        "migrated": ["b"],
        "pinned": ["b"],
        "problems": [],
    }
    before = tree(quick)
    assert run(capsys, "migrate", "--yes", LEASES, quick)[:2] == (
        0,
        "2 keys at schema version 2\nnothing to migrate to version 2\n",
    )
    status, document = run_json(capsys, "migrate", LEASES, quick)
    assert (status, document["dry_run"], document["migrated"]) == (0, False, [])
    assert tree(quick) == before


def test_the_program_goes_on_and_the_way_back_stays(quick: Path, capsys: Capture) -> None:
    make(quick, "a")
    run(capsys, "migrate", "--yes", LEASES, quick)
    run(capsys, "rollback", quick, "a", "1")
    make(quick, "a", "a", "a")
    assert versions(quick, "a") == [(1, False), (1, False), (1, True)]
    _, out, _ = run(capsys, "history", quick, "a")
    assert [line.split("  ")[-1] for line in out.splitlines()] == [
        "STATE",
        "good",
        "good",
        "good, pinned",
    ]
    assert "state           good, pinned\n" in run(capsys, "show", quick, "a", "--generation=1")[1]
    _, document = run_json(capsys, "history", quick, "a")
    assert [each["pinned"] for each in document["checkpoints"]] == [False, False, True]
    status, document = run_json(capsys, "verify", quick)
    assert (status, document["strays"]) == (0, []), "a pin is a file of the store"


def test_without_pins_the_history_decides(quick: Path, capsys: Capture) -> None:
    make(quick, "a")
    _, out, _ = run(capsys, "migrate", "-n", "--no-pin", LEASES, quick)
    assert "    the generations before are kept as the program's history= says" in out
    assert run(capsys, "migrate", "-y", "--no-pin", LEASES, quick)[0] == 0
    assert versions(quick, "a") == [(2, False), (1, False)]


def test_the_written_version_is_the_one_to_reach(quick: Path, capsys: Capture) -> None:
    make(quick, "a")
    _, out, _ = run(capsys, "migrate", "-y", schema("BOTH"), quick)
    assert out == "1 key at schema version 1\nnothing to migrate to version 1\n"


@pytest.mark.parametrize(
    ("name", "kind", "message", "advice"),
    [
        (
            "LEASES",
            "MigrationError",
            "its step from schema version 1 to 2 fails: raised ValueError at holder",
            "mend the schema or its migrations; the checkpoint is as it was",
        ),
        (
            "LATER",
            "VersionTooOldError",
            "it has schema version 1, and the schema reads 2 to 3",
            "migrate it with a release that has the older migrations, then with this one",
        ),
        (
            "DRIFTED",
            "SchemaDriftError",
            "it was saved as schema version 1 with another shape: [*]: expected int, got str",
            "mend the schema or its migrations; the checkpoint is as it was",
        ),
    ],
)
def test_what_a_schema_cannot_read_is_a_problem_and_its_payload_is_not_shown(
    quick: Path, capsys: Capture, name: str, kind: str, message: str, advice: str
) -> None:
    make(quick, "a", holder="secret")
    before = tree(quick)
    status, out, _ = run(capsys, "migrate", "-y", schema(name), quick)
    assert status == 1
    assert out.startswith("nothing can be migrated to version ")
    assert f"a: {message}" in out.replace("a, generation 1: ", "a: ")
    assert f"\n    next: {advice}\n" in out
    assert "secret" not in out
    _, document = run_json(capsys, "migrate", "-n", schema(name), quick)
    assert [problem["type"] for problem in document["problems"]] == [kind]
    assert tree(quick) == before


@pytest.mark.parametrize(
    ("error", "message", "advice"),
    [
        (
            StructureError("a", ("ids[0]: expected str, got int", "pod: missing")),
            "it does not fit the class: ids[0]: expected str, got int; pod: missing",
            "mend the schema",
        ),
        (EncodeError("a", ("ids: set",)), "it does not fit the class: ids: set", "mend the schema"),
        (
            DowngradeLossError("a", 1, ("boot_id",)),
            "it cannot be saved as schema version 1 without loss: boot_id",
            "leave it until the schema's write_version goes up",
        ),
        (
            SchemaDriftError("a", 1, "fp1:0", "fp1:1"),
            "it was saved as schema version 1 with another shape: see checkpointkit schema diff",
            "mend the schema",
        ),
        (InvalidKeyError("'a b'", "bad"), "'a b' is no key: bad", "see to the cause"),
    ],
)
def test_what_is_wrong_with_a_format_is_said_in_words(
    error: CheckpointError, message: str, advice: str
) -> None:
    said = trouble(error, Target("store", (), 100), "a")
    assert said.message.startswith(message)
    assert said.advice.startswith(advice)
    assert said.place == "a"


def test_a_newer_state_is_for_a_newer_release(quick: Path, capsys: Capture) -> None:
    make(quick, "a", "b")
    run(capsys, "migrate", "-y", LEASES, quick, "a")
    status, out, _ = run(capsys, "migrate", "-y", schema("OLD"), quick)
    assert status == 1
    assert "a: it has schema version 2, and the schema reads 1 to 1\n" in out
    assert "    next: use the schema of the release that saved it\n" in out
    assert versions(quick, "a") == [(2, False), (1, True)]


def test_what_fails_while_it_is_done_is_reported_and_the_rest_is_done(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(quick, "a", "b")
    make(quick, "c", holder="secret")

    def fail(_store: FileStore) -> None:
        raise StoreUnavailableError("a", "save", "no memory")

    overtake(monkeypatch, "write", fail)
    status, out, _ = run(capsys, "migrate", "-y", LEASES, quick)
    assert status == 1
    assert out.startswith("1 checkpoint migrated to version 2\nc: its step from")
    assert "\na: cannot save: no memory\n" in out
    assert out.count("    next: ") == 2, "what failed in the plan is not tried again"
    with FileStore(quick, read_only=True) as store:
        assert [pins(store, key) for key in "abc"] == [[1], [1], []]
    _, document = run_json(capsys, "migrate", "-y", LEASES, quick)
    assert (document["migrated"], document["ok"]) == (["a"], False)
    assert document["versions"] == {"1": 1, "2": 1}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("agent_of_a_test.state", "names no module and object"),
        ("agent_of_a_test.state:Lease", "is a type, not a Schema"),
        ("no_such_agent.state:LEASES", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_schema_that_cannot_be_had_ends_with_2(
    quick: Path, capsys: Capture, reference: str, message: str
) -> None:
    make(quick, "a")
    status, out, err = run(capsys, "migrate", "-y", f"--schema={reference}", quick)
    assert (status, out) == (2, "")
    assert message in err
    assert "PYTHONPATH" in err
    status, document = run_json_of(capsys, "migrate", f"--schema={reference}", quick)
    assert (status, document["error"]["type"]) == (2, "NoSchema")
    assert versions(quick, "a") == [(1, False)]


def run_json_of(capsys: Capture, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run it with `--json`, and leave out what its module prints."""
    import json  # noqa: PLC0415

    status, out, _ = run(capsys, *arguments, "--json")
    document = json.loads(out)
    assert isinstance(document, dict)
    return status, document


def test_a_key_that_is_not_there_ends_it_before_anything_is_done(
    quick: Path, capsys: Capture
) -> None:
    make(quick, "a")
    for command in (["migrate", "-y", LEASES], ["unpin", "-y"]):
        status, _, err = run(capsys, *command, quick, "a", "zz")
        assert (status, "zz: there is no such checkpoint" in err) == (1, True)
    assert versions(quick, "a") == [(1, False)]


def test_a_scope_is_migrated_when_it_is_named(quick: Path, capsys: Capture) -> None:
    make(quick, "a")
    make(quick / ".scope" / "s", "b")
    _, out, _ = run(capsys, "migrate", "-n", "--scope=s", LEASES, quick)
    assert out.endswith(f"unpinned: checkpointkit unpin --scope=s {quick}\n")
    run(capsys, "migrate", "-y", "--scope=s", LEASES, quick)
    assert versions(quick, "a") == [(1, False)]
    assert versions(quick / ".scope" / "s", "b") == [(2, False), (1, True)]


def test_an_empty_store_has_nothing_to_migrate_and_nothing_to_unpin(
    quick: Path, capsys: Capture
) -> None:
    make(quick)
    assert run(capsys, "migrate", LEASES, quick)[:2] == (
        0,
        "no checkpoints of this schema here\nnothing to migrate to version 2\n",
    )
    assert run(capsys, "unpin", quick) == (0, "nothing is pinned here\n", "")


# -------------------------------------------------------------------------------------------- unpin


def test_unpin_lets_go_what_it_has_shown(quick: Path, capsys: Capture) -> None:
    make(quick, "a", "b")
    run(capsys, "migrate", "-y", LEASES, quick)
    before = tree(quick)
    size = (quick / "a" / "1").stat().st_size
    advice = "    unpinned, they go as the program saves: there is no way back to them then\n"
    assert run(capsys, "unpin", "-n", quick) == (
        0,
        f"2 pinned generations of 2 keys, {2 * size} B\n{advice}",
        "",
    )
    assert run(capsys, "unpin", "-n", quick, "a")[1] == (
        f"a, generation 1: pinned, {size} B\n1 pinned generation of 1 key, {size} B\n{advice}"
    )
    assert tree(quick) == before
    assert run(capsys, "unpin", "-y", quick, "a") == (0, "1 generation unpinned\n", "")
    assert (versions(quick, "a")[1], versions(quick, "b")[1]) == ((1, False), (1, True))
    status, document = run_json(capsys, "unpin", "-y", quick)
    assert status == 0
    assert document == {
        "format": 1,
        "command": "unpin",
        "store": str(quick),
        "scope": [],
        "ok": True,
        "dry_run": False,
        "unpinned": [{"key": "b", "generation": 1}],
        "problems": [],
    }


def test_what_cannot_be_unpinned_is_a_problem(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(quick, "a", "b")
    run(capsys, "migrate", "-y", LEASES, quick)

    def fail(_store: FileStore) -> None:
        raise StoreUnavailableError("a", "unpin", "no memory")

    overtake(monkeypatch, "unpin", fail)
    status, out, _ = run(capsys, "unpin", "-y", quick)
    assert status == 1
    assert out.startswith("1 generation unpinned\na, generation 1: cannot unpin: no memory\n")
    overtake(monkeypatch, "history", fail)
    status, out, _ = run(capsys, "unpin", "-n", quick)
    assert (status, out.splitlines()[0]) == (1, "nothing is pinned here")
    with FileStore(quick, read_only=True) as store:
        assert [pins(store, key) for key in "ab"] == [[1], []]


# ---------------------------------------------------------------------------------------- questions


@pytest.mark.parametrize("command", [["migrate", LEASES], ["unpin"]])
def test_nothing_is_done_where_nobody_can_be_asked(
    quick: Path, capsys: Capture, command: list[str]
) -> None:
    make(quick, "a", "b")
    run(capsys, "migrate", "-y", LEASES, quick, "a")
    before = tree(quick)
    for more in ([], ["--json"]):
        status, out, err = run(capsys, *command, *more, quick)
        assert status == 2
        assert "--yes" in out + err
    assert tree(quick) == before


@pytest.mark.parametrize("command", [["migrate", LEASES], ["unpin"]])
def test_no_is_an_answer(
    quick: Path, capsys: Capture, person: Callable[[], Screen], command: list[str]
) -> None:
    make(quick, "a", "b")
    run(capsys, "migrate", "-y", LEASES, quick, "a")
    before = tree(quick)
    terminal = person()
    terminal.type(b"n\n")
    assert run(capsys, *command, quick)[:2] == (1, NOT_DONE)
    question = "Migrate 1 checkpoint? [y/N] " if "migrate" in command else "Let 1 generation go?"
    assert question in terminal.shown()
    assert tree(quick) == before


def test_a_conversation_about_a_migration(
    quick: Path, tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(quick, "a", "b")
    screen.resize(200)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "lib"), *sys.path]))
    with start(screen, "migrate", LEASES, quick) as program:
        plan = screen.read_until("[y/N] ")
        assert "2 keys at schema version 1\n2 checkpoints to migrate to version 2\n" in plan
        assert versions(quick, "a") == [(1, False)]
        screen.type(b"y\n")
        screen.read_until("2 checkpoints migrated to version 2\r\n")
        assert program.wait() == 0
    assert versions(quick, "a") == [(2, False), (1, True)]


def test_a_migration_that_is_killed_is_finished_by_the_next_one(
    quick: Path, tmp_path: Path, capsys: Capture
) -> None:
    """A real process, killed when it has migrated some of the keys."""
    keys = [f"k{number}" for number in range(60)]
    make(quick, *keys)
    program = (
        "import sys, os, signal\n"
        "from checkpointkit.stores.files.store import FileStore\n"
        "write, left = FileStore.write, [25]\n"
        "def dying(self, *known, **options):\n"
        "    left[0] -= 1\n"
        "    if not left[0]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(self, *known, **options)\n"
        "FileStore.write = dying\n"
        "from checkpointkit.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    paths = os.pathsep.join([str(tmp_path / "lib"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program, "migrate", "-y", LEASES, str(quick)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9
    with FileStore(quick, read_only=True) as store:
        assert [len(generations(store, key)) for key in sorted(keys)] == [2] * 24 + [1] * 36
        assert pins(store, sorted(keys)[24]) == [1], "it was pinned, and not saved yet"
    status, out, _ = run(capsys, "migrate", "-y", LEASES, quick)
    assert (status, out) == (0, "36 checkpoints migrated to version 2\n")
    assert {tuple(versions(quick, key)) for key in keys} == {((2, False), (1, True))}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can save for another user by mistake")
def test_root_does_not_save_what_the_owner_could_not_read(quick: Path, capsys: Capture) -> None:
    make(quick, "a")
    for path in quick.rglob("*"):
        shutil.chown(path, 12345)
    status, _, err = run(capsys, "migrate", "-y", LEASES, quick)
    assert (status, "sudo -u '#12345'" in err) == (2, True)
    assert versions(quick, "a") == [(1, False)]
