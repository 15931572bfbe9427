"""A store that fails where it is told to: for tests of a program that uses one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar, get_args

from attrs import Factory, define

from checkpointkit.errors import CheckpointError, OutcomeUnknownError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit.stores.base import BatchResult, Entry, Expected, Feature, Seal, Store

T = TypeVar("T")

Method = Literal[
    "close",
    "history",
    "keys",
    "pin",
    "read",
    "remove",
    "scope",
    "set_aside",
    "unpin",
    "write",
    "write_many",
]
"""The methods of a store."""

_CHANGES: Final = frozenset({"pin", "remove", "set_aside", "unpin", "write", "write_many"})


@define
class _Fault:
    """What happens at some calls of a method.

    Attributes:
        first: The number of the first call, counted from 1.
        last: The number of the last one; None for all that follow.
        act: Does it, with the key of the call.
        after: Whether it happens after the store has done its part.
    """

    first: int
    last: int | None
    act: Callable[[str | None], object]
    after: bool

    def fits(self, number: int, *, after: bool) -> bool:
        """Tell whether it happens at this call, before or after it."""
        in_range = self.first <= number and (self.last is None or number <= self.last)
        return in_range and self.after == after


@define
class _Plan:
    """What happens in a store and its scopes, and what has happened."""

    calls: Counter[Method] = Factory(Counter)
    faults: dict[Method, list[_Fault]] = Factory(dict)


class FaultyStore:
    """A store around another one: it does the same, and fails where it is told to.

    It keeps the contract: what fails *before* has changed nothing, what fails *after* is an
    `OutcomeUnknownError`. Its scopes share its faults and its counts. The faults of one call
    happen in the order in which they were asked for, up to the first that raises.

    Args:
        store: The store to wrap.

    Example:
        >>> from checkpointkit import CheckpointManager, MemoryStore, Schema
        >>> store = FaultyStore(MemoryStore())
        >>> manager = CheckpointManager(store, Schema(dict[str, int], kind="a/b", version=1))
        >>> store.fail("write")
        >>> manager.create("node-a", {"n": 1})
        Traceback (most recent call last):
        ...
        checkpointkit.errors.StoreUnavailableError: checkpoint 'node-a': write failed: a fault \
