"""Every exception of checkpointkit: one class for each cause, all under `CheckpointError`.

The arguments of an exception are its fields, so that each of them survives pickling (a worker
process, a queue), and the message is built from them. No message quotes a payload: a checkpoint
may hold secrets, and messages end up in logs.

The tree:

```
CheckpointError
├ InvalidKeyError(ValueError)            ├ CheckpointNotFoundError(LookupError)
├ CorruptCheckpointError
├ EnvelopeVersionError                   ├ WrongKindError
├ VersionError ── VersionTooNewError, VersionTooOldError
├ SchemaDriftError                       ├ LockFileError
├ MigrationError, DowngradeLossError     ├ EncodeError, StructureError
├ CheckpointTooLargeError                ├ ConflictError
├ BatchError                             ├ MissingExtraError(ImportError)
├ ReadOnlyError, LockTimeoutError
└ StoreError ── StoreUnavailableError, OutcomeUnknownError
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BatchError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "CheckpointTooLargeError",
    "ConflictError",
    "CorruptCheckpointError",
    "DowngradeLossError",
    "EncodeError",
    "EnvelopeVersionError",
    "InvalidKeyError",
    "LockFileError",
    "LockTimeoutError",
    "MigrationError",
    "MissingExtraError",
    "OutcomeUnknownError",
    "ReadOnlyError",
    "SchemaDriftError",
    "StoreError",
    "StoreUnavailableError",
    "StructureError",
    "VersionError",
    "VersionTooNewError",
    "VersionTooOldError",
    "WrongKindError",
]


def _named(key: str | None) -> str:
    return "checkpoint" if key is None else f"checkpoint {key!r}"


def _subject(key: str | None) -> str:
    return "store" if key is None else _named(key)


def _generation(generation: int | None) -> str:
    return "" if generation is None else f", generation {generation}"


class CheckpointError(Exception):
    """The base of every error that checkpointkit raises on purpose."""


class InvalidKeyError(CheckpointError, ValueError):
    """A key breaks the grammar of `checkpointkit.keys`; nothing was read or written.

    Attributes:
        key: The refused key, as `repr` shows it, cut to 80 characters.
        reason: What is wrong with it.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key} is no key: {self.reason}"


class CheckpointNotFoundError(CheckpointError, LookupError):
    """The key has no checkpoint, or not the generation that was asked for.

    Attributes:
        key: The key.
        generation: The generation that was asked for; None for the newest.
    """

    def __init__(self, key: str, generation: int | None = None) -> None:
        super().__init__(key, generation)
        self.key = key
        self.generation = generation

    def __str__(self) -> str:
        return f"no {_named(self.key)}{_generation(self.generation)}"


class CorruptCheckpointError(CheckpointError):
    """The stored bytes are not what was saved. They are kept; nothing falls back by itself.

    Call `recover(key)` to go on from the newest good generation, or `remove(key)` to start empty.

    Attributes:
        key: The key.
        generation: The generation that is damaged; None where the damage hides its number.
        reason: What does not fit.
        recoverable: False where `recover` has found no good generation.
    """

    def __init__(
        self,
        key: str,
        generation: int | None,
        reason: str,
        recoverable: bool = True,  # noqa: FBT001, FBT002 - exceptions are pickled by position
    ) -> None:
        super().__init__(key, generation, reason, recoverable)
        self.key = key
        self.generation = generation
        self.reason = reason
        self.recoverable = recoverable

    def __str__(self) -> str:
        advice = (
            "recover() goes on from the newest good generation"
            if self.recoverable
            else "no older generation is good: copy what you need, then remove() it"
        )
        return (
            f"{_named(self.key)}{_generation(self.generation)} is corrupt: {self.reason}; {advice}"
        )


class EnvelopeVersionError(CheckpointError):
    """An intact envelope of a version that this release does not read: upgrade checkpointkit.

    Attributes:
        key: The key.
        stored: The envelope version in the file.
        supported: The newest envelope version that this release reads.
    """

    def __init__(self, key: str, stored: int, supported: int) -> None:
        super().__init__(key, stored, supported)
        self.key = key
        self.stored = stored
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"{_named(self.key)} has envelope version {self.stored}, this release reads up to "
            f"{self.supported}; upgrade checkpointkit, the file is untouched"
        )


class WrongKindError(CheckpointError):
    """The key holds another kind of state than the schema's.

    Attributes:
        key: The key.
        stored: The kind in the file.
        expected: The kind of the schema.
    """

    def __init__(self, key: str, stored: str, expected: str) -> None:
        super().__init__(key, stored, expected)
        self.key = key
        self.stored = stored
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"{_named(self.key)} holds kind {self.stored!r}, not {self.expected!r}; "
            "use another key or another scope, the file is untouched"
        )


