"""What goldens say of a schema: does it read what is stored, as what it was, and write it so?"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.chain import climb
from checkpointkit.envelope import decode_payload, encode_payload, open_envelope
from checkpointkit.errors import (
    CheckpointError,
    CorruptCheckpointError,
    DowngradeLossError,
    MigrationError,
    StructureError,
)
from checkpointkit.evolution.edges import edges
from checkpointkit.evolution.samples import draw, hook_samples
from checkpointkit.fingerprint import canonical
from checkpointkit.structuring.wire import differing, field_names, misfits_of, wire_codec
from checkpointkit.translate import check_replaceable, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from checkpointkit.envelope import Envelope
    from checkpointkit.evolution.goldens import Goldens
    from checkpointkit.fingerprint import Shape
    from checkpointkit.schema import Payload, Schema

GOLDEN_KEY: Final = "golden"
"""The key of every golden."""
_GENERATED: Final = 50
"""So many payloads of each older shape go up, down, and up again."""
_OWN: Final = 20
"""So many of the schema's own go down: that fails in fewer ways."""


def judge(
    schema: Schema[Any],
    version: int,
    envelopes: Sequence[bytes],
    frozen: Sequence[bytes] | None,
    at: int,
    shapes: Mapping[int, Shape] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Return what is wrong with the goldens of one version, run through a schema.

    Each of them has to load through the checks of `CheckpointManager.get`, and to give the frozen
    value; those of the schema's own version have to be written as they are stored, byte for byte.

    Args:
        schema: The schema.
        version: The version of the goldens.
        envelopes: The goldens.
        frozen: What they are at version `at`, as the bytes of payloads; None if nothing was frozen.
        at: The version that `frozen` is of: the schema's own, or an older one.
        shapes: The accepted shapes, by version. The names of their fields may be printed; any
            other name that the class does not know may be data.

    Returns:
        A text for each problem, with the numbers of the goldens and the paths; never a value.
    """
    if frozen is not None and len(frozen) != len(envelopes):
        count = f"{len(frozen)} of the {len(envelopes)} goldens of version {version}"
        return (f"{count} have a value that is frozen at version {at}",)
    problems: dict[str, list[int]] = {}
    values = [None] * len(envelopes) if frozen is None else frozen
    for number, (envelope, value) in enumerate(zip(envelopes, values, strict=True), 1):
        problem = _judge_one(schema, version, envelope, value, at, shapes)
        if problem:
            problems.setdefault(problem, []).append(number)
    return tuple(f"{_numbered(version, found)} {text}" for text, found in problems.items())


def _judge_one(
    schema: Schema[Any],
    version: int,
    data: bytes,
    frozen: bytes | None,
    at: int,
    shapes: Mapping[int, Shape],
) -> str:
    try:
        record = open_envelope(data, GOLDEN_KEY)
        if record.header.schema_version != version:
            return f"of version {record.header.schema_version}"
        payload = _loaded(schema, record)
    except CheckpointError as error:
        return f"cannot be loaded: {reason_of(_named(schema, data, error, shapes))}"
    if version == schema.version and encode_payload(payload) != record.payload:
        return "not written as it is stored, byte for byte"
    if version == schema.version or frozen is None:
        return ""
    return _compared(schema, record, payload, frozen, at, shapes)


def _loaded(schema: Schema[Any], record: Envelope) -> Payload:
    """Return the payload of a golden in the schema's version, through the checks of `get`.

    Raises:
        CheckpointError: What `get` raises.
    """
    version = record.header.schema_version
    try:
        check_replaceable(schema, record)
        payload = decode_payload(record.payload, GOLDEN_KEY, None)
        payload = schema.upgrade(payload, version)
        value = schema.structure(payload)
    except (CheckpointError, ValueError):
        value = value_of(schema, GOLDEN_KEY, record)  # the same once more: it names the place
        return schema.dump(value)
    # What a class takes is what it writes; for the newest version that is to be seen.
    return schema.dump(value) if version == schema.version else payload


def _named(
    schema: Schema[Any], data: bytes, error: CheckpointError, shapes: Mapping[int, Shape]
) -> CheckpointError:
    """Return the error; with more names, if it is that the class does not take a payload."""
    try:
        record = open_envelope(data, GOLDEN_KEY)
        check_replaceable(schema, record)
        payload = decode_payload(record.payload, GOLDEN_KEY, None)
        payload = schema.upgrade(payload, record.header.schema_version)
    except (CheckpointError, ValueError):
        return error
    names = {name for shape in shapes.values() for name in field_names(shape)}
    unfit = misfits_of(wire_codec(schema.shape, names), payload)
    if not unfit:  # a validator, or a hook
        return error
    if not isinstance(error, MigrationError):
        return StructureError(None, unfit)
    problem = f"its result does not fit the class: {'; '.join(unfit)}"
    return MigrationError(None, error.step, problem)


def _compared(
    schema: Schema[Any],
    record: Envelope,
    payload: Payload,
    frozen: bytes,
    at: int,
    shapes: Mapping[int, Shape],
) -> str:
    shape = schema.shape
    if at != schema.version:
        older = decode_payload(record.payload, GOLDEN_KEY, None)
        payload = climb(schema.migrations, older, record.header.schema_version, at)
        shape = shapes.get(at, "json")
    if encode_payload(payload) == frozen:
        return ""
    try:
        paths = differing(shape, decode_payload(frozen, GOLDEN_KEY, None), payload)
    except CheckpointError as error:
        return f"what it was at version {at} is no payload: {reason_of(error)}"
    named = f": {', '.join(paths)}" if paths else " in its bytes"
    return f"another value at version {at} than the frozen one{named}"


# ---------------------------------------------------------------------------------- downgrades


def judge_downgrade(schema: Schema[Any], goldens: Mapping[int, Goldens]) -> tuple[str, ...]:
    """Return what the downgrades of a schema lose, of values that an older version can express.

    Whatever an older version can say, in goldens or in generated payloads of its shape, is
    upgraded; from there it has to go down and up again unchanged. And no downgrade may fail, but
    for a `DowngradeLossError`, on any value that the class takes.

    Args:
        schema: The schema.
        goldens: The goldens of its versions, by version.

    Returns:
        A text for each problem, with the names of the fields; never a value.

    Raises:
        MissingExtraError: Hypothesis is not installed.
    """
    problems: list[str] = []
    own = list(_candidates(schema, schema.shape, goldens, schema.version, _OWN))
    for start, downgrade in schema.downgrades.items():
        version = start - 1
        lost: dict[str, str] = {}
        failed: dict[str, str] = {}
        for source, payload in _candidates(schema, downgrade.shape, goldens, version, _GENERATED):
            _descend(schema, payload, version, source, lost, failed)
        for source, payload in own:
            _descend(schema, payload, version, source, {}, failed)
        if lost:
            first = next(iter(lost.values()))
            problems.append(
                f"version {version} can express it, and on the way down from version "
                f"{schema.version} and up again it changes: {', '.join(lost)} (as in {first})"
            )
        problems += [f"{problem} (as for {source})" for problem, source in failed.items()]
    return tuple(dict.fromkeys(problems))


def _candidates(
    schema: Schema[Any], shape: Shape, goldens: Mapping[int, Goldens], version: int, count: int
) -> Iterator[tuple[str, Payload]]:
    """Give payloads of a version, upgraded, each with the name of where it comes from."""
    stored = list(_stored(goldens, version))
    hooks = hook_samples(schema, shape, [payload for _, payload in stored])
    made = [*edges(shape, hooks), *draw(shape, hooks, count)]
    for source, payload in [
        *stored,
        *((f"a generated value of version {version}", m) for m in made),
    ]:
        try:
            upgraded = schema.upgrade(_copied(payload), version)
            schema.structure(upgraded)
        except (MigrationError, StructureError):
            continue  # nobody had it: a shape allows more than a class
        yield source, upgraded


def payloads_of(goldens: Goldens) -> list[Payload]:
    """Return the payloads of goldens in their own version."""
    records = [open_envelope(envelope, GOLDEN_KEY) for envelope in goldens.envelopes]
    return [decode_payload(record.payload, GOLDEN_KEY, None) for record in records]


def _stored(goldens: Mapping[int, Goldens], version: int) -> Iterator[tuple[str, Payload]]:
    """Give what goldens have of a version: its own, and what older ones became in it."""
    own = goldens.get(version)
    if own is None:
        return
    for number, payload in enumerate(payloads_of(own), 1):
        yield f"golden {number} of version {version}", payload
    for older, payloads in own.becomes.items():
        for number, data in enumerate(payloads, 1):
            payload = decode_payload(data, GOLDEN_KEY, None)
            yield f"golden {number} of version {older}", payload


def _copied(payload: Payload) -> Payload:
    """Return a payload anew: migrations and downgrades may change what they get."""
    copied: Payload = json.loads(canonical(payload))
    return copied


def _descend(
    schema: Schema[Any],
    payload: Payload,
    version: int,
    source: str,
    lost: dict[str, str],
    failed: dict[str, str],
) -> None:
    """Go down to a version and up again; note what is lost, and what fails."""
    try:
        schema.downgrade(_copied(payload), version)
    except DowngradeLossError as error:
        for path in error.fields:
            lost.setdefault(path, source)
    except MigrationError as error:
        failed.setdefault(reason_of(error), source)


# --------------------------------------------------------------------------------------- texts


def _numbered(version: int, numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"version {version}, golden {first}:"
    if len(numbers) == last - first + 1:
        return f"version {version}, goldens {first} to {last}:"
    return f"version {version}, goldens {', '.join(map(str, numbers))}:"


def reason_of(error: CheckpointError) -> str:
    """Return what is wrong, without what to do about a stored checkpoint: a golden is none."""
    if isinstance(error, CorruptCheckpointError):
        return error.reason
    if isinstance(error, StructureError):
        return "; ".join(error.problems)
    if isinstance(error, MigrationError):
        way = "migration" if error.end > error.step else "downgrade"
        return f"the {way} from version {error.step} to {error.end} failed: {error.problem}"
    return str(error)
