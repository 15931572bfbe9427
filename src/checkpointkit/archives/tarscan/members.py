"""From header to header, to the end of the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from checkpointkit.archives.tarscan.blocks import BLOCK, ZEROS, parse_header
from checkpointkit.archives.tarscan.extended import Extended, is_replacing, parse_records
from checkpointkit.archives.tarscan.limits import MIB, BrokenError, Budget

if TYPE_CHECKING:
    from checkpointkit.archives.tarscan.limits import ReadLimits

__all__ = ["CONFIG", "SPEC", "Found", "Source", "walk"]

SPEC: Final = b"spec.dump"
CONFIG: Final = b"config.dump"

_WANTED: Final = frozenset({SPEC, CONFIG})
_LAST: Final = BLOCK - 1
_FILES: Final = frozenset({b"0", b"\x00"})
_EMPTY: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
"""Links, devices, directories, fifos: they have no contents."""
_EXTENDED: Final = frozenset({b"x", b"L", b"K", b"g"})
_GLOBAL: Final = b"g"
_GNU_SPARSE: Final = b"S"
_IS_EXTENDED: Final = 482
"""Where the header of a GNU sparse member says that a block of its map follows."""
_MORE_EXTENDED: Final = 504
"""Where such a block says it of the next."""
_LONGEST: Final = MIB
"""No longer an extended header is read by Go's archive/tar, with which the runtimes restore."""


class Source(Protocol):
    """The bytes of a tar, from the first to the last; they are asked for in their order."""

    def at(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there.

        Raises:
            BrokenError: There are fewer.
            UndecidedError: It would take more than is looked at.
            OSError: They cannot be read.
        """
        ...

    def finish(self, offset: int) -> None:
        """See to it that nothing but zeros follows.

        Raises:
            BrokenError: Something else does.
            UndecidedError: It would take more than is looked at.
            OSError: It cannot be read.
        """
        ...


class Found:
    """What was found on the way.

    Attributes:
        spec: The contents of `spec.dump`, if it is there.
        config: The contents of `config.dump`, if it is there.
        doubt: Why neither can be believed; empty if they can.
    """

    __slots__ = ("config", "doubt", "spec")

    def __init__(self) -> None:
        self.spec: bytes | None = None
        self.config: bytes | None = None
        self.doubt: str = ""


def walk(source: Source, limits: ReadLimits, found: Found) -> None:
    """Go from header to header.

    Args:
        source: The bytes.
        limits: How much of them is looked at.
        found: Is filled; what was found before an error stays.

    Raises:
        BrokenError: It is no archive, or no whole one.
        UndecidedError: A limit came before its end.
        OSError: It cannot be read.
    """
    _Walk(source, limits, found).run()


class _Walk:
    __slots__ = ("_budget", "_document", "_extended", "_found", "_source")

    def __init__(self, source: Source, limits: ReadLimits, found: Found) -> None:
        self._source = source
        self._document = limits.document
        self._budget = Budget(limits.headers, f"it has more than {limits.headers} headers")
        self._found = found
        self._extended: Extended | None = None

    def run(self) -> None:
        at, spend = self._source.at, self._budget.spend
        offset = 0
        while (block := at(offset, BLOCK)) != ZEROS:
            spend(1)
            name, size, kind = parse_header(block)
            start = offset + BLOCK
            if kind in _EXTENDED:
                self._add(kind, start, size)
            else:
                plain = kind in _FILES
                if self._extended is not None:
                    name, size, sparse = self._extended.apply(name, size)
                    plain = plain and not sparse
                    self._extended = None
                if size and kind in _EMPTY:
                    raise BrokenError("it has a link, a directory or a device with contents")
                if kind == _GNU_SPARSE:
                    start = self._after_map(block, start)
                if b".dump" in name:
                    self._take(name, start, size, plain=plain)
            offset = start + (size + _LAST) // BLOCK * BLOCK
        if offset == 0:
            raise BrokenError("it has no members")
        if self._extended is not None:
            raise BrokenError("it has an extended header without a member")
        if at(offset + BLOCK, BLOCK) != ZEROS:
            raise BrokenError("it goes on after a block of zeros")
        self._source.finish(offset + 2 * BLOCK)

    def _add(self, kind: bytes, start: int, size: int) -> None:
        if size > _LONGEST:
            raise BrokenError("it has an extended header longer than a mebibyte")
        self._budget.spend(size // BLOCK)
        body = self._source.at(start, size)
        if kind == _GLOBAL:
            if is_replacing(parse_records(body, self._budget)):
                raise BrokenError("it has a name or a size for all its members")
            return
        self._extended = self._extended or Extended()
        self._extended.add(kind, body, self._budget)

    def _after_map(self, block: bytes, start: int) -> int:
        more = block[_IS_EXTENDED]
        while more:
            self._budget.spend(1)
            more = self._source.at(start, BLOCK)[_MORE_EXTENDED]
            start += BLOCK
        return start

    def _take(self, name: bytes, start: int, size: int, *, plain: bool) -> None:
        wanted, direct = name, True
        if name not in _WANTED:
            wanted = _cleaned(name)
            if wanted not in _WANTED:
                return
            direct = _is_direct(name, wanted)
        text, found = wanted.decode(), self._found
        if not (plain and direct):
            found.doubt = f"{text} is no plain file, or has a name that leads there"
        elif (found.spec if wanted == SPEC else found.config) is not None:
            found.doubt = f"{text} is there twice"
        elif size > self._document:
            found.doubt = f"{text} has more than {self._document} bytes"
        elif wanted == SPEC:
            found.spec = self._source.at(start, size)
        else:
            found.config = self._source.at(start, size)


def _is_direct(name: bytes, wanted: bytes) -> bool:
    while name.startswith(b"./"):
        name = name[2:]
    return name == wanted


def _cleaned(name: bytes) -> bytes:
    """Return where a name would lead whoever follows it; above the top is the top."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/".join(parts)
