"""A user's project: `[tool.checkpointkit]`, and the files that it leads to."""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from checkpointkit.errors import LockFileError
from checkpointkit.evolution.goldens import (
    Goldens,
    digest_of,
    file_name,
    parse_goldens,
    render_goldens,
)
from checkpointkit.evolution.loading import split_reference
from checkpointkit.evolution.lockfile import LockFile, parse_lock, render_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

_PYPROJECT: Final = "pyproject.toml"
_TABLE: Final = "[tool.checkpointkit]"
_SETTINGS: Final = ("examples", "lock", "schemas")
_LOCK: Final = ".lock"
_GOLDENS: Final = ".goldens"
_GOLDENS_FILE: Final = ".jsonl"
_EXAMPLE: Final = """\
    [tool.checkpointkit]
    lock = "src/agent/checkpointkit.lock"
    schemas = ["agent.state:LEASES"]"""


@frozen
class Project:
    """What a project says in `[tool.checkpointkit]`.

    Attributes:
        root: The directory of its pyproject.toml.
        lock: Where the lock file is, from there on, with slashes.
        schemas: The schemas: `pkg.mod:NAME`.
        examples: For a kind the iterable of values that its goldens begin with: `pkg.mod:NAME`.
    """

    root: Path
    lock: str
    schemas: tuple[str, ...]
    examples: Mapping[str, str] = field(factory=lambda: MappingProxyType({}))

    @property
    def settings_path(self) -> Path:
        """The file that says so."""
        return self.root / _PYPROJECT

    @property
    def lock_path(self) -> Path:
        """The lock file."""
        return self.root / self.lock

    @property
    def goldens_path(self) -> Path:
        """The directory of the goldens, beside the lock file."""
        return self.lock_path.with_suffix(_GOLDENS)

    def shown(self, path: Path) -> str:
        """Return a path of the project as people and version control know it."""
        return path.relative_to(self.root).as_posix()


# ------------------------------------------------------------------------------- pyproject.toml


def find_project(start: Path) -> Project:
    """Return the project that a directory belongs to.

    It is the nearest one upwards whose pyproject.toml has a table `[tool.checkpointkit]`.

    Raises:
        LockFileError: There is none, or the table makes no sense; it says what to write.
    """
    start = start.absolute()
    nearest = None
    for directory in (start, *start.parents):
        path = directory / _PYPROJECT
        text = _read(path)
        if text is None:
            continue
        nearest = nearest or path
        project = parse_project(text, directory)
        if project is not None:
            return project
    if nearest is None:
        raise LockFileError(
            str(start), f"no {_PYPROJECT} here or above; make one that says:\n{_EXAMPLE}"
        )
    raise LockFileError(str(nearest), f"has no table {_TABLE}; add, for example:\n{_EXAMPLE}")


def parse_project(text: str, root: Path) -> Project | None:
    """Return what a pyproject.toml says; None where it does not speak of checkpointkit.

    Raises:
        LockFileError: It is no TOML, or `[tool.checkpointkit]` makes no sense.

    Example:
        >>> text = '''
        ... [tool.checkpointkit]
        ... lock = "src/agent/checkpointkit.lock"
        ... schemas = ["agent.state:LEASES"]
        ... '''
        >>> parse_project(text, Path("/agent")).schemas
        ('agent.state:LEASES',)
        >>> parse_project("[project]", Path("/agent")) is None
        True
    """
    path = str(root / _PYPROJECT)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LockFileError(path, f"is no TOML: {error}") from error
    tools = document.get("tool")
    table = tools.get("checkpointkit") if isinstance(tools, dict) else None
    if table is None:
        return None
    problem = _problem(table)
    if problem:
        raise LockFileError(path, f"{_TABLE}: {problem}")
    schemas = tuple(table["schemas"])
    return Project(root, table["lock"], schemas, MappingProxyType(table.get("examples", {})))


def _problem(table: Any) -> str:
    """Return what is wrong with the table; "" if nothing is."""
    if not isinstance(table, dict):
        return "is no table"
    for name in table:
        if name not in _SETTINGS:
            near = get_close_matches(name, _SETTINGS, 1)
            meant = f"; is {near[0]} meant?" if near else f", only {', '.join(_SETTINGS)}"
            return f"there is no setting {name}{meant}"
    return (
        _lock_problem(table.get("lock"))
        or _schemas_problem(table.get("schemas"))
        or _examples_problem(table.get("examples", {}))
    )


def _lock_problem(lock: Any) -> str:
    example = 'for example lock = "src/agent/checkpointkit.lock"'
    if lock is None:
        return f"lock is missing; name a file inside the package, {example}"
    if not isinstance(lock, str) or not lock.endswith(_LOCK):
        return f"lock is no path that ends in {_LOCK}, {example}"
    parts = PurePosixPath(lock).parts
    if lock.startswith("/") or ".." in parts or "\\" in lock or ":" in lock:
        return f"lock has to be a path in the project, with slashes, {example}"
    return ""


def _schemas_problem(schemas: Any) -> str:
    example = 'for example schemas = ["agent.state:LEASES"]'
    if schemas is None:
        return f"schemas is missing; list them, {example}"
    if not isinstance(schemas, list) or not all(isinstance(each, str) for each in schemas):
        return f"schemas is no list of texts, {example}"
    for number, reference in enumerate(schemas):
        if reference in schemas[:number]:
            return f"schemas has {reference} twice"
    return _references_problem("schemas", schemas)


