"""Envelope and store together, without any class: read, list, check, recover, roll back.

A *record* is an envelope read from a store. The command line works on records, and so does all
of the manager that needs no schema.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from attrs import evolve, frozen

from checkpointkit.envelope import (
    HEADER_LIMIT,
    Envelope,
    Header,
    digest_of,
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
    WrongKindError,
)
from checkpointkit.stores.base import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from checkpointkit.stores.base import Entry, Store

T = TypeVar("T")

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
        pinned: Whether it is pinned, as far as `history` found; whatever else returns an info
            leaves it out.
    """

    key: str
    generation: int
    kind: str
    schema_version: int
    created_at: datetime
    size: int
    digest: str
    problem: str | None = None
    pinned: bool = False


@frozen
class Checkpoint(Generic[T]):
    """A value with what is known of the generation that it was read from or saved as.

    Attributes:
        value: The value.
        info: What is known of the generation.
    """

    value: T
    info: CheckpointInfo


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
    """Something that `verify`, `migrate` or `unpin` came upon.

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
        checked: How many generations `verify` has read or `unpin` has let go, or how many keys
            `migrate` has looked at.
        changed: The keys that were saved anew, or that had a pin.
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
        self._created_at = timestamp(now)
        self._check = check
        self._sealed: tuple[Header, str, int]

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        """See `checkpointkit.stores.base.Seal`."""
        if isinstance(previous, Damaged):
            raise CorruptCheckpointError(self._key, None, previous.reason)
        return self.seal(generation, None if previous is None else self._before(previous))

    def _before(self, previous: bytes) -> str:
        """Check what is there, and return its digest."""
        record = open_envelope(previous, self._key)
        self._check(record)
        return record.digest

    def seal(self, generation: int, previous: str | None) -> bytes:
        """Return the envelope for a generation that follows the one with digest `previous`."""
        state = self._state
        header = make_header(
            key=self._key,
            kind=state.kind,
            schema_version=state.schema_version,
            fingerprint=state.fingerprint,
            generation=generation,
            created_at=self._created_at,
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


class _RollbackSeal(StateSeal):
    """Seals over whatever is intact and of the same kind, a newer release's state included."""

    def _before(self, previous: bytes) -> str:
        try:
            return super()._before(previous)
        except EnvelopeVersionError:
            # Its header means nothing to this release; its digest stands where it always stands.
            return digest_of(previous)


class _RecoverySeal(StateSeal):
    """Seals only while the newest generation still is damaged."""

    def __init__(self, key: str, state: State, now: datetime, source: str) -> None:
        super().__init__(key, state, now, lambda _: None)
        self._source = source

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        problem = None if previous is None else _problem(previous, self._key, None)
        if problem is None:
            raise ConflictError(self._key, None, generation)  # somebody else was quicker
        return self.seal(generation, self._source)


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
            info = info_of_record(read_record(store, key, entry.generation))
        except CheckpointNotFoundError:
            continue  # pruned a moment ago
        except (CheckpointTooLargeError, CorruptCheckpointError, EnvelopeVersionError) as error:
            problem = error.reason if isinstance(error, CorruptCheckpointError) else str(error)
            info = _damaged(store, key, entry, problem)
        found.append(evolve(info, pinned=True) if entry.pinned else info)
    return tuple(found)


def _damaged(store: Store, key: str, entry: Entry, problem: str) -> CheckpointInfo:
    """Return what is left of a damaged generation: all of its header, if that verifies."""
    try:
        info = info_of(store.read(key, entry.generation, HEADER_LIMIT), key)
    except (CheckpointNotFoundError, CorruptCheckpointError, EnvelopeVersionError):
        info = CheckpointInfo(key, entry.generation, "", 0, _UNKNOWN_TIME, entry.size, "")
    return evolve(info, generation=entry.generation, size=entry.size, problem=problem)


def _accept(_key: str, _record: Envelope) -> None:
    """Find nothing wrong with a record that verified."""


