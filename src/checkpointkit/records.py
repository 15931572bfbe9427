"""Envelope and store together, without any class: read, list, check, recover, roll back.

A *record* is an envelope read from a store. The command line works on records, and so does all
of the manager that needs no schema.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from checkpointkit.envelope import (
    HEADER_LIMIT,
    Envelope,
    Header,
    make_header,
    open_envelope,
    open_header,
    seal_envelope,
    timestamp,
)
from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    EnvelopeVersionError,
)
from checkpointkit.stores.base import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from checkpointkit.stores.base import Entry, Store

_log: Final = logging.getLogger("checkpointkit")
_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class CheckpointInfo:
    """What is known of one generation.

    Attributes:
        key: The key.
        generation: Its number; pass it as `expected=` for a compare-and-swap.
        kind: The kind; empty where `problem` hides it.
        schema_version: The schema version; 0 where `problem` hides it.
        created_at: When it was saved, aware, in UTC; 1970 where that is not known.
        size: Bytes stored, envelope included.
        digest: The digest of line 1 (`sha256:…`), which vouches for all of it.
        problem: What is wrong with it, in words; None for a good one.
    """

    key: str
    generation: int
    kind: str
    schema_version: int
    created_at: datetime
    size: int
    digest: str
    problem: str | None = None


@frozen
class Recovery:
    """What `recover` found and did.

    Attributes:
        key: The key.
        problem: What was wrong with the newest generation; None if it was good, and then nothing
            was done.
        restored_from: The generation whose payload is the newest state now.
        info: The new generation that was saved for it.
        evidence: Where the damaged bytes are kept; None for a store that keeps none.
    """

    key: str
    problem: str | None = None
    restored_from: int | None = None
    info: CheckpointInfo | None = None
    evidence: str | None = None


@frozen
class Problem:
    """Something that `verify` or `migrate` came upon.

    Attributes:
        key: The key.
        generation: The generation; None where it is not known.
        error: What was raised for it.
    """

    key: str
    generation: int | None
    error: CheckpointError


@frozen
class Report:
    """The outcome of a pass over many checkpoints.

    Attributes:
        checked: How many generations were read.
        changed: The keys that were saved anew.
        problems: What was found.
    """

    checked: int
    changed: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there was no problem."""
        return not self.problems


@frozen
class State:
    """What a seal wraps: payload bytes, and what the header says of them."""

    kind: str
    schema_version: int
    fingerprint: str
    payload: bytes

    @classmethod
    def of(cls, envelope: Envelope) -> State:
        """Return the state of an envelope, to be saved again as it is."""
        header = envelope.header
        return cls(header.kind, header.schema_version, header.fingerprint, envelope.payload)


class StateSeal:
    """The seal for one state of one key; remembers what it sealed last.

    Args:
        key: The key.
        state: What to save.
        now: The time for the header.
        check: Called with the present newest record, which verified; may raise to refuse.
    """

    def __init__(
        self, key: str, state: State, now: datetime, check: Callable[[Envelope], None]
    ) -> None:
        self._key = key
        self._state = state
        self._now = now
        self._check = check
        self._sealed: tuple[Header, str, int]

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        """See `checkpointkit.stores.base.Seal`."""
        digest = None
        if previous is not None:
            before = open_previous(previous, self._key)
            self._check(before)
            digest = before.digest
        return self.seal(generation, digest)

    def seal(self, generation: int, previous: str | None) -> bytes:
        """Return the envelope for a generation that follows the one with digest `previous`."""
        state = self._state
        header = make_header(
            key=self._key,
            kind=state.kind,
            schema_version=state.schema_version,
            fingerprint=state.fingerprint,
            generation=generation,
            created_at=timestamp(self._now),
            previous=previous,
            payload=state.payload,
        )
        sealed, digest = seal_envelope(header, state.payload)
        self._sealed = (header, digest, len(sealed))
        return sealed

    def info(self) -> CheckpointInfo:
        """Return what is known of the generation that was sealed last."""
        header, digest, size = self._sealed
        return _info(header, digest, size)


class _RecoverySeal(StateSeal):
    """Seals only while the newest generation still is damaged."""

    def __init__(self, key: str, state: State, now: datetime, source: str) -> None:
        super().__init__(key, state, now, lambda _: None)
        self._source = source

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        problem = None if previous is None else _problem(previous, self._key)
        if problem is None:
            raise ConflictError(self._key, None, generation)  # somebody else was quicker
        return self.seal(generation, self._source)


def open_previous(previous: bytes | Damaged, key: str) -> Envelope:
    """Verify what a seal was given as the newest generation.

    Raises:
        CorruptCheckpointError: It is damaged.
        EnvelopeVersionError: A newer release wrote its envelope.
    """
    if isinstance(previous, Damaged):
        raise CorruptCheckpointError(key, None, previous.reason)
    return open_envelope(previous, key)


def read_record(store: Store, key: str, generation: int | None = None) -> Envelope:
    """Read and verify one record.

    Raises:
        CheckpointNotFoundError: There is none.
        CorruptCheckpointError: It is damaged.
        EnvelopeVersionError: A newer release wrote its envelope.
        StoreError: The store could not read it.
    """
    return open_envelope(store.read(key, generation), key, generation)


