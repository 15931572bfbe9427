"""A full disk: the old state stays, and with a reserve the saves go on."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import CheckpointNotFoundError, StoreError
from checkpointkit.records import recover, verify
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.files.system import SystemCalls
from checkpointkit.testing.calls import RecordedCalls as Watched
from tests.support.children import Child
from tests.support.disks import fill, free, on_small_ext4, on_small_tmpfs
from tests.support.states import NOW, generations, number_of, sealed, temporaries, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OnSmallDisk = Callable[[Path, int, Callable[[Path], object]], None]

SIZE = 4 * 2**20
PAD = 20_000
RESERVE = 128 * 1024


@pytest.fixture(params=["tmpfs", pytest.param("ext4", marks=pytest.mark.root)])
def on_small_disk(request: pytest.FixtureRequest) -> OnSmallDisk:
    if request.param == "tmpfs":
        return on_small_tmpfs
    if os.geteuid() != 0:
        pytest.skip("only root mounts an image")
    return on_small_ext4


class Warnings(logging.Handler):
    """Collects what is logged, in a child, where pytest does not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        logging.getLogger("checkpointkit").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        assert record.levelno == logging.WARNING
        self.texts.append(record.getMessage())


def refused(store: FileStore, key: str, number: int, pad: int = PAD) -> None:
    """See that a save fails for want of space, and says so."""
    with pytest.raises(StoreError, match="ENOSPC") as caught:
        store.write(key, sealed(key, number, pad=pad))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_on_a_full_disk_the_old_state_stays_and_reading_and_opening_work(
    tmp_path: Path, on_small_disk: OnSmallDisk
) -> None:
    def work(disk: Path) -> None:
        store = FileStore(disk / "store")
        for n in range(3):
            store.write("a", sealed("a", n, pad=PAD))
        store.write("b", sealed("b", 1))
        fill(disk)
        before = tree(disk / "store")
        refused(store, "a", 3)
        refused(store, "new", 1)
        failed = store.write_many({key: sealed(key, 3, pad=PAD) for key in ("a", "new")}).failed
        assert {type(error) for error in failed.values()} == {StoreError}
        assert tree(disk / "store") == before
        for reopened in (FileStore(disk / "store"), FileStore(disk / "store", read_only=True)):
            assert number_of(reopened, "a") == 2
            assert number_of(reopened, "a", 2) == 1
            assert reopened.keys() == ("a", "b")
            assert generations(reopened, "a") == [3, 2]
            with pytest.raises(CheckpointNotFoundError):
                reopened.read("new")
        store.remove("b")
        assert store.keys() == ("a",)
        free(disk)
        store.write("a", sealed("a", 4, pad=PAD))
        assert number_of(store, "a") == 4
        assert temporaries(disk / "store") == []

    on_small_disk(tmp_path / "disk", SIZE, work)


def test_with_a_reserve_the_saves_go_on_again_and_again(
    tmp_path: Path, on_small_disk: OnSmallDisk
) -> None:
    def work(disk: Path) -> None:
        store = FileStore(disk / "store", reserve=RESERVE)
        ballast = disk / "store" / ".reserve" / "ballast"
        assert ballast.stat().st_size == RESERVE
        for n in range(3):
            store.write("a", sealed("a", n, pad=PAD))
        warnings = Warnings()
        fill(disk)
        for n in range(3, 23):
            store.write("a", sealed("a", n, pad=PAD))
            assert number_of(store, "a") == n
        assert len(store.history("a")) == 2
        assert any("the disk is full" in text for text in warnings.texts)
        assert temporaries(disk / "store") == []
        free(disk)
        store.write("a", sealed("a", 99, pad=PAD))
        assert ballast.stat().st_size == RESERVE
        assert ballast.stat().st_blocks * 512 >= RESERVE
        assert ballast.stat().st_mode & 0o777 == 0o600
        assert verify(store).ok

    on_small_disk(tmp_path / "disk", SIZE, work)


def test_a_reserve_holds_though_others_take_each_byte_that_becomes_free(
    tmp_path: Path,
) -> None:
    def work(disk: Path) -> None:
        store = FileStore(disk / "store", reserve=32 * 1024)
        for n in range(3):
            store.write("a", sealed("a", n, pad=PAD))
        for n in range(3, 13):
            fill(disk)
            store.write("a", sealed("a", n, pad=PAD))
            assert number_of(store, "a") == n
        assert temporaries(disk / "store") == []

    on_small_tmpfs(tmp_path / "disk", SIZE, work)


def test_a_first_save_and_a_recovery_use_the_reserve_too(
    tmp_path: Path, on_small_disk: OnSmallDisk
) -> None:
    def work(disk: Path) -> None:
        store = FileStore(disk / "store", reserve=RESERVE)
        for n in range(2):
            store.write("a", sealed("a", n, pad=PAD))
        fill(disk)
        store.write("new", sealed("new", 1, pad=PAD))
        assert number_of(store, "new") == 1
        current = disk / "store" / "a" / "current"
        with current.open("r+b") as file:
            file.seek(-9, os.SEEK_END)
            file.write(b"?")
        recover(store, "a", NOW)
        assert number_of(store, "a") == 0
        store.remove("new")
        assert store.keys() == ("a",)
        assert temporaries(disk / "store") == []

    on_small_disk(tmp_path / "disk", SIZE, work)


