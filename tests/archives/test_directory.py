"""The open directory: what a path leads to now is not what it led to before."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.archives.disk.directory import ArchiveDirectory, words_of
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.cli.demo.smalldisk import mount_small_disk
from tests.archives.disk import (
    FailingArchiveCalls,
    calls_with,
    failing,
    in_own_mounts,
    opener,
)
from tests.support.calls import descriptors
from tests.support.children import Child
from tests.support.disks import UNMOUNTABLE, on_small_tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


def test_its_device_and_inode_are_remembered(place: Path) -> None:
    with ArchiveDirectory.open(str(place)) as directory:
        status = place.stat()
        assert (directory.device, directory.inode) == (status.st_dev, status.st_ino)
        assert directory.path == str(place)
        directory.check()


def test_space_is_that_of_its_file_system(place: Path) -> None:
    with ArchiveDirectory.open(str(place)) as directory:
        space = directory.space()
    status = os.statvfs(place)
    assert space.total == status.f_blocks * status.f_frsize
    assert 0 <= space.free <= space.total


@pytest.mark.root
def test_space_leaves_out_what_is_for_root_alone(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        (path / "file").write_bytes(bytes(8192))
        with ArchiveDirectory.open(str(path)) as directory:
            space = directory.space()
            assert space.total == 65536
            assert space.free == os.statvfs(path).f_bavail * os.statvfs(path).f_frsize <= 57344

    on_small_tmpfs(tmp_path / "small", 65536, work)


def test_closing_twice_is_closing_once(place: Path) -> None:
    before = descriptors()
    directory = ArchiveDirectory.open(str(place))
    directory.close()
    directory.close()
    assert directory.fd == -1
    assert descriptors() == before


def test_a_missing_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"cannot open .*/no: it is not there; .*ENOENT"):
        ArchiveDirectory.open(str(tmp_path / "no"))


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryError, match="is no directory") as caught:
        ArchiveDirectory.open(str(tmp_path / "file"))
    assert isinstance(caught.value.__cause__, NotADirectoryError)


@pytest.mark.parametrize("end", ["", "/", "//", "/.", "/./", "/././/."])
def test_a_link_is_refused_however_its_name_is_written(
    tmp_path: Path, place: Path, end: str
) -> None:
    (tmp_path / "link").symlink_to(place)
    with pytest.raises(DirectoryError, match="it is a link; name the directory"):
        ArchiveDirectory.open(f"{tmp_path}/link{end}")


def test_the_directories_above_may_be_links(tmp_path: Path, place: Path) -> None:
    (tmp_path / "above").symlink_to(tmp_path)
    with ArchiveDirectory.open(str(tmp_path / "above" / "checkpoints")) as directory:
        directory.check()
        assert directory.inode == place.stat().st_ino


def test_a_relative_path_stays_where_it_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ArchiveDirectory.open("checkpoints/") as directory:
        monkeypatch.chdir("/")
        directory.check()
        assert directory.path == str(place)


def in_a_removed_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


def test_a_removed_working_directory_is_no_matter_to_a_whole_path(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_removed_directory(tmp_path, monkeypatch)
    with ArchiveDirectory.open(f"{place}/.") as directory:
        assert directory.path == str(place)


def test_a_relative_path_in_a_removed_working_directory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_removed_directory(tmp_path, monkeypatch)
    with pytest.raises(DirectoryError, match="the working directory is not there") as caught:
        ArchiveDirectory.open("checkpoints")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_the_root_is_a_directory_too() -> None:
    with ArchiveDirectory.open("//") as directory:
        assert directory.path == "/"
        directory.check()


def replace_by_link(place: Path) -> None:
    place.rename(place.with_name("aside"))
    place.symlink_to(place.with_name("aside"))


def replace_by_directory(place: Path) -> None:
    place.rename(place.with_name("aside"))
    place.mkdir()


def replace_by_file(place: Path) -> None:
    place.rename(place.with_name("aside"))
    place.touch()


def take_away(place: Path) -> None:
    place.rmdir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace_by_link, "a link has been put in its place"),
        (replace_by_directory, "another directory has been put in its place"),
        (replace_by_file, "no directory has been put in its place"),
        (take_away, "it is not there"),
    ],
)
def test_what_was_put_in_its_place_is_told(
    place: Path, change: Callable[[Path], None], words: str
) -> None:
    with ArchiveDirectory.open(str(place)) as directory:
        change(place)
        with pytest.raises(DirectoryError, match=f"cannot use .*{words}"):
            directory.check()


def test_the_same_inode_of_another_file_system_is_another_directory(place: Path) -> None:
    """The roots of two file systems of a kind mostly have the same."""

    def stat(path: str, **options: Any) -> os.stat_result:
        fields = list(os.stat(path, **options))
        fields[2] += 1
        return os.stat_result(fields)

    opened = ArchiveDirectory.open(str(place), system=calls_with(stat=stat))
    late = pytest.raises(DirectoryError, match="a file system has been mounted there")
    with opened as directory, late:
        directory.check()


@pytest.mark.root
def test_a_file_system_that_is_mounted_on_it_is_told(place: Path) -> None:
    def work(child: Child) -> None:
        with ArchiveDirectory.open(str(place)) as directory:
            try:
                mount_small_disk(place, 65536)
            except OSError as error:
                child.say(f"{UNMOUNTABLE}{error}")
                return
            with pytest.raises(DirectoryError, match="a file system has been mounted there"):
                directory.check()
            with ArchiveDirectory.open(str(place)) as mounted:
                mounted.check()

    with Child(work) as child:
        said = child.end()
        if said and said[0].startswith(UNMOUNTABLE):
            pytest.skip(said[0])
        assert child.status == 0, said


def test_one_that_lives_on_in_a_mount_alone_is_told(place: Path) -> None:
    def stat(path: str, **options: Any) -> os.stat_result:
        fields = list(os.stat(path, **options))
        fields[3] = 0
        return os.stat_result(fields)

    opened = ArchiveDirectory.open(str(place), system=calls_with(stat=stat))
    with opened as directory, pytest.raises(DirectoryError, match="lives on in a mount alone"):
        directory.check()


@pytest.mark.root
def test_a_host_path_that_was_removed_and_made_anew_is_told(tmp_path: Path) -> None:
    node, pod = tmp_path / "node", tmp_path / "pod"
    node.mkdir()
    pod.mkdir()

    def work() -> None:
        with ArchiveDirectory.open(str(pod)) as directory:
            directory.check()
            node.rmdir()
            node.mkdir()
            with pytest.raises(DirectoryError, match="lives on in a mount alone"):
                directory.check()

    in_own_mounts([["mount", "--bind", str(node), str(pod)]], work)


@pytest.mark.parametrize("error", [errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.EACCES])
@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("stat", ArchiveDirectory.check),
        ("fstatvfs", ArchiveDirectory.space),
    ],
)
def test_a_file_system_that_has_gone_is_an_error_with_its_cause(
    place: Path, error: int, name: str, act: Callable[[ArchiveDirectory], object]
) -> None:
    calls = FailingArchiveCalls(place)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        calls.break_at(0, error, match=name)
        with pytest.raises(DirectoryError) as caught:
            act(directory)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == error
        assert errno.errorcode[error] in str(caught.value)


@pytest.mark.parametrize("for_ever", [True, False])
def test_whatever_fails_at_the_opening_leaves_no_descriptor(place: Path, for_ever: bool) -> None:
    calls = FailingArchiveCalls(place)
    ArchiveDirectory.open(str(place), system=calls).close()
    before = descriptors()
    for at, name in enumerate(["open", "fstat"]):
        calls.break_at(at, errno.EIO, for_ever=for_ever)
        with pytest.raises(DirectoryError, match="EIO"):
            ArchiveDirectory.open(str(place), system=calls)
        assert calls.failed[0].startswith(name)
    assert descriptors() == before


def test_an_error_of_its_closing_is_none(place: Path) -> None:
    calls = FailingArchiveCalls(place)
    directory = ArchiveDirectory.open(str(place), system=calls)
    calls.break_at(0, errno.EIO, match="close")
    directory.close()


def test_each_listing_begins_at_the_first_entry(place: Path) -> None:
    for n in range(50):
        (place / str(n)).touch()
    with ArchiveDirectory.open(str(place)) as directory:
        scandir = directory.system.scandir
        with directory.listing() as one, directory.listing() as other, scandir(one) as entries:
            next(entries)
            with scandir(other) as all_of_them:
                assert len(list(all_of_them)) == 50
            assert len(list(entries)) == 49


def test_one_process_at_a_time_has_the_lock(place: Path) -> None:
    def work(child: Child) -> None:
        with ArchiveDirectory.open(str(place)) as directory, directory.locked("pin"):
            child.say("locked")
            child.wait_for_word()

    with Child(work) as child, ArchiveDirectory.open(str(place)) as directory:
        assert child.line() == "locked"
        late = pytest.raises(DirectoryError, match=r"cannot pin .*another process has had its lock")
        with late, directory.locked("pin", timeout=0.05):
            raise AssertionError
        child.go()
        with directory.locked("pin"):
            pass
        assert child.end() == []
        again = directory.locked("pin", timeout=0)
        with directory.locked("pin"), pytest.raises(DirectoryError), again:
            raise AssertionError


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_there_are_no_locks_there_is_none(place: Path, error: int) -> None:
    calls = calls_with(try_lock=failing(error))
    opened = ArchiveDirectory.open(str(place), system=calls)
    with opened as directory, directory.locked("pin"):
        pass


def test_a_lock_that_fails_otherwise_is_an_error(place: Path) -> None:
    calls = calls_with(try_lock=failing(errno.EIO))
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        before = descriptors()
        with pytest.raises(OSError, match="Input/output"), directory.locked("pin"):
            raise AssertionError
        assert descriptors() == before


def test_the_descriptor_is_not_inherited(place: Path) -> None:
    with ArchiveDirectory.open(str(place)) as directory:
        assert fcntl.fcntl(directory.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_an_error_without_a_number_has_words_too() -> None:
    assert words_of(OSError("odd")) == "odd (no errno)"


def test_a_reader_of_the_directory_does_not_matter(place: Path) -> None:
    with opener(place, os.O_RDONLY | os.O_DIRECTORY) as child:
        with ArchiveDirectory.open(str(place)) as directory, directory.locked("pin"):
            directory.check()
        child.go()
        child.end()
