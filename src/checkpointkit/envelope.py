"""Payload <-> bytes: the envelope that every store keeps. Pure.

```
checkpointkit/1 sha256:<64 hex digits>      line 1, frozen for ever
{"created_at":…,"schema_version":3}         line 2, the header
{"devices":{"gpu":["0","1"]},…}             the payload, to the end of the file
```

The digest of line 1 covers `checkpointkit/<envelope version>`, a newline, and line 2 with its
newline. The header carries the payload's size and sha256, so the digest vouches for every byte,
and the header can be read and trusted without the payload. In each future envelope version the
first two lines stand like this, so a flipped version digit is seen as rot and never taken for a
newer format.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple, NoReturn

from checkpointkit.errors import (
    CorruptCheckpointError,
    EncodeError,
    EnvelopeVersionError,
    StructureError,
)

ENVELOPE_VERSION: Final = 1
MAX_DEPTH: Final = 200
HEADER_LIMIT: Final = 4096
"""Bytes of a file that hold lines 1 and 2, whatever the key and the kind."""

Payload = dict[str, Any]
"""Plain data between an object and its bytes: dict, list, str, int, float, bool, None."""

_SIGNED = b"checkpointkit/%d\n" % ENVELOPE_VERSION
_LINE_1 = re.compile(rb"checkpointkit/([1-9][0-9]{0,8}) sha256:([0-9a-f]{64})\n")
_LINE_1_SIZE = len(b"checkpointkit/1 sha256:") + 64 + 1
_TEXT = r'"([ !#-\[\]-~]{1,255})"'
_MOMENT = r'"([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z)"'
_NUMBER = r"([1-9][0-9]{0,17})"
_DIGEST = r'"([0-9a-f]{64})"'
_LINES = re.compile(
    r"checkpointkit/1 sha256:([0-9a-f]{64})\n"
    r'\{"created_at":' + _MOMENT + r',"fingerprint":' + _TEXT + r',"generation":' + _NUMBER
    + r',"key":' + _TEXT + r',"kind":' + _TEXT + r',"payload_sha256":' + _DIGEST
    + r',"payload_size":' + _NUMBER + r',"previous":(?:null|' + _DIGEST
    + r'),"schema_version":' + _NUMBER + r"\}\n"
)  # fmt: skip
"""Lines 1 and 2 of envelope version 1, exactly: the header is canonical JSON, and its texts need
no escapes, so one expression is both its grammar and the quickest way to read it."""
_HEADER_ROT = "the header does not match its digest"


class Header(NamedTuple):
    """Line 2 of an envelope; the fields in the order of their names, as they are stored."""

    created_at: str
    fingerprint: str
    generation: int
    key: str
    kind: str
    payload_sha256: str
    payload_size: int
    previous: str | None
    schema_version: int


class Envelope(NamedTuple):
    """An envelope that verified: header, payload bytes, digest of line 1, size of all of it."""

    header: Header
    payload: bytes
    digest: str
    size: int


def timestamp(moment: datetime) -> str:
    """Return an aware `moment` as the header stores it: UTC, microseconds, `Z`.

    Raises:
        ValueError: It is naive: nobody could tell what time it means.
    """
    if moment.tzinfo is None:
        raise ValueError("a naive datetime; the clock must return an aware one")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat("T", "microseconds")[:-6] + "Z"


def encode_payload(payload: Payload) -> bytes:
    r"""Return the canonical bytes of a payload: equal state gives equal bytes in every process.

    Sorted keys, no white space, UTF-8, no NaN or infinity, nested at most 200 deep.

    Args:
        payload: Plain data as `Schema.dump` returns it: `str` keys only, and no tuples, which
            JSON would not give back as they were.

    Raises:
        EncodeError: The data has no canonical form.

    Example:
        >>> encode_payload({"b": [1, "é"], "a": None})
        b'{"a":null,"b":[1,"\xc3\xa9"]}'
    """
    problem = None
    data = b""
    try:
        data = _dumps(payload).encode()
    except UnicodeEncodeError:
        problem = "a text holds a lone surrogate, which UTF-8 cannot carry"
    except RecursionError:
        problem = f"nested more than {MAX_DEPTH} deep"
    except (TypeError, ValueError) as error:
        # NaN, an infinity, an int of more digits than Python prints, or no plain data at all
        problem = f"no canonical JSON ({type(error).__name__})"
    if problem is None and _too_deep(data):
        problem = f"nested more than {MAX_DEPTH} deep"
    if problem is not None:
        raise EncodeError(None, (problem,))
    return data


def decode_payload(data: bytes, key: str, generation: int | None) -> Payload:
    """Return the payload of bytes whose digest has been verified.

    Args:
        data: The payload bytes of an `Envelope`.
        key: Where they come from, for the error.
        generation: Likewise.

    Raises:
        CorruptCheckpointError: They are no JSON object, or have a name twice: some other program
            wrote them.
        StructureError: Too little is left of the caller's stack to take them apart.
    """
    payload: object = None
    complete = recursion = False
    if _too_deep(data):
        raise CorruptCheckpointError(key, generation, f"nested more than {MAX_DEPTH} deep")
    try:
        text = data.decode()
        payload, end = _scan(text)
        complete = end == len(text)
    except ValueError:
        pass
    except RecursionError:
        recursion = True
    if recursion:
        raise StructureError(key, ("nested too deeply for what is left of the stack",))
    if type(payload) is not dict or not complete:
        reason = "the payload is no JSON object of this format"
        raise CorruptCheckpointError(key, generation, reason)
    return payload


def seal_envelope(header: Header, payload: bytes) -> tuple[bytes, str]:
    """Return the stored bytes for a header and the payload that it describes, and their digest.

    The header's texts need no escapes (`_TEXT` is all that is read back), so the canonical JSON of
    line 2 is a matter of filling in.
    """
    previous = f'"{header.previous}"' if header.previous else "null"
    line_2 = (
        f'{{"created_at":"{header.created_at}","fingerprint":"{header.fingerprint}",'
        f'"generation":{header.generation},"key":"{header.key}","kind":"{header.kind}",'
        f'"payload_sha256":"{header.payload_sha256}","payload_size":{header.payload_size},'
        f'"previous":{previous},"schema_version":{header.schema_version}}}\n'
    ).encode()
    digest = sha256(_SIGNED + line_2).hexdigest()
    return b"checkpointkit/1 sha256:%b\n%b%b" % (digest.encode(), line_2, payload), digest


def make_header(
    *,
    key: str,
    kind: str,
    schema_version: int,
    fingerprint: str,
    generation: int,
    created_at: str,
    previous: str | None,
    payload: bytes,
) -> Header:
    """Return the header for `payload`, with its size and sha256 filled in."""
    return Header(
        created_at,
        fingerprint,
        generation,
        key,
        kind,
        sha256(payload).hexdigest(),
        len(payload),
        previous,
        schema_version,
    )


def open_header(data: bytes, key: str, generation: int | None = None) -> tuple[Header, str, int]:
    """Read lines 1 and 2; the payload is neither needed nor looked at.

    Args:
        data: The start of a stored file, `HEADER_LIMIT` bytes or more (or all of it).
        key: The key that it was read from.
        generation: The generation that was asked for; None where any will do.

    Returns:
        The header, the digest of line 1, and the offset of the payload.

    Raises:
        CorruptCheckpointError: These are not the lines that were written for this key.
        EnvelopeVersionError: They are intact, and of a newer envelope version.
    """
    match = _LINES.match(data[:HEADER_LIMIT].decode("latin-1"))
    if match is None:
        _refuse(data, key, generation)
    digest, moment, fingerprint, number, owner, kind, payload, size, previous, version = (
        match.groups()
    )
    start = match.end()
    if sha256(_SIGNED + data[_LINE_1_SIZE:start]).hexdigest() != digest:
        _corrupt(key, generation, _HEADER_ROT)
    header = Header(
        moment, fingerprint, int(number), owner, kind, payload, int(size), previous, int(version)
    )
    if header.key != key:
        _corrupt(key, generation, f"it holds the checkpoint {header.key!r}")
    if generation is not None and header.generation != generation:
        _corrupt(key, generation, f"it holds generation {header.generation}")
    return header, digest, start


def digest_of(data: bytes) -> str:
    """Return the digest in line 1 of an intact envelope, of whatever envelope version."""
    return data[: data.index(b"\n")].rpartition(b":")[2].decode()


def open_envelope(data: bytes, key: str, generation: int | None = None) -> Envelope:
    """Verify stored bytes and take them apart.

    Args:
        data: The whole stored file.
        key: The key that it was read from.
        generation: The generation that was asked for; None where any will do.

    Raises:
        CorruptCheckpointError: These are not the bytes that were written for this key.
        EnvelopeVersionError: The first two lines are intact, and of a newer envelope version.

    Example:
        >>> payload = encode_payload({"n": 1})
        >>> header = make_header(
        ...     key="a", kind="example.com/n", schema_version=1, fingerprint="fp1:0",
        ...     generation=1, created_at="2026-01-01T00:00:00.000000Z", previous=None,
        ...     payload=payload,
        ... )
        >>> data, digest = seal_envelope(header, payload)
        >>> open_envelope(data, "a").payload
        b'{"n":1}'
        >>> open_envelope(data[:-1], "a")
        Traceback (most recent call last):
        ...
        checkpointkit.errors.CorruptCheckpointError: checkpoint 'a', generation 1 is corrupt: \
