"""Rot anywhere in a whole store: each bit, each length, each file; and what is put in its place."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checkpointkit import Json
from checkpointkit.errors import (
    CheckpointError,
    CheckpointTooLargeError,
    CorruptCheckpointError,
    StoreError,
)
from checkpointkit.manager import CheckpointManager
from checkpointkit.records import recover, verify
from checkpointkit.schema import Schema
from checkpointkit.stores.files.layout import stripe_name, stripe_of
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW, number_of, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

STATES = Schema(dict[str, Json], kind="example.com/number", version=1)
LARGE = 100 * 1024
SAMPLES = 300


@pytest.fixture
def directory(quick: Path) -> Path:
    return quick / "store"


def opened(directory: Path) -> FileStore:
    return FileStore(directory, durability="none", history=2)


def damages(path: Path, samples: int | None = None) -> Iterator[str]:
    """Flip each bit of a file, or a sample, and cut it to each length; mend it after each."""
    good = path.read_bytes()
    chance = random.Random(7)
    bits = range(8 * len(good))
    lengths = range(len(good))
    for bit in bits if samples is None else chance.sample(bits, samples):
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, bytes([good[bit // 8] ^ 1 << bit % 8]), bit // 8)
        yield f"bit {bit}"
        os.pwrite(fd, good[bit // 8 : bit // 8 + 1], bit // 8)
        os.close(fd)
    for length in lengths if samples is None else chance.sample(lengths, samples):
        os.truncate(path, length)
        yield f"length {length}"
        path.write_bytes(good)


def reported_by_all(store: FileStore, manager: CheckpointManager[dict[str, Json]]) -> bool:
    """Tell whether `get` through a manager and `verify` both report key `a`."""
    try:
        manager.get("a")
    except CorruptCheckpointError as error:
        problems = verify(store, ["a"]).problems
        return error.key == "a" and bool(problems) and problems[0].key == "a"
    return False


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(("pad", "samples"), [(0, None), (LARGE, SAMPLES)])
def test_get_and_verify_report_each_flipped_bit_and_each_truncation(
    directory: Path, pad: int, samples: int | None
) -> None:
    with opened(directory) as store:
        manager = CheckpointManager(store, STATES)
        for n in range(2):
            manager.create("a", {"n": n, "pad": "x" * pad})
        missed = [
            damage
            for damage in damages(directory / "a" / "current", samples)
            if not reported_by_all(store, manager)
        ]
        assert missed == []
        assert manager.get("a")["n"] == 1


@pytest.mark.usefixtures("unmeasured")
def test_each_damage_to_an_older_generation_is_named_by_verify_and_hurts_no_other(
    directory: Path,
) -> None:
    with opened(directory) as store:
        for n in range(3):
            store.write("a", sealed("a", n))
        missed = [
            damage
            for damage in damages(directory / "a" / "2")
            if [(p.key, p.generation) for p in verify(store).problems] != [("a", 2)]
            or number_of(store, "a") != 2
            or number_of(store, "a", 1) != 0
        ]
    assert missed == []


@pytest.mark.usefixtures("unmeasured")
def test_each_damage_to_a_stripe_s_file_leaves_the_high_water_or_is_an_error(
    directory: Path,
) -> None:
    with opened(directory) as store:
        for n in range(5):
            store.write("a", sealed("a", n))
        store.remove("a")
        wrong = []
        for damage in damages(directory / ".lock" / stripe_name(stripe_of("a"))):
            try:
                generation = store.write("a", sealed("a", 1)).generation
            except StoreError:
                assert store.keys() == ()
            else:
                shutil.rmtree(directory / "a")
                if generation != 6:
                    wrong.append((damage, generation))
    assert wrong == []


def test_each_damage_to_the_format_is_refused(directory: Path) -> None:
    opened(directory).close()
    taken = []
    for damage in damages(directory / ".format"):
        for read_only in (False, True):
            try:
                FileStore(directory, read_only=read_only).close()
            except StoreError:
                continue
            taken.append((damage, read_only))
    assert taken == []


def test_rotten_evidence_hurts_nobody(directory: Path) -> None:
    with opened(directory) as store:
        for n in range(2):
            store.write("a", sealed("a", n))
        (directory / "a" / "current").write_bytes(b"rotten")
        evidence = recover(store, "a", NOW).evidence
        assert evidence is not None
        for _ in damages(Path(evidence)):
            assert verify(store).ok
            assert number_of(store, "a") == 0
        store.write("a", sealed("a", 2))


USED = [f".lock/{stripe_name(stripe_of(key))}" for key in ("a", "b")]
FILES = ["a/1", "a/current", "b/1", "b/current", ".format", *USED]
"""All that a store of two keys holds, once; the stripes of other keys are never read."""


def two_keys(directory: Path) -> None:
    with opened(directory) as store:
        for key in ("a", "b"):
            for n in range(2):
                store.write(key, sealed(key, n))


def test_a_store_of_two_keys_holds_no_other_files_than_those_whose_bits_are_flipped(
    directory: Path,
) -> None:
    two_keys(directory)
    paths = [path for path in directory.rglob("*") if path.is_file()]
    others = [path for path in paths if path.parent.name == ".lock"]
    assert {path.stat().st_ino for path in paths} == {
        (directory / name).stat().st_ino for name in FILES
    } | {path.stat().st_ino for path in others}
    assert len(others) == 64


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_anywhere_in_a_store_gives_a_wrong_state(directory: Path, name: str) -> None:
    two_keys(directory)
    path = directory / name
    good = path.read_bytes()
    fd = os.open(path, os.O_WRONLY)
    for bit in range(8 * len(good)):
        os.pwrite(fd, bytes([good[bit // 8] ^ 1 << bit % 8]), bit // 8)
        _see_no_wrong_state(directory, path)
        os.pwrite(fd, good[bit // 8 : bit // 8 + 1], bit // 8)
    os.close(fd)
    assert path.read_bytes() == good != b""


def _see_no_wrong_state(directory: Path, path: Path) -> None:
    try:
        store = FileStore(directory, durability="none", read_only=True)
    except StoreError:
        assert path.name == ".format"
        return
    with store:
        assert store.keys() == ("a", "b")
        rotten = [problem.key for problem in verify(store).problems]
        assert rotten == [path.parent.name] * (path.parent.name in ("a", "b"))
        for key in ("a", "b"):
            try:
                assert number_of(store, key) == 1
            except CorruptCheckpointError:
                assert (path.parent.name, path.name) in ((key, "current"), (key, "2"))


def test_swapped_stripe_files_are_an_error_of_their_keys_alone(directory: Path) -> None:
    with opened(directory) as store:
        store.write("a", sealed("a", 1))
        store.remove("a")
        locks = directory / ".lock"
        one, other = stripe_of("a"), (stripe_of("a") + 1) % 64
        os.rename(locks / stripe_name(one), locks / "x")
        os.rename(locks / stripe_name(other), locks / stripe_name(one))
        os.rename(locks / "x", locks / stripe_name(other))
        with pytest.raises(StoreError, match="is damaged"):
            store.write("a", sealed("a", 1))
        assert store.keys() == ()


def put(kind: str, path: Path, outside: Path) -> None:
    good = path.read_bytes()
    path.unlink()
    match kind:
        case "a link to a good copy":
            outside.write_bytes(good)
            path.symlink_to(outside)
        case "a link to /dev/zero":
            path.symlink_to("/dev/zero")
        case "a hard link to a foreign file":
            outside.write_text("mine")
            os.link(outside, path)
        case "a directory":
            path.mkdir()
        case "a fifo":
            os.mkfifo(path)
        case "a file of terabytes":
            path.touch()
            os.truncate(path, 2**42)
        case _:
            mode, major, minor = DEVICES[kind]
            os.mknod(path, mode | 0o600, os.makedev(major, minor))


DEVICES = {
    "/dev/null": (stat.S_IFCHR, 1, 3),
    "/dev/zero": (stat.S_IFCHR, 1, 5),
    "a block device": (stat.S_IFBLK, 7, 7),
}
IN_PLACE = [
    "a link to a good copy",
    "a link to /dev/zero",
    "a hard link to a foreign file",
    "a directory",
    "a fifo",
    "a file of terabytes",
    *(pytest.param(name, marks=pytest.mark.root) for name in DEVICES),
]


PLAIN_FILES = ("a hard link to a foreign file", "a file of terabytes")


@pytest.fixture
def alarm() -> Iterator[None]:
    """Let what waits for ever fail: a fifo's reader waits until somebody writes."""

    def ring(number: int, frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("where", ["a/current", "a/2", ".format", "stripe"])
@pytest.mark.parametrize("kind", IN_PLACE)
def test_what_stands_in_place_of_a_file_is_reported_quickly_and_never_followed(
    directory: Path, quick: Path, kind: str, where: str
) -> None:
    if kind in DEVICES and os.geteuid() != 0:
        pytest.skip("only root makes device nodes")
    with opened(directory) as store:
        for n in range(3):
            store.write("a", sealed("a", n))
    name = f".lock/{stripe_name(stripe_of('a'))}" if where == "stripe" else where
    outside = quick / "mine"
    put(kind, directory / name, outside)
    before = outside.read_bytes() if outside.exists() else b""
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:  # noqa: SIM117
        with opened(directory) as store:
            if where == "a/2":
                store.write("a", sealed("a", 3))
                assert number_of(store, "a") == 3
                number_of(store, "a", 2)
            elif where == "stripe":
                assert number_of(store, "a") == 2
                store.remove("a")
            else:
                number_of(store, "a")
    assert time.monotonic() - began < 5
    if where in ("a/current", "a/2"):
        # Never as absence, and as what it is.
        too_large = kind == "a file of terabytes"
        expected = CheckpointTooLargeError if too_large else CorruptCheckpointError
        assert type(caught.value) is expected
        if kind not in PLAIN_FILES:
            assert f"{os.path.basename(where)!r} is no regular file" in str(caught.value)
    else:
        assert isinstance(caught.value, StoreError)
    if outside.exists():
        assert outside.read_bytes() == before
