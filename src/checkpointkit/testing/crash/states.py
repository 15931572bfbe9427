"""Which states a file system may leave after a power cut. Pure.

The model is that of ALICE (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014):

- What was written to a file before a sync of that file is there. What was written after the last
  one is lost, there in part, or there: any sectors of 512 bytes, in any order; the size may have
  grown without them, and then they are zeros.
- Names that were made or taken away in a directory before a sync of that directory are as they
  were then. Each later change of a name is lost or kept, whatever happens to the others.
- A rename is one step: it is never the loss of both names. It is done once either of the two
  directories is synced; as long as the old one is not, a file may have both names.
- A sync of a file says nothing of its name, and a sync of a directory nothing of its files.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve, frozen

from checkpointkit.testing.crash.numbers import Numbers, draw
from checkpointkit.testing.crash.tree import (
    Cut,
    Enter,
    Leave,
    Move,
    Names,
    Operation,
    Sync,
    Tree,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from checkpointkit.testing.crash.numbers import Drawn

T = TypeVar("T")

SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all."""
_ALL_SECTORS: Final = 5
"""Up to so many sectors each subset of them is tried."""

Change = tuple[Operation, bool]
"""A change of names, and whether a rename leaves the old name, too."""


@frozen
class Depth:
    """How much is tried at each cut.

    Attributes:
        cuts: How many cuts of a workload; of more, they are drawn by lot.
        names: How many ways for the names that are not synced.
        contents: For each of them, how many ways for the bytes that are not synced.
        random: How many of the subsets are drawn by lot, where there are too many for all.
    """

    cuts: int
    names: int
    contents: int
    random: int


@frozen
class Cutoff:
    """What a power cut after some operations finds.

    Attributes:
        certain: The tree with all that was synced, and nothing else.
        names: For each change of a name that is not synced: the ways it may come out.
        contents: For each file with bytes that are not synced: the bytes that it may have,
            the synced ones first and all of them second.
    """

    certain: Tree
    names: list[list[Change | None]]
    contents: dict[int, list[bytes]]


def certain_beginning(operations: Sequence[Operation]) -> int:
    """Return how many of the first operations are certain; they are so after each later cut.

    Example:
        >>> certain_beginning([Write(1, 0, b"x"), Sync(1), Enter(0, "a", 1), Write(1, 0, b"y")])
        2
    """
    last = _last_syncs(operations)
    for at, operation in enumerate(operations):
        match operation:
            case Write(file) | Cut(file):
                if last.get(file, -1) < at:
                    return at
            case Enter() | Leave() | Move():
                if len(_ways(operation, at, last)) > 1:
                    return at
            case _:
                pass
    return len(operations)


def _last_syncs(operations: Sequence[Operation]) -> dict[int, int]:
    return {
        operation.node: at for at, operation in enumerate(operations) if isinstance(operation, Sync)
    }


def cut_off(start: Tree, operations: Sequence[Operation], random: Random, depth: Depth) -> Cutoff:
    """Tell what is certain and what is open when the power fails after these operations.

    Args:
        start: What was there before, all of it synced.
        operations: What was done, in order.
        random: Draws the subsets of many sectors.
        depth: How much is tried.
    """
    last = _last_syncs(operations)
    certain = start.copy()
    names: list[list[Change | None]] = []
    written: dict[int, list[Write | Cut]] = {}
    for at, operation in enumerate(operations):
        match operation:
            case Write(file) | Cut(file):
                if last.get(file, -1) > at:
                    certain.apply(operation)
                else:
                    written.setdefault(file, []).append(operation)
            case Enter() | Leave() | Move():
                _exist(certain, operation)
                names.append(_ways(operation, at, last))
            case _:
                pass
    while names and len(names[0]) == 1:  # as certain as what was there before
        (change,) = names.pop(0)
        assert change is not None
        certain.apply(change[0], leave_source=change[1])
    contents = {
        file: contents_of(certain.files.get(file, b""), pending, random, depth.random)
        for file, pending in written.items()
    }
    return Cutoff(certain, names, {file: ways for file, ways in contents.items() if len(ways) > 1})


def _exist(tree: Tree, operation: Operation) -> None:
    """Let what a change names exist, whether or not the name is kept."""
    if isinstance(operation, Enter):
        if operation.is_directory:
            tree.directories.setdefault(operation.node, Names())
        else:
            tree.files.setdefault(operation.node, b"")


def _ways(operation: Enter | Leave | Move, at: int, last: dict[int, int]) -> list[Change | None]:
    """Return how a change may come out: the ways in which it is kept, and None for lost."""
    done: Change = (operation, False)
    synced = last.get(operation.directory, -1) > at
    if not isinstance(operation, Move):
        return [done] if synced else [None, done]
    both: list[Change | None] = []
    if not synced and not operation.is_directory and operation.directory != operation.to_directory:
        both = [(operation, True)]
    if synced or last.get(operation.to_directory, -1) > at:
        return [done, *both]
    return [None, done, *both]


