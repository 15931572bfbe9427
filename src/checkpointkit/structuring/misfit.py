"""What is wrong with a value or a payload, told without a word of what is in it.

A `Misfit` travels from the place of the trouble up to `Schema.dump` or `Schema.structure`; on its
way each container puts its own step in front of the path. No text in here comes from data: only
names of types, names of fields, and indices.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST = 20
"""So many problems are named; the others are counted."""

PASSING = (MemoryError, RecursionError)
"""Errors that say nothing of the part that was looked at."""


class Misfit(Exception):  # noqa: N818 - it never leaves the package; see `errors`
    """Something does not fit its type.

    Attributes:
        problems: Path and text of the first problems.
        count: How many there are in all.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problems: list[tuple[str, str]] = [("", problem)]
        self.count: int = 1

    def lines(self) -> tuple[str, ...]:
        """Return one text for each problem, at most `MOST` and one that counts the others."""
        lines = [
            f"{path.removeprefix('.')}: {text}" if path else text for path, text in self.problems
        ]
        if self.count > len(lines):
            lines.append(f"and {self.count - len(lines)} more")
        return tuple(lines)


def expected(what: str, found: object) -> Misfit:
    """Return the misfit of a value that is of another type."""
    return Misfit(f"expected {what}, got {type(found).__name__}")


class Findings:
    """Gathers the misfits of the parts of one container."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self.count: int = 0

    def add(self, step: str, misfit: Misfit) -> None:
        """Note what is wrong with the part that `step` leads to."""
        self.count += misfit.count
        room = MOST - len(self.problems)
        self.problems += [(step + path, text) for path, text in misfit.problems[:room]]

    def run(self, step: str, function: Callable[[Any], Any], part: object) -> Any:
        """Return `function(part)`, or None if it raises, which is noted."""
        try:
            return function(part)
        except Misfit as misfit:
            self.add(step, misfit)
        except PASSING:
            raise
        except Exception as error:  # noqa: BLE001 - code of the class: a __hash__, a property
            self.add(step, Misfit(f"raised {type(error).__name__}"))
        return None

    def close(self) -> None:
        """Raise everything that was noted as one misfit, if there is anything."""
        if self.count:
            whole = Misfit("")
            whole.problems, whole.count = self.problems, self.count
            raise whole


def gather(
    functions: Callable[[Any], Any] | Iterable[Callable[[Any], Any]],
    parts: Iterable[Any],
    step: str = "[{}]",
) -> list[Any]:
    """Return the results of one function (or of one each) over the parts.

    Raises:
        Misfit: With the problems of all parts, not only of the first.
    """
    findings = Findings()
    each = repeat(functions) if callable(functions) else functions
    results = [
        findings.run(step.format(index), function, part)
        for index, (function, part) in enumerate(zip(each, parts, strict=False))
    ]
    findings.close()
    return results
