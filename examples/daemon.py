"""A plain daemon: it counts the lines of a file that grows, and knows after a restart where it was.

    python examples/daemon.py STATE FILE [SECONDS]

It looks at the file every SECONDS (default 5) and saves its position. On SIGTERM or Ctrl-C it
looks a last time, saves, and ends with status 0. Killed the hard way, it has lost at most the work
since the last save, and does that work again.
"""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from queue import Empty, SimpleQueue

from attrs import evolve, frozen

from checkpointkit import (
    CheckpointError,
    CheckpointManager,
    CorruptCheckpointError,
    FileStore,
    LockTimeoutError,
    Schema,
    StoreError,
)

KEY = "position"

log = logging.getLogger("daemon")


@frozen
class Position:
    """How far the file has been read."""

    offset: int
    lines: int


POSITION = Schema(Position, kind="example.com/position", version=1)


def restore(manager: CheckpointManager[Position]) -> Position:
    """Return the position to go on from.

    An older one costs work that is done twice and nothing else, so this daemon recovers by itself.

    Raises:
        CheckpointError: A person has to look: no generation is good, a newer release wrote it, or
            the disk does not give it.
    """
    try:
        return manager.get(KEY, default=Position(0, 0))
    except CorruptCheckpointError:
        recovery = manager.recover(KEY)
        log.warning("recovered from generation %s", recovery.restored_from)
        return manager.get(KEY)


def advance(position: Position, file: Path) -> Position:
    """Read the whole lines that are new, and return the position after them."""
    with file.open("rb") as stream:
        stream.seek(position.offset)
        new = stream.read()
    end = new.rfind(b"\n") + 1  # a line that is not finished is left for the next time
    return evolve(
        position, offset=position.offset + end, lines=position.lines + new.count(b"\n", 0, end)
    )


class Daemon:
    """Looks, saves, and tells whether the last save went through."""

    def __init__(self, manager: CheckpointManager[Position], file: Path) -> None:
        self._manager = manager
        self._file = file
        self.position = restore(manager)
        self._saved = self.position

    def tick(self) -> bool:
        """Look at the file, and save the position if it has changed; False where it cannot."""
        self.position = advance(self.position, self._file)
        if self.position == self._saved:
            return True  # nothing new: no wear on the disk
        try:
            self._manager.create(KEY, self.position)
        except (StoreError, LockTimeoutError) as error:
            # A full disk, say. The old position stays, and the next tick tries again.
            log.warning("not saved: %s", error)
            return False
        self._saved = self.position
        return True


def main() -> int:
    """Run until a signal comes; return the exit status."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    state, file, *rest = sys.argv[1:]
    seconds = float(rest[0]) if rest else 5.0

    # A handler runs in the middle of whatever the program does, a save too. It must not save, nor
    # take a lock. This queue may be used in one, and it ends the wait below at once.
    signals: SimpleQueue[int] = SimpleQueue()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, _frame: signals.put(number))

    try:
        daemon = Daemon(CheckpointManager(FileStore(state, history=2), POSITION), Path(file))
    except CheckpointError as error:
        log.error("cannot start: %s", error)  # noqa: TRY400 - the message says all of it
        return 1
    print(f"ready at line {daemon.position.lines}", flush=True)

    while True:
        daemon.tick()
        try:
            number = signals.get(timeout=seconds)
        except Empty:
            continue
        saved = daemon.tick()
        print(f"{signal.Signals(number).name}: ends at line {daemon.position.lines}", flush=True)
        return 0 if saved else 1


if __name__ == "__main__":
    sys.exit(main())
