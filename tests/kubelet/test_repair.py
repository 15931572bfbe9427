"""The corrected copy: beside the file, for the checksum alone, and never while a kubelet runs."""

from __future__ import annotations

import os
import pickle
import resource
import shlex
from pathlib import Path

import pytest

from checkpointkit.kubelet import repair as module
from checkpointkit.kubelet.explain import explain
from checkpointkit.kubelet.repair import (
    KubeletFileError,
    RepairRefusedError,
    read_file,
    repair,
    running,
)
from tests.kubelet.test_explain import CPU, GOOD, NOW

BAD = GOOD.replace(b"90}", b"91}")


def test_a_copy_is_written_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / CPU
    path.write_bytes(BAD)
    made = repair(str(path), explain(CPU, BAD, version=NOW), kubelets=())
    assert Path(made.copy).read_bytes() == GOOD
    assert Path(made.copy).stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == BAD
    assert any(f"mv -- {made.copy} {path}" in step for step in made.steps)
    with pytest.raises(KubeletFileError, match="File exists"):
        repair(str(path), explain(CPU, BAD, version=NOW), kubelets=())


@pytest.mark.parametrize(
    ("data", "kubelets", "says"),
    [
        (GOOD, (), "its checksum is right"),
        (BAD, (7, 8), r"a kubelet runs \(process 7, 8\)"),
        (BAD, None, "nobody can tell"),
        (GOOD.replace(b"none", b"nooe"), (), "only a checksum is corrected"),
        (GOOD.replace(b"none", b"some"), (), "only a checksum is corrected"),
        (b"", (), "only a checksum is corrected"),
    ],
)
def test_everything_else_is_refused(
    tmp_path: Path, data: bytes, kubelets: tuple[int, ...] | None, says: str
) -> None:
    path = str(tmp_path / CPU)
    with pytest.raises(RepairRefusedError, match=says) as caught:
        repair(path, explain(CPU, data, version=NOW), kubelets=kubelets)
    assert os.listdir(tmp_path) == []
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_a_copy_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repair(CPU, explain(CPU, BAD, version=NOW), kubelets=()).copy == f"{CPU}.repaired"


def test_the_steps_name_odd_paths_so_that_a_shell_reads_them(tmp_path: Path) -> None:
    path = str(tmp_path / f"{CPU} $(rm x)")
    made = repair(path, explain(CPU, BAD, version=NOW), kubelets=())
    (step,) = [each for each in made.steps if each.startswith("mv")]
    assert shlex.split(step) == ["mv", "--", f"{path}.repaired", path]


def test_a_copy_never_replaces_what_stands_there(tmp_path: Path) -> None:
    path, copy = tmp_path / CPU, tmp_path / f"{CPU}.repaired"
    path.write_bytes(BAD)
    for target in (path, tmp_path / "nowhere"):
        copy.symlink_to(target)
        with pytest.raises(KubeletFileError, match="cannot be written"):
            repair(str(path), explain(CPU, BAD, version=NOW), kubelets=())
        copy.unlink()
    os.link(path, copy)
    with pytest.raises(KubeletFileError, match="File exists"):
        repair(str(path), explain(CPU, BAD, version=NOW), kubelets=())
    assert path.read_bytes() == copy.read_bytes() == BAD
    assert sorted(os.listdir(tmp_path)) == [CPU, copy.name]


def test_half_a_copy_is_taken_away(tmp_path: Path) -> None:
    path = str(tmp_path / CPU)
    found = explain(CPU, BAD, version=NOW)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(KubeletFileError, match="too large"):
            repair(path, found, kubelets=())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_a_kubelet_is_known_by_its_name(tmp_path: Path) -> None:
    for process, name in (("12", b"kubelet\n"), ("7", b"kubelet\n"), ("9", b"kubelet-wrap\n")):
        (tmp_path / process).mkdir()
        (tmp_path / process / "comm").write_bytes(name)
    (tmp_path / "13").mkdir()  # has just ended
    (tmp_path / "self").mkdir()
    assert running(str(tmp_path)) == (7, 12)
    assert running(str(tmp_path / "missing")) is None


def test_what_cannot_be_read_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KubeletFileError, match="No such file") as caught:
        read_file(str(tmp_path / CPU))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for name in ("", "pipe"):
        with pytest.raises(KubeletFileError, match="no regular file"):
            read_file(str(tmp_path / name))
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    (tmp_path / CPU).write_bytes(BAD)
    monkeypatch.setattr(module, "LARGEST", len(BAD) - 1)
    with pytest.raises(KubeletFileError, match="more than"):
        read_file(str(tmp_path / CPU))
