"""Deletes what a plan says, if it still is what was planned.

Before a batch there is a record of it, and one of what came of it afterwards: whoever deletes next
settles what a kill has left open. While a batch is deleted, no other process of this program
deletes or pins in the directory.

Each archive is looked at once more just before: the same inode, size, mtime and ctime, a regular
file on the directory's own file system, no marker, and nobody else has it open. It is deleted by
its name below the directory's descriptor, so no link is followed and no other file system reached.

Before the first of a container in a batch, what the plan keeps of that container is looked at: is
it not what it was, none of the container goes. Two who apply by different policies, each by a plan
made before the other began, would leave nothing otherwise.

What is left is the moment between the last look and unlink(2), some microseconds: POSIX has no call
that deletes a file only if it is a certain one. Whoever replaces or opens the archive, or has the
operator pin it, within them, is not seen. Who opens it waits for the lease, where there are
leases, and then has the whole file open, without its name.
"""

from __future__ import annotations

import errno
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from checkpointkit.archives.disk.directory import words_of
from checkpointkit.archives.disk.flight import Use, hold, still_held
from checkpointkit.archives.disk.pins import has_marker
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.deletions import DELETED, IN_A_BATCH, Deletion
from checkpointkit.archives.model import State
from checkpointkit.errors import CheckpointError, LockTimeoutError
from checkpointkit.stores.files.system import OPEN_TO_READ

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping, Sequence

    from checkpointkit.archives.disk.directory import ArchiveDirectory
    from checkpointkit.archives.kept.deletions import DeletionLog
    from checkpointkit.archives.kept.inventory import Inventory
    from checkpointkit.archives.model import Archive, Container
    from checkpointkit.archives.plan import Decision, Plan

__all__ = ["Applied", "apply", "settle_idle", "settle_log"]

_GONE: Final = "gone: somebody else has deleted it"
_CHANGED: Final = "it has changed since it was planned"
_REPLACED: Final = "something else has taken its place since it was planned"
_PINNED: Final = "it was pinned since it was planned"
_IN_USE: Final = "in use: somebody has it open"
_INTERRUPTED: Final = "interrupted before it was deleted"
_UNKNOWN: Final = "not known: its file system was not there when this was looked at"
_ELSEWHERE: Final = "not known: another directory was there when this was looked at"
_UNCLEAR: Final = "not known: it has changed"
_BLOCK: Final = 512
_STOPPING: Final = frozenset({errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.ESTALE})
"""What the next archive would meet as well."""
_UNSYNCED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""The file system has no sync of directories."""
_HINTS: Final = {
    errno.EBUSY: "something is mounted on it",
    errno.EPERM: "it, or the directory, is immutable (lsattr, chattr -i), or another user's",
}


@frozen
class Applied:
    """What came of a plan.

    Attributes:
        deleted: The archives that are gone now, oldest first.
        skipped: Those that were kept although the plan had them go, each with why.
        freed: The bytes of blocks that are free again; none for an archive that has another name.
        problems: What went wrong with the whole, one line each.
    """

    deleted: tuple[Archive, ...] = field(repr=False)
    skipped: tuple[tuple[Archive, str], ...] = field(repr=False)
    freed: int
    problems: tuple[str, ...]


def apply(
    plan: Plan,
    directory: ArchiveDirectory,
    log: DeletionLog,
    *,
    clock_ns: Callable[[], int],
    scanned: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Applied:
    """Delete what a plan says, oldest first.

    Once something has gone wrong with the whole (the record, the disk, the directory), nothing
    more is deleted; the rest is skipped, and `problems` has the reason.

    Args:
        plan: The plan.
        directory: The directory that it was made for.
        log: Where each deletion is recorded before it is done; `settle_log` comes first.
        clock_ns: Says what time it is, in nanoseconds since 1970.
        scanned: The device and inode of the directory that was scanned for the plan; None if
            the archives alone tell.
        progress: Told after each batch how many archives are done with, and of how many.

    Returns:
        What was deleted, what was not, and why.

    Raises:
        DirectoryError: The plan is one for another directory, or this one is no more what it was,
            or cannot be written. Nothing was deleted.
        CheckpointError: It could not be recorded. Nothing was deleted.
    """
    planned = plan.deletions
    if (scanned is not None and scanned != (directory.device, directory.inode)) or any(
        each.archive.device != directory.device for each in planned
    ):
        reason = "the plan was made for another directory, or it was mounted anew; look again"
        raise DirectoryError(directory.path, "delete in", reason)
    directory.check()
    applying = _Applying(directory, log, clock_ns, plan.floors)
    for start in range(0, len(planned), IN_A_BATCH):
        batch = planned[start : start + IN_A_BATCH]
        applying.do(batch)
        if progress is not None:
            progress(start + len(batch), len(planned))
    return applying.applied()


def settle_log(directory: ArchiveDirectory, log: DeletionLog) -> None:
    """Record what came of the batches that a kill has cut off.

    An archive that is not there counts as deleted, whoever did it: the record had said so. One of
    the same inode that was written to since may be it, or another that got its inode: not known.
    Nor is it where the directory is another one by now.

    Whoever calls this holds `Inventory.exclusive`, for a batch of a process that still applies is
    unfinished too, and does not hold `ArchiveDirectory.locked`, which it takes itself.

    Args:
        directory: The directory.
        log: The records.

    Raises:
        DirectoryError: The directory is no more what it was, or another process has had its lock
            for too long; nothing was recorded.
        CheckpointError: The records cannot be read or written.
    """
    unfinished = log.unfinished()
    if not unfinished:
        return
    try:
        with directory.locked("look at"):
            directory.check()
            found = [
                (number, [_settled(directory, each) for each in deletions])
                for number, deletions in unfinished
            ]
    except OSError as error:
        raise DirectoryError(directory.path, "look at", words_of(error)) from error
    for number, outcomes in found:
        log.finish(number, outcomes)


def settle_idle(directory: ArchiveDirectory, inventory: Inventory) -> tuple[str, ...]:
    """Record what a kill has cut off, unless somebody is applying: then nothing is done.

    For whoever looks without deleting anything: else the records of an apply that was killed would
    stay open until something is to be deleted again.

    Args:
        directory: The directory.
        inventory: What is kept of it, not read-only.

    Returns:
        Why it could not be recorded, one line; empty if it was, or nothing was to be.

    Raises:
        ReadOnlyError: The inventory was opened read-only.

    Example:
        >>> import tempfile
        >>> from checkpointkit import MemoryStore
        >>> from checkpointkit.archives.disk.directory import ArchiveDirectory
        >>> from checkpointkit.archives.kept.inventory import Inventory
        >>> with ArchiveDirectory.open(tempfile.mkdtemp()) as directory:
        ...     settle_idle(directory, Inventory(MemoryStore()))
        ()
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(inventory.exclusive())
        except LockTimeoutError:
            return ()  # who applies settles it first
        try:
            settle_log(directory, inventory.deletions)
        except CheckpointError as error:
            return (f"what became of deletions that were cut off is not recorded: {error}",)
    return ()


