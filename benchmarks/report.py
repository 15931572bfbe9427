"""The tables: for the terminal, and in Markdown. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.figures import BARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.figures import Cell, Figure, Spread

TIMES: Final = "\N{MULTIPLICATION SIGN}"
_MILLI: Final = 999.5
_NO_DIGITS: Final = 99.5
HEADERS: Final = ("contender", "median", "p99", "to bare", "to full", "rounds")


def duration(microseconds: float) -> str:
    """Return a time in three digits.

    Example:
        >>> duration(8.25), duration(431.6), duration(12_345.6)
        ('8.2 us', '432 us', '12.3 ms')
    """
    value, unit = microseconds, "us"
    if value >= _MILLI:
        value, unit = value / 1000, "ms"
    digits = 0 if value >= _NO_DIGITS else 1
    return f"{value:,.{digits}f} {unit}"


def ratio(value: float | None) -> str:
    """Return a ratio; nothing for None.

    Example:
        >>> ratio(1.234), ratio(None)
        ('1.23', '')
    """
    if value is None:
        return ""
    return f"{value:.2f}" if value < _NO_DIGITS else f"{value:,.0f}"


def title(cell: Cell) -> str:
    """Return the heading of a cell."""
    one = "key" if cell.keys == 1 else "keys"
    return f"{cell.operation}: {cell.size}, {cell.keys:,} {one}"


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """Return the cells of a table, a row for each figure."""
    return [
        (
            figure.contender,
            duration(figure.median),
            duration(figure.p99),
            "" if figure.contender == BARE else ratio(figure.to_bare),
            ratio(figure.to_full),
            str(figure.rounds),
        )
        for figure in figures
    ]


def by_cell(figures: Iterable[Figure]) -> dict[Cell, list[Figure]]:
    """Return the figures of each cell."""
    found: dict[Cell, list[Figure]] = {}
    for figure in figures:
        found.setdefault(figure.cell, []).append(figure)
    return found


def text(figures: Iterable[Figure]) -> str:
    """Return a table for each cell, in columns."""
    blocks = []
    for cell, found in by_cell(figures).items():
        table = [HEADERS, *rows(found)]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEADERS))]
        lines = [
            row[0].ljust(widths[0])
            + "".join(
                "  " + value.rjust(width) for value, width in zip(row[1:], widths[1:], strict=True)
            )
            for row in table
        ]
        blocks.append("\n".join([title(cell), *lines]))
    return "\n\n".join(blocks) + "\n"


def markdown(figures: Iterable[Figure]) -> str:
    """Return a table for each operation: a row for each contender, a column for each cell.

    A column is a size beside a number of keys; in it stand the median, the 99th percentile and
    the ratio to the bare system calls.
    """
    operations: dict[str, list[Figure]] = {}
    for figure in figures:
        operations.setdefault(figure.cell.operation, []).append(figure)
    return "\n".join(
        f"### {operation}\n\n{_pivot(found)}" for operation, found in operations.items()
    )


def _pivot(figures: Sequence[Figure]) -> str:
    cells = list(dict.fromkeys(figure.cell for figure in figures))
    found = {(figure.contender, figure.cell): figure for figure in figures}
    names = dict.fromkeys(figure.contender for figure in figures)
    lines = ["| | " + " | ".join(f"{cell.size}, {cell.keys:,}" for cell in cells) + " |"]
    lines.append("| --- |" + " ---: |" * len(cells))
    for name in names:
        values = []
        for cell in cells:
            figure = found.get((name, cell))
            if figure is None:
                values.append("")
                continue
            value = f"{duration(figure.median)} ({duration(figure.p99)})"
            if name != BARE and figure.to_bare is not None:
                value += f" {ratio(figure.to_bare)}{TIMES}"
            values.append(value)
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def disagreements(spreads: Sequence[Spread], limit: float) -> str:
    """Return the ratios that differ more than `limit`, a line for each."""
    return "".join(
        f"  {title(item.cell)}: {item.contender}: {', '.join(map(ratio, item.ratios))}\n"
        for item in spreads
        if item.spread > limit
    )
