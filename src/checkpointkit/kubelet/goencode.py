"""The bytes that `json.Marshal` makes of a value. Pure.

Compact, the fields of a struct in their order, the keys of a map sorted as text, and `<`, `>`, `&`
and the two line separators of Unicode escaped.
"""

from __future__ import annotations

import json.encoder
from typing import Any, Final

from checkpointkit.kubelet.gotypes import GoType, ListOf, MapOf, Number, Pointer, Struct

__all__ = ["encode", "quoted"]

_quoted: Final = json.encoder.encode_basestring
_ESCAPES: Final = str.maketrans(
    {char: f"\\u{ord(char):04x}" for char in ("<", ">", "&", "\u2028", "\u2029")}
)


def quoted(text: str) -> str:
    r"""Return a string as JSON has it, quotes included.

    Example:
        >>> print(quoted("a<b\n"))
        "a\u003cb\n"
    """
    return _quoted(text).translate(_ESCAPES)


def encode(kind: GoType, value: Any) -> str:
    """Return the JSON of a value.

    Example:
        >>> from checkpointkit.kubelet.gotypes import Text
        >>> encode(MapOf("map[string]string", Text()), {"b": "2", "a": "1"})
        '{"a":"1","b":"2"}'
    """
    if value is None:
        return "null"
    if isinstance(kind, Pointer):
        kind = kind.item
    if isinstance(kind, Struct):
        members = [
            f"{quoted(field.json)}:{encode(field.type, value[field.name])}"
            for field in kind.fields
            if value[field.name] or not field.omit_empty
        ]
        return f"{{{','.join(members)}}}"
    if isinstance(kind, MapOf):
        members = [f"{quoted(key)}:{encode(kind.value, value[key])}" for key in sorted(value)]
        return f"{{{','.join(members)}}}"
    if isinstance(kind, ListOf):
        return f"[{','.join([encode(kind.item, each) for each in value])}]"
    return str(value) if isinstance(kind, Number) else quoted(value)