def test_a_batch_uses_the_reserve_for_each_of_its_keys(tmp_path: Path) -> None:
    def work(disk: Path) -> None:
        store = FileStore(disk / "store", reserve=RESERVE)
        keys = ("a", "b", "c")
        for n in range(3):
            store.write_many({key: sealed(key, n, pad=PAD) for key in keys})
        fill(disk)
        result = store.write_many({key: sealed(key, 3, pad=PAD) for key in keys})
        assert result.failed == {}
        assert sorted(result.saved) == list(keys)
        assert [number_of(store, key) for key in keys] == [3] * 3
        for key, entry in result.saved.items():
            assert store.history(key)[0] == entry
        assert temporaries(disk / "store") == []

    on_small_tmpfs(tmp_path / "disk", SIZE, work)


def test_a_reserve_that_is_too_small_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    def work(disk: Path) -> None:
        store = FileStore(disk / "store", reserve=4096)
        for n in range(3):
            store.write("a", sealed("a", n, pad=PAD))
        fill(disk)
        for n in (3, 4):
            refused(store, "a", n)
            assert number_of(store, "a") == 2
            assert generations(store, "a") == [3, 2]
            assert temporaries(disk / "store") == []
        assert (disk / "store" / ".reserve" / "ballast").stat().st_size == 4096
        store.write("b", sealed("b", 1))  # small enough
        assert number_of(store, "b") == 1

    on_small_tmpfs(tmp_path / "disk", SIZE, work)


def test_a_store_opens_on_a_full_disk_without_its_reserve_and_makes_it_later(
    tmp_path: Path,
) -> None:
    def work(disk: Path) -> None:
        FileStore(disk / "store").close()
        fill(disk)
        warnings = Warnings()
        store = FileStore(disk / "store", reserve=RESERVE)
        ballast = disk / "store" / ".reserve" / "ballast"
        assert not ballast.exists()
        assert any(f"no space for the reserve of {RESERVE} bytes" in t for t in warnings.texts)
        refused(store, "a", 1)
        free(disk)
        store.write("a", sealed("a", 1))
        assert ballast.stat().st_size == RESERVE
        assert temporaries(disk / "store") == []

    on_small_tmpfs(tmp_path / "disk", SIZE, work)


def test_a_new_store_on_a_full_disk_is_an_error_and_opens_when_there_is_space(
    tmp_path: Path,
) -> None:
    def work(disk: Path) -> None:
        fill(disk)
        with pytest.raises(StoreError, match="ENOSPC"):
            FileStore(disk / "store")
        free(disk)
        with FileStore(disk / "store") as store:
            store.write("a", sealed("a", 1))
            assert number_of(store, "a") == 1

    on_small_tmpfs(tmp_path / "disk", SIZE, work)


def test_a_limit_on_the_size_of_files_keeps_the_old_state(quick: Path) -> None:
    directory = quick / "store"

    def work(child: Child) -> None:
        with FileStore(directory, reserve=30_000) as store:
            store.write("a", sealed("a", 1))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
            before = tree(directory)
            with pytest.raises(StoreError, match="EFBIG"):
                store.write("a", sealed("a", 2, pad=PAD))
            assert tree(directory) == before
            store.write("a", sealed("a", 3))
            assert number_of(store, "a") == 3

    with Child(work) as child:
        said = child.end()
        assert child.status == 0, "\n".join(said)
    assert temporaries(directory) == []


# ----------------------------------------------------------------------- the ballast, by itself


class FullDisk(Watched):
    """Has no space for new files of states, as a disk on which only the ballast is left."""

    full = False

    def before(self, name: str, event: str) -> None:
        if self.full and name == "write" and ".tmp/" in event and not self.from_ballast(event):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def from_ballast(self, event: str) -> bool:
        """Tell whether this file was the ballast a moment ago."""
        moved = f"rename .reserve/ballast -> {event.partition(' ')[2]}"
        return moved in self.events[-3:]


def test_the_ballast_is_made_with_the_store_and_with_the_owner_s_rights_alone(
    quick: Path,
) -> None:
    with FileStore(quick / "store", reserve=3_000_000) as store:
        ballast = quick / "store" / ".reserve" / "ballast"
        status = ballast.stat()
        assert (status.st_size, status.st_mode & 0o777) == (3_000_000, 0o600)
        assert len(set(ballast.read_bytes()[:4096])) > 200  # nothing to compress
        assert store.keys() == ()
        made = status.st_ino
    with FileStore(quick / "store", reserve=3_000_000):
        assert ballast.stat().st_ino == made
    with FileStore(quick / "store", reserve=1000):
        assert ballast.stat().st_size == 1000


