"""The bars of archives: `python -m benchmarks.archives`.

- look: a scan and a plan of 100,000 archives of 9 KiB, 20 of each container, of which 10 are kept;
  with nothing known of them, and from the inventory. The floor is what no program can do without:
  to list the directory with the status of each file, and, where nothing is known, to open each
  archive and read it once. Inventory and archives are on a tmpfs, where there is one.
- plan: a plan of 1,000,000 archives that are on no disk, in a process of its own.
- read: the identity of a plain archive of 4 GiB, most of which is a hole.

Times are processor time, on one core.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen
from tests.archives.making import END, START, archive, config, header, member, name_of, spec

from checkpointkit.archives.model import Archive, Container, Space, State
from checkpointkit.archives.plan import plan
from checkpointkit.archives.policies import Policy
from checkpointkit.archives.retention import Retention
from checkpointkit.archives.tarscan import read_archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.archives.plan import Plan
    from checkpointkit.archives.retention import Look

T = TypeVar("T")

COLD_BAR: Final = 15.0
KNOWN_BAR: Final = 2.0
PLAN_BAR: Final = 10.0
MEMORY_BAR: Final = 2**30
READ_BAR: Final = 2**20
EACH: Final = 20
"""Archives of each container."""
KEPT: Final = 10
SHARE = 20
"""What part of the archives is left by `--quick`."""
LARGE = 4 * 2**30
NINE_KIB: Final = 9 * 2**10
_FAST: Final = "/dev/shm"  # noqa: S108 - a directory of our own below it
_NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)
_LATER: Final = timedelta(hours=1)
_BUFFER: Final = 2**16


@frozen
class Taken:
    """What a look has cost.

    Attributes:
        cold: Seconds of a scan and a plan, with nothing known; the inventory is written, too.
        cold_floor: Seconds of listing, and of reading each archive once.
        known: Seconds of a scan and a plan from the inventory.
        known_floor: Seconds of listing.
        deletions: How many archives are to go.
    """

    cold: float
    cold_floor: float
    known: float
    known_floor: float
    deletions: int


def fill(directory: str, count: int) -> None:
    """Write so many archives, as CRI-O does."""
    for number in range(count):
        container = _container(number)
        at = START + number % EACH * 60
        data = archive(container, checkpointed_ns=at * 10**9)
        data += bytes(max(0, NINE_KIB - len(data)))
        with open(os.path.join(directory, name_of(container, at)), "wb") as file:
            file.write(data)


def _container(number: int) -> Container:
    which = number // EACH
    return Container(f"team-{which % 40}", f"web-{which:05}-7d9c6bf5b4-x2k9p", "app")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds of processor time that something takes, and what it returns."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def profiled(work: Callable[[], T]) -> T:
    """Do something, and show where the time goes."""
    profiler = cProfile.Profile(time.process_time)
    result = profiler.runcall(work)
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(30)
    return result


def listed(directory: str) -> int:
    """Look at the status of each file."""
    with os.scandir(directory) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)


def read_once(directory: str) -> int:
    """Look at the status of each file, and read it."""
    total = 0
    fd = os.open(directory, os.O_RDONLY)
    with os.scandir(fd) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            file = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
            total += len(os.pread(file, _BUFFER, 0))
            os.close(file)
    os.close(fd)
    return total


def retention(directory: str, state: str) -> Retention:
    """Return what looks at a directory, at a time when all archives have long been written."""
    return Retention(directory, Policy(), state=state, clock=lambda: datetime.now(UTC) + _LATER)


def looks(count: int, place: str | None = None, *, profile: bool = False) -> Taken:
    """Measure looks at so many archives.

    Args:
        count: How many.
        place: Where to make a directory for them.
        profile: Show where the time goes, too.
    """
    with (
        tempfile.TemporaryDirectory(dir=place) as directory,
        tempfile.TemporaryDirectory(dir=place) as state,
    ):
        fill(directory, count)
        listed(directory)
        first_look = retention(directory, state).look
        cold, found = timed(partial(profiled, first_look) if profile else first_look)
        first = _seen(found)
        # As after a restart: nothing of the first look is there, or the collector goes through it.
        del found
        gc.collect()
        known, second = timed(retention(directory, state).look)
        cold_floor, total = timed(lambda: read_once(directory))
        known_floor, _ = timed(lambda: listed(directory))
        assert total == count * NINE_KIB
        assert first == (count, (), _going(second)), first[:2]
        assert _seen(second) == (0, (), first[2]), second.problems
        if profile:
            profiled(retention(directory, state).look)
        return Taken(cold, cold_floor, known, known_floor, len(_going(second)))


def _seen(look: Look) -> tuple[int, tuple[str, ...], list[str]]:
    return look.scan.read, look.problems, _going(look)


def _going(look: Look) -> list[str]:
    return sorted(decision.archive.name for decision in look.plan.deletions)


def synthetic(count: int) -> list[Archive]:
    """Return archives that are on no disk."""
    containers = [_container(number) for number in range(0, count, EACH)]
    found = []
    for number in range(count):
        container = containers[number // EACH]
        at_ns = (START + number % EACH * 60) * 10**9
        found.append(
            Archive(
                name=f"checkpoint-{number}.tar",
                size=NINE_KIB,
                device=1,
                inode=number,
                mtime_ns=at_ns,
                ctime_ns=at_ns,
                state=State.COMPLETE,
                container=container,
                checkpointed_ns=at_ns,
                named_ns=at_ns,
                first_seen_ns=at_ns,
            )
        )
    return found


def planned(count: int) -> tuple[float, Plan]:
    """Return the seconds of a plan of so many archives, and the plan."""
    found = synthetic(count)
    return timed(lambda: plan(found, Policy(), _NOW, space=Space(2**40, 2**39)))


def planned_apart(count: int) -> tuple[float, int, int]:
    """Return seconds, most bytes of memory, and deletions of a plan in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.archives", "--only-plan", str(count)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, memory, deletions = said.split()
    return float(seconds), int(memory), int(deletions)


