"""What a contender does: save, get, list and remove states by key."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from benchmarks.states import State, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping


class Contender:
    """What keeps states by key. To override: the methods on bytes, or those on states.

    Args:
        path: A directory of its own, which exists.
    """

    name: ClassVar[str]
    durable: ClassVar[bool] = True
    module: ClassVar[str | None] = None
    note: ClassVar[str]

    def __init__(self, path: str) -> None:
        self.path = path

    def put(self, key: str, data: bytes) -> None:
        """Save bytes."""
        raise NotImplementedError

    def fetch(self, key: str) -> bytes:
        """Return the bytes that were saved last."""
        raise NotImplementedError

    def save(self, key: str, state: State) -> None:
        """Save a state, the first time or again."""
        self.put(key, encode(state))

    def get(self, key: str) -> State:
        """Return the state that was saved last."""
        return decode(self.fetch(key))

    def list(self) -> list[str]:
        """Return all keys, sorted."""
        raise NotImplementedError

    def remove(self, key: str) -> None:
        """Remove a key that is there."""
        raise NotImplementedError

    def save_many(self, states: Mapping[str, State]) -> None:
        """Save many keys in the best way that there is."""
        for key, state in states.items():
            self.save(key, state)

    def fill(self, states: Mapping[str, State]) -> None:
        """Save first states, not measured and not durable."""
        self.save_many(states)

    def close(self) -> None:
        """Close what is open."""

    @classmethod
    def missing(cls) -> str | None:
        """Say why this one cannot take part here; None where it can."""
        if cls.module is not None:
            try:
                import_module(cls.module)
            except ImportError as error:
                return str(error)
        return None

    @classmethod
    def release(cls) -> str:
        """Return what was measured: name and version."""
        return cls.name if cls.module is None else f"{cls.name} {version(cls.module)}"


def encoded(states: Mapping[str, State]) -> list[tuple[str, bytes]]:
    """Return the payload bytes of states by key."""
    return [(key, encode(state)) for key, state in states.items()]
