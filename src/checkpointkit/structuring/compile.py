"""From a type to its codec: the one walk over a class, and all that it refuses."""

from __future__ import annotations

import collections.abc
import enum
import functools
import operator
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from checkpointkit.structuring import codecs
from checkpointkit.structuring.choices import choice, flag
from checkpointkit.structuring.codecs import PLAIN, Codec
from checkpointkit.structuring.foreign import foreign, tagged_union
from checkpointkit.structuring.hints import bindings, owner_of, resolve, substitute
from checkpointkit.structuring.hooks import Hook, Tagged
from checkpointkit.structuring.misfit import Misfit, expected
from checkpointkit.structuring.records import (
    Field,
    fields_of,
    record,
    runs_own_code,
    typed_dict,
)

MAX_NESTING = 100
"""Types nest no deeper: a generic class that grows with each recursion would have no end."""


class _PlainData:
    def __repr__(self) -> str:
        return "plain JSON data"


_PLAIN_DATA = _PlainData()

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
else:
    Json = Annotated[object, _PLAIN_DATA]
"""Any plain JSON data: for a part of the state that has no class of its own."""

_QUALIFIERS = {
    typing.Final,
    typing.Required,
    typing.NotRequired,
    getattr(typing, "ReadOnly", typing.Final),
}


