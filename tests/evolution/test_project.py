"""`[tool.checkpointkit]`, the lock file and the goldens on the disk."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from checkpointkit import CheckpointManager, MemoryStore, Schema
from checkpointkit.errors import LockFileError
from checkpointkit.evolution.goldens import Goldens, file_name, render_goldens
from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile, render_lock
from checkpointkit.evolution.project import (
    GoldensFiles,
    Project,
    find_project,
    parse_project,
    read_lock,
    save,
    strays,
)
from tests.evolution.projects import GOLDENS, LOCK, UsersProject, make_project
from tests.support.states import NOW

KIND = "example.com/count"
EMPTY = LockFile({})
COUNTS = Schema(dict[str, int], kind=KIND, version=1)
GOLDEN = f"{GOLDENS}/{file_name(KIND, 1)}"


def goldens_of(*numbers: int) -> Goldens:
    """Return goldens that can be told from others by their numbers."""
    store = MemoryStore()
    manager = CheckpointManager(store, COUNTS, clock=lambda: NOW)
    for number in numbers:
        manager.create("golden", {"n": number})
    return Goldens((store.read("golden"),))


def lock_of(goldens: Goldens, version: int = 1) -> LockFile:
    locked = LockedVersion(COUNTS.shape, COUNTS.fingerprint, goldens.digest)
    return LockFile({KIND: LockedKind({version: locked})})


@pytest.fixture
def users(tmp_path: Path) -> UsersProject:
    return make_project(tmp_path / "project")


@pytest.fixture
def project(users: UsersProject) -> Project:
    return find_project(users.root)


def save_one(project: Project, *numbers: int, before: LockFile = EMPTY) -> LockFile:
    goldens = goldens_of(*numbers)
    save(project, before, lock_of(goldens), {(KIND, 1): goldens})
    return lock_of(goldens)


# ------------------------------------------------------------------------------- pyproject.toml


def test_a_project_is_found_from_any_directory_in_it(users: UsersProject) -> None:
    for directory in (users.root, users.root / "src", users.root / "src" / "agent" / "gone"):
        project = find_project(directory)
        assert project == Project(users.root, LOCK, ("agent.state:LEASES",))
        assert project.lock_path == users.root / LOCK
        assert project.goldens_path == users.root / GOLDENS


def test_a_relative_directory_will_do(users: UsersProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(users.root / "src")
    assert find_project(Path()).root == users.root


def test_a_part_with_settings_of_its_own_is_a_project_of_its_own(users: UsersProject) -> None:
    part = make_project(users.root / "part")
    assert find_project(part.root / "src").root == part.root


def test_a_part_that_says_nothing_of_checkpointkit_belongs_to_the_whole(
    users: UsersProject,
) -> None:
    for text in ("", "[tool.ruff]\nline-length = 100\n", "tool = 1\n"):
        users.write("part/pyproject.toml", text)
        assert find_project(users.root / "part").root == users.root


def test_no_project_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(LockFileError) as caught:
        find_project(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no pyproject.toml here or above; make one that says:\n"
        "    [tool.checkpointkit]\n"
        '    lock = "src/agent/checkpointkit.lock"\n'
        '    schemas = ["agent.state:LEASES"]'
    )
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "below").mkdir()
    with pytest.raises(LockFileError) as caught:
        find_project(tmp_path / "below")
    assert str(caught.value).startswith(
        f"{tmp_path}/pyproject.toml: has no table [tool.checkpointkit]; add, for example:\n"
    )


def test_examples_are_by_kind(tmp_path: Path) -> None:
    text = (
        '[tool.checkpointkit]\nlock = "a.lock"\nschemas = []\n'
        '[tool.checkpointkit.examples]\n"example.com/lease" = "agent.examples:LEASES"\n'
    )
    project = parse_project(text, tmp_path)
    assert project is not None
    assert project.schemas == ()
    assert dict(project.examples) == {"example.com/lease": "agent.examples:LEASES"}


GOOD = 'lock = "a.lock"\nschemas = ["a:B"]\n'


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("[tool]\ncheckpointkit = 1", "is no table"),
        ('lok = "a.lock"', "there is no setting lok; is lock meant?"),
        ('schema = "a:B"', "there is no setting schema; is schemas meant?"),
        ("colour = 1", "there is no setting colour, only examples, lock, schemas"),
        ('schemas = ["a:B"]', "lock is missing; name a file inside the package, for example"),
        ('lock = 1\nschemas = ["a:B"]', "lock is no path that ends in .lock, for example lock ="),
        ('lock = "a.json"\nschemas = []', "lock is no path that ends in .lock, for example"),
        ('lock = "/a.lock"\nschemas = []', "lock has to be a path in the project, with slashes"),
        ('lock = "../a.lock"\nschemas = []', "lock has to be a path in the project"),
        ('lock = "a/../../a.lock"\nschemas = []', "lock has to be a path in the project"),
        ("lock = 'a\\a.lock'\nschemas = []", "lock has to be a path in the project"),
        ('lock = "C:a.lock"\nschemas = []', "lock has to be a path in the project"),
        ('lock = "a.lock"', 'schemas is missing; list them, for example schemas = ["agent.state'),
        ('lock = "a.lock"\nschemas = "a:B"', "schemas is no list of texts, for example schemas"),
        ('lock = "a.lock"\nschemas = [1]', "schemas is no list of texts"),
        ('lock = "a.lock"\nschemas = ["a:B", "a:C", "a:B"]', "schemas has a:B twice"),
        ('lock = "a.lock"\nschemas = ["a.B"]', "schemas: a.B: names no module and object; write"),
        (f"{GOOD}examples = 1", "examples is no table of texts, for example examples = {"),
        (f'{GOOD}examples = {{"k" = 1}}', "examples is no table of texts"),
        (f'{GOOD}examples = {{"k" = "a.B"}}', "examples: a.B: names no module and object"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_what_to_write(
    tmp_path: Path, table: str, problem: str
) -> None:
    text = table if table.startswith("[") else f"[tool.checkpointkit]\n{table}"
    with pytest.raises(LockFileError) as caught:
        parse_project(text, tmp_path)
    assert caught.value.path == str(tmp_path / "pyproject.toml")
    assert caught.value.reason.startswith(f"[tool.checkpointkit]: {problem}")


@pytest.mark.parametrize(("content", "problem"), [(b"[", "is no TOML: "), (b"\xff", "is no UTF-8")])
def test_a_pyproject_that_cannot_be_parsed_is_refused(
    users: UsersProject, content: bytes, problem: str
) -> None:
    (users.root / "pyproject.toml").write_bytes(content)
    with pytest.raises(LockFileError) as caught:
        find_project(users.root)
    assert caught.value.path == str(users.root / "pyproject.toml")
    assert caught.value.reason.startswith(problem)


def test_a_pyproject_that_cannot_be_read_is_not_passed_over(users: UsersProject) -> None:
    (users.root / "part" / "pyproject.toml").mkdir(parents=True)
    with pytest.raises(LockFileError, match=r"part/pyproject\.toml: cannot be read: Is a"):
        find_project(users.root / "part")


# ------------------------------------------------------------------------- the lock and the goldens


def test_before_the_first_accept_nothing_is_locked(project: Project) -> None:
    assert read_lock(project) == LockFile({})
    assert GoldensFiles(project)(KIND, 1) is None
    assert strays(project, LockFile({})) == ()


def test_what_is_saved_is_read_again(project: Project) -> None:
    goldens = goldens_of(1)
    written = save(project, LockFile({}), lock_of(goldens), {(KIND, 1): goldens})
    assert written == (GOLDEN, LOCK)
    assert read_lock(project) == lock_of(goldens)
    assert GoldensFiles(project)(KIND, 1) == goldens
    assert strays(project, lock_of(goldens)) == ()


def test_what_git_does_to_line_ends_does_not_count(users: UsersProject, project: Project) -> None:
    lock = save_one(project, 1)
    for path in (LOCK, GOLDEN):
        (users.root / path).write_bytes(users.read(path).encode().replace(b"\n", b"\r\n"))
    assert read_lock(project) == lock
    assert GoldensFiles(project)(KIND, 1) == goldens_of(1)
    assert save(project, lock, lock, {(KIND, 1): goldens_of(1)}) == ()  # nothing differs


def test_files_are_written_with_plain_line_ends_and_for_everybody(
    users: UsersProject, project: Project
) -> None:
    before = os.umask(0o022)
    try:
        save_one(project, 1)
    finally:
        os.umask(before)
    for path in (LOCK, GOLDEN):
        assert b"\r" not in (users.root / path).read_bytes()
        assert (users.root / path).stat().st_mode & 0o777 == 0o644


def test_a_file_that_stays_as_it_is_is_not_touched(users: UsersProject, project: Project) -> None:
    lock = save_one(project, 1)
    before = (users.root / LOCK).stat()
    assert save(project, lock, lock, {(KIND, 1): goldens_of(1)}) == ()
    assert (users.root / LOCK).stat() == before


def test_a_dry_run_writes_nothing_and_says_what_it_would(
    users: UsersProject, project: Project
) -> None:
    before = users.tree()
    goldens = goldens_of(1)
    written = save(project, LockFile({}), lock_of(goldens), {(KIND, 1): goldens}, dry_run=True)
    assert written == (GOLDEN, LOCK)
    assert users.tree() == before


def test_the_lock_never_names_goldens_that_are_not_there(
    users: UsersProject, project: Project
) -> None:
    # as after a kill, a full disk: the goldens cannot be written
    users.write(GOLDENS, "a file in the place of the directory")
    goldens = goldens_of(1)
    with pytest.raises(LockFileError, match="cannot be written: "):
        save(project, LockFile({}), lock_of(goldens), {(KIND, 1): goldens})
    assert not project.lock_path.exists()


def test_a_write_that_fails_leaves_the_lock_as_it_was(
    users: UsersProject, project: Project
) -> None:
    lock = save_one(project, 1)
    before = users.tree()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))  # a disk that is full after 64 bytes
    try:
        with pytest.raises(LockFileError) as caught:
            save(project, lock, LockFile({}), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == f"{project.lock_path}: cannot be written: File too large"
    assert users.tree() == before


def test_a_lock_behind_a_symbolic_link_stays_behind_it(
    users: UsersProject, project: Project, tmp_path: Path
) -> None:
    project.lock_path.symlink_to(tmp_path / "elsewhere.lock")
    lock = save_one(project, 1)
    assert project.lock_path.is_symlink()
    assert (tmp_path / "elsewhere.lock").read_text(encoding="utf-8") == render_lock(lock)


def test_a_lock_that_is_gone_while_its_goldens_are_there_is_no_new_beginning(
    users: UsersProject, project: Project
) -> None:
    save_one(project, 1)
    (users.root / LOCK).unlink()
    with pytest.raises(LockFileError) as caught:
        read_lock(project)
    assert str(caught.value) == (
        f"{LOCK}: is missing, and {GOLDENS} is there: take the lock file back (git checkout -- "
        f"{LOCK}); or, if nothing was released, delete the directory and accept anew"
    )


def test_goldens_that_the_lock_does_not_name_are_found(
    users: UsersProject, project: Project
) -> None:
    lock = save_one(project, 1)
    users.write(f"{GOLDENS}/README.md", "What these are.")
    users.write(f"{GOLDENS}/.x.jsonl", "left by a kill")
    assert strays(project, lock) == ()
    # an entry was taken out of the lock by hand, one of a pair of versions or the whole kind
    assert strays(project, LockFile({})) == (GOLDEN,)
    assert strays(project, lock_of(goldens_of(1), version=2)) == (GOLDEN,)


def test_goldens_in_the_place_of_new_ones_are_never_overwritten(
    users: UsersProject, project: Project
) -> None:
    save_one(project, 1)
    before = users.tree()
    with pytest.raises(LockFileError) as caught:
        save_one(project, 2)  # the lock, as it was read, names none
    assert str(caught.value).startswith(f"{GOLDEN}: is there, and {LOCK} does not name it: if")
    assert users.tree() == before


def test_goldens_of_the_same_content_are_those_of_an_accept_that_was_killed(
    users: UsersProject, project: Project
) -> None:
    save_one(project, 1)
    (users.root / LOCK).unlink()
    assert save(project, LockFile({}), lock_of(goldens_of(1)), {(KIND, 1): goldens_of(1)}) == (
        LOCK,
    )


def test_goldens_of_an_amended_version_are_replaced(users: UsersProject, project: Project) -> None:
    lock = save_one(project, 1)
    save_one(project, 2, before=lock)
    assert users.read(GOLDEN) == render_goldens(goldens_of(2))


def test_a_damaged_file_is_named_from_the_project_on(users: UsersProject, project: Project) -> None:
    save_one(project, 1)
    users.write(LOCK, "{")
    users.write(GOLDEN, "{")
    with pytest.raises(LockFileError) as caught:
        read_lock(project)
    assert caught.value.path == LOCK
    with pytest.raises(LockFileError) as caught:
        GoldensFiles(project)(KIND, 1)
    assert caught.value.path == GOLDEN


def test_goldens_that_cannot_be_listed_are_not_taken_for_none(
    users: UsersProject, project: Project
) -> None:
    users.write(GOLDENS, "no directory")
    with pytest.raises(LockFileError, match="cannot be read: Not a directory"):
        read_lock(project)
