"""The directory that holds the archives, open: everything is reached through its descriptor.

A path may lead elsewhere a moment later: the directory is unmounted, or a link is put in its
place. A descriptor cannot. `check` tells whether both still are the same.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.model import Space
from checkpointkit.stores.files.system import OPEN_DIRECTORY, SystemCalls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

__all__ = ["ArchiveCalls", "ArchiveDirectory", "directory_error", "words_of"]

LOCK_TIMEOUT: Final = 30.0
"""Seconds; whoever has the lock keeps it for one batch of deletions, or for one pin."""
_PAUSE: Final = 0.01
_LOCKLESS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_WORDS: Final = {
    errno.EACCES: "this user may not; run as root, or as the owner",
    errno.ENOENT: "it is not there; create it, mount it, or name another directory",
    errno.ENOTDIR: "it, or something on the way to it, is no directory",
    errno.ENOTCONN: "its file system has gone away; mount it again",
    errno.ESTALE: "its file system has gone away; mount it again",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "the disk, or its file system, has failed; look at the kernel's log",
}


# Looked up late: leases are Linux's own.
def _set_lease_signal(fd: int, number: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETSIG, number)


def _set_lease(fd: int, kind: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, kind)


def _lease(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETLEASE)


class ArchiveCalls(SystemCalls):
    """The system calls that archives need: those of the file store, and a few more.

    A test passes a subclass, or an instance with other ones.

    Attributes:
        scandir: Lists an open directory; the entries get their status without another look-up.
        set_lease_signal: Chooses the signal that tells of a broken lease (fcntl(2), F_SETSIG).
        set_lease: Takes a lease, or gives it back (F_SETLEASE).
        lease: Returns what kind of lease is on an open file (F_GETLEASE).
    """

    scandir: staticmethod[..., AbstractContextManager[Iterator[os.DirEntry[str]]]] = staticmethod(
        os.scandir
    )
    set_lease_signal: staticmethod[..., None] = staticmethod(_set_lease_signal)
    set_lease: staticmethod[..., None] = staticmethod(_set_lease)
    lease: staticmethod[..., int] = staticmethod(_lease)


class ArchiveDirectory:
    """An open directory of archives, as a context.

    Attributes:
        path: Its path, absolute.
        fd: Its descriptor; -1 once it is closed.
        device: The device of its file system.
        inode: Its inode.
        system: The system calls.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as path:
        ...     with ArchiveDirectory.open(path) as directory:
        ...         directory.check()
        ...         directory.space().total > 0
        True
    """

    def __init__(self, path: str, fd: int, status: os.stat_result, system: ArchiveCalls) -> None:
        self.path: str = path
        self.fd: int = fd
        self.device: int = status.st_dev
        self.inode: int = status.st_ino
        self.system: ArchiveCalls = system

    @classmethod
    def open(cls, path: str, *, system: ArchiveCalls | None = None) -> Self:
        """Open a directory of archives.

        Args:
            path: Its path. The directories above it may be links; it may be none.
            system: The system calls.

        Returns:
            The directory.

        Raises:
            DirectoryError: It is missing, no directory, a link, or may not be opened.
        """
        system = ArchiveCalls() if system is None else system
        try:
            path = _absolute(path)
        except OSError as error:
            reason = "the working directory is not there any more; write the whole path, from /"
            raise DirectoryError(path, "open", reason) from error
        try:
            fd = system.open(path, OPEN_DIRECTORY)
            try:
                return cls(path, fd, system.fstat(fd), system)
            except BaseException:
                system.close(fd)
                raise
        except OSError as error:
            if _is_link(system, path):
                reason = "it is a link; name the directory that it leads to"
                raise DirectoryError(path, "open", reason) from error
            raise directory_error(path, "open", error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; once is enough."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with suppress(OSError):  # nothing was written through it
                self.system.close(fd)

    def check(self) -> None:
        """See that the path still leads to this directory.

        Raises:
            DirectoryError: It leads elsewhere now, or nowhere: a link or another directory was put
                in its place, or a file system was mounted there, or unmounted.
        """
        try:
            status = self.system.stat(self.path, follow_symlinks=False)
        except OSError as error:
            raise directory_error(self.path, "use", error) from error
        if (status.st_dev, status.st_ino) == (self.device, self.inode):
            if status.st_nlink:
                return
            # As in a pod, whose hostPath was removed and made anew on the node.
            reason = "it was removed, and lives on in a mount alone; mount it anew (a pod: restart)"
        elif stat.S_ISLNK(status.st_mode):
            reason = "a link has been put in its place; see who did that, and why"
        elif not stat.S_ISDIR(status.st_mode):
            reason = "something that is no directory has been put in its place"
        elif status.st_dev != self.device:
            reason = "a file system has been mounted there, or unmounted, meanwhile; look again"
        else:
            reason = "another directory has been put in its place; look again"
        raise DirectoryError(self.path, "use", reason)

    def space(self) -> Space:
        """Return how much of its file system there is.

        Returns:
            The space, in bytes.

        Raises:
            DirectoryError: The file system does not answer.
        """
        try:
            status = self.system.fstatvfs(self.fd)
        except OSError as error:
            raise directory_error(self.path, "look at", error) from error
        return Space(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize)

    @contextmanager
    def listing(self) -> Iterator[int]:
        """Open the directory once more, for one listing: two of them never share a position.

        Returns:
            A context with a descriptor of its own.

        Raises:
            OSError: It cannot be opened.
        """
        fd = self.system.open(".", OPEN_DIRECTORY, dir_fd=self.fd)
        try:
            yield fd
        finally:
            self.system.close(fd)

    @contextmanager
    def locked(self, operation: str, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
        """Keep other processes of this program from pinning or deleting here meanwhile.

        It is an flock(2) of the directory. The checkpoint-restore-operator knows nothing of it,
        nor does a file system that has no locks; then there is none.

        Args:
            operation: What it is for, for the message.
            timeout: How many seconds to wait for it.

        Returns:
            A context in which the lock is held.

        Raises:
            DirectoryError: Another process has had it for too long.
            OSError: The directory cannot be opened.
        """
        with self.listing() as fd:
            try:
                held = self._try_lock(fd, timeout)
            except OSError as error:
                if error.errno not in _LOCKLESS:
                    raise
                yield
                return
            if not held:
                reason = (
                    f"another process has had its lock for {timeout:g} seconds; see who has it "
                    f"(lsof, fuser), and try again"
                )
                raise DirectoryError(self.path, operation, reason)
            try:
                yield
            finally:
                # A process that was forked meanwhile has a copy of the descriptor.
                with suppress(OSError):
                    self.system.unlock(fd)

    def _try_lock(self, fd: int, timeout: float) -> bool:
        until = self.system.monotonic() + timeout
        while not self.system.try_lock(fd):
            if self.system.monotonic() >= until:
                return False
            self.system.sleep(_PAUSE)
        return True


def directory_error(path: str, operation: str, error: OSError) -> DirectoryError:
    """Return what an error of the system means for a directory.

    Args:
        path: The directory.
        operation: What was tried.
        error: What the system said.

    Returns:
        The error, to be raised from the other.

    Example:
        >>> str(directory_error("/a", "open", FileNotFoundError(2, "No such file or directory")))
        'cannot open /a: it is not there; create it, mount it, or name another directory (ENOENT)'
    """
    return DirectoryError(path, operation, words_of(error))


def words_of(error: OSError) -> str:
    """Return an error of the system in words, with its name.

    Example:
        >>> words_of(OSError(errno.EROFS, "Read-only file system"))
        'Read-only file system (EROFS)'
    """
    name = errno.errorcode.get(error.errno or 0, "no errno")
    return f"{_WORDS.get(error.errno or 0, error.strerror or str(error))} ({name})"


def _absolute(path: str) -> str:
    """Return an absolute path whose last component is a name: behind a slash a link is followed."""
    joined = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    while joined.endswith(("/", "/.")) and joined != "/":
        joined = joined.removesuffix(".").rstrip("/") or "/"
    return joined


def _is_link(system: ArchiveCalls, path: str) -> bool:
    try:
        return stat.S_ISLNK(system.stat(path, follow_symlinks=False).st_mode)
    except OSError:
        return False
