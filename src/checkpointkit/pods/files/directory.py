"""Operations on an open directory: complete or not at all, durable, and over no link.

All names are relative to a descriptor, so that nothing is reached but what is in this directory,
whatever is put in its path meanwhile.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from checkpointkit.errors import OutcomeUnknownError, StoreError
from checkpointkit.stores.base import Damaged
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.opening import make_directories
from checkpointkit.stores.files.system import OPEN_DIRECTORY, OPEN_ROOT, SystemCalls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PRIVATE", "Attempt", "Directory", "FileCalls", "attempt", "shown"]

PRIVATE: Final = 0o700
_log: Final = logging.getLogger("checkpointkit")


class FileCalls(SystemCalls):
    """The system calls; those of the file store, and what links and groups need."""

    symlink: staticmethod[..., None] = staticmethod(os.symlink)
    time: staticmethod[..., float] = staticmethod(time.time)

    @staticmethod
    def readlink(path: str, *, dir_fd: int | None = None) -> str:
        """Return where a link leads."""
        return os.readlink(path, dir_fd=dir_fd)

    # Called late, since Windows lacks them.
    @staticmethod
    def fchown(fd: int, uid: int, gid: int) -> None:
        """Give an open file to a user and a group."""
        os.fchown(fd, uid, gid)

    @staticmethod
    def geteuid() -> int:
        """Return who this process is."""
        return os.geteuid()

    @staticmethod
    def own_group() -> int:
        """Return the group that 0 stands for: root's; of another user, who can try it, his."""
        return os.getegid() if os.geteuid() else 0


def shown(name: str) -> str:
    """Return the name of a file for a log: it may hold the end of a line, or no characters at all.

    Example:
        >>> shown("web.json"), shown(chr(10) + "web.json") == ascii(chr(10) + "web.json")
        ('web.json', True)
    """
    return name if name.isprintable() else ascii(name)


class Attempt:
    """How far an operation has got.

    Attributes:
        published: What others see has changed: an error from here on leaves the new state.
    """

    published: bool = False


@contextmanager
def attempt(operation: str) -> Iterator[Attempt]:
    """Turn what a system call says into an error of ours.

    Args:
        operation: What is tried, for the message.

    Raises:
        OutcomeUnknownError: The change can be seen, but may not be complete, or not be durable.
        StoreError: Nothing has changed.
    """
    tried = Attempt()
    try:
        yield tried
    except OSError as error:
        translated = store_error(None, operation, error)
        if tried.published:
            raise OutcomeUnknownError(None, operation, translated.reason) from error
        raise translated from error


