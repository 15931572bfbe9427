"""Decoding a pod with the types of Kubernetes, without losing what is not known.

Null stands for absence and an unknown field is no error, as for Go's decoder with these types
(`sigs.k8s.io/json`); an unknown field is kept, though. A value of another type is refused.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from checkpointkit.kubernetes.quantity import parse_quantity
from checkpointkit.pods.rules.fields import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Refusal", "decoded"]

_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)  # fromisoformat alone takes more forms than Go does
_EMPTY = {"str": "", "bool": False, "int32": 0, "int64": 0, "quantity": "0"}


@frozen
class Refusal:
    """Why a pod cannot be taken.

    Attributes:
        path: Where, in the pod: `spec.volumes[0].csi`; empty for the pod as a whole.
        reason: What is wrong there, in words; never a value, which may be a secret.
    """

    path: str
    reason: str

    def text(self) -> str:
        """Return it in a line.

        Example:
            >>> Refusal("spec.volumes[0].csi", "needs the API server").text()
            'spec.volumes[0].csi: needs the API server'
        """
        return f"{self.path or 'the pod'}: {self.reason}"


def decoded(value: Any, kind: str = "Pod") -> tuple[dict[str, Any], tuple[Refusal, ...]]:
    """Return a copy without nulls in known fields, and what does not have its type.

    Whoever gets no refusals can rely on the types of all known fields, at any depth.

    Args:
        value: What a JSON decoder gave.
        kind: Its type, as `fields_of` knows it.

    Example:
        >>> decoded({"metadata": {"name": "a", "labels": None}, "future": [None]})
        ({'metadata': {'name': 'a'}, 'future': [None]}, ())
        >>> decoded({"spec": {"containers": "none"}})[1][0].text()
        'spec.containers: is no list'
    """
    found: list[Refusal] = []
    try:
        copy = _decode(value, kind, "", found)
    except RecursionError:
        return {}, (Refusal("", "is nested too deeply"),)
    return (copy if isinstance(copy, dict) else {}), tuple(found)


def _decode(value: Any, kind: str, path: str, found: list[Refusal]) -> Any:
    if kind == "any":
        return _copied(value)
    if kind[0] == "[":
        return _list(value, kind[1:-1], path, found)
    if kind[0] == "{":
        return _map(value, kind[1:-1], path, found)
    if kind[0].isupper():
        return _object(value, kind, path, found)
    name, fits = _SCALARS[kind]
    if not fits(value):
        found.append(Refusal(path, f"is no {name}"))
    return value


def _list(value: Any, kind: str, path: str, found: list[Refusal]) -> Any:
    if not isinstance(value, list):
        found.append(Refusal(path, "is no list"))
        return value
    return [
        _decode(_filled(item, kind), kind, f"{path}[{number}]", found)
        for number, item in enumerate(value)
    ]


def _map(value: Any, kind: str, path: str, found: list[Refusal]) -> Any:
    if not isinstance(value, dict):
        found.append(Refusal(path, "is no object"))
        return value
    return {
        name: _decode(_filled(part, kind), kind, f"{path}[{name}]", found)
        for name, part in value.items()
    }


def _object(value: Any, kind: str, path: str, found: list[Refusal]) -> Any:
    if not isinstance(value, dict):
        found.append(Refusal(path, "is no object"))
        return value
    fields = fields_of(kind)
    copy: dict[str, Any] = {}
    for name, part in value.items():
        if name not in fields:
            copy[name] = _copied(part)
        elif part is not None:
            copy[name] = _decode(part, fields[name], f"{path}.{name}".lstrip("."), found)
    return copy


def _filled(item: Any, kind: str) -> Any:
    """Return an item of a list or a map; a null there stands for the empty value of its type."""
    if item is not None:
        return item
    return {} if kind[0].isupper() else _EMPTY[kind]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _is_int(bits: int) -> Callable[[Any], bool]:
    bound = 2 ** (bits - 1)
    return lambda value: type(value) is int and -bound <= value < bound


def _is_port(value: Any) -> bool:
    return isinstance(value, str) or _is_int(32)(value)


def _is_quantity(value: Any) -> bool:
    return parse_quantity(value) is not None


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("boolean", lambda value: isinstance(value, bool)),
    "int32": ("32 bit integer", _is_int(32)),
    "int64": ("64 bit integer", _is_int(64)),
    "port": ("number or name of a port", _is_port),
    "quantity": ("quantity", _is_quantity),
    "str": ("text", lambda value: isinstance(value, str)),
    "time": ("time (RFC 3339)", _is_time),
}
