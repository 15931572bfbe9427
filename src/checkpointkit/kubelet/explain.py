"""Why the kubelet does not take a file, as far as that can be known. Pure."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from checkpointkit.kubelet.flips import Flip, find_flips
from checkpointkit.kubelet.formats import (
    ACTUATED_PODS,
    ALLOCATED_PODS,
    CPU_V1,
    CPU_V2,
    DEVICES,
    DRA,
    FORMATS,
    MEMORY_V1,
    Format,
)
from checkpointkit.kubelet.godump import dump
from checkpointkit.kubelet.gojson import GoSyntaxError, parse
from checkpointkit.kubelet.gotypes import Pointer
from checkpointkit.kubelet.places import strangers
from checkpointkit.kubelet.restarts import (
    ContainerMap,
    Restart,
    Version,
    eras_of,
    restart,
)
from checkpointkit.kubelet.sums import fnv1a32
from checkpointkit.kubelet.verdicts import Reading, Verdict, read, render

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AT_START", "CAUSES", "Cause", "Explanation", "Finding", "explain", "formats_of"]


class Cause(Enum):
    """What is wrong with a file, or else what is to be known about it."""

    UNCHECKED = "unchecked"
    EMPTY = "empty"
    NUL = "nul"
    NUL_TAIL = "nul-tail"
    CUT = "cut"
    TAIL = "tail"
    NO_JSON = "no-json"
    MISFIT = "misfit"
    FLIP = "flip"
    TYPE_NAME = "type-name"
    VERSION = "version"
    POLICY = "policy"
    NEWER_FIELD = "newer-field"
    CONTENT = "content"
    STALE = "stale"


CAUSES: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.UNCHECKED: "it has no checksum, or 0, and the kubelet takes it unchecked",
        Cause.EMPTY: "it is empty: most likely a power cut before its bytes were on the disk",
        Cause.NUL: "it is all NUL bytes: most likely a power cut before its bytes were on the disk",
        Cause.NUL_TAIL: "it ends in NUL bytes that nobody wrote",
        Cause.CUT: "it is cut short",
        Cause.TAIL: "something stands behind its end, of an older file or another program",
        Cause.NO_JSON: "it is no JSON",
        Cause.MISFIT: "a value is of a wrong type",
        Cause.FLIP: "one bit is wrong",
        Cause.TYPE_NAME: "its checksum was taken over the name of another version's type",
        Cause.VERSION: "it is whole, and of a version that not every one of these kubelets reads",
        Cause.POLICY: "it is whole, and of another policy than the kubelet is configured with",
        Cause.NEWER_FIELD: "it has fields that the kubelet does not know; a newer one wrote it",
        Cause.CONTENT: "its checksum is right, and the kubelet does not take what it says",
        Cause.STALE: "it was changed after its checksum was taken",
    }
)
"""Each cause in words."""

AT_START: Final[Mapping[str, str]] = MappingProxyType(
    {
        CPU_V1.file: "the kubelet exits, even with the policy none",
        MEMORY_V1.file: "the kubelet exits, even with the policy None",
        DEVICES.file: "the kubelet logs it and goes on, as if no devices were given out",
        ALLOCATED_PODS.file: "the kubelet panics",
        ACTUATED_PODS.file: "the kubelet exits, 1.33 panics",
        DRA.file: "the kubelet exits",
    }
)
"""What the kubelet does at its start with a file that it does not take.

Source: 1.36.3, run; `newStateImpl` and `NewKubeGenericRuntimeManager` of it, and `newStateImpl` of
1.33.0, read.
"""


@frozen
class Finding:
    """One cause, with what is known of it.

    Attributes:
        cause: The cause.
        detail: Where, which, how much.
        certain: Whether it is proven: with it undone, the checksum is right.
    """

    cause: Cause
    detail: str = ""
    certain: bool = False

    @property
    def words(self) -> str:
        """It in words."""
        return f"{CAUSES[self.cause]}: {self.detail}" if self.detail else CAUSES[self.cause]


@frozen
class Explanation:
    """All that is known of a file.

    Attributes:
        file: The name of the file, which says what it should be.
        size: Its size in bytes.
        reading: How it is read as the format that it is most likely of.
        restarts: What becomes of a start, for each kubelet that was asked about.
        findings: The causes, and what else is to be known.
        flips: The bits that make it right, one after the other.
        advice: What to do, step by step.
        corrected: The file with another checksum, where the cause is certain and nothing else was
            changed; None otherwise.
    """

    file: str
    size: int
    reading: Reading
    restarts: tuple[Restart, ...]
    findings: tuple[Finding, ...]
    flips: tuple[Flip, ...]
    advice: tuple[str, ...]
    corrected: bytes | None = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether one of the kubelets that were asked about takes it."""
        return any(each.ok for each in self.restarts)


