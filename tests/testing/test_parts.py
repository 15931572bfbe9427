"""The parts of the suite that show only where something is amiss."""

from __future__ import annotations

import os
import signal
import sys
from threading import Lock
from typing import TYPE_CHECKING

import pytest

from checkpointkit import MemoryStore
from checkpointkit.errors import LockTimeoutError
from checkpointkit.testing import StoreMachine
from checkpointkit.testing.conformance import threads
from checkpointkit.testing.conformance.base import can_time, is_within
from checkpointkit.testing.conformance.processes import Child
from checkpointkit.testing.conformance.threads import Onlooker, Task, patiently

if TYPE_CHECKING:
    from typing import NoReturn

pytest_plugins = ["pytester"]

MEMORY = """
import time
import pytest
from checkpointkit import MemoryStore
from checkpointkit.testing import StoreTests

class TestMemoryStore(StoreTests):
    patience = 0.05

    @pytest.fixture
    def open_store(self):
        return lambda name, max_bytes: MemoryStore(max_bytes=max_bytes)

    @pytest.fixture
    def slow_to_end(self):
        yield
        time.sleep(0.2)

    def test_that_hangs(self, store):
        time.sleep(0.2)

    def test_that_leaves_slowly(self, slow_to_end):
        pass
"""
QUIET = ("-p", "no:cacheprovider", "-W", "error")


def test_random_calls_reach_a_newest_generation_that_is_damaged() -> None:
    # whatever the random calls of this run come to
    opens = staticmethod(lambda _name, max_bytes: MemoryStore(max_bytes=max_bytes))
    machine: StoreMachine = type("Machine", (StoreMachine,), {"open_store": opens})()
    machine.write(key="a", data=b"x", expectation="none")
    machine.store.set_aside("a", machine.store.history("a")[0].revision)
    machine.model["a"].saved.clear()
    machine.model["a"].damaged = True
    machine.agrees()
    machine.pin(key="a", index=0)
    machine.read(key="a", back=0, limit=None)
    assert machine.model["a"].pinned == set()
    machine.teardown()


def test_a_suite_without_a_store_says_what_to_override(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from checkpointkit.testing import StoreTests\nclass TestNothing(StoreTests): pass"
    )
    result = pytester.runpytest_inprocess(*QUIET, "-k", "keys_are_sorted")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*override the fixture open_store: it returns a callable*"])


def test_a_test_that_hangs_is_ended(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MEMORY)
    before = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    result = pytester.runpytest_inprocess(*QUIET, "-k", "that_hangs or keys_are_sorted")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*TimeoutError: a test took more than 0.05 seconds*"])
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == before


def test_a_timer_that_runs_out_between_tests_hits_nobody(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MEMORY)
    pytester.runpytest_inprocess(*QUIET, "-k", "leaves_slowly").assert_outcomes(passed=1)
    here = sys._getframe()
    assert is_within(here.f_code, here)
    assert not is_within(can_time.__code__, here)
    assert not is_within(can_time.__code__, None)


def test_where_the_system_has_no_timer_nothing_is_timed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_it=MEMORY)
    assert can_time()
    assert not Task(can_time).result()
    monkeypatch.delattr(signal, "setitimer")
    assert not can_time()
    pytester.runpytest_inprocess(*QUIET, "-k", "that_hangs").assert_outcomes(passed=1)


def test_where_the_system_has_no_fork_the_tests_of_processes_say_so(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_it=MEMORY)
    monkeypatch.delattr(os, "fork")
    result = pytester.runpytest_inprocess(*QUIET, "-rs", "-k", "process", "--tb=no")
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(["*this platform cannot fork*"])


def test_a_failed_rule_shows_the_values(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MEMORY.replace("MemoryStore(max_bytes=max_bytes)", "MemoryStore()"))
    result = pytester.runpytest_inprocess(*QUIET, "-k", "features_and_limits")
    result.stdout.fnmatch_lines(["E*assert 67108864 == 1048576"])


def test_a_lock_that_is_never_free_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    error = LockTimeoutError("a", 0)
    calls: list[int] = []

    def save() -> NoReturn:
        calls.append(1)
        raise error

    monkeypatch.setattr(threads, "WAIT", 0.01)
    with pytest.raises(LockTimeoutError) as caught:
        patiently(save)
    assert caught.value is error
    assert len(calls) > 1


def test_a_child_that_fails_says_so() -> None:
    with (
        Child(lambda _child: next(iter(()))) as child,
        pytest.raises(RuntimeError, match="StopIteration in a"),
    ):
        child.hear()


def test_a_child_is_ended_with_its_test() -> None:
    with pytest.raises(ZeroDivisionError), Child(lambda child: child.wait()) as child:
        _ = 1 / 0
    with pytest.raises(ProcessLookupError):
        os.kill(child._pid, 0)


def test_an_onlooker_looks_once_for_each_step_and_waits_for_nobody_twice() -> None:
    looks: list[int] = []
    lock = Lock()

    def look() -> None:
        with lock:
            looks.append(len(looks))

    onlooker = Onlooker(look)
    onlooker._step()
    assert looks == [0]
    with lock:
        onlooker._step()  # the look waits for the lock
        onlooker._step()  # and this one is left out
        assert looks == [0]
    onlooker._seen.wait()
    onlooker._step()
    assert looks == [0, 1, 2]
    before = sys.getprofile()
    with onlooker:
        str(looks)
    assert sys.getprofile() is before
    assert len(looks) > 3


def test_what_a_look_raises_is_raised_in_the_end() -> None:
    def look() -> NoReturn:
        raise RuntimeError("a mixture")

    with pytest.raises(RuntimeError, match="a mixture"), Onlooker(look):
        str(look)
