"""A tar as it is: what lies between two headers is not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.archives.tarscan.files import expect_zero
from checkpointkit.archives.tarscan.limits import BrokenError

if TYPE_CHECKING:
    from checkpointkit.archives.tarscan.files import File
    from checkpointkit.archives.tarscan.limits import ReadLimits

__all__ = ["FIRST", "PlainSource"]

FIRST: Final = 64 << 10
"""So much is read at first: all of a small archive, with one call."""
_LEAST: Final = 4 << 10


class PlainSource:
    """The bytes of a tar that is not compressed.

    They come through a window. It is small after a leap, for then a leap follows often, and
    doubles while members lie side by side.

    Args:
        file: The file.
        head: How it begins.
        limits: How much of it is looked at.
    """

    __slots__ = ("_data", "_file", "_length", "_limits", "_start", "_window")

    def __init__(self, file: File, head: bytes, limits: ReadLimits) -> None:
        self._file = file
        self._data = head
        self._start = 0
        self._length = len(head)
        self._window = FIRST
        self._limits = limits

    def at(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there; see `members.Source`."""
        start = offset - self._start
        end = start + length
        if end > self._length:
            self._move(offset, length)
            start, end = 0, length
        return self._data[start:end]

    def _move(self, offset: int, length: int) -> None:
        if offset + length > self._file.size:
            raise BrokenError("it is cut: its end is missing")
        leap = offset - (self._start + self._length)
        self._window = _LEAST if leap > self._window else min(self._window * 2, FIRST)
        self._data = self._file.read(offset, max(length, self._window))
        self._start = offset
        self._length = len(self._data)
        if self._length < length:
            raise BrokenError("it is cut: it was shortened while it was read")

    def finish(self, offset: int) -> None:
        """See to it that nothing but zeros follows; see `members.Source`."""
        if self._start + self._length < self._file.size:
            self._file.expect_zeros(offset, self._limits)
        else:
            expect_zero(self._data[offset - self._start :])
