"""What the rules of the suite work with: stores that are opened and closed, and seals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.stores.base import Damaged, Store

if TYPE_CHECKING:
    from checkpointkit.stores.base import Entry, Seal

StoreOpener = Callable[[str, int], Store]
"""`open_store(name, max_bytes)` opens the store of that name; one never named before is empty.

The same name means the same store. It may be asked for again while it is open if the store
declares `shared`, and after `close` in any case.
"""

LIMIT: Final = 2**20
"""The `max_bytes` of a store under test, unless the test is about that."""


class Bench:
    """Opens stores for one test, and closes them at its end.

    Args:
        opener: Opens a store by name.
    """

    def __init__(self, opener: StoreOpener) -> None:
        self._opener = opener
        self._opened: list[Store] = []

    def open(self, name: str = "store", max_bytes: int = LIMIT) -> Store:
        """Open a store, or one that is open already once more."""
        store = self._opener(name, max_bytes)
        self._opened.append(store)
        return store

    def again(self, store: Store, name: str = "store", max_bytes: int = LIMIT) -> Store:
        """Close a store and open it again.

        One that is `shared` and not `durable` is opened before it is closed: it may end with the
        last of its users.
        """
        self._opened = [other for other in self._opened if other is not store]
        if "shared" in store.features and "durable" not in store.features:
            other = self.open(name, max_bytes)
            store.close()
            return other
        store.close()
        return self.open(name, max_bytes)

    def close(self) -> None:
        """Close all of them, those first that were opened last."""
        while self._opened:
            self._opened.pop().close()


def keeps(store: Store) -> bool:
    """Tell whether a store opened again has to show what was saved before."""
    return bool(store.features & {"durable", "shared"})


def always(data: bytes) -> Seal:
    """Return a seal for these bytes, whatever is there."""
    return lambda _generation, _previous: data


def numbered(generation: int, _previous: bytes | Damaged | None) -> bytes:
    """Seal the number itself."""
    return b"generation %d" % generation


def counting(_generation: int, previous: bytes | Damaged | None) -> bytes:
    """Seal one more than what is there."""
    assert not isinstance(previous, Damaged), f"nothing was damaged: {previous}"
    return b"%d" % (int(previous or b"0") + 1)


class RefusedError(Exception):
    """What a seal raises in these tests."""


class Refusal:
    """A seal that raises.

    Args:
        error: What to raise, as it is.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.error: BaseException = RefusedError("the seal refuses") if error is None else error

    def __call__(self, _generation: int, _previous: bytes | Damaged | None) -> bytes:
        """Raise it."""
        raise self.error


class Watcher:
    """A seal that remembers what it was given.

    Args:
        data: What it returns.
        meanwhile: Done in its first call.

    Attributes:
        data: What it returns.
        calls: Generation and previous state of each call.
    """

    def __init__(self, data: bytes = b"state", meanwhile: Callable[[], object] = bool) -> None:
        self.data = data
        self.calls: list[tuple[int, bytes | Damaged | None]] = []
        self._meanwhile = meanwhile

    def __call__(self, generation: int, previous: bytes | Damaged | None) -> bytes:
        """Note the call, and return the data."""
        self.calls.append((generation, previous))
        if len(self.calls) == 1:
            self._meanwhile()
        return self.data

    @property
    def generation(self) -> int:
        """The number that the last call was given."""
        return self.calls[-1][0]

    @property
    def previous(self) -> bytes | Damaged | None:
        """The state that the last call was given."""
        return self.calls[-1][1]


def snapshot(store: Store) -> dict[str, list[tuple[Entry, bytes]]]:
    """Return everything that a store shows, if nothing of it is damaged."""
    return {
        key: [(entry, store.read(key, entry.generation)) for entry in store.history(key)]
        for key in store.keys()  # noqa: SIM118 - a store is no dict
    }


def outcome_of(call: Callable[[], Any], *expected: type[BaseException]) -> Any:
    """Return what a call returns, or the expected error that it raises."""
    try:
        return call()
    except expected as error:
        return error
