"""What came of a round of watching, and what of it is worth a line in the log: pure.

What is wrong is said when it begins and when it has ended, and not each time it is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from checkpointkit.archives.amounts import size_text
from checkpointkit.archives.planning.reasons import group_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.archives.planning.reasons import Unmet

__all__ = ["Journal", "Line", "Round"]

_MOST: Final = 100
"""Problems of a round that are said; a disk that dies has one for each archive."""
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

    def told(self, made: Round) -> tuple[tuple[Line, ...], Journal]:
        """Return the lines for a round, and what has been said after it.

        Args:
            made: What came of it.
        """
        lines = [*_news(made)]
        if made.error:
            if made.error != self.error:
                lines.append(Line("warning", f"a round failed: {made.error}"))
            return tuple(lines), Journal(made.error, self.lasting, self.planned)
        if self.error:
            lines.append(Line("info", "the rounds go well again"))
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
        return tuple(lines), Journal("", lasting, planned)


def _news(made: Round) -> Iterator[Line]:
    """Yield what has happened in this round."""
    if made.deleted:
        text = f"{_archives(made.deleted)} deleted, {size_text(made.freed)} are free again"
        yield Line("info", text)


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
