"""Play the workloads, cut them off everywhere, and have each state judged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import Factory, define, frozen

from checkpointkit.errors import CheckpointError
from checkpointkit.stores.base import Store
from checkpointkit.stores.files.system import SystemCalls
from checkpointkit.testing.crash.disk import Disk
from checkpointkit.testing.crash.drawing import draw_operations, draw_tree
from checkpointkit.testing.crash.judge import Judge, expectations
from checkpointkit.testing.crash.log import Log
from checkpointkit.testing.crash.numbers import draw
from checkpointkit.testing.crash.states import Cutoff, Depth, certain_beginning, cut_off, states
from checkpointkit.testing.crash.workloads import WORKLOADS, Scene, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from checkpointkit.testing.crash.recording import RecordingCalls
    from checkpointkit.testing.crash.tree import Operation, Tree

StoreMaker = Callable[[Path, SystemCalls], Store]
"""`open_store(directory, system)` opens the store that is tested, below the directory."""

QUICK: Final = Depth(cuts=64, names=12, contents=6, random=2)
"""For each test run: some thousands of states."""
DEEP: Final = Depth(cuts=10_000, names=512, contents=60, random=12)
"""For a run of many minutes: more than a hundred thousand."""
_OF_THE_COURT: Final = 10**9
"""Numbers above it are of what a judged store made, and of nothing that a workload made."""
_MOST_VIOLATIONS: Final = 5
"""Of one workload; the first tell enough."""


@frozen
class CrashViolation:
    """A state that was not promised.

    Attributes:
        workload: The name of what was cut off.
        problems: What is wrong, a line each.
        operations: What was done before the cut, a line each.
        state: What the cut left, a line each.
    """

    workload: str
    problems: tuple[str, ...]
    operations: tuple[str, ...] = ()
    state: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.workload}: {problem}" for problem in self.problems]
        if self.operations:
            lines += ["  done before the power cut (* not synced):"]
            lines += [f"    {line}" for line in self.operations]
        if self.state:
            lines += ["  found after it:", *(f"    {line}" for line in self.state)]
        return "\n".join(lines)


@define
class CrashReport:
    """The outcome of a run.

    Attributes:
        judged: How many distinct states were judged, by workload.
        taken_back: In how many of them a state was gone that a reader had seen before its
            directory was synced; the one thing that a power cut may take back.
        violations: What broke a promise.
        seconds: How long it took.
    """

    judged: Counter[str] = Factory(Counter)
    taken_back: int = 0
    violations: list[CrashViolation] = Factory(list)
    seconds: float = 0.0

    def __str__(self) -> str:
        total = self.judged.total()
        rate = total / self.seconds if self.seconds else 0
        head = (
            f"{total:,} states after a power cut judged in {self.seconds:.1f} s ({rate:,.0f} a "
            f"second), {self.taken_back:,} of them without what a reader saw before its sync, "
            f"{len(self.violations)} violations"
        )
        return "\n".join([head, *map(str, self.violations)])


class _KilledError(BaseException):
    """What a killed process sees: nothing that an `except Exception` could catch."""


def enumerate_crashes(
    open_store: StoreMaker,
    directory: Path,
    workloads: Iterable[Workload] = WORKLOADS,
    *,
    depth: Depth = QUICK,
    seed: int = 0,
) -> CrashReport:
    """Judge the states that power cuts may leave of a store.

    Each workload is played once with real system calls that are recorded. For a cut after each of
    them, the states that a file system may legally leave are built in a directory, and the real
    store is opened there: it has to show for each key the last state that it acknowledged or a
    newer one, with its history and without an error, and to go on from there. The same seed gives
    the same states.

    Args:
        open_store: Opens the store that is tested, below a directory, with the given system
            calls. It has to do with those whatever it does to the disk.
        directory: Where to work; an empty directory, best in memory (`/dev/shm`).
        workloads: What is cut off.
        depth: How much is tried at each cut.
        seed: Draws the samples where there are too many states for all.

    Returns:
        How many were judged, and what broke a promise.

    Example:
        >>> from pathlib import Path
        >>> from checkpointkit import FileStore
        >>> Path("crash").mkdir()
        >>> report = enumerate_crashes(
        ...     lambda path, system: FileStore(path / "store", system=system),
        ...     Path("crash"),
        ...     WORKLOADS[1:2],
        ... )
        >>> report.violations
        []
        >>> report.judged.total() > 100
        True
    """
    report = CrashReport()
    begun = time.monotonic()
    for number, workload in enumerate(workloads):
        _Run(open_store, directory / str(number), workload, depth, seed, report).play()
    report.seconds = time.monotonic() - begun
    return report


@define
class _Trace:
    """What one play of a workload has done.

    Attributes:
        start: What was there before.
        operations: What was done.
        log: What was acknowledged.
    """

    start: Tree
    operations: list[Operation]
    log: Log

    def cut_off(self, cuts: Iterable[int], random: Random, depth: Depth) -> Iterator[Cutoff]:
        """Tell what each cut finds; they have to ascend, since what is certain stays so."""
        certain, settled = self.start.copy(), 0
        for cut in cuts:
            pending = self.operations[settled:cut]
            beginning = certain_beginning(pending)
            for operation in pending[:beginning]:
                certain.apply(operation)
            settled += beginning
            yield cut_off(certain, pending[beginning:], random, depth)


class _Run:
    """One workload: its plays, their cuts, their states."""

    def __init__(
        self,
        open_store: StoreMaker,
        directory: Path,
        workload: Workload,
        depth: Depth,
        seed: int,
        report: CrashReport,
    ) -> None:
        directory.mkdir()
        self._open_store = open_store
        self._directory = directory
        self._workload = workload
        self._depth = depth
        # The same states for the same seed; nothing here is a secret.
        self._random = Random(f"{seed} {workload.name}")  # noqa: S311
        self._report = report
        self._drawn = draw()
        self._judged: dict[tuple[object, ...], set[int]] = {}
        self._violations = 0

    def play(self) -> None:
        court = Disk(self._directory / "court", _OF_THE_COURT)
        for trace in self._traces():
            judge = Judge(trace.log)
            cuts = self._cuts(len(trace.operations))
            cutoffs = trace.cut_off(cuts, self._random, self._depth)
            for cut, cutoff in zip(cuts, cutoffs, strict=True):
                self._cut(court, judge, trace, cut, cutoff)
                if self._violations >= _MOST_VIOLATIONS:
                    court.clear()
                    return
        court.clear()

    def _cuts(self, operations: int) -> Sequence[int]:
        cuts = range(operations + 1)
        if len(cuts) <= self._depth.cuts:
            return cuts
        return sorted(self._random.sample(cuts, self._depth.cuts))

    def _traces(self) -> Iterator[_Trace]:
        """Play the workload; once, or with a kill or another writer at each of its operations."""
        workload = self._workload
        if workload.killed is None and workload.meanwhile is None:
            yield self._record(0)[0]
            return
        at, reached = 0, True
        while reached:
            trace, reached = self._record(at)
            yield trace
            at += 1

    def _record(self, at: int) -> tuple[_Trace, bool]:
        """Play it, with what happens ahead of operation `at`; and tell whether there was one."""
        workload = self._workload
        disk = Disk(self._directory / "stage")
        calls = disk.calls
        log = Log(lambda: len(calls.operations))
        scene = Scene(partial(self._open_store, disk.path, calls), log)
        countdown = _Countdown(at)
        start = calls.tree
        try:
            if workload.prepare is not None:
                before = Scene(scene.open_store, Log(log.now))
                workload.prepare(before)
                log.note_all(before.store())
                before.close()
            calls.begin()
            start = calls.tree.copy()
            if workload.killed is not None:
                self._kill(scene, calls, countdown, workload.killed)
            elif workload.meanwhile is not None:
                calls.before = partial(
                    self._come_in_between, scene, calls, countdown, workload.meanwhile
                )
            calls.changed = scene.readers_look
            workload.run(scene)
        except CheckpointError as error:
            problem = f"it failed: {type(error).__name__}: {error}"
            self._violate((problem,), start, calls.operations, calls.tree)
        operations = calls.in_order()
        calls.before = calls.changed = None
        scene.close()
        disk.clear()
        return _Trace(start, operations, log), countdown.reached

    def _kill(
        self,
        scene: Scene,
        calls: RecordingCalls,
        countdown: _Countdown,
        work: Callable[[Scene], None],
    ) -> None:
        """Do some work in what counts as a process of its own, and let it die in there."""
        victim = Scene(scene.open_store, scene.log, scene.keys)
        calls.changed = victim.readers_look
        calls.before = countdown.kill
        with suppress(_KilledError):
            work(victim)
        calls.before = calls.changed = None
        victim.close()
        calls.close_all()

    def _come_in_between(
        self,
        scene: Scene,
        calls: RecordingCalls,
        countdown: _Countdown,
        work: Callable[[Scene], None],
    ) -> None:
        if countdown.is_over():
            other = Scene(scene.open_store, scene.log, scene.keys)
            before, calls.before = calls.before, None
            work(other)
            calls.before = before
            other.close()

    def _cut(self, court: Disk, judge: Judge, trace: _Trace, cut: int, cutoff: Cutoff) -> None:
        """Judge the states of one cut."""
        operations = trace.operations[:cut]
        expected = expectations(trace.log, operations)
        context = tuple((key, expectation.key()) for key, expectation in expected.items())
        known = self._judged.setdefault(context, set())
        open_store = partial(self._open_store, court.path, court.calls)
        for number, tree in states(cutoff, self._random, self._depth, self._drawn):
            if number in known:
                continue
            known.add(number)
            court.become(tree)
            verdict = judge.judge(open_store, expected)
            self._report.judged[self._workload.name] += 1
            self._report.taken_back += verdict.taken_back
            if verdict.problems:
                self._violate(verdict.problems, trace.start, operations, tree)
                if self._violations >= _MOST_VIOLATIONS:
                    return

    def _violate(
        self,
        problems: tuple[str, ...],
        start: Tree,
        operations: Sequence[Operation],
        tree: Tree,
    ) -> None:
        self._violations += 1
        drawn = draw_operations(start, operations), draw_tree(tree)
        self._report.violations.append(CrashViolation(self._workload.name, problems, *drawn))


class _Countdown:
    """Counts operations up to the one that something happens ahead of.

    Attributes:
        reached: Whether there was one.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.reached = False

    def is_over(self) -> bool:
        """Count one operation; true once."""
        self._left -= 1
        self.reached = self.reached or self._left < 0
        return self._left == -1

    def kill(self) -> None:
        """Count one operation, and die ahead of it, and of all that follow."""
        if self.is_over() or self.reached:
            raise _KilledError
