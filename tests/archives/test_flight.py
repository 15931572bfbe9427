"""Leases tell who has an archive open, and nobody is hurt by them: not we, not a writer."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from checkpointkit.archives.disk import flight
from checkpointkit.archives.disk.directory import ArchiveCalls
from checkpointkit.archives.disk.flight import Use, hold, in_use, still_held, written
from tests.archives.disk import calls_with, failing, opener
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SYSTEM = ArchiveCalls()


def has_leases(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except (AttributeError, OSError):
        return False
    else:
        return True
    finally:
        os.close(fd)


@pytest.fixture
def file(quick: Path) -> Path:
    made = quick / "checkpoint-a.tar"
    made.write_bytes(b"archive")
    if not has_leases(made):
        pytest.skip("this file system has no leases")
    return made


@contextmanager
def reading(file: Path) -> Iterator[int]:
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_file_that_nobody_has_open_is_free(file: Path) -> None:
    with reading(file) as fd:
        assert written(fd, SYSTEM) is Use.FREE
        assert in_use(fd, SYSTEM) is Use.FREE
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK, "both were given back"


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_who_has_it_open_for_writing_is_seen(file: Path, flags: int) -> None:
    with opener(file, flags) as child, reading(file) as fd:
        assert written(fd, SYSTEM) is Use.TAKEN
        assert in_use(fd, SYSTEM) is Use.TAKEN
        child.go()
        child.end()
        assert written(fd, SYSTEM) is Use.FREE


def test_a_reader_does_not_count_as_a_writer_but_uses_it(file: Path) -> None:
    with opener(file, os.O_RDONLY) as child, reading(file) as fd:
        assert written(fd, SYSTEM) is Use.FREE
        assert in_use(fd, SYSTEM) is Use.TAKEN
        child.go()
        child.end()
        assert in_use(fd, SYSTEM) is Use.FREE


def test_who_has_mapped_it_uses_it(file: Path) -> None:
    def work(child: Child) -> None:
        with file.open("rb") as opened:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        child.say("mapped")
        child.wait_for_word()
        mapped.close()

    with Child(work) as child, reading(file) as fd:
        assert child.line() == "mapped"
        assert in_use(fd, SYSTEM) is Use.TAKEN
        child.go()
        child.end()


def test_a_second_descriptor_of_this_process_uses_it_too(file: Path) -> None:
    with reading(file) as fd, reading(file):
        assert in_use(fd, SYSTEM) is Use.TAKEN


class BreakingCalls(ArchiveCalls):
    """Has another process open the file while the lease is held."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.writer: Child | None = None
        self.set_lease = self._set_lease_and_break_it

    def _set_lease_and_break_it(self, fd: int, kind: int) -> None:
        ArchiveCalls.set_lease(fd, kind)
        if kind == fcntl.F_UNLCK:
            return

        def work(child: Child) -> None:
            os.close(fd)  # of the same open file: else the lease would stay with this process
            child.say("opening")
            with self.file.open("r+b") as opened:
                opened.write(b"changed")
            child.say("opened")

        self.writer = Child(work)
        assert self.writer.line() == "opening"
        while _type_of_lease(self.file.stat().st_ino) == "ACTIVE":
            time.sleep(0.001)


def _type_of_lease(inode: int) -> str:
    """Return what the kernel says of the lease on an inode: ACTIVE, BREAKING or BREAKER."""
    with open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            fields = line.split()
            if fields[1] == "LEASE" and fields[5].endswith(f":{inode}"):
                return fields[2]
    return ""