class Directory:
    """An open directory.

    Args:
        system: The system calls.
        path: What it is called, for people.
        fd: Its descriptor; closed when the `with` block ends.
        durable: Whether `sync` syncs.
        is_new: It was made for this.
    """

    def __init__(
        self, system: FileCalls, path: str, fd: int, *, durable: bool, is_new: bool = False
    ) -> None:
        self.system = system
        self.path = path
        self.is_new = is_new
        self._fd = fd
        self._disk = Disk(system, path, fd, (0, 0), durable, sys.maxsize)

    @classmethod
    def find(cls, system: FileCalls, path: str, *, durable: bool = True) -> Directory:
        """Open a directory that was configured; its own path may be a link.

        Raises:
            OSError: There is none, or it may not be opened.
        """
        return cls(system, path, system.open(path, OPEN_ROOT), durable=durable)

    @classmethod
    def make(cls, system: FileCalls, path: str, *, durable: bool = True) -> Directory:
        """Open a directory that was configured; make it, for root alone, where there is none."""
        try:
            return cls.find(system, path, durable=durable)
        except FileNotFoundError:
            make_directories(system, path)
        return cls.find(system, path, durable=durable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._close(self._fd)

    def _close(self, fd: int) -> None:
        """Close what was synced, or only read: an error here says nothing of what was done."""
        try:
            self.system.close(fd)
        except OSError as error:
            _log.warning("%s: a descriptor was not closed: %s", self.path, error)

    def names(self) -> list[str]:
        """Return the names in it, sorted."""
        return sorted(self.system.listdir(self._fd))

    def own_status(self) -> os.stat_result:
        """Return its own status."""
        return self.system.fstat(self._fd)

    def status(self, name: str) -> os.stat_result:
        """Return the status of what stands under a name, of a link itself."""
        return self.system.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def has_directory(self, name: str) -> bool:
        """Tell whether a directory stands under a name, and no link to one."""
        try:
            return stat.S_ISDIR(self.status(name).st_mode)
        except FileNotFoundError:
            return False

    def target(self, name: str) -> str | None:
        """Return what a link says; None where no link is."""
        try:
            return self.system.readlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None

    def read(self, name: str, limit: int) -> tuple[os.stat_result, bytes] | Damaged:
        """Return a file's status and bytes.

        What is no regular file, or has more bytes than `limit`, is `Damaged`, and is not read.
        """
        opened = self._disk.open(self._fd, name)
        if isinstance(opened, Damaged):
            return opened
        fd, status = opened
        try:
            if status.st_size > limit:
                return Damaged(f"{name!r} has more than {limit} bytes")
            return status, self._disk.read(fd, status, name, limit)
        finally:
            self._close(fd)

    def below(self, name: str) -> Directory:
        """Open a directory in it; over no link."""
        return self._below(name, is_new=False)

    def _below(self, name: str, *, is_new: bool) -> Directory:
        fd = self.system.open(name, OPEN_DIRECTORY, dir_fd=self._fd)
        path, durable = f"{self.path}/{name}", self._disk.durable
        return Directory(self.system, path, fd, durable=durable, is_new=is_new)

    def made(self, name: str) -> Directory:
        """Open a directory in it; make it, for root alone, where there is none."""
        try:
            self.system.mkdir(name, PRIVATE, dir_fd=self._fd)
        except FileExistsError:
            return self.below(name)
        self.system.chmod(name, PRIVATE, dir_fd=self._fd)  # whatever the umask left of it
        return self._below(name, is_new=True)

    def own(self, mode: int, gid: int) -> None:
        """Give the directory a mode and a group."""
        self._own(self._fd, self.path, mode, gid)

    def write(self, name: str, data: bytes, owned: tuple[int, int] | None = None) -> None:
        """Write a new file and sync it; nothing is left of it if that fails.

        While it is written it is for root alone, whatever the mode. After an error it is never
        synced again: see `checkpointkit.stores.files.steps`.

        Args:
            name: Its name; nothing stands there.
            data: Its bytes.
            owned: Its mode and its group; None for 0600 and whatever group.
        """
        fd = self._disk.create(name, data)
        try:
            if owned is not None:
                self._own(fd, f"{self.path}/{name}", *owned)
            self._disk.sync(fd)
        except BaseException:
            self.take_back(name)
            raise
        finally:
            self._close(fd)

    def _own(self, fd: int, path: str, mode: int, gid: int) -> None:
        """Give a group, then a mode: a change of the owner may take bits from the mode."""
        gid = gid or self.system.own_group()
        try:
            self.system.fchown(fd, self.system.geteuid(), gid)
        except PermissionError as error:
            reason = f"only root can give {path} to group {gid}: run as root (EPERM)"
            raise StoreError(None, "change the owner", reason) from error
        self.system.fchmod(fd, mode)
        status = self.system.fstat(fd)
        if (stat.S_IMODE(status.st_mode), status.st_gid) != (mode, gid):
            reason = f"{path} did not take mode {mode:04o} and group {gid} on this file system"
            raise StoreError(None, "change the mode", reason)

    def link(self, target: str, name: str) -> None:
        """Make a symbolic link under a name that is free."""
        self.system.symlink(target, name, dir_fd=self._fd)

    def rename(self, name: str, to: str) -> None:
        """Let something take another name, and the place of what is there."""
        self.system.rename(name, to, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def unlink(self, name: str) -> None:
        """Delete what is no directory; no error where there is nothing."""
        with suppress(FileNotFoundError):
            self.system.unlink(name, dir_fd=self._fd)

    def rmdir(self, name: str) -> bool:
        """Delete an empty directory; False where there is none, or something in it."""
        try:
            self.system.rmdir(name, dir_fd=self._fd)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise
        return True

    def discard(self, name: str) -> None:
        """Delete whatever stands under a name; no error where there is nothing."""
        self._disk.discard(name, self._fd)

    def take_back(self, name: str) -> None:
        """Delete what a failed operation has left; an error must not hide that one."""
        try:
            self.discard(name)
        except OSError as error:
            _log.warning("%s: %s stays behind: %s", self.path, shown(name), error)

    def sync(self) -> None:
        """Make the names in it survive a power cut."""
        self._disk.sync(self._fd)

    def sync_above(self) -> None:
        """Make its own path survive a power cut, whoever made it, up to the mount point.

        A directory that may not be opened was not made by us.
        """
        device, path = self.own_status().st_dev, os.path.abspath(self.path)
        while (above := os.path.dirname(path)) != path:
            path = above
            try:
                directory = Directory.find(self.system, path, durable=self._disk.durable)
            except PermissionError:
                return
            with directory:
                if directory.own_status().st_dev != device:
                    return
                directory.sync()
