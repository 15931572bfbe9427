"""What a release had locked: the lock file of a git revision, or of a built wheel or sdist."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.errors import LockFileError
from checkpointkit.evolution.git import complaint, run_git
from checkpointkit.evolution.lockfile import LockFile, parse_lock
from checkpointkit.evolution.project import decode, parse_project, read_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointkit.evolution.project import Project

_WHEEL: Final = (".whl", ".zip")
_SDIST: Final = (".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz")
_NO_ARCHIVE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that this Python does not know
)


@frozen
class Released:
    """What was released.

    Attributes:
        lock: What it had locked.
        note: What people have to know about it; "" for nothing.
    """

    lock: LockFile
    note: str = ""


def read_released(project: Project, against: str) -> Released:
    """Return what a release had locked.

    Args:
        project: The project as it is now.
        against: A git revision (a tag, a branch, a commit), or the path of a wheel or an sdist.

    Raises:
        LockFileError: There is no such revision or file, or it cannot be read; or the archive
            holds no lock file. A revision without one is none that was released with one: a note
            says so.
    """
    if against.endswith((*_WHEEL, *_SDIST)):
        return Released(_lock_of_archive(project, against))
    return _lock_of_revision(project, against)


# ------------------------------------------------------------------------------------------- git


def _lock_of_revision(project: Project, revision: str) -> Released:
    commit = _commit(project, revision)
    where = _lock_there(project, revision, commit)
    data = _blob(project, revision, commit, where)
    if data is None:
        return _moved(project, revision, commit) or Released(
            LockFile({}), f"{revision} has no {where}: nothing was released yet, as far as it goes"
        )
    path = f"{revision}:{where}"
    return Released(parse_lock(decode(data, path), path))


def _moved(project: Project, revision: str, commit: str) -> Released | None:
    """Return the lock file of a project that has moved within its repository, told by its kinds.

    Else `git mv` of a whole project would be as a new one, of which nothing was released.
    """
    listing = ("ls-tree", "-r", "-z", "--full-tree", "--name-only", commit)
    names = run_git(project.root, revision, *listing).stdout.decode(errors="replace").split("\0")
    ours = read_lock(project).kinds.keys()
    best: tuple[int, Released] = (0, Released(LockFile({})))
    for path in names:
        if PurePosixPath(path).name == project.lock_path.name:
            data = run_git(project.root, revision, "cat-file", "blob", f"{commit}:{path}").stdout
            try:
                lock = parse_lock(decode(data, path), path)
            except LockFileError:  # it is another project's, or it is none
                continue
            common = len(ours & lock.kinds.keys())
            if common > best[0]:
                note = f"compared with {path} of {revision}: the project stood elsewhere then"
                best = common, Released(lock, note)
    return best[1] if best[0] else None


def _commit(project: Project, revision: str) -> str:
    if revision.startswith("-") or not revision.strip():
        raise LockFileError(revision, "is no git revision, and no wheel or sdist")
    top = run_git(project.root, revision, "rev-parse", "--show-toplevel")
    if top.returncode:
        raise LockFileError(revision, f"cannot be looked up: {complaint(top.stderr)}")
    found = run_git(
        project.root, revision, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"
    )
    if found.returncode:
        raise LockFileError(
            revision,
            f"is no revision of the repository in {project.root}; see `git tag` and `git branch "
            "-a`. A shallow clone, as CI makes them, has to fetch it first: `git fetch --depth=1 "
            f"origin tag {revision}`",
        )
    return found.stdout.decode().strip()


def _lock_there(project: Project, revision: str, commit: str) -> str:
    """Return where the lock file was at that time: it may have moved with its package since."""
    settings = _blob(project, revision, commit, project.settings_path.name)
    if settings is not None:
        path = f"{revision}:{project.settings_path.name}"
        try:
            then = parse_project(decode(settings, path), project.root)
        except LockFileError:  # settings of another time, which this release cannot read
            then = None
        if then is not None:
            return then.lock
    return project.lock


def _blob(project: Project, revision: str, commit: str, path: str) -> bytes | None:
    """Return a file's bytes as they are in a commit; None if there is no such file."""
    listed = run_git(project.root, revision, "ls-tree", "-z", commit, "--", path)
    entry = listed.stdout.partition(b"\t")[0].split()  # mode, type, object
    if not entry:
        return None
    content = run_git(project.root, revision, "cat-file", "blob", entry[2].decode())
    if content.returncode:
        raise LockFileError(f"{revision}:{path}", f"is no file: {complaint(content.stderr)}")
    return content.stdout


# -------------------------------------------------------------------------------------- archives


def _lock_of_archive(project: Project, against: str) -> LockFile:
    path = Path(against)
    try:
        data = _zipped(path, project) if against.endswith(_WHEEL) else _tarred(path, project)
    except OSError as error:
        raise LockFileError(against, f"cannot be read: {error.strerror or error}") from error
    except _NO_ARCHIVE as error:
        raise LockFileError(against, f"is no archive that can be read: {error}") from error
    return parse_lock(decode(data, against), f"{against}:{project.lock_path.name}")


def _zipped(path: Path, project: Project) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(_member(archive.namelist(), project, path))


def _tarred(path: Path, project: Project) -> bytes:
    with tarfile.open(path) as archive:
        member = archive.getmember(_member(archive.getnames(), project, path))
        stream = archive.extractfile(member)
        if stream is None:
            raise LockFileError(str(path), f"{member.name} in it is no file")
        with stream:
            return stream.read()


def _member(names: Sequence[str], project: Project, path: Path) -> str:
    """Return which of an archive's files is the project's lock file.

    Raises:
        LockFileError: None of them, or more than one could be.
    """
    own = PurePosixPath(project.lock).parts
    alike: dict[int, list[str]] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        if parts[-1:] == own[-1:] and not name.endswith("/"):  # so a zip names its directories
            alike.setdefault(_shared(parts, own), []).append(name)
    if not alike:
        raise LockFileError(
            str(path),
            f"has no {own[-1]} in it. If the lock file is not packed, put it and the goldens into "
            "the package; if that release kept no state yet, there is nothing to check against",
        )
    best = alike[max(alike)]
    if len(best) > 1:
        raise LockFileError(str(path), f"has several lock files in it: {', '.join(sorted(best))}")
    return best[0]


def _shared(parts: Sequence[str], own: Sequence[str]) -> int:
    """Return how many parts at the end of two paths are the same."""
    alike = [one == other for one, other in zip(reversed(parts), reversed(own), strict=False)]
    return (*alike, False).index(False)