@pytest.mark.parametrize("kind", ["default", "handler"])
@pytest.mark.parametrize("ask", [written, in_use])
def test_a_lease_that_is_broken_kills_nobody_and_keeps_no_writer_waiting(
    file: Path, ask: Callable[[int, ArchiveCalls], Use], kind: str
) -> None:
    def work(child: Child) -> None:
        came: list[int] = []
        if kind == "handler":
            signal.signal(signal.SIGIO, lambda number, frame: came.append(number))
        else:
            signal.signal(signal.SIGIO, signal.SIG_DFL)
        calls = BreakingCalls(file)
        with reading(file) as fd:
            child.say(str(ask(fd, calls)))
        assert calls.writer is not None
        assert calls.writer.end() == ["opened"]
        assert came == [], "no signal that somebody else may be waiting for"
        child.say("alive")

    with Child(work) as child:
        assert child.end() == ["Use.FREE", "alive"]
        assert child.status == 0
    assert file.read_bytes() == b"changed"


def test_a_lease_that_is_kept_tells_that_somebody_has_come(file: Path) -> None:
    def work(child: Child) -> None:
        with reading(file) as fd:
            assert hold(fd, SYSTEM) is Use.FREE
            assert still_held(fd, SYSTEM)
            child.say("held")
            child.wait_for_word()
            assert not still_held(fd, SYSTEM)
        child.say("alive")

    with Child(work) as child:
        assert child.line() == "held"
        with pytest.raises(BlockingIOError):
            os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        child.go()
        assert child.end() == ["alive"]
        assert child.status == 0


def test_a_killed_holder_keeps_nobody_waiting(file: Path) -> None:
    def work(child: Child) -> None:
        fd = os.open(file, os.O_RDONLY)
        assert hold(fd, SYSTEM) is Use.FREE
        child.say("held")
        child.wait_for_word()

    with Child(work) as child:
        assert child.line() == "held"
        child.kill()
        child.wait()
        with reading(file) as fd:
            assert in_use(fd, SYSTEM) is Use.FREE


@pytest.mark.parametrize("name", ["set_lease_signal", "set_lease"])
@pytest.mark.parametrize("ask", [written, in_use, hold])
@pytest.mark.parametrize(
    ("error", "use"),
    [
        (errno.EACCES, Use.UNKNOWN),
        (errno.EINVAL, Use.UNKNOWN),
        (errno.ENOSYS, Use.UNKNOWN),
        (errno.EOPNOTSUPP, Use.UNKNOWN),
        (errno.EPERM, Use.UNKNOWN),
        (errno.ENOLCK, Use.UNKNOWN),
        (errno.EAGAIN, Use.TAKEN),
        (errno.EBUSY, Use.TAKEN),
    ],
)
def test_what_the_kernel_will_not_say_is_unknown(
    tmp_path: Path, name: str, ask: Callable[[int, ArchiveCalls], Use], error: int, use: Use
) -> None:
    calls = calls_with(**{name: failing(error)})
    (tmp_path / "file").touch()
    with reading(tmp_path / "file") as fd:
        assert ask(fd, calls) is use


def test_another_error_is_one(tmp_path: Path) -> None:
    calls = calls_with(set_lease=failing(errno.EIO))
    (tmp_path / "file").touch()
    with reading(tmp_path / "file") as fd, pytest.raises(OSError, match="Input/output"):
        written(fd, calls)


def test_elsewhere_than_on_linux_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fcntl, "F_SETSIG", raising=False)
    (tmp_path / "file").touch()
    with reading(tmp_path / "file") as fd:
        assert written(fd, SYSTEM) is Use.UNKNOWN
        assert in_use(fd, SYSTEM) is Use.UNKNOWN


@pytest.mark.root
def test_a_file_of_another_user_is_unknown_to_who_may_not_lease_it(file: Path) -> None:
    def work(child: Child) -> None:
        os.chmod(file, 0o644)
        with reading(file) as fd:
            try:
                os.setgid(65534)
                os.setuid(65534)
            except PermissionError:
                child.say("it takes root to become another user")
            else:
                child.say(str(written(fd, SYSTEM)))

    with Child(work) as child:
        (said,) = child.end()
    if said.startswith("it takes root"):
        pytest.skip(said)
    assert said == "Use.UNKNOWN"


def test_every_outcome_has_its_words() -> None:
    assert [use.value for use in flight.Use] == ["free", "taken", "unknown"]
