"""The open directory of a file store, and the few things that are done to files in it."""

from __future__ import annotations

import errno
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.errors import CheckpointTooLargeError, StoreError, StoreUnavailableError
from checkpointkit.stores.base import Damaged
from checkpointkit.stores.files.layout import FILE_MODE
from checkpointkit.stores.files.system import (
    OPEN_DIRECTORY,
    OPEN_NEW,
    OPEN_TO_READ,
    SystemCalls,
)

if TYPE_CHECKING:
    import os

_RETRY: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
_DEEPEST: Final = 16
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@frozen
class Disk:
    """An open store directory.

    Attributes:
        system: The system calls.
        path: The directory's absolute path, for people and for finding out that it was replaced.
        root: Its descriptor: all names are relative to it.
        identity: Its device and inode.
        durable: Whether `sync` syncs.
        max_bytes: The largest file that is read.
    """

    system: SystemCalls
    path: str
    root: int
    identity: tuple[int, int]
    durable: bool
    max_bytes: int

    def sync(self, fd: int) -> None:
        """Make a file's bytes, or a directory's entries, survive a power cut."""
        if self.durable:
            self.system.fsync(fd)

    def start_sync(self, fd: int) -> None:
        """Start to write a file's bytes; a `sync` that follows has less to wait for."""
        if self.durable:
            # It is advice. Should a sandbox forbid it, the sync still does all that is promised;
            # an error of the disk is kept for it.
            with suppress(OSError):
                self.system.start_writing(fd)

    def sync_directory(self, name: str) -> None:
        """Sync the entries of a directory that is not open."""
        fd = self.system.open(name, OPEN_DIRECTORY, dir_fd=self.root)
        try:
            self.sync(fd)
        finally:
            self.system.close(fd)

    def check_in_place(self) -> None:
        """Check that the directory still stands at its path.

        A store whose directory was deleted, moved away or mounted over would otherwise report
        every checkpoint as absent, and save where nobody will look for it.

        Raises:
            StoreUnavailableError: It does not.
        """
        try:
            there = self.system.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            there = None
        if there is None or (there.st_dev, there.st_ino) != self.identity:
            reason = f"another directory, or none, is at {self.path} now; open the store again"
            raise StoreUnavailableError(None, "find the store", reason)

    def create(self, name: str, data: bytes) -> int:
        """Create a file, write `data`, and return its descriptor, not yet synced."""
        fd = self.system.open(name, OPEN_NEW, FILE_MODE, dir_fd=self.root)
        try:
            self.system.fchmod(fd, FILE_MODE)  # the umask may have taken even our own rights
            self.write(fd, data)
        except BaseException:
            self.system.close(fd)
            self.system.unlink(name, dir_fd=self.root)
            raise
        return fd

    def write(self, fd: int, data: bytes) -> None:
        """Write all of `data`, however little each call takes."""
        written = self.system.write(fd, data)
        while written < len(data):
            more = self.system.write(fd, memoryview(data)[written:])
            if not more:  # to go on would be to go on for ever
                raise OSError(errno.ENOSPC, "the file takes no more bytes")
            written += more

    def open(self, directory: int, name: str) -> tuple[int, os.stat_result] | Damaged:
        """Open a regular file for reading, no link followed; its descriptor and status.

        What stands there instead of a regular file is `Damaged`; it is not read, and no fifo is
        waited for.

        Raises:
            OSError: Everything else, `FileNotFoundError` among it.
        """
        system = self.system
        try:
            fd = system.open(name, OPEN_TO_READ, dir_fd=directory)
        except FileNotFoundError:
            raise
        except OSError:
            # A link (ELOOP), a socket (ENXIO), a device without a driver (ENODEV), …
            status = system.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                raise
            return Damaged(f"{name!r} is no regular file")
        try:
            status = system.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                return fd, status
        except BaseException:
            system.close(fd)
            raise
        system.close(fd)
        return Damaged(f"{name!r} is no regular file")

    def read(self, fd: int, status: os.stat_result, key: str, limit: int | None) -> bytes:
        """Return the bytes of an open file.

        Args:
            fd: Its descriptor.
            status: Its status.
            key: Whose file it is, for the error.
            limit: How many bytes at most; None for all.

        Raises:
            CheckpointTooLargeError: It has more than `max_bytes`, and `limit` is None.
            OSError: A system call failed.
        """
        size = status.st_size
        if limit is not None:
            size = min(size, limit)
        elif size > self.max_bytes:
            raise CheckpointTooLargeError(key, size, self.max_bytes)
        if not size:
            return b""
        data = self.system.read(fd, size)
        while len(data) < size:  # a short read; at the end of the file the rest is missing
            more = self.system.read(fd, size - len(data))
            if not more:
                break
            data += more
        return data

    def read_start(self, fd: int, size: int) -> bytes:
        """Return the first `size` bytes of an open file, or all that it has."""
        data = self.system.pread(fd, size, 0)
        while len(data) < size:
            more = self.system.pread(fd, size - len(data), len(data))
            if not more:
                break
            data += more
        return data

    def read_file(self, directory: int, name: str, key: str, limit: int | None) -> bytes | Damaged:
        """Open, read and close; see `open` and `read`."""
        opened = self.open(directory, name)
        if isinstance(opened, Damaged):
            return opened
        fd, status = opened
        try:
            return self.read(fd, status, key, limit)
        finally:
            self.system.close(fd)

    def discard(self, name: str, directory: int | None = None) -> None:
        """Delete a file, or a directory with what is in it; no error where there is none.

        Args:
            name: Its name.
            directory: Descriptor of the directory that it is in; None for the root. No link is
                followed.

        Raises:
            OSError: Something cannot be deleted, or directories are nested too deep to be ours.
        """
        self._discard(name, self.root if directory is None else directory, 0)

    def _discard(self, name: str, directory: int, depth: int) -> None:
        system = self.system
        if depth > _DEEPEST:
            raise OSError(errno.ENOTEMPTY, f"directories nested more than {_DEEPEST} deep")
        try:
            system.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError) as error:  # macOS says EPERM of a directory
            try:
                inner = system.open(name, OPEN_DIRECTORY, dir_fd=directory)
            except (NotADirectoryError, FileNotFoundError):
                raise error from None
            try:
                for entry in system.listdir(inner):
                    self._discard(entry, inner, depth + 1)
            finally:
                system.close(inner)
            system.rmdir(name, dir_fd=directory)


def store_error(key: str | None, operation: str, error: OSError) -> StoreError:
    """Translate what a system call said; raise it `from error`."""
    kind = StoreUnavailableError if error.errno in _RETRY else StoreError
    name = errno.errorcode.get(error.errno or 0, "no errno")
    return kind(key, operation, f"{error.strerror or type(error).__name__} ({name})")


def is_full(error: BaseException | None) -> bool:
    """Tell whether a system call failed for want of space."""
    return isinstance(error, OSError) and error.errno in FULL
