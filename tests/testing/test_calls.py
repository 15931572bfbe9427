"""System calls that are recorded, that fail, that lose data, and that kill."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest

from checkpointkit import FileStore
from checkpointkit.errors import StoreError
from checkpointkit.stores.files.system import SystemCalls
from checkpointkit.testing.calls import (
    CALLS,
    FailingCalls,
    KillingCalls,
    LosingCalls,
    RecordedCalls,
)
from tests.support.children import Child
from tests.support.states import raw

if TYPE_CHECKING:
    from pathlib import Path

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
PAGE = 4096
NOT_ON_FILES = {"monotonic", "open_files_limit", "sleep", "urandom"}


def test_every_call_of_the_store_that_concerns_a_file_is_recorded() -> None:
    public = {name for name in dir(SystemCalls) if not name.startswith("_")}
    assert public - NOT_ON_FILES == CALLS


def test_a_call_that_failed_by_itself_is_an_attempt_and_no_event(quick: Path) -> None:
    calls = RecordedCalls(quick)
    with pytest.raises(FileNotFoundError):
        calls.open(quick / "missing", os.O_RDONLY)
    assert (calls.attempts, calls.events) == (["open missing"], [])
    calls.mkdir(quick / "a")
    calls.stat(quick / "a")
    assert calls.changes() == ["mkdir a"]
    assert calls.attempts == calls.events == []


def test_a_descriptor_is_described_by_its_path_until_it_is_closed(quick: Path) -> None:
    calls = RecordedCalls(quick)
    root = calls.open(quick, os.O_RDONLY)
    calls.mkdir("a", dir_fd=root)
    inner = calls.open("a", os.O_RDONLY, dir_fd=root)
    fd = calls.open("file", NEW, 0o600, dir_fd=inner)
    calls.write(fd, b"state")
    calls.rename("file", "moved", src_dir_fd=inner, dst_dir_fd=root)
    calls.close(fd)
    with pytest.raises(OSError, match=r"\[Errno 9\]"):
        calls.close(fd)
    calls.close(inner)
    calls.close(root)
    assert (
        calls.events[3:]
        == [
            "open a/file",
            "write a/file",
            "rename a/file -> moved",
            "close a/file",
            "close a",
            "close .",
        ][-len(calls.events[3:]) :]
    )
    assert "close ?" in calls.attempts, "what is closed twice is nobody's"
    assert (quick / "moved").read_bytes() == b"state"


def test_one_call_fails_or_all_of_them_from_then_on(quick: Path) -> None:
    calls = FailingCalls(quick)
    for for_ever, failing in ((False, [2]), (True, [2, 3, 4])):
        calls.break_at(2, errno.EDQUOT, for_ever=for_ever)
        failed = []
        for number in range(5):
            try:
                calls.stat(quick)
            except OSError as error:
                assert error.errno == errno.EDQUOT
                failed.append(number)
        assert failed == failing
        assert calls.failed == ["stat ."] * len(failing)
        assert len(calls.attempts) == 5
        calls.heal()
        calls.stat(quick)
        assert len(calls.failed) == len(failing), "what has failed stays known"


def test_only_calls_that_match_are_counted(quick: Path) -> None:
    calls = FailingCalls(quick)
    calls.break_at(1, errno.EIO, match=("mkdir", "rmdir a"))
    calls.mkdir(quick / "a")
    calls.stat(quick)
    with pytest.raises(OSError, match="Input/output"):
        calls.rmdir(quick / "a")
    assert calls.failed == ["rmdir a"]
    assert (quick / "a").is_dir(), "a failing call does nothing"


def test_a_failing_close_has_closed(quick: Path) -> None:
    calls = FailingCalls(quick)
    fd = calls.open(quick, os.O_RDONLY)
    calls.break_at(0, errno.EINTR)
    with pytest.raises(InterruptedError):
        calls.close(fd)
    with pytest.raises(OSError, match=r"\[Errno 9\]"):
        os.fstat(fd)


def test_reads_and_writes_move_what_they_are_allowed_to(quick: Path) -> None:
    calls = FailingCalls(quick)
    fd = calls.open(quick / "file", os.O_RDWR | os.O_CREAT)
    calls.shorten_at(1, lambda asked: asked // 2)
    assert calls.write(fd, b"0123") == 4
    assert calls.pwrite(fd, memoryview(b"abcdef"), 4) == 3
    assert calls.write(fd, b"") == 0
    assert calls.shortened == ["pwrite file"]
    calls.shorten_at(0, lambda asked: 1, for_ever=True)
    os.lseek(fd, 0, os.SEEK_SET)
    assert (calls.read(fd, 9), calls.read(fd, 9), calls.pread(fd, 9, 5)) == (b"0", b"1", b"b")
    assert len(calls.shortened) == 3
    calls.heal()
    assert calls.pread(fd, 9, 0) == b"0123abc"
    assert calls.failed == []
    calls.close(fd)


def test_what_a_failed_sync_left_is_lost_and_what_is_written_later_is_kept(quick: Path) -> None:
    calls = LosingCalls(quick)
    fd = calls.open(quick / "file", NEW, 0o600)
    calls.write(fd, b"a" * 3 * PAGE)
    calls.fsync(fd)
    calls.pwrite(fd, b"bb", PAGE - 1)  # in two pages
    calls.break_at(0, errno.EIO, match="fsync")
    with pytest.raises(OSError, match="Input/output"):
        calls.fsync(fd)
    calls.pwrite(fd, b"c", PAGE + 1)  # the second page is dirty again
    calls.pwrite(fd, b"d", 4 * PAGE)
    calls.fsync(fd)
    calls.pwrite(fd, b"e", 0)  # not synced
    calls.close(fd)
    assert (quick / "file").read_bytes()[:1] == b"e", "readers are shown what is in memory"
    assert calls.lose() == ["file"]
    data = (quick / "file").read_bytes()
    assert data[: PAGE + 2] == b"a" * PAGE + b"bc"
    assert data[PAGE + 2 :] == b"a" * (2 * PAGE - 2) + bytes(PAGE) + b"d"
    assert calls.lose() == []


def test_what_was_never_followed_or_only_read_is_not_lost(quick: Path) -> None:
    (quick / "old").write_bytes(b"old")
    (quick / "other").write_bytes(b"other")
    calls = LosingCalls(quick)
    reading = calls.open(quick / "other", os.O_RDONLY)
    fd = calls.open("old", os.O_RDWR, dir_fd=calls.open(quick, os.O_RDONLY))
    calls.write(fd, b"new")
    again = calls.open(quick / "old", os.O_WRONLY)  # still the same file, and still not synced
    calls.fsync(reading)
    calls.break_at(0, errno.EIO, match="fsync")
    with pytest.raises(OSError, match="Input/output"):
        calls.fsync(reading)
    assert calls.lose() == ["old"]
    assert (quick / "old").read_bytes() == b"old"
    for each in (reading, fd, again):
        calls.close(each)


def test_a_file_is_cut_or_grows_at_once(quick: Path) -> None:
    calls = LosingCalls(quick)
    fd = calls.open(quick / "file", NEW, 0o600)
    calls.write(fd, b"0123456789")
    calls.fsync(fd)
    calls.ftruncate(fd, 4)
    calls.ftruncate(fd, 6)
    assert calls.lose() == []
    assert (quick / "file").read_bytes() == b"0123\0\0"
    calls.close(fd)


def test_a_new_file_with_the_inode_of_a_lost_one_begins_empty(quick: Path) -> None:
    calls = LosingCalls(quick)
    for data in (b"first", b"second"):
        fd = calls.open(quick / "file", NEW, 0o600)
        calls.write(fd, data)
        if data == b"first":
            calls.fsync(fd)
        calls.close(fd)
        if data == b"first":
            calls.unlink(quick / "file")
    assert calls.lose() == ["file"]
    assert (quick / "file").read_bytes() == b""


def test_a_process_is_killed_ahead_of_the_call(quick: Path) -> None:
    directory = quick / "store"
    FileStore(directory).close()

    def work(child: Child) -> None:
        calls = KillingCalls(directory)
        store = FileStore(directory, system=calls)
        for n in range(3):
            calls.forget()
            store.write("node-a", raw(b"%d" % n))
        calls.left = next(n for n, e in enumerate(calls.attempts) if e.startswith("rename"))
        child.say("ready")
        store.write("node-a", raw(b"3"))
        child.say("alive")

    with Child(work) as child:
        assert child.end() == ["ready"]
        assert child.status == -signal.SIGKILL
    assert (directory / "node-a" / "4").read_bytes() == b"3", "linked"
    with FileStore(directory) as store:
        assert store.read("node-a") == b"2", "and not renamed"


def test_another_signal_may_be_sent_and_the_call_goes_on(
    quick: Path, request: pytest.FixtureRequest
) -> None:
    seen = []
    calls = KillingCalls(quick, signal.SIGUSR1)
    old = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(list(calls.events)))
    request.addfinalizer(lambda: signal.signal(signal.SIGUSR1, old))
    calls.left = 1
    for name in ("a", "b", "c"):
        calls.mkdir(quick / name)
    assert seen == [["mkdir a"]]
    assert calls.events == ["mkdir a", "mkdir b", "mkdir c"]


def test_the_calls_serve_a_store_as_they_are(quick: Path) -> None:
    for kind in (RecordedCalls, FailingCalls, LosingCalls, KillingCalls):
        directory = quick / kind.__name__
        calls = kind(directory)
        with FileStore(directory, system=calls, reserve=100) as store:
            for n in range(3):
                store.write("node-a", raw(b"%d" % n))
            store.remove("node-a")
            assert store.keys() == ()
        if isinstance(calls, LosingCalls):
            assert calls.lose() == [".lock/43"], "the second slot, which waits for no sync"
        with FileStore(directory) as store:
            assert store.write("node-a", raw(b"")).generation == 4


def test_a_store_error_has_the_injected_one_as_its_cause(quick: Path) -> None:
    calls = FailingCalls(quick / "store")
    with FileStore(quick / "store", system=calls) as store:
        calls.break_at(0, errno.EROFS, match="open .tmp")
        with pytest.raises(StoreError) as caught:
            store.write("node-a", raw(b""))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EROFS
