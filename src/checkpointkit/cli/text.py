"""How the command line writes things: numbers, times, tables, JSON. Pure, and ASCII throughout."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INDENT: Final = "    "
UNKNOWN: Final = "?"
KIB: Final = 1024

_GAP: Final = "  "
_NARROWEST_BAR: Final = 10
_WIDEST_BAR: Final = 40
_AGES: Final = (
    (365 * 86400, 2 * 365 * 86400, "y"),
    (86400, 2 * 86400, "d"),
    (3600, 2 * 3600, "h"),
    (60, 2 * 60, "min"),
)
"""Seconds of a unit, from how many on it is used, and its name."""


def plural(number: int, thing: str) -> str:
    """Return a number with its thing.

    Example:
        >>> plural(1, "kill"), plural(1234, "kill")
        ('1 kill', '1,234 kills')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def printable(text: str) -> str:
    r"""Return `text` with escapes for whatever could move a cursor or cannot be encoded.

    Example:
        >>> printable("a\x1b[2J\n\udcff")
        'a\\x1b[2J\\n\\udcff'
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def encodable(text: str, encoding: str) -> str:
    """Return `text` as a stream of that encoding can take it, escaped where it must be."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def bytes_text(size: int) -> str:
    """Return a size for people.

    Example:
        >>> bytes_text(1023), bytes_text(1536), bytes_text(5 * 2**30)
        ('1023 B', '1.5 KiB', '5.0 GiB')
    """
    if size < KIB:
        return f"{size} B"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= KIB
        if amount < KIB - 0.05:  # else it would be shown as 1024.0
            return f"{amount:.1f} {unit}"
    return f"{amount / KIB:,.1f} TiB"


def age_text(seconds: float) -> str:
    """Return how long something took or is ago, roughly.

    Example:
        >>> age_text(59), age_text(7200), age_text(3 * 86400)
        ('59 s', '2 h', '3 d')
    """
    for unit, least, name in _AGES:
        if seconds >= least:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def moment_text(stored: str) -> str:
    """Return a header's time to the second.

    Example:
        >>> moment_text("2026-01-02T03:04:05.678901Z")
        '2026-01-02T03:04:05Z'
    """
    return stored.partition(".")[0] + "Z"


def since_text(stored: str, now: datetime) -> str:
    """Return how long ago a header's time is.

    Example:
        >>> from datetime import UTC
        >>> since_text("2026-01-02T03:04:05.678901Z", datetime(2026, 1, 2, 5, 30, tzinfo=UTC))
        '2 h ago'
    """
    try:
        seconds = (now - datetime.fromisoformat(stored)).total_seconds()
    except ValueError:  # 31 February, say: some other program wrote it
        return UNKNOWN
    if seconds < -1:
        return f"in {age_text(-seconds)}"
    return f"{age_text(max(seconds, 0))} ago"


def table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Return rows under their names in aligned columns.

    Args:
        names: The names of the columns.
        rows: The cells.
        numbers: The names of the columns that are aligned to the right.
        width: The width of the terminal; None where there is none. A table that is wider becomes
            one block of lines for each row, since wrapped rows cannot be read.
    """
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        return "\n".join(fields(list(zip(names, row, strict=True))) for row in rows)

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.rjust(wide) if name in numbers else cell.ljust(wide)
            for name, cell, wide in zip(names, cells, widths, strict=True)
        )
        return _GAP.join(aligned).rstrip() + "\n"

    return "".join(map(line, (names, *rows)))


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Return one line for each name and its value."""
    wide = max(len(name) for name, _ in pairs)
    return "".join(f"{name.ljust(wide)}{_GAP}{value}".rstrip() + "\n" for name, value in pairs)


def progress_bar(done: int, total: int, width: int, thing: str = "keys") -> str:
    """Return a bar that fits into `width` columns, the last of them left free.

    Example:
        >>> progress_bar(5, 20, 37)
        '[#####...............] 5 of 20 keys'
    """
    count = f" {done:,} of {total:,} {thing}"
    longest = f" {total:,} of {total:,} {thing}"
    room = min(width - len(longest) - 3, _WIDEST_BAR)
    if room < _NARROWEST_BAR:
        return count.strip()[: max(width - 1, 0)]
    filled = room * done // total
    return f"[{'#' * filled}{'.' * (room - filled)}]{count}"


def json_text(document: Mapping[str, Any], encoding: str = "utf-8") -> str:
    """Return a document as indented JSON that no terminal takes for a command.

    What cannot be printed, or not in that encoding, is escaped: it stays the same document.
    """
    text = json.dumps(document, ensure_ascii=False, indent=2)
    kept = "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )
    try:
        kept.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=2) + "\n"
    return kept + "\n"
