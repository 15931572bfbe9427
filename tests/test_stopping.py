"""Stopping: at once where it waits, and never in the middle of a write."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from checkpointkit.stopping import (
    Stop,
    Stopped,
    between,
    handling_signals,
    while_waiting,
)

LONG = 120.0


@contextmanager
def soon(number: int) -> Iterator[None]:
    """Send this process a signal in a moment."""
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class Work:
    """Waits, or writes, and says when it is done."""

    place = "here"

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.done: list[str] = []

    def wait(self, seconds: float, *, name: str) -> str:
        time.sleep(seconds)
        self.done.append(name)
        return name

    def write(self, name: str) -> None:
        self.stop.set()  # the signal comes in the middle of it
        self.done.append(name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_waits_for_others_is_left_at_once(number: int) -> None:
    stop = Stop()
    work = Work(stop)
    with handling_signals(stop), soon(number), pytest.raises(Stopped):
        while_waiting(work, stop).wait(LONG, name="never")
    assert work.done == []
    assert stop.is_set()


def test_whoever_waits_for_the_next_tick_is_left_at_once() -> None:
    stop = Stop()
    with handling_signals(stop), soon(signal.SIGTERM):
        assert stop.wait(LONG)
        assert stop.wait()  # it was time already


def test_what_is_written_is_written_to_its_end_and_nothing_is_begun_after_it() -> None:
    stop = Stop()
    work = Work(stop)
    guarded = between(work, stop)
    guarded.write("one")
    assert work.done == ["one"]
    with pytest.raises(Stopped):
        guarded.write("two")
    with pytest.raises(Stopped):
        while_waiting(work, stop).wait(0.0, name="two")
    with pytest.raises(Stopped):
        stop.check()
    assert work.done == ["one"]


def test_a_signal_in_the_middle_of_a_write_does_not_end_it() -> None:
    stop = Stop()
    work = Work(stop)
    with handling_signals(stop), soon(signal.SIGTERM):
        assert between(work, stop).wait(0.2, name="one") == "one"
    assert work.done == ["one"]
    assert stop.is_set()


def test_a_second_signal_disturbs_nobody_on_the_way_out() -> None:
    stop = Stop()

    class Tidy:
        tidied = False

        def wait(self) -> None:
            try:
                time.sleep(LONG)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
                Tidy.tidied = True

    with handling_signals(stop), soon(signal.SIGTERM), pytest.raises(Stopped):
        while_waiting(Tidy(), stop).wait()
    assert Tidy.tidied


def test_until_it_is_time_everything_is_as_it_was() -> None:
    stop = Stop()
    work = Work(stop)
    waiting, writing = while_waiting(work, stop), between(work, stop)
    assert waiting.wait(0.0, name="one") == writing.wait(0.0, name="one") == "one"
    assert waiting.place == "here"
    assert not stop.is_set()
    assert not stop.wait(0.001)
    stop.check()
    with pytest.raises(AttributeError):
        _ = waiting.missing  # type: ignore[attr-defined]


def test_what_passes_through_is_no_error_that_a_source_may_catch() -> None:
    assert not issubclass(Stopped, Exception)


def test_the_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with handling_signals(Stop()):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_what_is_being_taken_away_is_taken_away_to_the_end() -> None:
    class Removals:
        done: list[str]

        def __init__(self) -> None:
            self.done = []

        def remove_active(self) -> None:
            self.done.append("active")
            stop.set()

        def remove(self) -> None:
            self.done.append("assets")

        def save(self) -> None:
            self.done.append("saved")

    stop = Stop()
    removals = Removals()
    guarded = between(removals, stop, finishing={"remove", "remove_active"})
    guarded.remove_active()
    guarded.remove()
    with pytest.raises(Stopped):
        guarded.save()
    assert removals.done == ["active", "assets"]
