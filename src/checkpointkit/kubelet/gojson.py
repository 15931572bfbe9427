"""JSON text as Go's `encoding/json` reads it: what is accepted, and what is said of the rest. Pure.

The parser of the standard library does the work wherever it agrees with Go. Where it may not (a
lone surrogate, `-0`, a number of thousands of digits, deep nesting), and wherever it refuses, the
scanner below does: it accepts what Go accepts, and says what Go says.

A document is plain data: an object is a tuple of (key, value) pairs, so that a key that stands
twice is seen twice; an array is a list; a number is an int, or a `RawNumber` where Go would not
take it for one or would tell its text from the int's.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from checkpointkit.kubelet.gotext import quote_byte

__all__ = ["MAX_DEPTH", "GoSyntaxError", "RawNumber", "Scanner", "parse"]

MAX_DEPTH: Final = 10_000
"""How deep arrays and objects may be nested."""


class GoSyntaxError(ValueError):
    """The text is no JSON; the message is Go's.

    Attributes:
        offset: Where: the number of bytes before the one that is wrong (all, at the end).
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message, offset)
        self.offset = offset

    def __str__(self) -> str:
        return str(self.args[0])


class RawNumber:
    """A number that is no int, or is written as none: `1.0`, `1e0`, `-0`.

    Args:
        text: As it is written.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text: str = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawNumber) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def parse(data: bytes) -> Any:
    r"""Return the document in `data`.

    Raises:
        GoSyntaxError: It is none.

    Example:
        >>> parse(b'{"a": [1, 1.0], "a": null}')
        (('a', [1, 1.0]), ('a', None))
        >>> parse(b'{"a": "\xff\\ud800"}')
        (('a', '��'),)
        >>> parse(b'{"a" 1}')
        Traceback (most recent call last):
        ...
        checkpointkit.kubelet.gojson.GoSyntaxError: invalid character '1' after object key
    """
    text = data.decode("utf-8", "surrogateescape")
    plain = text if text.isascii() else _ESCAPED_BYTE.sub("\ufffd", text)
    if not (("\\u" in plain and _SURROGATE.search(plain)) or _MINUS_ZERO.search(plain)):
        document, end = _quickly(plain)
        if end >= 0 and end == len(plain):
            return document
    return Scanner(text).document()


def _quickly(text: str) -> tuple[Any, int]:
    """Return the document and where the text after it ends, or a negative number."""
    try:
        document, end = _DECODER.raw_decode(text, _end_of_space(text, 0))
    except (ValueError, RecursionError):  # the scanner says what it is
        return None, -1
    return document, _end_of_space(text, end)


def _end_of_space(text: str, start: int) -> int:
    return _end_of(_SPACE, text, start)


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Return where a pattern that also matches nothing ends."""
    match = pattern.match(text, start)
    return match.end() if match else start


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=tuple, parse_float=RawNumber, parse_constant=_no_constant
)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MINUS_ZERO: Final = re.compile(r"-0(?<![^ \t\r\n:,\[]-0)(?![0-9.eE])")
_MOST_DIGITS: Final = 4_000
"""Python converts no longer numbers from text; none of them fits a type of Go."""

_PLAIN: Final = re.compile('[^"\\\\\x00-\x1f]*')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_HEX: Final = re.compile(r"[0-9a-fA-F]{0,4}")
_ESCAPES: Final = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_LITERALS: Final = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)