def contents_of(
    old: bytes, pending: Sequence[Write | Cut], random: Random, lots: int
) -> list[bytes]:
    r"""Return what a file may hold when some writes were not synced: none, all, and the rest.

    Args:
        old: What was synced.
        pending: What was written after that.
        random: Draws subsets of sectors.
        lots: How many it draws.

    Example:
        >>> from random import Random
        >>> contents_of(b"", [Write(1, 0, b"abc")], Random(0), 3)
        [b'', b'abc', b'\x00\x00\x00', b'a', b'ab']
    """
    image = Tree(files={0: old})
    images = [old]
    for operation in pending:
        image.apply(evolve(operation, file=0))
        images.append(image.files[0])
    new = images[-1]
    found = [old, new, *images[1:-1], old.ljust(len(new), b"\0")]
    for before, after in itertools.pairwise(images):
        found += _torn(before, after, random, lots)
    sizes = {1, len(new) // 2, len(new) - 1, *range(SECTOR, len(new), SECTOR)}
    if len(old) < len(new):
        found += [new[:size] for size in sorted(sizes) if len(old) < size < len(new)]
    ways = list(dict.fromkeys(found))
    # All that was written may come to what was there before; that is not what came in between.
    return [old, new, *ways[1:]] if old == new and len(ways) > 1 else ways


def _torn(old: bytes, new: bytes, random: Random, lots: int) -> Iterator[bytes]:
    """Yield the new bytes with some of their sectors missing."""
    size = max(len(old), len(new))
    before, after = old.ljust(size, b"\0"), new.ljust(size, b"\0")
    sectors = [
        at for at in range(0, size, SECTOR) if before[at : at + SECTOR] != after[at : at + SECTOR]
    ]
    for kept in subsets(sectors, random, lots, whole=_ALL_SECTORS):
        image = bytearray(before)
        for at in kept:
            image[at : at + SECTOR] = after[at : at + SECTOR]
        yield bytes(image[: len(new)])
    blank = bytearray(before)
    for at in sectors:
        blank[at : at + SECTOR] = bytes(len(blank[at : at + SECTOR]))
    yield bytes(blank[: len(new)])


def subsets(items: Sequence[T], random: Random, lots: int, *, whole: int) -> Iterator[list[T]]:
    """Yield subsets in order: all of them if there are few, else those that are likely to matter.

    These are all beginnings and endings, each item alone, all but one, and some drawn by lot.

    Example:
        >>> from random import Random
        >>> list(subsets("ab", Random(0), 1, whole=2))
        [[], ['a'], ['b'], ['a', 'b']]
        >>> len(list(subsets(range(10), Random(0), 5, whole=2)))
        47
    """
    if len(items) <= whole:
        for kept in itertools.product((False, True), repeat=len(items)):
            yield [item for item, keep in zip(items, reversed(kept), strict=True) if keep]
        return
    for at in range(len(items) + 1):
        yield list(items[:at])
        yield list(items[at:])
    for at in range(len(items)):
        yield [items[at]]
        yield [*items[:at], *items[at + 1 :]]
    for _ in range(lots):
        yield [item for item in items if random.random() < 0.5]  # noqa: PLR2004 - a coin


def states(
    cutoff: Cutoff, random: Random, depth: Depth, drawn: Drawn | None = None
) -> Iterator[tuple[int, Tree]]:
    """Yield states that a power cut may leave; some of them more than once.

    Args:
        cutoff: What is certain, and what is open.
        random: Draws where there are too many for all.
        depth: How much is tried.
        drawn: What the numbers of the states are made of; for those of other cuts, too.

    Yields:
        A number that is the same for equal states alone; and the state, which is then changed into
        the next one.
    """
    numbers = Numbers(cutoff.certain, cutoff.contents.keys(), draw() if drawn is None else drawn)
    for changes in _name_states(cutoff.names, random, depth):
        tree = cutoff.certain.copy()
        for operation, leave_source in changes:
            tree.apply(operation, leave_source=leave_source)
        number, reached = numbers.of_names(tree)
        open_files = {file: ways for file, ways in cutoff.contents.items() if file in reached}
        for contents in _content_states(open_files, random, depth):
            tree.files.update(contents)
            yield number + numbers.of_contents(contents, reached), tree


def _name_states(
    names: list[list[Change | None]], random: Random, depth: Depth
) -> Iterator[list[Change]]:
    count = 1
    for ways in names:
        count *= len(ways)
    if count <= depth.names:
        for choice in itertools.product(*names):
            yield [change for change in choice if change is not None]
        return
    unsure = [at for at, ways in enumerate(names) if len(ways) > 1]
    likely = list(subsets(unsure, random, depth.random, whole=0))
    for kept in likely[:2] + random.sample(likely[2:], min(len(likely) - 2, depth.names)):
        chosen = set(kept)
        yield [
            change
            for at, ways in enumerate(names)
            if (change := ways[1 if at in chosen and len(ways) > 1 else 0]) is not None
        ]
    for _ in range(depth.random):
        drawn = (random.choice(ways) for ways in names)
        yield [change for change in drawn if change is not None]


def _content_states(
    files: dict[int, list[bytes]], random: Random, depth: Depth
) -> Iterator[dict[int, bytes]]:
    """Yield the bytes of all files: one in each of its ways while the others have none or all."""
    rounds: list[dict[int, bytes]] = [
        {file: ways[0] for file, ways in files.items()},
        {file: ways[1] for file, ways in files.items()},
    ]
    for file, ways in files.items():
        for way in ways[2:]:
            rounds += [{**base, file: way} for base in rounds[:2]]
    if len(files) > 1:
        for _ in range(depth.random):
            rounds.append({file: random.choice(ways) for file, ways in files.items()})
    if len(rounds) > depth.contents:
        rounds = rounds[:2] + random.sample(rounds[2:], depth.contents - 2)
    yield from rounds
