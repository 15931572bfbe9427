"""A schema: what kind of state it is, in which version, and how older versions become it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

from checkpointkit.envelope import Payload
from checkpointkit.errors import EncodeError, MigrationError, StructureError
from checkpointkit.fingerprint import Shape, canonical, fingerprint, shape_of
from checkpointkit.structuring import (
    Codec,
    Compiler,
    Hook,
    Json,
    Misfit,
    Tagged,
    check_wire_name,
    tagged,
)

__all__ = ["Hook", "Json", "Migration", "Payload", "Schema", "Tagged", "tagged"]

Migration: TypeAlias = Callable[[Payload], Payload]
"""A pure function from the payload of one schema version to that of the next."""

T = TypeVar("T")

_HIGHEST_VERSION = 10**9 - 1
"""More than anybody needs, and less than the header of an envelope holds."""


class Schema(Generic[T]):
    """A format: a class, its name on the wire, its version, and the way from older versions.

    A schema is a frozen value; nothing is registered anywhere, and one class can have several.
    What it promises: `structure` gives back, equal and of the same types, whatever `dump` took,
    also after a trip through JSON; and `structure` takes nothing that `dump` would not write.

    Args:
        cls: An attrs class, a dataclass, a NamedTuple, a TypedDict, or `dict[str, ...]`; a generic
            class with its arguments (`Box[int]`).
        kind: The name of the format, chosen by its owner, for example `example.com/pod-devices`:
            1 to 253 printable ASCII characters without spaces, quotes and backslashes.
        version: A positive integer that goes up when the shape changes.
        migrations: For each older version the step to the next one, without a gap up to
            `version`. The chain may begin above 1: older versions are refused. A migration gets
            the payload as it was read and may change it.
        hooks: What to do with foreign types (`Hook`) and unions of classes (`tagged`).

    Raises:
        TypeError: The class cannot be kept strictly (the message names the field), a migration is
            missing or is none, or an argument is of the wrong type.
        ValueError: `kind` or `version` is out of bounds.

    Example:
        >>> from attrs import frozen
        >>> @frozen
        ... class Lease:
        ...     holder: str
        ...     seconds: int
        >>> leases = Schema(
        ...     Lease,
        ...     kind="example.com/lease",
        ...     version=2,
        ...     migrations={1: lambda old: {**old, "seconds": 30}},
        ... )
        >>> leases.dump(Lease("node-a", 15))
        {'holder': 'node-a', 'seconds': 15}
        >>> leases.load({"holder": "node-a"}, version=1)
        Lease(holder='node-a', seconds=30)
        >>> leases.structure({"holder": "node-a", "seconds": "15"})
        Traceback (most recent call last):
        ...
        checkpointkit.errors.StructureError: checkpoint does not have the shape of its class: \
