"""A JSON document as Go decodes it into a value of a given type. Pure.

What decides a verdict, and is not what one expects: keys match in whatever case; unknown ones are
ignored; null leaves a string, a number or a struct as it was; a map that is there already is added
to, and so is each map that stands twice; an array decodes over the elements that the slice had.
A value of a wrong type does not end the decoding, and the first such error is what is reported.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from checkpointkit.kubelet.cpusets import CpuSetError, format_cpus, parse_cpus
from checkpointkit.kubelet.gobase64 import Base64Error, decode_base64
from checkpointkit.kubelet.gojson import RawNumber
from checkpointkit.kubelet.goplain import OddError, decoder_of
from checkpointkit.kubelet.gotypes import (
    Amount,
    Bytes,
    CpuSet,
    GoType,
    ListOf,
    MapOf,
    Number,
    Pointer,
    Struct,
    Text,
)
from checkpointkit.kubernetes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GoTypeError", "decode", "field_named", "fits", "zero"]

_INT: Final = re.compile(r"[-+]?[0-9]{1,400}", re.ASCII)
_NO_AMOUNT: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_BYTE: Final = Number("uint8", signed=False, bits=8)
_FOLDED: Final = str.maketrans({"\u212a": "K", "\u017f": "S"})
"""The two letters outside ASCII that are an ASCII letter in another case."""


class GoTypeError(ValueError):
    """The document does not fit the type; the message is Go's."""


class _Ended(Exception):  # noqa: N818 - no error by itself
    """A struct could not decode itself, which ends the decoding, whatever was saved before."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def zero(kind: GoType) -> Any:
    """Return the value of a type that nothing was put in."""
    if isinstance(kind, Struct):
        return {field.name: zero(field.type) for field in kind.fields}
    if isinstance(kind, Number):
        return 0
    return "" if isinstance(kind, Text | CpuSet | Amount) else None


def field_named(struct: Struct, key: str) -> int | None:
    """Return which field of a struct a key means; None where it means none."""
    for number, field in enumerate(struct.fields):
        if field.json == key:
            return number
    folded = _fold(key)
    for number, field in enumerate(struct.fields):
        if _fold(field.json) == folded:
            return number
    return None


def _fold(key: str) -> str:
    key = key.translate(_FOLDED)
    return key.upper() if key.isascii() else key


def decode(kind: Struct, document: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Decode a document over a value, as `json.Unmarshal` does.

    Args:
        kind: The type of the value.
        document: As `gojson.parse` returns it.
        value: What is there before; it is changed.

    Returns:
        The value.

    Raises:
        GoTypeError: Some part is of another type.

    Example:
        >>> from checkpointkit.kubelet.gotypes import Field
        >>> kind = Struct("p.T", (Field("N", "n", "n", Number("int", signed=True)),))
        >>> decode(kind, (("N", 7), ("m", [])), {"n": 0})
        {'n': 7}
        >>> decode(kind, (("n", RawNumber("7.0")),), {"n": 0})
        Traceback (most recent call last):
        ...
        checkpointkit.kubelet.godecode.GoTypeError: json: cannot unmarshal number 7.0 into Go \
struct field T.n of type int
    """
    decoder = _Decoder()
    try:
        decoder.value(kind, document, value)
    except _Ended as ended:
        problem = ended.problem
    else:
        problem = decoder.problem
    if problem:
        raise GoTypeError(problem)
    return value


def fits(kind: GoType, node: Any) -> bool:
    """Tell whether a document can be decoded into a value of any type."""
    decoder = _Decoder()
    try:
        decoder.value(kind, node, zero(kind))
    except _Ended:
        return False
    return not decoder.problem


