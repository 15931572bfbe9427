"""A tar that is compressed: it has to be decompressed to its end, or to a limit.

Whether it is whole is known at the end alone, where the checksums of the compressor stand, too.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import frozen

from checkpointkit._extras import require
from checkpointkit.archives.tarscan.files import expect_zero
from checkpointkit.archives.tarscan.limits import BrokenError, Budget, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.archives.tarscan.files import File
    from checkpointkit.archives.tarscan.limits import ReadLimits

__all__ = ["CompressedSource", "Format", "format_of", "is_unread"]

_INPUT: Final = 64 << 10
_OUTPUT: Final = 256 << 10
_STREAM: Final = 100_000
"""What it costs to begin a stream: thousands of empty ones may follow one another."""
_MAGIC: Final = 10
"""The longest of all magics."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came after the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decompress, to at most so many bytes."""
        ...


class _Gzip:
    """zlib's decompressor with the ways of the others."""

    def __init__(self, inflate: Any) -> None:
        self._inflate = inflate
        self._tail = b""
        self._full = False

    @property
    def eof(self) -> bool:
        return bool(self._inflate.eof)

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflate.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        made: bytes = self._inflate.decompress(self._tail + data, max_length)
        self._tail = self._inflate.unconsumed_tail
        self._full = len(made) == max_length
        return made


@frozen
class Format:
    """A way to compress.

    Attributes:
        name: What it is called.
        advice: What to do where its module is missing.
        load: Imports its module.
        begin: Begins a stream, given the module and the bytes of memory that it may take.
        error: The name of the module's error; empty where it raises those of Python.
        out: What a byte that comes out costs, in nanoseconds of a slow core, or a little more.
        into: What a byte that goes in costs.
    """

    name: str
    advice: str
    load: Callable[[], Any]
    begin: Callable[[Any, int], _Decompressor]
    error: str
    out: int
    into: int


def _begin_zstd(module: Any, memory: int) -> Any:
    limit = {module.DecompressionParameter.window_log_max: memory.bit_length() - 1}
    return module.ZstdDecompressor(options=limit)


_MISSING: Final = "this Python was built without it"
_ZSTD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"

_GZIP = Format(
    "gzip",
    _MISSING,
    lambda: import_module("zlib"),
    lambda module, _memory: _Gzip(module.decompressobj(31)),
    "error",
    out=4,
    into=12,
)
_BZIP2 = Format(
    "bzip2",
    _MISSING,
    lambda: import_module("bz2"),
    lambda module, _memory: module.BZ2Decompressor(),
    "",
    out=4,
    into=130,
)
_XZ = Format(
    "xz",
    _MISSING,
    lambda: import_module("lzma"),
    lambda module, memory: module.LZMADecompressor(module.FORMAT_XZ, memory),
    "LZMAError",
    out=4,
    into=80,
)
_ZSTANDARD = Format(
    "zstd",
    "install checkpointkit[archives] to read it",
    lambda: require("archives", _ZSTD),
    _begin_zstd,
    "ZstdError",
    out=2,
    into=20,
)
_FORMATS: Final = (_GZIP, _BZIP2, _XZ, _ZSTANDARD)


def _unread(*_: object) -> Any:
    raise ImportError


_LZ4, _LZMA, _LZIP, _COMPRESS = (
    Format(
        name,
        "that is not read here; gzip, bzip2, xz and zstd are",
        _unread,
        _unread,
        "",
        out=0,
        into=0,
    )
    for name in ("lz4", "lzma", "lzip", "compress")
)


def is_unread(problem: str) -> bool:
    """Tell whether a problem is that a module was missing, which may be there by now.

    Example:
        >>> is_unread("it is compressed with zstd: install checkpointkit[archives] to read it")
        True
    """
    return problem in map(_missing, _FORMATS)


def _missing(form: Format) -> str:
    return f"it is compressed with {form.name}: {form.advice}"


