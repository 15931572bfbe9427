"""A store in company while its calls go on or fail: forks in the middle, threads, odd clocks."""

from __future__ import annotations

import os
import random
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import (
    LockTimeoutError,
    OutcomeUnknownError,
    StoreError,
)
from checkpointkit.manager import CheckpointManager
from checkpointkit.records import verify
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.locks import StripeLock
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import RecordedCalls
from tests.support.calls import (
    ERRORS,
    MIGRATED,
    SCENARIOS,
    Bench,
    Number,
    descriptors,
    rot,
    shown,
)
from tests.support.states import NOW, generations, number_of, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

HOUR = 3600.0


pytestmark = pytest.mark.usefixtures("settled")


class Forking(RecordedCalls):
    """Forks ahead of one call; the child does something of its own and exits.

    Attributes:
        at: Which call, counted from 0.
        work: What the child does.
        child: Its process id.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.at = -1
        self.work: Callable[[], object] = object
        self.child = 0

    def before(self, name: str, event: str) -> None:
        """Fork if it is time to."""
        self.at -= 1
        if self.at != -1:
            return
        self.child = os.fork()
        if not self.child:
            status = 1
            try:
                self.work()
                status = 0
            finally:
                os._exit(status)

    def end(self) -> int:
        """Wait for the child; return its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("goes_on", [False, True], ids=["exits", "goes on"])
@pytest.mark.parametrize(
    "name", ["first save", "next save", "save with a reserve", "remove", "recover", "migrate"]
)
def test_a_process_may_fork_in_the_middle_of_a_call(quick: Path, name: str, goes_on: bool) -> None:
    """As another thread of the parent may: the child uses the very same store object."""
    scenario = SCENARIOS[name]
    directory = quick / "store"
    calls = Forking(directory)
    store = FileStore(directory, system=calls, **scenario.options())
    bench = Bench(quick, **scenario.options())  # makes ready; the store under test is another
    length, at, forks = 1, 0, 0
    before = descriptors()
    while at < length:
        key = bench.ready(scenario)
        # of the same stripe: the child needs the lock that the parent may hold
        other = next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of(key))
        allowed = {shown(bench.store, key), scenario.after}

        def work(key: str = key, other: str = other, allowed: set[int | str] = allowed) -> None:
            if goes_on:
                assert shown(store, key) in allowed
                store.write(other, sealed(other, 7))
                assert number_of(store, other) == 7

        calls.forget()
        calls.at, calls.work, calls.child = at, work, 0
        scenario.act(store, key)
        calls.at = -1
        length = max(length, len(calls.attempts)) if at == 0 else length
        if calls.child:
            assert calls.end() == 0, (name, at)
            forks += 1
        assert shown(store, key) == scenario.after, at
        assert shown(store, other) == (7 if goes_on and calls.child else "absent"), at
        assert temporaries(directory) == [], at
        assert descriptors() == before, at
        bench.store.remove(other)
        at += 1
    bench.healed(key)
    bench.close()
    store.close()
    assert forks > 20


class Flaky(RecordedCalls):
    """Each call fails with some chance, and in some threads alone.

    Attributes:
        chance: How likely it is, at the start.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory)
        self.chance = 0.0
        self.fails = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def before(self, name: str, event: str) -> None:
        """Throw the dice."""
        with self._lock:
            fails = self._random.random() < self.chance
            number = self._random.choice(ERRORS)
            self.fails += fails
        if fails:
            raise OSError(number, os.strerror(number))


class Agent:
    """One thread's work on a key that it alone writes, and what the key may show."""

    def __init__(self, store: FileStore, key: str, others: list[str], seed: int) -> None:
        self.store = store
        self.key = key
        self.others = others
        self.allowed: set[int | str] = {"absent"}
        self.used: set[int] = set()
        self.acknowledged = self.unknown = self.refused = 0
        self.problems: list[str] = []
        self._random = random.Random(seed)

    def run(self) -> None:
        """Do 60 things; note what cannot be."""
        try:
            for number in range(1, 61):
                self._one(number)
        except BaseException as error:
            self.problems.append(repr(error))

    def _one(self, number: int) -> None:
        try:
            match self._random.choice(["save", "save", "save", "remove", "read", "look"]):
                case "save":
                    self._change(number, lambda: self._save(number))
                case "remove":
                    self._change("absent", lambda: self.store.remove(self.key))
                case "read":
                    found = shown(self.store, self.key)
                    if found not in self.allowed:
                        self.problems.append(f"{found} is none of {self.allowed}")
                    self.allowed = {found}
                case _:
                    other = self._random.choice(self.others)
                    if shown(self.store, other) == "damaged":
                        self.problems.append(f"{other} is damaged")
                    numbers = generations(self.store, other)
                    if numbers != sorted(numbers, reverse=True):
                        self.problems.append(f"{other} has {numbers}")
        except (StoreError, LockTimeoutError):
            self.refused += 1

    def _save(self, number: int) -> None:
        entry = self.store.write(self.key, sealed(self.key, number))
        if entry.generation in self.used:
            self.problems.append(f"generation {entry.generation} was used twice")
        self.used.add(entry.generation)

    def _change(self, after: int | str, act: Callable[[], object]) -> None:
        try:
            act()
        except OutcomeUnknownError:
            self.allowed = {after}  # readers see it
            self.unknown += 1
        else:
            self.allowed = {after}
            self.acknowledged += 1


