"""The formats of an imaginary project, in memory: accept, edit, check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.evolution.accept import Accepted, Wishes, accept
from checkpointkit.evolution.check import check
from checkpointkit.evolution.findings import Broken, Finding, Listed
from checkpointkit.evolution.goldens import Goldens, make_goldens
from checkpointkit.evolution.lockfile import LockFile

if TYPE_CHECKING:
    from checkpointkit import Schema


class Formats:
    """A lock file and its goldens."""

    def __init__(self, lock: LockFile | None = None) -> None:
        self.lock = lock or LockFile({})
        self.goldens: dict[tuple[str, int], Goldens] = {}

    def copy(self) -> Formats:
        again = Formats(self.lock)
        again.goldens = dict(self.goldens)
        return again

    def goldens_of(self, kind: str, version: int) -> Goldens | None:
        return self.goldens.get((kind, version))

    def check(self, *schemas: Schema[Any] | Broken, against: Formats | None = None) -> Any:
        released = None if against is None else against.lock
        return check(listed(*schemas), self.lock, self.goldens_of, released)

    def rules(self, *schemas: Schema[Any] | Broken, against: Formats | None = None) -> list[str]:
        return [finding.rule for finding in self.check(*schemas, against=against)]

    def accept(
        self, *schemas: Schema[Any] | Broken, against: Formats | None = None, **wishes: Any
    ) -> tuple[str, ...]:
        """Take schemas in; return what is said, or raise with the findings."""
        found = accept(
            listed(*schemas),
            self.lock,
            self.goldens_of,
            make_goldens,
            None if against is None else against.lock,
            Wishes(**wishes),
        )
        if not isinstance(found, Accepted):
            raise Refused(found)
        self.lock = found.lock
        self.goldens.update(found.goldens)
        return found.lines


class Refused(Exception):  # noqa: N818 - it is no error of the package
    """The findings that stand in the way."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__([finding.rule for finding in findings])
        self.findings = findings
        self.rules = [finding.rule for finding in findings]


def listed(*schemas: Schema[Any] | Broken) -> list[Listed | Broken]:
    return [
        each if isinstance(each, Broken) else Listed(f"agent.state:S{number}", each)
        for number, each in enumerate(schemas)
    ]
