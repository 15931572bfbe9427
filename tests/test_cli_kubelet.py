"""`checkpointkit kubelet`: what it prints, and its exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checkpointkit.cli import main
from checkpointkit.cli.kubelet import run as command
from checkpointkit.kubelet.formats import ALLOCATED_PODS, DRA
from checkpointkit.kubelet.verdicts import render
from tests.kubelet.vectors import vectors

GOOD = b'{"policyName":"none","defaultCpuSet":"","checksum":1353318690}'
BAD = GOOD.replace(b"90}", b"91}")


@pytest.fixture(autouse=True)
def no_kubelet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "running", lambda: ())


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["kubelet", *words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status, out, _ = said(capsys, *words, "--json")
    found: dict[str, Any] = json.loads(out)
    return status, found


def root(tmp_path: Path, names: tuple[str, ...]) -> Path:
    (tmp_path / "device-plugins").mkdir()
    for vector in vectors():
        if vector.name in names:
            inner = "device-plugins/" * vector.file.startswith("kubelet")
            (tmp_path / f"{inner}{vector.file}").write_bytes(vector.data)
    return tmp_path


def test_a_good_file_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cpu_manager_state").write_bytes(GOOD)
    status, out, _ = said(capsys, "verify", str(tmp_path), "--kubelet-version", "1.36.3")
    assert status == 0
    assert ": good\n" in out
    assert "1353318690, and it should be\n" in out
    assert "PodLevelResourceManagers=true: taken" in out


def test_a_damaged_file_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cpu_manager_state"
    path.write_bytes(BAD)
    gate = ("--feature-gate", "PodLevelResourceManagers=false")
    status, out, _ = said(capsys, "verify", str(path), "--kubelet-version", "1.36", *gate)
    assert status == 1
    for words in (
        "not taken",
        "1353318691, and it should be 1353318690",
        "one bit is wrong: bit 0 of byte 60, in the checksum",
        "refused: could not restore state from checkpoint: checkpoint is corrupted",
        "the kubelet exits, even with the policy none",
        "drain the node",
    ):
        assert words in out
    assert "PodLevelResourceManagers=true" not in out
    status, found = document(capsys, "verify", str(path))
    assert status == 1
    assert (found["format"], found["command"]) == (1, "kubelet verify")
    (file,) = found["files"]
    assert file["checksum"] == {
        "method": "fnv-1a-32",
        "stored": 1353318691,
        "computed": 1353318690,
    }
    assert file["flips"] == [{"offset": 60, "bit": 0, "in_checksum": True}]
    assert file["findings"][0]["cause"] == "flip"
    assert file["repairable"]
    assert len(file["starts"]) == 4


def test_a_file_that_is_taken_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cpu_manager_state.bak"
    path.write_bytes(b"{}")
    status, out, _ = said(capsys, "verify", str(path))
    assert status == 0
    assert ": taken\n" in out
    assert "takes it unchecked" in out
    path.write_bytes(b"")
    status, out, _ = said(capsys, "verify", str(path))
    assert "parser" in out


def test_the_state_is_shown_as_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        "cpu_manager_state_v3/base-single",
        "memory_manager_state_v2/base-single",
        "allocated_pods_state/base-pod-level",
        "dra_manager_state/base-single",
        "kubelet_internal_checkpoint/base-no-numa",
    )
    root(tmp_path, names)
    (tmp_path / "actuated_pods_state").write_bytes(
        next(each.data for each in vectors() if each.name == "allocated_pods_state/base-odd")
    )
    status, out, _ = said(capsys, "show", str(tmp_path))
    assert status == 0
    for words in (
        "15,17,28,42,58,60-61",
        "(the pod)",
        "hugepages-1Gi",
        "cpu=2 memory=1Gi",
        "gpu.example.com  p/d0",
        "vendor.com/nic",
    ):
        assert words in out
    status, found = document(capsys, "show", str(tmp_path))
    assert {file["file"] for file in found["files"]} >= {"cpu_manager_state", "dra_manager_state"}
    assert found["files"][0]["state"]["policy_name"] == "static"


def test_what_cannot_be_shown_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cpu_manager_state").write_bytes(b"")
    (tmp_path / "allocated_pods_state").write_bytes(render(ALLOCATED_PODS, {"data": "x"}))
    (tmp_path / "dra_manager_state").write_bytes(render(DRA, {"data": "[]"}))
    status, out, _ = said(capsys, "show", str(tmp_path))
    assert status == 1
    assert "nothing can be read of it: unexpected end" in out
    assert "its data cannot be read: invalid character" in out
    assert "its data cannot be read\n" in out


def test_version_1_and_a_terminal_show_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "width_of", lambda stream: 30)
    root(tmp_path, ("cpu_manager_state_v1/base-legacy-2", "kubelet_internal_checkpoint/base-nil"))
    status, out, _ = said(capsys, "show", str(tmp_path))
    assert status == 0
    assert "docker://" in out


def test_a_copy_is_written_and_the_steps_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cpu_manager_state"
    path.write_bytes(BAD)
    status, out, _ = said(capsys, "repair", str(path))
    assert status == 0
    assert f"the copy is {path}.repaired" in out
    assert "keep the node drained" in out
    assert Path(f"{path}.repaired").read_bytes() == GOOD
    assert path.read_bytes() == BAD


def test_a_refusal_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpu_manager_state"
    path.write_bytes(BAD)
    monkeypatch.setattr(command, "running", lambda: (42,))
    status, out, _ = said(capsys, "repair", str(path))
    assert status == 1
    assert "a kubelet runs (process 42)" in out
    status, found = document(capsys, "repair", str(path))
    assert found["files"][0]["copy"] is None
    assert "process 42" in found["files"][0]["refused"]
    monkeypatch.setattr(command, "running", lambda: ())
    status, found = document(capsys, "repair", str(path))
    assert status == 0
    assert found["files"][0]["copy"] == f"{path}.repaired"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("verify", "{}/config.yaml"), "--as"),
        (("verify", "{}"), "no file of the kubelet is there"),
        (("verify", "{}/missing", "--as", "dra_manager_state"), "No such file"),
        (("verify", "{}/memory_manager_state", "--kubelet-version", "1.20"), "is not known; known"),
        (("verify", "{}/memory_manager_state", "--kubelet-version", "1.37"), "is not known; known"),
    ],
)
def test_what_makes_no_sense_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    if "--kubelet-version" in words:
        (tmp_path / "memory_manager_state").write_bytes(b"")
    words = tuple(word.replace("{}", str(tmp_path)) for word in words)
    status, out, err = said(capsys, *words)
    assert (status, out) == (2, "")
    assert says in err
    status, found = document(capsys, *words)
    assert status == 2
    assert says in json.dumps(found["error"])


@pytest.mark.parametrize(
    "option",
    [("--kubelet-version", "new"), ("--feature-gate", "Other=true"), ("--feature-gate", "x")],
)
def test_options_that_make_no_sense_are_refused(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["kubelet", "verify", "x", *option])
    assert caught.value.code == 2
