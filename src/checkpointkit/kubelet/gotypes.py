"""The Go types of the kubelet's checkpoints, described as data. Pure.

Everything else follows from these descriptions: how Go decodes a document into such a value
(`godecode`), the text that is hashed (`godump`), and the bytes that are written (`goencode`).

A value of such a type is plain data, as it is in a `Payload`: a struct is a dict by `Field.name`,
a map is a dict (an int key is its decimal text), a slice a list, bytes are base64 text, and a
nil map, slice or pointer is None.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from attrs import Factory, field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Amount",
    "Bytes",
    "CpuSet",
    "Field",
    "GoType",
    "ListOf",
    "MapOf",
    "Number",
    "Pointer",
    "Struct",
    "Text",
]


@frozen
class Text:
    """A string.

    Attributes:
        go: The name of the type.
    """

    go: str = "string"


def _least_of(kind: Number) -> int:
    return -(1 << (kind.bits - 1)) if kind.signed else 0


def _most_of(kind: Number) -> int:
    return (1 << (kind.bits - kind.signed)) - 1


@frozen
class Number:
    """A whole number.

    Attributes:
        go: The name of the type.
        signed: Whether it can be negative.
        bits: How wide it is.
        least: The least of its numbers.
        most: The largest.
    """

    go: str
    signed: bool
    bits: int = 64
    least: int = field(
        init=False, eq=False, repr=False, default=Factory(_least_of, takes_self=True)
    )
    most: int = field(init=False, eq=False, repr=False, default=Factory(_most_of, takes_self=True))

    def holds(self, number: int) -> bool:
        """Tell whether a number is in its range."""
        return self.least <= number <= self.most


@frozen
class Bytes:
    """`[]uint8`; base64 in JSON."""

    go: str = "[]uint8"


@frozen
class CpuSet:
    """`cpuset.CPUSet`; in JSON, and here, its canonical text (`0-3,8`)."""

    go: str = "cpuset.CPUSet"


@frozen
class Amount:
    """`resource.Quantity`; in JSON, and here, its text (`100m`)."""

    go: str = "resource.Quantity"


@frozen
class ListOf:
    """A slice.

    Attributes:
        go: The name of the type.
        item: The type of its elements.
    """

    go: str
    item: GoType


@frozen
class MapOf:
    """A map.

    Attributes:
        go: The name of the type.
        value: The type of its values.
        key: The type of its keys.
    """

    go: str
    value: GoType
    key: Text | Number = Text()


@frozen
class Pointer:
    """A pointer to a struct.

    Attributes:
        item: What it points to.
    """

    item: Struct

    @property
    def go(self) -> str:
        """The name of the type."""
        return f"*{self.item.go}"


@frozen
class Field:
    """A field of a struct.

    Attributes:
        go: Its name in Go.
        json: Its key in JSON.
        name: Its name in our classes.
        type: Its type.
        omit_empty: Left out of the JSON where it is empty.
    """

    go: str
    json: str
    name: str
    type: GoType
    omit_empty: bool = False


def _by_key_of(kind: Struct) -> Mapping[str, Field]:
    return MappingProxyType({each.json: each for each in kind.fields})


@frozen
class Struct:
    """A struct.

    Attributes:
        go: The name of the type, with its package.
        fields: Its fields, in order.
        helper: The struct that its `UnmarshalJSON` decodes into, where it has one: always a new
            one, whatever the value held before.
        by_key: The fields by their keys in JSON, as they are written.
    """

    go: str
    fields: tuple[Field, ...]
    helper: str = ""
    by_key: Mapping[str, Field] = field(
        init=False, eq=False, repr=False, default=Factory(_by_key_of, takes_self=True)
    )


GoType: TypeAlias = Text | Number | Amount | Bytes | CpuSet | ListOf | MapOf | Pointer | Struct
