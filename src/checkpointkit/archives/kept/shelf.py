"""Archives as checkpoints, spread over shards by their names; a save writes what has changed.

Which shards count says the head. To have more or fewer of them, all new ones are written, then
the head, and then the old ones go: a kill in between leaves shards that do not count, and the next
save removes them. Several processes may save: who is last counts, and what is lost then is read
again from the archives.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve

from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.formats import HEAD, SHARD, Head, as_line, from_line
from checkpointkit.archives.kept.shards import bits_for, shard_key, shard_of, to_archives, to_shard
from checkpointkit.errors import BatchError, CorruptCheckpointError
from checkpointkit.manager import CheckpointManager

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from checkpointkit.archives.kept.formats import Shard
    from checkpointkit.archives.model import Archive, Container
    from checkpointkit.stores.base import Store

__all__ = ["Shelf", "older"]

T = TypeVar("T")

_HEAD: Final = "head"
_SHARDS: Final = "shard-"
_NAME: Final = attrgetter("name")
_AT_A_TIME: Final = 32
"""Shards that are encoded before they are written: they are in memory, some megabytes each."""


def older(manager: CheckpointManager[T], key: str) -> T | None:
    """Return the newest good state of a damaged checkpoint; None if there is none.

    Raises:
        CheckpointError: It is good, and cannot be used; the error says why.
    """
    for info in manager.history(key):
        if not info.problem:
            return manager.get(key, generation=info.generation)
    return None


class Shelf:
    """The archives of one directory as they were saved.

    Args:
        store: Where they are kept.
        directory: The path of their directory.

    Raises:
        DirectoryError: They are of another directory.
        CheckpointError: What says which shards count cannot be read; the error says why.
    """

    def __init__(self, store: Store, directory: str) -> None:
        self._store = store
        self._directory = directory
        self._heads = CheckpointManager(store, HEAD)
        self._shards = CheckpointManager(store, SHARD)
        self._known: Mapping[str, Archive] | None = None
        self._unsaved: set[int] = set()
        self.problems: tuple[str, ...] = ()
        """What was wrong with what `load` has read, one line each."""
        self._bits, _ = self._read_head()

    def load(self) -> dict[str, Archive]:
        """Return the archives by name, without pins.

        Raises:
            CheckpointError: They cannot be read; the error says why.
        """
        self._bits, problems = self._read_head()
        self._unsaved = set()
        keys = self._store.keys(_SHARDS)
        if self._bits is not None:
            keys = tuple(key for key in keys if key in _keys(self._bits))
        # Without a head all shards count. An old one does no harm: each archive is compared with
        # the disk before anything is believed of it.
        known: dict[str, Archive] = {}
        parents: dict[str, tuple[Container | None, str]] = {}
        for key in keys:
            shard, problem = self._read(key)
            try:
                archives = [] if shard is None else to_archives(shard, parents)
            except ValueError:
                archives, problem = [], f"{key} holds columns that do not fit together"
            known.update(zip(map(_NAME, archives), archives, strict=True))
            if problem:
                lost = "what only it knew is lost: when archives were first seen, their digests"
                problems += (f"a part of the inventory is damaged: {problem}; {lost}",)
                self._unsaved.add(int(key.rpartition("-")[2], 16))
        self._known = known
        self.problems = problems
        return dict(known)

    def save(self, archives: Iterable[Archive]) -> int:
        """Store all archives; what is not among them is forgotten.

        Returns:
            How many shards were written.

        Raises:
            CheckpointError: Not all could be stored; the next save tries it again.
        """
        if self._known is None:
            self.load()
        known = self._known or {}
        found = {archive.name: archive for archive in archives}
        stored, _ = self._read_head()
        bits = bits_for(len(found), stored or 0)
        if stored == self._bits == bits:
            self._unsaved |= _changed(known, found, bits)
            self._known = found
            written = self._write(found, bits)
        else:
            self._bits = bits  # as long as the head says otherwise, all of it is done again
            self._unsaved = set(range(1 << bits))
            self._known = found
            written = self._write(found, bits)
            if stored is None:  # there may be a damaged one
                self._heads.remove(_HEAD)
            self._heads.create(_HEAD, Head(as_line(self._directory), bits))
        mine = _keys(bits)
        for key in self._store.keys(_SHARDS):
            if key not in mine:
                self._shards.remove(key)
        return written

    def _read_head(self) -> tuple[int | None, tuple[str, ...]]:
        try:
            head = self._heads.get(_HEAD, default=None)
        except CorruptCheckpointError as error:
            return None, (f"the inventory's head is damaged, and made anew: {error}",)
        if head is None:
            return None, ()
        directory = from_line(head.directory)
        if directory != self._directory:
            raise DirectoryError(
                self._directory,
                "use the inventory of",
                f"it is that of {directory!a}; use another directory for the state",
            )
        return head.bits, ()

    def _read(self, key: str) -> tuple[Shard | None, str]:
        try:
            return self._shards.get(key), ""
        except CorruptCheckpointError as error:
            return older(self._shards, key), str(error)

    def _write(self, found: Mapping[str, Archive], bits: int) -> int:
        contents: dict[int, list[Archive]] = {shard: [] for shard in sorted(self._unsaved)}
        if contents:
            for name, archive in found.items():
                if (shard := shard_of(name, bits)) in contents:
                    contents[shard].append(archive)
        todo = list(contents)
        for start in range(0, len(todo), _AT_A_TIME):
            part = todo[start : start + _AT_A_TIME]
            self._write_some({shard_key(bits, shard): to_shard(contents[shard]) for shard in part})
            self._unsaved.difference_update(part)
        return len(todo)

    def _write_some(self, shards: Mapping[str, Shard]) -> None:
        try:
            self._shards.create_many(shards)
        except BatchError as error:
            damaged = [
                key for key, one in error.failed.items() if isinstance(one, CorruptCheckpointError)
            ]
            if len(damaged) < len(error.failed):
                raise
            for key in damaged:
                self._shards.remove(key)
            self._shards.create_many({key: shards[key] for key in damaged})


def _keys(bits: int) -> Collection[str]:
    return {shard_key(bits, shard) for shard in range(1 << bits)}


def _changed(known: Mapping[str, Archive], found: Mapping[str, Archive], bits: int) -> set[int]:
    """Return the shards whose archives are no more what is known; pins do not count."""
    if known == found:  # mostly the same objects: far faster than one by one
        return set()
    names = known.keys() - found.keys()
    for name, archive in found.items():
        before = known.get(name)
        if before is not archive and (before is None or not _same(before, archive)):
            names.add(name)
    return {shard_of(name, bits) for name in names}


def _same(one: Archive, other: Archive) -> bool:
    return one == (other if one.pins == other.pins else evolve(other, pins=one.pins))