def test_a_save_from_the_reserve_is_synced_like_any_other(quick: Path) -> None:
    directory = quick / "store"
    calls = FullDisk(directory)
    with FileStore(directory, reserve=50_000, system=calls) as store:
        for n in range(2):
            store.write("a", sealed("a", n))
        calls.changes()
        calls.full = True
        store.write("a", sealed("a", 2))
        calls.full = False
        events = calls.changes()
        temp = next(e for e in events if e.startswith("rename .reserve/ballast")).split()[-1]
        order = [
            f"rename .reserve/ballast -> {temp}",
            f"write {temp}",
            f"ftruncate {temp}",
            f"fsync {temp}",
            f"link {temp} -> a/3",
            f"rename {temp} -> a/current",
            "fsync a",
        ]
        begun = events.index(order[0])
        assert [event for event in events[begun:] if event in order][: len(order)] == order
        assert number_of(store, "a") == 2
        store.write("a", sealed("a", 3))
        assert (directory / ".reserve" / "ballast").stat().st_size == 50_000


def test_without_a_reserve_none_is_touched(quick: Path) -> None:
    with FileStore(quick / "store", reserve=1000):
        pass
    directory = quick / "store"
    calls = FullDisk(directory)
    with FileStore(directory, system=calls) as store:
        calls.full = True
        with pytest.raises(StoreError, match="ENOSPC"):
            store.write("a", sealed("a", 1))
    assert (directory / ".reserve" / "ballast").stat().st_size == 1000


def test_a_batch_whose_keys_find_no_place_in_the_reserve_either_fails_for_each_of_them(
    quick: Path,
) -> None:
    class Fuller(FullDisk):
        def from_ballast(self, event: str) -> bool:
            return False

    directory = quick / "store"
    calls = Fuller(directory)
    with FileStore(directory, reserve=1000, system=calls) as store:
        store.write_many({key: sealed(key, 1) for key in "ab"})
        calls.full = True
        result = store.write_many({key: sealed(key, 2) for key in "abc"})
        calls.full = False
        assert result.saved == {}
        assert {type(error) for error in result.failed.values()} == {StoreError}
        assert [number_of(store, key) for key in store.keys()] == [1, 1]
        assert temporaries(directory) == []


def test_a_reserve_is_not_begun_where_there_is_no_space_for_all_of_it(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Scarce(Watched):
        """Has less space than the reserve needs."""

        def __init__(self, directory: Path) -> None:
            super().__init__(directory)
            real = os.statvfs(directory)
            blocks = 999_999 // real.f_frsize

            def scarce(fd: int) -> os.statvfs_result:
                return os.statvfs_result([*real[:4], blocks, *real[5:]])

            self.fstatvfs = scarce

    directory = quick / "store"
    FileStore(directory).close()
    calls = Scarce(directory)
    with FileStore(directory, reserve=1_000_000, system=calls) as store:
        assert [e for e in calls.events if e.startswith(("write", "mkdir", "open .tmp/"))] == []
        store.write("a", sealed("a", 1))
    assert any("no space for the reserve" in record.getMessage() for record in caplog.records)
    assert temporaries(directory) == []


def test_a_writer_in_the_way_of_the_reserve_keeps_no_store_from_opening(quick: Path) -> None:
    directory = quick / "store"
    FileStore(directory).close()
    ballast = directory / ".reserve" / "ballast"
    fd = os.open(directory / ".lock" / "00", os.O_RDWR)
    assert SystemCalls.try_lock(fd)
    with FileStore(directory, reserve=1000, lock_timeout=30) as store:
        assert not ballast.exists()
        os.close(fd)
        store.write("a", sealed("a", 1))
        assert ballast.stat().st_size == 1000


def test_a_half_made_reserve_that_cannot_be_deleted_is_logged(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = quick / "store"
    FileStore(directory).close()

    class Failing(Watched):
        def before(self, name: str, event: str) -> None:
            if event.startswith(("rename .tmp/00", "unlink .tmp/00")):
                if "unlink" in event and "write .tmp/00.0" not in self.events:
                    return
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    FileStore(directory, reserve=1000, system=Failing(directory)).close()
    assert any("stays behind" in record.getMessage() for record in caplog.records)
    FileStore(directory).close()
    assert temporaries(directory) == []


@pytest.mark.parametrize("call", ["rename .tmp", "fsync .tmp", "write .tmp", "mkdir .reserve"])
def test_a_reserve_that_cannot_be_refilled_fails_no_save_and_leaves_nothing(
    quick: Path, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = quick / "store"
    FileStore(directory).close()

    class Failing(Watched):
        def before(self, name: str, event: str) -> None:
            if event.startswith(call):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    with FileStore(directory, reserve=1000, system=Failing(directory)):
        assert not (directory / ".reserve" / "ballast").exists()
    assert temporaries(directory) == []
    assert any("reserve of 1000 bytes" in record.getMessage() for record in caplog.records)
