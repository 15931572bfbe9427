from __future__ import annotations

from pathlib import Path

import pytest

from checkpointkit import CheckpointManager, MemoryStore, Payload, Schema
from checkpointkit.errors import CheckpointError, ReadOnlyError, StoreError, VersionTooNewError
from checkpointkit.pods.machine import Stage, State
from checkpointkit.pods.model import PodName, record_key
from checkpointkit.pods.record import Copy, Record
from checkpointkit.pods.state import RECORDS, PodState
from tests.pods.tick import ONE, TWO

SAVED = Record(
    ONE,
    Stage(State.ACTIVE_GRACE, 10.0, 70.0),
    uid="7f3e",
    controller_uid="c0",
    copy=Copy("7f3e", 5.0, "sha256:00", {"secrets/kube-system/a/tls": "sha256:11"}),
)
GRACE_GONE = Record(ONE, Stage(), uid="7f3e", controller_uid="c0")


def files_of(directory: Path, name: PodName) -> list[Path]:
    key = directory / "pods" / record_key(name)
    return sorted(path for path in key.iterdir() if path.name.isdigit())


def rot(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def test_a_record_survives_a_restart_with_its_grace_period(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path / "state"))
    assert state.save(SAVED)
    state.belong_to("6c1f")
    again = PodState.open(str(tmp_path / "state"))
    assert again.records() == {ONE: SAVED}
    assert again.cluster == "6c1f"
    assert again.problems == ()


def test_a_record_that_is_stored_already_is_not_written(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    assert state.save(SAVED)
    before = [(path, path.stat().st_mtime_ns) for path in files_of(tmp_path, ONE)]
    assert not state.save(SAVED)
    assert [(path, path.stat().st_mtime_ns) for path in files_of(tmp_path, ONE)] == before


def test_a_record_is_deleted_once(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    state.save(SAVED)
    assert state.delete(ONE)
    assert not state.delete(ONE)
    assert PodState.open(str(tmp_path)).records() == {}


def test_what_could_not_be_stored_is_as_it_was() -> None:
    records = MemoryStore(max_bytes=700)
    state = PodState(records, MemoryStore())
    small = Record(ONE, uid="7f3e")
    state.save(small)
    with pytest.raises(CheckpointError):
        state.save(Record(ONE, uid="7f3e" * 100))
    assert state.records() == {ONE: small}


def test_a_damaged_record_is_made_anew_without_where_its_copy_stands(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    state.save(SAVED)
    state.save(Record(ONE, Stage(State.INACTIVE), uid="7f3e", controller_uid="c0", copy=SAVED.copy))
    rot(files_of(tmp_path, ONE)[-1])
    again = PodState.open(str(tmp_path))
    assert again.records() == {ONE: GRACE_GONE}
    assert len(again.problems) == 1
    assert "7f3e" not in again.problems[0]
    assert PodState.open(str(tmp_path)).problems == ()


def test_a_damaged_record_does_not_bring_back_what_was_removed(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    buried = SAVED.buried()
    state.save(buried)
    state.save(SAVED)
    rot(files_of(tmp_path, ONE)[-1])
    assert PodState.open(str(tmp_path)).records() == {ONE: buried}


def test_a_record_without_a_good_generation_is_removed_and_the_others_stay(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    state.save(SAVED)
    state.save(Record(TWO, uid="u2"))
    rot(files_of(tmp_path, ONE)[0])
    again = PodState.open(str(tmp_path))
    assert set(again.records()) == {TWO}
    assert len(again.problems) == 1


def test_a_damaged_record_of_the_node_is_removed(tmp_path: Path) -> None:
    PodState.open(str(tmp_path)).belong_to("6c1f")
    rot(tmp_path / "node" / "node" / "1")
    again = PodState.open(str(tmp_path))
    assert again.cluster == ""
    assert len(again.problems) == 1
    again.belong_to("6c1f")
    assert PodState.open(str(tmp_path)).cluster == "6c1f"


def test_what_a_newer_release_has_saved_is_left_alone() -> None:
    def raised(old: Payload) -> Payload:
        return old

    newer = Schema(Record, kind=RECORDS.kind, version=2, migrations={1: raised})
    records = MemoryStore()
    CheckpointManager(records, newer).create(record_key(ONE), SAVED)
    with pytest.raises(VersionTooNewError):
        PodState(records, MemoryStore())
    assert list(records.keys()) == [record_key(ONE)]


def test_nothing_is_created_or_changed_where_it_is_only_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        PodState.open(str(tmp_path / "absent"), read_only=True)
    assert not list(tmp_path.iterdir())
    PodState.open(str(tmp_path)).save(SAVED)
    reader = PodState.open(str(tmp_path), read_only=True)
    assert reader.records() == {ONE: SAVED}
    with pytest.raises(ReadOnlyError):
        reader.delete(ONE)
    assert reader.records() == {ONE: SAVED}


def test_the_directory_is_for_root_alone(tmp_path: Path) -> None:
    PodState.open(str(tmp_path / "state"))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_what_is_damaged_stays_as_it_is_where_it_is_only_read(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    state.save(SAVED)
    state.belong_to("6c1f")
    rot(files_of(tmp_path, ONE)[0])
    rot(tmp_path / "node" / "node" / "1")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    reader = PodState.open(str(tmp_path), read_only=True)
    assert (reader.records(), reader.cluster, len(reader.problems)) == ({}, "", 2)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_a_node_that_has_left_its_cluster_knows_none(tmp_path: Path) -> None:
    state = PodState.open(str(tmp_path))
    state.belong_to("6c1f")
    assert state.leave()
    assert not state.leave()
    assert PodState.open(str(tmp_path)).cluster == ""