def _settled(directory: ArchiveDirectory, deletion: Deletion) -> str:
    try:
        status = _look(directory, deletion.name)
    except FileNotFoundError:
        inode = 0
    else:
        inode = status.st_ino
        if (inode, status.st_mtime_ns) == (deletion.inode, deletion.mtime_ns):
            return _INTERRUPTED
    # After an unmount nothing is there, and nothing was deleted.
    if deletion.device != directory.device:
        return _UNKNOWN
    if deletion.directory_inode != directory.inode:
        return _ELSEWHERE
    return _UNCLEAR if inode == deletion.inode else DELETED


class _Applying:
    """One plan that is carried out."""

    def __init__(
        self,
        directory: ArchiveDirectory,
        log: DeletionLog,
        clock_ns: Callable[[], int],
        floors: Mapping[Container, Archive],
    ) -> None:
        self._directory = directory
        self._log = log
        self._clock_ns = clock_ns
        self._floors = floors
        self._deleted: list[Archive] = []
        self._skipped: list[tuple[Archive, str]] = []
        self._freed = 0
        self._problems: list[str] = []
        self._stopped: CheckpointError | None = None

    def applied(self) -> Applied:
        """Return what came of it; raise what has stopped it, if nothing was deleted before."""
        if self._stopped is not None and not self._deleted:
            raise self._stopped
        return Applied(
            tuple(self._deleted), tuple(self._skipped), self._freed, tuple(self._problems)
        )

    def do(self, batch: Sequence[Decision]) -> None:
        """Delete a batch, unless something has stopped it all."""
        if self._stopped is None:
            try:
                number = self._log.begin([self._record(each) for each in batch])
            except CheckpointError as error:
                self._stop(error)
            else:
                outcomes = self._delete(batch)
                try:
                    self._log.finish(number, outcomes)
                except CheckpointError as error:
                    self._stop(error)
                return
        self._skipped += ((each.archive, f"not tried: {self._stopped}") for each in batch)

    def _record(self, decision: Decision) -> Deletion:
        archive = decision.archive
        return Deletion(
            name=archive.name,
            container=archive.container,
            size=archive.size,
            device=archive.device,
            inode=archive.inode,
            mtime_ns=archive.mtime_ns,
            rule=decision.rule,
            words=decision.words,
            at_ns=self._clock_ns(),
            directory_inode=self._directory.inode,
        )

    def _stop(self, error: CheckpointError) -> None:
        self._stopped = error
        self._problems.append(f"nothing more was deleted: {error}")

    def _delete(self, batch: Sequence[Decision]) -> list[str]:
        """Delete a batch that is recorded; return what came of each."""
        outcomes: list[str] = []
        try:
            with self._directory.locked("delete in"):
                self._directory.check()
                bare = self._bare(batch)
                before = len(self._deleted)
                try:
                    for each in batch:
                        refusal = _refusal(each.archive, bare)
                        outcomes.append(refusal or self._delete_one(each.archive))
                finally:
                    if len(self._deleted) > before:
                        self._sync()
        except DirectoryError as error:
            self._stop(error)
        except OSError as error:
            path = self._directory.path
            stopped = DirectoryError(path, "delete in", words_of(error))
            stopped.__cause__ = error
            self._stop(stopped)
        outcomes += [f"not tried: {self._stopped}"] * (len(batch) - len(outcomes))
        self._skipped += (
            (each.archive, outcome)
            for each, outcome in zip(batch, outcomes, strict=True)
            if outcome != DELETED
        )
        return outcomes

    def _bare(self, batch: Sequence[Decision]) -> set[Container]:
        """Return the containers of which what the plan keeps is not there any more.

        Raises:
            OSError: Nobody knows whether it is.
        """
        containers = {each.archive.container for each in batch}
        return {
            container
            for container in containers
            if container is not None
            and (floor := self._floors.get(container)) is not None
            and not self._is_there(floor)
        }

    def _is_there(self, archive: Archive) -> bool:
        try:
            return not _difference(_look(self._directory, archive.name), archive)
        except FileNotFoundError:
            return False

    def _sync(self) -> None:
        try:
            self._directory.system.fsync(self._directory.fd)
        except OSError as error:
            if error.errno not in _UNSYNCED:
                self._problems.append(
                    f"what was deleted last may be there again after a power cut: {words_of(error)}"
                )
                raise

    def _delete_one(self, archive: Archive) -> str:
        """Delete an archive if it is what was planned; return the outcome.

        Raises:
            OSError: The next one would fail as well.
        """
        try:
            return self._try(archive)
        except FileNotFoundError:
            return _GONE
        except OSError as error:
            if error.errno in _STOPPING:
                raise
            if error.errno == errno.EWOULDBLOCK:  # somebody has a lease
                return _IN_USE
            hint = _HINTS.get(error.errno or 0)
            return words_of(error) if hint is None else f"{words_of(error)}: {hint}"

    def _try(self, archive: Archive) -> str:
        directory, system = self._directory, self._directory.system
        # By its name first: what has taken its place may be a device, which must not be opened.
        if problem := _difference(_look(directory, archive.name), archive):
            return problem
        fd = system.open(archive.name, OPEN_TO_READ, dir_fd=directory.fd)
        try:
            return _difference(system.fstat(fd), archive) or self._unlink(fd, archive)
        finally:
            with suppress(OSError):  # nothing was written
                system.close(fd)

    def _unlink(self, fd: int, archive: Archive) -> str:
        """Delete an archive that is open."""
        directory, system = self._directory, self._directory.system
        use = hold(fd, system)
        if use is Use.TAKEN:
            return _IN_USE
        if has_marker(archive.name, directory):
            return _PINNED
        status = _look(directory, archive.name)
        if problem := _difference(status, archive):
            return problem
        if use is Use.FREE and not still_held(fd, system):
            return _IN_USE
        system.unlink(archive.name, dir_fd=directory.fd)
        self._deleted.append(archive)
        if status.st_nlink == 1:
            self._freed += status.st_blocks * _BLOCK
        return DELETED


def _refusal(archive: Archive, bare: Collection[Container]) -> str:
    """Tell why an archive may not go, whatever the disk says; empty if it may.

    Args:
        archive: The archive.
        bare: The containers of which what the plan keeps is not there any more.
    """
    if archive.state not in {State.COMPLETE, State.BROKEN}:
        return f"it is {archive.state.value}"
    if "/" in archive.name:
        return "it is no name of a file in the directory"
    if archive.state is State.COMPLETE and archive.container in bare:
        return f"what was to be kept of {archive.container} is no longer there; look again"
    return ""


def _look(directory: ArchiveDirectory, name: str) -> os.stat_result:
    return directory.system.stat(name, dir_fd=directory.fd, follow_symlinks=False)


def _difference(status: os.stat_result, archive: Archive) -> str:
    """Tell why what is there is not what was planned; empty if it is."""
    if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) != (
        archive.device,
        archive.inode,
    ):
        return _REPLACED
    found = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if found != (archive.size, archive.mtime_ns, archive.ctime_ns):
        return _CHANGED
    return ""
