"""Where in a file each part of the hashed text comes from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from checkpointkit.kubelet.godecode import field_named, fits
from checkpointkit.kubelet.godump import dump
from checkpointkit.kubelet.gojson import RawNumber, Scanner
from checkpointkit.kubelet.gotypes import GoType, ListOf, MapOf, Number, Pointer, Struct, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Piece", "Span", "misfits", "parse_with_places", "pieces", "span_of", "strangers"]

Span: TypeAlias = tuple[int, int]
"""The bytes of a token in the file: the first, and the one after the last; quotes included."""

Piece: TypeAlias = tuple[str, Span | None, GoType]
"""A part of the hashed text, the token that it stands in, and the type of that."""


class _String(str):
    """A string that knows its place."""

    __slots__ = ("span",)
    span: Span

    def placed(self, text: str) -> _String:
        """Return another text in the same place."""
        other = _String(text)
        other.span = self.span
        return other


class _Int(int):
    """An int that knows its place."""

    span: Span


class _Raw(RawNumber):
    """A number that is no int, and knows its place."""

    __slots__ = ("span",)
    span: Span


class _Placing(Scanner):
    """Reads one character for each byte, so that a place in the text is one in the file."""

    def _plain(self, text: str) -> str:
        data = text.encode("latin-1").decode("utf-8", "surrogateescape")
        return super()._plain(data)

    def _string(self) -> str:
        start = self._at
        found = _String(super()._string())
        found.span = start, self._at
        return found

    def _number(self) -> Any:
        start = self._at
        number = super()._number()
        found = _Raw(number.text) if isinstance(number, RawNumber) else _Int(number)
        found.span = start, self._at
        return found


def parse_with_places(data: bytes) -> Any:
    """As `gojson.parse`; the strings and numbers of the document know their place."""
    return _Placing(data.decode("latin-1")).document()


def span_of(node: Any) -> Span | None:
    """Return the place of a string or number; None where it is not known."""
    return getattr(node, "span", None)


def strangers(kind: GoType, node: Any) -> Iterator[str]:
    """Yield the keys of a document that Go does not know."""
    if isinstance(kind, Pointer):
        kind = kind.item
    if isinstance(kind, Struct) and isinstance(node, tuple):
        for key, item in node:
            number = field_named(kind, key)
            if number is None:
                yield key
            else:
                yield from strangers(kind.fields[number].type, item)
    elif isinstance(kind, MapOf) and isinstance(node, tuple):
        for _, item in node:
            yield from strangers(kind.value, item)
    elif isinstance(kind, ListOf) and isinstance(node, list):
        for item in node:
            yield from strangers(kind.item, item)


def misfits(kind: GoType, node: Any) -> Iterator[Any]:
    """Yield the strings and numbers of a document, keys of maps among them, that do not fit."""
    if isinstance(kind, Pointer):
        kind = kind.item
    if isinstance(kind, Struct) and isinstance(node, tuple):
        for key, item in node:
            number = field_named(kind, key)
            if number is not None:
                yield from misfits(kind.fields[number].type, item)
    elif isinstance(kind, MapOf) and isinstance(node, tuple):
        for key, item in node:
            if not fits(MapOf("", Text(), kind.key), ((key, ""),)):
                yield key
            yield from misfits(kind.value, item)
    elif isinstance(kind, ListOf) and isinstance(node, list):
        for item in node:
            yield from misfits(kind.item, item)
    elif not fits(kind, node):
        yield node


def pieces(kind: GoType, value: Any) -> list[Piece]:
    """Return what `godump.dump` prints, in parts; the maps with texts for keys as they stand.

    The kubelet writes such maps in order; so where one character of a key is wrong, this is the
    order in which its text stood when it was hashed.
    """
    parts: list[Piece] = []
    _put(kind, value, parts, typed=True)
    return parts


def _put(kind: GoType, value: Any, parts: list[Piece], *, typed: bool) -> bool:
    """As `godump._put`."""
    if isinstance(kind, Pointer) and value is not None:
        parts.append((f"({kind.go})" if typed else "<*>", None, kind))
        return _put(kind.item, value, parts, typed=False)
    if (
        isinstance(kind, Text | Number)
        or value is None
        or not isinstance(kind, Struct | MapOf | ListOf)
    ):
        whole = dump(kind, value)
        name = f"({kind.go})"
        parts.append((name if typed else "", None, kind))
        text = whole.removeprefix(name)
        parts.append((text, span_of(value), kind))
        return isinstance(kind, Pointer) and not typed
    parts.append((f"({kind.go})" if typed else "", None, kind))
    quiet = False
    if isinstance(kind, Struct):
        before = "{"
        for field in kind.fields:
            parts.append((f"{before}{field.go}:", None, kind))
            quiet = _put(field.type, value[field.name], parts, typed=not quiet)
            before = " "
        parts.append(("}", None, kind))
        return quiet
    before = "map[" if isinstance(kind, MapOf) else "["
    if isinstance(kind, MapOf):
        keys = sorted(value, key=int) if isinstance(kind.key, Number) else list(value)
        for key in keys:
            parts.extend(
                ((before, None, kind), (str(key), span_of(key), kind.key), (":", None, kind))
            )
            quiet = _put(kind.value, value[key], parts, typed=False)
            before = " "
    else:
        for each in value:
            parts.append((before, None, kind))
            quiet = _put(kind.item, each, parts, typed=False)
            before = " "
    parts.append(("]" if value else f"{before}]", None, kind))
    return quiet
