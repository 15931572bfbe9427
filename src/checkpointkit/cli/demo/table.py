"""What the demo prints: one row for each promise. Pure."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.cli.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LABELS: Final = 16


class Result(Enum):
    """What became of a promise; the value is what the table shows."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_SHOWN = "-"


@frozen
class Row:
    """One line of the table.

    Attributes:
        label: What was done.
        result: Whether the promise was kept.
        text: What came of it, with figures.
    """

    label: str
    result: Result
    text: str


def row(label: str, kept: bool, text: str) -> Row:  # noqa: FBT001 - rows read as tables do
    """Return the row for a promise that was kept or not."""
    return Row(label, Result.OK if kept else Result.FAILED, text)


def heading() -> str:
    """Return the lines above the rows."""
    names = _line("what was done", "result", "what came of it")
    return f"{names}\n{_line('-' * _LABELS, '-' * 6, '-' * 74)}"


def line(row: Row) -> str:
    """Return a row as the table shows it."""
    return _line(row.label, row.result.value, row.text)


def _line(label: str, result: str, text: str) -> str:
    return f"{label:{_LABELS}}  {result:6}  {text}"


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return the last line: how many promises were kept."""
    shown = [row for row in rows if row.result is not Result.NOT_SHOWN]
    kept = sum(row.result is Result.OK for row in shown)
    missing = len(rows) - len(shown)
    rest = f", {missing} cannot be shown here" if missing else ""
    return f"{kept} of {plural(len(shown), 'promise')} kept{rest}; {seconds:.1f} s"


def all_kept(rows: Iterable[Row]) -> bool:
    """Tell whether no promise was broken; one that cannot be shown here is not broken."""
    return all(row.result is not Result.FAILED for row in rows)


def document_of(rows: Sequence[Row], seconds: float) -> dict[str, Any]:
    """Return what programs read of the table."""
    return {
        "format": 1,
        "command": "demo",
        "ok": all_kept(rows),
        "seconds": round(seconds, 3),
        "rows": [
            {"label": each.label, "result": each.result.name.lower(), "text": each.text}
            for each in rows
        ],
    }
