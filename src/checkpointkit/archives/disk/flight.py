"""Whether somebody else has an archive open: a lease of the kernel tells (fcntl(2), F_SETLEASE).

A read lease is granted if nobody has the file open for writing, a write lease if nobody else has
it open at all. Whoever opens the file meanwhile waits until the lease is given back, at once; only
an open that may not wait (O_NONBLOCK) fails with EWOULDBLOCK. The holder is sent a signal then,
SIGIO by default, which would end the process: SIGURG is asked for, which is ignored by default.

It takes the file's owner or CAP_LEASE, and a file system that has leases: ext4, XFS, Btrfs and
tmpfs do. Elsewhere nothing is known, and an archive is left alone for a time. NFS version 4
refuses leases without a delegation as if somebody wrote: archives there are taken to be in
flight, which errs to the safe side.
"""

from __future__ import annotations

import errno
import fcntl
import signal
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from checkpointkit.archives.disk.directory import ArchiveCalls

__all__ = ["Use", "hold", "in_use", "still_held", "written"]

_HELD: Final = frozenset({errno.EAGAIN, errno.EBUSY})
_NO_LEASES: Final = frozenset(
    {
        errno.EACCES,
        errno.EINVAL,
        errno.ENOLCK,
        errno.ENOSYS,
        errno.ENOTTY,
        errno.EOPNOTSUPP,
        errno.EPERM,
    }
)


class Use(Enum):
    """What the kernel says of who has a file open."""

    FREE = "free"
    """Nobody."""
    TAKEN = "taken"
    """Somebody has it open."""
    UNKNOWN = "unknown"
    """It cannot tell: no leases here, or not for this user."""


def written(fd: int, system: ArchiveCalls) -> Use:
    """Tell whether anybody has a file open for writing.

    Args:
        fd: The file, open for reading alone.
        system: The system calls.

    Returns:
        What is known of it.

    Raises:
        OSError: The file cannot be used.
    """
    return _taken(fd, fcntl.F_RDLCK, system)


def in_use(fd: int, system: ArchiveCalls) -> Use:
    """Tell whether anybody else has a file open, be it for reading.

    Args:
        fd: The file, open for reading alone, and the only descriptor of this process for it.
        system: The system calls.

    Returns:
        What is known of it.

    Raises:
        OSError: The file cannot be used.
    """
    return _taken(fd, fcntl.F_WRLCK, system)


def hold(fd: int, system: ArchiveCalls) -> Use:
    """Do as `in_use`, and keep the lease, until the file is closed.

    Args:
        fd: As for `in_use`.
        system: The system calls.

    Returns:
        What is known of it; FREE if the lease is held.

    Raises:
        OSError: The file cannot be used.
    """
    return _take(fd, fcntl.F_WRLCK, system)


def still_held(fd: int, system: ArchiveCalls) -> bool:
    """Tell whether a lease that `hold` has taken is whole: nobody has asked for the file since.

    Args:
        fd: The file.
        system: The system calls.

    Returns:
        Whether it is.

    Raises:
        OSError: The file cannot be used.
    """
    return system.lease(fd) == fcntl.F_WRLCK


def _taken(fd: int, kind: int, system: ArchiveCalls) -> Use:
    use = _take(fd, kind, system)
    if use is Use.FREE:
        system.set_lease(fd, fcntl.F_UNLCK)
    return use


def _take(fd: int, kind: int, system: ArchiveCalls) -> Use:
    try:
        # Ahead of the lease: from then on the signal may come.
        system.set_lease_signal(fd, signal.SIGURG)
        system.set_lease(fd, kind)
    except AttributeError:  # not on Linux
        return Use.UNKNOWN
    except OSError as error:
        if error.errno in _HELD:
            return Use.TAKEN
        if error.errno in _NO_LEASES:
            return Use.UNKNOWN
        raise
    return Use.FREE
