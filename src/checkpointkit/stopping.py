"""How a daemon stops: at once while it waits for others, and between two things while it writes.

A signal comes in the middle of anything. What waits (a network, the next tick, another daemon's
lock) is left by an exception; a file that is being written is written to its end first.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType, TracebackType

    _T = TypeVar("_T")

__all__ = ["Stop", "Stopped", "between", "handling_signals", "while_waiting"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """It is time to stop; passes through whatever catches errors."""


class Stop(threading.Event):
    """Says that it is time to stop, and takes the main thread out of whatever it waits for.

    It is for one thread: a handler of a signal, which runs between any two steps of that thread,
    must not wait for a lock that the thread holds, as the one of a `threading.Event`.

    Example:
        >>> stop = Stop()
        >>> stop.wait(0.001)
        False
        >>> stop.set()
        >>> stop.wait(60.0)
        True
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_time = False
        self._is_waiting = False

    def is_set(self) -> bool:
        """Tell whether it is time to stop."""
        return self._is_time

    def set(self) -> None:
        """Say that it is time to stop.

        Raises:
            Stopped: The thread waits.
        """
        self._is_time = True
        if self._is_waiting:
            self._is_waiting = False  # once: a second signal must not disturb the way out
            raise Stopped

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for some seconds, or until it is time to stop; tell whether it is."""
        try:
            with self:
                time.sleep(threading.TIMEOUT_MAX if timeout is None else timeout)
        except Stopped:
            pass
        return self._is_time

    def check(self) -> None:
        """Raise if it is time to stop.

        Raises:
            Stopped: It is.
        """
        if self._is_time:
            raise Stopped

    def __enter__(self) -> Self:
        """Begin to wait for somebody else: from here on, `set` raises."""
        self._is_waiting = True
        if self._is_time:
            self._is_waiting = False
            raise Stopped
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_waiting = False


def while_waiting(inner: _T, stop: Stop) -> _T:
    """Return an object whose methods are left at once when it is time to stop.

    Args:
        inner: The object; its methods wait for others, and leave nothing half done.
        stop: Says when.
    """

    def call(method: Any, arguments: Any, named: Any) -> Any:
        with stop:
            return method(*arguments, **named)

    return cast("_T", _Calls(inner, call))


def between(inner: _T, stop: Stop, *, finishing: Collection[str] = ()) -> _T:
    """Return an object whose methods end, and of which none begins when it is time to stop.

    Args:
        inner: The object; its methods write.
        stop: Says when.
        finishing: The names of methods that begin all the same.
    """

    def call(method: Any, arguments: Any, named: Any) -> Any:
        if method.__name__ not in finishing:
            stop.check()
        return method(*arguments, **named)

    return cast("_T", _Calls(inner, call))


class _Calls:
    """Has the attributes of another object; calls of its methods take a way round."""

    def __init__(self, inner: object, call: Any) -> None:
        self._inner = inner
        self._call = call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return lambda *arguments, **named: self._call(found, arguments, named)


@contextmanager
def handling_signals(stop: Stop) -> Iterator[None]:
    """Stop on SIGTERM and SIGINT, as long as the block lasts; for the main thread."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
