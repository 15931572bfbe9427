"""A directory of archives on a real disk, whose system calls are recorded, fail, or kill."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from checkpointkit.archives.disk.apply import apply
from checkpointkit.archives.disk.directory import ArchiveCalls, ArchiveDirectory
from checkpointkit.archives.disk.scan import scan
from checkpointkit.archives.model import Archive, State
from checkpointkit.archives.plan import Decision, Plan
from checkpointkit.archives.planning.reasons import Reason
from checkpointkit.testing.calls import FailingCalls, KillingCalls, RecordedCalls
from tests.archives.making import WEB, archive
from tests.support.children import Child
from tests.support.disks import UNMOUNTABLE, own_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from checkpointkit.archives.disk.apply import Applied
    from checkpointkit.archives.disk.scan import Scan
    from checkpointkit.archives.kept.deletions import DeletionLog

LATER: Final = 10**18
"""Nanoseconds: so long after the files were made, nothing of them is in flight."""
EXTRA: Final = ("scandir", "set_lease_signal", "set_lease", "lease")


class RecordedArchiveCalls(RecordedCalls, ArchiveCalls):
    """Real system calls, leases and listings among them, each of them described first."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__(directory)
        for name in EXTRA:
            setattr(self, name, partial(self._call, name, getattr(ArchiveCalls, name)))


class FailingArchiveCalls(FailingCalls, RecordedArchiveCalls):
    """Some of them fail."""


class KillingArchiveCalls(KillingCalls, RecordedArchiveCalls):
    """Ahead of one of them the process is killed."""


class Entry:
    """An entry of a listing whose status cannot be had, or is another than the disk's."""

    def __init__(self, name: str, stat: Callable[[], os.stat_result]) -> None:
        self.name = name
        self._stat = stat

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        assert not follow_symlinks
        return self._stat()


def calls_with(**changed: Callable[..., Any]) -> ArchiveCalls:
    """Return the real system calls, but for those that are given."""
    calls = ArchiveCalls()
    for name, call in changed.items():
        setattr(calls, name, call)
    return calls


def listing(**stats: Callable[[], os.stat_result]) -> ArchiveCalls:
    """Return system calls that ask `stats`, by name, for the status of entries in a listing."""

    @contextmanager
    def scandir(fd: int) -> Iterator[Iterator[Any]]:
        with os.scandir(fd) as entries:
            yield iter(
                [
                    Entry(entry.name, stats[entry.name]) if entry.name in stats else entry
                    for entry in entries
                ]
            )

    return calls_with(scandir=scandir)


def failing(error: int) -> Callable[..., Any]:
    """Return a call that fails."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return fail


def put(path: Path, data: bytes | None = None, *, age: float = 1000) -> Path:
    """Write an archive, or other bytes, written to so many seconds before `now_ns`."""
    path.write_bytes(archive(container=WEB) if data is None else data)
    return aged(path, age)


def aged(path: Path, age: float) -> Path:
    """Have a file last written to so many seconds ago."""
    moment = path.stat().st_ctime_ns - int(age * 10**9)
    os.utime(path, ns=(moment, moment))
    return path


def now_ns() -> int:
    """Return a time at which nothing that was just made is in flight any more."""
    return time.time_ns() + LATER


def look(path: Path, known: Mapping[str, Archive] | None = None, **options: Any) -> Scan:
    """Scan a directory, long after all of it was made."""
    system = options.pop("system", None)
    options.setdefault("now_ns", now_ns())
    with ArchiveDirectory.open(str(path), system=system) as directory:
        return scan(directory, known or {}, **options)


def by_name(found: Scan) -> dict[str, Archive]:
    """Return the archives of a scan by name, as the inventory keeps them."""
    return {each.name: each for each in found.archives}


def states(found: Scan) -> dict[str, State]:
    """Return what each archive is."""
    return {each.name: each.state for each in found.archives}


def opener(path: Path, flags: int) -> Child:
    """Start a process that has a file open until it is told to go."""

    def work(child: Child) -> None:
        fd = os.open(path, flags)
        child.say("open")
        child.wait_for_word()
        os.close(fd)

    child = Child(work)
    assert child.line() == "open"
    return child


def unchanged(path: Path, names: Sequence[str]) -> bool:
    """Tell whether just these names are there."""
    return sorted(os.listdir(path)) == sorted(names)


def plan_for(found: Scan, names: Sequence[str] | None = None) -> Plan:
    """Return a plan that has all archives of a scan go, or those of these names."""
    goes = Reason("max-age", delete=True, wanted=86_400 * 10**9)
    stays = Reason("no-rule")
    return Plan(
        tuple(
            Decision(each, goes if names is None or each.name in names else stays)
            for each in found.archives
        ),
        (),
        now_ns(),
    )


def go(path: Path, plan: Plan, log: DeletionLog, **options: Any) -> Applied:
    """Apply a plan to a directory."""
    with ArchiveDirectory.open(str(path), system=options.pop("system", None)) as directory:
        return apply(plan, directory, log, clock_ns=lambda: 5, **options)


def reasons(applied: Applied) -> dict[str, str]:
    """Return by name why archives were kept."""
    return {each.name: why for each, why in applied.skipped}


def in_own_mounts(commands: list[list[str]], work: Callable[[], object]) -> None:
    """Run `work` in a child that has mounted what the commands say."""

    def run(child: Child) -> None:
        try:
            own_mounts()
            for command in (["mount", "--make-rprivate", "/"], *commands):
                subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            child.say(f"{UNMOUNTABLE}{error}")
        else:
            work()

    with Child(run) as child:
        said = child.end()
        if said and said[0].startswith(UNMOUNTABLE):
            pytest.skip(said[0])
        assert child.status == 0, "\n".join(said)