class Scanner:
    """One pass over the text, without recursion.

    Args:
        text: The bytes as UTF-8, what is none of it as lone surrogates.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> Any:
        """Return the document that the whole text is."""
        stack: list[tuple[list[Any], str | None]] = []
        items: list[Any] = []  # of the innermost array or object
        key: str | None = None  # of the innermost object; None in an array
        self._skip()
        while True:
            char = self._peek()
            if char in ("{", "["):
                stack.append((items, key))
                if len(stack) > MAX_DEPTH:
                    self._refuse("exceeded max depth")
                self._at += 1
                self._skip()
                items, key = [], None
                if char == "[" and self._peek() != "]":
                    continue
                if char == "{" and self._peek() != "}":
                    key = self._key()
                    continue
                self._at += 1
                value: Any = () if char == "{" else []
                items, key = stack.pop()
            else:
                value = self._scalar(char)
            while True:  # as many ends as there are
                self._skip()
                if not stack:
                    if self._at < len(self._text):
                        self._refuse("after top-level value")
                    return value
                is_object = key is not None
                items.append((key, value) if is_object else value)
                char = self._peek()
                if char == ",":
                    self._at += 1
                    self._skip()
                    if is_object:
                        key = self._key()
                    break
                if char != ("}" if is_object else "]"):
                    self._refuse(
                        "after object key:value pair" if is_object else "after array element"
                    )
                self._at += 1
                value = tuple(items) if is_object else items
                items, key = stack.pop()

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _skip(self) -> None:
        self._at = _end_of_space(self._text, self._at)

    def _refuse(self, where: str) -> NoReturn:
        """Say that the present character does not belong there; at the end, that it is the end."""
        offset = len(self._text[: self._at].encode("utf-8", "surrogateescape"))
        if self._at >= len(self._text):
            raise GoSyntaxError("unexpected end of JSON input", offset)
        byte = self._text[self._at].encode("utf-8", "surrogateescape")[0]
        raise GoSyntaxError(f"invalid character {quote_byte(byte)} {where}", offset)

    def _refuse_within(self, where: str) -> NoReturn:
        """As `_refuse`, in a token that a blank cannot end: Go adds one at the end."""
        if self._at >= len(self._text):
            raise GoSyntaxError(f"invalid character ' ' {where}", len(self._text))
        self._refuse(where)

    def _key(self) -> str:
        if self._peek() != '"':
            self._refuse("looking for beginning of object key string")
        key = self._string()
        self._skip()
        if self._peek() != ":":
            self._refuse("after object key")
        self._at += 1
        self._skip()
        return key

    def _scalar(self, char: str) -> Any:
        if char == '"':
            return self._string()
        if char == "-" or "0" <= char <= "9":
            return self._number()
        if char in _LITERALS:
            word, value = _LITERALS[char]
            for expected in word:
                if self._peek() != expected:
                    self._refuse_within(
                        f"in literal {word} (expecting {quote_byte(ord(expected))})"
                    )
                self._at += 1
            return value
        return self._refuse("looking for beginning of value")

    def _number(self) -> Any:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            self._at += 1
            self._refuse_within("in numeric literal")
        start, self._at = self._at, match.end()
        fraction, exponent = match.groups()
        char = self._peek()
        if char == "." and fraction is None and exponent is None:
            self._at += 1
            self._refuse_within("after decimal point in numeric literal")
        if char and char in "eE" and exponent is None:
            self._at += 1
            if self._peek() in ("+", "-"):
                self._at += 1
            self._refuse_within("in exponent of numeric literal")
        number = match.group()
        if fraction or exponent or number == "-0" or self._at - start > _MOST_DIGITS:
            return RawNumber(number)
        return int(number)

    def _string(self) -> str:
        parts: list[str] = []
        self._at += 1
        while True:
            end = _end_of(_PLAIN, self._text, self._at)
            parts.append(self._plain(self._text[self._at : end]))
            self._at = end
            char = self._peek()
            if char == '"':
                self._at += 1
                return "".join(parts)
            if char != "\\":
                self._refuse("in string literal")
            self._at += 1
            char = self._peek()
            if char == "u":
                parts.append(self._code())
            elif char in _ESCAPES:
                parts.append(_ESCAPES[char])
                self._at += 1
            else:
                self._refuse_within("in string escape code")

    def _plain(self, text: str) -> str:
        return _ESCAPED_BYTE.sub("\ufffd", text)

    def _code(self) -> str:
        """Read `uXXXX` after a backslash, and the other half of a pair of surrogates."""
        code = self._hex()
        if code in _HIGH and self._text.startswith("\\u", self._at):
            back = self._at
            self._at += 1
            low = self._hex()
            if low in _LOW:
                return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
            self._at = back
        return "\ufffd" if code in _HIGH or code in _LOW else chr(code)

    def _hex(self) -> int:
        start = self._at + 1
        self._at = _end_of(_HEX, self._text, start)
        if self._at - start != 4:  # noqa: PLR2004 - the digits of a code
            self._refuse_within("in \\u hexadecimal character escape")
        return int(self._text[start : self._at], 16)