def info_of(data: bytes, key: str) -> CheckpointInfo:
    """Return what the header of stored bytes says; the payload is not looked at.

    Raises:
        CorruptCheckpointError: The header is damaged.
    """
    header, digest, start = open_header(data, key)
    return _info(header, digest, start + header.payload_size)


def info_of_record(record: Envelope) -> CheckpointInfo:
    """Return what is known of a record that was read."""
    return _info(record.header, record.digest, record.size)


def _info(header: Header, digest: str, size: int) -> CheckpointInfo:
    try:
        created_at = datetime.fromisoformat(header.created_at)
    except ValueError:  # 31 February, say: some other program wrote it
        created_at = _UNKNOWN_TIME
    return CheckpointInfo(
        header.key,
        header.generation,
        header.kind,
        header.schema_version,
        created_at,
        size,
        f"sha256:{digest}",
    )


def history(store: Store, key: str) -> tuple[CheckpointInfo, ...]:
    """Return what is known of each generation, newest first; `problem` is set on a bad one.

    Each is read whole and verified. An absent key has no history.
    """
    found = []
    for entry in store.history(key):
        try:
            found.append(info_of_record(read_record(store, key, entry.generation)))
        except CheckpointNotFoundError:
            continue  # pruned a moment ago
        except (CheckpointTooLargeError, CorruptCheckpointError, EnvelopeVersionError) as error:
            problem = error.reason if isinstance(error, CorruptCheckpointError) else str(error)
            found.append(_damaged(store, key, entry, problem))
    return tuple(found)


def _damaged(store: Store, key: str, entry: Entry, problem: str) -> CheckpointInfo:
    """Return what is left of a damaged generation: all of its header, if that verifies."""
    try:
        info = info_of(store.read(key, entry.generation, HEADER_LIMIT), key)
    except (CheckpointNotFoundError, CorruptCheckpointError, EnvelopeVersionError):
        info = CheckpointInfo(key, entry.generation, "", 0, _UNKNOWN_TIME, entry.size, "")
    return evolve(info, problem=problem)


def verify(
    store: Store,
    keys: Iterable[str] | None = None,
    *,
    check: Callable[[str, Envelope], None] = lambda key, record: None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read every generation and see that it verifies.

    Args:
        store: The store.
        keys: Which keys; None for all.
        check: Called with each newest record; what it raises is a problem, too.
        progress: Called with the number of keys done and the number of all.
    """
    chosen = store.keys() if keys is None else tuple(keys)
    problems: list[Problem] = []
    checked = 0
    for done, key in enumerate(chosen, 1):
        newest = True
        for entry in store.history(key):
            try:
                record = read_record(store, key, entry.generation)
                if newest:
                    check(key, record)
            except CheckpointNotFoundError:
                continue  # pruned or removed a moment ago
            except CheckpointError as error:
                problems.append(Problem(key, entry.generation, error))
            checked += 1
            newest = False
        if progress is not None:
            progress(done, len(chosen))
    return Report(checked, problems=tuple(problems))


def recover(store: Store, key: str, now: datetime) -> Recovery:
    """Go on from the newest good generation where the newest one is damaged.

    *Good* means that the envelope verifies. Its payload is saved as a new generation; the damaged
    bytes are kept as evidence, if the store does that.

    Raises:
        CheckpointNotFoundError: The key is absent.
        CorruptCheckpointError: No generation is good; nothing was changed.
        EnvelopeVersionError: A newer release wrote the newest one; nothing was changed.
    """
    while True:
        entries = store.history(key)
        if not entries:
            raise CheckpointNotFoundError(key)
        try:
            problem = _problem(store.read(key, entries[0].generation), key)
        except CheckpointNotFoundError:
            continue  # saved or removed in the meantime
        except CorruptCheckpointError as error:
            problem = error.reason
        except CheckpointTooLargeError as error:
            problem = f"it has {error.size} bytes, more than the store reads"
        if problem is None:
            return Recovery(key)
        source = _newest_good(store, key, [entry.generation for entry in entries[1:]])
        if source is None:
            reason = f"{problem}; no older generation is good: copy what you need, then remove it"
            raise CorruptCheckpointError(key, entries[0].generation, reason)
        evidence = None
        try:
            if "set_aside" in store.features:
                evidence = store.set_aside(key, entries[0].revision)
                # The newest file under its own number may be good: somebody edited the other name.
                left = [entry.generation for entry in store.history(key)[1:]]
                source = _newest_good(store, key, left) or source
            seal = _RecoverySeal(key, State.of(source), now, source.digest)
            store.write(key, seal)
        except ConflictError:
            continue  # somebody else saved or recovered it
        restored = source.header.generation
        _log.warning("checkpoint %r: %s; recovered from generation %d", key, problem, restored)
        return Recovery(key, problem, restored, seal.info(), evidence)


def _newest_good(store: Store, key: str, generations: Iterable[int]) -> Envelope | None:
    for generation in generations:
        try:
            return read_record(store, key, generation)
        except (
            CheckpointNotFoundError,
            CheckpointTooLargeError,
            CorruptCheckpointError,
            EnvelopeVersionError,
        ):
            continue
    return None


def _problem(data: bytes | Damaged, key: str) -> str | None:
    """Say what is wrong with stored bytes; None where they are good."""
    try:
        open_previous(data, key)
    except CorruptCheckpointError as error:
        return error.reason
    return None
