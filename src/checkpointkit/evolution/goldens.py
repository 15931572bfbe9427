"""Goldens: stored envelopes of a version, frozen, with what they become in newer versions.

They are made once, when a version is accepted, and never anew. The file of a version holds its own
envelopes, whole, and what those of each older version become in it:

```
{"goldens": 1}
{"golden": 1, "envelope": ["checkpointkit/1 sha256:…", {header}, {payload}]}
{"from": 1, "golden": 1, "becomes": {payload}}
```

Each line is JSON. The three lines of an envelope stand in the array as they are stored, byte for
byte; nothing but the ends of lines can change on the way through git, and those do not count.
"""

from __future__ import annotations

import re
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, field, frozen

from checkpointkit.envelope import (
    decode_payload,
    encode_payload,
    make_header,
    open_envelope,
    seal_envelope,
)
from checkpointkit.errors import EncodeError, LockFileError
from checkpointkit.evolution.judging import GOLDEN_KEY, judge, judge_downgrade
from checkpointkit.evolution.samples import samples
from checkpointkit.translate import value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from checkpointkit.evolution.lockfile import LockedVersion
    from checkpointkit.schema import Payload, Schema

__all__ = [
    "GOLDEN_KEY",
    "Goldens",
    "digest_of",
    "file_name",
    "judge",
    "judge_downgrade",
    "lost_goldens",
    "make_goldens",
    "parse_goldens",
    "render_goldens",
]

_FIRST: Final = '{"goldens": 1}'
_FROM: Final = re.compile(rb'\{"from": ([1-9][0-9]{0,8}), "golden": 1, "becomes": \{')
_RESTORE: Final = "take the file from version control again; goldens are never edited"
_MADE_AT: Final = "2000-01-01T00:00:00.000000Z"
"""In every golden: what a golden is does not depend on when it was made."""
_CRLF: Final = "\r\n"
_LF: Final = "\n"
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_DEVICE: Final = re.compile(r"(aux|con|nul|prn|(com|lpt)[0-9])(\.|$)")
"""Names that Windows refuses, whatever follows after a dot."""
_LONGEST: Final = 120


@frozen
class Goldens:
    """The goldens of one version of a kind.

    Attributes:
        envelopes: Stored envelopes of this version, whole.
        becomes: For each older version that could be read when this one was accepted: what its
            goldens, in their order, are in this version, as the bytes of their payloads.
        digest: The digest of their file, as the lock file has it.
    """

    envelopes: tuple[bytes, ...]
    becomes: Mapping[int, tuple[bytes, ...]] = MappingProxyType({})
    digest: str = field(
        default=Factory(lambda made: digest_of(render_goldens(made)), takes_self=True), eq=False
    )


# ------------------------------------------------------------------------------------- the file


def render_goldens(goldens: Goldens) -> str:
    """Return the text of the file of goldens.

    Raises:
        ValueError: Something in them is no envelope.
    """
    lines = [_FIRST]
    for number, envelope in enumerate(goldens.envelopes, 1):
        first, header, payload = (*envelope.decode().split("\n"), "", "")[:3]
        lines.append(f'{{"golden": {number}, "envelope": ["{first}", {header}, {payload}]}}')
        if _envelope_in(lines[-1].encode(), number) != envelope:
            raise ValueError(f"golden {number} is no envelope")
    for version, values in sorted(goldens.becomes.items()):
        for number, value in enumerate(values, 1):
            lines.append(f'{{"from": {version}, "golden": {number}, "becomes": {value.decode()}}}')
    return "\n".join(lines) + "\n"


def parse_goldens(text: str, path: str) -> Goldens:
    """Return the goldens in the text of a file.

    Args:
        text: The text, with whatever ends of lines git has made.
        path: Where it comes from, for the error.

    Raises:
        LockFileError: It is none that `render_goldens` writes; names the line.
    """
    data = _with_plain_ends(text)
    lines = data.split(b"\n")
    end = len(lines) - 1
    envelopes: list[bytes] = []
    becomes: dict[int, tuple[bytes, ...]] = {}
    at = 0
    if end and lines[0] == _FIRST.encode() and not lines[end]:
        at = 1
        while at < end and (envelope := _envelope_in(lines[at], at)) is not None:
            envelopes.append(envelope)
            at += 1
        version = 0
        while at < end and (match := _FROM.match(lines[at])) and int(match[1]) > version:
            version = int(match[1])
            becomes[version] = values = tuple(_values_in(lines, at, version))
            at += len(values)
    if at < end or not at:
        raise LockFileError(path, f"line {at + 1} is none of this format; {_RESTORE}")
    return Goldens(tuple(envelopes), becomes, _digest(data))


