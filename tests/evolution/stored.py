"""Envelopes as goldens hold them, and two formats."""

from __future__ import annotations

import enum

from attrs import frozen

from checkpointkit.envelope import (
    decode_payload,
    encode_payload,
    make_header,
    open_envelope,
    seal_envelope,
)
from checkpointkit.evolution.goldens import GOLDEN_KEY, Goldens
from checkpointkit.schema import Payload, Schema, tagged


@frozen
class Lease:
    holder: str
    seconds: int


LEASE = Schema(Lease, kind="example.com/lease", version=1)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


@frozen
class Circle:
    radius: int


@frozen
class Square:
    side: int


@frozen
class Drawing:
    name: str
    count: int
    color: Color
    forms: list[Circle | Square]
    parent: Drawing | None


DRAWING = Schema(
    Drawing,
    kind="example.com/drawing",
    version=1,
    hooks=[tagged(Circle | Square, {"circle": Circle, "square": Square}, field="is")],
)


def sealed(payload: Payload | bytes, version: int = 1, kind: str = "example.com/lease") -> bytes:
    data = payload if isinstance(payload, bytes) else encode_payload(payload)
    header = make_header(
        key=GOLDEN_KEY,
        kind=kind,
        schema_version=version,
        fingerprint=LEASE.fingerprint,
        generation=1,
        created_at="2000-01-01T00:00:00.000000Z",
        previous=None,
        payload=data,
    )
    return seal_envelope(header, data)[0]


def payloads_of(goldens: Goldens) -> list[Payload]:
    records = [open_envelope(data, GOLDEN_KEY) for data in goldens.envelopes]
    return [decode_payload(record.payload, GOLDEN_KEY, None) for record in records]
