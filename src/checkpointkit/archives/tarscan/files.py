"""The bytes of a file, by `pread` alone."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from checkpointkit.archives.tarscan.limits import BrokenError, UndecidedError

if TYPE_CHECKING:
    from checkpointkit.archives.tarscan.limits import ReadLimits

__all__ = ["File", "expect_zero"]

_CHUNK: Final = 128 << 10
_END: Final = 64 << 10


def expect_zero(data: bytes) -> None:
    """See to it that there are but zeros in it.

    Raises:
        BrokenError: There is something else.
    """
    if data != bytes(len(data)):
        raise BrokenError("it has other bytes than zeros after its end")


def _undecided(limits: ReadLimits) -> UndecidedError:
    return UndecidedError(f"after its end there are more than {limits.tail} bytes")


class File:
    """A regular file that is open.

    Args:
        fd: Its descriptor.
        size: How long it is.

    Attributes:
        size: How long it is.
    """

    __slots__ = ("_fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size: int = size

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there, or what there is of them.

        Raises:
            OSError: They cannot be read.
        """
        data = os.pread(self._fd, length, offset)
        while len(data) < length and offset + len(data) < self.size:
            more = os.pread(self._fd, length - len(data), offset + len(data))
            if not more:
                break  # it has been cut since
            data += more
        return data

    def expect_zeros(self, offset: int, limits: ReadLimits) -> None:
        """See to it that the rest of the file is zero.

        Holes are passed over. Of more bytes than are looked at, the first and the last are: what
        an older and longer archive of the same name has left ends like an archive does.

        Args:
            offset: Where the rest begins.
            limits: How much of it is looked at.

        Raises:
            BrokenError: It is not.
            UndecidedError: There is more than is looked at.
            OSError: It cannot be read.
        """
        left = limits.tail - _END
        while offset < self.size:
            start, end = self._extent(offset)
            while start < end:
                if left <= 0:
                    last = max(start, self.size - _END)
                    expect_zero(self.read(last, _END))
                    if last > start:
                        raise _undecided(limits)
                    return
                length = min(end - start, _CHUNK, left)
                expect_zero(self.read(start, length))
                start += length
                left -= length
            offset = end

    def _extent(self, offset: int) -> tuple[int, int]:
        """Return where the next bytes begin that are no hole, and where they end."""
        try:
            start = os.lseek(self._fd, offset, os.SEEK_DATA)
            end = os.lseek(self._fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self.size, self.size  # a hole to the end
            if error.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
                return offset, self.size  # a file system that knows no holes
            raise
        return start, max(end, start + 1)  # it ends, whatever a file system says
