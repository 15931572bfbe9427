"""The way from one schema version to the next, and back: chains of steps, checked and run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import frozen

from checkpointkit.envelope import Payload
from checkpointkit.errors import CheckpointError, DowngradeLossError, MigrationError
from checkpointkit.fingerprint import Shape, canonical, fingerprint
from checkpointkit.structuring.wire import (
    differing,
    field_names,
    misfits_of,
    unfit_paths,
    wire_codec,
)
from checkpointkit.tracing import place_of_failure

if TYPE_CHECKING:
    from checkpointkit.structuring import Codec

Migration: TypeAlias = Callable[[Payload], Payload]
"""A pure function from the payload of one schema version to that of the next."""


@frozen
class Downgrade:
    """The step from one schema version down to the one before it.

    Its class is gone, so the shape says what the older release takes. `checkpointkit schema stub`
    prints it; it stands in the lock file.

    Attributes:
        step: A pure function from the payload of one version to that of the version before.
        shape: The shape of the version that it leads to.

    Example:
        >>> to_seconds = Downgrade(
        ...     lambda new: {"seconds": new["milliseconds"] // 1000},
        ...     shape={"record": {"seconds": "int"}},
        ... )
    """

    step: Migration
    shape: Shape


class MissingMigrationError(TypeError):
    """A schema was made whose chain of migrations has a gap.

    It is a mistake in a program and no `CheckpointError`.

    Attributes:
        kind: The kind of the schema.
        version: Its version.
        missing: The versions from which there is no step, ascending.
        shape: The shape of its class.
    """

    def __init__(self, kind: str, version: int, missing: tuple[int, ...], shape: Shape) -> None:
        super().__init__(kind, version, missing, shape)
        self.kind: str = kind
        self.version: int = version
        self.missing: tuple[int, ...] = missing
        self.shape: Shape = shape

    def __str__(self) -> str:
        steps = ", ".join(map(str, self.missing))
        return (
            f"the migration from {steps} is missing in the schema of {self.kind!r}, version "
            f"{self.version}"
        )


def check_steps(migrations: Mapping[int, Migration], version: int) -> dict[int, Migration]:
    """Return migrations in order, each of them a function from a version below `version`.

    Raises:
        TypeError: One of them is none.
    """
    for step, migration in migrations.items():
        if type(step) is not int:
            raise TypeError(f"the step of a migration must be an int, not {type(step).__name__}")
        if not 1 <= step < version:
            raise TypeError(f"there is no migration from {step} in a schema of version {version}")
        if not callable(migration):
            raise TypeError(f"the migration from {step} cannot be called")
    return dict(sorted(migrations.items()))


def gaps_in(migrations: Mapping[int, Migration], version: int) -> tuple[int, ...]:
    """Return the steps that are missing between the oldest version and this one."""
    return tuple(
        step for step in range(min(migrations, default=version), version) if step not in migrations
    )


class Descent:
    """The downgrades of a schema, checked.

    Args:
        downgrades: The steps down, by the version that they start from.
        version: The version of the schema.
        oldest: The oldest version that it reads: what is written must be readable again.
        shape: Its own shape.

    Raises:
        TypeError: One of them is none, or there is a gap below `version`.
        ValueError: A shape is none.
    """

    __slots__ = ("_codecs", "_own", "_shape", "downgrades", "lowest", "version")

    def __init__(
        self, downgrades: Mapping[int, Downgrade], version: int, oldest: int, shape: Shape
    ) -> None:
        for start, downgrade in downgrades.items():
            if type(start) is not int:
                raise TypeError(f"a downgrade starts from an int, not {type(start).__name__}")
            if not isinstance(downgrade, Downgrade):
                raise TypeError(f"the downgrade from {start} must be a Downgrade(step, shape)")
            if not oldest < start <= version:
                raise TypeError(
                    f"a downgrade from {start} leads to nothing that this schema reads: it reads "
                    f"{oldest} to {version}"
                )
        self.downgrades: dict[int, Downgrade] = dict(sorted(downgrades.items(), reverse=True))
        self.lowest: int = min(downgrades, default=version + 1) - 1
        for start in range(version, self.lowest, -1):
            if start not in downgrades:
                raise TypeError(f"the downgrade from {start} is missing")
        self.version: int = version
        self._shape = shape
        self._own = wire_codec(shape) if downgrades else None
        self._codecs: dict[int, Codec] = {
            start - 1: wire_codec(downgrade.shape, field_names(shape))
            for start, downgrade in self.downgrades.items()
        }

    def fingerprints(self) -> dict[int, str]:
        """Return the fingerprint of each version that it leads to."""
        return {
            start - 1: fingerprint(downgrade.shape) for start, downgrade in self.downgrades.items()
        }

    def run(self, payload: Payload, version: int, upgrade: Callable[[Payload], Payload]) -> Payload:
        """Return a payload of the schema's own version as an older one has it.

        Args:
            payload: The payload, which a step may change.
            version: The version to go down to.
            upgrade: The way back up.

        Raises:
            DowngradeLossError: The older version cannot express all of it.
            MigrationError: A step raised, or returned no dict.
        """
        own = canonical(payload)
        for start in range(self.version, version, -1):
            payload = run_step(self.downgrades[start].step, payload, start, start - 1)
            unfit = unfit_paths(self._codecs[start - 1], payload)
            if unfit:
                raise DowngradeLossError(None, start - 1, unfit)
        back = upgrade(json.loads(canonical(payload)))
        if self._own is not None and (problems := misfits_of(self._own, back)):
            problem = f"its result does not fit the class: {'; '.join(problems)}"
            raise MigrationError(None, self.version - 1, problem)
        lost = differing(self._shape, json.loads(own), back)
        if lost:
            raise DowngradeLossError(None, version, lost)
        return payload


def run_step(step: Migration, payload: Payload, start: int, end: int) -> Payload:
    """Return what one step makes of a payload.

    Raises:
        DowngradeLossError: It is a downgrade, and has raised that.
        MigrationError: It raised, or returned no dict.
    """
    try:
        result: Any = step(payload)
    except MemoryError:
        raise
    except MigrationError as error:
        said: CheckpointError = MigrationError(None, start, error.problem, end)
    except DowngradeLossError as error:
        if end < start:
            said = DowngradeLossError(None, end, error.fields)
        else:
            said = MigrationError(None, start, "raised DowngradeLossError", end)
    except Exception as error:  # noqa: BLE001 - foreign code
        said = MigrationError(None, start, f"raised {type(error).__name__}", end)
    else:
        if type(result) is dict:
            return result
        said = MigrationError(None, start, f"returned {type(result).__name__}, not dict", end)
    raise said


def climb(migrations: Mapping[int, Migration], payload: Payload, start: int, end: int) -> Payload:
    """Return a payload of version `start` as version `end` has it.

    Raises:
        MigrationError: A migration raised, or returned no dict.
    """
    for step in range(start, end):
        payload = run_step(migrations[step], payload, step, step + 1)
    return payload


def located(
    error: MigrationError, migrations: Mapping[int, Migration], payload: Payload, start: int
) -> MigrationError:
    """Return the error with the path at which a migration raised.

    Args:
        error: What `climb` raised.
        migrations: The migrations.
        payload: The payload of version `start` once more, as it was read.
        start: Its version.
    """
    if not error.problem.startswith("raised "):
        return error
    place = place_of_failure(migrations[error.step], climb(migrations, payload, start, error.step))
    at = f" at {place}" if place else ""
    return MigrationError(error.key, error.step, error.problem + at, error.end)
