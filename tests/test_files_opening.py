"""Opening a file store: what it makes, what it refuses, and what it leaves alone."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    LockTimeoutError,
    ReadOnlyError,
    StoreError,
    StoreUnavailableError,
)
from checkpointkit.stores.files.layout import decode_high_water, stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.files.system import require_posix
from checkpointkit.testing.calls import FailingCalls as Faulty
from checkpointkit.testing.calls import KillingCalls as Deadly
from checkpointkit.testing.calls import RecordedCalls as Watched
from tests.support.calls import Hooked
from tests.support.children import Child
from tests.support.states import number_of, sealed, temporaries, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRIPE = f"{stripe_of('a'):02d}"
LAYOUT = [".format", ".lock", ".tmp"]


def modes(directory: Path) -> dict[str, int]:
    """The permissions of everything in a store, and of the store."""
    paths = [directory, *directory.rglob("*")]
    return {str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


# ------------------------------------------------------------------------------- a new store


def test_a_new_store_is_made_with_its_parents(tmp_path: Path) -> None:
    with FileStore(tmp_path / "var" / "lib" / "agent") as store:
        assert store.path == str(tmp_path / "var" / "lib" / "agent")
        assert store.keys() == ()
    assert sorted(os.listdir(store.path)) == LAYOUT
    assert (tmp_path / "var" / "lib" / "agent" / ".format").read_bytes() == (
        b"checkpointkit files 1\n"
    )


def test_an_existing_empty_directory_becomes_a_store(quick: Path) -> None:
    (quick / "store").mkdir(mode=0o750)
    with FileStore(quick / "store") as store:
        store.write("a", sealed("a", 1))
    assert stat.S_IMODE((quick / "store").stat().st_mode) == 0o750


def test_a_relative_path_stays_the_same_directory_wherever_the_process_goes(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick)
    store = FileStore("store")
    (quick / "elsewhere").mkdir()
    monkeypatch.chdir(quick / "elsewhere")
    with store:
        store.write("a", sealed("a", 1))
        assert number_of(store, "a") == 1
        assert store.scope("inner").keys() == ()
    assert os.listdir(quick / "elsewhere") == []


def test_opening_an_existing_store_changes_nothing(quick: Path) -> None:
    with FileStore(quick / "store") as store:
        store.write("a", sealed("a", 1))
    before = tree(quick)
    FileStore(quick / "store").close()
    assert tree(quick) == before


@pytest.mark.parametrize(
    "name", ["notes.txt", ".git", ".aside", ".reserve", ".scope", ".tmp/07.notes", ".lock/mine"]
)
def test_a_directory_of_somebody_else_s_is_refused_and_left_as_it_is(
    quick: Path, name: str
) -> None:
    path = quick / "store" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = tree(quick)
    with pytest.raises(StoreError, match="not empty and no store"):
        FileStore(quick / "store")
    assert tree(quick) == before


@pytest.mark.parametrize(
    "text", [b"checkpointkit files 2\n", b"", b"checkpointkit files 1", b"x" * 5000]
)
def test_a_layout_of_a_newer_release_is_refused_and_left_as_it_is(quick: Path, text: bytes) -> None:
    with FileStore(quick / "store") as store:
        store.write("a", sealed("a", 1))
    (quick / "store" / ".format").write_bytes(text)
    before = tree(quick)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="upgrade checkpointkit"):
            FileStore(quick / "store", read_only=read_only)
    assert tree(quick) == before


def test_a_store_that_lost_its_format_is_refused_and_left_as_it_is(quick: Path) -> None:
    with FileStore(quick / "store") as store:
        store.write("a", sealed("a", 1))
    (quick / "store" / ".format").unlink()
    before = tree(quick)
    with pytest.raises(StoreError, match="not empty and no store"):
        FileStore(quick / "store")
    assert tree(quick) == before


@pytest.mark.parametrize("path", ["file", "file/below", "link to itself"])
def test_a_path_that_cannot_be_a_directory_is_a_store_error(quick: Path, path: str) -> None:
    (quick / "file").write_text("mine")
    (quick / "link to itself").symlink_to("link to itself")
    with pytest.raises(StoreError) as caught:
        FileStore(quick / path)
    assert isinstance(caught.value.__cause__, OSError)
    assert (quick / "file").read_text() == "mine"


@pytest.mark.parametrize("umask", [0o777, 0o000, 0o022])
def test_names_belong_to_the_owner_alone_whatever_the_umask(quick: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        with FileStore(quick / "deep" / "store", reserve=100) as store:
            for n in range(2):
                store.write("a", sealed("a", n))
            store.set_aside("a", store.history("a")[0].revision)
            store.write("b", sealed("b", 1))
            store.scope("inner").write("a", sealed("a", 1))
    finally:
        os.umask(old)
    found = modes(quick / "deep")
    assert len(found) > 140
    for name, mode in found.items():
        assert mode == (0o700 if (quick / "deep" / name).is_dir() else 0o600), name


def test_an_initialisation_that_fails_at_any_call_is_finished_by_the_next_opening(
    quick: Path,
) -> None:
    watched = Watched(quick / "dry" / "store")
    FileStore(quick / "dry" / "store", system=watched).close()
    middle = [f"/{n:02d}" for n in range(64) if n not in (0, 31, 63)]
    points = [n for n, e in enumerate(watched.attempts) if not any(m in e for m in middle)]
    failures = 0
    for for_ever in (False, True):
        for at in points:
            directory = quick / f"{at} {for_ever}" / "store"
            calls = Faulty(directory)
            calls.break_at(at, errno.EIO, for_ever=for_ever)
            try:
                FileStore(directory, system=calls).close()
            except StoreError as error:
                failures += 1
                assert isinstance(error.__cause__, OSError)
            except OSError:
                assert calls.failed == ["close ."]  # it was the close of the opened store
            with FileStore(directory, lock_timeout=0.2) as store:
                store.write("a", sealed("a", 1))
                assert number_of(store, "a") == 1
            assert temporaries(directory) == []
    assert failures > len(points)


def test_what_a_killed_initialisation_has_written_is_synced_before_it_is_a_store(
    quick: Path,
) -> None:
    directory = quick / "store"

    class Killed(Deadly):
        def before(self, name: str, event: str) -> None:
            if event == "fsync .lock/05":
                self.left = 0
            super().before(name, event)

    with Child(lambda child: FileStore(directory, system=Killed(directory))) as child:
        assert child.end() == []
        assert child.status == -9
    calls = Watched(directory)
    FileStore(directory, system=calls).close()
    events = calls.changes()
    made = events.index("rename .tmp/format -> .format")
    for n in range(64):
        assert f"fsync .lock/{n:02d}" in events[:made]


def test_a_directory_above_that_may_not_be_opened_keeps_no_store_from_being_made(
    quick: Path,
) -> None:
    directory = quick / "store"

    class NotAbove(Watched):
        def before(self, name: str, event: str) -> None:
            if event == "open ../..":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    calls = NotAbove(directory)
    with FileStore(directory, system=calls) as store:
        store.write("a", sealed("a", 1))
        assert number_of(store, "a") == 1
    assert "fsync .." in calls.events
    assert "fsync ../.." not in calls.events


@pytest.mark.usefixtures("unmeasured")
def test_processes_that_open_a_new_store_at_the_same_moment_all_get_it(quick: Path) -> None:
    for round_ in range(5):
        directory = quick / str(round_) / "store"
        gate, opened = os.pipe()

        def work(
            child: Child, directory: Path = directory, gate: int = gate, opened: int = opened
        ) -> None:
            os.close(opened)
            os.read(gate, 1)  # ends for all of them when the parent closes the other end
            with FileStore(directory) as store:
                store.write(f"key-{os.getpid()}", sealed(f"key-{os.getpid()}", 1))
                child.say("saved")

        children = [Child(work) for _ in range(8)]
        os.close(gate)
        os.close(opened)
        try:
            assert [child.end() for child in children] == [["saved"]] * 8
        finally:
            for child in children:
                child.wait()
        with FileStore(directory) as store:
            assert len(store.keys()) == 8
            assert {number_of(store, key) for key in store.keys()} == {1}
        assert temporaries(directory) == []


def test_a_lock_on_the_directory_that_is_never_given_back_ends_the_wait(quick: Path) -> None:
    (quick / "store").mkdir()
    fd = os.open(quick / "store", os.O_RDONLY)
    try:
        assert Watched(quick).try_lock(fd)
        with pytest.raises(LockTimeoutError) as caught:
            FileStore(quick / "store", lock_timeout=0.01)
        assert (caught.value.key, caught.value.timeout) == (None, 0.01)
        assert os.listdir(quick / "store") == []
    finally:
        os.close(fd)


# ----------------------------------------------------------------------------------- read only


def test_a_missing_store_is_not_made_by_a_reader(quick: Path) -> None:
    for path in (quick / "none", quick / "none" / "below"):
        with pytest.raises(StoreError) as caught:
            FileStore(path, read_only=True)
        assert caught.value.key is None
    (quick / "empty").mkdir()
    with pytest.raises(StoreError, match="no store yet"):
        FileStore(quick / "empty", read_only=True)
    assert tree(quick).keys() == {"empty"}


def test_a_reader_makes_nothing_and_takes_no_lock(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        for n in range(2):
            store.write("a", sealed("a", n))
    (directory / ".tmp" / f"{STRIPE}.0").write_text("left by a killed writer")
    before = tree(quick)
    calls = Watched(directory)
    with FileStore(directory, read_only=True, reserve=1000, system=calls) as store:
        assert number_of(store, "a") == 1
        assert number_of(store, "a", 1) == 0
        assert len(store.history("a")) == 2
        assert store.keys() == ("a",)
        with pytest.raises(ReadOnlyError) as caught:
            store.write("a", sealed("a", 2))
        assert caught.value.operation == "save"
        with pytest.raises(StoreError):
            store.scope("inner")
    assert tree(quick) == before
    assert calls.changes() == []


def test_a_reader_works_where_nothing_may_be_written(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))

    class ReadOnlyDisk(Watched):
        def before(self, name: str, event: str) -> None:
            if event.partition(" ")[0] in ("write", "link", "mkdir", "rename", "unlink", "chmod"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with FileStore(directory, read_only=True, system=ReadOnlyDisk(directory)) as store:
        assert number_of(store, "a") == 1
    with pytest.raises(StoreError, match="EROFS"):
        FileStore(directory, system=ReadOnlyDisk(directory))


# ------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"durability": "some"}, ValueError),
        ({"durability": None}, ValueError),
        ({"reserve": -1}, ValueError),
        ({"reserve": 1.5}, ValueError),
        ({"reserve": True}, ValueError),
        ({"lock_timeout": -1}, ValueError),
        ({"lock_timeout": float("nan")}, ValueError),
        ({"lock_timeout": "1"}, TypeError),
        ({"history": -1}, ValueError),
        ({"history": "1"}, TypeError),
        ({"max_bytes": 0}, ValueError),
        ({"path": b"store"}, TypeError),
        ({"path": ""}, ValueError),
        ({"path": 7}, TypeError),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_made(
    quick: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    arguments: dict[str, Any] = {"path": quick / "store"} | options
    with pytest.raises(error) as caught:
        FileStore(**arguments)
    assert not isinstance(caught.value, CheckpointError)
    assert os.listdir(quick) == []


def test_a_store_says_where_it_is(quick: Path) -> None:
    with FileStore(quick / "store") as store:
        assert repr(store) == f"FileStore('{quick}/store')"


def test_a_system_without_directory_descriptors_is_told_what_is_missing(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_posix()
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(StoreError, match=f"POSIX.*{sys.platform}.*MemoryStore"):
        FileStore(quick / "store")
    assert os.listdir(quick) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_named_when_the_store_is_opened(
    quick: Path, number: int
) -> None:
    directory = quick / "store"

    class NoLinks(Watched):
        def before(self, name: str, event: str) -> None:
            if name == "link":
                raise OSError(number, os.strerror(number))

    with pytest.raises(StoreError, match="no hard links") as caught:
        FileStore(directory, system=NoLinks(directory))
    assert isinstance(caught.value.__cause__, OSError)
    assert temporaries(directory) == []
    with FileStore(directory) as store:  # moved to one that has them
        assert store.keys() == ()


def test_two_processes_that_try_for_hard_links_at_once_do_not_hurt_each_other(
    quick: Path,
) -> None:
    directory = quick / "store"
    FileStore(directory).close()
    calls = Hooked(directory)
    calls.hooks["link"] = lambda: os.link(directory / ".format", directory / ".tmp" / "link")
    FileStore(directory, system=calls).close()
    assert calls.hooks == {}
    FileStore(directory).close()
    assert temporaries(directory) == []


# --------------------------------------------------------------------------------------- links


def test_the_store_s_own_path_may_be_a_link(quick: Path) -> None:
    (quick / "real").mkdir()
    (quick / "link").symlink_to("real")
    with FileStore(quick / "link") as store:
        store.write("a", sealed("a", 1))
        assert number_of(store, "a") == 1
    assert sorted(os.listdir(quick / "real")) == [*LAYOUT, "a"]
    with FileStore(quick / "real") as store:
        assert number_of(store, "a") == 1


@pytest.mark.parametrize("name", [".format", ".lock", ".tmp", f".lock/{STRIPE}", ".scope"])
def test_a_link_in_place_of_one_of_the_store_s_own_names_is_not_followed(
    quick: Path, name: str
) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))
        store.scope("inner").close()
    outside = quick / "outside"
    os.rename(directory / name, outside)
    (directory / name).symlink_to(outside)
    before = tree(quick)
    with pytest.raises(StoreError):  # noqa: SIM117
        with FileStore(directory) as store:
            if name == ".scope":
                store.scope("inner")
            store.write("a", sealed("a", 2))
    assert tree(quick) == before


def test_a_link_in_place_of_a_scope_is_not_followed(quick: Path) -> None:
    with FileStore(quick / "outside"), FileStore(quick / "store") as store:
        (quick / "store" / ".scope").mkdir()
        (quick / "store" / ".scope" / "inner").symlink_to(quick / "outside")
        with pytest.raises(StoreError):
            store.scope("inner")


def test_a_key_that_is_a_link_is_refused(quick: Path) -> None:
    with FileStore(quick / "store") as store:
        store.write("a", sealed("a", 1))
        os.rename(quick / "store" / "a", quick / "outside")
        (quick / "store" / "a").symlink_to(quick / "outside")
        before = tree(quick)
        with pytest.raises(CorruptCheckpointError):
            store.read("a")
        with pytest.raises(CorruptCheckpointError):
            store.write("a", sealed("a", 2))
        assert tree(quick) == before


# ------------------------------------------------------------------ the directory goes away


def delete(directory: Path) -> None:
    shutil.rmtree(directory)


def move(directory: Path) -> None:
    os.rename(directory, directory.with_name("moved"))


def replace_by_a_store(directory: Path) -> None:
    move(directory)
    FileStore(directory).close()


def replace_by_a_file(directory: Path) -> None:
    move(directory)
    directory.write_text("mine")


def replace_the_parent_by_a_file(directory: Path) -> None:
    os.rename(directory.parent, directory.parent.with_name("moved"))
    directory.parent.write_text("mine")


@pytest.mark.parametrize(
    "act",
    [delete, move, replace_by_a_store, replace_by_a_file, replace_the_parent_by_a_file],
)
def test_a_store_whose_directory_went_away_says_so(
    quick: Path, act: Callable[[Path], None]
) -> None:
    directory = quick / "parent" / "store"
    with FileStore(directory, lock_timeout=0.1) as store:
        store.write("a", sealed("a", 1))
        act(directory)
        after = tree(quick)
        calls: list[Callable[[], object]] = [
            store.keys,
            lambda: store.read("absent"),
            lambda: store.read("absent", 1),
            lambda: store.history("absent"),
            lambda: store.write("a", sealed("a", 2)),
            lambda: store.write_many({"a": sealed("a", 2)}),
            lambda: store.remove("a"),
            lambda: store.set_aside("a", "1"),
            lambda: store.scope("inner"),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailableError, match="open the store again"):
                call()
        assert tree(quick) == after


def test_a_key_of_a_deleted_store_is_not_reported_as_absent(quick: Path) -> None:
    with FileStore(quick / "store") as store:
        store.write("a", sealed("a", 1))
        delete(quick / "store")
        for generation in (None, 1):
            with pytest.raises(StoreUnavailableError):
                store.read("a", generation)
        with pytest.raises(StoreUnavailableError):
            store.history("a")


# -------------------------------------------------------------------------- locks, high-water


def test_a_deleted_lock_file_stops_the_writers_and_not_the_readers(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory) as store:
        store.write("a", sealed("a", 1))
        (directory / ".lock" / STRIPE).unlink()
        for _ in range(2):
            with pytest.raises(StoreError, match=f"{STRIPE}.*new one"):
                store.write("a", sealed("a", 2))
            assert number_of(store, "a") == 1
            FileStore(directory).close()
        assert not (directory / ".lock" / STRIPE).exists()


def test_a_lock_file_that_is_deleted_while_a_writer_waits_for_it_stops_it(quick: Path) -> None:
    directory = quick / "store"
    calls = Hooked(directory)
    with FileStore(directory, system=calls) as store:
        store.write("a", sealed("a", 1))
        calls.hooks["try_lock"] = (directory / ".lock" / STRIPE).unlink
        with pytest.raises(StoreError, match="deleted"):
            store.write("a", sealed("a", 2))
        assert number_of(store, "a") == 1


def high_water(directory: Path) -> int:
    found = decode_high_water(int(STRIPE), (directory / ".lock" / STRIPE).read_bytes())
    assert found is not None
    return found[0]


@pytest.mark.parametrize("slot", [0, 512])
@pytest.mark.parametrize("damage", [b"\0" * 32, b"9", b" " * 512])
@pytest.mark.parametrize("removals", [1, 2, 3])
def test_rot_in_one_slot_of_a_high_water_gives_no_number_a_second_time(
    quick: Path, slot: int, damage: bytes, removals: int
) -> None:
    directory = quick / "store"
    used = []
    with FileStore(directory, durability="none") as store:
        for _ in range(removals):
            used += [store.write("a", sealed("a", n)).generation for n in range(3)]
            store.remove("a")
        assert high_water(directory) == max(used)
        fd = os.open(directory / ".lock" / STRIPE, os.O_WRONLY)
        os.pwrite(fd, damage, slot)
        os.close(fd)
        assert store.write("a", sealed("a", 9)).generation > max(used)
        store.remove("a")
        assert store.write("a", sealed("a", 9)).generation > max(used) + 1


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b" " * 1024, None])
def test_a_lost_high_water_is_an_error_and_never_a_guess(
    quick: Path, content: bytes | None
) -> None:
    directory = quick / "store"
    with FileStore(directory, durability="none") as store:
        store.write("a", sealed("a", 1))
        path = directory / ".lock" / STRIPE
        other = directory / ".lock" / ("00" if STRIPE != "00" else "01")
        path.write_bytes(other.read_bytes() if content is None else content)
        absent = next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of("a"))
        calls: list[Callable[[], object]] = [
            lambda: store.write("a", sealed("a", 2)),
            lambda: store.write(absent, sealed(absent, 2)),
            lambda: store.remove("a"),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="damaged"):
                call()
        assert number_of(store, "a") == 1
        with pytest.raises(CheckpointNotFoundError):
            store.read(absent)
        assert store.keys() == ("a",)


# --------------------------------------------------------------------------------------- sweep


def test_what_dead_writers_left_is_swept(quick: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = quick / "store"
    FileStore(directory).close()
    left = directory / ".tmp"
    for name in (f"{STRIPE}.0", "00.17", "63.0"):
        (left / name).write_text("left")
    (left / "05.0.d").mkdir()
    (left / "05.0.d" / "current").write_text("left")
    (left / "06.0.gone" / "deep").mkdir(parents=True)
    with caplog.at_level(logging.INFO, "checkpointkit"):
        FileStore(directory).close()
    assert temporaries(directory) == []
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.parametrize("name", ["64.0", "7", "x.0", "-1.0", "notes", "٣.0"])
def test_what_is_no_writer_s_is_not_swept(quick: Path, name: str) -> None:
    directory = quick / "store"
    FileStore(directory).close()
    (directory / ".tmp" / name).write_text("mine")
    FileStore(directory).close()
    assert temporaries(directory) == [name]


def test_what_a_living_writer_holds_is_not_swept(quick: Path) -> None:
    directory = quick / "store"
    FileStore(directory).close()

    class Pausing(Watched):
        def before(self, name: str, event: str) -> None:
            if event == f"link .tmp/{STRIPE}.0.d/current -> .tmp/{STRIPE}.0.d/1":
                child_of_this[0].say("in the middle")
                child_of_this[0].wait_for_word()

    child_of_this: list[Child] = []

    def work(child: Child) -> None:
        child_of_this.append(child)
        FileStore(directory, system=Pausing(directory)).write("a", sealed("a", 1))

    with Child(work) as child:
        assert child.line() == "in the middle"
        (directory / ".tmp" / "63.0").write_text("of a dead one")
        with FileStore(directory, lock_timeout=0) as store:
            assert temporaries(directory) == [f"{STRIPE}.0.d"]
            child.go()
            assert child.end() == []
            assert child.status == 0
            assert number_of(store, "a") == 1


def test_a_sweep_follows_no_link(quick: Path) -> None:
    directory = quick / "store"
    FileStore(directory).close()
    (quick / "outside").mkdir()
    (quick / "outside" / "file").write_text("mine")
    (directory / ".tmp" / "07.0").symlink_to(quick / "outside")
    (directory / ".tmp" / "08.0.d").mkdir()
    (directory / ".tmp" / "08.0.d" / "inner").symlink_to(quick / "outside")
    FileStore(directory).close()
    assert temporaries(directory) == []
    assert (quick / "outside" / "file").read_text() == "mine"


def test_what_cannot_be_deleted_keeps_no_store_from_opening_and_no_key_from_being_removed(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = quick / "store"
    neighbour = next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of("a"))

    class NotOurs(Watched):
        def before(self, name: str, event: str) -> None:
            if name in ("unlink", "rmdir") and event.endswith("not-ours"):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with FileStore(directory, system=NotOurs(directory)) as store:
        for key in ("a", neighbour):
            store.write(key, sealed(key, 1))
            (directory / key / "not-ours").write_text("root's")
            store.remove(key)
            assert store.keys() == ()
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    with FileStore(directory, system=NotOurs(directory)) as store:
        assert store.keys() == ()
        assert store.write("a", sealed("a", 2)).generation == 3
        store.remove("a")
    FileStore(directory).close()
    assert temporaries(directory) == []


def test_a_directory_that_is_nested_deep_can_be_removed_or_left_behind(quick: Path) -> None:
    directory = quick / "store"
    try:
        with FileStore(directory) as store:
            store.write("a", sealed("a", 1))
            above = os.open(directory / "a", os.O_RDONLY)
            for _ in range(1500):
                os.mkdir("deep", dir_fd=above)
                below = os.open("deep", os.O_RDONLY, dir_fd=above)
                os.close(above)
                above = below
            os.close(above)
            store.remove("a")
            assert store.keys() == ()
        with FileStore(directory) as store:
            store.write("a", sealed("a", 2))
            store.remove("a")
            assert store.keys() == ()
    finally:  # deeper than what Python itself deletes
        subprocess.run(["rm", "-rf", directory], check=True)
