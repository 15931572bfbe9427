"""What is wrong, in the words of the command line, and what to do about it. Pure."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.cli.text import INDENT, printable
from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    DowngradeLossError,
    EncodeError,
    EnvelopeVersionError,
    LockTimeoutError,
    MigrationError,
    OutcomeUnknownError,
    SchemaDriftError,
    StoreError,
    StructureError,
    VersionError,
    VersionTooNewError,
    VersionTooOldError,
    WrongKindError,
)

if TYPE_CHECKING:
    from checkpointkit.cli.target import Target

_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@frozen
class Trouble:
    """Something that is wrong.

    Attributes:
        kind: What programs know it by: the name of the exception.
        scope: The scope of the key.
        key: The key; None where it is the whole store.
        generation: The generation, where one is known.
        place: Where it is, in words.
        message: What it is, in words.
        advice: What to do next.
    """

    kind: str
    scope: tuple[str, ...]
    key: str | None
    generation: int | None
    place: str
    message: str
    advice: str

    def text(self) -> str:
        """Return what people read."""
        return f"{self.place}: {self.message}\n{INDENT}next: {self.advice}\n"

    def document(self) -> dict[str, Any]:
        """Return what programs read."""
        return {
            "type": self.kind,
            "scope": list(self.scope),
            "key": self.key,
            "generation": self.generation,
            "message": self.message,
            "next": self.advice,
        }


@frozen
class Around:
    """What is known of the other generations of a damaged one.

    Attributes:
        newest: Whether it is the newest.
        others_good: Whether an older one is good; None where that is not known.
    """

    newest: bool = True
    others_good: bool | None = None


def trouble(
    error: CheckpointError,
    target: Target,
    key: str | None = None,
    generation: int | None = None,
    around: Around = Around(),
) -> Trouble:
    """Put an error into words.

    Args:
        error: What was raised.
        target: The store.
        key: Where it was raised; None for what the error says.
        generation: Likewise.
        around: What is known of the other generations.
    """
    key = key or getattr(error, "key", None)
    found = getattr(error, "generation", None) if generation is None else generation
    return Trouble(
        type(error).__name__,
        target.scope,
        key,
        found,
        target.place(key, found),
        printable(message_of(error)),
        advice_on(error, target, key, around),
    )


def message_of(error: CheckpointError) -> str:  # noqa: PLR0911 - one for each cause
    """Return what is wrong, without where and what to do."""
    match error:
        case CorruptCheckpointError():
            return f"corrupt: {error.reason}"
        case CheckpointNotFoundError():
            return f"there is no such {'checkpoint' if error.generation is None else 'generation'}"
        case EnvelopeVersionError():
            return (
                f"saved by a newer release of checkpointkit (envelope version {error.stored}, this "
                f"one reads up to {error.supported})"
            )
        case CheckpointTooLargeError():
            return f"it has {error.size} bytes, and the limit is {error.limit}"
        case LockTimeoutError():
            return f"another program holds its lock; waited {error.timeout:g} s"
        case ConflictError():
            return "it was saved or removed by another program in the meantime"
        case WrongKindError():
            return f"the newest generation is of kind {error.stored}, not {error.expected}"
        case OutcomeUnknownError():
            return (
                f"cannot {error.operation} it for certain: {error.reason}; readers see the change, "
                "a power cut may take it back"
            )
        case StoreError():
            return f"cannot {error.operation}: {error.reason}"
        case _:
            return _message_of_schema(error)


def _message_of_schema(error: CheckpointError) -> str:
    """Return why a schema cannot read or save a checkpoint."""
    match error:
        case VersionError():
            return (
                f"it has schema version {error.stored}, and the schema reads {error.oldest} to "
                f"{error.newest}"
            )
        case SchemaDriftError():
            found = "; ".join(error.problems) or "see checkpointkit schema diff"
            return f"it was saved as schema version {error.version} with another shape: {found}"
        case MigrationError():
            return (
                f"its step from schema version {error.step} to {error.end} fails: {error.problem}"
            )
        case StructureError() | EncodeError():
            return f"it does not fit the class: {'; '.join(error.problems)}"
        case DowngradeLossError():
            lost = "; ".join(error.fields)
            return f"it cannot be saved as schema version {error.version} without loss: {lost}"
        case _:
            return str(error)


def advice_on(  # noqa: PLR0911 - one for each cause
    error: CheckpointError, target: Target, key: str | None, around: Around
) -> str:
    """Return what to do about it."""
    of_key = () if key is None else (key,)
    match error:
        case CorruptCheckpointError():
            good = around.others_good if error.recoverable else False
            return _mend(target, of_key, Around(around.newest, good))
        case CheckpointNotFoundError():
            if error.generation is None:
                return f"see which there are: {target.command('list')}"
            return f"see which there are: {target.command('history', *of_key)}"
        case EnvelopeVersionError():
            return "upgrade checkpointkit here; the file is fine"
        case CheckpointTooLargeError():
            return f"if its program saves states of that size, add --max-bytes={error.size}"
        case LockTimeoutError():
            return "try again; if it stays so, see which program saves all the time, or hangs"
        case ConflictError():
            return "look again, and repeat the command if it still is what you want"
        case WrongKindError():
            return f"two programs may share this key, see: {target.command('history', *of_key)}"
        case OutcomeUnknownError():
            return "see to the disk, then repeat the command to be sure"
        case _:
            return _advice_on_schema(error)


def _advice_on_schema(error: CheckpointError) -> str:
    match error:
        case VersionTooNewError():
            return "use the schema of the release that saved it"
        case VersionTooOldError():
            return "migrate it with a release that has the older migrations, then with this one"
        case SchemaDriftError() | MigrationError() | StructureError() | EncodeError():
            return "mend the schema or its migrations; the checkpoint is as it was"
        case DowngradeLossError():
            return "leave it until the schema's write_version goes up; it is as it was"
        case _:
            return _after(error.__cause__)


def _mend(target: Target, of_key: tuple[str, ...], around: Around) -> str:
    if not around.newest:
        return "nothing has to be done: it is an older one, and later saves delete it"
    if around.others_good:
        return f"go on from the newest good generation: {target.command('recover', *of_key)}"
    if around.others_good is None:
        command = target.command("recover", *of_key, options=["--dry-run"])
        return f"see whether there is a good generation to go on from: {command}"
    command = target.command("remove", *of_key)
    return f"no generation is good; copy what you need of it, then start empty: {command}"


def _after(cause: BaseException | None) -> str:
    number = cause.errno if isinstance(cause, OSError) else None
    if number in _DENIED:
        return "run it as the user that the store belongs to"
    if number in _FULL:
        return "make room on the disk, then repeat the command"
    if number == errno.EROFS:
        return "mount it read-write, or run it where the store can be written"
    return "see to the cause (the kernel's log may say more), then repeat the command"
