"""What a release had locked: real git repositories, real wheels and sdists."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import LockFileError
from checkpointkit.evolution.lockfile import (
    LockedKind,
    LockedVersion,
    LockFile,
    Released,
    render_lock,
)
from checkpointkit.evolution.project import Project, find_project
from checkpointkit.evolution.released import read_released
from checkpointkit.fingerprint import Shape, fingerprint
from tests.evolution.projects import LOCK, PYPROJECT, UsersProject, make_project

if TYPE_CHECKING:
    from pathlib import Path

SHAPE: Shape = {"record": {"holder": "str"}}


def lock_of(*kinds: str) -> LockFile:
    """Return a lock file that can be told from others by its kinds."""
    version = LockedVersion(SHAPE, fingerprint(SHAPE), f"sha256:{'0' * 64}")
    return LockFile({kind: LockedKind({1: version}) for kind in kinds})


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UsersProject:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return make_project(tmp_path / "project")


def project_of(users: UsersProject) -> Project:
    return find_project(users.root)


def problem(users: UsersProject, against: str) -> str:
    with pytest.raises(LockFileError) as caught:
        read_released(project_of(users), against)
    return str(caught.value)


# ------------------------------------------------------------------------------------------- git


def test_the_lock_is_that_of_the_revision_and_not_that_of_the_tree(users: UsersProject) -> None:
    users.write(LOCK, render_lock(lock_of("then")))
    users.commit("v1")
    users.write(LOCK, render_lock(lock_of("now")))
    commit = users.git("rev-parse", "HEAD").strip()
    for revision in ("v1", "HEAD", commit, commit[:10], "v1^{commit}", "HEAD@{0}"):
        assert read_released(project_of(users), revision) == Released(lock_of("then"))


def test_an_annotated_tag_is_a_revision(users: UsersProject) -> None:
    users.write(LOCK, render_lock(lock_of("then")))
    users.commit("first")
    users.git("tag", "-a", "-m", "release", "v1")
    assert read_released(project_of(users), "v1").lock == lock_of("then")


def test_a_project_may_be_a_part_of_a_repository(users: UsersProject) -> None:
    users.write(LOCK, render_lock(lock_of("other")))
    part = make_project(users.root / "parts" / "a [part]")
    part.write(LOCK, render_lock(lock_of("part")))
    users.commit("v1")
    assert read_released(project_of(part), "v1").lock == lock_of("part")
    assert read_released(project_of(users), "v1").lock == lock_of("other")


def test_a_hook_of_git_may_run_it(users: UsersProject, monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_project(users.root / "part")
    part.write(LOCK, render_lock(lock_of("part")))
    users.commit("v1")
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # relative to the whole
        monkeypatch.setenv(name, ".git")
    assert read_released(project_of(part), "v1").lock == lock_of("part")


def test_a_lock_that_has_moved_since_is_found_where_it_was(users: UsersProject) -> None:
    # else a renamed package would be as one that was never released
    users.write(LOCK, render_lock(lock_of("then")))
    users.commit("v1")
    users.write("pyproject.toml", PYPROJECT.replace("src/agent/", "src/renamed/"))
    (users.root / "src" / "agent").rename(users.root / "src" / "renamed")
    assert project_of(users).lock == "src/renamed/checkpointkit.lock"
    assert read_released(project_of(users), "v1") == Released(lock_of("then"))


def test_a_project_that_has_moved_within_its_repository_is_found_by_its_kinds(
    users: UsersProject,
) -> None:
    # else the usual step to a repository of several projects would rewrite all history
    users.write(LOCK, render_lock(lock_of("then", "other")))
    users.write("elsewhere/checkpointkit.lock", render_lock(lock_of("then")))
    users.write("broken/checkpointkit.lock", "{")
    users.commit("v1")
    moved = make_project(users.root / "packages" / "a")
    moved.write(LOCK, render_lock(lock_of("then", "other", "new")))
    found = read_released(project_of(moved), "v1")
    assert found.lock == lock_of("then", "other")
    assert found.note == f"compared with {LOCK} of v1: the project stood elsewhere then"
    moved.write(LOCK, render_lock(lock_of("new")))
    assert "nothing was released yet" in read_released(project_of(moved), "v1").note


@pytest.mark.parametrize(
    "settings", ["[project]\nname = 'agent'\n", "[tool.checkpointkit]\nlok = 1\n", "[", ""]
)
def test_where_the_old_settings_do_not_say_it_is_where_it_is_now(
    users: UsersProject, settings: str
) -> None:
    users.write("pyproject.toml", settings)
    users.write(LOCK, render_lock(lock_of("then")))
    users.commit("v1")
    users.write("pyproject.toml", PYPROJECT)
    assert read_released(project_of(users), "v1") == Released(lock_of("then"))


def test_a_revision_without_a_lock_had_released_nothing_and_says_so(users: UsersProject) -> None:
    users.commit("v0")
    users.write(LOCK, render_lock(lock_of("now")))
    released = read_released(project_of(users), "v0")
    assert released.lock == LockFile({})
    assert released.note == f"v0 has no {LOCK}: nothing was released yet, as far as it goes"


def test_a_project_that_came_later_had_released_nothing(users: UsersProject) -> None:
    users.commit("v0")
    part = make_project(users.root / "parts" / "later")
    assert read_released(project_of(part), "v0").lock == LockFile({})


def test_line_ends_do_not_count(users: UsersProject) -> None:
    users.write(LOCK, render_lock(lock_of("then")).replace("\n", "\r\n"))
    users.commit("v1")
    assert read_released(project_of(users), "v1").lock == lock_of("then")


def test_a_name_that_is_no_revision_is_told_from_a_lock_that_is_not_there(
    users: UsersProject,
) -> None:
    # in CI, a shallow clone: to take that for "nothing was released" would check nothing, for ever
    users.commit("v1")
    said = problem(users, "v2")
    assert said.startswith(f"v2: is no revision of the repository in {users.root}; see `git tag`")
    assert said.endswith("has to fetch it first: `git fetch --depth=1 origin tag v2`")


def test_a_tag_of_something_else_is_no_revision(users: UsersProject) -> None:
    users.commit("v1")
    users.git("tag", "tree", "HEAD^{tree}")
    assert "tree: is no revision" in problem(users, "tree")


@pytest.mark.parametrize("revision", ["", " ", "-h", "--help", "--output=x"])
def test_an_option_for_git_is_no_revision(users: UsersProject, revision: str) -> None:
    users.commit("v1")
    assert problem(users, revision).endswith("is no git revision, and no wheel or sdist")


def test_no_repository_is_said(users: UsersProject) -> None:
    assert problem(users, "v1").startswith("v1: cannot be looked up: not a git repository")


def test_no_git_is_said(users: UsersProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(users.root))
    assert problem(users, "v1") == ("v1: needs git, which cannot be run: No such file or directory")


def test_a_git_that_says_nothing_is_no_riddle(
    users: UsersProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.write("bin/git", "#!/bin/sh\nexit 1\n")
    (users.root / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(users.root / "bin"))
    assert problem(users, "v1") == "v1: cannot be looked up: git gives no reason"


def test_a_directory_in_the_place_of_the_lock_is_said(users: UsersProject) -> None:
    users.write(f"{LOCK}/file", "")
    users.commit("v1")
    assert problem(users, "v1").startswith(f"v1:{LOCK}: is no file: ")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"<<<<<<< ours\n"])
def test_a_lock_that_cannot_be_read_is_named_with_its_revision(
    users: UsersProject, content: bytes
) -> None:
    (users.root / LOCK).write_bytes(content)
    users.commit("v1")
    assert problem(users, "v1").startswith(f"v1:{LOCK}: ")


# -------------------------------------------------------------------------------------- archives


def build(users: UsersProject, target: str) -> str:
    status, out, err = users.python("-m", "hatchling", "build", "--target", target)
    assert status == 0, err
    built = out.strip() or err.strip()
    shutil.rmtree(users.root / "build", ignore_errors=True)
    return str(users.root / built.splitlines()[-1])


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_the_lock_of_a_built_release_is_read(users: UsersProject, target: str) -> None:
    users.write(LOCK, render_lock(lock_of("then")))
    # a second one, which a package may bring along for its own tests
    users.write("src/agent/testing/checkpointkit.lock", render_lock(lock_of("another")))
    released = build(users, target)
    users.write(LOCK, render_lock(lock_of("now")))
    assert read_released(project_of(users), released) == Released(lock_of("then"))


def test_a_release_that_does_not_ship_its_lock_is_refused(users: UsersProject) -> None:
    # else a mistake in the packaging would let everything pass, release after release
    path = users.root / "agent.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("agent/__init__.py", "")
        archive.writestr("checkpointkit.lock/", "")
    said = problem(users, str(path))
    assert said.startswith(f"{path}: has no checkpointkit.lock in it. If the lock file is not pack")


def wheel_of(users: UsersProject, files: dict[str, str]) -> str:
    path = users.root / "agent.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


def test_the_lock_of_another_package_in_a_wheel_is_not_taken_for_ours(users: UsersProject) -> None:
    # else a release that forgot to pack its own would be compared with a stranger's
    users.write(LOCK, render_lock(lock_of("ours")))
    files = {
        "vendored/checkpointkit.lock": render_lock(lock_of("theirs")),
        "agent/testing/checkpointkit.lock": "{",
    }
    path = wheel_of(users, files)
    assert problem(users, path).startswith(
        f"{path}: has no checkpointkit.lock in it; agent/testing/checkpointkit.lock, "
        "vendored/checkpointkit.lock has no kind of this project. If the lock file is not packed"
    )
    wheel_of(users, {**files, "agent/checkpointkit.lock": render_lock(lock_of("ours"))})
    assert read_released(project_of(users), path).lock == lock_of("ours")


def test_a_package_that_was_renamed_since_is_told_by_its_kinds(users: UsersProject) -> None:
    users.write(LOCK, render_lock(lock_of("ours", "new")))
    files = {
        "before/checkpointkit.lock": render_lock(lock_of("ours")),
        "vendored/checkpointkit.lock": render_lock(lock_of("theirs")),
    }
    assert read_released(project_of(users), wheel_of(users, files)).lock == lock_of("ours")


def test_a_lock_beside_the_settings_is_found_in_a_wheel_and_in_an_sdist(
    users: UsersProject,
) -> None:
    users.write("pyproject.toml", PYPROJECT.replace("src/agent/", ""))
    users.write("checkpointkit.lock", render_lock(lock_of("now")))
    for place in ("checkpointkit.lock", "agent-1.0/checkpointkit.lock"):
        path = wheel_of(users, {place: render_lock(lock_of("then")), "a/b/checkpointkit.lock": ""})
        assert read_released(project_of(users), path).lock == lock_of("then")


def test_two_locks_that_could_both_be_meant_are_refused(users: UsersProject) -> None:
    users.write(LOCK, render_lock(lock_of("ours")))
    ours = render_lock(lock_of("ours"))
    path = wheel_of(users, {"one/checkpointkit.lock": ours, "another/checkpointkit.lock": ours})
    assert problem(users, path) == (
        f"{path}: has several lock files in it: another/checkpointkit.lock, one/checkpointkit.lock"
    )


def test_a_directory_of_that_name_in_an_sdist_is_refused(users: UsersProject) -> None:
    path = users.root / "agent.tar.gz"
    (users.root / "checkpointkit.lock").mkdir()
    with tarfile.open(path, "w:gz") as archive:
        archive.add(users.root / "checkpointkit.lock", f"agent-1.0/{LOCK}")
    assert problem(users, str(path)) == f"{path}: agent-1.0/{LOCK} in it is no file"


@pytest.mark.parametrize("name", ["agent.whl", "agent.tar.gz", "agent.zip", "agent.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x1f\x8b\x08", b"rot!"])
def test_what_is_no_archive_is_refused(users: UsersProject, name: str, content: bytes) -> None:
    (users.root / name).write_bytes(content)
    assert "is no archive that can be read" in problem(users, str(users.root / name))


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_half_a_download_is_refused(users: UsersProject, target: str) -> None:
    users.write(LOCK, render_lock(lock_of("then")))
    path = build(users, target)
    data = (users.root / path).read_bytes()
    for keep in (0.1, 0.3, 0.5, 0.7, 0.9):
        (users.root / path).write_bytes(data[: int(len(data) * keep)])
        assert "is no archive that can be read" in problem(users, path)


@pytest.mark.parametrize(("offset", "mask"), [(40, 0xFF), (6, 0x01), (8, 0x55)])
def test_a_damaged_archive_is_refused(users: UsersProject, offset: int, mask: int) -> None:
    # the packed content; the flag that says encrypted; the method of packing
    path = users.root / "agent.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpointkit.lock", render_lock(lock_of("then")))
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    for place in {offset + 14} if offset == 40 else {offset, central + offset + 2}:
        data[place] ^= mask
    path.write_bytes(data)
    assert "is no archive that can be read" in problem(users, str(path))


def test_an_archive_that_is_not_there_is_said(users: UsersProject) -> None:
    assert problem(users, "gone-1.0-py3-none-any.whl") == (
        "gone-1.0-py3-none-any.whl: cannot be read: No such file or directory"
    )


def test_a_lock_in_an_archive_that_cannot_be_read_is_named_with_it(users: UsersProject) -> None:
    path = users.root / "agent.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("agent/checkpointkit.lock", "{")
    assert problem(users, str(path)).startswith(f"{path}:checkpointkit.lock: ")
