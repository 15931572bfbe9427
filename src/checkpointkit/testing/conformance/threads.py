"""Threads that meet in the middle of a call, with no store left hanging."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from checkpointkit.errors import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Entry
    from checkpointkit.testing.conformance.bench import Watcher


T = TypeVar("T")

GRACE: Final = 0.05
"""How long a test gives a wrong store the chance to do what a right one cannot, in seconds."""
WAIT: Final = 30.0
"""After so many seconds a call counts as one that never returns."""


def patiently(call: Callable[[], T]) -> T:
    """Call again as long as somebody else holds the lock."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return call()
        except LockTimeoutError:
            if time.monotonic() > deadline:
                raise


class Task(Generic[T]):
    """A call in a thread of its own, which may be left hanging if the store never returns.

    Args:
        call: What to call.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._call())
        except BaseException as error:  # noqa: BLE001 - `result` raises it where it is seen
            self._error = error

    def done(self, seconds: float | None = None) -> bool:
        """Wait so long at most, or a moment, and tell whether the call has returned."""
        self._thread.join(GRACE if seconds is None else seconds)
        return not self._thread.is_alive()

    def result(self) -> T:
        """Wait for the call, and return what it returned or raise what it raised."""
        assert self.done(WAIT), "a call of the store never returned; is a lock not given back?"
        if self._error is not None:
            raise self._error
        return self._outcome[0]


class Pause:
    """The middle of a seal, which another call may use to come in between.

    A store whose seals exclude one another lets nobody in, and goes on after a moment. One that
    lets somebody in has to notice, and to call the seal again.

    Attributes:
        ended: Whether the seal goes on by now.
    """

    def __init__(self) -> None:
        self.ended: bool = False
        self._inside = threading.Event()
        self._over = threading.Event()

    def __call__(self) -> None:
        """Say that the seal is at work, and wait a moment; called in the seal."""
        self._inside.set()
        self._over.wait(GRACE)
        self.ended = True

    def entered(self) -> None:
        """Wait until the seal is at work."""
        assert self._inside.wait(WAIT), "the store never called the seal"

    def end(self) -> None:
        """Let the seal go on at once."""
        self._over.set()


class Onlooker:
    """Looks at each step of a call: whenever it calls a function, or one returns.

    As a context, it watches what is done in it, and in the end raises what a look has raised. It
    looks from a thread of its own, and lets the call go on where a lock keeps it from looking.

    Args:
        look: Looks.
    """

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._over = False
        self._asked = threading.Semaphore(0)
        self._seen = threading.Event()
        self._seen.set()
        self._task = Task(self._run)

    def _run(self) -> None:
        while True:
            self._asked.acquire()
            if self._over:
                return
            self._look()
            self._seen.set()

    def _step(self, *_event: object) -> None:
        if self._seen.is_set():
            self._seen.clear()
            self._asked.release()
            self._seen.wait(GRACE)

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        sys.setprofile(self._step)

    def __exit__(self, *_error: object) -> None:
        sys.setprofile(self._before)
        self._over = True
        self._asked.release()
        self._task.result()


def check_order(saves: list[tuple[Entry, Watcher]], before: bytes | None) -> bytes | None:
    """Check that saves took place one after the other, and return the last state.

    Each seal's last call was given the state that the save before it has left, and the number
    that the save has got.
    """
    newest = before
    for entry, watcher in sorted(saves, key=lambda save: save[0].generation):
        assert watcher.previous == newest, "a save replaced a state that its seal never saw"
        assert watcher.generation == entry.generation
        newest = watcher.data
    assert len({entry.generation for entry, _ in saves}) == len(saves)
    return newest
