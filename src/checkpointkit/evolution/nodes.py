"""A shape as a graph of nodes: what generates payloads, and what compares them, walks over this.

A shape is a tree of plain data, in which recursion is a number (`{"up": 2}`). Here it is a node
that leads back to the node that is meant.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.fingerprint import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from checkpointkit.fingerprint import Shape

TEXTS: Final = frozenset(
    {"bytes", "date", "datetime", "decimal", "path", "str", "time", "uuid", "windows-path"}
)
"""The shapes that are a text on the wire."""
NUMBERS: Final = frozenset({"flag", "int", "timedelta"})
"""The shapes that are an int on the wire."""
_LEAVES: Final = {
    name: name for name in TEXTS | {"bool", "float", "int", "json", "null", "timedelta"}
}
_ITEM: Final[dict[str, str]] = dict.fromkeys(("list", "set", "tuple"), "item")


class Node:
    """One part of a shape.

    Attributes:
        kind: What it is: the name of a scalar, or the one key of a shape that is a dict; `pair`
            for a tuple of fixed length; `up` for a way back.
        parts: What is in it: by the name of a field or tag; by position; `key` and `value` of a
            dict; `item`; for `up` the node that is meant, as `back`.
        optional: The names of a record that may be absent.
        values: The values of an enum, the bits of a flag.
        name: The wire name of a hook, the field of a tag.
    """

    __slots__ = ("kind", "name", "optional", "parts", "values")

    def __init__(self, kind: str) -> None:
        self.kind: str = kind
        self.parts: dict[Any, Node] = {}
        self.optional: frozenset[str] = frozenset()
        self.values: list[Any] = []
        self.name: str = ""


def read_shape(shape: Shape) -> Node:
    """Return the node of a whole shape.

    Raises:
        ValueError: It is no shape that this release knows.

    Example:
        >>> read_shape({"record": {"next": {"union": ["null", {"up": 1}]}}}).kind
        'record'
    """
    try:
        return _read(shape, ())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"{canonical(shape)[:80]} is no shape that this release knows")


def _read(shape: Any, around: tuple[Node, ...]) -> Node:
    if isinstance(shape, str):
        return Node(_LEAVES[shape])
    kind = "record" if "optional" in shape else min(shape)
    node = Node(kind)
    if kind == "up":
        node.parts = {"back": around[-1 - shape["up"]]}
        return node
    inner = shape[kind]
    if kind in {"enum", "flag"}:
        node.values = list(inner)
    elif kind == "hook":
        node.name = str(inner)
    else:
        if kind == "tagged":
            node.name, inner = inner
        node.optional = frozenset(shape.get("optional", ()))
        parts = _parts(kind, {**inner, **shape.get("optional", {})} if kind == "record" else inner)
        node.parts = {name: _read(part, (*around, node)) for name, part in parts.items()}
        if kind == "tuple" and isinstance(inner, list):
            node.kind = "pair"
    return node


def _parts(kind: str, inner: Any) -> dict[Any, Any]:
    if kind in {"record", "tagged"}:
        return {name: inner[name] for name in sorted(inner)}
    if kind == "dict":
        return dict(zip(("key", "value"), inner, strict=True))
    if kind == "union" or (kind == "tuple" and isinstance(inner, list)):
        return dict(enumerate(inner))
    return {_ITEM[kind]: inner}


def sorting(node: Node) -> Callable[[Any], Any] | None:
    """Return the key that sorts the items of a set: as the codec of a set has it."""
    kinds = {type(value) for value in node.values} if node.kind == "enum" else set()
    natural = node.kind in TEXTS | NUMBERS | {"float"} or kinds in ({str}, {int}, {float})
    return None if natural else canonical


def likeness(node: Node, payload: Any) -> Hashable:
    """Return something that is equal where two values would be equal, as members of a set.

    On the wire, `1.0` and `1` are two decimals; as values they are one.

    Example:
        >>> likeness(read_shape("decimal"), "1.0") == likeness(read_shape("decimal"), "1")
        True
        >>> likeness(read_shape("str"), "1.0") == likeness(read_shape("str"), "1")
        False
    """
    node = settled(node, payload)
    if node.kind in _VALUES:
        return _VALUES[node.kind](payload)
    if not isinstance(payload, (list, dict)):
        return payload  # type: ignore[no-any-return]  # a scalar
    tag = payload[node.name] if isinstance(payload, dict) and node.kind == "tagged" else None
    parts = [(step, likeness(part, inner)) for step, part, inner in inside(node, payload)]
    return frozenset(inner for _, inner in parts) if node.kind == "set" else (tag, *parts)


def unlike(node: Node, payloads: Iterable[Any]) -> list[Any]:
    """Return the payloads of which no two would be the same value."""
    found: dict[Hashable, Any] = {}
    for payload in payloads:
        found.setdefault(likeness(node, payload), payload)
    return list(found.values())


_VALUES: Final[dict[str, Callable[[Any], Hashable]]] = {
    "datetime": datetime.fromisoformat,
    "decimal": Decimal,
    "hook": canonical,
    "json": canonical,
    "windows-path": PureWindowsPath,
}


def settled(node: Node, payload: Any) -> Node:
    """Return the node that says what a payload is: no way back, and no union.

    A union is of scalars with a type of JSON each, or of null and one other thing.
    """
    if node.kind == "up":
        return settled(node.parts["back"], payload)
    if node.kind != "union":
        return node
    kind = "null" if payload is None else type(payload).__name__
    for part in node.parts.values():
        if part.kind == kind or type(payload) in map(type, part.values):
            return part
    other = next(part for part in node.parts.values() if part.kind != "null")
    return settled(other, payload)


def inside(node: Node, payload: Any) -> Iterator[tuple[str | int, Node, Any]]:
    """Give the parts of a payload that fits a settled node: where each is, its node, and it."""
    parts = node.parts
    if node.kind == "tagged":
        record = {name: inner for name, inner in payload.items() if name != node.name}
        # Settled, as a class of the union may lead back to it.
        yield from inside(settled(parts[payload[node.name]], record), record)
    elif node.kind == "dict":
        for name, inner in sorted(payload.items()):
            yield name, parts["value"], inner
    elif node.kind == "record":
        for name, inner in sorted(payload.items()):
            yield name, parts[name], inner
    elif parts:
        for index, inner in enumerate(payload):
            yield index, parts.get(index) or parts["item"], inner


def hook_names(node: Node) -> frozenset[str]:
    """Return the wire names of the hooks in a shape.

    Example:
        >>> sorted(hook_names(read_shape({"record": {"a": {"list": {"hook": "example.com/h"}}}})))
        ['example.com/h']
    """
    if node.kind == "up":
        return frozenset()
    own = frozenset({node.name} if node.kind == "hook" else ())
    return own.union(*map(hook_names, node.parts.values()))


def harvest(node: Node, payloads: Iterable[Any]) -> Mapping[str, list[Any]]:
    """Return what hooks have written into payloads that fit, by the wire name of the hook.

    A shape does not say what a hook writes: what it has written is all that there is to go by.
    """
    found: dict[str, dict[str, Any]] = {}

    def walk(part: Node, payload: Any) -> None:
        part = settled(part, payload)
        if part.kind == "hook":
            found.setdefault(part.name, {})[canonical(payload)] = payload
        for _, inner, value in inside(part, payload):
            walk(inner, value)

    for payload in payloads:
        walk(node, payload)
    return {name: list(samples.values()) for name, samples in found.items()}
