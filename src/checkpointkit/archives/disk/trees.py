"""How many bytes lie below a directory: over no link and no mount, and not for ever.

Directories of pod checkpoints belong to the kubelet; what is in them is nobody's business but the
runtime's. They are only measured.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from checkpointkit.archives.disk.directory import words_of
from checkpointkit.stores.files.system import OPEN_DIRECTORY

if TYPE_CHECKING:
    import os

    from checkpointkit.archives.disk.directory import ArchiveCalls

__all__ = ["WALK_LIMIT", "Walk"]

WALK_LIMIT: Final = 200_000
"""Entries that all walks of one scan look at together."""
_DEEPEST: Final = 32


class Walk:
    """Measures directories until it has seen so many entries.

    Args:
        system: The system calls.
        limit: How many entries it looks at, in all directories together.
    """

    def __init__(self, system: ArchiveCalls, limit: int) -> None:
        self._system = system
        self._left = limit
        self._size = 0
        self._problem = ""

    def size_of(self, name: str, parent: int, status: os.stat_result) -> tuple[int, str]:
        """Measure a directory.

        Args:
            name: Its name.
            parent: The descriptor of the directory that it is in.
            status: Its status.

        Returns:
            The lengths of the files below it, in bytes, and why there may be more; empty if all
            were seen.
        """
        self._size, self._problem = 0, ""
        self._go(name, parent, status, 0)
        return self._size, self._problem

    def _go(self, name: str, parent: int, status: os.stat_result, depth: int) -> None:
        try:
            fd = self._system.open(name, OPEN_DIRECTORY, dir_fd=parent)
            try:
                self._add(fd, status.st_dev, depth)
            finally:
                self._system.close(fd)
        except FileNotFoundError:
            return  # the kubelet has taken it away
        except OSError as error:
            self._problem = f"there may be more in it: {words_of(error)}"

    def _add(self, fd: int, device: int, depth: int) -> None:
        below = []
        with self._system.scandir(fd) as entries:
            for entry in entries:
                if self._left <= 0:
                    self._problem = "there is more in it: it has too many files to count"
                    return
                self._left -= 1
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    self._size += status.st_size
                elif stat.S_ISDIR(status.st_mode):
                    below.append((entry.name, status))
        for name, status in below:
            if status.st_dev != device:
                self._problem = "there is more in it: another file system"
            elif depth >= _DEEPEST:
                self._problem = "there is more in it: it is too deep"
            else:
                self._go(name, fd, status, depth + 1)