def format_of(head: bytes) -> Format | None:
    r"""Tell by its beginning how something is compressed; None for anything else.

    Example:
        >>> format_of(b"\x1f\x8b\x08").name
        'gzip'
    """
    if head.startswith(b"\x1f\x8b"):
        return _GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd") or (
        head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50  # noqa: PLR2004 - skippable frames
    ):
        return _ZSTANDARD
    if head.startswith(b"\xfd7zXZ\x00"):
        return _XZ
    if head.startswith(b"BZh") and head[4:_MAGIC] in {b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"}:
        return _BZIP2  # as long as that, for a member may be called BZh
    return _unread_format_of(head)


def _unread_format_of(head: bytes) -> Format | None:
    """Tell what no module here decompresses: it may be a good archive, and is no broken one."""
    if head.startswith((b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")):
        return _LZ4
    if head.startswith(b"LZIP\x01"):
        return _LZIP
    if head.startswith(b"\x1f\x9d"):
        return _COMPRESS
    # a member may be called ], and zeros follow its name; here it is the size of a dictionary
    is_lzma = head.startswith(b"\x5d\x00\x00") and head[3:5] not in {b"", b"\x00\x00"}
    return _LZMA if is_lzma else None


class CompressedSource:
    """The bytes of a tar that is compressed.

    Args:
        file: The file.
        form: How it is compressed.
        limits: How much of it is looked at.

    Raises:
        UndecidedError: The module for it is missing.
    """

    def __init__(self, file: File, form: Format, limits: ReadLimits) -> None:
        self._file = file
        self._form = form
        self._limits = limits
        self._budget = Budget(limits.work, "it is compressed, and too large to be read to its end")
        try:
            self._module = form.load()
        except ImportError:
            raise UndecidedError(_missing(form)) from None
        self._errors: tuple[type[Exception], ...] = (OSError, ValueError, EOFError)
        if form.error:
            self._errors = (getattr(self._module, form.error),)
        self._read = 0
        self._input = b""
        self._stream = self._begin()
        self._start = 0
        self._data = b""

    def _begin(self) -> _Decompressor:
        self._budget.spend(_STREAM)
        return self._form.begin(self._module, self._limits.memory)

    def at(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there; see `members.Source`."""
        start = offset - self._start
        end = start + length
        if end > len(self._data):
            self._move(offset, length)
            start, end = 0, length
        return self._data[start:end]

    def _move(self, offset: int, length: int) -> None:
        while self._start + len(self._data) < offset:
            self._start += len(self._data)
            self._data = self._expect_more()
        parts = [self._data[offset - self._start :]]
        missing = length - len(parts[0])
        while missing > 0:
            parts.append(self._expect_more())
            missing -= len(parts[-1])
        self._start = offset
        self._data = b"".join(parts)

    def finish(self, offset: int) -> None:
        """See to it that nothing but zeros follows; see `members.Source`."""
        expect_zero(self._data[offset - self._start :])
        while more := self._more():
            expect_zero(more)
        self._file.expect_zeros(self._read - len(self._input), self._limits)

    def _expect_more(self) -> bytes:
        more = self._more()
        if not more:
            raise BrokenError("it is cut: its end is missing")
        return more

    def _more(self) -> bytes:
        """Return what comes out next; nothing at the end."""
        while True:
            if self._stream.eof and not self._next_stream():
                return b""
            data = b""
            if self._stream.needs_input:
                data = self._take()
                if not data:
                    raise BrokenError("it is cut: its compressor's end is missing")
            made = self._decompress(data)
            if self._stream.eof:
                self._input = self._stream.unused_data + self._input
            if made:
                return made

    def _take(self) -> bytes:
        if self._input:
            data, self._input = self._input, b""
            return data
        data = self._file.read(self._read, _INPUT)
        self._read += len(data)
        return data

    def _fill(self, least: int) -> None:
        """Have so many bytes of input at least, if there are as many."""
        if len(self._input) < least:
            more = self._file.read(self._read, _INPUT)
            self._read += len(more)
            self._input += more

    def _decompress(self, data: bytes) -> bytes:
        try:
            made = self._stream.decompress(data, _OUTPUT)
        except self._errors as error:
            if "emory" in str(error):
                raise UndecidedError("it takes too much memory to decompress it") from None
            raise BrokenError("what it was compressed to is damaged") from None
        used = len(data) - len(self._stream.unused_data)
        self._budget.spend(used * self._form.into + len(made) * self._form.out)
        return made

    def _next_stream(self) -> bool:
        """Begin the stream that follows, if one does."""
        if self._form is _XZ:  # zeros may be between two of them, in fours
            self._fill(_INPUT)
            rest = self._input.lstrip(b"\0")
            if rest and not (len(self._input) - len(rest)) % 4:
                self._input = rest
        self._fill(_MAGIC)
        if format_of(self._input) is not self._form:
            return False
        self._stream = self._begin()
        return True