@pytest.mark.parametrize("seed", range(4))
def test_threads_share_a_store_whose_calls_fail_at_random(quick: Path, seed: int) -> None:
    directory = quick / "store"
    calls = Flaky(directory, seed)
    before = descriptors()
    store = FileStore(directory, system=calls, lock_timeout=5, reserve=500)
    names = ["a", next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of("a")), "c"]
    agents = [Agent(store, key, names, seed * 10 + n) for n, key in enumerate(names)]
    threads = [threading.Thread(target=agent.run) for agent in agents]
    calls.chance = 0.01
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls.chance = 0.0
    for agent in agents:
        assert agent.problems == []
        assert shown(store, agent.key) in agent.allowed
        assert agent.acknowledged > 5
    assert calls.fails > 10
    assert sum(agent.refused for agent in agents) > 3
    for agent in agents:
        store.write(agent.key, sealed(agent.key, 99))
    assert "close ?" not in calls.attempts, "closed twice"
    store.close()
    assert descriptors() == before
    with FileStore(directory) as store:
        assert temporaries(directory) == []
        assert verify(store).ok


class OddClock(RecordedCalls):
    """A clock for waiting that jumps at each look by some hours, forwards or backwards."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.jumps: list[float] = []
        self.sleeps = 0
        self.at_sleep: dict[int, Callable[[], object]] = {}
        self._time = 1e6

    def monotonic(self) -> float:
        self._time += self.jumps.pop(0) if self.jumps else 0.001
        return self._time

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.at_sleep.pop(self.sleeps, object)()


def test_a_clock_that_jumps_ahead_ends_a_wait_early_and_changes_nothing(quick: Path) -> None:
    calls = OddClock(quick / "store")
    with FileStore(quick / "store", system=calls) as store, FileStore(quick / "store") as other:
        store.write("a", sealed("a", 1))
        before = descriptors()
        calls.jumps = [0.0, 0.001, 5 * HOUR]
        with StripeLock(other._disk, stripe_of("a"), "a", 1), pytest.raises(LockTimeoutError):
            store.write("a", sealed("a", 2))
        assert calls.sleeps == 1
        assert calls.jumps == []
        assert descriptors() == before
        assert number_of(store, "a") == 1
        assert generations(store, "a") == [1]
        store.write("a", sealed("a", 3))
        assert generations(store, "a") == [2, 1]


def test_a_clock_that_jumps_back_makes_no_wait_end_before_the_lock_is_free(quick: Path) -> None:
    calls = OddClock(quick / "store")
    with FileStore(quick / "store", system=calls) as store, FileStore(quick / "store") as other:
        for act in (
            lambda: store.write("a", sealed("a", 2)),
            lambda: store.write_many({"a": sealed("a", 3), "b": sealed("b", 3)}),
            lambda: store.remove("a"),
        ):
            lock = StripeLock(other._disk, stripe_of("a"), "a", 1)
            lock.__enter__()
            calls.sleeps = 0
            calls.jumps = [0.0, -HOUR, -5 * HOUR, HOUR, -HOUR]
            calls.at_sleep[7] = lambda lock=lock: lock.__exit__(None, None, None)  # type: ignore[misc]  # more than mypy follows
            act()
            assert calls.sleeps == 7
        assert store.keys() == ("b",)


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR], ids=["back", "ahead"])
def test_a_clock_that_jumps_while_a_store_is_laid_out_leaves_no_half_of_it(
    quick: Path, jump: float
) -> None:
    directory = quick / "store"
    directory.mkdir()
    calls = OddClock(directory)
    calls.jumps = [0.0, jump]
    fd = os.open(directory, os.O_RDONLY)
    try:
        assert calls.try_lock(fd)
        calls.at_sleep[3] = lambda: calls.unlock(fd)
        if jump > 0:
            with pytest.raises(LockTimeoutError):
                FileStore(directory, system=calls)
            assert os.listdir(directory) == []
            calls.unlock(fd)
        with FileStore(directory, system=calls) as store:
            store.write("a", sealed("a", 1))
            assert number_of(store, "a") == 1
    finally:
        os.close(fd)


def test_nothing_depends_on_the_time_of_day(quick: Path) -> None:
    """It goes back by an hour with each state, and so do the times of the files."""
    moments = [NOW - timedelta(hours=n) for n in range(100)]
    left = iter(moments)

    def clock() -> datetime:
        return next(left)

    directory = quick / "store"
    with FileStore(directory, history=9) as store:
        manager = CheckpointManager(store, MIGRATED, clock=clock)
        for n in range(3):
            store.write("a", sealed("a", n))
            os.utime(directory / "a" / "current", (1e9 - n * HOUR,) * 2)
        manager.migrate()
        manager.create("a", Number(7, ""))
        manager.update("a", lambda state: Number(state.n + 1, ""))
        infos = manager.history("a")
        assert [info.generation for info in infos] == [6, 5, 4, 3, 2, 1]
        times = [info.created_at for info in infos[:3]]
        assert times == sorted(times), "the newest state is the oldest by the clock"
        assert manager.get("a") == Number(8, "")
        manager.rollback("a", 4)
        assert manager.get("a") == Number(102, "")
        rot(directory, "a")
        recovered = manager.recover("a")
        assert recovered.restored_from == 6
        assert manager.get("a") == Number(8, "")
        manager.remove("a")
        assert manager.create("a", Number(1, "")).generation > 8
        assert manager.verify().ok