was injected; the previous state is unchanged, try again
        >>> manager.create("node-a", {"n": 1}).generation
        1
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plan = _Plan()

    def fail(
        self,
        method: Method,
        error: CheckpointError | None = None,
        *,
        call: int = 1,
        times: int | None = 1,
        after: bool = False,
    ) -> None:
        """Let calls of a method fail.

        Args:
            method: The method's name.
            error: What it raises. Without one, a `StoreUnavailableError`; with `after`, an
                `OutcomeUnknownError`.
            call: Which call is the first to fail: 1 for the next one.
            times: How many calls fail; None for all that follow, until `heal`.
            after: Fail after the change took effect.

        Raises:
            ValueError: There is no such method or call; or the error would break the contract:
                what took effect is an `OutcomeUnknownError`, and only a change can be one.

        Example:
            >>> from checkpointkit import MemoryStore, OutcomeUnknownError
            >>> store = FaultyStore(MemoryStore())
            >>> store.fail("write", after=True)
            >>> try:
            ...     store.write("a", lambda generation, previous: b"state")
            ... except OutcomeUnknownError:
            ...     print(store.read("a"))
            b'state'
        """
        if after and method not in _CHANGES:
            raise ValueError(f"{method!r} changes nothing: it cannot fail after its effect")
        if error is not None and isinstance(error, OutcomeUnknownError) != after:
            raise ValueError(
                "an OutcomeUnknownError means that the change took effect, and any other error "
                "that it did not: pass after=True for the one, and not for the others"
            )
        kind = OutcomeUnknownError if after else StoreUnavailableError

        def act(key: str | None) -> None:
            raise kind(key, method, "a fault was injected") if error is None else error

        self.meanwhile(method, act, call=call, times=times, after=after)

    def meanwhile(
        self,
        method: Method,
        act: Callable[[str | None], object],
        *,
        call: int = 1,
        times: int | None = 1,
        after: bool = False,
    ) -> None:
        """Do something just before calls of a method, or just after: let another writer win, say.

        Args:
            method: The method's name.
            act: Called with the key of the call; None where it concerns no single key.
            call: Which call is the first: 1 for the next one.
            times: At how many calls; None for all that follow, until `heal`.
            after: Do it after the store has done its part.

        Raises:
            ValueError: There is no such method or call.

        Example:
            >>> from checkpointkit import CheckpointManager, MemoryStore, Schema
            >>> schema = Schema(dict[str, int], kind="a/b", version=1)
            >>> memory = MemoryStore()
            >>> store = FaultyStore(memory)
            >>> mine, other = CheckpointManager(store, schema), CheckpointManager(memory, schema)
            >>> mine.create("node-a", {"n": 1}).generation
            1
            >>> store.meanwhile("write", lambda key: other.create("node-a", {"n": 10}))
            >>> mine.update("node-a", lambda state: {"n": state["n"] + 1}).value
            {'n': 11}
        """
        if method not in get_args(Method):
            raise ValueError(f"a store has no method {method!r}")
        if call < 1 or (times is not None and times < 1):
            raise ValueError("call and times are 1 or more")
        first = self.calls[method] + call
        last = None if times is None else first + times - 1
        self._plan.faults.setdefault(method, []).append(_Fault(first, last, act, after))

    def heal(self) -> None:
        """Forget all faults; the counts stay."""
        self._plan.faults.clear()

    @property
    def calls(self) -> Counter[Method]:
        """How often each method was called, failed calls included."""
        return self._plan.calls

    @property
    def features(self) -> frozenset[Feature]:
        """See `Store.features`."""
        return self._store.features

    @property
    def max_bytes(self) -> int:
        """See `Store.max_bytes`."""
        return self._store.max_bytes

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        """See `Store.read`."""
        return self._call("read", key, lambda: self._store.read(key, generation, limit))

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """See `Store.write`."""
        return self._call("write", key, lambda: self._store.write(key, seal, expected=expected))

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """See `Store.write_many`."""
        return self._call("write_many", None, lambda: self._store.write_many(items, atomic=atomic))

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """See `Store.keys`."""
        return self._call("keys", None, lambda: self._store.keys(prefix))

    def history(self, key: str) -> tuple[Entry, ...]:
        """See `Store.history`."""
        return self._call("history", key, lambda: self._store.history(key))

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """See `Store.remove`."""
        self._call("remove", key, lambda: self._store.remove(key, expected=expected))

    def set_aside(self, key: str, revision: str) -> str:
        """See `Store.set_aside`."""
        return self._call("set_aside", key, lambda: self._store.set_aside(key, revision))

    def pin(self, key: str, generation: int) -> None:
        """See `Store.pin`."""
        self._call("pin", key, lambda: self._store.pin(key, generation))

    def unpin(self, key: str, generation: int) -> None:
        """See `Store.unpin`."""
        self._call("unpin", key, lambda: self._store.unpin(key, generation))

    def scope(self, name: str) -> Self:
        """See `Store.scope`; it shares the faults and the counts."""
        scope = type(self)(self._call("scope", None, lambda: self._store.scope(name)))
        scope._plan = self._plan  # noqa: SLF001 - another one of this class
        return scope

    def close(self) -> None:
        """See `Store.close`."""
        self._call("close", None, self._store.close)

    def _call(self, method: Method, key: str | None, call: Callable[[], T]) -> T:
        self.calls[method] += 1
        number = self.calls[method]
        faults = list(self._plan.faults.get(method, ()))
        for fault in faults:
            if fault.fits(number, after=False):
                fault.act(key)
        result = call()
        for fault in faults:
            if fault.fits(number, after=True):
                fault.act(key)
        return result
