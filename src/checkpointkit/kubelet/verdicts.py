"""What the kubelet says of a file: its parser, and its start with one setting or another. Pure."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from checkpointkit.kubelet.godecode import GoTypeError, decode
from checkpointkit.kubelet.goencode import encode
from checkpointkit.kubelet.gojson import GoSyntaxError, parse

if TYPE_CHECKING:
    from checkpointkit.kubelet.formats import Format

__all__ = ["CORRUPT", "Reading", "Verdict", "read", "read_document", "render"]

CORRUPT = "checkpoint is corrupted"
"""What the kubelet says of a wrong checksum."""


class Verdict(Enum):
    """What became of one reading."""

    OK = "ok"
    CORRUPT = "corrupt"
    ERROR = "error"


@frozen
class Reading:
    """A file as one format reads it.

    Attributes:
        format: The format.
        verdict: Whether it was taken.
        problem: Why not, in the kubelet's words; empty where it was.
        document: What was decoded, with the checksum; None after an error.
        stored: The checksum that it has; None after an error.
        computed: The one that it should have; None after an error.
    """

    format: Format
    verdict: Verdict
    problem: str
    document: dict[str, Any] | None
    stored: int | None
    computed: int | None


def read(kind: Format, data: bytes, *, gate: bool = False) -> Reading:
    """Read a file as `CheckpointManager.GetCheckpoint` does.

    Args:
        kind: The format.
        data: The whole file.
        gate: Whether the feature gate `PodLevelResourceManagers` is on.

    Example:
        >>> from checkpointkit.kubelet.formats import ALLOCATED_PODS
        >>> read(ALLOCATED_PODS, b'{"data":"{}","checksum":694314937}').verdict
        <Verdict.OK: 'ok'>
        >>> read(ALLOCATED_PODS, b"").problem
        'unexpected end of JSON input'
    """
    try:
        document = parse(data)
    except GoSyntaxError as error:
        return Reading(kind, Verdict.ERROR, str(error), None, None, None)
    return read_document(kind, document, gate=gate)


def read_document(kind: Format, document: Any, *, gate: bool = False) -> Reading:
    """As `read`, of a document that was parsed already."""
    try:
        value = decode(kind.struct, document, kind.fresh())
    except GoTypeError as error:
        return Reading(kind, Verdict.ERROR, str(error), None, None, None)
    stored = value["checksum"]
    computed = kind.sum(value)
    good = (
        stored == computed
        or (kind.zero_passes and stored == 0)
        or (kind.own_name_too and not gate and stored == kind.sum(value, own_name=True))
    )
    verdict = Verdict.OK if good else Verdict.CORRUPT
    return Reading(kind, verdict, "" if good else CORRUPT, value, stored, computed)


def render(kind: Format, state: dict[str, Any]) -> bytes:
    """Return the file that the kubelet would write of a state, with its checksum.

    Args:
        kind: The format.
        state: As `Reading.document` has it; a checksum in it is not looked at.
    """
    document = {**state, "checksum": 0}
    document["checksum"] = kind.sum(document)
    return encode(kind.struct, document).encode()
