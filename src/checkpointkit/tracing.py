"""Where in a payload a migration was at work when it failed.

A migration is a plain function over plain data, so the exception that it raises says nothing of
the place, and its text may hold values. Here it runs once more, over dicts and lists that note
what is taken out of them last. Nothing of this runs unless a migration has failed already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

_MISSING: Any = object()


def place_of_failure(step: Callable[[Any], Any], payload: Any) -> str:
    """Return the path that a migration took out of a payload last, before it raised.

    A name prints where it stands in the code of the migration; any other may be data, and prints
    as `[*]`.

    Args:
        step: The migration, which raises for this payload.
        payload: What it raises for; it is left as it is.

    Returns:
        The path; empty where nothing was taken out, or where the step does not raise this time.

    Example:
        >>> place_of_failure(lambda old: [pod["uid"] for pod in old["pods"]], {"pods": [{}]})
        'pods[0].uid'
    """
    trail = _Trail(_names_in(step))
    try:
        step(trail.follow(payload, ""))
    except MemoryError:
        raise
    except LookupError:
        # A wrong place is worse than none: where it leads there is something, it was another one.
        return trail.last.removeprefix(".") if trail.lacking else ""
    except Exception:  # noqa: BLE001 - foreign code, which has failed before
        return trail.last.removeprefix(".")
    return ""


class _Trail:
    """What was taken out last, and which names may be printed."""

    def __init__(self, names: frozenset[str]) -> None:
        self.last = ""
        self.lacking = False
        self._names = names

    def take(self, path: str, step: object, *, there: bool) -> None:
        """Note that something is taken, and whether it is there."""
        self.note(path, step)
        self.lacking = not there

    def note(self, path: str, step: object) -> str:
        """Note a step that is taken from a path; return where it leads."""
        if type(step) is int:
            self.last = f"{path}[{step}]"
        else:
            self.last = f"{path}.{step}" if step in self._names else f"{path}[*]"
        return self.last

    def follow(self, data: Any, path: str) -> Any:
        """Return a copy that notes what is taken out of it."""
        if type(data) is dict:
            return _Names(self, data, path)
        if type(data) is list:
            return _Items(self, data, path)
        return data


class _Names(dict[str, Any]):
    """A dict that notes what is taken out of it."""

    def __init__(self, trail: _Trail, data: dict[str, Any], path: str) -> None:
        self._trail = trail
        self._path = path
        last = trail.last
        super().__init__(
            {name: trail.follow(part, trail.note(path, name)) for name, part in data.items()}
        )
        trail.last = last

    def __getitem__(self, name: str) -> Any:
        self._trail.take(self._path, name, there=name in self)
        return super().__getitem__(name)

    def __delitem__(self, name: str) -> None:
        self._trail.take(self._path, name, there=name in self)
        super().__delitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._trail.take(self._path, name, there=name in self)
        return super().get(name, default)

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        self._trail.take(self._path, name, there=name in self)
        return super().pop(name) if default is _MISSING else super().pop(name, default)

    def items(self) -> Any:
        return [(name, self[name]) for name in list(self)]

    def values(self) -> Any:
        return [self[name] for name in list(self)]

    def __deepcopy__(self, memo: Any) -> Any:
        return self._trail.follow(_plain(self), self._path)


class _Items(list[Any]):
    """A list that notes what is taken out of it."""

    def __init__(self, trail: _Trail, data: list[Any], path: str) -> None:
        self._trail = trail
        self._path = path
        last = trail.last
        super().__init__(
            trail.follow(part, trail.note(path, index)) for index, part in enumerate(data)
        )
        trail.last = last

    def __getitem__(self, index: Any) -> Any:
        there = type(index) is not int or -len(self) <= index < len(self)
        self._trail.take(self._path, index if type(index) is int else "", there=there)
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]

    def __deepcopy__(self, memo: Any) -> Any:
        return self._trail.follow(_plain(self), self._path)


def _plain(data: Any) -> Any:
    """Return a copy that notes nothing; the copying is no step of the migration's."""
    if isinstance(data, dict):
        return {name: _plain(part) for name, part in dict.items(data)}
    if isinstance(data, list):
        return [_plain(part) for part in list.__iter__(data)]
    return data


def _names_in(step: Callable[[Any], Any]) -> frozenset[str]:
    code = getattr(step, "__code__", None)
    return frozenset() if code is None else frozenset(_texts_in(code))


def _texts_in(code: CodeType) -> Iterator[str]:
    waiting = list(code.co_consts)
    while waiting:
        constant = waiting.pop()
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            waiting += constant
        elif hasattr(constant, "co_consts"):
            waiting += constant.co_consts
