"""Races: many processes, killed at any moment, on one store; and a checker that looks at it all.

`race` forks processes that call a store at random, kills some of them with SIGKILL in the middle
of whatever they do, puts others in their place, and asks `checkpointkit.testing.linearizability`
whether what they all saw can be the work of a store that does one thing after the other.
`race_threads` does the same with threads, which nobody kills.

Each call is written down before it is made, when its seal is asked, and when it has returned: so a
killed call is known to have begun, and its outcome to be unknown. The times are those of
CLOCK_MONOTONIC, which all processes of a machine share, on Linux and on macOS.

Each state that is saved is another one, says so itself, and has a size of its own: a mixture of
two is noticed whoever reads it.
"""

from __future__ import annotations

import os
import pickle
import random
import selectors
import signal
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import field, frozen

from checkpointkit.errors import StoreError
from checkpointkit.testing.clients import Began, Client, Log, report_errors
from checkpointkit.testing.linearizability import check
from checkpointkit.testing.operations import REFUSED, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from checkpointkit.stores.base import Store
    from checkpointkit.testing.clients import Event
    from checkpointkit.testing.linearizability import Violation
    from checkpointkit.testing.operations import Operation

KEYS: Final = ("a", "b", "c", "d", "e", "f")
PATIENCE: Final = 60.0
_JITTER: Final = 0.001
"""A process is killed up to so many seconds after it has said that it begins a call."""
_LAST_KILL: Final = 0.9
"""Nobody is killed after this share of the operations: towards the end nobody may be left."""
_ROOM: Final = 4096
"""Bytes that a process may write down before somebody has to have read them. With more of it, on a
busy machine, all may have ended before anybody is killed."""
_EAGER: Final = 1e-5
_LENGTH: Final = 4
"""Bytes that say how long a message is."""


@frozen
class Mishap:
    """Something that no call of a right store does.

    Attributes:
        client: Who met it; empty if all did.
        problem: What it was.
    """

    client: str
    problem: str

    def __str__(self) -> str:
        return f"{self.client}: {self.problem}" if self.client else self.problem


@frozen
class RaceReport:
    """What came of a race.

    Attributes:
        operations: How many operations were begun; what a call does to several keys counts once
            for each of them.
        unknown: How many of them have an unknown outcome, most of them because of a kill.
        refused: How many were refused, as a lock was not free in time or the store was not to be
            reached: they have changed nothing.
        kills: How many processes were killed.
        keys: How many keys there were.
        states: How many states the checker explored.
        longest_check: How long it took with one key at most, in seconds.
        violations: What went wrong; empty if the history is linearizable and no error came up
            that has no business there.
    """

    operations: int
    unknown: int
    refused: int
    kills: int
    keys: int
    states: int
    longest_check: float
    violations: tuple[Violation | Mishap, ...]

    def __str__(self) -> str:
        figures = (
            f"{self.operations} operations on {self.keys} keys, {self.unknown} of unknown outcome, "
            f"{self.refused} refused; {self.kills} processes killed; "
            f"{self.states} states explored, {self.longest_check:.2f} s for a key at most; "
            f"{len(self.violations)} violations"
        )
        return "\n".join([figures, *map(str, self.violations)])


