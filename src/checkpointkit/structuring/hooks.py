"""What a schema is told about types that it cannot know: foreign types, and unions of classes."""

from __future__ import annotations

import re
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_is_wire_name = re.compile(r"[!#-&(-\[\]-~]{1,253}").fullmatch


def check_wire_name(name: object, what: str) -> str:
    """Return a name that may stand on the wire.

    Raises:
        TypeError: It is no `str`.
        ValueError: It is empty, longer than 253 characters, or has anything but printable ASCII
            without spaces, quotes and backslashes.
    """
    if type(name) is not str:
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    if not _is_wire_name(name):
        raise ValueError(
            f"{what} must have 1 to 253 printable ASCII characters without spaces, quotes and "
            "backslashes, for example 'example.com/pod-devices'"
        )
    return name


class Hook(Generic[T]):
    """Says how a foreign type goes to the wire and comes back.

    It stands for exactly `cls`, wherever that is met in the class of a schema, and goes before
    what checkpointkit would do with it. Its `wire` name is what the fingerprint holds: give it a
    new one when `dump` starts to write something else.

    Both directions are checked, each time: `load(dump(value))` has to be equal to `value` and of
    its type, and `dump(load(payload))` has to give `payload` again.

    Args:
        cls: The foreign type.
        wire: The name of its form on the wire, for example `example.com/quantity`.
        dump: Gives plain JSON data for a value.
        load: Gives the value back.

    Raises:
        TypeError: `wire` is no str, or `dump` or `load` cannot be called.
        ValueError: `wire` is no sane name.

    Example:
        >>> from fractions import Fraction
        >>> Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)
        Hook(Fraction, wire='example.com/fraction')
    """

    __slots__ = ("cls", "dump", "load", "wire")

    cls: type[T]
    wire: str
    dump: Callable[[T], Any]
    load: Callable[[Any], T]

    def __init__(
        self, cls: type[T], *, wire: str, dump: Callable[[T], Any], load: Callable[[Any], T]
    ) -> None:
        if not (callable(dump) and callable(load)):
            raise TypeError("dump and load of a hook must be functions")
        put = object.__setattr__
        put(self, "cls", cls)
        put(self, "wire", check_wire_name(wire, "the wire name of a hook"))
        put(self, "dump", dump)
        put(self, "load", load)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a hook is frozen")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Hook, self.cls, wire=self.wire, dump=self.dump, load=self.load), ()

    def __repr__(self) -> str:
        return f"Hook({getattr(self.cls, '__name__', self.cls)}, wire={self.wire!r})"


class Tagged:
    """A union of classes, told apart by a field of the payload; made by `tagged`."""

    __slots__ = ("classes", "cls", "field")

    cls: Any
    classes: Mapping[str, type[Any]]
    field: str

    def __init__(self, cls: Any, classes: Mapping[str, type[Any]], field: str) -> None:
        put = object.__setattr__
        put(self, "cls", cls)
        put(self, "classes", MappingProxyType(dict(classes)))
        put(self, "field", field)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a tagged union is frozen")

    def __reduce__(self) -> tuple[Any, ...]:
        return Tagged, (self.cls, dict(self.classes), self.field)

    def __repr__(self) -> str:
        return f"tagged({getattr(self.cls, '__name__', self.cls)}, field={self.field!r})"


def tagged(cls: Any, classes: Mapping[str, type[Any]], *, field: str) -> Tagged:
    """Say how a union of classes is told apart: by a field of the payload that holds a tag.

    The tag is chosen here and stays when a class is renamed. A value has to be an instance of
    exactly one of the classes.

    Args:
        cls: The union (`Circle | Square`), or a base class, as the annotations name it.
        classes: The class for each tag: attrs classes, dataclasses or NamedTuples.
        field: The name of the field that holds the tag; no class may have a field of that name.

    Raises:
        TypeError: There are no classes, or a tag or `field` is no str.
        ValueError: A tag or `field` is no sane name.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Circle:
        ...     radius: int
        >>> @dataclass
        ... class Square:
        ...     side: int
        >>> tagged(Circle | Square, {"circle": Circle, "square": Square}, field="type").field
        'type'
    """
    if not classes:
        raise TypeError("a tagged union needs classes")
    for tag in classes:
        check_wire_name(tag, "a tag")
    return Tagged(cls, classes, check_wire_name(field, "the field of a tag"))
