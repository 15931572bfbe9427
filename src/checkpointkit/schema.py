"""A schema: what kind of state it is, in which version, and how older versions become it."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from checkpointkit.chain import (
    Descent,
    Downgrade,
    Migration,
    MissingMigrationError,
    check_steps,
    climb,
    gaps_in,
)
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "Downgrade",
    "Hook",
    "Json",
    "Migration",
    "MissingMigrationError",
    "Payload",
    "Schema",
    "Tagged",
    "tagged",
]

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
        downgrades: The steps down, by the version that each starts from, without a gap below
            `version`; needed for an older `write_version` alone.
        write_version: The version that is written, while all of them are read: a release that
            can be taken back writes what the release before it reads.

    Raises:
        TypeError: The class cannot be kept strictly (the message names the field), a step is
            missing or is none, or an argument is of the wrong type. For a gap in the migrations
            it is a `MissingMigrationError`.
        ValueError: `kind` or a version is out of bounds, or the shape of a downgrade is none.

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
        "_descent",
        "_dump",
        "_gathering",
        "_load",
        "_unproven",
        "cls",
        "downgrades",
        "fingerprint",
        "fingerprints",
        "hooks",
        "kind",
        "migrations",
        "oldest",
        "shape",
        "version",
        "write_version",
    )

    _descent: Descent
    _dump: Callable[[T], Payload]
    _gathering: Codec | None
    _load: Callable[[Payload], T]
    _unproven: str

    cls: type[T]
    """The class of the values."""
    kind: str
    """The name of the format."""
    version: int
    """The schema version of the class."""
    write_version: int
    """The schema version that is written: `version`, or an older one."""
    migrations: Mapping[int, Migration]
    """The step from each older version to the next one."""
    hooks: tuple[Hook[Any] | Tagged, ...]
    """What is done with foreign types and unions of classes."""
    downgrades: Mapping[int, Downgrade]
    """The step down from each of the newer versions."""
    oldest: int
    """The oldest version that it can read."""
    shape: Shape
    """What is on the wire, as plain data; docs/envelope.md has the vocabulary."""
    fingerprint: str
    """The fingerprint of the shape: `fp1:` and 32 hex digits."""
    fingerprints: Mapping[int, str]
    """The fingerprint of its own version, and of those that the downgrades lead to."""

    def __init__(
        self,
        cls: type[T],
        *,
        kind: str,
        version: int,
        migrations: Mapping[int, Migration] = MappingProxyType({}),
        hooks: Sequence[Hook[Any] | Tagged] = (),
        downgrades: Mapping[int, Downgrade] = MappingProxyType({}),
        write_version: int | None = None,
    ) -> None:
        put = object.__setattr__  # the class is frozen
        put(self, "cls", cls)
        put(self, "kind", check_wire_name(kind, "the kind of a schema"))
        put(self, "version", _checked_version(version))
        put(self, "migrations", MappingProxyType(check_steps(migrations, version)))
        put(self, "hooks", _checked_hooks(hooks))
        put(self, "oldest", min(migrations, default=version))

        compiler = Compiler(self.hooks, gathering=False)
        codec = compiler.payload_codec(cls)
        put(self, "_load", codec.load)
        put(self, "_dump", codec.dump)
        put(self, "_gathering", None)
        put(self, "_unproven", " or ".join(dict.fromkeys(compiler.unproven)))
        put(self, "shape", shape_of(codec))
        put(self, "fingerprint", fingerprint(self.shape))
        # After the shape, which a stub of the missing step is made of.
        if missing := gaps_in(self.migrations, version):
            raise MissingMigrationError(kind, version, missing, self.shape)

        descent = Descent(downgrades, version, self.oldest, self.shape)
        put(self, "_descent", descent)
        put(self, "downgrades", MappingProxyType(descent.downgrades))
        put(
            self,
            "fingerprints",
            MappingProxyType({**descent.fingerprints(), version: self.fingerprint}),
        )
        put(self, "write_version", _checked_writing(write_version, version, descent.lowest))

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
            downgrades=dict(self.downgrades),
            write_version=self.write_version,
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
        payload, problems = _call(self._dump, lambda each: self._gather().dump(each), value)
        if not problems and self._unproven:
            back, problems = _call(self._load, lambda each: self._gather().load(each), payload)
            if not problems and not self._writes(back, payload):
                problems = (self._changed(),)
        if problems:
            raise EncodeError(None, problems)
        return payload

    def _gather(self) -> Codec:
        """Return the codec that names all that is wrong; most schemas never need it."""
        if self._gathering is None:
            made = Compiler(self.hooks, gathering=True).payload_codec(self.cls)
            object.__setattr__(self, "_gathering", made)  # the same, whoever comes first
            return made
        return self._gathering

    def _writes(self, value: T, payload: Payload) -> bool:
        again, problems = _call(self._dump, lambda each: self._gather().dump(each), value)
        return not problems and canonical(again) == canonical(payload)

    def _changed(self) -> str:
        return f"{self._unproven} changes a value that is built again"

    def structure(self, payload: Payload) -> T:
        """Return the value of a payload of this schema's own version.

        Raises:
            StructureError: It is not what `dump` would write.
        """
        value: T
        value, problems = _call(self._load, lambda each: self._gather().load(each), payload)
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
        self._check_readable(version)
        return climb(self.migrations, payload, version, self.version)

    def downgrade(self, payload: Payload, version: int) -> Payload:
        """Return a payload of this schema's own version as an older one has it.

        What it promises: the older release takes it, and `upgrade` gives the payload again.

        Args:
            payload: The payload, as `dump` returns it; a step may change it.
            version: The version to go down to.

        Raises:
            DowngradeLossError: The older version cannot express all of it.
            MigrationError: A step raised, or returned no dict.
            ValueError: There are no downgrades to that version.

        Example:
            >>> schema = Schema(
            ...     dict[str, int],
            ...     kind="example.com/lease",
            ...     version=2,
            ...     migrations={1: lambda old: {"ms": old["s"] * 1000}},
            ...     downgrades={
            ...         2: Downgrade(lambda new: {"s": new["ms"] // 1000}, {"dict": ["str", "int"]})
            ...     },
            ... )
            >>> schema.downgrade({"ms": 3000}, 1)
            {'s': 3}
            >>> schema.downgrade({"ms": 3001}, 1)
            Traceback (most recent call last):
            ...
            checkpointkit.errors.DowngradeLossError: checkpoint cannot be saved as schema version \
1 without loss: [*]; leave them as the older release knows them until write_version goes up, \
nothing was changed
        """
        if not self._descent.lowest <= version <= self.version:
            raise ValueError(
                f"version {version} is not in {self._descent.lowest} to {self.version}"
            )
        return self._descent.run(payload, version, lambda lower: self.upgrade(lower, version))

    def load(self, payload: Payload, version: int) -> T:
        """Return the value of a payload of any version that the schema reads.

        Raises:
            MigrationError: A migration raised, or returned no dict, or what they made of the
                payload is not what `dump` would write.
            StructureError: A payload of the schema's own version is not what `dump` would write.
            ValueError: `version` is not one that the schema reads.
        """
        if version == self.version:
            return self.structure(payload)
        upgraded = self.upgrade(payload, version)
        try:
            return self.structure(upgraded)
        except StructureError as error:
            problem = f"its result does not fit the class: {'; '.join(error.problems)}"
        raise MigrationError(None, self.version - 1, problem)

    def _check_readable(self, version: int) -> None:
        if not self.oldest <= version <= self.version:
            raise ValueError(f"version {version} is not in {self.oldest} to {self.version}")


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


def _checked_version(version: object) -> int:
    if type(version) is not int:
        raise TypeError(f"the version of a schema must be an int, not {type(version).__name__}")
    if not 1 <= version <= _HIGHEST_VERSION:
        raise ValueError(f"the version of a schema must be 1 to {_HIGHEST_VERSION:,}")
    return version


def _checked_writing(write_version: object, version: int, lowest: int) -> int:
    if write_version is None:
        return version
    if type(write_version) is not int:
        raise TypeError(f"write_version must be an int, not {type(write_version).__name__}")
    if write_version > version:
        raise ValueError(f"write_version is {write_version}, and the class has version {version}")
    if write_version < lowest:
        raise TypeError(f"the downgrade from {lowest} is missing: write_version is {write_version}")
    return write_version


def _checked_hooks(hooks: Sequence[Any]) -> tuple[Hook[Any] | Tagged, ...]:
    for hook in hooks:
        if not isinstance(hook, (Hook, Tagged)):
            raise TypeError(f"a hook must be a Hook or tagged(...), not a {type(hook).__name__}")
    if len({hook.cls for hook in hooks}) != len(hooks):
        raise TypeError("two hooks for one type")
    return tuple(hooks)