the payload has 6 bytes, not 7; recover() goes on from the newest good generation
    """
    header, digest, start = open_header(data, key, generation)
    payload = data[start:]
    if len(payload) != header.payload_size:
        reason = f"the payload has {len(payload)} bytes, not {header.payload_size}"
        _corrupt(key, header.generation, reason)
    if sha256(payload).hexdigest() != header.payload_sha256:
        _corrupt(key, header.generation, "the payload does not match its digest")
    return Envelope(header, payload, digest, len(data))


def _corrupt(key: str, generation: int | None, reason: str) -> NoReturn:
    raise CorruptCheckpointError(key, generation, reason)


def _refuse(data: bytes, key: str, generation: int | None) -> NoReturn:
    """Say why `data` does not begin with the two lines of envelope version 1."""
    first = _LINE_1.match(data)
    if first is None:
        if not data:
            reason = "it is empty"
        elif not any(data[:HEADER_LIMIT]):
            reason = "it begins with NUL bytes"
        else:
            reason = "line 1 is no envelope's"
        _corrupt(key, generation, reason)
    start = first.end()
    end = data.find(b"\n", start, HEADER_LIMIT) + 1
    if not end:
        _corrupt(key, generation, "the header is cut short")
    version, digest = first.groups()
    signed = b"checkpointkit/%b\n%b" % (version, data[start:end])
    if sha256(signed).hexdigest().encode() != digest:
        _corrupt(key, generation, _HEADER_ROT)
    if int(version) != ENVELOPE_VERSION:
        raise EnvelopeVersionError(key, int(version), ENVELOPE_VERSION)
    _corrupt(key, generation, "the header is none of this format")


def _scan(text: str) -> tuple[object, int]:
    """Parse one JSON value at the start of `text`; a name twice in an object is a `ValueError`.

    The parser of the standard library would silently keep the last of the two values. Its own
    remedy, `object_pairs_hook`, doubles the time of a payload of many small objects. Where no text
    is escaped and no blank follows a quote, `":` stands at least once for each name (and where a
    text begins with a colon): if there are no more of them than names, no name stands twice.
    """
    if (
        text.count("{") < _MANY_OBJECTS
        or "\\" in text
        or '" ' in text
        or "\n" in text
        or "\t" in text
        or "\r" in text
    ):
        return _UNIQUE.raw_decode(text)
    names = 0

    def count(parsed: Payload) -> Payload:
        nonlocal names
        names += len(parsed)
        return parsed

    decoder = json.JSONDecoder(object_hook=count, parse_constant=_no_constant)
    parsed, end = decoder.raw_decode(text)
    if names != text.count('":'):
        return _UNIQUE.raw_decode(text)
    return parsed, end


def _unique(pairs: list[tuple[str, Any]]) -> Payload:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return unique


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_UNIQUE: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_MANY_OBJECTS: Final = 8
"""From here on, counting is quicker than `_unique`."""

_dumps = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Possessive, and a text without an end goes to the end of all: no text is looked at twice."""
_ALL_BUT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


def _too_deep(data: bytes) -> bool:
    """Tell whether JSON text is nested more than `MAX_DEPTH` deep, without recursion.

    Brackets in strings do not count. Where nothing is escaped, a bracket is in a string if the
    number of quotes before it is odd; to drop two quotes with no bracket between them leaves that
    as it is, and mostly leaves no quote.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    if b"\\" in data:
        data = _STRINGS.sub(b"", data)
    brackets = data.translate(_AS_SQUARE, _ALL_BUT_MARKS).replace(b'""', b"")
    if b'"' in brackets:
        brackets = _STRINGS.sub(b"", brackets)
    for _ in range(MAX_DEPTH):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):  # nothing closes: no JSON
            break
        brackets = outer
    return bool(brackets)
