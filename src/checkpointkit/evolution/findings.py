"""What is said of the formats of a project: a finding, with the exact edit that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import frozen

from checkpointkit.evolution.diff import differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.evolution.goldens import Goldens
    from checkpointkit.fingerprint import Shape
    from checkpointkit.schema import Schema

GoldensOf: TypeAlias = "Callable[[str, int], Goldens | None]"
"""Gives the goldens of a kind and a version as they are on the disk; None for a missing file."""

ACCEPT = "run `checkpointkit schema accept` and commit what it writes"
AMEND = "(if no release has version {0} yet: `checkpointkit schema accept --amend`)"
IMPORT = "(the function is below; Payload comes from checkpointkit)"
PUT_BACK = "put it back as it was (`git checkout`, or keep both sides of the merge)"


@frozen
class Listed:
    """A schema of the project.

    Attributes:
        reference: What the settings name it by: `agent.state:LEASES`.
        schema: The schema.
    """

    reference: str
    schema: Schema[Any]


@frozen
class Broken:
    """An entry of the settings that leads to no schema.

    Attributes:
        reference: What the settings name it by.
        error: What came of it; a `MissingMigrationError` for a gap in the chain.
    """

    reference: str
    error: Exception


@frozen
class Finding:
    """Something that is wrong.

    Attributes:
        rule: The name of the rule, for programs: `shape-changed`.
        kind: The kind; empty where it is not known.
        version: The schema version; None where it is about the whole kind.
        reference: The entry of the settings; empty for a kind that is listed no more.
        message: What is wrong.
        edit: The exact edit that mends it.
        stub: The source of a migration, to be pasted; empty where none is needed.
    """

    rule: str
    kind: str
    version: int | None
    reference: str
    message: str
    edit: str
    stub: str = ""

    def text(self) -> str:
        """Return it for people, with a line for each thing to do."""
        of_version = "" if self.version is None else f", version {self.version}"
        named = f" ({self.reference})" if self.reference else ""
        place = f"{self.kind}{of_version}{named}" if self.kind else self.reference
        lines = [f"{place}: {self.rule}", *self.message.splitlines(), *self.edit.splitlines()]
        lines += ["", *self.stub.splitlines()] if self.stub else []
        return "\n".join(
            f"    {line}".rstrip() if number else line for number, line in enumerate(lines)
        )


def finding_of(
    rule: str, listed: Listed, version: int | None, message: str, edit: str, source: str = ""
) -> Finding:
    """Return a finding of a listed schema."""
    kind, reference = listed.schema.kind, listed.reference
    return Finding(rule, kind, version, reference, message, edit, source)


def changes_between(old: Shape, new: Shape) -> str:
    """Return what differs between two shapes, with a line for each difference."""
    return "\n".join(f"  {difference.text()}" for difference in differences(old, new))
