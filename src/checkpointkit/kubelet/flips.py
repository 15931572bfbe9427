"""The one bit that is wrong: which bit of a file, turned over, makes its checksum right. Pure.

To try each bit of a file would mean to hash it as often. FNV-1a can be run backwards: from the
checksum in the file, the state that it must have had before each byte is known; so for a byte of
the hashed text there is one value that leads from the state before it to the state after it, and
either it is one bit away or that byte is not the one. Only tokens that do not stand in the hashed
text as they stand in the file are tried bit by bit; and where the file is no JSON, only bits that
change how it is read. What is found is always verified as a whole.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import evolve, frozen

from checkpointkit.kubelet.cpusets import CpuSetError, format_cpus, parse_cpus
from checkpointkit.kubelet.gobase64 import Base64Error, decode_base64
from checkpointkit.kubelet.godecode import GoTypeError, decode, field_named
from checkpointkit.kubelet.godump import dump
from checkpointkit.kubelet.gojson import GoSyntaxError, parse
from checkpointkit.kubelet.gotypes import (
    Bytes,
    CpuSet,
    GoType,
    ListOf,
    MapOf,
    Number,
    Pointer,
    Struct,
)
from checkpointkit.kubelet.places import (
    Piece,
    Span,
    misfits,
    parse_with_places,
    pieces,
    span_of,
    strangers,
)
from checkpointkit.kubelet.sums import FNV_BASIS, FNV_PRIME
from checkpointkit.kubelet.verdicts import Reading, Verdict, read, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from checkpointkit.kubelet.formats import Format

__all__ = ["LARGEST", "Flip", "find_flips"]

LARGEST: Final = 1 << 20
"""Larger files are not searched: it would take more than a few seconds."""

_MASK: Final = 0xFFFFFFFF
_BACK: Final = pow(FNV_PRIME, -1, 1 << 32)
_BITS: Final = tuple(1 << bit for bit in range(8))


@frozen
class Flip:
    """One bit of a file, and what the file is once it is turned over.

    Attributes:
        offset: Which byte, from 0.
        bit: Which bit of it, from 0 for the lowest.
        reading: How the repaired file is read.
        in_checksum: Whether it is a digit of the checksum, and all the rest is as it was hashed.
        written: Whether the repaired file is, byte for byte, what the kubelet would write.
    """

    offset: int
    bit: int
    reading: Reading
    in_checksum: bool
    written: bool


def turned(data: bytes, offset: int, bit: int) -> bytes:
    """Return bytes with one bit turned over."""
    return data[:offset] + bytes((data[offset] ^ 1 << bit,)) + data[offset + 1 :]


def find_flips(kinds: Iterable[Format], data: bytes) -> tuple[Flip, ...]:
    """Return the bits that make a file right, one after the other.

    Args:
        kinds: The formats that it may be of.
        data: The whole file; with more than `LARGEST` bytes nothing is searched.
    """
    kinds = tuple(kinds)
    if len(data) > LARGEST:
        return ()
    try:
        parse(data)
        document = parse_with_places(data)
    except GoSyntaxError as error:
        found = _in_no_json(kinds, data, error.offset)
    else:
        found = (
            (kind, offset, bit) for kind in kinds for offset, bit in _in_json(kind, data, document)
        )
    flips: dict[tuple[str, int, int], Flip] = {}
    for kind, offset, bit in found:
        name = kind.name, offset, bit
        if name not in flips:
            flip = _proven(kind, data, offset, bit)
            if flip is not None:
                flips[name] = flip
    found_flips = tuple(flips[name] for name in sorted(flips, key=lambda name: name[1:]))
    # Where a bit only hides a field that says nothing, another one makes it right: the kubelet
    # has written none of those files.
    written = tuple(flip for flip in found_flips if flip.written)
    return written or found_flips


def _proven(kind: Format, data: bytes, offset: int, bit: int) -> Flip | None:
    changed = turned(data, offset, bit)
    if not _is_json(changed):
        return None
    reading = read(kind, changed)
    if reading.verdict is not Verdict.OK or not reading.stored:
        return None
    in_checksum = _is_in_checksum(kind, data, offset, bit)
    written = render(kind, reading.document or {}) == changed
    return Flip(offset, bit, reading, in_checksum, written)


def _is_in_checksum(kind: Format, data: bytes, offset: int, bit: int) -> bool:
    """Tell whether a bit is one of the checksum's digits, damaged or not."""
    document = parse_with_places(turned(data, offset, bit))
    checksum = len(kind.struct.fields) - 1
    spans = (
        _place(node)
        for key, node in (document if isinstance(document, tuple) else ())
        if field_named(kind.struct, key) == checksum
    )
    return any(first <= offset < last for first, last in spans)