def race(
    open_store: Callable[[], Store],
    *,
    processes: int = 8,
    operations: int = 4000,
    kills: int = 40,
    seed: int = 0,
    keys: Sequence[str] = KEYS,
    patience: float = PATIENCE,
) -> RaceReport:
    """Let processes call a store at random, kill some, and check what the others saw.

    The seed decides what is called and after how many calls somebody is killed; how the processes
    meet is up to the machine.

    Args:
        open_store: Opens the store, one with the feature `shared`; called in each process. In the
            beginning the keys are absent.
        processes: How many are at work at the same time.
        operations: How many operations they begin together.
        kills: How many are killed, and replaced.
        seed: Of all that is random.
        keys: The keys that they use. The fewer, the more they meet; and with many operations on
            few keys the check takes long.
        patience: If nobody begins or ends a call for so many seconds, they count as hanging.

    Raises:
        StoreError: The system cannot fork.
        UndecidedError: The checker has given up.

    Example:
        >>> import tempfile
        >>> from checkpointkit import FileStore
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     open_store = lambda: FileStore(directory, durability="none")
        ...     report = race(open_store, processes=2, operations=100, kills=2)
        >>> report.kills, report.violations
        (2, ())
    """
    if not hasattr(os, "fork"):
        raise StoreError(None, "race", "this system cannot fork; race_threads needs no processes")
    crowd = _Crowd(open_store, tuple(keys), -(-operations // processes), seed, patience)
    moments = random.Random(f"{seed}/moments")  # noqa: S311 - chance, no secret
    due = sorted(moments.random() * operations * _LAST_KILL for _ in range(kills))
    try:
        for number in range(processes):
            crowd.start(number)
        crowd.run(due, moments)
        if not crowd.mishaps:
            crowd.start(None)
            crowd.run([], moments)
    finally:
        crowd.end()
    return _judge(crowd.logs, crowd.mishaps, len(keys), crowd.kills)


def race_threads(
    store: Store,
    *,
    threads: int = 8,
    operations: int = 4000,
    seed: int = 0,
    keys: Sequence[str] = KEYS,
    patience: float = PATIENCE,
) -> RaceReport:
    """Let threads call a store at random, and check what they saw.

    Args:
        store: The store. In the beginning the keys are absent.
        threads: How many are at work at the same time.
        operations: How many operations they begin together.
        seed: Of all that is random.
        keys: The keys that they use.
        patience: If they have not ended after so many seconds, they count as hanging.

    Raises:
        UndecidedError: The checker has given up.

    Example:
        >>> from checkpointkit import MemoryStore
        >>> race_threads(MemoryStore(), threads=2, operations=100).violations
        ()
    """
    logs = [Log(f"{number}") for number in range(threads)]
    last = Log("last")
    quota = -(-operations // threads)

    def work(log: Log) -> None:
        client = Client(store, tuple(keys), log.add, seed, log.name)
        report_errors(log.add, partial(client.run, quota))

    before = sys.getswitchinterval()
    sys.setswitchinterval(_EAGER)  # what can come in between, will
    try:
        workers = [threading.Thread(target=work, args=(log,), daemon=True) for log in logs]
        for worker in workers:
            worker.start()
        end = time.monotonic() + patience
        for worker in workers:
            worker.join(max(0.0, end - time.monotonic()))
    finally:
        sys.setswitchinterval(before)
    if any(worker.is_alive() for worker in workers):
        return _judge(logs, [_hanging(patience)], len(keys), 0)
    client = Client(store, tuple(keys), last.add, seed, last.name)
    report_errors(last.add, client.look_at_all)
    return _judge([*logs, last], [], len(keys), 0)


def _hanging(patience: float) -> Mishap:
    return Mishap("", f"nobody got on for {patience:g} seconds; is a lock not given back?")


def _judge(logs: Iterable[Log], mishaps: list[Mishap], keys: int, kills: int) -> RaceReport:
    """Check all that was seen, key by key."""
    logs = list(logs)
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for log in logs:
        mishaps = [*mishaps, *(Mishap(log.name, failed.problem) for failed in log.failures)]
        for operation in log.operations():
            by_key[operation.key].append(operation)
    violations: list[Violation | Mishap] = [*mishaps]
    longest, states = 0.0, 0
    for _, history in sorted(by_key.items()):
        began = time.perf_counter()
        verdict = check(history)
        longest = max(longest, time.perf_counter() - began)
        states += verdict.states
        violations += verdict.violations
    outcomes = [op.outcome for history in by_key.values() for op in history]
    return RaceReport(
        operations=len(outcomes),
        unknown=outcomes.count(UNKNOWN),
        refused=outcomes.count(REFUSED),
        kills=kills,
        keys=keys,
        states=states,
        longest_check=longest,
        violations=tuple(violations),
    )


# ---------------------------------------------------------------------------------- the processes


@frozen(eq=False)
class _Process:
    """A child: its process id, the pipe that it writes to, and what has come through it.

    Attributes:
        number: Whose place it has; None for the one that looks at all in the end.
        log: What it has written down.
        rest: The beginning of a message.
    """

    pid: int
    pipe: int
    number: int | None
    log: Log
    rest: bytearray = field(factory=bytearray)

    def hear(self) -> list[Event] | None:
        """Return what it has said since; None if it has ended."""
        more = os.read(self.pipe, 2**16)
        if not more:
            return None
        self.rest.extend(more)
        events: list[Event] = []
        while len(self.rest) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self.rest[:_LENGTH])
            if len(self.rest) < end:
                break
            events.append(pickle.loads(self.rest[_LENGTH:end]))  # noqa: S301 - from our own child
            del self.rest[:end]
        self.log.events.extend(events)
        return events


class _Crowd:
    """The processes of a race."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        keys: tuple[str, ...],
        quota: int,
        seed: int,
        patience: float,
    ) -> None:
        self._open_store = open_store
        self._keys = keys
        self._quota = quota
        self._seed = seed
        self._patience = patience
        self._selector = selectors.DefaultSelector()
        self._begun = 0
        self.logs: list[Log] = []
        self.mishaps: list[Mishap] = []
        self.kills = 0

    def start(self, number: int | None) -> None:
        """Fork a process, for the first time or in the place of one that was killed."""
        place = "last" if number is None else f"{number}"
        before = [log for log in self.logs if log.name.partition(".")[0] == place]
        log = Log(f"{place}.{len(before)}")
        quota = self._quota - sum(each.begun for each in before)
        reading, writing = os.pipe()
        import fcntl  # noqa: PLC0415 - Windows has none, and no fork

        with suppress(AttributeError):  # Linux alone has it
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _ROOM)
        pid = os.fork() or self._work(number, log.name, quota, reading, writing)
        os.close(writing)
        process = _Process(pid, reading, number, log)
        self.logs.append(log)
        self._selector.register(reading, selectors.EVENT_READ, process)

    def _work(self, number: int | None, name: str, quota: int, reading: int, pipe: int) -> NoReturn:
        for fd in (reading, *(key.fd for key in self._selector.get_map().values())):
            os.close(fd)  # with the last reader, the race itself, all its processes end

        def say(event: Event) -> None:
            message = pickle.dumps(event)
            os.write(pipe, len(message).to_bytes(_LENGTH) + message)

        def work() -> None:
            store = self._open_store()
            client = Client(store, self._keys, say, self._seed, name)
            if number is None:
                client.look_at_all()
            else:
                client.run(quota)
            store.close()

        status = 1
        try:
            report_errors(say, work)
            status = 0
        finally:
            os._exit(status)

    def run(self, due: list[float], moments: random.Random) -> None:
        """Listen to the processes until all have ended; kill one whenever it is due."""
        due = list(due)
        while self._selector.get_map():
            ready = self._selector.select(self._patience)
            if not ready:
                self.mishaps.append(_hanging(self._patience))
                return
            for key, _ in ready:
                process: _Process = key.data
                events = process.hear()
                if events is None:
                    self._bury(process, 0)
                    continue
                begun = self._count(events)
                if begun and due and self._begun >= due[0]:
                    time.sleep(moments.random() * _JITTER)  # any step of the call may be hit
                    killed = self._kill(process)
                    del due[:killed]

    def _count(self, events: list[Event]) -> int:
        begun = sum(len(event.calls) for event in events if isinstance(event, Began))
        self._begun += begun
        return begun

    def _kill(self, process: _Process) -> bool:
        """Kill a process and put another in its place; False if it had ended by itself."""
        os.kill(process.pid, signal.SIGKILL)
        while (events := process.hear()) is not None:
            self._count(events)
        killed = self._bury(process, 0, -signal.SIGKILL) != 0
        self.kills += killed
        self.start(process.number)
        return killed

    def _bury(self, process: _Process, *right: int) -> int:
        """Wait for the end of a process that has closed its pipe, and return its exit code."""
        self._selector.unregister(process.pipe)
        os.close(process.pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        if code not in right:
            self.mishaps.append(Mishap(process.log.name, f"it ended with code {code}"))
        return code

    def end(self) -> None:
        """End whoever is left."""
        for key in list(self._selector.get_map().values()):
            os.kill(key.data.pid, signal.SIGKILL)
            self._bury(key.data, 0, -signal.SIGKILL)
        self._selector.close()
