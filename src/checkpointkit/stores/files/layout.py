"""Names and small files of the layout, version 1. Pure.

```
<root>/<key>/current         the newest generation; a hard link to its numbered file
<root>/<key>/<generation>    the newest and some older generations
<root>/<key>/<generation>.pin  an empty file: this generation is kept until it is unpinned
<root>/.format               the layout version
<root>/.lock/<stripe>        a lock, and in the same file the stripe's high-water
<root>/.tmp/                 states on their way in or out
<root>/.aside/               damaged files that were set aside, the last 16
<root>/.reserve/ballast      space kept for a full disk
<root>/.scope/<name>/        a store within the store
```

A *stripe* is one of 64 sets of keys that share a lock. Its *high-water* is a generation that no
key of the stripe will be given again: `remove` raises it to the generation that it removes.
"""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

CURRENT: Final = "current"
FORMAT: Final = ".format"
LOCKS: Final = ".lock"
TEMPORARY: Final = ".tmp"
ASIDE: Final = ".aside"
RESERVE: Final = ".reserve"
BALLAST: Final = "ballast"
SCOPES: Final = ".scope"

FORMAT_TEXT: Final = b"checkpointkit files 1\n"
STRIPES: Final = 64
EVIDENCE_KEPT: Final = 16

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600

SLOT_OFFSETS: Final = (0, 512)
"""One slot in each of two sectors: a write that is torn hurts one of them."""
HIGH_WATER_SIZE: Final = 1024

MAX_GENERATION: Final = 10**18 - 1
"""Past it, numbers would not fit the header any more."""
_generation = re.compile(r"[1-9][0-9]{0,17}").fullmatch
_pin = re.compile(r"([1-9][0-9]{0,17})\.pin").fullmatch
_temporary = re.compile(r"([0-9]{2})\..+", re.ASCII | re.DOTALL).fullmatch
_evidence = re.compile(r"([0-9]{8})-[0-9]{2}").fullmatch
_DIGITS: Final = 19
_SLOT_SIZE: Final = _DIGITS + 10


def stripe_of(key: str) -> int:
    """Return the stripe of a key; the same in every process and release.

    Example:
        >>> stripe_of("node-a")
        43
    """
    return crc32(key.encode()) % STRIPES


def stripe_name(stripe: int) -> str:
    """Return the name of a stripe's file, and the start of the names of its temps."""
    return f"{stripe:02d}"


def temporary_name(stripe: int, index: int = 0) -> str:
    """Return a name under `.tmp`: it begins with the stripe whose lock makes it ours."""
    return f"{stripe_name(stripe)}.{index}"


def owner_of(temporary: str) -> int | None:
    """Return the stripe that a name under `.tmp` belongs to; None for a name that is not ours.

    Example:
        >>> owner_of("07.0"), owner_of("07.gone"), owner_of("99.0"), owner_of("format")
        (7, 7, None, None)
    """
    match = _temporary(temporary)
    return int(match[1]) if match and int(match[1]) < STRIPES else None


def generation_of(name: str) -> int | None:
    """Return the generation that a file name stands for; None where it is no such name.

    Example:
        >>> generation_of("12"), generation_of("012"), generation_of("current")
        (12, None, None)
    """
    return int(name) if _generation(name) else None


def pin_name(generation: int) -> str:
    """Return the name of the file that pins a generation."""
    return f"{generation:d}.pin"


def pinned_by(name: str) -> int | None:
    """Return the generation that a file of this name pins; None where it is no such name.

    Example:
        >>> pinned_by("12.pin"), pinned_by("12"), pinned_by("012.pin")
        (12, None, None)
    """
    match = _pin(name)
    return int(match[1]) if match else None


def evidence_number(name: str) -> int | None:
    """Return the running number in the name of a file that was set aside; None for others."""
    match = _evidence(name)
    return int(match[1]) if match else None


def evidence_name(number: int, stripe: int) -> str:
    """Return the name under `.aside`; the stripe, whose lock is held, keeps two from colliding."""
    return f"{number:08d}-{stripe_name(stripe)}"


def encode_slot(stripe: int, high_water: int) -> bytes:
    r"""Return the bytes of one slot; the checksum covers the stripe, so files cannot be swapped.

    Example:
        >>> encode_slot(3, 7)
        b'0000000000000000007 d650f8e5\n'
    """
    return _slot(stripe, b"%0*d" % (_DIGITS, high_water))


def decode_high_water(stripe: int, data: bytes) -> tuple[int, int] | None:
    """Return a stripe's high-water and the offset of the slot to write first.

    Both slots hold the same number, but for the moment between the two writes.

    Args:
        stripe: Whose file it is.
        data: The file, `HIGH_WATER_SIZE` bytes of it.

    Returns:
        None where no slot verifies: the high-water is lost, and must not be guessed.

    Example:
        >>> one, two = encode_slot(3, 7), encode_slot(3, 9)
        >>> decode_high_water(3, one.ljust(512, b" ") + two)
        (9, 0)
    """
    found = []
    for offset in SLOT_OFFSETS:
        digits = data[offset : offset + _DIGITS]
        if data[offset : offset + _SLOT_SIZE] == _slot(stripe, digits):
            found.append((int(digits), offset))
    if not found:
        return None
    high_water, offset = max(found)
    return high_water, other_slot(offset)


def other_slot(offset: int) -> int:
    """Return the offset of the other slot."""
    return sum(SLOT_OFFSETS) - offset


def new_high_water(stripe: int) -> bytes:
    """Return the file of a stripe whose high-water is 0."""
    slots = bytearray(b" " * HIGH_WATER_SIZE)
    for offset in SLOT_OFFSETS:
        slots[offset : offset + _SLOT_SIZE] = encode_slot(stripe, 0)
    return bytes(slots)


def _slot(stripe: int, digits: bytes) -> bytes:
    return b"%b %08x\n" % (digits, crc32(digits, stripe))
