"""What lies in a directory of archives.

What `known` has of an archive is taken over if its device, inode, size, mtime and ctime are as
they were: nothing was written to it then, and it is not opened again. Everything else is opened,
asked for writers and read, unless something was written to it a moment ago.

Two names of one inode (hard links) are two archives, each with all its bytes: the status says no
more, and to keep the one because of the other would let both stay for ever. What is really free
after a deletion, `apply` says.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from fnmatch import fnmatchcase, translate
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from checkpointkit.archives.disk.directory import directory_error, words_of
from checkpointkit.archives.disk.flight import Use, written
from checkpointkit.archives.disk.pins import TEMPORARY, read_pins
from checkpointkit.archives.disk.trees import WALK_LIMIT, Walk
from checkpointkit.archives.identity import Identity, LastSpec, identify
from checkpointkit.archives.model import DEFAULT_NAMES, MARKER_SUFFIX, Archive, Space, State
from checkpointkit.archives.names import parse_name, time_in
from checkpointkit.archives.tarscan import is_unread, read_archive
from checkpointkit.stores.files.system import OPEN_TO_READ

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from checkpointkit.archives.disk.directory import ArchiveDirectory

__all__ = ["SETTLE_NS", "Scan", "scan"]

SETTLE_NS: Final = 60 * 10**9
"""How long nothing may have been written to an archive that counts as finished."""
POD_CHECKPOINTS: Final = "checkpoint-*"
"""The names of the directories of pod checkpoints; KEP-5823 has them named by UID."""
_AHEAD_NS: Final = 300 * 10**9
"""A time so far ahead of the clock says nothing."""
_TEMPORARY_MARKER: Final = f"{MARKER_SUFFIX}.tmp"
"""How the name of a marker ends that the operator is writing."""
_OURS_TO_MEND: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""These say nothing of the file."""
_SETTLED: Final = (State.COMPLETE, State.BROKEN)
_EVERY: Final = 256
_NOTHING: Final = "(?!)"
_NAME: Final = attrgetter("name")


@frozen(kw_only=True)
class Scan:
    """What lies in a directory.

    Attributes:
        archives: All that has an archive's name, sorted by the bytes of their names, and the
            directories of pod checkpoints.
        foreign: How many other files and directories there are; markers do not count.
        foreign_bytes: The bytes of these files; what is below directories does not count.
        space: The space of the file system.
        leases: False if the kernel would not say of some archive whether it is being written:
            then only the time since the last write tells.
        read: How many archives had to be read.
        problems: What could not be found out, one line each.
        device: The device of the directory.
        inode: Its inode.
    """

    archives: tuple[Archive, ...] = field(repr=False)
    foreign: int
    foreign_bytes: int
    space: Space
    leases: bool
    read: int
    problems: tuple[str, ...] = ()
    device: int = field(default=0, repr=False)
    inode: int = field(default=0, repr=False)


