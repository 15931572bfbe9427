"""The chain of custody of a directory's archives, on the disk: record, verify, export.

`links` says what a link is, and what is hashed. Links are stored in parts of `IN_A_PART`; a part
is replaced only by one with more links, and only if nobody else was quicker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from attrs import evolve, frozen

from checkpointkit.archives.kept.deletions import DELETED, KEPT
from checkpointkit.archives.kept.digests import Digested, digest_of
from checkpointkit.archives.kept.formats import (
    CUSTODY,
    LinkPart,
    StoredLink,
    as_line,
    from_line,
    parent_of,
    parent_text,
)
from checkpointkit.archives.kept.links import (
    ChainReport,
    Fault,
    Link,
    export_lines,
    faults_of,
    start_of,
)
from checkpointkit.archives.model import State
from checkpointkit.errors import ConflictError, CorruptCheckpointError
from checkpointkit.manager import CheckpointManager
from checkpointkit.stores.base import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from checkpointkit.archives.disk.directory import ArchiveDirectory
    from checkpointkit.archives.kept.deletions import Deletion
    from checkpointkit.archives.model import Archive
    from checkpointkit.stores.base import Expected, Store

__all__ = ["IN_A_PART", "Custody", "Recorded"]

IN_A_PART: Final = 1024
"""Links in a checkpoint."""
_AT_A_TIME: Final = 64
"""Archives that are read before their links are stored: a kill loses no more."""
_PREFIX: Final = "custody-"
_RECORDED: Final = (State.COMPLETE, State.BROKEN)


@frozen
class Recorded:
    """What `Custody.record` has done.

    Attributes:
        links: The new links, as they are stored.
        skipped: Archives that have no link, and why.
    """

    links: tuple[Link, ...]
    skipped: tuple[tuple[Archive, str], ...]


class Custody:
    """The chain of one directory.

    Args:
        store: Where it is kept.
        directory: The path of the archives' directory: the chain begins with it.

    Example:
        >>> from checkpointkit import MemoryStore
        >>> custody = Custody(MemoryStore(), "/var/lib/kubelet/checkpoints")
        >>> custody.verify().links
        0
        >>> print(next(custody.export())[:56])
        {"custody":1,"directory":"/var/lib/kubelet/checkpoints",
    """

    def __init__(self, store: Store, directory: str = "") -> None:
        self._parts = CheckpointManager(store, CUSTODY)
        self._directory = directory

    def record(
        self,
        directory: ArchiveDirectory,
        archives: Iterable[Archive],
        now_ns: int,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Recorded:
        """Read archives, and add a link for each; durable when it returns.

        Archives that have a link already, as they are, are left out, and are not read. What may
        still be written, or is no archive's file, is skipped.

        Args:
            directory: Their directory.
            archives: The archives, in the order of the new links.
            now_ns: The time, in nanoseconds since 1970.
            progress: Called with how many bytes were read, and how many there are.

        Raises:
            CorruptCheckpointError: A part of the chain is damaged; `verify` says more.
            CheckpointError: It could not be stored.
        """
        known = {link.name: (link.size, link.mtime_ns) for link in self.links()}
        new = [one for one in archives if known.get(one.name) != (one.size, one.mtime_ns)]
        counted = _Progress(progress, sum(one.size for one in new))
        links: list[Link] = []
        skipped: list[tuple[Archive, str]] = []
        ready: list[tuple[Archive, str]] = []
        for archive in new:
            if archive.state not in _RECORDED:
                skipped.append((archive, archive.state.value))
                continue
            found = digest_of(
                directory.fd,
                archive.name,
                archive,
                progress=counted.add,
                system=directory.system,
            )
            if found.problem:
                skipped.append((archive, found.problem))
                continue
            ready.append((archive, found.sha256))
            if len(ready) == _AT_A_TIME:
                links += self._append(ready, now_ns)
                ready = []
        links += self._append(ready, now_ns)
        return Recorded(tuple(links), tuple(skipped))

    def links(self) -> Iterator[Link]:
        """Return the links as they are stored; one part is in memory at a time.

        Raises:
            CheckpointError: They cannot be read; the error says why.
        """
        for key in self._keys():
            yield from _links(_first(key), self._parts.get(key))

    def export(self) -> Iterator[str]:
        """Return the chain as lines of JSON, without newlines; see `links`.

        Raises:
            CheckpointError: It cannot be read; the error says why.
        """
        yield from export_lines(self.links(), self._directory)

    def verify(
        self,
        directory: ArchiveDirectory | None = None,
        deleted: Iterable[Deletion] = (),
        *,
        keep: int = KEPT,
        progress: Callable[[int, int], None] | None = None,
    ) -> ChainReport:
        """Check the chain, and the archives that are there; changes nothing.

        Args:
            directory: The archives' directory; None to check the chain alone.
            deleted: The records of deletions, newest first (`DeletionLog.entries`).
            keep: How many of them are kept at least: where there are so many, older ones may be
                gone.
            progress: Called with how many bytes were read, and how many there are.

        Raises:
            CheckpointError: It cannot be read; the error says why. What is damaged is a fault.
        """
        faults: list[Fault] = []
        count, last = 0, start_of(self._directory)
        intact: list[Link] = []
        for link, found in faults_of(self._found(faults), last):
            faults += found
            count, last = count + 1, link.link
            intact.append(link)
        report = ChainReport(count, last, faults=tuple(faults))
        if directory is None:
            return report
        return _with_archives(report, intact, directory, _Records.of(deleted, keep), progress)

    def _found(self, faults: list[Fault]) -> Iterator[Link]:
        """Return the links that can be read; what cannot goes to `faults`."""
        for key in self._keys():
            try:
                part = self._parts.get(key)
            except CorruptCheckpointError as error:
                faults.append(Fault(_first(key), "", "damaged", f"a part is damaged: {error}"))
            else:
                yield from _links(_first(key), part)

    def _keys(self) -> tuple[str, ...]:
        return self._parts.list(prefix=_PREFIX)

    def _append(self, ready: Sequence[tuple[Archive, str]], now_ns: int) -> list[Link]:
        """Store links for archives and their digests; others may add theirs meanwhile."""
        made: list[Link] = []
        while len(made) < len(ready):
            first, part, expected = self._newest()
            if len(part.links) >= IN_A_PART:
                first, expected = first + len(part.links), ABSENT
                part = LinkPart(part.links[-1].link, ())
            room = IN_A_PART - len(part.links)
            index = first + len(part.links)
            previous = part.links[-1].link if part.links else part.previous
            new: list[Link] = []
            for archive, digest in ready[len(made) : len(made) + room]:
                new.append(_linked(archive, digest, index + len(new), previous, now_ns))
                previous = new[-1].link
            changed = evolve(part, links=(*part.links, *map(_stored, new)))
            try:
                self._parts.create(_key(first), changed, expected=expected)
            except ConflictError:  # somebody else was quicker: ours follow theirs
                continue
            made += new
        return made

    def _newest(self) -> tuple[int, LinkPart, Expected]:
        keys = self._keys()
        if not keys:
            return 0, LinkPart(start_of(self._directory), ()), ABSENT
        loaded = self._parts.load(keys[-1])
        return _first(keys[-1]), loaded.value, loaded.info.generation


def _key(first: int) -> str:
    return f"{_PREFIX}{first:012}"


def _first(key: str) -> int:
    return int(key[len(_PREFIX) :])


def _linked(archive: Archive, digest: str, index: int, previous: str, now_ns: int) -> Link:
    link = Link(
        index=index,
        name=archive.name,
        container=archive.container,
        pod_uid=archive.pod_uid,
        size=archive.size,
        mtime_ns=archive.mtime_ns,
        recorded_ns=now_ns,
        sha256=digest,
        previous=previous,
        link="",
    )
    return evolve(link, link=link.digest())


def _stored(link: Link) -> StoredLink:
    return StoredLink(
        name=as_line(link.name),
        container=parent_text(link.container, link.pod_uid),
        size=link.size,
        mtime_ns=link.mtime_ns,
        recorded_ns=link.recorded_ns,
        sha256=link.sha256,
        link=link.link,
    )


def _links(first: int, part: LinkPart) -> Iterator[Link]:
    previous = part.previous
    for index, stored in enumerate(part.links, first):
        container, uid = parent_of(stored.container)
        yield Link(
            index=index,
            name=from_line(stored.name),
            container=container,
            pod_uid=uid,
            size=stored.size,
            mtime_ns=stored.mtime_ns,
            recorded_ns=stored.recorded_ns,
            sha256=stored.sha256,
            previous=previous,
            link=stored.link,
        )
        previous = stored.link


@frozen
class _Records:
    """What the records of deletions say, by name, size and mtime of an archive.

    Attributes:
        done: What was deleted.
        begun: What may have been: it is not recorded what came of it.
        keep: How many records are kept at least.
        since_ns: The records of what was deleted before may be gone; None if none are.
    """

    done: AbstractSet[tuple[str, int, int]]
    begun: AbstractSet[tuple[str, int, int]]
    keep: int
    since_ns: int | None

    @classmethod
    def of(cls, deleted: Iterable[Deletion], keep: int) -> Self:
        done, begun, since_ns = set(), set(), None
        for number, one in enumerate(deleted, 1):
            if number == keep:
                since_ns = one.at_ns
            if not one.outcome:
                begun.add((one.name, one.size, one.mtime_ns))
            elif one.outcome == DELETED:
                done.add((one.name, one.size, one.mtime_ns))
        return cls(done, begun, keep, since_ns)

    def note(self, link: Link) -> Fault | None:
        """Return why an archive that is gone may have been deleted by the rules, if it may."""
        if (link.name, link.size, link.mtime_ns) in self.begun:
            words = "it is gone; this program had begun to delete it, and was cut off"
            return Fault(link.index, link.name, "begun", words)
        if self.since_ns is not None and link.recorded_ns < self.since_ns:
            words = (
                "it is gone; a record of its deletion would be older than the "
                f"{self.keep:,} deletions that are kept"
            )
            return Fault(link.index, link.name, "forgotten", words)
        return None


def _with_archives(
    report: ChainReport,
    links: Sequence[Link],
    directory: ArchiveDirectory,
    records: _Records,
    progress: Callable[[int, int], None] | None,
) -> ChainReport:
    """Return the report with what has become of the archives; each file is read once."""
    newest = {link.name: link for link in links}
    counted = _Progress(progress, sum(link.size for link in newest.values()))
    there = {
        name: digest_of(directory.fd, name, progress=counted.add, system=directory.system)
        for name in newest
    }
    faults, notes = list(report.faults), []
    matching = removed = 0
    for link in links:
        found = there[link.name]
        if found.sha256 == link.sha256:
            matching += 1
        elif (link.name, link.size, link.mtime_ns) in records.done:
            removed += 1
        else:
            # Where the name has a newer link, the file is that one's.
            is_gone = found.absent or link is not newest[link.name]
            note = records.note(link) if is_gone else None
            if note is None:
                faults.append(_lost(link, found))
            else:
                notes.append(note)
    return evolve(
        report, matching=matching, deleted=removed, faults=tuple(faults), notes=tuple(notes)
    )


def _lost(link: Link, found: Digested) -> Fault:
    if found.absent:
        words = "it is gone, and no record of a deletion says why"
        return Fault(link.index, link.name, "missing", words)
    if found.problem:
        return Fault(link.index, link.name, "unreadable", found.problem)
    return Fault(link.index, link.name, "changed", "its bytes are not those that were recorded")


class _Progress:
    """Sums up bytes, and tells the sum."""

    def __init__(self, tell: Callable[[int, int], None] | None, total: int) -> None:
        self._tell = tell
        self._done = 0
        self._total = total

    def add(self, read: int) -> None:
        self._done += read
        if self._tell:
            self._tell(self._done, self._total)