def formats_of(file: str) -> tuple[Format, ...]:
    """Return the formats of a file, the default one first, then the newer ones, then the older."""
    found = [each for each in FORMATS if each.file == file]
    return tuple(sorted(found, key=lambda each: (each is not CPU_V2, each is CPU_V1)))


def explain(
    file: str,
    data: bytes,
    *,
    version: Version | None = None,
    gate: bool | None = None,
    policy: str | None = None,
    containers: ContainerMap | None = None,
    path: str = "",
) -> Explanation:
    """Explain what the kubelet makes of a file, and why.

    Args:
        file: The name of the file.
        data: The whole file.
        version: The release of the kubelet; None for all.
        gate: Whether PodLevelResourceManagers is on; None for both.
        policy: The policy that the kubelet is configured with; None for the one in the file.
        containers: The containers of the node, for a CPU file of version 1.
        path: The path that the kubelet's errors name.

    Raises:
        ValueError: There is no such file, or it is not known how such a kubelet reads it.

    Example:
        >>> found = explain("allocated_pods_state", b'{"data":"{}","checksum":694314935}')
        >>> found.findings[0].words
        'one bit is wrong: bit 1 of byte 32, in the checksum'
    """
    eras = eras_of(file, version, gate)
    if not eras:
        known = ", ".join(dict.fromkeys(era.name.partition(",")[0] for era in eras_of(file)))
        raise ValueError(f"how this kubelet reads it is not known; known are: {known or 'none'}")
    restarts = tuple(
        restart(era, data, path=path or file, policy=policy, containers=containers) for era in eras
    )
    reading = _likeliest(file, data)
    flips: tuple[Flip, ...] = ()
    if reading.verdict is not Verdict.OK or not reading.stored:
        flips = find_flips(formats_of(file), data)
    findings = _of_flips(flips)
    if reading.verdict is Verdict.OK:
        findings += _of_good(reading, restarts, policy)
    elif not reading.stored and any(each.ok for each in restarts):
        findings.append(Finding(Cause.UNCHECKED))
    else:
        findings = [*_of_bad(file, data, reading), *findings]
    if not any(each.cause is Cause.FLIP and each.certain for each in findings):
        findings += _unknown_fields(reading, data)
    if any(each.certain for each in findings):
        findings = [each for each in findings if each.certain or each.cause in _BESIDE]
    corrected = _corrected(data, reading, findings, flips)
    advice = _advice(file, restarts, findings, corrected)
    return Explanation(
        file, len(data), reading, restarts, tuple(findings), flips, advice, corrected
    )


_BESIDE: Final = frozenset({Cause.NEWER_FIELD, Cause.UNCHECKED})


def _likeliest(file: str, data: bytes) -> Reading:
    readings = [read(kind, data) for kind in formats_of(file)]
    try:
        document: Any = parse(data)
    except GoSyntaxError:
        return readings[0]

    def order(reading: Reading) -> tuple[bool, bool, bool, int]:
        unknown = sum(1 for _ in strangers(reading.format.struct, document))
        good = reading.verdict is Verdict.OK and bool(reading.stored)
        by_name = not good and bool(_other_names(file, reading))
        return not good, not by_name, reading.verdict is Verdict.ERROR, unknown

    return min(readings, key=order)


def _of_good(reading: Reading, restarts: tuple[Restart, ...], policy: str | None) -> list[Finding]:
    findings: list[Finding] = []
    if not reading.stored and reading.computed:
        findings.append(Finding(Cause.UNCHECKED))
    refused = [each for each in restarts if not each.ok]
    stored = (reading.document or {}).get("policy_name")
    if refused and policy is not None and stored is not None and policy != stored:
        findings.append(Finding(Cause.POLICY, certain=True))
    if any(all(each.format is not reading.format for each in one.readings) for one in refused):
        findings.append(Finding(Cause.VERSION, reading.format.name, certain=True))
    elif any(
        reading.format.name in {e.format.name for e in one.readings if not e.problem}
        for one in refused
    ):
        if not findings:
            findings.append(Finding(Cause.CONTENT))
    elif refused:
        findings.append(Finding(Cause.TYPE_NAME, "this kubelet takes another one", certain=True))
    return findings


def _of_flips(flips: tuple[Flip, ...]) -> list[Finding]:
    if len(flips) > 1 or any(not each.written for each in flips):
        places = ", ".join(f"bit {each.bit} of byte {each.offset}" for each in flips)
        return [Finding(Cause.FLIP, f"it may be {places}")]
    return [
        Finding(
            Cause.FLIP,
            f"bit {each.bit} of byte {each.offset}{', in the checksum' * each.in_checksum}",
            certain=True,
        )
        for each in flips
    ]