def _place(node: Any) -> Span:
    return span_of(node) or (0, 0)


def _each_bit(offsets: Iterable[int]) -> Iterator[tuple[int, int]]:
    for offset in offsets:
        for bit in range(8):
            yield offset, bit


def _in_json(kind: Format, data: bytes, document: Any) -> Iterator[tuple[int, int]]:
    known = frozenset(_names(kind.struct))
    for key in strangers(kind.struct, document):
        span = _place(key)
        for offset, bit in _each_bit(range(*span)):
            if _folded(turned(data, offset, bit), span) in known:
                yield offset, bit
    yield from _each_bit(_blanks(data))
    try:
        value = decode(kind.struct, document, kind.fresh())
    except GoTypeError:
        for node in misfits(kind.struct, document):
            yield from _each_bit(range(*_place(node)))
        return
    stored = value["checksum"]
    checksum = _place(stored)
    sums = {b"%d" % kind.sum(value), b"%d" % kind.sum(value, own_name=True)}
    for offset, bit in _each_bit(range(*checksum)):
        if turned(data, offset, bit)[slice(*checksum)].strip() in sums:
            yield offset, bit
    for text in _texts(kind, value):
        yield from _in_text(text, data, stored, crc=kind.method == "crc-32")


def _names(kind: GoType) -> Iterator[bytes]:
    """Yield the keys of all structs within a type, in one case."""
    match kind:
        case Struct(fields=fields):
            for field in fields:
                yield field.json.encode().lower()
                yield from _names(field.type)
        case MapOf(value=item) | ListOf(item=item) | Pointer(item=item):
            yield from _names(item)


def _folded(data: bytes, span: Span) -> bytes:
    return data[span[0] + 1 : span[1] - 1].lower()


def _texts(kind: Format, value: dict[str, Any]) -> Iterator[list[Piece]]:
    """Yield the hashed text in pieces, under each name that the kubelet takes."""
    if kind.hashed:
        field = next(each for each in kind.struct.fields if each.name == kind.hashed)
        if kind.method == "crc-32":
            yield [(value[kind.hashed], span_of(value[kind.hashed]), field.type)]
        else:
            yield pieces(field.type, value[kind.hashed])
        return
    names = {kind.hashed_as or kind.struct.go}
    if kind.own_name_too:
        names.add(kind.struct.go)
    for name in sorted(names):
        struct = evolve(kind.struct, go=name)
        yield pieces(Pointer(struct), {**value, "checksum": 0})


_INT: Final = re.compile(rb"-?[0-9]{1,20}")
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")
_NOT_ASCII: Final = 0x80
_ATOM: Final = re.compile(rb"\\u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})?|\\.|[\x80-\xff]+|.", re.DOTALL)


_NOTHING: Final = b"\xff"
"""What no text says."""
_Ways: TypeAlias = tuple[int, tuple[tuple[int, int, bytes | None], ...]]


def _in_text(
    parts: list[Piece], data: bytes, target: int, *, crc: bool
) -> Iterator[tuple[int, int]]:
    texts = [part.encode() for part, _, _ in parts]
    text = b"".join(texts)
    sums = _Crc(text, target) if crc else _Fnv(text, target)
    start = 0
    seen: dict[bytes, _Ways] = {}
    for (_, span, kind), piece in zip(parts, texts, strict=True):
        if span is None:
            pass
        elif isinstance(kind, Bytes | CpuSet):
            yield from _in_other_text(data, span, kind, (start, start + len(piece)), sums)
        else:
            yield from _in_token(data, span, start, sums, seen)
            if isinstance(kind, Number) and data[span[0]] == ord('"'):
                yield from _in_number_key(data, span)
        start += len(piece)


def _in_number_key(data: bytes, span: Span) -> Iterator[tuple[int, int]]:
    """Yield the bits of a key that make another number of it, which may stand elsewhere."""
    for offset, bit in _each_bit(range(span[0] + 1, span[1] - 1)):
        if _INT.fullmatch(turned(data, offset, bit), span[0] + 1, span[1] - 1):
            yield offset, bit


