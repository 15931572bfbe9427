"""Stored files that rot, or that something else was put in place of: reported, and mended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    StoreError,
)
from checkpointkit.records import history, read_record, recover, verify
from checkpointkit.stores.base import ABSENT, Absent, Damaged
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW, generations, number_of, raw, sealed, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Damage = Callable[[Path], object]


@pytest.fixture
def directory(quick: Path) -> Path:
    return quick / "store"


@pytest.fixture
def store(directory: Path) -> Iterator[FileStore]:
    with FileStore(directory, durability="none", history=3) as made:
        yield made


@pytest.fixture(autouse=True)
def _never_hung() -> Iterator[None]:
    def wake(number: int, frame: object) -> None:
        raise AssertionError("hung")  # as on a fifo that nobody writes to

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def stored_1_kib(store: FileStore, key: str = "a") -> bytes:
    """Save a state that takes 1 KiB, with the digest of one before it, as most have."""
    pad = size = 0
    while size != 1024:
        size = store.write(key, sealed(key, 1, pad=pad)).size
        pad += 1024 - size
    return store.read(key)


# ------------------------------------------------------------------------- bits and truncations


def test_every_flipped_bit_of_a_stored_file_is_corruption(
    store: FileStore, directory: Path
) -> None:
    good = stored_1_kib(store)
    path = directory / "a" / "current"
    fd = os.open(path, os.O_WRONLY)
    caught = 0
    for offset in range(1024):
        for bit in range(8):
            os.pwrite(fd, bytes([good[offset] ^ 1 << bit]), offset)
            try:
                read_record(store, "a")
            except CorruptCheckpointError as error:
                caught += error.key == "a"
        os.pwrite(fd, good[offset : offset + 1], offset)
    os.close(fd)
    assert caught == 8 * 1024
    assert read_record(store, "a").size == 1024


def test_every_truncation_of_a_stored_file_is_corruption(store: FileStore, directory: Path) -> None:
    stored_1_kib(store)
    path = directory / "a" / "current"
    for size in range(1023, -1, -1):
        os.truncate(path, size)
        with pytest.raises(CorruptCheckpointError):
            read_record(store, "a")


@pytest.mark.parametrize("tail", [b"\0", b"\n", b"x" * 512, b"\0" * 4096])
def test_bytes_after_the_end_are_corruption(store: FileStore, directory: Path, tail: bytes) -> None:
    stored_1_kib(store)
    with (directory / "a" / "current").open("ab") as file:
        file.write(tail)
    with pytest.raises(CorruptCheckpointError):
        read_record(store, "a")


@pytest.mark.parametrize("offset", range(0, 1024, 128))
def test_a_zeroed_or_repeated_stretch_is_corruption(
    store: FileStore, directory: Path, offset: int
) -> None:
    good = stored_1_kib(store)
    for stretch in (b"\0" * 128, good[:128][::-1]):
        torn = good[:offset] + stretch + good[offset + 128 :]
        (directory / "a" / "current").write_bytes(torn)
        with pytest.raises(CorruptCheckpointError):
            read_record(store, "a")


@pytest.mark.parametrize("flip", [0, 20, 100, 300, 420, -2])
def test_a_rotten_state_is_not_saved_over_and_recovery_goes_on_from_the_one_before(
    store: FileStore, directory: Path, flip: int
) -> None:
    entries = [store.write("a", sealed("a", n)) for n in range(3)]
    path = directory / "a" / "current"
    rotten = bytearray(path.read_bytes())
    rotten[flip] ^= 4
    path.write_bytes(rotten)
    before = tree(directory / "a")
    with pytest.raises(CorruptCheckpointError):
        store.write("a", sealed("a", 3))
    assert isinstance(store.write_many({"a": sealed("a", 3)}).failed["a"], CorruptCheckpointError)
    assert tree(directory / "a") == before
    assert [info.problem is None for info in history(store, "a")] == [False, True, True]
    recovery = recover(store, "a", NOW)
    assert recovery.restored_from == entries[1].generation
    assert recovery.evidence is not None
    assert Path(recovery.evidence).read_bytes() == bytes(rotten)
    assert number_of(store, "a") == 1
    assert generations(store, "a")[0] > entries[2].generation
    assert entries[2].generation not in generations(store, "a")
    assert verify(store).ok
    assert recover(store, "a", NOW).problem is None


def test_a_rotten_older_generation_hurts_nobody_but_itself(
    store: FileStore, directory: Path
) -> None:
    for n in range(3):
        store.write("a", sealed("a", n))
    path = directory / "a" / "2"
    path.write_bytes(path.read_bytes()[:-1])
    assert number_of(store, "a") == 2
    with pytest.raises(CorruptCheckpointError) as caught:
        read_record(store, "a", 2)
    assert caught.value.generation == 2
    assert [info.problem is None for info in history(store, "a")] == [True, False, True]
    store.write("a", sealed("a", 3))
    current = directory / "a" / "current"
    current.write_bytes(current.read_bytes()[:-1])
    assert recover(store, "a", NOW).restored_from == 3


def test_recovery_skips_bad_generations_and_gives_up_where_all_are(
    store: FileStore, directory: Path
) -> None:
    for n in range(4):
        store.write("a", sealed("a", n))
    for number in (4, 3, 2):
        (directory / "a" / str(number)).write_bytes(b"")
    assert recover(store, "a", NOW).restored_from == 1
    assert number_of(store, "a") == 0
    for name in os.listdir(directory / "a"):
        (directory / "a" / name).write_bytes(b"")
    before = tree(directory / "a")
    with pytest.raises(CorruptCheckpointError, match="no older generation is good"):
        recover(store, "a", NOW)
    assert tree(directory / "a") == before
    store.remove("a")
    assert store.keys() == ()


def test_the_evidence_is_bounded_and_the_last_is_kept(store: FileStore, directory: Path) -> None:
    store.write("a", sealed("a", 0))
    last = b""
    for n in range(25):
        store.write("a", sealed("a", 0))
        last = b"rotten %d" % n
        (directory / "a" / "current").write_bytes(last)
        recovery = recover(store, "a", NOW)
    assert recovery.evidence is not None
    assert Path(recovery.evidence).read_bytes() == last
    kept = sorted((directory / ".aside").iterdir())
    assert len(kept) == 16
    assert kept[-1] == Path(recovery.evidence)


def test_a_foreign_file_among_the_evidence_is_left_alone(store: FileStore, directory: Path) -> None:
    for _ in range(20):
        for n in range(2):
            store.write("a", sealed("a", n))
        (directory / "a" / "current").write_bytes(b"rotten")
        recover(store, "a", NOW)
        for name in ("notes.txt", "zzz", "00000000"):
            (directory / ".aside" / name).write_text("mine")
    for name in ("notes.txt", "zzz", "00000000"):
        assert (directory / ".aside" / name).read_text() == "mine"
    assert len(list((directory / ".aside").iterdir())) == 16 + 3


# ---------------------------------------------------------------- something else in its place


def make_socket(path: Path) -> None:
    """Make a socket; its address may be longer than the kernel takes, so it is moved."""
    place = tempfile.mkdtemp(dir=path.parents[2])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{place}/s")
    os.rename(f"{place}/s", path)
    os.rmdir(place)


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def make_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero


def make_driverless_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(10, 254))


def make_full_directory(path: Path) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_text("evidence")


def make_link_to_another_state(path: Path) -> None:
    path.symlink_to("../b/current")


def other_keys_file(path: Path) -> None:
    shutil.copyfile(path.parents[1] / "b" / "current", path)


IN_ITS_PLACE: dict[str, Damage] = {
    "nothing": lambda path: None,
    "an empty file": lambda path: path.write_bytes(b""),
    "NUL bytes": lambda path: path.write_bytes(b"\0" * 1024),
    "text": lambda path: path.write_text("hello\n"),
    "another key's file": other_keys_file,
    "an empty directory": lambda path: path.mkdir(),
    "a full directory": make_full_directory,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to("current"),
    "a link to another state": make_link_to_another_state,
    "a link to an older one": lambda path: path.symlink_to("1"),
    "a fifo": os.mkfifo,
    "a socket": make_socket,
    "a sparse huge file": make_sparse,
}
ROOTS_OWN: dict[str, Damage] = {
    "a device": make_device,
    "a device without a driver": make_driverless_device,
}
EVERYTHING = [
    *IN_ITS_PLACE,
    *(pytest.param(name, marks=pytest.mark.root) for name in ROOTS_OWN),
]


def put_in_place(name: str, path: Path) -> None:
    """Replace a file by something else."""
    path.unlink()
    if name in IN_ITS_PLACE:
        IN_ITS_PLACE[name](path)
        return
    try:
        ROOTS_OWN[name](path)
    except PermissionError:
        pytest.skip("only root makes device nodes")


@pytest.mark.parametrize("name", EVERYTHING)
def test_whatever_stands_in_place_of_the_newest_state_is_reported_and_recovered_from(
    store: FileStore, directory: Path, name: str
) -> None:
    for key in ("a", "b"):
        for n in range(3):
            store.write(key, sealed(key, n))
    path = directory / "a" / "current"
    put_in_place(name, path)
    before = os.path.lexists(path) and path.lstat().st_mode
    began = time.monotonic()
    huge = name == "a sparse huge file"
    error = CheckpointTooLargeError if huge else CorruptCheckpointError
    with pytest.raises(error):
        read_record(store, "a")
    with pytest.raises(error):
        store.write("a", sealed("a", 9))
    assert number_of(store, "a", 2) == 1
    assert store.keys() == ("a", "b")
    assert generations(store, "a")[1:][-2:] == [2, 1]
    assert not verify(store, ["a"]).ok
    assert (os.path.lexists(path) and path.lstat().st_mode) == before
    recovery = recover(store, "a", NOW)
    assert recovery.problem
    assert recovery.evidence is not None
    if before:
        assert Path(recovery.evidence).lstat().st_mode == before
    assert number_of(store, "a") == 2  # its number still had it
    assert generations(store, "a")[0] > 3
    assert number_of(store, "b") == 2
    store.write("a", sealed("a", 10))
    assert number_of(store, "a") == 10
    assert verify(store).ok
    assert time.monotonic() - began < 2
    assert tree(directory)["b/current"][2] == (directory / "b" / "3").read_bytes()


@pytest.mark.parametrize("name", EVERYTHING)
def test_whatever_stands_in_place_of_the_newest_state_can_be_removed(
    store: FileStore, directory: Path, name: str
) -> None:
    for key in ("a", "b"):
        store.write(key, sealed(key, 1))
    put_in_place(name, directory / "a" / "current")
    store.remove("a")
    assert store.keys() == ("b",)
    assert os.listdir(directory / ".tmp") == []
    assert number_of(store, "b") == 1
    assert store.write("a", sealed("a", 2)).generation > 1


@pytest.mark.parametrize("name", EVERYTHING)
def test_whatever_stands_in_place_of_an_older_generation_hurts_nobody_else(
    store: FileStore, directory: Path, name: str
) -> None:
    for key in ("a", "b"):
        for n in range(3):
            store.write(key, sealed(key, n))
    path = directory / "a" / "2"
    path.unlink()
    if name == "another key's file":
        shutil.copyfile(directory / "b" / "current", path)
    elif name == "a link to itself":
        path.symlink_to("2")
    else:
        path.write_bytes(b"")
        put_in_place(name, path)
    with pytest.raises((CorruptCheckpointError, CheckpointTooLargeError, CheckpointNotFoundError)):
        read_record(store, "a", 2)
    assert number_of(store, "a") == 2
    assert number_of(store, "a", 1) == 0
    for n in range(3, 8):
        store.write("a", sealed("a", n))
    assert generations(store, "a") == [8, 7, 6, 5]
    assert not os.path.lexists(path)


@pytest.mark.parametrize("name", ["an empty file", "text", "a link to nothing", "a fifo"])
def test_whatever_stands_in_place_of_a_key_s_directory_is_reported_and_can_be_removed(
    store: FileStore, directory: Path, name: str
) -> None:
    store.write("b", sealed("b", 1))
    IN_ITS_PLACE[name](directory / "a")
    for act in (
        lambda: store.read("a"),
        lambda: store.read("a", 1),
        lambda: store.write("a", sealed("a", 1)),
        lambda: recover(store, "a", NOW),
    ):
        with pytest.raises(CorruptCheckpointError):
            act()
    assert store.keys() == ("a", "b")
    assert len(store.history("a")) == 1
    assert not verify(store).ok
    store.remove("a")
    assert store.keys() == ("b",)
    assert store.write("a", sealed("a", 1)).generation >= 1


def test_a_key_s_directory_that_is_a_link_is_never_followed(
    store: FileStore, directory: Path, quick: Path
) -> None:
    store.write("b", sealed("b", 1))
    outside = quick / "outside"
    shutil.copytree(directory / "b", outside)
    before = tree(outside)
    (directory / "a").symlink_to(outside)
    (directory / "c").symlink_to("b")
    for key in ("a", "c"):
        with pytest.raises(CorruptCheckpointError):
            store.read(key)
        with pytest.raises(CorruptCheckpointError):
            store.write(key, raw(b"x"))
        with pytest.raises((CorruptCheckpointError, ConflictError)):
            store.set_aside(key, store.history(key)[0].revision)
        store.remove(key)
    assert tree(outside) == before
    assert store.keys() == ("b",)
    assert number_of(store, "b") == 1


@pytest.mark.parametrize("name", ["text", "nothing", "a fifo"])
@pytest.mark.parametrize("expected", [1, 2, 3, 4, ABSENT])
def test_a_generation_that_is_only_guessed_wins_no_compare_and_swap(
    store: FileStore, directory: Path, name: str, expected: int | Absent
) -> None:
    for n in range(3):
        store.write("a", sealed("a", n))
    put_in_place_of("a", directory, name)
    with pytest.raises((CorruptCheckpointError, ConflictError)):
        store.remove("a", expected=expected)
    assert store.keys() == ("a",)
    assert number_of(store, "a", 3) == 2
    store.remove("a")
    assert store.keys() == ()


def put_in_place_of(key: str, directory: Path, name: str) -> None:
    path = directory / key / "current"
    path.unlink()
    IN_ITS_PLACE[name](path)


def test_an_emptied_key_s_directory_is_damage(store: FileStore, directory: Path) -> None:
    (directory / "a").mkdir()
    with pytest.raises(CorruptCheckpointError):
        store.read("a")
    with pytest.raises(CorruptCheckpointError):
        store.write("a", sealed("a", 1))
    with pytest.raises(CorruptCheckpointError):
        recover(store, "a", NOW)
    seen: list[object] = []

    def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
        seen.append(previous)
        return b"new"

    store.write("a", seal)
    assert isinstance(seen[0], Damaged)
    assert store.read("a") == b"new"
    (directory / "c").mkdir()
    store.remove("c")
    assert store.keys() == ("a",)


# ------------------------------------------------------------------------- older copies, junk


def test_an_older_copy_that_is_put_back_is_reported_and_nothing_is_lost(
    store: FileStore, directory: Path
) -> None:
    for n in range(2):
        store.write("a", sealed("a", n))
    path = directory / "a" / "current"
    copy = path.read_bytes()
    store.write("a", sealed("a", 2))
    path.unlink()
    path.write_bytes(copy)
    for act in (
        lambda: store.read("a"),
        lambda: store.write("a", sealed("a", 3)),
        lambda: store.read("a", generations(store, "a")[0]),
    ):
        with pytest.raises(CorruptCheckpointError, match="older copy"):
            act()
    assert number_of(store, "a", 3) == 2
    recovery = recover(store, "a", NOW)
    assert recovery.restored_from == 3
    assert number_of(store, "a") == 2
    assert verify(store).ok


def test_older_bytes_that_are_written_into_the_newest_file_stop_the_next_save(
    store: FileStore, directory: Path
) -> None:
    for n in range(3):
        store.write("a", sealed("a", n))
    (directory / "a" / "current").write_bytes((directory / "a" / "2").read_bytes())
    before = tree(directory / "a")
    with pytest.raises(CorruptCheckpointError, match="holds generation 2"):
        store.write("a", sealed("a", 3))
    with pytest.raises(CorruptCheckpointError, match="holds generation 2"):
        read_record(store, "a", 3)
    assert tree(directory / "a") == before
    assert generations(store, "a") == [3, 2, 1]
    assert not verify(store).ok
    assert recover(store, "a", NOW).restored_from == 2
    assert number_of(store, "a") == 1
    assert store.write("a", sealed("a", 4)).generation > 4
    assert verify(store).ok


def test_a_store_that_was_copied_without_its_hard_links_works_on(
    store: FileStore, directory: Path, quick: Path
) -> None:
    for n in range(4):
        store.write("a", sealed("a", n))
    copied = quick / "copied"
    shutil.copytree(directory, copied)
    assert (copied / "a" / "current").stat().st_nlink == 1
    with FileStore(copied, durability="none", history=3) as copy:
        assert number_of(copy, "a") == 3
        assert [number_of(copy, "a", n) for n in generations(copy, "a")] == [3, 2, 1, 0]
        copy.write("a", sealed("a", 4))
        assert [number_of(copy, "a", n) for n in generations(copy, "a")] == [4, 3, 2, 1]
        assert (copied / "a" / "current").stat().st_nlink == 2
        copy.remove("a")
        assert copy.keys() == ()


def test_an_edited_file_is_reported_and_the_state_that_its_number_still_has_is_recovered(
    store: FileStore, directory: Path
) -> None:
    for n in range(3):
        store.write("a", sealed("a", n))
    path = directory / "a" / "current"
    edited = path.read_bytes().replace(b'"n":2', b'"n":7')
    path.unlink()
    path.write_bytes(edited)
    with pytest.raises(CorruptCheckpointError):
        read_record(store, "a")
    recover(store, "a", NOW)
    assert number_of(store, "a") == 2


def test_a_current_that_is_gone_while_its_number_is_there_is_damage_not_an_older_state(
    store: FileStore, directory: Path
) -> None:
    for n in range(3):
        store.write("a", sealed("a", n))
    (directory / "a" / "current").unlink()
    with pytest.raises(CorruptCheckpointError, match="missing"):
        store.read("a")
    recover(store, "a", NOW)
    assert number_of(store, "a") == 2


def test_junk_among_the_generations_is_ignored_and_goes_with_the_key(
    store: FileStore, directory: Path
) -> None:
    store.write("a", sealed("a", 1))
    inside = directory / "a"
    for name in ("0", "01", "-1", "1.bak", "current~", ".hidden", "٣"):
        (inside / name).write_text("junk")
    make_full_directory(inside / "directory")
    assert generations(store, "a") == [1]
    assert store.write("a", sealed("a", 2)).generation == 2
    assert generations(store, "a") == [2, 1]
    assert (inside / "1.bak").read_text() == "junk"
    store.remove("a")
    assert store.keys() == ()
    assert not inside.exists()


@pytest.mark.parametrize("name", ["9" * 17, "9" * 18, "9" * 19, "9" * 40, "2"])
def test_a_foreign_file_with_a_number_for_a_name_does_not_spoil_the_key(
    store: FileStore, directory: Path, name: str
) -> None:
    store.write("a", sealed("a", 1))
    (directory / "a" / name).write_text("junk")
    assert number_of(store, "a") == 1
    assert generations(store, "a") == [1]
    for n in (2, 3):
        try:
            entry = store.write("a", sealed("a", n))
        except StoreError:
            assert number_of(store, "a") == 1
        else:
            assert number_of(store, "a") == number_of(store, "a", entry.generation) == n
    store.remove("a")
    entry = store.write("a", sealed("a", 4))
    assert number_of(store, "a", entry.generation) == 4


def test_junk_in_the_root_is_no_key(store: FileStore, directory: Path) -> None:
    store.write("a", sealed("a", 1))
    for name in (".junk", "~backup", "b ", "_c", "d.", "ä"):
        (directory / name).write_text("junk")
    assert store.keys() == ("a",)
    with FileStore(directory) as again:
        assert again.keys() == ("a",)
    assert (directory / ".junk").read_text() == "junk"
