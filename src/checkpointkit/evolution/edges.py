"""Payloads at the edges of a shape: empty and full, the least and the largest, each branch once."""

from __future__ import annotations

from binascii import b2a_base64
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.evolution.nodes import read_shape, sorting, unlike

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from checkpointkit.evolution.nodes import Node
    from checkpointkit.fingerprint import Shape

_ROOM: Final = 24
"""So many scalars a container of edge cases holds, at most: goldens are read in reviews."""

_SCALARS: Final[Mapping[str, list[Any]]] = {
    "str": ["", "a", "caf\xe9 \U0001f600", '\0\n"\\', " 1"],
    "int": [0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**30],
    "float": [0.0, 1.5, -0.0, -1e22, 5e-324, 1.7976931348623157e308],
    "bool": [False, True],
    "null": [None],
    "json": [None, {}, [1, 2.5, True, "1"], {"": [], "a": {"b": None}}],
    "bytes": [b2a_base64(data, newline=False).decode() for data in (b"", b"\0", b"\xfb\xff\xfe\n")],
    "date": ["1970-01-01", "2024-02-29", "0001-01-01", "9999-12-31"],
    "datetime": [
        "1970-01-01T00:00:00+00:00",
        "2024-02-29T12:30:00.000001+05:30",
        "0001-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59.999999+00:00",
    ],
    "time": ["00:00:00", "23:59:59.999999"],
    "timedelta": [0, 1, -1, 86399999999999999999, -86399999913600000000],
    "decimal": ["0", "1.50", "-0.0", "1E+3", "1E-28", "123456789012345678901234567890.5"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "path": [".", "/", "a/b c", "../x", "/caf\xe9"],
    "windows-path": [".", "C:\\a", "a\\b c"],
}  # fmt: skip


def edges(shape: Shape, hooks: Mapping[str, Sequence[Any]] | None = None) -> list[Any]:
    """Return payloads of a shape at its edges, the plainest first.

    Each edge of each part is in one of them; there are no more of them than that takes.

    Args:
        shape: The shape.
        hooks: What hooks write, by wire name: of that the shape says nothing.

    Returns:
        The payloads; none if there can be none, or if nothing is known of a hook.

    Raises:
        ValueError: It is no shape that this release knows.

    Example:
        >>> edges({"record": {"on": "bool", "who": {"enum": ["a", "b"]}}})
        [{'on': False, 'who': 'a'}, {'on': True, 'who': 'b'}]
    """
    return _Edges(hooks or {}).of(read_shape(shape), 1)


class _Edges:
    def __init__(self, hooks: Mapping[str, Sequence[Any]]) -> None:
        self._hooks = hooks

    def of(self, node: Node, deep: int) -> list[Any]:
        """Return the edges of a node; recursion goes `deep` times around."""
        if node.kind in _SCALARS:
            return _SCALARS[node.kind]
        make = getattr(self, f"_{node.kind}")
        made: list[Any] = make(node, deep)
        return made

    def _enum(self, node: Node, _: int) -> list[Any]:
        return node.values

    def _flag(self, node: Node, _: int) -> list[Any]:
        return [0, *node.values, sum(node.values)]

    def _hook(self, node: Node, _: int) -> list[Any]:
        return list(self._hooks.get(node.name, ()))

    def _up(self, node: Node, deep: int) -> list[Any]:
        return self.of(node.parts["back"], deep - 1) if deep else []

    def _list(self, node: Node, deep: int) -> list[Any]:
        return [[], *_full(self.of(node.parts["item"], deep))]

    _tuple = _list

    def _set(self, node: Node, deep: int) -> list[Any]:
        item = node.parts["item"]
        items = unlike(item, self.of(item, deep))
        return [[], *(sorted(full, key=sorting(item)) for full in _full(items))]

    def _dict(self, node: Node, deep: int) -> list[Any]:
        key, value = node.parts["key"], node.parts["value"]
        keys = [str(edge) for edge in unlike(key, self.of(key, deep))]
        values = self.of(value, deep)
        pairs = list(_together([keys, values])) if keys and values else []
        return [{}, *map(dict, _full(pairs, len(keys)))]

    def _pair(self, node: Node, deep: int) -> list[Any]:
        return [list(parts) for parts in _together(self.of(p, deep) for p in node.parts.values())]

    def _record(self, node: Node, deep: int) -> list[Any]:
        parts = {name: self.of(part, deep) for name, part in node.parts.items()}
        needed = {name: found for name, found in parts.items() if name not in node.optional}
        known = {name: found for name, found in parts.items() if found}
        if not needed.keys() <= known.keys():
            return []
        whole = [dict(zip(known, found, strict=True)) for found in _together(known.values())]
        if len(known) == len(needed):
            return whole
        return [{name: found[0] for name, found in needed.items()}, *whole]

    def _union(self, node: Node, deep: int) -> list[Any]:
        return _in_turn([self.of(part, deep) for part in node.parts.values()])

    def _tagged(self, node: Node, deep: int) -> list[Any]:
        return _in_turn(
            [{node.name: tag, **edge} for edge in self.of(part, deep)]
            for tag, part in node.parts.items()
        )


def _together(parts: Iterable[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """Give one of each part, until each of each was there; nothing if a part has none."""
    every = list(parts)
    if all(every):
        for turn in range(max(map(len, every), default=1)):
            yield tuple(part[turn % len(part)] for part in every)


def _in_turn(parts: Iterable[list[Any]]) -> list[Any]:
    """Return the first of each part, then the second of each, and so on."""
    nothing = object()
    turns = zip_longest(*parts, fillvalue=nothing)
    return [edge for edge in chain.from_iterable(turns) if edge is not nothing]


def _full(items: Sequence[Any], most: int = _ROOM) -> Iterator[list[Any]]:
    """Give the items in lists that are as full as may be."""
    full: list[Any] = []
    room = _ROOM
    for item in items:
        room -= _scalars(item)
        if full and (room < 0 or len(full) == most):
            yield full
            full, room = [], _ROOM - _scalars(item)
        full.append(item)
    if full:
        yield full


def _scalars(payload: Any) -> int:
    if isinstance(payload, dict):
        payload = payload.values()
    elif not isinstance(payload, (list, tuple)):
        return 1
    return 1 + sum(map(_scalars, payload))
