"""The store of the kubelet's files: the contract of a store, and what Go code sees of it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from checkpointkit import CheckpointManager, Schema
from checkpointkit.envelope import encode_payload, make_header, seal_envelope
from checkpointkit.errors import (
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    EncodeError,
    LockTimeoutError,
    MigrationError,
    OutcomeUnknownError,
    ReadOnlyError,
    StoreError,
    StoreUnavailableError,
    VersionTooNewError,
    VersionTooOldError,
    WrongKindError,
)
from checkpointkit.kubelet import (
    ALLOCATED_PODS,
    MEMORY_V1,
    MEMORY_V2,
    CpuStateV2,
    CpuStateV3,
    KubeletStore,
    MemoryStateV1,
    PodCpus,
    PodsState,
    cpu_v2,
    cpu_v3,
)
from checkpointkit.kubelet.formats import CPU_V2
from checkpointkit.kubelet.models import SCHEMAS
from checkpointkit.kubelet.store import KubeletCalls
from checkpointkit.kubelet.verdicts import render
from checkpointkit.testing import StoreOpener, StoreTests
from tests.kubelet.vectors import vectors

CPU = "cpu_manager_state"
EMPTY = b'{"policyName":"none","defaultCpuSet":"","checksum":1353318690}'
NONE = CpuStateV2("none", "", {})


class TestTheContract(StoreTests):
    """Under keys that are no files of the kubelet: what goes in comes out."""

    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: KubeletStore(quick / name, max_bytes=max_bytes)


def test_go_code_finds_the_file_that_the_kubelet_would_have_written(tmp_path: Path) -> None:
    manager = CheckpointManager(KubeletStore(tmp_path / "new"), cpu_v2())
    manager.create(CPU, NONE)
    file = tmp_path / "new" / CPU
    assert file.read_bytes() == EMPTY
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755
    assert os.listdir(tmp_path / "new") == [CPU]
    assert manager.get(CPU) == NONE


def test_every_file_of_the_kubelet_is_read_and_written_again_through_the_manager(
    tmp_path: Path,
) -> None:
    store = KubeletStore(tmp_path)
    for vector in vectors():
        if vector.by_the_kubelet and not vector.facts["notes"].startswith("V1 with"):
            (tmp_path / vector.file).write_bytes(vector.data)
            manager = CheckpointManager(store, SCHEMAS[vector.kind.name])
            manager.update(vector.file, lambda value: value)
            assert (tmp_path / vector.file).read_bytes() == vector.data, vector.name


def test_a_save_of_go_code_is_a_new_generation_and_wins_a_race(tmp_path: Path) -> None:
    manager = CheckpointManager(KubeletStore(tmp_path), cpu_v2())
    info = manager.create(CPU, NONE)
    replace(tmp_path / CPU, EMPTY)
    assert manager.load(CPU).info.generation > info.generation
    with pytest.raises(ConflictError):
        manager.create(CPU, NONE, expected=info.generation)


def replace(path: Path, data: bytes) -> None:
    """Save as Go code does: through a temporary file, with the time of the clock."""
    (path.parent / ".123").write_bytes(data)
    os.rename(path.parent / ".123", path)


def test_older_versions_are_migrated_and_newer_ones_left_alone(tmp_path: Path) -> None:
    store = KubeletStore(tmp_path)
    (tmp_path / CPU).write_bytes(EMPTY)
    new = CheckpointManager(store, cpu_v3())
    assert new.get(CPU) == CpuStateV3("none", "", {}, {})
    saved = CpuStateV3("static", "0-1", {"pod": {"c": "2"}}, {"pod": PodCpus("2-3")})
    new.create(CPU, saved)
    assert new.get(CPU) == saved
    old = CheckpointManager(store, cpu_v2())
    with pytest.raises(VersionTooNewError):
        old.get(CPU)
    with pytest.raises(VersionTooNewError):
        old.create(CPU, NONE)
    memory = CheckpointManager(store, MEMORY_V1)
    memory.create("memory_manager_state", MemoryStateV1("None", {}, {}))
    assert CheckpointManager(store, MEMORY_V2).get("memory_manager_state").pod_entries == {}


def test_version_1_needs_the_containers_of_the_node(tmp_path: Path) -> None:
    (vector,) = [each for each in vectors() if each.name == "cpu_manager_state_v1/base-legacy-2"]
    (tmp_path / CPU).write_bytes(vector.data)
    store = KubeletStore(tmp_path, read_only=True)
    with pytest.raises(VersionTooOldError):
        CheckpointManager(store, cpu_v2()).get(CPU)
    names = {name: ("pod", str(n)) for n, name in enumerate(json.loads(vector.data)["entries"])}
    found = CheckpointManager(store, cpu_v3(names.get)).get(CPU)
    assert found.entries is not None
    assert set(found.entries["pod"] or {}) == {str(n) for n in range(len(names))}
    with pytest.raises(MigrationError, match="not known on this node"):
        CheckpointManager(store, cpu_v3(lambda _: None)).get(CPU)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no JSON"),
        (EMPTY[:-2], "no JSON"),
        (EMPTY.replace(b"none", b"some"), "checksum"),
        (b"\0" * 60, "no JSON"),
    ],
)
def test_what_the_kubelet_refuses_is_corrupt_and_not_overwritten(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    (tmp_path / CPU).write_bytes(data)
    manager = CheckpointManager(KubeletStore(tmp_path), cpu_v2())
    with pytest.raises(CorruptCheckpointError, match=reason):
        manager.get(CPU)
    with pytest.raises(CorruptCheckpointError, match=reason):
        manager.create(CPU, NONE)
    assert (tmp_path / CPU).read_bytes() == data
    manager.remove(CPU)
    manager.create(CPU, NONE)


@pytest.mark.parametrize("made", ["directory", "link"])
def test_what_is_no_file_is_corrupt(tmp_path: Path, made: str) -> None:
    if made == "directory":
        (tmp_path / CPU).mkdir()
    else:
        (tmp_path / CPU).symlink_to("elsewhere")
    store = KubeletStore(tmp_path)
    assert store.keys() == (() if made == "directory" else (CPU,))
    assert len(store.history(CPU)) == 1
    with pytest.raises(CorruptCheckpointError, match="no regular file"):
        store.read(CPU)
    if made == "directory":
        with pytest.raises(StoreError):
            store.write(CPU, lambda number, previous: CheckpointBytes.of(number))
        with pytest.raises(StoreError):
            store.remove(CPU)
    else:
        store.remove(CPU)


class CheckpointBytes:
    @staticmethod
    def of(number: int) -> bytes:
        schema = cpu_v2()
        payload = encode_payload(schema.dump(NONE))
        header = make_header(
            key=CPU,
            kind=schema.kind,
            schema_version=2,
            fingerprint=schema.fingerprint,
            generation=number,
            created_at="2026-01-01T00:00:00.000000Z",
            previous=None,
            payload=payload,
        )
        return seal_envelope(header, payload)[0]


@pytest.mark.parametrize(
    "value",
    [
        CpuStateV3("none", "", None, {}),  # the kubelet's file has no nil map
        CpuStateV3("none", "", {}, {"pod": PodCpus("3,1-2")}),  # not as it writes CPUs
        CpuStateV3("none", "", {}, {"pod": PodCpus("some")}),
    ],
)
def test_what_the_file_cannot_say_is_not_saved(tmp_path: Path, value: CpuStateV3) -> None:
    manager = CheckpointManager(KubeletStore(tmp_path), cpu_v3())
    with pytest.raises(EncodeError, match="cannot say it"):
        manager.create(CPU, value)
    assert os.listdir(tmp_path) == []


def test_a_key_of_the_kubelet_holds_its_own_kind_and_versions_alone(tmp_path: Path) -> None:
    store = KubeletStore(tmp_path)
    with pytest.raises(WrongKindError):
        CheckpointManager(store, ALLOCATED_PODS).create(CPU, PodsState("{}"))
    newer: Schema[dict[str, int]] = Schema(dict[str, int], kind="kubelet/" + CPU, version=9)
    with pytest.raises(VersionTooNewError):
        CheckpointManager(store, newer).create(CPU, {})


def test_a_store_that_is_read_only_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / CPU).write_bytes(EMPTY)
    store = KubeletStore(tmp_path, read_only=True)
    assert CheckpointManager(store, cpu_v2()).get(CPU) == NONE
    for change in (
        lambda: store.write(CPU, lambda number, previous: b""),
        lambda: store.write_many({CPU: lambda number, previous: b""}),
        lambda: store.remove(CPU),
    ):
        with pytest.raises(ReadOnlyError):
            change()
    with pytest.raises(StoreError):
        KubeletStore(tmp_path / "missing", read_only=True)


def test_a_directory_that_is_none_any_more_is_no_empty_store(tmp_path: Path) -> None:
    store = KubeletStore(tmp_path / "state")
    os.rename(tmp_path / "state", tmp_path / "moved")
    for look in (
        lambda: store.read("a"),
        store.keys,
        lambda: store.write("a", lambda number, previous: b""),
    ):
        with pytest.raises(StoreUnavailableError):
            look()


class Failing(KubeletCalls):
    """One call fails, or one time is not kept."""

    def __init__(self, name: str, after: int = 0) -> None:
        super().__init__()
        self.left = after
        real = getattr(self, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        setattr(self, name, call)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "utime", "fchmod"])
def test_a_save_that_fails_leaves_the_file_and_no_other(tmp_path: Path, call: str) -> None:
    KubeletStore(tmp_path).write("a", lambda number, previous: b"before")
    store = KubeletStore(tmp_path, system=Failing(call))
    with pytest.raises(StoreError, match="ENOSPC"):
        store.write("a", lambda number, previous: b"after")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


@pytest.mark.parametrize("change", ["write", "remove"])
def test_a_directory_that_cannot_be_synced_leaves_the_outcome_open(
    tmp_path: Path, change: str
) -> None:
    KubeletStore(tmp_path).write("a", lambda number, previous: b"before")
    store = KubeletStore(tmp_path, system=Failing("fsync", after=change == "write"))
    with pytest.raises(OutcomeUnknownError):
        store.remove("a") if change == "remove" else store.write("a", lambda *_: b"after")


@pytest.mark.parametrize(
    ("call", "work"),
    [
        ("read", lambda store: store.read("a")),
        ("listdir", lambda store: store.keys()),
        ("unlink", lambda store: store.remove("a")),
    ],
)
def test_what_the_disk_says_is_an_error_of_the_store(tmp_path: Path, call: str, work: Any) -> None:
    KubeletStore(tmp_path).write("a", lambda number, previous: b"before")
    with pytest.raises(StoreError, match="ENOSPC"):
        work(KubeletStore(tmp_path, system=Failing(call)))


def test_a_lock_that_cannot_be_opened_is_an_error_of_the_store(tmp_path: Path) -> None:
    store = KubeletStore(tmp_path, system=Failing("open", after=1))
    with pytest.raises(StoreError, match="ENOSPC"):
        store.write("a", lambda number, previous: b"")


def test_a_file_system_without_fine_times_is_refused(tmp_path: Path) -> None:
    class Coarse(KubeletCalls):
        utime = staticmethod(lambda fd, ns: os.utime(fd, ns=(10**9, 10**9)))

    with pytest.raises(StoreError, match="100 ns"):
        KubeletStore(tmp_path, system=Coarse()).write("a", lambda number, previous: b"")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("who", ["thread", "process"])
def test_another_writer_is_waited_for_and_not_for_ever(tmp_path: Path, who: str) -> None:
    first = KubeletStore(tmp_path, lock_timeout=0.05)
    second = first if who == "thread" else KubeletStore(tmp_path, lock_timeout=0.05)
    inside, go_on = threading.Event(), threading.Event()

    def slow(number: int, previous: object) -> bytes:
        inside.set()
        go_on.wait(10)
        return b"first"

    thread = threading.Thread(target=lambda: first.write("a", slow))
    thread.start()
    inside.wait(10)
    try:
        with pytest.raises(LockTimeoutError):
            second.write("a", lambda number, previous: b"second")
    finally:
        go_on.set()
        thread.join()
    assert second.read("a") == b"first"


def test_a_file_that_is_too_large_is_neither_saved_nor_read(tmp_path: Path) -> None:
    large = CpuStateV2("static", "", {"pod": {"c": "1" * 500}})
    with pytest.raises(CheckpointTooLargeError):
        CheckpointManager(KubeletStore(tmp_path, max_bytes=700), cpu_v2()).create(CPU, large)
    data = render(CPU_V2, cpu_v2().dump(large))
    (tmp_path / CPU).write_bytes(data)
    for limit in (len(data) - 1, len(data)):  # the file, and the envelope that is made of it
        with pytest.raises(CheckpointTooLargeError):
            KubeletStore(tmp_path, max_bytes=limit).read(CPU)


def test_a_file_that_goes_while_the_keys_are_listed_is_no_key(tmp_path: Path) -> None:
    class Going(KubeletCalls):
        @staticmethod
        def listdir(directory: int) -> list[str]:
            return ["a", "gone"]

    KubeletStore(tmp_path).write("a", lambda number, previous: b"")
    assert KubeletStore(tmp_path, system=Going()).keys() == ("a",)


def test_a_file_from_the_future_is_followed_by_a_later_one(tmp_path: Path) -> None:
    store = KubeletStore(tmp_path)
    store.write("a", lambda number, previous: b"")
    os.utime(tmp_path / "a", ns=(2 * 10**18, 2 * 10**18))
    before = store.history("a")[0].generation
    assert store.write("a", lambda number, previous: b"").generation == before + 1