def _of_bad(file: str, data: bytes, reading: Reading) -> list[Finding]:
    if not data:
        return [Finding(Cause.EMPTY)]
    if not data.strip(b"\0"):
        return [Finding(Cause.NUL, f"{len(data)} of them")]
    whole = data.rstrip(b"\0")
    if len(whole) < len(data):
        rest = "the rest is whole JSON" if _is_json(whole) else "the rest is cut short"
        return [Finding(Cause.NUL_TAIL, f"{len(data) - len(whole)} of them, {rest}")]
    try:
        parse(data)
    except GoSyntaxError as error:
        if error.offset >= len(data):
            return [Finding(Cause.CUT, f"after {len(data)} bytes")]
        if "after top-level value" in str(error):
            return [Finding(Cause.TAIL, f"from byte {error.offset} on")]
        return [Finding(Cause.NO_JSON, f"from byte {error.offset} on")]
    if reading.verdict is Verdict.ERROR:
        return [Finding(Cause.MISFIT)]
    names = _other_names(file, reading)
    if names:
        return [Finding(Cause.TYPE_NAME, " or ".join(names), certain=True)]
    kind = reading.format
    as_written = render(kind, reading.document or {})
    digits = b"%d" % (reading.computed or 0), b"%d" % (reading.stored or 0)
    if as_written.replace(*digits) == data or as_written == data:
        return [Finding(Cause.STALE, "the bytes are laid out as the kubelet writes them")]
    return [Finding(Cause.STALE, "the bytes are not laid out as the kubelet writes them")]


def _is_json(data: bytes) -> bool:
    try:
        parse(data)
    except GoSyntaxError:
        return False
    return True


def _other_names(file: str, reading: Reading) -> list[str]:
    """Return the names of types over which the checksum in the file was taken.

    A map that was nil then is left out of the file, and is empty when it is read.
    """
    kind = reading.format
    if kind.hashed or not reading.stored:
        return []
    base = formats_of(file)[0].hashed_as or formats_of(file)[0].struct.go
    document = {**(reading.document or {}), "checksum": 0}
    nil = {
        each.name: None
        for each in kind.struct.fields
        if each.omit_empty and not document[each.name]
    }
    return [
        name
        for name in (base, *(f"{base}V{number}" for number in range(1, 10)))
        for value in (document, {**document, **nil})[: 1 + bool(nil)]
        if fnv1a32(dump(Pointer(evolve(kind.struct, go=name)), value).encode()) == reading.stored
    ]


def _unknown_fields(reading: Reading, data: bytes) -> list[Finding]:
    try:
        document = parse(data)
    except GoSyntaxError:
        return []
    number = sum(1 for _ in strangers(reading.format.struct, document))
    return [Finding(Cause.NEWER_FIELD, f"{number} of them")] if number else []


def _corrected(
    data: bytes, reading: Reading, findings: list[Finding], flips: tuple[Flip, ...]
) -> bytes | None:
    """Return the file with the right checksum, if that alone is wrong and it is certain why."""
    causes = [each.cause for each in findings if each.certain]
    if reading.verdict is Verdict.CORRUPT and causes == [Cause.TYPE_NAME]:
        made = render(reading.format, reading.document or {})
        # Fields that no type has, and another layout, are content, too: they would be lost.
        before = made[: made.rindex(b":") + 1]
        return made if data == before + f"{reading.stored}}}".encode() else None
    if causes == [Cause.FLIP] and len(flips) == 1 and flips[0].in_checksum:
        flip = flips[0]
        made = render(flip.reading.format, flip.reading.document or {})
        return made if flip.reading.stored == flip.reading.computed else None
    return None


_DRAIN: Final = (
    "drain the node: kubectl drain NODE --ignore-daemonsets",
    "stop the kubelet: systemctl stop kubelet",
)
_START: Final = "start the kubelet, and uncordon the node: kubectl uncordon NODE"


def _advice(
    file: str, restarts: tuple[Restart, ...], findings: list[Finding], corrected: bytes | None
) -> tuple[str, ...]:
    if any(each.ok for each in restarts):
        return ()
    causes = {each.cause for each in findings}
    if Cause.POLICY in causes:
        return (*_DRAIN, "move the file away, since the kubelet writes a new one", _START)
    if corrected is not None:
        return (
            *_DRAIN,
            "checkpointkit kubelet repair writes a copy with the right checksum beside the file",
            "move the copy over the file",
            _START,
        )
    if Cause.VERSION in causes:
        return (
            "start a kubelet that takes it: see what verify says without --kubelet-version",
            "or, to go on without what is in it:",
            *_DRAIN,
            "move the file away, and keep it: the kubelet writes a new one",
            _START,
        )
    if file == DEVICES.file:
        return ("move the file away and restart the kubelet; then restart the device plugins",)
    return (*_DRAIN, "move the file away, and keep it: the kubelet writes a new one", _START)
