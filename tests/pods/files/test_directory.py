"""An open directory: what its operations do when the disk, or somebody else, gets in the way."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import OutcomeUnknownError, StoreError, StoreUnavailableError
from checkpointkit.pods.assets import Roots
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.directory import Directory, FileCalls, attempt
from checkpointkit.pods.files.manifests import Manifests
from tests.pods.files.support import GID, PLACE, WEB, Calls, asset_set, manifest

if TYPE_CHECKING:
    from pathlib import Path


def test_an_error_of_the_system_says_what_was_tried_and_whether_it_can_be_seen() -> None:
    with pytest.raises(StoreUnavailableError, match="write a failed: no more"), attempt("write a"):
        raise OSError(errno.EMFILE, "no more")
    seen = pytest.raises(OutcomeUnknownError, match="the change is in place")
    with seen as caught, attempt("write a") as tried:
        tried.published = True
        raise OSError(errno.EIO, "bad")
    assert isinstance(caught.value.__cause__, OSError)


def test_nothing_is_left_of_a_file_that_could_not_be_synced(quick: Path) -> None:
    calls = Calls(quick)
    with Directory.find(calls, str(quick)) as directory:
        calls.break_at(0, errno.EIO, match="fsync a")
        with pytest.raises(OSError, match="Input"):
            directory.write("a", b"x")
        assert os.listdir(quick) == []
        assert len([each for each in calls.attempts if each == "fsync a"]) == 1


def test_what_cannot_be_taken_back_does_not_hide_the_error(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls(quick)
    with Directory.find(calls, str(quick)) as directory:
        calls.break_at(0, errno.EIO, match=("fsync a", "unlink a"), for_ever=True)
        with pytest.raises(OSError, match="Input"):
            directory.write("a", b"x")
    assert "a stays behind" in caplog.text


def test_a_descriptor_that_cannot_be_closed_is_logged(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls(quick)
    calls.break_at(0, errno.EIO, match="close")
    with Directory.find(calls, str(quick)):
        pass
    assert "was not closed" in caplog.text


def test_the_bits_of_a_mode_survive_a_change_of_the_group(quick: Path) -> None:
    calls = Calls(quick)
    with Directory.find(calls, str(quick)) as directory:
        directory.write("a", b"x", (0o2755, GID))
    assert stat.S_IMODE((quick / "a").stat().st_mode) == 0o2755
    owning = [each.partition(" ")[0] for each in calls.attempts if each.split(" ")[0][:3] == "fch"]
    assert owning == ["fchmod", "fchown", "fchmod"]


def test_links_are_seen_and_never_followed(quick: Path) -> None:
    (quick / "directory").mkdir()
    (quick / "directory" / "file").write_bytes(b"x")
    (quick / "link").symlink_to("directory")
    with Directory.find(Calls(quick), str(quick)) as directory:
        assert directory.target("link") == "directory"
        assert directory.target("directory") is None
        assert directory.target("nothing") is None
        assert directory.has_directory("directory")
        assert not directory.has_directory("link")
        for follow in (directory.below, directory.made):
            with pytest.raises(NotADirectoryError):
                follow("link")
        directory.discard("link")
        assert directory.rmdir("nothing") is False
        assert directory.rmdir("directory") is False
        directory.discard("directory/file")
        assert directory.rmdir("directory") is True
        directory.unlink("nothing")


def test_what_cannot_be_looked_at_is_an_error(quick: Path) -> None:
    calls = Calls(quick)
    with Directory.find(calls, str(quick)) as directory:
        calls.break_at(0, errno.EIO, match=("readlink", "rmdir"), for_ever=True)
        with pytest.raises(OSError, match="Input"):
            directory.target("a")
        with pytest.raises(OSError, match="Input"):
            directory.rmdir("a")


def test_a_path_is_made_durable_up_to_the_mount_point(quick: Path) -> None:
    calls = Calls(quick)
    with Directory.make(calls, str(quick / "a" / "b")) as directory:
        calls.forget()
        directory.sync_above()
    synced = [each for each in calls.attempts if each.startswith("fsync")]
    assert synced[:2] == ["fsync a", "fsync ."]


def test_a_path_that_may_not_be_opened_was_not_made_by_us(quick: Path) -> None:
    calls = Calls(quick)
    with Directory.make(calls, str(quick / "a" / "b")) as directory:
        calls.break_at(0, errno.EACCES, match="open .")
        calls.forget()
        directory.sync_above()
    assert [each for each in calls.attempts if each.startswith("fsync")] == ["fsync a"]


def test_the_path_ends_at_the_root_of_the_file_system(quick: Path) -> None:
    calls = Calls(quick)
    real = calls.fstat

    def on_one_device(fd: int) -> os.stat_result:
        return os.stat_result((*real(fd)[:2], 1, *real(fd)[3:]))

    setattr(calls, "fstat", on_one_device)  # noqa: B010 - a static method
    calls.break_at(0, errno.EIO, match="nothing")
    setattr(calls, "fsync", lambda fd: None)  # noqa: B010 - not the machine's own
    with Directory.make(calls, str(quick / "a")) as directory:
        calls.forget()
        directory.sync_above()
    opened = [each for each in calls.attempts if each.startswith("open ")]
    assert os.path.normpath(quick / opened[-1].split(" ")[1]) == "/"


def test_a_configured_directory_that_is_a_file_is_refused(quick: Path) -> None:
    (quick / "a").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        Directory.make(Calls(quick), str(quick / "a"))
    with pytest.raises(StoreError, match="Not a directory"), attempt("open it"):
        Directory.make(Calls(quick), str(quick / "a" / "b"))


def test_the_group_0_stands_for_ones_own_where_one_is_not_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getegid", lambda: 4711)
    for uid, group in ((0, 0), (1000, 4711)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert FileCalls.own_group() == group


def test_a_relative_directory_is_one_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    both = Manifests("inactive", "deep/active", durable=False)
    both.write_inactive(WEB, manifest(WEB))
    both.write_active(WEB, manifest(WEB), "web.json")
    sets = AssetFiles(Roots("secrets", "configmaps"), durable=False)
    sets.write(asset_set({"key": b"1"}))
    monkeypatch.chdir("/")
    assert list(both.scan().pods) == [WEB]
    assert sets.is_present(PLACE)
    assert sorted(os.listdir(tmp_path)) == ["deep", "inactive", "secrets"]
