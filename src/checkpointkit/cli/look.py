"""Looking at one stored generation: all that its header tells, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from checkpointkit.cli.text import UNKNOWN, bytes_text, moment_text, since_text
from checkpointkit.cli.trouble import Around, Trouble, trouble
from checkpointkit.envelope import HEADER_LIMIT, Header, open_envelope, open_header
from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    CorruptCheckpointError,
    EnvelopeVersionError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from checkpointkit.cli.target import Target
    from checkpointkit.stores.base import Entry, Store


@frozen
class Look:
    """What was seen of one generation.

    Attributes:
        key: The key.
        generation: Its number; None where not even that could be read.
        newest: Whether it is the newest one.
        size: The bytes that are stored.
        header: Its header, if that verifies.
        digest: The digest of line 1, likewise.
        payload: The payload, if it was read and verifies.
        error: What is wrong with it.
        pinned: Whether it is pinned.
    """

    key: str
    generation: int | None
    newest: bool
    size: int | None
    header: Header | None = None
    digest: str | None = None
    payload: bytes | None = None
    error: CheckpointError | None = None
    pinned: bool = False

    @property
    def good(self) -> bool:
        """Whether all of it was read and verifies."""
        return self.payload is not None

    def verified(self) -> bytes:
        """Return the payload of one that was read whole.

        Raises:
            CheckpointError: Something is wrong with it.
        """
        if self.error is not None:
            raise self.error
        return self.payload or b""


def look_at_newest(store: Store, key: str) -> Look | None:
    """Look at the header of a key's newest generation; None where the key is absent."""
    while True:
        try:
            entries = store.history(key)
        except CheckpointError as error:
            return Look(key, None, newest=True, size=None, error=error)
        if not entries:
            return None
        seen = look_at(store, key, entries[0], newest=True, whole=False)
        if seen is not None:
            return seen


def look_at_all(store: Store, key: str) -> tuple[Look, ...]:
    """Read and verify each generation of a key, newest first."""
    while True:
        found = [
            look_at(store, key, entry, newest=number == 0, whole=True)
            for number, entry in enumerate(store.history(key))
        ]
        if not found or found[0] is not None:
            return tuple(seen for seen in found if seen is not None)


def look_at(store: Store, key: str, entry: Entry, *, newest: bool, whole: bool) -> Look | None:
    """Look at one generation.

    Args:
        store: The store.
        key: The key.
        entry: The generation.
        newest: Whether it is the newest one.
        whole: Whether to read the payload, too.

    Returns:
        None where it was pruned or removed a moment ago.
    """
    seen = Look(key, entry.generation, newest, entry.size, pinned=entry.pinned)
    try:
        try:
            data = store.read(key, entry.generation, None if whole else HEADER_LIMIT)
        except CheckpointTooLargeError as error:
            seen = evolve(seen, error=error)
            data = store.read(key, entry.generation, HEADER_LIMIT)
    except CheckpointNotFoundError:
        return None
    except CheckpointError as error:
        return evolve(seen, error=error)
    try:
        header, digest, start = open_header(data, key)
        seen = evolve(seen, header=header, digest=digest)
        open_header(data, key, entry.generation)
        _check_size(header, start, entry)
        if whole and seen.error is None:
            seen = evolve(seen, payload=open_envelope(data, key, entry.generation).payload)
    except (CorruptCheckpointError, EnvelopeVersionError) as error:
        seen = evolve(seen, error=error)
    return seen


def _check_size(header: Header, start: int, entry: Entry) -> None:
    """Compare what the header says with the size of the file, which needs no reading."""
    size = entry.size - start
    if size != header.payload_size:
        reason = f"the payload has {size} bytes, not {header.payload_size}"
        raise CorruptCheckpointError(header.key, entry.generation, reason)


def trouble_with(seen: Look, target: Target, *, others_good: bool | None = None) -> Trouble | None:
    """Return what is wrong with a generation; None where nothing is."""
    if seen.error is None:
        return None
    around = Around(seen.newest, others_good)
    return trouble(seen.error, target, seen.key, seen.generation, around)


def state_of(seen: Look) -> str:
    """Return the state of a generation in a word or two."""
    match seen.error:
        case None:
            return "good" if seen.good else "header good"
        case CorruptCheckpointError():
            return "corrupt"
        case EnvelopeVersionError():
            return "newer format"
        case CheckpointTooLargeError():
            return "too large"
        case _:
            return "unreadable"


def shown_state(seen: Look) -> str:
    """Return the state as people read it."""
    return f"{state_of(seen)}, pinned" if seen.pinned else state_of(seen)


def times_of(seen: Look, now: datetime) -> tuple[str, str]:
    """Return when a generation was saved, and how long ago that is."""
    if seen.header is None:
        return UNKNOWN, UNKNOWN
    stored = seen.header.created_at
    return moment_text(stored), since_text(stored, now)


COLUMNS = ("GENERATION", "KIND", "VERSION", "SIZE", "SAVED", "AGE", "STATE")
NUMBERS = ("GENERATION", "VERSION", "SIZE", "AGE")


def cells(seen: Look, now: datetime) -> tuple[str, ...]:
    """Return the row of a table for a generation; see `COLUMNS`."""
    header = seen.header
    return (
        UNKNOWN if seen.generation is None else str(seen.generation),
        UNKNOWN if header is None else header.kind,
        UNKNOWN if header is None else str(header.schema_version),
        UNKNOWN if seen.size is None else bytes_text(seen.size),
        *times_of(seen, now),
        shown_state(seen),
    )


def document_of(seen: Look, target: Target, problem: Trouble | None) -> dict[str, Any]:
    """Return what programs read of a generation; null where it is not known."""
    names = Header._fields
    header = dict.fromkeys(names) if seen.header is None else seen.header._asdict()
    return {
        "scope": list(target.scope),
        "key": seen.key,
        "generation": seen.generation,
        "newest": seen.newest,
        "pinned": seen.pinned,
        "kind": header["kind"],
        "schema_version": header["schema_version"],
        "fingerprint": header["fingerprint"],
        "created_at": header["created_at"],
        "size": seen.size,
        "payload_size": header["payload_size"],
        "payload_sha256": header["payload_sha256"],
        "digest": seen.digest and f"sha256:{seen.digest}",
        "previous": header["previous"] and f"sha256:{header['previous']}",
        "state": state_of(seen),
        "problem": problem and problem.document(),
    }
