"""Where schema and record meet: a value to the state that a seal wraps, and a record to a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from checkpointkit.chain import located
from checkpointkit.envelope import decode_payload, encode_payload
from checkpointkit.errors import (
    CheckpointError,
    DowngradeLossError,
    EncodeError,
    MigrationError,
    SchemaDriftError,
    StructureError,
    VersionTooNewError,
    VersionTooOldError,
    WrongKindError,
)
from checkpointkit.fingerprint import drifted
from checkpointkit.records import State

if TYPE_CHECKING:
    from checkpointkit.envelope import Envelope
    from checkpointkit.schema import Schema

T = TypeVar("T")


def state_of(schema: Schema[T], key: str, value: T) -> State:
    """Return the state of a value, in the version that the schema writes.

    Raises:
        EncodeError: The value does not fit the schema.
        DowngradeLossError: The version that is written cannot express it.
        MigrationError: A downgrade failed.
    """
    version = schema.write_version
    failure: EncodeError | DowngradeLossError | MigrationError
    try:
        payload = schema.dump(value)
        if version != schema.version:
            payload = schema.downgrade(payload, version)
        return State(schema.kind, version, schema.fingerprints[version], encode_payload(payload))
    except (EncodeError, DowngradeLossError, MigrationError) as error:
        failure = error.at(key)
    raise failure


def check_replaceable(schema: Schema[Any], record: Envelope) -> None:
    """Refuse to overwrite what this schema would refuse to read, but for what is too old.

    Raises:
        WrongKindError: It is of another kind.
        VersionTooNewError: A newer release saved it.
        SchemaDriftError: It has a version that the schema knows, and another shape.
    """
    header = record.header
    if header.kind != schema.kind:
        raise WrongKindError(header.key, header.kind, schema.kind)
    version = header.schema_version
    if version > schema.version:
        raise VersionTooNewError(header.key, version, schema.oldest, schema.version)
    own = schema.fingerprints.get(version, header.fingerprint)
    if drifted(header.fingerprint, own):
        problems = _misfits(schema, record)
        raise SchemaDriftError(header.key, version, header.fingerprint, own, problems)


def value_of(schema: Schema[T], key: str, record: Envelope) -> T:
    """Return the value of a record, migrated and structured.

    Raises:
        CheckpointError: As `check_replaceable`, and
        VersionTooOldError: It is older than the schema's first migration.
        CorruptCheckpointError: The payload is no JSON object.
        MigrationError: A migration failed; it names the path.
        StructureError: The payload does not have the shape of the class.
    """
    check_replaceable(schema, record)
    version = record.header.schema_version
    if version < schema.oldest:
        raise VersionTooOldError(key, version, schema.oldest, schema.version)

    def payload() -> dict[str, Any]:
        return decode_payload(record.payload, key, record.header.generation)

    failure: MigrationError | StructureError
    try:
        return schema.load(payload(), version)
    except StructureError as error:
        failure = error.at(key)
    except MigrationError as error:
        # The migrations may have changed their payload: the path is looked for in a fresh one.
        failure = located(error, schema.migrations, payload(), version).at(key)
    raise failure


def _misfits(schema: Schema[Any], record: Envelope) -> tuple[str, ...]:
    """Return what of a record does not fit the class of its version.

    That class is at hand for the schema's own version alone; for an older one that is written it
    is enough to say that the fingerprints differ.
    """
    header = record.header
    if header.schema_version != schema.version:
        return ()
    try:
        schema.structure(decode_payload(record.payload, header.key, header.generation))
    except StructureError as error:
        return error.problems
    except CheckpointError:
        return ("it is no JSON object",)
    return ()
