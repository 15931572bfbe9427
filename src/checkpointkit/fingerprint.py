"""The shape of a format, and its fingerprint.

A shape is plain data: what is on the wire, by the names and types of the wire. It holds no name
of a class, a module or a Python attribute, no default and no order of fields, so that renaming a
class changes nothing, and any change that an older release would trip over changes the shape.

The vocabulary of shapes is frozen with the prefix `fp1:`. It may grow; what it says of a type
that is here today never changes:

| shape | what it stands for |
| --- | --- |
| `"str"` `"int"` `"float"` `"bool"` `"null"` | the scalars of JSON, an int apart from a float |
| `"json"` | any plain JSON data |
| `"bytes"` `"date"` `"datetime"` `"time"` `"decimal"` `"uuid"` `"path"` `"windows-path"` | a text |
| `"timedelta"` | an int, in microseconds |
| `{"list": item}` `{"tuple": item}` `{"set": item}` | an array, by what it stands for |
| `{"tuple": [first, second, ...]}` | an array of fixed length |
| `{"dict": [key, value]}` | an object whose names are data |
| `{"record": {name: shape, ...}}` | an object with these names, and no other |
| `{"record": ..., "optional": {name: shape, ...}}` | the same, with names that may be absent |
| `{"enum": [value, ...]}` | one of these values (an `Enum` or a `Literal`), sorted |
| `{"flag": [bit, ...]}` | an int made of these bits |
| `{"union": [shape, ...]}` | one of these, told apart by the type in JSON; sorted |
| `{"tagged": [field, {tag: shape, ...}]}` | one of these records, told apart by a field |
| `{"hook": wire}` | what the hook of that wire name writes |
| `{"up": n}` | recursion: the shape that is n levels above the one around this |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, TypeAlias

Shape: TypeAlias = bool | int | float | str | list["Shape"] | dict[str, "Shape"] | None
"""Plain data, ready for JSON."""

Part: TypeAlias = Callable[[Any], Shape]
"""Gives the shape of a part (something `Shaped`), in its place in the whole."""


class Shaped:
    """What can tell its shape: the base of every codec."""

    __slots__ = ("named", "shape")

    shape: Callable[[Part], Shape]
    """Return the shape; the argument is to be called for the shape of each part."""

    named: bool
    """Recursion may lead back here: a class or an alias, which can name itself."""


def canonical(shape: Any) -> str:
    """Return plain data as its one JSON text: sorted names, no spaces.

    Example:
        >>> canonical({"record": {"b": "int", "a": "str"}})
        '{"record":{"a":"str","b":"int"}}'
    """
    return json.dumps(
        shape, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def in_order(shapes: Iterable[Any]) -> list[Any]:
    """Return plain data sorted by its JSON text, each once."""
    texts = {canonical(shape): shape for shape in shapes}
    return [texts[text] for text in sorted(texts)]


def union_of(shapes: Iterable[Shape]) -> Shape:
    """Return the shape of a union; a union inside of it is part of it.

    Example:
        >>> union_of(["str", {"union": ["int", "null"]}])
        {'union': ['int', 'null', 'str']}
    """
    flat: list[Shape] = []
    for shape in shapes:
        inner = shape.get("union") if isinstance(shape, dict) else None
        flat += inner if isinstance(inner, list) else [shape]
    return {"union": in_order(flat)}


def shape_of(whole: Shaped) -> Shape:
    """Return the shape of `whole` with everything in it; recursion becomes `{"up": n}`."""

    def render(node: Shaped, around: tuple[Any, ...]) -> Shape:
        # Only names count: `dict[str, Node]` and `Dict[str, Node]` must not make a difference.
        if node.named and node.shape in around:
            return {"up": around[::-1].index(node.shape)}
        inside = (*around, node.shape)
        return node.shape(lambda part: render(part, inside))

    return render(whole, ())


def fingerprint(shape: Shape) -> str:
    """Return the fingerprint of a shape: the same on every Python and in every process.

    Example:
        >>> fingerprint({"record": {"name": "str"}})
        'fp1:5e838a1f4bcfd3c155de52df5199a0dd'
    """
    return f"fp1:{sha256(canonical(shape).encode()).hexdigest()[:32]}"


def drifted(stored: str, own: str) -> bool:
    """Tell whether two fingerprints are of different shapes.

    Those of another algorithm say nothing about each other.

    Example:
        >>> drifted("fp1:00", "fp1:01"), drifted("fp2:00", "fp1:01")
        (True, False)
    """
    algorithm = own.partition(":")[0] + ":"
    return stored != own and stored.startswith(algorithm)
