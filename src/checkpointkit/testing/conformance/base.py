"""The one fixture that a store's author overrides, and those that the rules take from it."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from checkpointkit.testing.conformance.bench import Bench, StoreOpener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

    from checkpointkit.stores.base import Store

_OFTEN: Final = 1e-5
"""Seconds between two switches of threads: what can come in between, will."""


class Rules:
    """What all groups of rules share.

    Attributes:
        patience: How many seconds one test may take. A store that does not give a lock back would
            hang for ever; so it fails. Where the system knows no timer signals (Windows), or the
            tests run outside the main thread, nothing is timed.
    """

    patience: ClassVar[float] = 120.0

    @pytest.fixture
    def open_store(self) -> StoreOpener:
        """Return what opens the store under test by name; override this one."""
        raise NotImplementedError(
            "override the fixture open_store: it returns a callable that takes a name and "
            "max_bytes, and opens the store of that name; the same name is the same store, "
            "a new name is an empty one"
        )

    @pytest.fixture
    def bench(self, open_store: StoreOpener) -> Iterator[Bench]:
        """Open stores, and close them at the end."""
        bench = Bench(open_store)
        yield bench
        bench.close()

    @pytest.fixture
    def store(self, bench: Bench) -> Store:
        """An empty store."""
        return bench.open()

    @pytest.fixture
    def eager_threads(self) -> Iterator[None]:
        """Let threads overtake one another as often as possible."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(_OFTEN)
        yield
        sys.setswitchinterval(before)

    @pytest.fixture(autouse=True)
    def never_hangs(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """End a test that a store keeps waiting."""
        if not can_time():
            yield
            return
        test = request.function.__code__

        def give_up(_number: int, frame: FrameType | None) -> None:
            if is_within(test, frame):
                raise TimeoutError(
                    f"a test took more than {self.patience:g} seconds; is a lock not given back?"
                )

        handler = signal.signal(signal.SIGALRM, give_up)
        timer = signal.setitimer(signal.ITIMER_REAL, self.patience, self.patience)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)


def is_within(test: CodeType, frame: FrameType | None) -> bool:
    """Tell whether a test is at work, or a store is opened or closed for it.

    An error at any other moment would hit pytest itself.
    """
    while frame is not None:
        if frame.f_code is test or frame.f_globals.get("__name__") == Bench.__module__:
            return True
        frame = frame.f_back
    return False


def can_time() -> bool:
    """Tell whether a timer can interrupt a test."""
    main = threading.current_thread() is threading.main_thread()
    return main and hasattr(signal, "setitimer")