def _envelope_in(line: bytes, number: int) -> bytes | None:
    """Return the envelope in a line; None if the line is none of this golden."""
    begin = b'{"golden": %d, "envelope": ["' % number
    first, quote, rest = line[len(begin) :].partition(b'", {')
    header, brace, payload = rest.partition(b"}, {")
    is_one = quote and brace and line.startswith(begin) and payload.endswith(b"}]}")
    return (
        b"%b\n{%b}\n{%b" % (first, header, payload[:-2]) if is_one and b'"' not in first else None
    )


def _values_in(lines: list[bytes], at: int, version: int) -> Iterator[bytes]:
    """Give what the goldens of a version became, from a line on, as long as it is that."""
    for number, line in enumerate(lines[at:-1], 1):
        begin = b'{"from": %d, "golden": %d, "becomes": ' % (version, number)
        if not line.startswith(begin + b"{") or not line.endswith(b"}}"):
            return
        yield line[len(begin) : -1]


def digest_of(text: str) -> str:
    r"""Return the digest of the text of a goldens file; the ends of lines do not count.

    Example:
        >>> digest_of("a\r\n") == digest_of("a\n")
        True
    """
    return _digest(_with_plain_ends(text))


def _with_plain_ends(text: str) -> bytes:
    return text.replace(_CRLF, _LF).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def file_name(kind: str, version: int) -> str:
    """Return the name of the goldens file of a version: another one for each, on every system.

    Some file systems fold case, some refuse characters or names, and none takes a long one.

    Example:
        >>> file_name("example.com/Lease", 2)
        'example.com%2f%4cease.2.jsonl'
    """
    name = "".join(char if char in _SAFE else f"%{ord(char):02x}" for char in kind)
    if name[0] in ".-" or _DEVICE.match(name):
        name = f"%{ord(name[0]):02x}{name[1:]}"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 40]}%-{sha256(kind.encode()).hexdigest()[:32]}"
    return f"{name}.{version}.jsonl"


def lost_goldens(kind: str, version: int, entry: LockedVersion, goldens: Goldens | None) -> str:
    """Return what is wrong with the file of goldens that the lock file names; empty if nothing is.

    Args:
        kind: The kind.
        version: The version.
        entry: Its entry in the lock file.
        goldens: What is in the file; None if it is missing.
    """
    if goldens is None:
        return f"its goldens are missing: {file_name(kind, version)}"
    if goldens.digest != entry.goldens:
        return f"its goldens are not those that were accepted: {file_name(kind, version)}"
    return ""


# ----------------------------------------------------------------------------------------- making


def make_goldens(
    schema: Schema[Any], older: Mapping[int, Goldens], examples: Iterable[Any] = ()
) -> Goldens:
    """Return the goldens of the version of a schema, about 20: edge cases, then generated ones.

    Args:
        schema: The schema.
        older: The goldens of the versions before, by version; what the schema still reads of them
            is frozen as what it is in this version.
        examples: Values of the class, which come first; needed where its validators refuse what
            its shape allows.

    Raises:
        LockFileError: Nothing could be made up, or an example does not fit the schema.
        CheckpointError: An older golden cannot be loaded.
        MissingExtraError: Hypothesis is not installed.
    """
    becomes = {
        version: tuple(_upgraded(schema, envelope) for envelope in goldens.envelopes)
        for version, goldens in sorted(older.items())
        if schema.oldest <= version < schema.version
    }
    known = [
        decode_payload(payload, GOLDEN_KEY, None)
        for payloads in becomes.values()
        for payload in payloads
    ]
    payloads = samples(schema, _dumped(schema, examples), known)
    return Goldens(
        tuple(_sealed(schema, payload) for payload in payloads),
        becomes,
    )


def _upgraded(schema: Schema[Any], envelope: bytes) -> bytes:
    value = value_of(schema, GOLDEN_KEY, open_envelope(envelope, GOLDEN_KEY))
    return encode_payload(schema.dump(value))


def _dumped(schema: Schema[Any], examples: Iterable[Any]) -> list[Payload]:
    made = []
    for number, value in enumerate(examples, 1):
        try:
            made.append(schema.dump(value))
            encode_payload(made[-1])
        except EncodeError as error:
            problems = error.problems
        else:
            continue
        raise LockFileError(
            "pyproject.toml", f"example {number} of {schema.kind} does not fit: {problems[0]}"
        )
    return made


def _sealed(schema: Schema[Any], payload: Payload) -> bytes:
    data = encode_payload(payload)
    header = make_header(
        key=GOLDEN_KEY,
        kind=schema.kind,
        schema_version=schema.version,
        fingerprint=schema.fingerprint,
        generation=1,
        created_at=_MADE_AT,
        previous=None,
        payload=data,
    )
    return seal_envelope(header, data)[0]
