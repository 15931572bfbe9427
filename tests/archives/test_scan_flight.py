"""What is still written, or changes or vanishes meanwhile, is not taken for a finished archive."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from checkpointkit.archives.disk import scan as scanning
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.disk.scan import SETTLE_NS, scan
from checkpointkit.archives.model import State
from checkpointkit.archives.tarscan import read_archive
from tests.archives.disk import (
    LATER,
    FailingArchiveCalls,
    by_name,
    calls_with,
    failing,
    listing,
    look,
    now_ns,
    opener,
    put,
    states,
)
from tests.archives.making import START, WEB, archive, name_of
from tests.support.calls import descriptors
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.archives.model import Archive

NAME = name_of()


# ------------------------------------------------------------------------------ in flight


def test_what_was_written_a_moment_ago_is_in_flight_and_not_opened(quick: Path) -> None:
    put(quick / NAME, age=0)
    calls = FailingArchiveCalls(quick)
    found = look(quick, system=calls, now_ns=time.time_ns())
    (one,) = found.archives
    assert (one.state, one.container, one.by_name) == (State.IN_FLIGHT, WEB, True)
    assert found.read == 0
    assert f"open {NAME}" not in calls.attempts


def test_it_settles(quick: Path) -> None:
    path = put(quick / NAME)
    changed = path.stat().st_ctime_ns
    for after, state in ((SETTLE_NS - 1, State.IN_FLIGHT), (SETTLE_NS, State.COMPLETE)):
        assert look(quick, now_ns=changed + after).archives[0].state is state


def test_an_old_mtime_settles_nothing(quick: Path) -> None:
    path = put(quick / NAME, age=10**6)
    found = look(quick, now_ns=path.stat().st_ctime_ns + 1)
    assert found.archives[0].state is State.IN_FLIGHT, "it was copied in a moment ago"


@pytest.mark.parametrize(
    ("ahead", "after"), [(60, 120), (299, 359), (301, 361), (400, 60), (10**9, 60)]
)
def test_an_mtime_that_lies_ahead_is_not_in_flight_for_ever(
    quick: Path, ahead: int, after: int
) -> None:
    path = put(quick / NAME, age=-ahead)
    changed = path.stat().st_ctime_ns
    assert look(quick, now_ns=changed).archives[0].state is State.IN_FLIGHT
    found = look(quick, now_ns=changed + after * 10**9)
    assert found.archives[0].state is State.COMPLETE


def test_a_clock_that_was_set_back_keeps_nothing_in_flight_for_ever(quick: Path) -> None:
    put(quick / NAME, age=0)
    past = now_ns() - LATER - 10**17
    first = look(quick, now_ns=past)
    assert first.archives[0].state is State.IN_FLIGHT
    assert look(quick, by_name(first), now_ns=past + 1).archives[0].state is State.COMPLETE
    changed = evolve(first.archives[0], size=1)
    found = look(quick, {NAME: changed}, now_ns=past + 1)
    assert found.archives[0].state is State.IN_FLIGHT


def test_a_writer_that_holds_it_open_is_waited_for_however_slow_it_is(quick: Path) -> None:
    data = archive()

    def work(child: Child) -> None:
        with (quick / NAME).open("wb", buffering=0) as file:
            for at in range(0, len(data), 1024):
                file.write(data[at : at + 1024])
                child.say("written")
                child.wait_for_word()

    with Child(work) as child:
        known: dict[str, Archive] = {}
        while child.line() == "written":
            found = look(quick, known)
            if found.leases:
                assert states(found) == {NAME: State.IN_FLIGHT}
            known = by_name(found)
            child.go()
        child.wait()
    assert states(look(quick, known)) == {NAME: State.COMPLETE}


def test_a_writer_that_opens_it_again_and_again_is_waited_for(quick: Path) -> None:
    data = archive()
    pieces = [data[at : at + 2048] for at in range(0, len(data), 2048)]
    known: dict[str, Archive] = {}
    for at, piece in enumerate(pieces):
        with (quick / NAME).open("ab") as file:
            file.write(piece)
        changed = (quick / NAME).stat().st_ctime_ns
        found = look(quick, known, now_ns=changed + SETTLE_NS - 1)
        assert states(found) == {NAME: State.IN_FLIGHT}, f"after piece {at}"
        known = by_name(found)
    assert states(look(quick, known)) == {NAME: State.COMPLETE}


@pytest.mark.slow
def test_a_real_slow_writer_is_never_taken_for_finished(quick: Path) -> None:
    """Bytes every 50 ms into a file that stays open, scanned with no settle time at all."""
    data = archive() * 4
    done = threading.Event()

    def write() -> None:
        with (quick / NAME).open("wb", buffering=0) as file:
            for at in range(0, len(data), 2048):
                file.write(data[at : at + 2048])
                time.sleep(0.05)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        found = look(quick, settle_ns=0)
        if found.leases and found.archives:
            seen.append((found.archives[0].state, done.is_set()))
    writer.join()
    assert all(state is State.IN_FLIGHT for state, finished in seen if not finished)


def test_a_reader_keeps_nothing_in_flight(quick: Path) -> None:
    put(quick / NAME)
    with opener(quick / NAME, os.O_RDONLY) as child:
        assert states(look(quick)) == {NAME: State.COMPLETE}
        child.go()
        child.end()


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EACCES, errno.ENOSYS])
def test_without_leases_time_alone_tells_and_it_is_said(quick: Path, error: int) -> None:
    put(quick / NAME)
    with opener(quick / NAME, os.O_WRONLY) as child:
        found = look(quick, system=calls_with(set_lease=failing(error)))
        assert (states(found), found.leases) == ({NAME: State.COMPLETE}, False)
        child.go()
        child.end()


def test_a_writer_that_the_kernel_tells_of_keeps_it_in_flight(quick: Path) -> None:
    put(quick / NAME)
    found = look(quick, system=calls_with(set_lease=failing(errno.EAGAIN)))
    assert (states(found), found.leases, found.read) == ({NAME: State.IN_FLIGHT}, True, 0)


def test_who_has_a_lease_on_it_may_be_deleting_it(quick: Path) -> None:
    put(quick / NAME)
    system = calls_with()
    opens = system.open

    def open_(path: str, flags: int, **options: int) -> int:
        if path == NAME:
            raise BlockingIOError(errno.EWOULDBLOCK, "held")
        return opens(path, flags, **options)

    system.open = open_
    (one,) = look(quick, system=system).archives
    assert (one.state, one.container) == (State.IN_FLIGHT, WEB)


# ------------------------------------------------------------- changes while it is looked at


def write_more(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_another(path: Path) -> None:
    put(path.with_name("another"), b"another").replace(path)


@pytest.mark.parametrize("change", [write_more, replace_by_fifo, replace_by_another])
def test_a_change_ahead_of_its_opening_is_seen(quick: Path, change: Callable[[Path], None]) -> None:
    put(quick / NAME)
    system = calls_with()
    opens = system.open

    def open_(path: str, flags: int, **options: int) -> int:
        if path == NAME:
            change(quick / NAME)
        return opens(path, flags, **options)

    system.open = open_
    found = look(quick, system=system)
    assert states(found) == {NAME: State.IN_FLIGHT}
    assert found.read == 0


def test_a_change_while_it_is_read_is_seen(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(quick / NAME)

    def read(fd: int, size: int, **options: Any) -> object:
        reading = read_archive(fd, size, **options)
        time.sleep(0.01)
        write_more(quick / NAME)
        return reading

    monkeypatch.setattr(scanning, "read_archive", read)
    found = look(quick)
    (one,) = found.archives
    assert one.state is State.IN_FLIGHT
    assert one.size == (quick / NAME).stat().st_size
    monkeypatch.undo()
    assert states(look(quick, by_name(found))) == {NAME: State.BROKEN}, "never cached as complete"


def test_an_archive_that_vanishes_is_left_out(quick: Path) -> None:
    for at in range(3):
        put(quick / name_of(at=START + at))
    calls = FailingArchiveCalls(quick)
    calls.break_at(1, errno.ENOENT, match=f"open {NAME[:20]}")
    assert len(look(quick, system=calls).archives) == 2
    gone = failing(errno.ENOENT)
    assert len(look(quick, system=listing(**{NAME: gone})).archives) == 2


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ELOOP])
@pytest.mark.parametrize("name", ["open", "fstat"])
def test_an_archive_that_cannot_be_read_is_unreadable_with_the_words_of_the_system(
    quick: Path, error: int, name: str
) -> None:
    put(quick / NAME)
    put(quick / name_of(at=START + 1))
    calls = FailingArchiveCalls(quick)
    with ArchiveDirectory.open(str(quick), system=calls) as directory:
        held = descriptors()
        calls.break_at(0, error, match=f"{name} {NAME}")
        found = scan(directory, {}, now_ns=now_ns())
        assert descriptors() == held
    one, other = found.archives
    assert (one.state, other.state) == (State.UNREADABLE, State.COMPLETE)
    assert errno.errorcode[error] in one.problem
    assert (one.container, one.inode) == (None, (quick / NAME).stat().st_ino)
    assert found.problems == (f"archives that cannot be read: 1 ({one.problem})",)


@pytest.mark.parametrize("known", [False, True])
def test_an_entry_whose_status_cannot_be_had_is_unreadable(quick: Path, known: bool) -> None:
    put(quick / NAME)
    put(quick / "other", b"")
    before = by_name(look(quick)) if known else {}
    denied = failing(errno.EACCES)
    system = listing(**{NAME: denied, "other": denied})
    found = look(quick, before, system=system)
    (one,) = found.archives
    assert (one.state, one.size, one.inode) == (State.UNREADABLE, 0, 0)
    assert one.named_ns == START * 10**9
    assert (one.first_seen_ns == look(quick, before).archives[0].first_seen_ns) is known
    assert "EACCES" in one.problem
    assert found.problems == (f"archives that cannot be read: 1 ({one.problem})",)
    assert found.foreign == 1