def scan(
    directory: ArchiveDirectory,
    known: Mapping[str, Archive],
    *,
    now_ns: int,
    names: Sequence[str] = DEFAULT_NAMES,
    settle_ns: int = SETTLE_NS,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Look at everything in a directory; nothing is changed.

    Args:
        directory: The directory.
        known: What is known of its archives already, by name. Those that are as they were are
            returned as they are, the same objects.
        now_ns: The time, in nanoseconds since 1970.
        names: The patterns of archives' names, as of `fnmatch.fnmatchcase`.
        settle_ns: An archive is in flight until so many nanoseconds after its last change.
        progress: Told now and then how many archives have been looked at, and of how many. Those
            that are known are looked at before it is first told.

    Returns:
        What was found.

    Raises:
        DirectoryError: The directory cannot be listed, or is no more what it was, or this process
            or machine has too few descriptors or too little memory.
    """
    directory.check()
    scanning = _Scanning(directory, known, now_ns, settle_ns)
    try:
        scanning.list(names)
        scanning.read(progress)
        scanning.add_pins()
    except OSError as error:
        raise directory_error(directory.path, "look through", error) from error
    archives = scanning.archives
    _sort(archives)
    return Scan(
        archives=tuple(archives),
        foreign=scanning.foreign,
        foreign_bytes=scanning.foreign_bytes,
        space=directory.space(),
        leases=scanning.leases,
        read=scanning.opened,
        problems=tuple(
            f"archives that cannot be read: {count} ({words})"
            for words, count in sorted(scanning.unreadable.items())
        ),
        device=directory.device,
        inode=directory.inode,
    )


class _Scanning:
    """One pass over a directory."""

    def __init__(
        self, directory: ArchiveDirectory, known: Mapping[str, Archive], now_ns: int, settle_ns: int
    ) -> None:
        self.directory = directory
        self.known = known
        self.now_ns = now_ns
        self.settle_ns = settle_ns
        self.archives: list[Archive] = []
        self.foreign = 0
        self.foreign_bytes = 0
        self.leases = True
        self.opened = 0
        self.unreadable: Counter[str] = Counter()
        self._markers: set[str] = set()
        self._pinned: list[str] = []
        self._anew: list[tuple[str, os.stat_result]] = []
        self._read_spec = LastSpec()
        self._walk = Walk(directory.system, WALK_LIMIT)

    def list(self, names: Sequence[str]) -> None:
        """Go through the directory: what is as it was is done with, what is not is put aside."""
        is_archive = _matcher(names)
        known, add, add_marker = self.known, self.archives.append, self._markers.add
        with self.directory.listing() as fd, self.directory.system.scandir(fd) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(MARKER_SUFFIX):
                    add_marker(name)
                    continue
                archive = known.get(name)
                matches = is_archive(name) is not None
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._add_unseen(name, error, matches=matches)
                    continue
                if (
                    archive is not None
                    and matches
                    and archive.ctime_ns == status.st_ctime_ns
                    and archive.inode == status.st_ino
                    and archive.mtime_ns == status.st_mtime_ns
                    and archive.size == status.st_size
                    and archive.device == status.st_dev
                    and archive.state in _SETTLED
                    and (archive.container is not None or not is_unread(archive.problem))
                ):
                    add(archive)
                    if archive.pins:
                        self._pinned.append(name)
                else:
                    self._put_aside(name, status, matches=matches)

    def _put_aside(self, name: str, status: os.stat_result, *, matches: bool) -> None:
        if stat.S_ISDIR(status.st_mode):
            if fnmatchcase(name, POD_CHECKPOINTS):
                self._add_pod_checkpoint(name, status)
            else:
                self.foreign += 1
        elif name == TEMPORARY or name.endswith(_TEMPORARY_MARKER):
            return  # a marker that is being written
        elif not matches:
            self.foreign += 1
            self.foreign_bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
        elif not stat.S_ISREG(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "no regular file"
            self._add(
                name,
                status,
                State.OTHER,
                Identity(problem=f"it is {kind}: never followed or touched"),
            )
        elif status.st_dev != self.directory.device:
            self._add(name, status, State.OTHER, Identity(problem="it is on another file system"))
        else:
            self._anew.append((name, status))

    def _add_unseen(self, name: str, error: OSError, *, matches: bool) -> None:
        if error.errno in _OURS_TO_MEND:
            raise error
        if not matches:
            self.foreign += 1
            return
        before = self.known.get(name)
        self.unreadable[words_of(error)] += 1
        self.archives.append(
            Archive(
                name=name,
                size=0,
                device=self.directory.device,
                inode=0,
                mtime_ns=0,
                ctime_ns=0,
                state=State.UNREADABLE,
                named_ns=time_in(name),
                first_seen_ns=self.now_ns if before is None else before.first_seen_ns,
                problem=words_of(error),
            )
        )

    def _add_pod_checkpoint(self, name: str, status: os.stat_result) -> None:
        if status.st_dev != self.directory.device:
            self._add(name, status, State.OTHER, Identity(problem="it is on another file system"))
            return
        size, problem = self._walk.size_of(name, self.directory.fd, status)
        self._add(name, status, State.POD_CHECKPOINT, Identity(problem=problem))
        self.archives[-1] = evolve(self.archives[-1], size=size)

    def read(self, progress: Callable[[int, int], None] | None) -> None:
        """Look at all that was put aside."""
        done = len(self.archives)
        total = done + len(self._anew)
        self._anew.sort(key=itemgetter(0))  # those of one container one after another
        for name, status in self._anew:
            if progress is not None and done % _EVERY == 0:
                progress(done, total)
            done += 1
            try:
                self._look(name, status)
            except FileNotFoundError:
                continue  # deleted a moment ago
            except OSError as error:
                if error.errno in _OURS_TO_MEND:
                    raise
                if error.errno == errno.EWOULDBLOCK:  # somebody has a lease, perhaps to delete it
                    self._add_in_flight(name, status, "another process has it in its hands")
                else:
                    self.unreadable[words_of(error)] += 1
                    self._add(name, status, State.UNREADABLE, Identity(problem=words_of(error)))
        if progress is not None:
            progress(total, total)

    def _look(self, name: str, status: os.stat_result) -> None:
        if not self._is_settled(name, status):
            self._add_in_flight(name, status, "it was written a moment ago")
            return
        system = self.directory.system
        fd = system.open(name, OPEN_TO_READ, dir_fd=self.directory.fd)
        try:
            before = system.fstat(fd)
            key = _key(before)
            if key != _key(status) or not stat.S_ISREG(before.st_mode):
                self._add_in_flight(name, status, "it has changed while it was looked at")
                return
            use = written(fd, system)
            if use is Use.TAKEN:
                self._add_in_flight(name, status, "somebody has it open for writing")
                return
            self.leases &= use is Use.FREE
            reading = read_archive(fd, before.st_size, read_spec=self._read_spec)
            after = system.fstat(fd)
        finally:
            system.close(fd)
        self.opened += 1
        if _key(after) != key:
            self._add_in_flight(name, after, "it has changed while it was read")
            return
        identity = identify(name, reading)
        self._add(
            name,
            before,
            reading.state,
            identity,
            by_name=reading.container is None,
            checkpointed_ns=reading.checkpointed_ns,
        )

    def _is_settled(self, name: str, status: os.stat_result) -> bool:
        """Tell whether the last change is long enough ago.

        Anybody can set an mtime that lies ahead, which says nothing then. If the ctime lies ahead,
        too, the clock was set back: an archive that is as it was when it was last looked at counts
        as settled, since it would else be in flight for years.
        """
        times = (status.st_mtime_ns, status.st_ctime_ns)
        latest = max(times)
        if latest > self.now_ns + _AHEAD_NS:
            latest = min(times)
        if latest <= self.now_ns + _AHEAD_NS:
            return self.now_ns - latest >= self.settle_ns
        before = self.known.get(name)
        return before is not None and _key_of(before) == _key(status)

    def _add_in_flight(self, name: str, status: os.stat_result, problem: str) -> None:
        identity = Identity(parse_name(name).container, problem=problem)
        self._add(name, status, State.IN_FLIGHT, identity, by_name=True)

    def _add(
        self,
        name: str,
        status: os.stat_result,
        state: State,
        identity: Identity,
        *,
        by_name: bool = False,
        checkpointed_ns: int | None = None,
    ) -> None:
        before = self.known.get(name)
        first_seen_ns = self.now_ns
        if before is not None and (before.device, before.inode) == (status.st_dev, status.st_ino):
            first_seen_ns = before.first_seen_ns
        archive = Archive(
            name=name,
            size=status.st_size,
            device=status.st_dev,
            inode=status.st_ino,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            state=state,
            container=identity.container,
            by_name=by_name and identity.container is not None,
            pod_uid=identity.pod_uid,
            checkpointed_ns=checkpointed_ns,
            named_ns=time_in(name),
            first_seen_ns=first_seen_ns,
            problem=identity.problem,
        )
        self.archives.append(archive)

    def add_pins(self) -> None:
        """Give archives with a marker their pins, and take those of others away."""
        changed = self._markers.union(name + MARKER_SUFFIX for name in self._pinned)
        if not changed:
            return
        for at, archive in enumerate(self.archives):
            marker = archive.name + MARKER_SUFFIX
            if marker in changed:
                there = marker in self._markers
                pins = read_pins(archive.name, self.directory) if there else ()
                if pins != archive.pins:
                    self.archives[at] = evolve(archive, pins=pins)


def _matcher(names: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(translate, names)) or _NOTHING).match


def _key(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return what changes whenever something is written."""
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times)


def _key_of(archive: Archive) -> tuple[int, int, int, int, int]:
    times = (archive.mtime_ns, archive.ctime_ns)
    return (archive.device, archive.inode, archive.size, *times)


def _sort(archives: list[Archive]) -> None:
    """Sort by the bytes of the names, which are the characters of most."""
    archives.sort(key=_NAME)
    if not "".join(map(_NAME, archives)).isascii():
        archives.sort(key=_name_bytes)


def _name_bytes(archive: Archive) -> bytes:
    return os.fsencode(archive.name)