class _Decoder:
    """One decoding: where it is, the first error, and what slices keep behind their end."""

    def __init__(self, struct: str = "", path: tuple[str, ...] = ()) -> None:
        self.problem = ""
        self._struct = self._outer = struct
        self._path = path
        self._behind: dict[int, tuple[list[Any], list[Any]]] = {}
        self._ways: dict[int, Callable[[Any], Any] | None] = {}

    def _save(self, value: str, go: str) -> None:
        where = f"struct field {self._struct}.{'.'.join(self._path)}" if self._path else "value"
        self.problem = (
            self.problem or f"json: cannot unmarshal {value} into Go {where} of type {go}"
        )

    def value(self, kind: GoType, node: Any, old: Any) -> Any:
        """Return what `old` becomes."""
        if type(node) is tuple and isinstance(kind, MapOf):
            return self._map(kind, node, old)
        if type(node) is list and isinstance(kind, ListOf):
            return self._list(kind, node, old)
        if isinstance(kind, Struct):
            return self._helped(kind, node) if kind.helper else self._struct_of(kind, node, old)
        if isinstance(kind, Amount):
            return _amount(node)
        if node is None:
            return None if isinstance(kind, MapOf | ListOf | Bytes | Pointer) else old
        if isinstance(kind, Text):
            if isinstance(node, str):
                return node
        elif isinstance(kind, Number):
            return self._number(kind, node, old)
        elif isinstance(kind, Bytes):
            return self._bytes(kind, node, old)
        elif isinstance(kind, Pointer):
            return self.value(kind.item, node, zero(kind.item) if old is None else old)
        self._save(_name(node), kind.go)
        return old

    def _struct_of(self, kind: Struct, node: Any, old: dict[str, Any]) -> dict[str, Any]:
        if type(node) is not tuple:
            if node is not None:
                self._save(_name(node), kind.go)
            return old
        struct, path = self._struct, self._path
        name = self._outer or kind.go.rpartition(".")[2]
        by_key = kind.by_key
        for key, item in node:
            field = by_key.get(key)
            if field is None:
                number = field_named(kind, key)
                if number is None:
                    continue
                field = kind.fields[number]
            of = field.type
            if (isinstance(of, Text) and isinstance(item, str)) or (
                isinstance(of, Number) and type(item) is int and of.least <= item <= of.most
            ):  # most of them, and nothing else can come of them
                old[field.name] = item
                continue
            if isinstance(of, MapOf | ListOf) and not old[field.name]:
                short = self._short(of)
                if short is not None:
                    with suppress(OddError):  # the long way says what is odd
                        old[field.name] = short(item)
                        continue
            self._struct, self._path = name, (*path, field.json)
            old[field.name] = self.value(field.type, item, old[field.name])
            self._struct, self._path = struct, path
        return old

    def _short(self, kind: MapOf | ListOf) -> Callable[[Any], Any] | None:
        """Return the short way for a type; it is made once, which takes as long as a few values."""
        try:
            return self._ways[id(kind)]
        except KeyError:
            return self._ways.setdefault(id(kind), decoder_of(kind))

    def _map(self, kind: MapOf, node: tuple[tuple[str, Any], ...], old: Any) -> dict[str, Any]:
        value: dict[str, Any] = {} if old is None else old
        item = kind.value
        blank = None if isinstance(item, Struct) else zero(item)
        number = kind.key if isinstance(kind.key, Number) else None
        for key, each in node:
            new = self.value(item, each, zero(item) if blank is None else blank)
            if number is None:
                value[key] = new
            elif _INT.fullmatch(key) and number.holds(int(key)):
                value[_placed(str(int(key)), key)] = new
            else:
                self._save(f"number {key}", kind.key.go)
        return value

    def _list(self, kind: ListOf, node: list[Any], old: list[Any] | None) -> list[Any]:
        item = kind.item
        before = list(old or ())
        if old is not None and id(old) in self._behind:
            before += self._behind[id(old)][1]
        value = [
            self.value(item, each, before[at] if at < len(before) else zero(item))
            for at, each in enumerate(node)
        ]
        if value and len(before) > len(value):
            self._behind[id(value)] = (value, before[len(value) :])
        return value

    def _number(self, kind: Number, node: Any, old: int) -> int:
        if isinstance(node, int) and node is not True and node is not False:
            if kind.holds(node):
                return node
        elif not isinstance(node, RawNumber):
            self._save(_name(node), kind.go)
            return old
        elif node.text == "-0" and kind.signed:
            return 0
        self._save(f"number {node}", kind.go)
        return old

    def _bytes(self, kind: Bytes, node: Any, old: str | None) -> str | None:
        if type(node) is list:
            before = list(base64.b64decode(old or ""))
            numbers = [
                self.value(_BYTE, each, before[at] if at < len(before) else 0)
                for at, each in enumerate(node)
            ]
            return base64.b64encode(bytes(numbers)).decode()
        if not isinstance(node, str):
            self._save(_name(node), kind.go)
            return old
        try:
            return _placed(base64.b64encode(decode_base64(node)).decode(), node)
        except Base64Error as error:
            self.problem = self.problem or str(error)
        return old

    def _helped(self, kind: Struct, node: Any) -> dict[str, Any]:
        """Decode a struct that decodes itself: another decoder, whose first error ends this one.

        Go names the field by its whole path, and the struct by where this decoder is.
        """
        inner = _Decoder(self._struct, self._path)
        texts = Struct(kind.helper, tuple(evolve(each, type=Text()) for each in kind.fields))
        value: dict[str, Any] = inner.value(texts, node, zero(texts))
        if inner.problem:
            raise _Ended(inner.problem)
        for field in kind.fields:
            try:
                text = value[field.name]
                value[field.name] = _placed(format_cpus(parse_cpus(text)), text)
            except CpuSetError as error:
                problem = f"failed to parse cpuset: {error}"
            else:
                continue
            raise _Ended(problem)
        return value


def _placed(text: str, node: str) -> str:
    """Return a text as one that knows its place, if the one that it was made of does."""
    place = getattr(node, "placed", None)
    return text if place is None else place(text)


def _amount(node: Any) -> str:
    if node is None:
        return "0"
    if isinstance(node, str | int | RawNumber) and type(node) is not bool:
        text = str(node).strip()
        if parse_quantity(text) is not None:
            return text
    raise _Ended(_NO_AMOUNT)


def _name(node: Any) -> str:
    """Return what Go calls a value in its errors."""
    if isinstance(node, bool):
        return "bool"
    if isinstance(node, int | RawNumber):
        return "number"
    if isinstance(node, str):
        return "string"
    return "array" if isinstance(node, list) else "object"
