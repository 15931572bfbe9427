"""All that a look at a project needs: what is listed, locked, kept and released."""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, frozen

from checkpointkit.errors import LockFileError
from checkpointkit.evolution.accept import Accepted, Wishes, accept
from checkpointkit.evolution.check import check
from checkpointkit.evolution.diff import differences
from checkpointkit.evolution.findings import Broken, Finding, Listed
from checkpointkit.evolution.goldens import Goldens, make_goldens
from checkpointkit.evolution.loading import importable, load_listed, load_object, said
from checkpointkit.evolution.lockfile import LockFile, Released
from checkpointkit.evolution.project import GoldensFiles, Project, find_project, read_lock, strays
from checkpointkit.evolution.stubs import downgrade_stub
from checkpointkit.schema import MissingMigrationError, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from checkpointkit.fingerprint import Shape


@frozen
class Drift:
    """A class that is not as it was accepted.

    Attributes:
        kind: Its kind.
        reference: Its schema.
        version: The version that the schema has.
        against: The version in the lock that it was compared with; None where there is none.
        lines: What differs, path by path.
    """

    kind: str
    reference: str
    version: int
    against: int | None
    lines: tuple[str, ...]


@frozen
class Workspace:
    """A project with everything that was read of it.

    Attributes:
        project: The project.
        listed: Its schemas, and those that could not be imported.
        lock: What is locked.
        goldens: Reads the goldens of a kind and a version.
        released: What was released; None where nobody asked.
    """

    project: Project
    listed: tuple[Listed | Broken, ...]
    lock: LockFile
    goldens: GoldensFiles
    released: Released | None

    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong: everything that `check` finds, and goldens that nobody names."""
        found = check(self.listed, self.lock, self.goldens, self._released_lock())
        return found + tuple(map(_stray, strays(self.project, self.lock)))

    def accepted(self, wishes: Wishes) -> Accepted | tuple[Finding, ...]:
        """Return what accepting the classes as they are would come to; writes nothing.

        Args:
            wishes: What is done on purpose.

        Raises:
            LockFileError: A kind that is to be retired is not there, or examples cannot be had.
            MissingExtraError: Goldens are to be made, and Hypothesis is not installed.
        """
        for kind in wishes.retire:
            if kind not in self.lock.kinds:
                near = get_close_matches(kind, self.lock.kinds, 1)
                meant = f"; is {near[0]} meant?" if near else ""
                raise LockFileError(self.project.lock, f"has no kind {kind} to retire{meant}")
        return accept(
            self.listed, self.lock, self.goldens, self._make, self._released_lock(), wishes
        )

    def _released_lock(self) -> LockFile | None:
        return None if self.released is None else self.released.lock

    def only(self, name: str) -> Self:
        """Return the part of it that is about one kind, given by its name or its reference.

        Raises:
            LockFileError: No listed schema has that name.
        """
        listed = tuple(each for each in self.listed if name in {each.reference, _kind_of(each)})
        if not listed:
            known = ", ".join(filter(None, map(_kind_of, self.listed))) or "none"
            raise LockFileError(
                name,
                f"is no kind of a listed schema; there are: {known} (the list is in "
                f"{self.project.settings_path.name}, [tool.checkpointkit])",
            )
        kinds = {_kind_of(each) for each in listed}
        lock = LockFile({kind: each for kind, each in self.lock.kinds.items() if kind in kinds})
        return evolve(self, listed=listed, lock=lock)

    def differences(self) -> tuple[Drift, ...]:
        """Return where a class is not as it was accepted, in the order of the list."""
        return tuple(drift for each in self.listed if (drift := self._drift(each)) is not None)

    def _drift(self, each: Listed | Broken) -> Drift | None:
        now = _now(each)
        if now is None:
            return None
        kind, version, shape = now
        locked = self.lock.kinds.get(kind)
        older = [there for there in (locked.versions if locked else ()) if there <= version]
        if locked is None or not older:
            return Drift(kind, each.reference, version, None, ())
        against = max(older)
        found = tuple(each.text() for each in differences(locked.versions[against].shape, shape))
        if against == version and not found:
            return None
        return Drift(kind, each.reference, version, against, found)

    def stubs(self) -> tuple[str, ...]:
        """Return the source of each migration that is missing."""
        return tuple(finding.stub for finding in self.findings() if finding.stub)

    def downgrade_stubs(self) -> tuple[str, ...]:
        """Return the source of the step from each schema's version down to the one before it.

        Raises:
            LockFileError: The lock file does not have the version before.
        """
        found = []
        for kind, version, shape in filter(None, map(_now, self.listed)):
            before = self.lock.version(kind, version - 1)
            if before is None:
                raise LockFileError(
                    self.project.lock,
                    f"has no version {version - 1} of {kind}, which a downgrade would lead to; "
                    f"the version of its schema is {version}",
                )
            found.append(downgrade_stub(before.shape, shape, version - 1))
        return tuple(found)

    def _make(self, schema: Schema[Any], older: Mapping[int, Goldens]) -> Goldens:
        reference = self.project.examples.get(schema.kind)
        return make_goldens(schema, older, () if reference is None else _examples(reference))

    def broken(self) -> tuple[Broken, ...]:
        """Return the schemas of which nothing is known, not even their kind."""
        return tuple(
            each for each in self.listed if isinstance(each, Broken) and _now(each) is None
        )


@contextmanager
def open_workspace(start: Path, against: str | None = None) -> Iterator[Workspace]:
    """Read a project; its code can be imported until the end of the block.

    Args:
        start: A directory in the project.
        against: A git revision, or the path of a wheel or sdist: what was released.

    Raises:
        LockFileError: Something cannot be read, or makes no sense.
    """
    project = find_project(start)
    lock = read_lock(project)
    released = None if against is None else _released(project, against)
    with importable(project.root):
        listed = load_listed(project.schemas)
        _check_examples(project, listed)
        yield Workspace(project, listed, lock, GoldensFiles(project), released)


def _released(project: Project, against: str) -> Released:
    # Late: it imports tarfile and zipfile, which most checks do without.
    from checkpointkit.evolution.released import read_released  # noqa: PLC0415

    return read_released(project, against)


def _check_examples(project: Project, listed: Sequence[Listed | Broken]) -> None:
    """Refuse examples of a kind that is not there: nobody would ever miss them."""
    kinds = {_kind_of(each) for each in listed}
    for kind in project.examples:
        if kind not in kinds and "" not in kinds:
            raise LockFileError(
                str(project.settings_path),
                f"[tool.checkpointkit]: examples are for {kind}, and no listed schema is of it",
            )


def _now(each: Listed | Broken) -> tuple[str, int, Shape] | None:
    """Return what a reference leads to at present: kind, version, shape; None if unknown."""
    if isinstance(each, Listed):
        return each.schema.kind, each.schema.version, each.schema.shape
    error = each.error
    if isinstance(error, MissingMigrationError):
        return error.kind, error.version, error.shape
    return None


def _kind_of(each: Listed | Broken) -> str:
    now = _now(each)
    return "" if now is None else now[0]


def _stray(path: str) -> Finding:
    return Finding(
        rule="unnamed-goldens",
        kind="",
        version=None,
        reference="",
        message=f"{path} is there, and the lock file does not name it",
        edit="if somebody took the entry out of the lock file, take the lock file back from "
        f"version control; if it is left from something that was never committed, delete {path}",
    )


def _examples(reference: str) -> Iterable[Any]:
    """Return the values that a user gives for goldens.

    Raises:
        LockFileError: They cannot be imported, or are no iterable.
    """
    try:
        return tuple(load_object(reference))
    except LockFileError:
        raise
    except Exception as error:
        raise LockFileError(reference, f"gives no examples: {said(error)}") from error