class Compiler:
    """Makes the codecs of one schema, each type once.

    Attributes:
        unproven: The names of the classes that run code of their own when they are built.
    """

    def __init__(self, hooks: Iterable[Hook[Any] | Tagged], *, gathering: bool) -> None:
        self.gathering = gathering
        self.unproven: list[str] = []
        self._hooks: dict[Any, Hook[Any] | Tagged] = {hook.cls: hook for hook in hooks}
        self._done: dict[Any, Codec] = {}
        self._open: list[Any] = []

    def payload_codec(self, tp: Any) -> Codec:
        """Return the codec of the type of a whole state, whose payload is a dict.

        Raises:
            TypeError: It cannot be kept strictly, or its payload is no dict.
        """
        name = getattr(tp, "__name__", str(tp))
        codec = self.codec(tp, name)
        if not codec.wire:  # a hook, which may write anything
            return codecs.only_dict(codec)
        if codec.wire != {dict}:
            raise TypeError(f"{name}: a schema needs a class (or a dict), which has named parts")
        return codec

    def codec(self, tp: Any, path: str) -> Codec:
        """Return the codec of a type.

        Args:
            tp: The type, as an annotation names it.
            path: Where it was met, for messages.

        Raises:
            TypeError: It cannot be kept strictly; names the path.
        """
        try:
            known = self._done.get(tp)
        except TypeError:  # Annotated with something that has no hash
            return self._make(tp, path)
        if known is not None:
            return known
        if len(self._open) > MAX_NESTING:
            raise TypeError(f"{path}: types nest without end")
        pending = self._done[tp] = Codec.pending()
        self._open.append(tp)
        pending.settle(self._make(tp, path))
        self._open.pop()
        return pending

    def _make(self, tp: Any, path: str) -> Codec:
        origin, arguments = get_origin(tp), get_args(tp)
        bare: Any = origin or tp  # without its arguments
        if (hook := self._hook(tp)) is not None:
            return (
                self._tagged(hook, path)
                if isinstance(hook, Tagged)
                else foreign(hook, self.gathering)
            )
        if tp in (Any, object):
            raise TypeError(
                f"{path}: {getattr(tp, '__name__', tp)} takes every value; name the type, "
                "use Json for plain JSON data, or give the schema a hook"
            )
        if origin is Annotated:
            if _PLAIN_DATA in tp.__metadata__:
                return codecs.plain_data(self.gathering)
            return self.codec(arguments[0], path)
        if origin in _QUALIFIERS:
            return self.codec(arguments[0], path)
        if hasattr(tp, "__supertype__"):  # NewType
            return self.codec(tp.__supertype__, path)
        if hasattr(bare, "__value__"):  # type Alias = ...
            bound = dict(zip(bare.__type_params__, arguments, strict=False))
            target = self.codec(substitute(bare.__value__, bound), path)
            return target.renamed()
        if (scalar := PLAIN.get(type(None) if tp is None else bare)) is not None:
            return scalar
        if origin is typing.Literal:
            return self._literal(arguments, path)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments, path)
        if bare in _CONTAINERS and getattr(tp, "__args__", None) is None:
            raise TypeError(f"{path}: {bare.__name__} of what? Name the types in it")
        if isinstance(bare, type):
            return self._class(bare, arguments, path)
        if isinstance(tp, TypeVar):
            raise TypeError(f"{path}: {tp} is open; give the class its type arguments")
        raise TypeError(f"{path}: {tp!r} is not supported; give the schema a hook for it")

    def _hook(self, tp: Any) -> Hook[Any] | Tagged | None:
        try:
            return self._hooks.get(tp)
        except TypeError:
            return None

    # --- classes ---------------------------------------------------------------------------------

    def _class(self, cls: type[Any], arguments: tuple[Any, ...], path: str) -> Codec:
        if cls in _CONTAINERS:
            return self._container(_CONTAINERS[cls], arguments, path)
        if issubclass(cls, enum.Enum):
            return self._enum(cls, path)
        if issubclass(cls, dict) and hasattr(cls, "__total__"):
            return self._typed_dict(cls, arguments, path)
        try:
            fields = fields_of(cls)
        except TypeError as error:
            raise TypeError(f"{path}: {error}") from None
        if fields is None:
            return self._text(cls, path)
        if runs_own_code(cls, [field.name for field in fields]):
            self.unproven.append(cls.__name__)
        if len({field.wire for field in fields}) != len(fields):
            raise TypeError(f"{path}: two fields have the same name on the wire")
        bound = bindings(cls, arguments)

        def of_field(field: Field) -> Codec:
            where = f"{path}.{field.name}"
            owner = owner_of(field.name, cls)
            if owner is None:
                if field.annotation is None:
                    raise TypeError(f"{where}: has no type")
                owner = cls
            tp = _resolved(field.annotation, owner, where)
            return self.codec(substitute(tp, bound.get(owner, {})), where)

        made = [(field, of_field(field)) for field in fields]
        return record(cls, made, self.gathering)

    def _typed_dict(self, cls: Any, arguments: tuple[Any, ...], path: str) -> Codec:
        bound = {
            variable: tp
            for variables in bindings(cls, arguments).values()
            for variable, tp in variables.items()
        }
        fields = []
        optional = set()
        for name, annotation in cls.__annotations__.items():
            where = f"{path}.{name}"
            tp = _resolved(annotation, cls, where)
            qualifiers = set()
            while get_origin(tp) in _QUALIFIERS or _annotates_qualifier(tp):
                qualifiers.add(get_origin(tp))
                tp = get_args(tp)[0]
            # Where annotations are texts, __required_keys__ has not seen the qualifiers.
            if typing.NotRequired in qualifiers or (
                typing.Required not in qualifiers and name not in cls.__required_keys__
            ):
                optional.add(name)
            fields.append((name, self.codec(substitute(tp, bound), where)))
        return typed_dict(fields, frozenset(optional), self.gathering)

    def _text(self, cls: type[Any], path: str) -> Codec:
        # Late: it imports datetime, decimal and uuid, which most classes do without.
        from checkpointkit.structuring import texts  # noqa: PLC0415

        if cls in texts.CODECS:
            return texts.CODECS[cls]
        if cls is texts.FOREIGN_PATH:
            raise TypeError(f"{path}: {cls.__name__} does not exist on this system")
        raise TypeError(f"{path}: {cls.__name__} is not supported; give the schema a hook for it")

    def _enum(self, cls: type[enum.Enum], path: str) -> Codec:
        if issubclass(cls, enum.Flag):
            try:
                return flag(cls)
            except ValueError as error:
                raise TypeError(f"{path}: {cls.__name__} {error}") from None
        codec = self._choice(cls.__name__, [(member, member._value_) for member in cls], path)

        def dump(value: Any) -> Any:
            if type(value) is not cls:
                raise expected(cls.__name__, value)
            return value._value_

        return Codec(codec.load, dump, codec.shape, codec.wire)

    def _literal(self, values: tuple[Any, ...], path: str) -> Codec:
        pairs = [
            (value, value._value_ if isinstance(value, enum.Enum) else value) for value in values
        ]
        plain = not any(isinstance(value, enum.Enum) for value in values)
        return self._choice("its Literal", pairs, path, plain=plain)

    def _choice(
        self, name: str, values: list[tuple[Any, Any]], path: str, *, plain: bool = False
    ) -> Codec:
        for _, data in values:
            scalar = PLAIN.get(type(data))
            if scalar is None or not _fits(scalar.load, data):
                raise TypeError(f"{path}: {name} has a value that is no plain JSON scalar")
        try:
            return choice(name, values, plain)
        except ValueError as error:
            raise TypeError(f"{path}: {name}: {error}") from None

    # --- containers and unions -------------------------------------------------------------------

    def _container(self, kind: type[Any], arguments: tuple[Any, ...], path: str) -> Codec:
        if kind is dict:
            key = codecs.as_key(self.codec(arguments[0], f"{path}[*] (key)"))
            if key is None:
                raise TypeError(
                    f"{path}[*] (key): not supported; a key has to be a text or an int on the wire"
                )
            return codecs.mapping(key, self.codec(arguments[1], f"{path}[*]"), self.gathering)
        if kind is tuple and arguments[1:] != (...,):
            parts = [self.codec(tp, f"{path}[{i}]") for i, tp in enumerate(arguments)]
            return codecs.fixed_tuple(parts, self.gathering)
        item = self.codec(arguments[0], f"{path}[*]")
        if kind in (list, tuple):
            return codecs.array(kind, item, self.gathering)
        if not item.hashable:
            raise TypeError(f"{path}[*]: cannot be in a {kind.__name__}, as it has no hash")
        return codecs.unordered(kind, item, self.gathering)

    def _union(self, members: tuple[Any, ...], path: str) -> Codec:
        others = tuple(tp for tp in members if tp is not type(None))
        if len(others) < len(members):
            codec = self.codec(functools.reduce(operator.or_, others), path)
            try:
                return codecs.optional(codec)
            except ValueError as error:
                raise TypeError(f"{path}: {error}") from None
        made = [self.codec(tp, path) for tp in others]
        met = [kind for codec in made for kind in codec.wire]
        distinct = len(met) == len(set(met)) and not {int, float}.issubset(met)
        if distinct and all(codec.plain for codec in made):
            return codecs.scalar_union(made)
        raise TypeError(
            f"{path}: a union that JSON cannot tell apart needs a tag: "
            "Schema(..., hooks=[tagged(A | B, {'a': A, 'b': B}, field='type')])"
        )

    def _tagged(self, spec: Tagged, path: str) -> Codec:
        made: dict[str, tuple[type[Any], Codec]] = {}
        for tag, cls in spec.classes.items():
            codec = self.codec(cls, f"{path}<{tag}>")
            bare = get_origin(cls) or cls
            known = isinstance(bare, type) and self._hook(cls) is None
            fields = fields_of(bare) if known else None
            if fields is None or spec.field in {field.wire for field in fields}:
                raise TypeError(
                    f"{path}<{tag}>: a class of a tagged union must be an attrs class, a dataclass "
                    f"or a NamedTuple without a field {spec.field!r}"
                )
            made[tag] = bare, codec
        if len({bare for bare, _ in made.values()}) != len(made):
            raise TypeError(f"{path}: a class has two tags")
        return tagged_union(spec.field, made)


def _annotates_qualifier(tp: Any) -> bool:
    return get_origin(tp) is Annotated and get_origin(tp.__origin__) in _QUALIFIERS


def _fits(check: Callable[[Any], Any], data: Any) -> bool:
    try:
        check(data)
    except Misfit:
        return False
    return True


def _resolved(annotation: Any, owner: type[Any], where: str) -> Any:
    try:
        return resolve(annotation, owner)
    except Exception as error:
        raise TypeError(
            f"{where}: its annotation cannot be resolved ({type(error).__name__}: {error}); "
            "move what it names to the level of the module"
        ) from error


_CONTAINERS: Mapping[Any, type[Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
    collections.abc.Mapping: dict,
}