class VersionError(CheckpointError):
    """The stored schema version is not one that this schema can read.

    Attributes:
        key: The key.
        stored: The schema version in the file.
        oldest: The oldest version that the schema can migrate from.
        newest: The schema's own version.
    """

    def __init__(self, key: str, stored: int, oldest: int, newest: int) -> None:
        super().__init__(key, stored, oldest, newest)
        self.key = key
        self.stored = stored
        self.oldest = oldest
        self.newest = newest

    def _advice(self) -> str:
        return "the file is untouched"

    def __str__(self) -> str:
        alone = self.oldest == self.newest
        reads = f"{self.newest} alone" if alone else f"{self.oldest} to {self.newest}"
        return (
            f"{_named(self.key)} has schema version {self.stored}, this release reads {reads}; "
            f"{self._advice()}"
        )


class VersionTooNewError(VersionError):
    """A newer release wrote this state; an older one neither reads nor overwrites it."""

    def _advice(self) -> str:
        return "run the newer release, or roll back or remove the key; the file is untouched"


class VersionTooOldError(VersionError):
    """The state is older than the schema's first migration."""

    def _advice(self) -> str:
        return "migrate it with a release in between; the file is untouched"


class SchemaDriftError(CheckpointError):
    """Same schema version, another shape: the class was changed without a new version.

    Attributes:
        key: The key.
        version: The schema version that both claim.
        stored: The fingerprint in the file.
        expected: The fingerprint of the schema.
        problems: What of the stored payload does not fit the class, one text with its path for
            each (`pods[0].uid: expected str, got int`); empty where all of it fits.
    """

    def __init__(
        self,
        key: str,
        version: int,
        stored: str,
        expected: str,
        problems: tuple[str, ...] = (),
    ) -> None:
        super().__init__(key, version, stored, expected, problems)
        self.key = key
        self.version = version
        self.stored = stored
        self.expected = expected
        self.problems = problems

    def __str__(self) -> str:
        found = (
            f"it does not fit the class: {'; '.join(self.problems)}"
            if self.problems
            else f"its fingerprint is {self.stored} and the class has {self.expected}, see "
            "`checkpointkit schema diff`"
        )
        return (
            f"{_named(self.key)} was saved as schema version {self.version} with another shape: "
            f"{found}; raise the schema's version and add a migration (or correct the shape of a "
            "Downgrade), the file is untouched"
        )


class _PathsError(CheckpointError):
    """Shared by the errors that list what is wrong, path by path."""

    _verb = ""

    def __init__(self, key: str | None, problems: tuple[str, ...]) -> None:
        super().__init__(key, problems)
        self.key = key
        self.problems = problems

    def at(self, key: str) -> Self:
        """Return the same error with the key filled in."""
        return type(self)(key, self.problems)

    def __str__(self) -> str:
        return f"{_named(self.key)} {self._verb}: {'; '.join(self.problems)}"


class EncodeError(_PathsError):
    """The value does not fit its schema; raised before any I/O.

    Attributes:
        key: The key; None when a schema was used alone.
        problems: One text for each misfit, with its path (`pods[*].uid: expected str, got int`).
    """

    _verb = "cannot be encoded"


class StructureError(_PathsError):
    """The bytes are intact, the payload does not have the shape of the class.

    Attributes:
        key: The key; None when a schema was used alone.
        problems: One text for each misfit, with its path (`pods[*].uid: expected str, got int`).
    """

    _verb = "does not have the shape of its class"


class MigrationError(CheckpointError):
    """A step from one schema version to another failed; the file is untouched.

    It raised, or it returned something that is no payload, or that the class cannot take. A
    migration may raise it itself, to say in `problem` what it cannot take; key and step are
    filled in.

    Attributes:
        key: The key; None when a schema was used alone.
        step: The schema version that the failing step starts from.
        problem: The type of the exception and the path in the payload, or what was returned;
            never the value.
        end: The schema version that the step leads to: the next one, unless it is a downgrade.
    """

    def __init__(self, key: str | None, step: int, problem: str, end: int | None = None) -> None:
        end = step + 1 if end is None else end
        super().__init__(key, step, problem, end)
        self.key = key
        self.step = step
        self.problem = problem
        self.end = end

    def at(self, key: str) -> Self:
        """Return the same error with the key filled in."""
        return type(self)(key, self.step, self.problem, self.end)

    def __str__(self) -> str:
        name = "migration" if self.end > self.step else "downgrade"
        return (
            f"{_named(self.key)}: the {name} from schema version {self.step} to "
            f"{self.end} failed: {self.problem}; mend it, the file is untouched"
        )