seconds: expected int, got str
    """

    __slots__ = (
        "_dump",
        "_gathering",
        "_load",
        "_unproven",
        "cls",
        "fingerprint",
        "hooks",
        "kind",
        "migrations",
        "oldest",
        "shape",
        "version",
    )

    _dump: Callable[[T], Payload]
    _gathering: Codec
    _load: Callable[[Payload], T]
    _unproven: str

    cls: type[T]
    """The class of the values."""
    kind: str
    """The name of the format."""
    version: int
    """The schema version that is written."""
    migrations: Mapping[int, Migration]
    """The step from each older version to the next one."""
    hooks: tuple[Hook[Any] | Tagged, ...]
    """What is done with foreign types and unions of classes."""
    oldest: int
    """The oldest version that it can read."""
    shape: Shape
    """What is on the wire, as plain data; docs/envelope.md has the vocabulary."""
    fingerprint: str
    """The fingerprint of the shape: `fp1:` and 32 hex digits."""

    def __init__(
        self,
        cls: type[T],
        *,
        kind: str,
        version: int,
        migrations: Mapping[int, Migration] = MappingProxyType({}),
        hooks: Sequence[Hook[Any] | Tagged] = (),
    ) -> None:
        put = object.__setattr__  # the class is frozen
        put(self, "cls", cls)
        put(self, "kind", check_wire_name(kind, "the kind of a schema"))
        put(self, "version", _checked_version(version))
        put(self, "migrations", MappingProxyType(_checked_chain(migrations, version)))
        put(self, "hooks", _checked_hooks(hooks))
        put(self, "oldest", min(migrations, default=version))

        compiler = Compiler(self.hooks, gathering=False)
        codec = compiler.payload_codec(cls)
        put(self, "_load", codec.load)
        put(self, "_dump", codec.dump)
        put(self, "_gathering", Compiler(self.hooks, gathering=True).payload_codec(cls))
        put(self, "_unproven", " or ".join(dict.fromkeys(compiler.unproven)))
        put(self, "shape", shape_of(codec))
        put(self, "fingerprint", fingerprint(self.shape))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a schema is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a schema is frozen")

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(
            Schema,
            self.cls,
            kind=self.kind,
            version=self.version,
            migrations=dict(self.migrations),
            hooks=self.hooks,
        )
        return make, ()

    def __repr__(self) -> str:
        name = getattr(self.cls, "__name__", str(self.cls))
        return f"Schema({name}, kind={self.kind!r}, version={self.version})"

    def dump(self, value: T) -> Payload:
        """Return the payload of a value: dict, list, str, int, float, bool and None, all new.

        Args:
            value: An object of exactly the class.

        Raises:
            EncodeError: It would not come back as it is: some part is of another type (a
                subclass, too), or has no canonical text, or the class changes it when it is built.
        """
        payload: Payload
        payload, problems = _call(self._dump, self._gathering.dump, value)
        if not problems and self._unproven:
            back, problems = _call(self._load, self._gathering.load, payload)
            if not problems and not self._writes(back, payload):
                problems = (self._changed(),)
        if problems:
            raise EncodeError(None, problems)
        return payload

    def _writes(self, value: T, payload: Payload) -> bool:
        again, problems = _call(self._dump, self._gathering.dump, value)
        return not problems and canonical(again) == canonical(payload)

    def _changed(self) -> str:
        return f"{self._unproven} changes a value that is built again"

    def structure(self, payload: Payload) -> T:
        """Return the value of a payload of this schema's own version.

        Raises:
            StructureError: It is not what `dump` would write.
        """
        value: T
        value, problems = _call(self._load, self._gathering.load, payload)
        if not problems and self._unproven and not self._writes(value, payload):
            problems = (self._changed(),)
        if problems:
            raise StructureError(None, problems)
        return value

    def upgrade(self, payload: Payload, version: int) -> Payload:
        """Return the payload as this schema's version has it, one migration after the other.

        Args:
            payload: The payload as it was read; a migration may change it.
            version: The schema version that it has.

        Raises:
            MigrationError: A migration raised, or returned no dict.
            ValueError: `version` is not one that the schema reads.
        """
        if not self.oldest <= version <= self.version:
            raise ValueError(f"version {version} is not in {self.oldest} to {self.version}")
        for step in range(version, self.version):
            payload = _migrated(self.migrations[step], payload, step)
        return payload

    def load(self, payload: Payload, version: int) -> T:
        """Return the value of a payload of any version that the schema reads.

        Raises:
            MigrationError: A migration raised, or returned no dict.
            StructureError: The payload, upgraded, is not what `dump` would write.
            ValueError: `version` is not one that the schema reads.
        """
        if version == self.version:
            return self.structure(payload)
        return self.structure(self.upgrade(payload, version))


_Outcome: TypeAlias = tuple[Any, tuple[str, ...]]


def _call(fast: Callable[[Any], Any], gathering: Callable[[Any], Any], argument: Any) -> _Outcome:
    """Return what `fast` returns; if it raises, what `gathering` has to say about it."""
    # Errors become texts, and ours are raised outside of any `except`: an exception in their
    # context would carry values.
    try:
        return fast(argument), ()
    except Exception:  # noqa: BLE001, S110 - the gathering function says what it was
        pass
    try:
        return gathering(argument), ()
    except Misfit as misfit:
        return None, misfit.lines()
    except RecursionError:
        return None, ("nested too deeply",)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - code of the class, of whatever kind
        return None, (f"raised {type(error).__name__}",)


def _migrated(migration: Migration, payload: Payload, step: int) -> Payload:
    try:
        upgraded = migration(payload)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code
        problem = f"raised {type(error).__name__}"
    else:
        if type(upgraded) is dict:
            return upgraded
        problem = f"returned {type(upgraded).__name__}, not dict"
    raise MigrationError(None, step, problem)


def _checked_version(version: object) -> int:
    if type(version) is not int:
        raise TypeError(f"the version of a schema must be an int, not {type(version).__name__}")
    if not 1 <= version <= _HIGHEST_VERSION:
        raise ValueError(f"the version of a schema must be 1 to {_HIGHEST_VERSION:,}")
    return version


def _checked_chain(migrations: Mapping[int, Migration], version: int) -> dict[int, Migration]:
    for step, migration in migrations.items():
        if type(step) is not int:
            raise TypeError(f"the step of a migration must be an int, not {type(step).__name__}")
        if not 1 <= step < version:
            raise TypeError(f"there is no migration from {step} in a schema of version {version}")
        if not callable(migration):
            raise TypeError(f"the migration from {step} cannot be called")
    missing = set(range(min(migrations, default=version), version)) - set(migrations)
    if missing:
        raise TypeError(f"the migration from {min(missing)} is missing")
    return dict(sorted(migrations.items()))


def _checked_hooks(hooks: Sequence[Any]) -> tuple[Hook[Any] | Tagged, ...]:
    for hook in hooks:
        if not isinstance(hook, (Hook, Tagged)):
            raise TypeError(f"a hook must be a Hook or tagged(...), not a {type(hook).__name__}")
    if len({hook.cls for hook in hooks}) != len(hooks):
        raise TypeError("two hooks for one type")
    return tuple(hooks)
