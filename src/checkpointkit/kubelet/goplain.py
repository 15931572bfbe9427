"""The short way for what the kubelet writes itself: whole maps and arrays at once. Pure.

`godecode` and `godump` go through a document one value after the other, since any of them may be
odd. Nearly none is. So a type is turned into functions once, and they do all of a map that is as
the kubelet writes it: each value of the right type, each field of a struct there and in order.
Anything else is left to the long way, which says what Go says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.kubelet.gotypes import GoType, ListOf, MapOf, Number, Struct, Text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OddError", "decoder_of", "dumper_of"]


class OddError(Exception):
    """The document is not as the kubelet writes it; the long way has to decode it."""


def decoder_of(kind: GoType) -> Callable[[Any], Any] | None:
    """Return what decodes a document over nothing; None for a type that has no short way.

    The function raises `OddError` where the long way could come to anything else.

    Example:
        >>> decode = decoder_of(MapOf("map[string]string", Text()))
        >>> decode((("a", "1"), ("b", "2")))
        {'a': '1', 'b': '2'}
    """
    if isinstance(kind, Text | Number):
        return _scalar_decoder(kind)
    if isinstance(kind, ListOf):
        return _list_decoder(kind)
    if isinstance(kind, MapOf) and isinstance(kind.key, Text):
        return _map_decoder(kind)
    return _struct_decoder(kind) if isinstance(kind, Struct) and not kind.helper else None


def _scalar_decoder(kind: Text | Number) -> Callable[[Any], Any]:
    if isinstance(kind, Text):

        def text(node: Any) -> Any:
            if isinstance(node, str):
                return node
            raise OddError

        return text
    least, most = kind.least, kind.most

    def number(node: Any) -> Any:
        if type(node) is int and least <= node <= most:
            return node
        raise OddError

    return number


def _list_decoder(kind: ListOf) -> Callable[[Any], Any] | None:
    item = decoder_of(kind.item)
    if item is None:
        return None
    if isinstance(kind.item, Number):
        return _numbers_decoder(kind.item)

    def decode(node: Any) -> Any:
        if type(node) is list:
            return [item(each) for each in node]
        raise OddError

    return decode


def _numbers_decoder(kind: Number) -> Callable[[Any], Any]:
    least, most = kind.least, kind.most

    def decode(node: Any) -> Any:
        if type(node) is not list:
            raise OddError
        for each in node:  # a call for each takes three times as long
            if type(each) is not int or not least <= each <= most:
                raise OddError
        return node.copy()

    return decode


def _map_decoder(kind: MapOf) -> Callable[[Any], Any] | None:
    item = decoder_of(kind.value)
    if item is None:
        return None

    def decode(node: Any) -> Any:
        if type(node) is tuple:
            value = {key: item(each) for key, each in node}
            if len(value) == len(node):
                return value
        raise OddError

    return decode


def _struct_decoder(kind: Struct) -> Callable[[Any], Any] | None:
    plan = [(field.json, field.name, decoder_of(field.type)) for field in kind.fields]
    if any(item is None for _, _, item in plan):
        return None
    # A text is looked at where it is met: a call takes longer than the rest.
    ways = [
        (key, name, None if isinstance(field.type, Text) else item)
        for (key, name, item), field in zip(plan, kind.fields, strict=True)
    ]

    def decode(node: Any) -> Any:
        if type(node) is not tuple or len(node) != len(ways):
            raise OddError
        value = {}
        for (key, each), (wanted, name, item) in zip(node, ways):  # noqa: B905 - looked at above
            if key != wanted:
                raise OddError
            if item is not None:
                value[name] = item(each)
            elif isinstance(each, str):
                value[name] = each
            else:
                raise OddError
        return value

    return decode


def dumper_of(kind: GoType) -> Callable[[Any], str] | None:
    """Return what dumps a value, its own type left out; None for a type that has no short way.

    Example:
        >>> text = dumper_of(MapOf("map[string][]int", ListOf("[]int", Number("int", signed=True))))
        >>> text({"b": [1, 2], "a": None})
        'map[a:<nil> b:[1 2]]'
    """
    if isinstance(kind, Text | Number):
        return str
    if isinstance(kind, ListOf):
        return _list_dumper(kind)
    if isinstance(kind, MapOf) and isinstance(kind.key, Text):
        return _map_dumper(kind)
    return _struct_dumper(kind) if isinstance(kind, Struct) and not kind.helper else None


def _list_dumper(kind: ListOf) -> Callable[[Any], str] | None:
    item = dumper_of(kind.item)
    if item is None:
        return None
    if isinstance(kind.item, Number):
        return _numbers_text

    def text(value: Any) -> str:
        return "<nil>" if value is None else f"[{' '.join([item(each) for each in value])}]"

    return text


def _numbers_text(value: list[int] | None) -> str:
    return "<nil>" if value is None else str(value).replace(",", "")


def _map_dumper(kind: MapOf) -> Callable[[Any], str] | None:
    item = dumper_of(kind.value)
    if item is None:
        return None

    def text(value: Any) -> str:
        if value is None:
            return "<nil>"
        keys = sorted(value) if len(value) > 1 else value
        return f"map[{' '.join([f'{key}:{item(value[key])}' for key in keys])}]"

    return text


def _struct_dumper(kind: Struct) -> Callable[[Any], str] | None:
    items = [dumper_of(field.type) for field in kind.fields]
    if None in items:
        return None
    names = tuple(field.name for field in kind.fields)
    deep = tuple((at, item) for at, item in enumerate(items) if item not in (str, None))
    heads = " ".join([f"{field.go}:({field.type.go})%s" for field in kind.fields])
    whole = f"{{{heads}}}"

    def text(value: Any) -> str:
        values = [value[name] for name in names]
        for at, item in deep:
            values[at] = item(values[at])
        return whole % tuple(values)

    return text