def _in_other_text(
    data: bytes, span: Span, kind: Bytes | CpuSet, place: tuple[int, int], sums: _Fnv | _Crc
) -> Iterator[tuple[int, int]]:
    """Yield the bits of a token that is hashed in other words than it is written in."""
    for offset, bit in _each_bit(range(span[0] + 1, span[1] - 1)):
        text = turned(data, offset, bit)[span[0] + 1 : span[1] - 1].decode("latin-1")
        try:
            if isinstance(kind, CpuSet):
                if format_cpus(parse_cpus(text)) != text:
                    continue
            else:
                decode_base64(text)
        except (CpuSetError, Base64Error):
            continue
        said = dump(kind, text).removeprefix(f"({kind.go})").encode()
        if sums.leads(place[0], said, place[1]):
            yield offset, bit


def _in_token(
    data: bytes, span: Span, start: int, sums: _Fnv | _Crc, seen: dict[bytes, _Ways]
) -> Iterator[tuple[int, int]]:
    first, last = span
    if data[first] == ord('"'):
        first, last = first + 1, last - 1
    for match in _ATOM.finditer(data, first, last):
        atom, at = match.group(), match.start()
        if len(atom) == 1 and atom[0] < _NOT_ASCII:
            bit = sums.bit_at(start, atom[0])
            if bit >= 0:
                yield at, bit
            start += 1
            yield from _as_neighbour(data, at, first, last)
        else:
            if atom not in seen:
                seen[atom] = _ways(atom)
            end = start + seen[atom][0]
            for offset, bit, said in seen[atom][1]:
                if said is None or sums.leads(start, said, end):
                    yield at + offset, bit
            start = end


def _ways(atom: bytes) -> _Ways:
    """Return how many bytes an atom says, and what it says with each bit turned over."""
    ways = (
        (offset, bit, _said(turned(atom, offset, bit)))
        for offset, bit in _each_bit(range(len(atom)))
    )
    possible = tuple(way for way in ways if way[2] != _NOTHING)
    return len(_said(atom) or b""), possible


