"""What was deleted, why, when and by which rule: written before a file goes, and finished after.

Deletions are recorded in batches, with one save for each before and one after. A batch that was
begun and not finished is one that a kill has cut off: whoever deletes next looks which of its
files are there, and finishes it.

A batch's number is the count of deletions that were recorded before it. Several batches share a
checkpoint, up to `IN_A_PART` deletions, under a key with the number of the first of them.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from checkpointkit.archives.kept.formats import (
    DELETIONS,
    Batch,
    DeletionPart,
    StoredDeletion,
    as_line,
    from_line,
    parent_of,
    parent_text,
)
from checkpointkit.errors import CorruptCheckpointError
from checkpointkit.manager import CheckpointManager

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from checkpointkit.archives.model import Container
    from checkpointkit.stores.base import Store

__all__ = ["DELETED", "IN_A_BATCH", "KEPT", "Deletion", "DeletionLog"]

IN_A_BATCH: Final = 512
"""Deletions in a batch, at most."""
KEPT: Final = 100_000
"""The newest deletions of which the records are kept, at least."""
DELETED: Final = "deleted"
"""The outcome of a deletion that took place."""
_IN_A_PART: Final = IN_A_BATCH
_PREFIX: Final = "deleted-"


@frozen(kw_only=True)
class Deletion:
    """A deletion that was planned, and what came of it.

    Attributes:
        name: The archive's name in the directory.
        container: Whose it was; None where that was not known.
        size: Its length in bytes.
        device: The device of its file system.
        inode: Its inode.
        mtime_ns: When it was last written, in nanoseconds since 1970.
        rule: The rule by which it went.
        words: Why, for a person.
        at_ns: When it was about to be deleted, in nanoseconds since 1970.
        outcome: What came of it: `deleted`, or why it was kept; empty as long as it is not known.
        directory_inode: The inode of its directory; 0 where nobody has noted it.
    """

    name: str
    container: Container | None
    size: int
    device: int
    inode: int
    mtime_ns: int
    rule: str
    words: str
    at_ns: int
    outcome: str = ""
    directory_inode: int = 0


class DeletionLog:
    """The records of deletions, on the disk. One process may write at a time.

    Args:
        store: Where they are kept.
        keep: The newest deletions of which the records are kept, at least.

    Example:
        >>> from checkpointkit import MemoryStore
        >>> log = DeletionLog(MemoryStore())
        >>> number = log.begin([Deletion(
        ...     name="checkpoint-a.tar", container=None, size=1, device=1, inode=1, mtime_ns=1,
        ...     rule="max-age", words="older than 14 days", at_ns=5,
        ... )])
        >>> [batch for batch, _ in log.unfinished()]
        [0]
        >>> log.finish(number, ["deleted"])
        >>> [(one.name, one.outcome) for one in log.entries()]
        [('checkpoint-a.tar', 'deleted')]
    """

    def __init__(self, store: Store, *, keep: int = KEPT) -> None:
        self._parts = CheckpointManager(store, DELETIONS)
        self._keep = keep
        self.problems: tuple[str, ...] = ()
        """What was wrong with what was read last, one line each."""

    def begin(self, deletions: Sequence[Deletion]) -> int:
        """Record what is about to be deleted; durable when it returns.

        Returns:
            The number of the batch, for `finish`.

        Raises:
            ValueError: There are none, or more than `IN_A_BATCH`.
            CheckpointError: It could not be recorded: then nothing may be deleted.
        """
        if not 1 <= len(deletions) <= IN_A_BATCH:
            raise ValueError(f"a batch has 1 to {IN_A_BATCH} deletions, not {len(deletions)}")
        planned = tuple(_stored(one) for one in deletions)
        keys = self._parts.list(prefix=_PREFIX)
        part = self._read(keys[-1]) if keys else None
        if part is None:  # a damaged one is full, for all that is known
            number = _first(keys[-1]) + _IN_A_PART if keys else 0
        else:
            number = _first(keys[-1]) + _count(part)
            if _count(part) + len(planned) <= _IN_A_PART:
                batch = Batch(number, finished=False, deletions=planned)
                self._parts.create(keys[-1], evolve(part, batches=(*part.batches, batch)))
                return number
        carried = tuple(batch for batch, _ in self.unfinished())
        batch = Batch(number, finished=False, deletions=planned)
        self._parts.create(_key(number), DeletionPart((batch,), carried))
        self._prune((*keys, _key(number)), number + len(planned), carried)
        return number

    def finish(self, number: int, outcomes: Sequence[str]) -> None:
        """Record what came of a batch; durable when it returns.

        Args:
            number: The batch's number.
            outcomes: For each of its deletions `deleted`, or why it was kept.

        Raises:
            ValueError: There is no such batch, or it has another number of deletions.
            CheckpointError: It could not be recorded; it stays unfinished.
        """
        key = _holder(self._parts.list(prefix=_PREFIX), number)
        part = self._parts.get(key) if key else DeletionPart((), ())
        batch = next((one for one in part.batches if one.number == number), None)
        if not key or batch is None or len(batch.deletions) != len(outcomes):
            raise ValueError(f"there is no batch {number} of {len(outcomes)} deletions")
        done = tuple(
            evolve(one, outcome=as_line(outcome))
            for one, outcome in zip(batch.deletions, outcomes, strict=True)
        )
        finished = evolve(batch, finished=True, deletions=done)
        batches = tuple(finished if one is batch else one for one in part.batches)
        self._parts.create(key, evolve(part, batches=batches))

    def unfinished(self) -> list[tuple[int, tuple[Deletion, ...]]]:
        """Return the batches that were begun and not finished: number and deletions, in order.

        Raises:
            CheckpointError: They cannot be read; the error says why.
        """
        self.problems = ()
        keys = self._parts.list(prefix=_PREFIX)
        if not keys:
            return []
        newest = self._read(keys[-1])
        if newest is None:  # it hides which of those before are unfinished
            parts = [self._read(key) for key in keys[:-1]]
        else:
            held = {_holder(keys[:-1], number) for number in newest.carried} - {""}
            parts = [*(self._read(key) for key in sorted(held)), newest]
        return [
            (batch.number, tuple(map(_deletion, batch.deletions)))
            for part in parts
            for batch in (part.batches if part else ())
            if not batch.finished
        ]

    def entries(self) -> Iterator[Deletion]:
        """Return what was recorded, newest first; one checkpoint is in memory at a time.

        What is damaged is left out and told in `problems`.

        Raises:
            CheckpointError: They cannot be read; the error says why.
        """
        self.problems = ()
        for key in reversed(self._parts.list(prefix=_PREFIX)):
            part = self._read(key)
            for batch in reversed(part.batches if part else ()):
                yield from map(_deletion, reversed(batch.deletions))

    def _read(self, key: str) -> DeletionPart | None:
        try:
            return self._parts.get(key)
        except CorruptCheckpointError as error:
            self.problems += (f"records of deletions are damaged, and left out: {error}",)
            return None

    def _prune(self, keys: Sequence[str], recorded: int, carried: Sequence[int]) -> None:
        """Remove what is too old, but for what is unfinished; the last one always stays."""
        held = {_holder(keys, number) for number in carried}
        for key, after in pairwise(keys):
            if _first(after) <= recorded - self._keep and key not in held:
                self._parts.remove(key)


def _key(first: int) -> str:
    return f"{_PREFIX}{first:012}"


def _first(key: str) -> int:
    return int(key[len(_PREFIX) :])


def _holder(keys: Sequence[str], number: int) -> str:
    """Return the key under which a batch is, if it is there; empty if it cannot be."""
    place = bisect_right(keys, number, key=_first)
    return keys[place - 1] if place else ""


def _count(part: DeletionPart) -> int:
    return sum(len(batch.deletions) for batch in part.batches)


def _stored(one: Deletion) -> StoredDeletion:
    return StoredDeletion(
        name=as_line(one.name),
        container=parent_text(one.container),
        size=one.size,
        device=one.device,
        directory_inode=one.directory_inode,
        inode=one.inode,
        mtime_ns=one.mtime_ns,
        rule=as_line(one.rule),
        words=as_line(one.words),
        at_ns=one.at_ns,
        outcome=as_line(one.outcome),
    )


def _deletion(one: StoredDeletion) -> Deletion:
    container, _ = parent_of(one.container)
    return Deletion(
        name=from_line(one.name),
        container=container,
        size=one.size,
        device=one.device,
        directory_inode=one.directory_inode,
        inode=one.inode,
        mtime_ns=one.mtime_ns,
        rule=from_line(one.rule),
        words=from_line(one.words),
        at_ns=one.at_ns,
        outcome=from_line(one.outcome),
    )
