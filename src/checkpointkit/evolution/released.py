"""What a release had locked: the lock file of a git revision, or of a built wheel or sdist."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import LockFileError
from checkpointkit.evolution.git import complaint, run_git
from checkpointkit.evolution.lockfile import LockFile, Released, parse_lock
from checkpointkit.evolution.project import decode, parse_project, read_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from checkpointkit.evolution.project import Project

    _Read = Callable[[str], bytes]

_WHEEL: Final = (".whl", ".zip")
_SDIST: Final = (".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz")
_NO_ARCHIVE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that this Python does not know
)


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
        with _zipped(path) if against.endswith(_WHEEL) else _tarred(path) as (names, read):
            data = read(_member(names, read, project, path))
    except OSError as error:
        raise LockFileError(against, f"cannot be read: {error.strerror or error}") from error
    except _NO_ARCHIVE as error:
        raise LockFileError(against, f"is no archive that can be read: {error}") from error
    return parse_lock(decode(data, against), f"{against}:{project.lock_path.name}")


@contextmanager
def _zipped(path: Path) -> Iterator[tuple[Sequence[str], _Read]]:
    with zipfile.ZipFile(path) as archive:
        yield archive.namelist(), archive.read


@contextmanager
def _tarred(path: Path) -> Iterator[tuple[Sequence[str], _Read]]:
    with tarfile.open(path) as archive:

        def read(name: str) -> bytes:
            stream = archive.extractfile(name)
            if stream is None:
                raise LockFileError(str(path), f"{name} in it is no file")
            with stream:
                return stream.read()

        yield archive.getnames(), read


def _member(names: Sequence[str], read: _Read, project: Project, path: Path) -> str:
    """Return which of an archive's files is the project's lock file.

    It stands where the project has it; or elsewhere, as the package had another name then, and
    has a kind of ours. Any other one is that of a package that was taken in.

    Raises:
        LockFileError: None of them, or more than one could be.
    """
    own = PurePosixPath(project.lock).parts
    alike = [
        name
        for name in names  # a zip names its directories with a slash
        if PurePosixPath(name).parts[-1:] == own[-1:] and not name.endswith("/")
    ]
    best = _in_place(alike, own) or [name for name in alike if _has_our_kinds(read(name), project)]
    if len(best) > 1:
        raise LockFileError(str(path), f"has several lock files in it: {', '.join(sorted(best))}")
    if not best:
        others = f"; {', '.join(sorted(alike))} has no kind of this project" if alike else ""
        raise LockFileError(
            str(path),
            f"has no {own[-1]} in it{others}. If the lock file is not packed, put it and the "
            "goldens into the package; if that release kept no state yet, there is nothing to "
            "check against",
        )
    return best[0]


def _in_place(names: Sequence[str], own: tuple[str, ...]) -> list[str]:
    """Return the names that stand where the project has its lock file.

    An sdist has it below a directory of its own; a wheel from the package on, without a `src`.
    """
    places = {name: PurePosixPath(name).parts for name in names}
    found = [name for name, parts in places.items() if own in (parts, parts[1:])]
    for start in range(1, len(own) - 1):  # what is left has the file and a directory at least
        found = found or [name for name, parts in places.items() if parts == own[start:]]
    return found


def _has_our_kinds(data: bytes, project: Project) -> bool:
    try:
        lock = parse_lock(decode(data, ""), "")
    except LockFileError:
        return False
    return not lock.kinds.keys().isdisjoint(read_lock(project).kinds)
