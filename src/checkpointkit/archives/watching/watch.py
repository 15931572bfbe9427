"""Looks at a directory of archives whenever something was finished in it, and does what is due.

Nothing that goes wrong in a round ends the watcher: it is said, and tried again. What is decided
is decided by a whole look each time, whatever brought it about.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from attrs import evolve

from checkpointkit.archives.amounts import duration_text
from checkpointkit.archives.model import DEFAULT_NAMES, State
from checkpointkit.archives.retention import Retention
from checkpointkit.archives.watching.changes import Polled, Watched
from checkpointkit.archives.watching.pacing import Pace, settles_after
from checkpointkit.archives.watching.rounds import Journal, Round
from checkpointkit.errors import CheckpointError
from checkpointkit.stopping import Stopped, while_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from checkpointkit.archives.plan import Decision
    from checkpointkit.archives.policies import Policy
    from checkpointkit.archives.retention import Look
    from checkpointkit.archives.watching.changes import Changes, Stopping
    from checkpointkit.archives.watching.orphans import Lookup
    from checkpointkit.stopping import Stop

__all__ = ["Watcher", "run_watch"]

_log: Final = logging.getLogger("checkpointkit.archives")
_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING}
_BATCH: Final = 200
"""Deletions after which it may be time to stop."""
_BREATH: Final = 0.5
"""Seconds between two hints: a directory in which much happens is not listened to all the time."""
_EVERY: Final = 5.0
"""Seconds between two looks at the directory itself."""
_SLACK: Final = 1.0
"""Seconds that are waited beyond the time at which an archive is finished."""


class Watcher:
    """Looks, applies, and waits for the next time, until it is told to stop.

    Args:
        retention: The directory, and what is to be kept.
        changes: Tells that something may have changed.
        stop: Says when it is time to stop.
        pace: When to look.
        settle_ns: How long nothing may have been written to an archive that counts as finished.
        clock: A clock that is never set.
        dry_run: Delete nothing.
        report: Is given each round.
    """

    def __init__(
        self,
        retention: Retention,
        changes: Changes,
        stop: Stopping,
        *,
        pace: Pace,
        settle_ns: int,
        clock: Callable[[], float] = time.monotonic,
        dry_run: bool = False,
        report: Callable[[Round], None] = lambda _: None,
    ) -> None:
        self._retention = retention
        self._changes = changes
        self._stop = stop
        self._pace = pace
        self._settle_ns = settle_ns
        self._clock = clock
        self._dry_run = dry_run
        self._report = report
        self._journal = Journal()

    def run(self) -> None:
        """Work until it is time to stop; the first look comes at once."""
        with suppress(Stopped):
            while not self._stop.is_set():
                self._tell(self._round())
                self._wait()

    def _wait(self) -> None:
        while not self._stop.is_set():
            left = self._pace.due - self._clock()
            if left <= 0:
                return
            if self._changes.wait(left):
                self._pace = self._pace.changed(self._clock())
                self._stop.wait(min(left, _BREATH))

    def _round(self) -> Round:
        began = self._clock()
        self._changes.arm()
        made, settles = Round(dry_run=self._dry_run), None
        try:
            look = self._retention.look(progress=self._check)
            made = _seen(look, made)
            settles = self._settles(look, began)
            if self._dry_run:
                made = evolve(made, due=_due(look.plan.deletions))
            else:
                made = self._apply(look, made)
        except CheckpointError as error:
            made = evolve(made, error=str(error))
        ended = self._clock()
        if made.error:
            self._pace = self._pace.failed(began=began, ended=ended)
        else:
            self._pace = self._pace.looked_at(began=began, ended=ended, settles=settles)
        hinted = (self._changes.problem,) if self._changes.problem else ()
        return evolve(made, problems=(*made.problems, *hinted), took=ended - began)

    def _apply(self, look: Look, made: Round) -> Round:
        """Do what the plan says, in parts: between two of them it may be time to stop."""
        deletions = tuple(look.plan.deletions)
        if deletions:
            self._changes.disarm()  # it would keep the name of each archive that goes
        for at in range(0, len(deletions), _BATCH):
            if self._stop.is_set():
                break
            part = evolve(look.plan, decisions=deletions[at : at + _BATCH])
            try:
                applied = self._retention.apply(evolve(look, plan=part))
            except CheckpointError as error:
                return evolve(made, error=str(error))
            whys = dict.fromkeys(f"archives were not deleted: {why}" for _, why in applied.skipped)
            problems = dict.fromkeys((*made.problems, *applied.problems, *whys))
            made = evolve(
                made,
                deleted=made.deleted + len(applied.deleted),
                freed=made.freed + applied.freed,
                problems=tuple(problems),
            )
        return made

    def _settles(self, look: Look, began: float) -> float | None:
        written = [
            max(archive.mtime_ns, archive.ctime_ns)
            for archive in look.scan.archives
            if archive.state is State.IN_FLIGHT
        ]
        after = settles_after(written, now_ns=look.plan.now_ns, settle_ns=self._settle_ns)
        return None if after is None else began + after + _SLACK

    def _check(self, _done: int, _of: int) -> None:
        if self._stop.is_set():
            raise Stopped

    def _tell(self, made: Round) -> None:
        lines, self._journal = self._journal.told(made)
        for line in lines:
            _log.log(_LEVELS[line.level], "%s", line.text)
        self._report(made)


def _seen(look: Look, made: Round) -> Round:
    deletions = look.plan.deletions
    in_flight = [each for each in look.scan.archives if each.state is State.IN_FLIGHT]
    return evolve(
        made,
        archives=len(look.scan.archives),
        in_flight=len(in_flight),
        planned=len(deletions),
        planned_bytes=sum(each.archive.size for each in deletions),
        unmet=look.plan.unmet,
        problems=look.problems,
        leases=look.scan.leases,
    )


def _due(deletions: Iterable[Decision]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many archives go, and their bytes, by whose they are and by the rule."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for each in deletions:
        whose = each.archive.container
        key = ("unknown" if whose is None else str(whose), each.rule)
        count, size = found.get(key, (0, 0))
        found[key] = (count + 1, size + each.archive.size)
    return found


def run_watch(  # noqa: PLR0913 - what the command line has to say
    path: str,
    policy: Policy,
    *,
    state: str | None,
    stop: Stop,
    names: Sequence[str] = DEFAULT_NAMES,
    settle: timedelta = timedelta(seconds=60),
    interval: timedelta = timedelta(minutes=10),
    poll: bool = False,
    lookup: Lookup | None = None,
    dry_run: bool = False,
    notes: Sequence[str] = (),
    report: Callable[[Round], None] = lambda _: None,
) -> None:
    """Keep what is to be kept of a directory, until it is time to stop.

    The directory need not be there yet, or may go and come back: that is said, and waited for.

    Args:
        path: The directory of the archives.
        policy: What is to be kept.
        state: The directory in which the inventory is kept, with the records of what was deleted.
        stop: Says when it is time to stop; for signals there is `stopping.handling_signals`.
        names: The patterns of archives' names.
        settle: How long nothing may have been written to an archive that counts as finished.
        interval: The longest time without a look.
        poll: Look for changes, rather than have the kernel tell of them.
        lookup: Who knows which pods are gone; None: no archive is an orphan.
        dry_run: Delete nothing; the log says what would be deleted.
        notes: What is to be said of the policy, as `PolicyFile.notes`; logged at the start.
        report: Is given each round.

    Raises:
        MissingExtraError: The extra `watch` is not installed; `poll` does without it.
    """
    seconds, settle_ns = interval.total_seconds(), settle // timedelta(microseconds=1) * 1000
    every = min(_EVERY, seconds)
    changes: Polled | Watched
    if poll:
        changes = Polled(path, stop, clock=time.monotonic, every=every)
    else:
        changes = Watched(path, stop, clock=time.monotonic, names=names, every=every)
    retention = Retention(
        path,
        policy,
        state=state,
        names=names,
        settle_ns=settle_ns,
        lookup=None if lookup is None else while_waiting(lookup, stop),
    )
    watcher = Watcher(
        retention,
        changes,
        stop,
        pace=Pace(seconds),
        settle_ns=settle_ns,
        dry_run=dry_run,
        report=report,
    )
    how = f"at least every {duration_text(interval)}{', deleting nothing' if dry_run else ''}"
    _log.info("watching %s, and looking at it %s", path, how)
    for note in notes:
        _log.warning("%s", note)
    try:
        watcher.run()
    finally:
        changes.disarm()
    _log.info("stopped")
