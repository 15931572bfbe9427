"""One header of a tar: 512 bytes; pure.

POSIX `pax` (IEEE Std 1003.1) has its fields; GNU's are in the manual of tar ("Basic Tar Format").
Where readers disagree on what a header means, it has no meaning here: what another one finds in
the archive would not be what was found.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import adler32

from checkpointkit.archives.tarscan.limits import BrokenError

__all__ = ["BLOCK", "ZEROS", "parse_header", "parse_number"]

BLOCK: Final = 512
ZEROS: Final = bytes(BLOCK)

_FIELDS: Final = Struct("100s 24x 12s 12x 8s c 100x 8s 80x 155s 12x")
_POSIX: Final = b"ustar\x00"
_ASCII: Final = bytes(range(128))
_SPACES: Final = 8 * 32
_LARGE: Final = 0x80
_NEGATIVE: Final = 0x40


def parse_header(block: bytes) -> tuple[bytes, int, bytes]:
    """Read a header.

    Args:
        block: Its 512 bytes.

    Returns:
        The name, the size and the type of the member, as the header has them.

    Raises:
        BrokenError: It is none.

    Example:
        >>> from tarfile import TarInfo
        >>> parse_header(TarInfo("spec.dump").tobuf())
        (b'spec.dump', 0, b'0')
    """
    name, size, check, kind, magic, prefix = _FIELDS.unpack(block)
    # Adler-32 has the sum of the bytes, modulo 65521, in its lower half; of 512 ASCII characters
    # it is always less. It is ten times as fast as `sum`.
    total = (adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
    total += _SPACES - sum(check)  # the sum is made with spaces in its own place
    if check != b"%06o\x00 " % total and not _is_sum(check, total, block):
        raise BrokenError("it has a header whose checksum is wrong")
    name = name.partition(b"\x00")[0]
    if prefix[0] and magic.startswith(_POSIX):
        name = prefix.partition(b"\x00")[0] + b"/" + name
    return name, parse_number(size), kind


def _is_sum(check: bytes, total: int, block: bytes) -> bool:
    """Tell it of a checksum that is not written as POSIX has it."""
    try:
        wanted = parse_number(check)
    except BrokenError:
        return False
    # Some old writers add the bytes up as signed.
    return wanted in {total, total - 256 * len(block.translate(None, _ASCII))}


def parse_number(field: bytes) -> int:
    r"""Read a number: octal digits, or GNU's base 256 where the first bit is set.

    Args:
        field: The field.

    Returns:
        The number; 0 for an empty field.

    Raises:
        BrokenError: It is none, or a negative one.

    Example:
        >>> parse_number(b"00000001750\x00"), parse_number(b"\x80" + bytes(9) + b"\x03\xe8")
        (1000, 1000)
    """
    digits = field.strip(b" \x00")
    if digits.isdigit():
        try:
            return int(digits, 8)
        except ValueError:
            raise BrokenError("it has a number that is not octal") from None
    if field[0] & _LARGE:
        if field[0] & _NEGATIVE:
            raise BrokenError("it has a negative number")
        return int.from_bytes(field, "big") - (_LARGE << 8 * (len(field) - 1))
    digits = digits.partition(b"\x00")[0].rstrip(b" ")
    if not digits:
        return 0
    if not digits.isdigit():
        raise BrokenError("it has a number that is not octal")
    return parse_number(digits)