def _as_neighbour(data: bytes, at: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the bits of a plain byte that make it part of what stands beside it."""
    byte = data[at]
    lost = byte ^ ord("\\")
    if lost in _BITS and at + 1 < last and data[at + 1] in b'"\\/bfnrtu':
        yield at, lost.bit_length() - 1
    beside = (at > first and data[at - 1] >= _NOT_ASCII) or (
        at + 1 < last and data[at + 1] >= _NOT_ASCII
    )
    if beside:
        yield at, 7


def _said(atom: bytes) -> bytes | None:
    """Return what an atom of a string says; None where it cannot be told by itself."""
    if b"\\" not in atom and b'"' not in atom and min(atom) >= ord(" "):
        text = atom.decode("utf-8", "surrogateescape")
        return _ESCAPED_BYTE.sub("\ufffd", text).encode()
    try:
        said = parse(b'"' + atom + b'"')
    except GoSyntaxError:
        return None if b"\\" in atom[-1:] else _NOTHING
    return str(said).encode()


class _Fnv:
    """The states of FNV-1a before each byte of a text: as they are, and as they must be."""

    def __init__(self, text: bytes, target: int) -> None:
        state = FNV_BASIS
        states = [state]
        for byte in text:
            state = (state ^ byte) * FNV_PRIME & _MASK
            states.append(state)
        self._states = states
        needed = [target & _MASK] * (len(text) + 1)
        state = target & _MASK
        for at in range(len(text) - 1, -1, -1):
            state = state * _BACK & _MASK ^ text[at]
            needed[at] = state
        self._needed = needed
        self._possible = target <= _MASK

    def bit_at(self, at: int, byte: int) -> int:
        """Return which bit of a byte leads to the target; -1 where none does."""
        wrong = (self._needed[at + 1] * _BACK & _MASK) ^ self._states[at] ^ byte
        return wrong.bit_length() - 1 if wrong in _BITS and self._possible else -1

    def leads(self, start: int, said: bytes, end: int) -> bool:
        """Tell whether other bytes from `start` to `end` lead to the target."""
        state = self._states[start]
        for byte in said:
            state = (state ^ byte) * FNV_PRIME & _MASK
        return state == self._needed[end] and self._possible


class _Crc:
    """What each bit of a text does to its CRC-32."""

    def __init__(self, text: bytes, target: int) -> None:
        self._text = text
        self._target = target
        self._wrong = zlib.crc32(text) ^ target
        self._bits: dict[int, int] = {}
        effects = [zlib.crc32(bytes((one,))) ^ zlib.crc32(b"\0") for one in _BITS]
        for at in range(len(text) - 1, -1, -1):
            for bit, effect in enumerate(effects):
                if effect == self._wrong:
                    self._bits[at] = bit
            effects = [_after_zero(effect) for effect in effects]

    def bit_at(self, at: int, byte: int) -> int:  # noqa: ARG002 - as the other
        """Return which bit of a byte leads to the target; -1 where none does."""
        return self._bits.get(at, -1)

    def leads(self, start: int, said: bytes, end: int) -> bool:
        """Tell whether other bytes from `start` to `end` lead to the target."""
        text = self._text
        return zlib.crc32(text[end:], zlib.crc32(said, zlib.crc32(text[:start]))) == self._target


_CRC_TABLE: Final = tuple(zlib.crc32(bytes((n,))) ^ zlib.crc32(b"\0") for n in range(256))


def _after_zero(effect: int) -> int:
    return effect >> 8 ^ _CRC_TABLE[effect & 0xFF]


_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BLANK: Final = re.compile(rb"[ \t\r\n]")


def _blanks(data: bytes) -> Iterator[int]:
    """Yield the blanks between tokens; the kubelet writes none."""
    if _BLANK.search(data):
        at = 0
        for match in [*_TOKEN.finditer(data), None]:
            end = len(data) if match is None else match.start()
            yield from (found.start() for found in _BLANK.finditer(data, at, end))
            at = len(data) if match is None else match.end()


_STRUCTURE: Final = frozenset(b'{}[]:,"0123456789-+.eEtrufalsn \t\r\n')
_NEAR: Final = 16
_LOST_QUOTE: Final = re.compile(
    b"[" + re.escape(bytes(ord('"') ^ one for one in _BITS)) + rb"](?=[:,}\] \t\r\n])"
)
_NEAR_QUOTE: Final = 8
_TOKENS: Final = 4


def _in_no_json(
    kinds: tuple[Format, ...], data: bytes, wrong: int
) -> Iterator[tuple[Format, int, int]]:
    """Yield the bits that make JSON of a file: none behind the first character that is wrong."""
    for offset, bit in _of_structure(data, wrong):
        if _is_json(turned(data, offset, bit)):
            for kind in kinds:
                yield kind, offset, bit


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _of_structure(data: bytes, wrong: int) -> Iterator[tuple[int, int]]:
    """Yield the bits up to a place that can change what is read there.

    A quote that is lost or gained, also by a backslash before it, turns the inside of texts out;
    so the first wrong character comes soon after: behind the quote itself, or behind the next one.
    What is not near a quote of the last few texts, nor near that character, cannot be it.
    """
    last = min(wrong, len(data) - 1)
    inside = bytearray(len(data))
    near = set(range(max(0, last - _NEAR), last + 1))
    spans = [match.span() for match in _TOKEN.finditer(data, 0, last + 1)]
    for start, end in spans:
        inside[start + 1 : end] = b"\1" * (end - start - 1)
    begin = spans[-_TOKENS:][0][0] if spans else 0
    near.update(offset for offset in range(begin, last + 1) if not inside[offset])
    for start, end in spans[-_TOKENS:]:
        near.update(range(start, min(end, start + _NEAR_QUOTE)))
        near.update(range(max(start, end - _NEAR_QUOTE), end))
        near.update(match.start() for match in _LOST_QUOTE.finditer(data, start, end))
    for offset in sorted(near):
        byte = data[offset]
        for bit, one in enumerate(_BITS):
            new = byte ^ one
            if offset >= last - 1 or _can_matter(data, offset, new, inside=bool(inside[offset])):
                yield offset, bit


def _can_matter(data: bytes, offset: int, new: int, *, inside: bool) -> bool:
    if not inside:
        return new in _STRUCTURE
    byte = data[offset]
    return new in b'"\\' or byte in b'"\\' or ord("u") in (byte, new)
