"""The agents themselves: child processes that save until they are killed."""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn

from checkpointkit import CheckpointNotFoundError
from checkpointkit.cli.demo.ledger import NOTHING, Ledger
from checkpointkit.cli.demo.releases import KEY, RELEASE_1, Table1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from random import Random

    Say = Callable[[str], None]
    """Reports one line."""
    Body = Callable[[Say], None]
    """What a child does."""

PATIENCE: Final = 60.0
"""Seconds that an agent may be silent: far more than a save takes on the slowest of disks."""

_READ_AT_ONCE = 65536


def agent(say: Say, directory: Path, rounds: Iterable[object]) -> None:
    """Run release 1 of the agent: read the state, then save it once for each round.

    Args:
        say: Takes one line of report; see `Ledger`.
        directory: Where the state is.
        rounds: How often to save; without end for an agent that is going to be killed.
    """
    manager = RELEASE_1.open(directory)
    state, digest = Table1(0, ()), NOTHING
    try:
        found = manager.load(KEY)
    except CheckpointNotFoundError:
        pass  # the first agent, or one whose predecessors were killed before they saved
    else:
        state, digest = found.value, found.info.digest
    say(f"read {state.saves} {digest}")
    for _ in rounds:
        state = RELEASE_1.observe(state)
        say(f"saving {state.saves}")
        info = manager.create(KEY, state)
        say(f"saved {state.saves} {info.digest}")


class Child:
    """A forked process that reports line by line through a pipe; see `forked`."""

    def __init__(self, reader: int) -> None:
        self.pid: int = 0
        self._reader = reader
        self._rest = b""

    def listen(self) -> list[str]:
        """Wait for reports and return those that are there; an empty list at their end.

        Raises:
            TimeoutError: Nothing was heard for far too long.
        """
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._reader], [], [], PATIENCE)
            if not ready:
                raise TimeoutError(f"a child process said nothing for {PATIENCE:g} s")
            data = os.read(self._reader, _READ_AT_ONCE)
            if not data:
                return []
            self._rest += data
        lines, _, self._rest = self._rest.rpartition(b"\n")
        return lines.decode().split("\n")

    def listen_to_the_end(self) -> Iterator[str]:
        """Yield every report until the child is gone."""
        while lines := self.listen():
            yield from lines

    def kill(self) -> None:
        """Kill the process with SIGKILL, if it still runs, and reap it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)  # until it is reaped, nobody else has this pid
            os.waitpid(self.pid, 0)
            self.pid = 0


@contextmanager
def forked(body: Body) -> Iterator[Child]:
    """Run `body` in a forked child; at the end the child is gone and reaped, whatever happened.

    Args:
        body: What the child does, with a function that reports one line.
    """
    reader, writer = os.pipe()
    child = Child(reader)
    # Held back until the child is known: otherwise it could outlive a Ctrl-C at the fork.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        child.pid = os.fork() or _be_child(body, reader, writer, mask)
        os.close(writer)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield child
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        child.kill()
        os.close(reader)


def _be_child(body: Body, reader: int, writer: int, mask: Iterable[int]) -> NoReturn:
    """Run `body` and end this process; never returns into the parent's code."""
    status = 1
    try:
        # on Ctrl-C the parent cleans up; a child just goes
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(reader)  # so that a child whose parent is gone notices when it reports
        body(partial(_say, writer))
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)


def _say(writer: int, line: str) -> None:
    # one write of less than PIPE_BUF bytes: a kill cannot tear it
    os.write(writer, f"{line}\n".encode())


def kill_agents(directory: Path, kills: int, pause: float, random: Random) -> Ledger:
    """Start one agent after the other on the same state, and kill each of them.

    An agent is killed after a random number of reports and a random part of `pause`: at its
    start, between two saves, and most often in the middle of one.

    Args:
        directory: Where the state is.
        kills: How many agents to kill.
        pause: About how long a save takes, in seconds.
        random: Chooses the moments.

    Returns:
        The books, with a last agent that is not killed: it saves once, so there is a state.

    Raises:
        ChildProcessError: An agent ended by itself.
    """
    ledger = Ledger()
    for _ in range(kills):
        with forked(partial(agent, directory=directory, rounds=count())) as child:
            heard, enough = 0, random.randint(1, 12)
            while heard < enough:
                reports = child.listen()
                if not reports:
                    raise ChildProcessError("an agent ended by itself; see its last words")
                ledger = ledger.hear(reports)
                heard += len(reports)
            time.sleep(random.uniform(0, pause))
            child.kill()
            ledger = ledger.hear(child.listen_to_the_end()).killed()
    last: list[str] = []
    agent(last.append, directory, rounds=range(1))
    return ledger.hear(last)