class DowngradeLossError(CheckpointError):
    """The value holds something that the older version, which is to be written, cannot express.

    Raised before any I/O. A downgrade may raise it itself, to name the fields; key and version
    are filled in.

    Attributes:
        key: The key; None when a schema was used alone.
        version: The schema version that cannot express it.
        fields: The paths of what would be lost, or what does not fit the older shape.
    """

    def __init__(self, key: str | None, version: int, fields: tuple[str, ...]) -> None:
        super().__init__(key, version, fields)
        self.key = key
        self.version = version
        self.fields = fields

    def at(self, key: str) -> Self:
        """Return the same error with the key filled in."""
        return type(self)(key, self.version, self.fields)

    def __str__(self) -> str:
        return (
            f"{_named(self.key)} cannot be saved as schema version {self.version} without loss: "
            f"{'; '.join(self.fields)}; leave them as the older release knows them until "
            "write_version goes up, nothing was changed"
        )


class LockFileError(CheckpointError):
    """A lock file, its goldens, or the settings that lead to them cannot be used.

    Attributes:
        path: The file.
        reason: What is wrong with it, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class CheckpointTooLargeError(CheckpointError):
    """The envelope is larger than the store takes or reads.

    Attributes:
        key: The key.
        size: The size of the envelope in bytes.
        limit: The store's `max_bytes`.
    """

    def __init__(self, key: str, size: int, limit: int) -> None:
        super().__init__(key, size, limit)
        self.key = key
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{_named(self.key)} has {self.size} bytes, the limit is {self.limit}; "
            "raise the store's max_bytes or save less"
        )


class ConflictError(CheckpointError):
    """A compare-and-swap lost: somebody else saved or removed the key in between.

    It is no `StoreError`: code that handles disk trouble must not swallow it.

    Attributes:
        key: The key.
        expected: The generation that was expected; None for an absent key.
        actual: The generation that the store has; None for an absent key.
    """

    def __init__(self, key: str, expected: int | None, actual: int | None) -> None:
        super().__init__(key, expected, actual)
        self.key = key
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        def say(generation: int | None) -> str:
            return "no checkpoint" if generation is None else f"generation {generation}"

        return (
            f"{_named(self.key)}: expected {say(self.expected)}, found {say(self.actual)}; "
            "load it again and decide anew"
        )


class BatchError(CheckpointError):
    """Some keys of a batch were saved and some were not; each key by itself is whole.

    Attributes:
        saved: What is saved, by key.
        failed: The error of each key that is not.
    """

    def __init__(self, saved: Mapping[str, Any], failed: Mapping[str, CheckpointError]) -> None:
        super().__init__(saved, failed)
        self.saved = saved
        self.failed = failed

    def __str__(self) -> str:
        first = "".join(
            f"; {key!r}: {type(error).__name__}: {error}"
            for key, error in list(self.failed.items())[:1]
        )
        return f"of a batch, {len(self.saved)} saved and {len(self.failed)} failed{first}"


class MissingExtraError(CheckpointError, ImportError):
    """An optional part was used without the packages that it needs.

    Attributes:
        extra: The extra to install.
        module: The module that could not be imported.
    """

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(extra, module)
        self.extra = extra
        self.module = module

    def __str__(self) -> str:
        return (
            f"{self.module} is missing; install it with: pip install 'checkpointkit[{self.extra}]'"
        )


class ReadOnlyError(CheckpointError):
    """A store that was opened with `read_only=True` was asked to write.

    Attributes:
        operation: What was asked for.
    """

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation

    def __str__(self) -> str:
        return f"cannot {self.operation}: the store was opened read-only"


class LockTimeoutError(CheckpointError):
    """Another process or thread held the key's lock for too long; nothing was changed.

    Attributes:
        key: The key; None for an operation on the whole store.
        timeout: How long was waited, in seconds.
    """

    def __init__(self, key: str | None, timeout: float) -> None:
        super().__init__(key, timeout)
        self.key = key
        self.timeout = timeout

    def __str__(self) -> str:
        return (
            f"{_subject(self.key)}: the lock was not free within {self.timeout:g} s; another "
            "writer holds it (try again, or raise lock_timeout)"
        )


class StoreError(CheckpointError):
    """The store could not do it; what was stored before is unchanged.

    The cause, if there is one, is the `OSError` (or the engine's own error) as `__cause__`.

    Attributes:
        key: The key; None for an operation on the whole store.
        operation: What was tried.
        reason: Why it failed.
    """

    _outcome = "the previous state is unchanged"

    def __init__(self, key: str | None, operation: str, reason: str) -> None:
        super().__init__(key, operation, reason)
        self.key = key
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{_subject(self.key)}: {self.operation} failed: {self.reason}; {self._outcome}"


class StoreUnavailableError(StoreError):
    """The store cannot be reached or is short of a passing resource; trying again may help."""

    _outcome = "the previous state is unchanged, try again"


class OutcomeUnknownError(StoreError):
    """The change was put in place, but it is not known whether it is durable.

    Readers see the new state; a power cut may bring back the old one. Do it again to be sure.
    """

    _outcome = "the change is in place, whether it is durable is not known; do it again to be sure"
