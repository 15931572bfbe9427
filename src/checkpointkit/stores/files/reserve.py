"""The reserve: space that is kept for the day when the disk is full.

A *ballast* file of `reserve` bytes stands by. When a save finds no space, the ballast becomes the
new state's file: its blocks are overwritten where they are, and the rest of it is given back. So
the save needs next to no new space, on a file system that overwrites in place (ext4, xfs, tmpfs).
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Final

from checkpointkit.stores.files.layout import (
    BALLAST,
    DIRECTORY_MODE,
    RESERVE,
    TEMPORARY,
)
from checkpointkit.stores.files.system import OPEN_TO_WRITE

if TYPE_CHECKING:
    from checkpointkit.stores.files.disk import Disk

_log: Final = logging.getLogger("checkpointkit")
_BALLAST: Final = f"{RESERVE}/{BALLAST}"
_CHUNK: Final = 2**20


class Reserve:
    """The ballast of one store.

    Args:
        disk: The store.
        size: Its size in bytes; 0 for none.
    """

    def __init__(self, disk: Disk, size: int) -> None:
        self._disk = disk
        self._size = size

    def take(self, name: str, data: bytes) -> int:
        """Make the ballast the file `name` with `data` in it, and return its descriptor.

        Raises:
            OSError: `ENOSPC` where there is no ballast (any more), or it is too small.
        """
        disk, system = self._disk, self._disk.system
        try:
            system.rename(_BALLAST, name, src_dir_fd=disk.root, dst_dir_fd=disk.root)
        except FileNotFoundError:
            raise _no_space() from None
        fd = system.open(name, OPEN_TO_WRITE, dir_fd=disk.root)
        try:
            disk.write(fd, data)
            system.ftruncate(fd, len(data))
        except BaseException:
            system.close(fd)
            raise
        _log.warning("%s: the disk is full; a checkpoint was saved from the reserve", disk.path)
        return fd

    def fill(self, temporary: str) -> None:
        """Make the ballast where it is missing or has another size; warn if there is no space.

        Args:
            temporary: A name under `.tmp` that a held lock makes ours.
        """
        if not self._size:
            return
        disk, system = self._disk, self._disk.system
        temporary = f"{TEMPORARY}/{temporary}"
        try:
            if self._present():
                return
            self._write(temporary)
            system.rename(temporary, _BALLAST, src_dir_fd=disk.root, dst_dir_fd=disk.root)
        except OSError as error:
            # No matter for the save that was just acknowledged.
            self._discard(temporary)
            _log.warning(
                "%s: no space for the reserve of %d bytes: %s", disk.path, self._size, error
            )
        else:
            _log.info("%s: the reserve of %d bytes is in place", disk.path, self._size)

    def _present(self) -> bool:
        disk = self._disk
        try:
            status = disk.system.stat(_BALLAST, dir_fd=disk.root, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return status.st_size == self._size

    def _write(self, temporary: str) -> None:
        disk, system = self._disk, self._disk.system
        space = system.fstatvfs(disk.root)
        if space.f_bavail * space.f_frsize < self._size:
            # Filling the disk to the brim first would fail the saves of others in the meantime.
            raise _no_space()
        try:
            system.mkdir(RESERVE, DIRECTORY_MODE, dir_fd=disk.root)
        except FileExistsError:
            pass
        else:
            system.chmod(RESERVE, DIRECTORY_MODE, dir_fd=disk.root)
        disk.discard(temporary)
        fd = disk.create(temporary, b"")
        try:
            left = self._size
            while left:
                # Random bytes: zeros may be stored as a hole, or compressed away.
                chunk = system.urandom(min(left, _CHUNK))
                disk.write(fd, chunk)
                left -= len(chunk)
            disk.sync(fd)
        finally:
            system.close(fd)

    def _discard(self, temporary: str) -> None:
        try:
            self._disk.discard(temporary)
        except OSError as error:
            _log.warning("%s: %s stays behind: %s", self._disk.path, temporary, error)


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
