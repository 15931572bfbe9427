"""What the kubelet's checkpoint manager does with keys and files, and where ours differs, and why.

The facts are what the Go packages did when they were run (`tests/data/kubelet/behaviour.json`).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpointkit import CheckpointManager, FileStore, Schema
from checkpointkit.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    InvalidKeyError,
    StoreError,
    StoreUnavailableError,
)
from checkpointkit.keys import check_key
from checkpointkit.kubelet import ALLOCATED_PODS, KubeletStore, PodsState
from tests.kubelet.vectors import behaviour

KEY = "allocated_pods_state"
GO = behaviour()
TEXT: Schema[dict[str, str]] = Schema(dict[str, str], kind="example.com/text", version=1)


@pytest.fixture
def manager(tmp_path: Path) -> CheckpointManager[PodsState]:
    return CheckpointManager(KubeletStore(tmp_path / "dir"), ALLOCATED_PODS)


@pytest.mark.parametrize("case", GO["keys"], ids=lambda case: ascii(case["key"])[:20])
def test_the_grammar_of_keys_is_the_same(case: dict[str, object]) -> None:
    key = str(case["key"])
    if case["valid"]:
        assert check_key(key) == key
    else:
        with pytest.raises(InvalidKeyError):
            check_key(key)


def test_a_file_has_the_same_bytes_and_rights(
    tmp_path: Path, manager: CheckpointManager[PodsState]
) -> None:
    assert GO["new_creates_dir"] == GO["create"] == GO["overwrite"] == "ok"
    manager.create(KEY, PodsState("{}"))
    path = tmp_path / "dir" / KEY
    assert path.read_text() == GO["file_bytes"]
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert GO["file_mode"] == "-rw-------"
    path.chmod(0o644)
    manager.create(KEY, PodsState("{}"))
    assert GO["file_mode_after_chmod0644_and_overwrite"] == "-rw-------"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert GO["dir_mode"] == "drwxr-xr-x"
    assert oct((tmp_path / "dir").stat().st_mode & 0o777) == "0o755"


def test_what_is_missing_is_not_found_and_may_be_removed(
    manager: CheckpointManager[PodsState],
) -> None:
    assert GO["get_missing"] == "checkpoint is not found"
    with pytest.raises(CheckpointNotFoundError):
        manager.get(KEY)
    assert GO["remove_missing"] == "ok"
    manager.remove(KEY)


def test_a_wrong_key_is_refused_for_get_and_remove(manager: CheckpointManager[PodsState]) -> None:
    for key, said in (("../x", GO["get_invalid_key"]), (".x", GO["remove_invalid_key"])):
        assert said == f'invalid key: "{key}"'
        with pytest.raises(InvalidKeyError):
            manager.get(key)
        with pytest.raises(InvalidKeyError):
            manager.remove(key)


def test_an_empty_file_is_corrupt_and_no_error_of_json(
    tmp_path: Path, manager: CheckpointManager[PodsState]
) -> None:
    """Theirs: an error of JSON, unlike a wrong checksum. Ours: both are corruption, with why."""
    assert GO["get_empty_file"] == "unexpected end of JSON input"
    (tmp_path / "dir" / KEY).write_bytes(b"")
    with pytest.raises(CorruptCheckpointError):
        manager.get(KEY)


def test_only_what_can_be_got_is_listed(tmp_path: Path) -> None:
    """Theirs lists directories and names that `get` refuses as keys. Ours lists neither."""
    directory = tmp_path / "dir"
    for name in ("adir", "bdir"):
        (directory / name).mkdir(parents=True)
    for name in ("Z", "k1", "target", "bad name!", ".1251626026"):
        (directory / name).write_bytes(b"x")
    (directory / "link").symlink_to("target")
    assert GO["list"] == ["Z", "adir", "bad name!", "bdir", "k1", "link", "target"]
    assert GO["get_listed_but_invalid_key"] == 'invalid key: "bad name!"'
    assert KubeletStore(directory).keys() == ("Z", "k1", "link", "target")


def test_a_directory_that_has_gone_is_an_error_and_no_empty_store(
    tmp_path: Path, manager: CheckpointManager[PodsState]
) -> None:
    """Theirs says "not found", and the kubelet would begin empty. Ours says what has happened."""
    assert GO["get_dir_gone"] == "checkpoint is not found"
    assert GO["create_dir_gone"] == GO["remove_dir_gone"] == "ok"
    os.rename(tmp_path / "dir", tmp_path / "moved")
    for work in (
        lambda: manager.get(KEY),
        lambda: manager.create(KEY, PodsState("{}")),
        manager.list,
    ):
        with pytest.raises(StoreUnavailableError):
            work()


def test_a_directory_under_a_key_is_never_replaced_or_removed(
    tmp_path: Path, manager: CheckpointManager[PodsState]
) -> None:
    """Theirs removes an empty directory. Ours removes files alone."""
    assert GO["remove_empty_dir_key"] == "ok"
    assert "file exists" in GO["create_over_dir"]
    assert "is a directory" in GO["get_dir"]
    (tmp_path / "dir" / KEY).mkdir()
    with pytest.raises(CorruptCheckpointError):
        manager.get(KEY)
    with pytest.raises(CorruptCheckpointError):
        manager.create(KEY, PodsState("{}"))
    with pytest.raises(StoreError):
        manager.remove(KEY)


def test_a_link_is_not_followed(tmp_path: Path, manager: CheckpointManager[PodsState]) -> None:
    """Theirs reads through a link and replaces it. Ours takes it for damage, and says so."""
    assert GO["create_over_symlink"] == "ok"
    (tmp_path / "dir" / "target").write_text(GO["file_bytes"])
    (tmp_path / "dir" / KEY).symlink_to("target")
    with pytest.raises(CorruptCheckpointError, match="no regular file"):
        manager.get(KEY)


def test_a_store_is_a_directory(tmp_path: Path) -> None:
    assert GO["new_on_file"] == "mkdir DIR: not a directory"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        KubeletStore(tmp_path / "file")


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path: Path) -> None:
    """Theirs stays for ever, and so does theirs in our store of their files, which is not ours to
    clean. The file store cleans up after itself."""
    assert GO["orphan_tmp_still_there"] is True
    (tmp_path / ".1251626026").write_bytes(b"half")
    store = KubeletStore(tmp_path)
    CheckpointManager(store, TEXT).create("a", {})
    assert store.keys() == ("a",)
    assert (tmp_path / ".1251626026").exists()
    FileStore(tmp_path / "ours").close()
    assert os.listdir(tmp_path / "ours" / ".tmp") == []
