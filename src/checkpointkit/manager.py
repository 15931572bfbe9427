"""`CheckpointManager`: the only place where key, schema, record and store meet.

On the way down an object becomes a payload, a payload an envelope, an envelope stored bytes; on
the way up the other way round. Everything is checked on both ways, and nothing is guessed.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from checkpointkit import migrating, records
from checkpointkit.envelope import Envelope, open_envelope
from checkpointkit.errors import (
    BatchError,
    CheckpointError,
    CheckpointNotFoundError,
    ConflictError,
    CorruptCheckpointError,
)
from checkpointkit.keys import check_key, chosen_keys
from checkpointkit.records import Checkpoint, CheckpointInfo, Recovery, Report, StateSeal
from checkpointkit.stores.base import Absent
from checkpointkit.translate import check_replaceable, state_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from checkpointkit.migrating import MigrationReport
    from checkpointkit.schema import Schema
    from checkpointkit.stores.base import Expected, Store

T = TypeVar("T")
D = TypeVar("D")

_log: Final = logging.getLogger("checkpointkit")
_NO_DEFAULT: Final = object()
_LONGEST_WAIT: Final = 0.1
"""Seconds between two tries of `update`, at most."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CheckpointManager(Generic[T]):
    """Saves values of one type under keys, and gives back what was saved, or an error.

    Safe to use from several threads, and with a store of the feature `shared` from several
    processes at the same time.

    Args:
        store: Where the checkpoints live.
        schema: The format of the values.
        clock: Tells the time for headers, aware.

    Example:
        >>> from attrs import frozen
        >>> from checkpointkit import MemoryStore, Schema
        >>> @frozen
        ... class Devices:
        ...     ids: tuple[str, ...]
        >>> schema = Schema(Devices, kind="example.com/devices", version=1)
        >>> manager = CheckpointManager(MemoryStore(), schema)
        >>> manager.create("node-a", Devices(("gpu0",))).generation
        1
        >>> manager.get("node-a")
        Devices(ids=('gpu0',))
    """

    def __init__(
        self, store: Store, schema: Schema[T], *, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._store = store
        self._schema = schema
        self._clock = clock

    @property
    def store(self) -> Store:
        """The store."""
        return self._store

    @property
    def schema(self) -> Schema[T]:
        """The schema."""
        return self._schema

    def create(self, key: str, value: T, *, expected: Expected = None) -> CheckpointInfo:
        """Save `value` as the newest generation of `key`; durable when it returns.

        A present checkpoint is replaced, after it was read and verified: a damaged one, one of a
        newer release, of another kind or shape is never overwritten.

        Args:
            key: The key.
            value: A value of the schema's type, exactly.
            expected: Save only if this is the newest generation, or with `ABSENT` only if there
                is none: a compare-and-swap.

        Raises:
            InvalidKeyError: The key breaks the grammar.
            EncodeError: The value does not fit the schema; raised before any I/O.
            DowngradeLossError: The schema's `write_version` cannot express the value; raised
                before any I/O, as a `MigrationError` is for a downgrade that fails.
            ConflictError: The newest generation is not the expected one.
            CorruptCheckpointError: The present one is damaged; call `recover` or `remove`.
            VersionTooNewError: A newer release saved the present one.
            WrongKindError: The present one is of another kind.
            SchemaDriftError: The present one has the same version and another shape.
            EnvelopeVersionError: A newer release of checkpointkit saved the present one.
            CheckpointTooLargeError: The envelope is larger than the store takes.
            StoreError: The store could not save it; what was there before is unchanged, but see
                `OutcomeUnknownError`.
            LockTimeoutError: Another writer held the key too long.
            ReadOnlyError: The store was opened read-only.
        """
        key = check_key(key)
        _check_expected(expected)
        seal = self._seal(key, value)
        self._write(key, seal, expected)
        return seal.info()

    def create_many(self, values: Mapping[str, T]) -> tuple[CheckpointInfo, ...]:
        """Save several keys, each as `create` does, in less time than one by one.

        Each key is saved whole or not at all; the batch may be saved in part. Nothing is saved if
        one of the values or keys is wrong.

        Args:
            values: The values by key.

        Returns:
            What was saved, in the order of `values`.

        Raises:
            BatchError: Some keys failed; it tells which, and which are saved.
            InvalidKeyError: A key breaks the grammar; raised before any I/O.
            EncodeError: A value does not fit the schema; raised before any I/O, as
                `DowngradeLossError` and `MigrationError` are.
            ReadOnlyError: The store was opened read-only; nothing was saved.
            StoreError: The store is closed, or not in its place any more; nothing was saved.
        """
        checked = {check_key(key): value for key, value in values.items()}
        seals = {key: self._seal(key, value) for key, value in checked.items()}
        result = self._store.write_many(seals)
        infos = {key: seals[key].info() for key in seals if key in result.saved}
        if result.failed:
            for error in result.failed.values():
                _report(error)
            raise BatchError(infos, dict(result.failed))
        return tuple(infos.values())

    @overload
    def get(self, key: str, *, generation: int | None = None) -> T: ...
    @overload
    def get(self, key: str, *, default: D) -> T | D: ...
    def get(self, key: str, *, generation: int | None = None, default: object = _NO_DEFAULT) -> Any:
        """Return the value saved under `key`, verified, migrated, and structured. Never writes.

        Args:
            key: The key.
            generation: Which generation; None for the newest.
            default: Returned where the key is absent; never for a damaged checkpoint.

        Raises:
            InvalidKeyError: The key breaks the grammar.
            CheckpointNotFoundError: There is no such key or generation.
            CorruptCheckpointError: The bytes are not what was saved.
            CheckpointTooLargeError: There are more of them than the store reads.
            EnvelopeVersionError: A newer release of checkpointkit saved it.
            WrongKindError: It is of another kind.
            VersionTooNewError: A newer release saved it.
            VersionTooOldError: It is older than the schema's first migration.
            SchemaDriftError: It has the schema's version and another shape.
            MigrationError: A migration failed.
            StructureError: The payload does not have the shape of the class.
            StoreError: The store could not read it.
            TypeError: `generation` is no int, or `default` stands beside it.
        """
        key = check_key(key)
        if generation is not None:
            _check_generation(generation)
            if default is not _NO_DEFAULT:
                raise TypeError("default= stands for an absent key, not for a missing generation")
        try:
            record = self._read(key, generation)
        except CheckpointNotFoundError:
            if default is _NO_DEFAULT:
                raise
            return default
        return self._decode(key, record)

    def load(self, key: str, *, generation: int | None = None) -> Checkpoint[T]:
        """Return the value with its `CheckpointInfo`: what a compare-and-swap needs, in one read.

        Args:
            key: The key.
            generation: Which generation; None for the newest.

        Raises:
            CheckpointError: As `get`.

        Example:
            >>> from checkpointkit import MemoryStore, Schema
            >>> manager = CheckpointManager(
            ...     MemoryStore(), Schema(dict[str, int], kind="example.com/n", version=1)
            ... )
            >>> _ = manager.create("a", {"n": 1})
            >>> before = manager.load("a")
            >>> manager.create("a", {"n": 2}, expected=before.info.generation).generation
            2
        """
        key = check_key(key)
        if generation is not None:
            _check_generation(generation)
        record = self._read(key, generation)
        return Checkpoint(self._decode(key, record), records.info_of_record(record))

    def list(self, *, prefix: str = "") -> tuple[str, ...]:
        """Return the keys that begin with `prefix`, sorted; decodes nothing.

        Raises:
            StoreError: The store could not list them.
        """
        return self._store.keys(prefix)

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """Remove `key` with all its generations; durable when it returns.

        Removing an absent key is no error. It works on every checkpoint, whatever is in it.

        Args:
            key: The key.
            expected: Remove only if this is the newest generation.

        Raises:
            InvalidKeyError: The key breaks the grammar.
            ConflictError: The newest generation is not the expected one.
            CorruptCheckpointError: With `expected`: the damage hides which generation it is.
            StoreError: The store could not remove it.
            LockTimeoutError: Another writer held the key too long.
            ReadOnlyError: The store was opened read-only.
        """
        key = check_key(key)
        _check_expected(expected)
        self._store.remove(key, expected=expected)

    def update(self, key: str, change: Callable[[T], T]) -> Checkpoint[T]:
        """Replace the value by `change(value)`, safe against other writers.

        It loads, changes, and saves if nobody else has saved in between; else it begins again, as
        often as it takes. No lock is held while `change` runs, so it may take its time, may be
        called again, and must not do anything that may not happen twice.

        Args:
            key: The key.
            change: Returns the new value for the old one, and leaves the old one as it is.

        Returns:
            The value that was saved, and its generation.

        Raises:
            CheckpointNotFoundError: The key is absent.
            CheckpointError: Else as `get` and `create`.
        """
        from random import uniform  # noqa: PLC0415 - keeps `import checkpointkit` quick

        wait = _LONGEST_WAIT / 128
        while True:
            before = self.load(key)
            value = change(before.value)
            try:
                return Checkpoint(value, self.create(key, value, expected=before.info.generation))
            except ConflictError:
                time.sleep(uniform(0, wait))  # noqa: S311 - jitter, no secret
                wait = min(2 * wait, _LONGEST_WAIT)

    def history(self, key: str) -> tuple[CheckpointInfo, ...]:
        """Return what is known of each kept generation, newest first.

        `problem` is set on a damaged one. An absent key has no history.

        Raises:
            InvalidKeyError: The key breaks the grammar.
            StoreError: The store could not read it.
        """
        return records.history(self._store, check_key(key))

    def rollback(self, key: str, generation: int) -> CheckpointInfo:
        """Save an older generation's payload, as it is, as a new generation.

        It is also the way to go on with an older release after a newer one has saved.

        Args:
            key: The key.
            generation: The generation to go back to; `history` lists them.

        Raises:
            InvalidKeyError: The key breaks the grammar.
            TypeError: `generation` is no int.
            CheckpointNotFoundError: There is no such generation.
            CorruptCheckpointError: It, or the newest generation, is damaged.
            WrongKindError: It, or the newest generation, is of another kind.
            CheckpointError: It cannot be read with this schema, as `get` says; or it cannot be
                saved, as `create` says.
        """
        key = check_key(key)
        _check_generation(generation)
        self._decode(key, self._read(key, generation))
        try:
            return records.rollback(self._store, key, generation, self._clock())
        except CorruptCheckpointError as error:
            _report(error)
            raise

    def recover(self, key: str) -> Recovery:
        """Go on from the newest good generation where the newest one is damaged.

        *Good* means that its bytes are what was saved. Nothing is done where the newest
        generation is good; and migration, shape and version errors are none that this mends.

        Returns:
            What was found and done.

        Raises:
            InvalidKeyError: The key breaks the grammar.
            CheckpointNotFoundError: The key is absent.
            CorruptCheckpointError: No generation is good; nothing was changed.
            EnvelopeVersionError: A newer release of checkpointkit saved the newest one.
            CheckpointTooLargeError: The newest one is larger than the store reads, and whole as
                far as its header tells.
            LockTimeoutError: Another writer held the key too long.
            ReadOnlyError: There is something to recover, and the store was opened read-only.
            StoreError: The store could not read or save it.
        """
        return records.recover(self._store, check_key(key), self._clock())

    def verify(
        self,
        keys: Iterable[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:
        """Read every generation, and decode the newest one of each key; changes nothing.

        Args:
            keys: Which keys; None for all.
            progress: Called with the number of keys done and the number of all.

        Returns:
            What was found; an error of one key is a `Problem` in it, and ends nothing.

        Raises:
            InvalidKeyError: One of `keys` breaks the grammar; raised before any I/O.
            StoreError: The store could not list its keys.
            TypeError: `keys` is one text and not several.
        """
        return records.verify(
            self._store, chosen_keys(keys), check=self._check_readable, progress=progress
        )

    def migrate(
        self,
        keys: Iterable[str] | None = None,
        *,
        dry_run: bool = False,
        pin: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> MigrationReport:
        """Save every checkpoint of an older schema version anew, in the one that is written.

        Not needed for reading: `get` migrates on its way. What fails is reported and left as it
        is. Each key is migrated whole or not at all; a pass that was killed is begun again, and
        does the rest.

        Args:
            keys: Which keys; None for all.
            dry_run: Only find out what would be done, and what would fail.
            pin: Pin the generation that was the newest before, in a store with the feature
                `pins`: it stays, beside those of the store's `history`, until `unpin`; also
                where the save then fails.
            progress: Called with the number of keys done and the number of all.

        Returns:
            What was found and done; an error of one key is a `Problem` in it, and ends nothing.

        Raises:
            InvalidKeyError: One of `keys` breaks the grammar; raised before any I/O.
            StoreError: The store could not list its keys.
            TypeError: `keys` is one text and not several.

        Example:
            >>> from checkpointkit import MemoryStore, Schema
            >>> store, kind = MemoryStore(), "example.com/n"
            >>> old = CheckpointManager(store, Schema(dict[str, int], kind=kind, version=1))
            >>> _ = old.create("a", {"n": 1})
            >>> manager = CheckpointManager(
            ...     store,
            ...     Schema(
            ...         dict[str, int],
            ...         kind=kind,
            ...         version=2,
            ...         migrations={1: lambda old: {**old, "m": 0}},
            ...     ),
            ... )
            >>> manager.migrate(dry_run=True).versions
            {1: 1}
            >>> manager.migrate().changed
            ('a',)
            >>> [(info.schema_version, info.pinned) for info in manager.history("a")]
            [(2, False), (1, True)]
        """
        chosen = chosen_keys(keys)
        work = migrating.Pass(
            self._store,
            target=self._schema.write_version,
            read=lambda key: self._read(key, None),
            decode=self._decode,
            seal=self._seal,
            write=self._write,
            pin=pin and "pins" in self._store.features,
            dry_run=dry_run,
        )
        return work.run(self.list() if chosen is None else chosen, progress)

    def unpin(
        self,
        keys: Iterable[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:
        """Let every pinned generation go: those that `migrate` has kept, and any other.

        They count among the older ones again, and what is too old goes with the next save of its
        key. There is no way back from that to the state before a migration.

        Args:
            keys: Which keys; None for all.
            progress: Called with the number of keys done and the number of all.

        Returns:
            How many generations were pinned, and of which keys; an error of one key is a
            `Problem` in it, and ends nothing.

        Raises:
            InvalidKeyError: One of `keys` breaks the grammar; raised before any I/O.
            StoreError: The store could not list its keys.
            TypeError: `keys` is one text and not several.
        """
        return migrating.unpin(self._store, chosen_keys(keys), progress=progress)

    def _read(self, key: str, generation: int | None) -> Envelope:
        try:
            return open_envelope(self._store.read(key, generation), key, generation)
        except CorruptCheckpointError as error:
            _report(error)
            raise

    def _write(self, key: str, seal: StateSeal, expected: Expected) -> None:
        try:
            self._store.write(key, seal, expected=expected)
        except CorruptCheckpointError as error:
            _report(error)
            raise

    def _seal(self, key: str, value: T) -> StateSeal:
        state = state_of(self._schema, key, value)
        return StateSeal(key, state, self._clock(), self._check_replaceable)

    def _check_replaceable(self, record: Envelope) -> None:
        check_replaceable(self._schema, record)

    def _check_readable(self, key: str, record: Envelope) -> None:
        self._decode(key, record)

    def _decode(self, key: str, record: Envelope) -> T:
        return value_of(self._schema, key, record)


def _report(error: CheckpointError) -> None:
    """Log corruption: whoever handles the error may not say so, and an operator has to know."""
    if isinstance(error, CorruptCheckpointError):
        _log.warning("%s", error)


def _check_generation(generation: object) -> None:
    if type(generation) is not int:
        raise TypeError(f"generation is an int, not {type(generation).__name__}")


def _check_expected(expected: object) -> None:
    if expected is None or isinstance(expected, Absent):
        return
    if type(expected) is not int:
        raise TypeError(f"expected is a generation, ABSENT or None, not {type(expected).__name__}")
