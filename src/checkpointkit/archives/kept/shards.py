"""Which archive is in which shard, and archives as columns and back. Pure."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from operator import add
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zlib import crc32

from attrs import fields_dict

from checkpointkit.archives.kept.formats import (
    Shard,
    as_line,
    from_line,
    parent_of,
    parent_text,
)
from checkpointkit.archives.model import Archive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from checkpointkit.archives.model import Container

__all__ = ["IN_A_SHARD", "bits_for", "shard_key", "shard_of", "to_archives", "to_shard"]

T = TypeVar("T")

IN_A_SHARD: Final = 4096
"""Archives in a shard, about, at most."""
_FEW: Final = 8
"""If a shard has less than that part of it, there are too many shards."""
_MOST_BITS: Final = 16
_PREFIX: Final = "shard-"


def bits_for(count: int, bits: int = 0) -> int:
    """Return the bits of a hash that tell the shards apart.

    Args:
        count: How many archives there are.
        bits: What it is now: it stays while the shards are neither too full nor too empty.

    Example:
        >>> [bits_for(count) for count in (100, 4_096, 4_097, 100_000, 1_000_000)]
        [0, 0, 1, 5, 8]
        >>> bits_for(20_000, 5), bits_for(10_000, 5)
        (5, 2)
    """
    needed = min((max(count, 1) - 1) // IN_A_SHARD, 2**_MOST_BITS - 1).bit_length()
    few = count * _FEW < IN_A_SHARD << bits
    return needed if needed > bits or few else bits


def shard_of(name: str, bits: int) -> int:
    """Return the shard of an archive by its name: the same on every machine."""
    return crc32(name.encode("utf-8", "surrogatepass")) & ((1 << bits) - 1)


def shard_key(bits: int, shard: int) -> str:
    """Return the key under which a shard is stored.

    Example:
        >>> shard_key(8, 10)
        'shard-08-000a'
    """
    return f"{_PREFIX}{bits:02}-{shard:04x}"


def to_shard(archives: Iterable[Archive]) -> Shard:
    """Return archives as columns; their pins are left out: those are on the disk."""
    rows = sorted(archives, key=lambda archive: archive.name)
    parents = _Parents()
    return Shard(
        names=_lines(row.name for row in rows),
        sizes=_column(row.size for row in rows),
        devices=_column(row.device for row in rows),
        inodes=_column(row.inode for row in rows),
        mtimes=_column(row.mtime_ns for row in rows),
        ctimes=_column(row.ctime_ns - row.mtime_ns for row in rows),
        states=_column(row.state for row in rows),
        parents=_column(parents[row.container, row.pod_uid] for row in rows),
        by_name=_column(row.by_name for row in rows),
        taken=_column(_after(row.checkpointed_ns, row.mtime_ns) for row in rows),
        named=_column(_after(row.named_ns, row.mtime_ns) for row in rows),
        seen=_column(row.first_seen_ns for row in rows),
        digests=_lines(_column(row.digest for row in rows)),
        problems=_lines(_column(row.problem for row in rows)),
    )


class _Parents(dict[tuple["Container | None", str], str]):
    """The texts of parents: each is made once."""

    def __missing__(self, parent: tuple[Container | None, str]) -> str:
        self[parent] = text = parent_text(*parent)
        return text


def _lines(texts: Iterable[str]) -> tuple[str, ...]:
    lines = tuple(texts)
    together = "".join(lines)
    return lines if as_line(together) == together else tuple(map(as_line, lines))


def _column(values: Iterable[T]) -> tuple[T, ...]:
    column = tuple(values)
    return column[:1] if len(set(column)) == 1 else column


def _after(moment: int | None, mtime: int) -> int | None:
    return None if moment is None else moment - mtime


def to_archives(shard: Shard, parents: dict[str, tuple[Container | None, str]]) -> list[Archive]:
    """Return the archives of a shard.

    Args:
        shard: The shard.
        parents: Those of other shards, by their text, so that each container is one object; new
            ones are added.

    Raises:
        ValueError: The columns do not fit together.
    """
    count = len(shard.names)
    names = _texts(shard.names)
    mtimes = _filled(shard.mtimes, count)
    for text in set(shard.parents).difference(parents):
        parents[text] = parent_of(text)
    whose = list(map(parents.__getitem__, _filled(shard.parents, count)))
    # To fill the slots column by column takes less than half of the time of a hundred thousand
    # calls of the class; a column too few or too short would leave a slot empty.
    made: list[Archive] = list(map(Archive.__new__, repeat(Archive, count)))
    columns: dict[str, Iterable[Any]] = {
        "name": names,
        "size": _filled(shard.sizes, count),
        "device": _filled(shard.devices, count),
        "inode": _filled(shard.inodes, count),
        "mtime_ns": mtimes,
        "ctime_ns": list(map(add, mtimes, _filled(shard.ctimes, count))),
        "state": _filled(shard.states, count),
        "container": [container for container, _ in whose],
        "by_name": _filled(shard.by_name, count),
        "pod_uid": [uid for _, uid in whose],
        "checkpointed_ns": _moments(_filled(shard.taken, count), mtimes),
        "named_ns": _moments(_filled(shard.named, count), mtimes),
        "first_seen_ns": _filled(shard.seen, count),
        "pins": repeat(()),
        "digest": _filled(_texts(shard.digests), count),
        "problem": _filled(_texts(shard.problems), count),
    }
    for name in fields_dict(Archive):
        deque(map(vars(Archive)[name].__set__, made, columns[name]), maxlen=0)
    return made


def _filled(column: Sequence[T], count: int) -> Sequence[T]:
    if len(column) == count:
        return column
    if len(column) == 1:
        return tuple(column) * count
    raise ValueError("a column of another length")


def _texts(lines: Sequence[str]) -> Sequence[str]:
    return tuple(map(from_line, lines)) if "%" in "".join(lines) else lines


def _moments(after: Sequence[int | None], mtimes: Sequence[int]) -> list[int | None]:
    return [None if one is None else one + mtime for one, mtime in zip(after, mtimes, strict=True)]
