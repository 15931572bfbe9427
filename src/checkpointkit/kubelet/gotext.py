"""Texts as Go quotes them in its error messages. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["quote", "quote_byte"]

_NAMED: Final = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
_DEL: Final = 0x7F
_WIDE: Final = 0x10000


def _quoted(char: str) -> str:
    code = ord(char)
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    if code in _NAMED:
        return _NAMED[code]
    if code < ord(" ") or code == _DEL:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _WIDE else f"\\U{code:08x}"


def quote(text: str) -> str:
    r"""Return `text` as `%q` prints it.

    Example:
        >>> print(quote('a"b\n'))
        "a\"b\n"
    """
    return '"' + "".join('\\"' if char == '"' else _quoted(char) for char in text) + '"'


def quote_byte(byte: int) -> str:
    r"""Return one byte of a JSON text as its parser names it.

    Example:
        >>> print(quote_byte(0), quote_byte(34), quote_byte(39), quote_byte(0xEF))
        '\x00' '"' '\'' 'ï'
    """
    if byte == ord("'"):
        return "'\\''"
    return f"'{_quoted(chr(byte))}'"
