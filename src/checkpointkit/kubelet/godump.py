"""The text that the kubelet hashes: what `dump.ForHash` prints of a value. Pure.

It is go-spew's `%#v`: the top level and each field of a struct with their types, elements and keys
without, maps sorted, nil and empty told apart. A nil pointer in a map leaves go-spew believing that
the next type has been printed already; so the type of the field after it is missing, if nothing
stands in between.
"""

from __future__ import annotations

import base64
from typing import Any

from checkpointkit.kubelet.cpusets import parse_cpus
from checkpointkit.kubelet.goplain import dumper_of
from checkpointkit.kubelet.gotypes import (
    Bytes,
    GoType,
    ListOf,
    MapOf,
    Number,
    Pointer,
    Struct,
    Text,
)

__all__ = ["dump", "sorted_keys"]


def dump(kind: GoType, value: Any) -> str:
    """Return the text of a value.

    Example:
        >>> dump(MapOf("map[string]string", Text()), {"b": "2", "a": "1"})
        '(map[string]string)map[a:1 b:2]'
        >>> dump(ListOf("[]string", Text()), None)
        '([]string)<nil>'
    """
    parts: list[str] = []
    _put(kind, value, parts, typed=True)
    return "".join(parts)


def sorted_keys(kind: MapOf, value: dict[str, Any]) -> list[str]:
    """Return the keys of a map in the order of the text: numbers as numbers."""
    return sorted(value, key=int) if isinstance(kind.key, Number) else sorted(value)


def _put(kind: GoType, value: Any, parts: list[str], *, typed: bool) -> bool:
    """Add the text of a value; tell whether the next type is still to be left out."""
    if isinstance(kind, Pointer):
        if value is None and not typed:
            parts.append("<nil>")
            return True
        parts.append(f"({kind.go})" if typed else "<*>")
        if value is None:
            parts.append("<nil>")
            return False
        return _put(kind.item, value, parts, typed=False)
    if typed:
        parts.append(f"({kind.go})")
    if isinstance(kind, Text):
        parts.append(value)
    elif isinstance(kind, Number):
        parts.append(str(value))
    elif isinstance(kind, Struct):
        return _put_struct(kind, value, parts)
    elif value is None:
        parts.append("<nil>")
    elif isinstance(kind, MapOf | ListOf):
        return _put_many(kind, value, parts)
    elif isinstance(kind, Bytes):
        parts.append(f"[{' '.join(map(str, base64.b64decode(value)))}]")
    else:  # a set of CPUs; amounts are never hashed
        members = " ".join([f"{cpu}:{{}}" for cpu in parse_cpus(value)])
        parts.append(f"{{elems:(map[int]struct {{}})map[{members}]}}")
    return False


def _put_many(kind: MapOf | ListOf, value: Any, parts: list[str]) -> bool:
    short = dumper_of(kind)
    if short is not None:
        parts.append(short(value))
        return False
    return (
        _put_map(kind, value, parts) if isinstance(kind, MapOf) else _put_list(kind, value, parts)
    )


def _put_struct(kind: Struct, value: dict[str, Any], parts: list[str]) -> bool:
    quiet = False
    before = "{"
    for field in kind.fields:
        item, of = value[field.name], field.type
        if isinstance(of, Text | Number) and not quiet:  # most of them
            parts.append(f"{before}{field.go}:({of.go}){item}")
        else:
            parts.append(f"{before}{field.go}:")
            quiet = _put(of, item, parts, typed=not quiet)
        before = " "
    parts.append("}")
    return quiet


def _put_map(kind: MapOf, value: dict[str, Any], parts: list[str]) -> bool:
    keys = sorted_keys(kind, value)
    quiet = False
    before = "map["
    for key in keys:
        parts.append(f"{before}{key}:")
        quiet = _put(kind.value, value[key], parts, typed=False)
        before = " "
    parts.append("]" if keys else "map[]")
    return quiet


def _put_list(kind: ListOf, value: list[Any], parts: list[str]) -> bool:
    quiet = False
    before = "["
    for each in value:
        parts.append(before)
        quiet = _put(kind.item, each, parts, typed=False)
        before = " "
    parts.append("]" if value else "[]")
    return quiet
