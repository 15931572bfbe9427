"""The page of the documentation. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.figures import FULL
from benchmarks.report import markdown, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.figures import Figure

_HEAD = """\
# Benchmarks

![Medians of each operation, a bar for each contender](benchmarks.svg)

This page is written by `make bench ARGS="--docs docs"`. Its figures are those of one machine and
one disk ({runs}). On another disk they are others, and so are their ratios: most of a durable
save is waiting for the disk. Where the load below is not near 0, other programs were at work on the
machine.

{machine}
{agreement}
## What is measured

All contenders take turns, operation by operation, in an order drawn anew each time, so that what
the machine does besides hits all of them, and nobody always runs in the caches that the same
neighbour has warmed. The states are the same and differ from save to
save; all go through the same converter (a class to canonical JSON, and back) and come out as the
same payload bytes.

Each cell shows the **median** of one call; in brackets the **99th percentile** (nearest rank: with
up to 100 rounds the slowest one); and the **ratio** to the bare system calls, which is the median
of the ratios round by round. A column is the size of the state and the number of other keys, which
hold 1 KiB each.

| operation | what happens | durable when it returns |
| --- | --- | --- |
| create first | a key that is not there is saved | the state and its name |
| create next | a key that is there is saved again | the new state |
| get | a state is read and converted; each time is the mean of 5 calls, after one more | |
| list | all keys, sorted | |
| remove | the key of `create first` is removed | that it is gone |
| create_many | {many:,} keys in one call; the time is divided by their number | all of them |

FileStore and the bare system calls verify a sha256 on each `get`, and before each `create next`,
which keeps the state before; the others do neither.

## Who takes part, and who gives less

| contender | durable | syncs | |
| --- | --- | ---: | --- |
{contenders}

*Syncs* is the number of sync calls that strace counts for one further save (`create next`, 1 KiB):
the difference between 20 saves and 40, so that opening and closing cancel out. `O_DSYNC` stands for
a file whose writes are synchronous without a call. Whoever is not durable returns before the disk
has anything: those times are the page cache's, and no measure for the others.

The bare system calls are the protocol of FileStore with its lock, its verifying read and its
sha256, and no error handling. For `create_many` they are run in three orders (one thread or eight
that sync, with and without advising the files to the disk first), and the best is the floor. A
ratio below 1 means that none of the three was the best order there is.
"""

_BATCHES = """
`create_many` costs {to_bare} times the bare system calls {kind}, and one key of it {to_single} of
the time of a single `create`."""


def page(
    figures: Sequence[Figure],
    *,
    machine: Mapping[str, str],
    contenders: Iterable[tuple[str, bool, str, str]],
    many: int,
    runs: str,
    one_by_one: str,
    agreement: str = "",
) -> str:
    """Return the page.

    Args:
        figures: All of them.
        machine: What was measured on.
        contenders: Name and version, whether durable, syncs for a save, note.
        many: Keys in a batch.
        runs: How often it was run.
        one_by_one: The contender that saves batches key by key.
        agreement: How well the ratios of several runs agree; empty for one run.
    """
    table = "\n".join(
        f"| {name} | {'yes' if durable else '**no**'} | {syncs} | {note} |"
        for name, durable, syncs, note in contenders
    )
    about = "| | |\n| --- | --- |\n" + "\n".join(
        f"| {name} | {value} |" for name, value in machine.items()
    )
    agreed = f"\nRun by run, {agreement}.\n" if agreement else ""
    head = _HEAD.format(runs=runs, machine=about, many=many, contenders=table, agreement=agreed)
    return head + batches(figures, one_by_one) + "\n\n## Figures\n\n" + markdown(figures)


def batches(figures: Iterable[Figure], one_by_one: str) -> str:
    """Return what a batch costs: against the floor, and against single saves."""
    found = {(figure.cell.operation, figure.contender): figure for figure in figures}
    said = ""
    for (operation, contender), figure in found.items():
        single = found.get((operation, one_by_one))
        if contender == FULL and single is not None and single.to_full is not None:
            kind = "for first saves" if "first" in operation else "for further ones"
            said += _BATCHES.format(
                to_bare=ratio(figure.to_bare), kind=kind, to_single=ratio(1 / single.to_full)
            )
    return said


def panels(figures: Iterable[Figure], size: str, keys: int) -> dict[str, list[Figure]]:
    """Return what the plot shows: one size beside one number of keys, and the batches."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        cell = figure.cell
        if cell.operation.startswith("create_many") or (cell.size, cell.keys) == (size, keys):
            found.setdefault(cell.operation, []).append(figure)
    return found
