"""Helpers for the commonest migrations, where the change is deep in a payload.

A plain function is the main way to write a migration, and for a field at the top it is shorter.
These earn their place with a path: `pods[*].uid` is the field `uid` of every item of the list (or
every value of the dict) `pods`. What is not as the path says is an error that names the place;
nothing is passed over silently.

Example:
    >>> from checkpointkit import Schema
    >>> from checkpointkit.migrations import add, rename, steps
    >>> schema = Schema(
    ...     dict[str, list[dict[str, str]]],
    ...     kind="example.com/pods",
    ...     version=2,
    ...     migrations={1: steps(rename("pods[*].uid", "pod_uid"), add("pods[*].node", "a"))},
    ... )
    >>> schema.load({"pods": [{"uid": "7f3e"}]}, version=1)
    {'pods': [{'pod_uid': '7f3e', 'node': 'a'}]}
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from checkpointkit.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from checkpointkit.chain import Migration

__all__ = ["add", "drop", "map_values", "rename", "steps"]

_PATH = re.compile(r"[^.\[\]*]+(\[\*\])*(\.[^.\[\]*]+(\[\*\])*)*")
_STEP = re.compile(r"\[\*\]|[^.\[\]*]+")
_EACH = "[*]"


def rename(path: str, name: str) -> Migration:
    """Return a migration that gives a field another name.

    Args:
        path: The field.
        name: Its new name, which nothing there may have yet.

    Raises:
        ValueError: The path is none, or does not end with a field.

    Example:
        >>> rename("pods[*].uid", "pod_uid")({"pods": [{"uid": "7f3e"}]})
        {'pods': [{'pod_uid': '7f3e'}]}
    """
    parents, last = _field(path)

    def migrate(old: dict[str, Any]) -> dict[str, Any]:
        for place, record in _records(old, parents):
            if name in record and name != last:
                raise _problem(place, name, "is there already")
            value = _taken(record, last, place)
            record.pop(last)
            record[name] = value
        return old

    return migrate


def drop(path: str) -> Migration:
    """Return a migration that takes a field away.

    Args:
        path: The field.

    Raises:
        ValueError: The path is none, or does not end with a field.

    Example:
        >>> drop("note")({"id": 1, "note": "x"})
        {'id': 1}
    """
    parents, last = _field(path)

    def migrate(old: dict[str, Any]) -> dict[str, Any]:
        for place, record in _records(old, parents):
            _taken(record, last, place)
            del record[last]
        return old

    return migrate


def add(path: str, value: Any) -> Migration:
    """Return a migration that adds a field, with the same value everywhere.

    Args:
        path: The field, which may not be there yet.
        value: Plain data; each place gets a copy.

    Raises:
        ValueError: The path is none, or does not end with a field.

    Example:
        >>> add("pods[*].ids", [])({"pods": [{}, {}]})
        {'pods': [{'ids': []}, {'ids': []}]}
    """
    parents, last = _field(path)

    def migrate(old: dict[str, Any]) -> dict[str, Any]:
        for place, record in _records(old, parents):
            if last in record:
                raise _problem(place, last, "is there already")
            record[last] = deepcopy(value)
        return old

    return migrate


def map_values(path: str, change: Callable[[Any], Any]) -> Migration:
    """Return a migration that changes each value at a path.

    Args:
        path: Where the values are; it may end with `[*]`.
        change: Returns the new value for the old one.

    Raises:
        ValueError: The path is none.

    Example:
        >>> map_values("seconds[*]", lambda number: number * 1000)({"seconds": [1, 2]})
        {'seconds': [1000, 2000]}
    """
    *parents, last = _parsed(path)

    def migrate(old: dict[str, Any]) -> dict[str, Any]:
        for place, holder in _places(old, tuple(parents), ""):
            if last == _EACH:
                for key, value in _items(holder, place):
                    holder[key] = _changed(change, value, f"{place}{_EACH}")
            else:
                value = _taken(_record(holder, place), last, place)
                holder[last] = _changed(change, value, _joined(place, last))
        return old

    return migrate


def steps(*migrations: Migration) -> Migration:
    """Return a migration that does one after the other.

    Example:
        >>> steps(drop("a"), rename("b", "c"))({"a": 1, "b": 2})
        {'c': 2}
    """

    def migrate(old: dict[str, Any]) -> dict[str, Any]:
        for migration in migrations:
            old = migration(old)
        return old

    return migrate


def _parsed(path: str) -> tuple[str, ...]:
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no path; it looks like 'pods[*].uid'")
    return tuple(_STEP.findall(path))


def _field(path: str) -> tuple[tuple[str, ...], str]:
    *parents, last = _parsed(path)
    if last == _EACH:
        raise ValueError(f"{path!r} does not end with the name of a field")
    return tuple(parents), last


def _records(old: dict[str, Any], parents: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, found in _places(old, parents, ""):
        yield place, _record(found, place)


def _places(found: Any, parents: tuple[str, ...], place: str) -> Iterator[tuple[str, Any]]:
    """Find everything that a path leads to, each with its place for messages."""
    if not parents:
        yield place, found
        return
    step, *others = parents
    if step == _EACH:
        for _, part in _items(found, place):
            yield from _places(part, tuple(others), place + _EACH)
    else:
        part = _taken(_record(found, place), step, place)
        yield from _places(part, tuple(others), _joined(place, step))


def _items(found: Any, place: str) -> list[tuple[Any, Any]]:
    if type(found) is list:
        return list(enumerate(found))
    if type(found) is dict:
        return list(found.items())
    raise _problem(place, "", f"expected list or dict, got {type(found).__name__}")


def _record(found: Any, place: str) -> dict[str, Any]:
    if type(found) is not dict:
        raise _problem(place, "", f"expected dict, got {type(found).__name__}")
    return found


def _taken(record: dict[str, Any], name: str, place: str) -> Any:
    try:
        return record[name]
    except KeyError:
        pass
    raise _problem(place, name, "is missing")


def _changed(change: Callable[[Any], Any], value: Any, place: str) -> Any:
    try:
        return change(value)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code; its text may hold the value
        problem = f"raised {type(error).__name__}"
    raise _problem(place, "", problem)


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name


def _problem(place: str, name: str, text: str) -> MigrationError:
    return MigrationError(None, 0, f"{_joined(place, name) or 'the payload'}: {text}")
