"""The sha256 of an archive, if it stays the same from the first byte to the last."""

from __future__ import annotations

import stat
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.stores.files.system import OPEN_TO_READ, SystemCalls

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from checkpointkit.archives.model import Archive

__all__ = ["Digested", "digest_of"]

_AT_A_TIME: Final = 2**20


@frozen
class Digested:
    """What came of reading a file.

    Attributes:
        sha256: The digest of its bytes, lower-case hex; empty where there is none.
        problem: Why there is none.
        absent: There is no such file.
    """

    sha256: str = ""
    problem: str = ""
    absent: bool = False


def digest_of(
    directory: int,
    name: str,
    expected: Archive | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    system: SystemCalls | None = None,
) -> Digested:
    """Read a file of a directory, a mebibyte at a time; follows no link.

    Args:
        directory: The descriptor of the directory.
        name: The file's name.
        expected: What it has to be still; None where it may be any file.
        progress: Called with how many bytes were read since the last call.
        system: The system calls; for tests.

    Returns:
        Its digest; none where it cannot be read, or changed meanwhile.
    """
    system = system or SystemCalls()
    try:
        fd = system.open(name, OPEN_TO_READ, dir_fd=directory)
    except FileNotFoundError:
        return Digested(problem="it is not there", absent=True)
    except OSError as error:
        return _unreadable(error)
    try:
        return _digest(fd, expected, progress, system)
    except OSError as error:
        return _unreadable(error)
    finally:
        system.close(fd)


def _unreadable(error: OSError) -> Digested:
    return Digested(problem=f"it cannot be read: {error.strerror}")


def _digest(
    fd: int,
    expected: Archive | None,
    progress: Callable[[int], None] | None,
    system: SystemCalls,
) -> Digested:
    before = system.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        return Digested(problem="it is no file")
    known = _key(before) if expected is None else _key_of(expected)
    found, left = sha256(), before.st_size
    if known == _key(before):
        # One byte more than there should be: whoever adds to it for ever must not keep us.
        while data := system.read(fd, min(_AT_A_TIME, left + 1)):
            found.update(data)
            left -= len(data)
            if progress:
                progress(len(data))
    if known != _key(system.fstat(fd)):
        return Digested(problem="it is no more what it was")
    return Digested(found.hexdigest())


def _key(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _key_of(archive: Archive) -> tuple[int, ...]:
    return (archive.device, archive.inode, archive.size, archive.mtime_ns, archive.ctime_ns)
