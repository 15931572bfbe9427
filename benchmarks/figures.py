"""From times to figures: medians, 99th percentiles, ratios, and how well ratios agree. Pure."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BARE: Final = "bare system calls"
FULL: Final = "FileStore full"
AGREEMENT: Final = 1.2
"""Ratios of several runs agree if the largest is at most this many times the smallest."""


class Cell(NamedTuple):
    """One measurement, in which all contenders take part: what is saved, beside what, and how."""

    size: str
    keys: int
    operation: str


Times = dict[Cell, dict[str, list[float]]]
"""Microseconds by contender: one time for each round, those of one round at the same place."""


class Figure(NamedTuple):
    """What came out for one contender in one cell; times in microseconds."""

    cell: Cell
    contender: str
    rounds: int
    median: float
    p99: float
    to_bare: float | None
    to_full: float | None


class Spread(NamedTuple):
    """The ratios of one contender in one cell to the bare system calls, in several runs."""

    cell: Cell
    contender: str
    ratios: tuple[float, ...]

    @property
    def spread(self) -> float:
        """The largest ratio by the smallest."""
        return max(self.ratios) / min(self.ratios)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: a value that was measured, none in between.

    Example:
        >>> percentile([5.0, 1.0, 3.0], 99), percentile([5.0, 1.0, 3.0], 50)
        (5.0, 3.0)
    """
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def paired_ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios of each round: what slows a round slows both of its times.

    Example:
        >>> paired_ratio([2.0, 20.0, 2.0], [1.0, 10.0, 2.0])
        2.0
    """
    return median(ours / theirs for ours, theirs in zip(times, base, strict=True))


def figures(times: Times) -> list[Figure]:
    """Return the figures of all cells, in the order of `times`."""
    found = []
    for cell, taken in times.items():
        for contender, values in taken.items():
            bare, full = (
                paired_ratio(values, taken[base]) if base in taken else None
                for base in (BARE, FULL)
            )
            found.append(
                Figure(
                    cell,
                    contender,
                    len(values),
                    median(values),
                    percentile(values, 99),
                    bare,
                    full,
                )
            )
    return found


def spreads(runs: Iterable[Iterable[Figure]]) -> list[Spread]:
    """Return how the ratios to the bare system calls differ from run to run, the worst first."""
    ratios: dict[tuple[Cell, str], list[float]] = {}
    for run in runs:
        for figure in run:
            if figure.to_bare is not None and figure.contender != BARE:
                ratios.setdefault((figure.cell, figure.contender), []).append(figure.to_bare)
    found = [Spread(cell, name, tuple(values)) for (cell, name), values in ratios.items()]
    return sorted(found, key=lambda item: item.spread, reverse=True)


def agreement(found: Sequence[Spread]) -> str:
    """Say in a line how many of the ratios agree.

    Example:
        >>> cell = Cell("1 KiB", 1, "get")
        >>> agreement([Spread(cell, "lmdb", (1.0, 1.1)), Spread(cell, "joblib", (1.0, 1.5))])
        '1 of 2 ratios agree within 20 % (the median of them within 30 %, the worst within 50 %)'
    """
    agreeing = sum(item.spread <= AGREEMENT for item in found)
    middle = median(item.spread for item in found) - 1
    worst = max(item.spread for item in found) - 1
    return (
        f"{agreeing} of {len(found)} ratios agree within {AGREEMENT - 1:.0%} "
        f"(the median of them within {middle:.0%}, the worst within {worst:.0%})"
    ).replace("%", " %")


def pooled(runs: Sequence[Times]) -> Times:
    """Return the times of several runs as those of one."""
    pool: Times = {}
    for run in runs:
        for cell, taken in run.items():
            for contender, values in taken.items():
                pool.setdefault(cell, {}).setdefault(contender, []).extend(values)
    return pool


def best_of(times: Mapping[str, list[float]], prefix: str) -> tuple[str, list[float]]:
    """Return, of the contenders whose names begin with `prefix`, the one of the lowest median."""
    candidates = {name: values for name, values in times.items() if name.startswith(prefix)}
    name = min(candidates, key=lambda candidate: median(candidates[candidate]))
    return name, candidates[name]