def _examples_problem(examples: Any) -> str:
    if not isinstance(examples, dict) or not all(
        isinstance(each, str) for each in examples.values()
    ):
        return (
            "examples is no table of texts, for example "
            'examples = {"example.com/lease" = "agent.examples:LEASES"}'
        )
    return _references_problem("examples", examples.values())


def _references_problem(name: str, references: Any) -> str:
    for reference in references:
        try:
            split_reference(reference)
        except LockFileError as error:
            return f"{name}: {error}"
    return ""


# ------------------------------------------------------------------------- the lock and the goldens


def read_lock(project: Project) -> LockFile:
    """Return what is locked; nothing where there is no lock file yet.

    Raises:
        LockFileError: It cannot be read; or it is gone and the goldens are there: whoever began
            anew would lose what was released.
    """
    text = _read(project.lock_path)
    if text is not None:
        return parse_lock(text, project.shown(project.lock_path))
    if _goldens_files(project):
        raise LockFileError(
            project.lock,
            f"is missing, and {project.shown(project.goldens_path)} is there: take the lock file "
            f"back (git checkout -- {project.lock}); or, if nothing was released, delete the "
            "directory and accept anew",
        )
    return LockFile({})


@frozen
class GoldensFiles:
    """The goldens on the disk: a callable from kind and version, as `check` takes it.

    Each file is read once.

    Attributes:
        project: The project.
    """

    project: Project
    _known: dict[tuple[str, int], Goldens | None] = field(init=False, factory=dict, repr=False)

    def __call__(self, kind: str, version: int) -> Goldens | None:
        """Return the goldens of one version; None if their file is missing.

        Raises:
            LockFileError: The file cannot be read.
        """
        if (kind, version) not in self._known:
            path = self.path(kind, version)
            text = _read(path)
            self._known[kind, version] = (
                None if text is None else parse_goldens(text, self.project.shown(path))
            )
        return self._known[kind, version]

    def path(self, kind: str, version: int) -> Path:
        """Return where the goldens of one version are, or would be."""
        return self.project.goldens_path / file_name(kind, version)


def strays(project: Project, lock: LockFile) -> tuple[str, ...]:
    """Return the goldens files that the lock does not name: somebody took their entries out."""
    named = {
        file_name(kind, version)
        for kind, locked in lock.kinds.items()
        for version in locked.versions
    }
    directory = project.shown(project.goldens_path)
    return tuple(f"{directory}/{name}" for name in _goldens_files(project) if name not in named)


def save(
    project: Project,
    before: LockFile,
    after: LockFile,
    goldens: Mapping[tuple[str, int], Goldens],
    *,
    dry_run: bool = False,
) -> tuple[str, ...]:
    """Write new goldens, then the lock file: whatever it names is there. Deletes nothing.

    Each file is replaced as a whole, and one that would stay as it is is not touched.

    Args:
        project: The project.
        before: What was locked.
        after: What is locked from now on.
        goldens: The goldens that are new, by kind and version.
        dry_run: Only tell what would be written.

    Returns:
        The files that were written, from the project's directory on.

    Raises:
        LockFileError: A file cannot be written; or there are other goldens in the place of new
            ones, and the lock did not name them.
    """
    files = GoldensFiles(project)
    new = {
        files.path(kind, version): render_goldens(each)
        for (kind, version), each in sorted(goldens.items())
    }
    for (kind, version), path in zip(sorted(goldens), new, strict=True):
        _check_replaceable(project, path, before, kind, version, new[path])
    texts = {**new, project.lock_path: render_lock(after)}
    changed = {path: text for path, text in texts.items() if _read(path) != text}
    if not dry_run:
        for path, text in changed.items():
            _replace(path, text)
    return tuple(map(project.shown, changed))


def _check_replaceable(
    project: Project, path: Path, before: LockFile, kind: str, version: int, text: str
) -> None:
    locked = before.kinds.get(kind)
    if locked is not None and version in locked.versions:
        return
    there = _read(path)
    if there is not None and digest_of(there) != digest_of(text):
        raise LockFileError(
            project.shown(path),
            f"is there, and {project.lock} does not name it: if somebody took the entry out, take "
            "it back; if it is left from something that was never committed, delete the file",
        )


def _goldens_files(project: Project) -> list[str]:
    try:
        names = os.listdir(project.goldens_path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(project.goldens_path, error) from error
    return sorted(
        name for name in names if name.endswith(_GOLDENS_FILE) and not name.startswith(".")
    )


def _read(path: Path) -> str | None:
    """Return a file's text, with plain line ends whatever git made of them; None if it is absent.

    Raises:
        LockFileError: It is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return decode(data, str(path))


def decode(data: bytes, path: str) -> str:
    r"""Return the text of a file's bytes, with plain line ends.

    Raises:
        LockFileError: They are no UTF-8.

    Example:
        >>> decode(b"one\r\ntwo\n", "a.lock")
        'one\ntwo\n'
    """
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise LockFileError(path, "is no UTF-8") from error


def _unreadable(path: Path, error: OSError) -> LockFileError:
    return LockFileError(str(path), f"cannot be read: {error.strerror or error}")


def _replace(path: Path, text: str) -> None:
    """Replace a file's content as a whole, durably: it may be the only copy of what was locked."""
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    temp = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temp.open("w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temp, target)
        finally:
            temp.unlink(missing_ok=True)
    except OSError as error:
        raise LockFileError(str(path), f"cannot be written: {error.strerror or error}") from error
