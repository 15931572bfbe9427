"""What came of a round of watching, and what of it is worth a line in the log: pure.

What is wrong is said when it begins and when it has ended, and not each time it is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import evolve, field, frozen

from checkpointkit.archives.amounts import size_text
from checkpointkit.archives.planning.reasons import group_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.archives.planning.reasons import Unmet

__all__ = ["NO_LEASES", "Journal", "Line", "Round"]

NO_LEASES: Final = (
    "the kernel does not say here whether an archive is being written (leases are not supported, "
    "or not permitted): only the time since it was last written tells (--settle)"
)
"""What is said where there are no leases."""

_MOST: Final = 100
"""Problems of a round that are said; a disk that dies has one for each archive."""
_MOST_DUE: Final = 20
"""Lines that say at once what would go."""
_MORE: Final = "there are more problems than are said here; `checkpointkit archives` shows them"


@frozen(kw_only=True)
class Round:
    """What came of a look, and of what was done about it.

    Attributes:
        archives: How many archives there were.
        in_flight: How many of them may still be written.
        planned: How many were to go.
        planned_bytes: Their bytes.
        deleted: How many went; none in a dry run.
        freed: The bytes of blocks that are free again.
        unmet: The limits that do not hold.
        problems: What could not be found out, or not be done; one line each.
        error: Why the round could not be ended; empty if it was. What it has not come to is not
            known then, as the limits and the problems.
        took: How many seconds it took.
        dry_run: Nothing was to be deleted.
        due: In a dry run, what was to go, by whose it is and by the rule: how many, their bytes.
        leases: The kernel says whether an archive is being written; else only the time since it
            was last written does.
    """

    archives: int = 0
    in_flight: int = 0
    planned: int = 0
    planned_bytes: int = 0
    deleted: int = 0
    freed: int = 0
    unmet: tuple[Unmet, ...] = ()
    problems: tuple[str, ...] = ()
    error: str = ""
    took: float = 0.0
    dry_run: bool = False
    due: Mapping[tuple[str, str], tuple[int, int]] = field(
        factory=dict[tuple[str, str], tuple[int, int]]
    )
    leases: bool = True


@frozen
class Line:
    """One line.

    Attributes:
        level: How grave it is.
        text: What happened.
    """

    level: Literal["info", "warning"]
    text: str


@frozen
class Journal:
    """What was said of the rounds so far, so that it is not said again.

    Attributes:
        error: Why the last round could not be ended.
        lasting: What is wrong, and what is said when it is not any more.
        planned: What the last dry run would have deleted: archives and bytes.
        due: The same, by whose it is and by the rule.
        leases: Nothing was said yet of a kernel that does not tell what is being written.

    Example:
        >>> full = Round(problems=("the disk is slow",))
        >>> lines, journal = Journal().told(full)
        >>> [line.text for line in lines]
        ['the disk is slow']
        >>> journal.told(full)[0]
        ()
        >>> [line.text for line in journal.told(Round())[0]]
        ['no longer: the disk is slow']
    """

    error: str = ""
    lasting: Mapping[tuple[str, str], str] = field(factory=dict[tuple[str, str], str])
    planned: tuple[int, int] = 0, 0
    due: Mapping[tuple[str, str], tuple[int, int]] = field(
        factory=dict[tuple[str, str], tuple[int, int]]
    )
    leases: bool = True

    def told(self, made: Round) -> tuple[tuple[Line, ...], Journal]:
        """Return the lines for a round, and what has been said after it.

        Args:
            made: What came of it.
        """
        lines = [*_news(made)]
        if made.error:
            if made.error != self.error:
                lines.append(Line("warning", f"a round failed: {made.error}"))
            return tuple(lines), evolve(self, error=made.error)
        if self.error:
            lines.append(Line("info", "the rounds go well again"))
        if self.leases and not made.leases:
            lines.append(Line("warning", NO_LEASES))
        lasting = dict(_lasting(made))
        texts = {("limit", f"{unmet.rule} {unmet.group}"): unmet.words for unmet in made.unmet}
        lines += [
            Line("warning", texts.get(key, key[1])) for key in lasting if key not in self.lasting
        ]
        lines += [Line("info", end) for key, end in self.lasting.items() if key not in lasting]
        planned = (made.planned, made.planned_bytes) if made.dry_run else (0, 0)
        if planned != self.planned:
            count, size = planned
            lines.append(Line("info", f"{_archives(count)} of {size_text(size)} would be deleted"))
        lines += _due(made, self.due)
        leases = self.leases and made.leases
        return tuple(lines), Journal("", lasting, planned, made.due, leases)


def _news(made: Round) -> Iterator[Line]:
    """Yield what has happened in this round."""
    if made.deleted:
        text = f"{_archives(made.deleted)} deleted, {size_text(made.freed)} are free again"
        yield Line("info", text)


def _due(made: Round, before: Mapping[tuple[str, str], tuple[int, int]]) -> Iterator[Line]:
    """Yield what would go and was not said yet, most bytes first."""
    new = [(key, amount) for key, amount in made.due.items() if before.get(key) != amount]
    new.sort(key=lambda entry: (-entry[1][1], entry[0]))
    for (whose, rule), (count, size) in new[:_MOST_DUE]:
        yield Line("info", f"{whose}: {_archives(count)} of {size_text(size)}, by {rule}")
    if len(new) > _MOST_DUE:
        more = f"and {len(new) - _MOST_DUE} more; `checkpointkit archives plan` shows them"
        yield Line("info", more)


def _lasting(made: Round) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield what stays true for many rounds, each with what is said when it has ended."""
    for unmet in made.unmet:
        whose = group_text(unmet.rule, unmet.group)
        yield ("limit", f"{unmet.rule} {unmet.group}"), f"{unmet.rule} of {whose} holds again"
    for problem in made.problems[:_MOST]:
        yield ("problem", problem), f"no longer: {problem}"
    if len(made.problems) > _MOST:
        yield ("problem", _MORE), f"no longer: {_MORE}"


def _archives(count: int) -> str:
    return f"{count} archive" if count == 1 else f"{count} archives"