def verify(
    store: Store,
    keys: Iterable[str] | None = None,
    *,
    check: Callable[[str, Envelope], None] = _accept,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read every generation and see that it verifies.

    Args:
        store: The store.
        keys: Which keys; None for all. One that is absent is a problem.
        check: Called with each newest record; what it raises is a problem, too.
        progress: Called with the number of keys done and the number of all.
    """
    chosen = store.keys() if keys is None else tuple(keys)
    problems: list[Problem] = []
    checked = 0
    for done, key in enumerate(chosen, 1):
        try:
            entries = store.history(key)
        except CheckpointError as error:
            problems.append(Problem(key, None, error))
            entries = ()
        else:
            if keys is not None and not entries:
                problems.append(Problem(key, None, CheckpointNotFoundError(key)))
        for number, entry in enumerate(entries):
            try:
                record = read_record(store, key, entry.generation)
                if number == 0:
                    check(key, record)
            except CheckpointNotFoundError:
                continue  # pruned or removed a moment ago
            except CheckpointError as error:
                problems.append(Problem(key, entry.generation, error))
            checked += 1
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
        CheckpointTooLargeError: The newest one is larger than the store reads, and whole as far
            as its header tells.
        StoreError: The store could not read or save it.
    """
    while True:
        entries = store.history(key)
        if not entries:
            raise CheckpointNotFoundError(key)
        try:
            problem = _damage(store, key, entries[0].generation)
        except CheckpointNotFoundError:
            continue  # saved or removed in the meantime
        if problem is None:
            return Recovery(key)
        source = _newest_good(store, key, [entry.generation for entry in entries[1:]])
        if source is None:
            if store.history(key)[:1] != entries[:1]:
                continue  # somebody was quicker, and the older ones are gone by now
            raise CorruptCheckpointError(key, entries[0].generation, problem, False)  # noqa: FBT003 - by position, as pickled
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


def _damage(store: Store, key: str, generation: int) -> str | None:
    """Say what is wrong with a stored generation; None where it is good."""
    try:
        return _problem(store.read(key, generation), key, generation)
    except CorruptCheckpointError as error:
        return error.reason
    except CheckpointTooLargeError as error:
        return _oversized(store, key, generation, error)


def _oversized(store: Store, key: str, generation: int, error: CheckpointTooLargeError) -> str:
    """Say what is wrong with a file that is larger than the store reads.

    Raises:
        CheckpointTooLargeError: Nothing, as far as its header tells: it was saved with a larger
            `max_bytes`.
    """
    try:
        header, _, start = open_header(store.read(key, generation, HEADER_LIMIT), key, generation)
    except CorruptCheckpointError as problem:
        return problem.reason
    if start + header.payload_size == error.size:
        raise error
    return f"it has {error.size} bytes, not {start + header.payload_size}"


def rollback(store: Store, key: str, generation: int, now: datetime) -> CheckpointInfo:
    """Save an older generation's payload, as it is, as a new generation.

    Raises:
        CheckpointNotFoundError: There is no such generation.
        CorruptCheckpointError: It, or the newest generation, is damaged.
        EnvelopeVersionError: A newer release wrote its envelope.
        WrongKindError: The newest generation is of another kind.
        StoreError: The store could not read or save it.
    """
    source = read_record(store, key, generation)
    kind = source.header.kind

    def check(newest: Envelope) -> None:
        if newest.header.kind != kind:
            raise WrongKindError(key, newest.header.kind, kind)

    seal = _RollbackSeal(key, State.of(source), now, check)
    store.write(key, seal)
    _log.warning("checkpoint %r: rolled back to generation %d", key, generation)
    return seal.info()


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


def _problem(data: bytes | Damaged, key: str, generation: int | None) -> str | None:
    """Say what is wrong with stored bytes; None where they are good."""
    if isinstance(data, Damaged):
        return data.reason
    try:
        open_envelope(data, key, generation)
    except CorruptCheckpointError as error:
        return error.reason
    return None
