"""Every system call of the file store, in one place, so that a test can record it or make it fail.

The store calls nothing of `os` but through an instance of `SystemCalls`. A test passes a subclass
as `FileStore(…, system=…)`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from checkpointkit.errors import StoreError

_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY: Final = _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)

OPEN_DIRECTORY: Final = os.O_RDONLY | _DIRECTORY
"""To list or to sync a directory."""
OPEN_ROOT: Final = OPEN_DIRECTORY & ~getattr(os, "O_NOFOLLOW", 0)
"""A store's own path may be a link; below it, none is followed."""
OPEN_PATH: Final = getattr(os, "O_PATH", os.O_RDONLY) | _DIRECTORY
"""To reach what is in a directory; on Linux cheaper than opening it."""
OPEN_TO_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_FOLLOW
"""Not blocking: what stands there may be a fifo, and an open must not wait for its writer."""
OPEN_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
OPEN_TO_WRITE: Final = os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | _NO_FOLLOW


class SystemCalls:
    """The calls, as they are; a directory is always given by its descriptor, `dir_fd`."""

    open: staticmethod[..., int] = staticmethod(os.open)
    close: staticmethod[..., None] = staticmethod(os.close)
    read: staticmethod[..., bytes] = staticmethod(os.read)
    write: staticmethod[..., int] = staticmethod(os.write)
    fstat: staticmethod[..., os.stat_result] = staticmethod(os.fstat)
    stat: staticmethod[..., os.stat_result] = staticmethod(os.stat)
    mkdir: staticmethod[..., None] = staticmethod(os.mkdir)
    chmod: staticmethod[..., None] = staticmethod(os.chmod)
    rename: staticmethod[..., None] = staticmethod(os.rename)
    unlink: staticmethod[..., None] = staticmethod(os.unlink)
    rmdir: staticmethod[..., None] = staticmethod(os.rmdir)
    fsync: staticmethod[..., None] = staticmethod(os.fsync)
    urandom: staticmethod[..., bytes] = staticmethod(os.urandom)
    monotonic: staticmethod[..., float] = staticmethod(time.monotonic)
    sleep: staticmethod[..., None] = staticmethod(time.sleep)

    if sys.platform != "win32":
        fchmod: staticmethod[..., None] = staticmethod(os.fchmod)
        link: staticmethod[..., None] = staticmethod(os.link)
        pread: staticmethod[..., bytes] = staticmethod(os.pread)
        pwrite: staticmethod[..., int] = staticmethod(os.pwrite)
        ftruncate: staticmethod[..., None] = staticmethod(os.ftruncate)
        fstatvfs: staticmethod[..., os.statvfs_result] = staticmethod(os.fstatvfs)

    if sys.platform == "linux":

        @staticmethod
        def start_writing(fd: int) -> None:
            """Start writing a file's bytes to the disk, and do not wait for it.

            It promises nothing; only a sync does. But when a batch has started all its files, one
            commit of the journal serves all their syncs, where each would else need its own. On
            Linux this advice does that, at once and for dirty pages, too.
            """
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    else:

        @staticmethod
        def start_writing(fd: int) -> None:
            """Do nothing: elsewhere the advice starts nothing."""

    @staticmethod
    def open_files_limit() -> int:
        """Return how many descriptors this process may have open; -1 for no limit."""
        return os.sysconf("SC_OPEN_MAX")

    @staticmethod
    def listdir(directory: int) -> list[str]:
        """Return the names in an open directory."""
        return os.listdir(directory)

    if sys.platform == "darwin":

        @staticmethod
        def fsync(fd: int) -> None:
            """Sync to the medium: on macOS the plain call stops at the cache of the drive."""
            import fcntl  # noqa: PLC0415 - missing on Windows

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

    @staticmethod
    def try_lock(fd: int) -> bool:
        """Take the exclusive lock of an open file without waiting; False where it is taken.

        `filelock` is imported here, at the first lock, since readers never need it. Of its
        interfaces this is the one for descriptors: no path is resolved again, the file is ours
        to open (no link followed) and to keep, and it costs a tenth of a `FileLock`.
        """
        import filelock  # noqa: PLC0415 - at the first lock, see above

        return filelock.lock_descriptor(fd, blocking=False)

    @staticmethod
    def unlock(fd: int) -> None:
        """Give the lock back, for every copy of the descriptor, in forked children, too."""
        import filelock  # noqa: PLC0415 - at the first lock, see try_lock

        filelock.unlock_descriptor(fd)


def require_posix() -> None:
    """Check that this platform has what the file store is built on.

    Raises:
        StoreError: It has not (Windows).
    """
    if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
        reason = (
            f"it needs a POSIX system (directory descriptors, hard links, flock), and "
            f"{sys.platform} is none; use MemoryStore, or a store of another kind"
        )
        raise StoreError(None, "open FileStore", reason)
