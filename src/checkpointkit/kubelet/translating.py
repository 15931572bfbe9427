"""Between the envelope of a checkpoint and a file of the kubelet. Pure.

A manager hands its store an envelope, and a file of the kubelet has no room for one: Go code has to
read it. So the payload of the envelope, which names its kind and schema version, is written as the
kubelet writes that format; and what is read becomes an envelope again, with the time and number
that the file has, once the kubelet's own checksum was verified. Nothing else of the library knows.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.envelope import (
    decode_payload,
    encode_payload,
    make_header,
    open_envelope,
    seal_envelope,
    timestamp,
)
from checkpointkit.errors import (
    CorruptCheckpointError,
    EncodeError,
    VersionTooNewError,
    WrongKindError,
)
from checkpointkit.kubelet.cpusets import CpuSetError
from checkpointkit.kubelet.formats import FILES, FORMATS, Format
from checkpointkit.kubelet.models import SCHEMAS
from checkpointkit.kubelet.verdicts import Verdict, read, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.schema import Schema

__all__ = ["KUBELET_FILES", "Translation", "from_file", "to_file"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Translation:
    """What a key of the store is in Go.

    Attributes:
        formats: The formats that are tried, the newest first, each with the schema of its version.
    """

    formats: tuple[tuple[Format, Schema[Any]], ...]


KUBELET_FILES: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        file: Translation(
            tuple((each, SCHEMAS[each.name]) for each in reversed(FORMATS) if each.file == file)
        )
        for file in FILES
    }
)
"""The files of the kubelet, by name."""


def to_file(how: Translation, key: str, sealed: bytes) -> bytes:
    """Return the file for an envelope.

    Raises:
        WrongKindError: It is of another kind than the file.
        VersionTooNewError: Its schema version is none of the file's formats.
        EncodeError: The kubelet's file would not say the same: nil where it keeps only empty, a
            number out of range, CPUs that are not written as the kubelet writes them.
    """
    record = open_envelope(sealed, key)
    header = record.header
    newest = how.formats[0][1]
    if header.kind != newest.kind:
        raise WrongKindError(key, newest.kind, header.kind)
    kinds = {schema.version: kind for kind, schema in how.formats}
    kind = kinds.get(header.schema_version)
    if kind is None:
        oldest = how.formats[-1][1].version
        raise VersionTooNewError(key, header.schema_version, oldest, newest.version)
    state = decode_payload(record.payload, key, header.generation)
    data = b""
    try:
        data = render(kind, state)
    except CpuSetError:
        pass
    else:
        reading = read(kind, data, gate=True)
        if reading.verdict is Verdict.OK and _state(reading.document) == state:
            return data
    problem = f"{kind.name} cannot say it as it is"
    raise EncodeError(key, (problem,))


def from_file(how: Translation, key: str, data: bytes, *, generation: int, mtime_ns: int) -> bytes:
    """Return the envelope for a file.

    Args:
        how: What the key is in Go.
        key: The key.
        data: The whole file.
        generation: The number that it has in the store.
        mtime_ns: When it was written, in nanoseconds.

    Raises:
        CorruptCheckpointError: The kubelet takes it for none of the formats.
    """
    reason = "the kubelet takes it for no JSON of this file"
    for kind, schema in how.formats:
        reading = read(kind, data)
        if reading.verdict is Verdict.CORRUPT:
            reason = "its checksum is not that of its content"
        if reading.verdict is not Verdict.OK:
            continue
        payload = encode_payload(_state(reading.document))
        moment = _EPOCH + timedelta(microseconds=max(0, mtime_ns) // 1000)
        header = make_header(
            key=key,
            kind=schema.kind,
            schema_version=schema.version,
            fingerprint=schema.fingerprint,
            generation=generation,
            created_at=timestamp(moment),
            previous=None,
            payload=payload,
        )
        return seal_envelope(header, payload)[0]
    raise CorruptCheckpointError(key, generation, reason, recoverable=False)


def _state(document: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: each for name, each in (document or {}).items() if name != "checksum"}