def sparse(directory: str, size: int) -> str:
    """Make an archive of that size with one large image, which is a hole."""
    path = os.path.join(directory, "checkpoint-sparse.tar")
    image = size - 2**20
    image -= image % 512
    with open(path, "wb") as file:
        file.write(member("stats-dump", b"stats") + header(b"checkpoint/pages-1.img", image))
        file.seek(image, os.SEEK_CUR)
        file.write(member("config.dump", config()) + member("spec.dump", spec("crio")))
        file.write(END)
        file.truncate(size)
    return path


def bytes_read(work: Callable[[], T]) -> tuple[int, T]:
    """Return how many bytes this process reads to do something, and what it returns."""
    before = _read_so_far()
    result = work()
    after = _read_so_far()
    return after - before - (_read_so_far() - after), result


def _read_so_far() -> int:
    with open("/proc/self/io", "rb", buffering=0) as file:
        return int(file.read().split()[1])


def identity_read(directory: str, size: int) -> tuple[int, Container | None]:
    """Return how many bytes are read of such an archive, and whose it is."""
    fd = os.open(sparse(directory, size), os.O_RDONLY)
    try:
        read, reading = bytes_read(lambda: read_archive(fd, size))
    finally:
        os.close(fd)
    assert reading.state is State.COMPLETE, reading
    return read, reading.container


def line(name: str, value: str, *notes: str) -> str:
    """Return a line of the table."""
    return f"{name:34}{value:>14}" + "".join(f"{note:>22}" for note in notes)


def seconds(name: str, taken: float, bar: float, floor: float) -> str:
    """Return a line for a time, its bar, and how often the floor fits into it."""
    ratio = f"{taken / floor:.1f} x floor {floor:.2f} s"
    return line(name, f"{taken:.2f} s", f"bar: {bar:g} s", ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the archives")
    parser.add_argument("--profile", action="store_true", help="show where the time goes, too")
    parser.add_argument("--only-plan", type=int, default=0, metavar="COUNT", help="for itself")
    options = parser.parse_args()
    share = SHARE if options.quick else 1
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.only_plan:
        taken, made = planned(options.only_plan)
        # kibibytes on Linux
        print(
            taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10, len(made.deletions)
        )
        return
    place = _FAST if os.path.isdir(_FAST) else None
    count = 100_000 // share // EACH * EACH
    print(f"{count:,} archives of 9 KiB, {EACH} of each container, load {os.getloadavg()[0]:.1f}")
    cost = looks(count, place, profile=options.profile)
    assert cost.deletions == count * (EACH - KEPT) // EACH, cost
    print(seconds("scan and plan, nothing known", cost.cold, COLD_BAR, cost.cold_floor))
    print(seconds("scan and plan, from the inventory", cost.known, KNOWN_BAR, cost.known_floor))
    count = 1_000_000 // share
    taken, memory, _ = planned_apart(count)
    bars = f"bars: {PLAN_BAR:g} s", f"{MEMORY_BAR // 2**20:,} MiB"
    print(line(f"plan of {count:,}", f"{taken:.2f} s", *bars, f"{memory // 2**20:,} MiB"))
    with tempfile.TemporaryDirectory(dir=place) as directory:
        read, whose = identity_read(directory, LARGE)
    assert whose is not None
    bar = f"bar: {READ_BAR // 2**10:,} KiB"
    print(line("identity in 4 GiB, bytes read", f"{read / 2**10:.1f} KiB", bar))


if __name__ == "__main__":
    main()
