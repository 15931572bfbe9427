"""Directories of pod checkpoints are measured; what is mounted in the directory is left alone."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from checkpointkit.archives.disk import scan as scanning
from checkpointkit.archives.disk import trees
from checkpointkit.archives.disk.pins import SOMEBODY
from checkpointkit.archives.model import State
from tests.archives.disk import FailingArchiveCalls, by_name, listing, look, put, states
from tests.archives.making import name_of
from tests.support.children import Child
from tests.support.disks import UNMOUNTABLE, own_mounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = name_of()
POD = "checkpoint-5b21bd3c-3d3b-4a80-8f5e-5d8e2a6b2f10"


def pod_checkpoint(path: Path) -> None:
    (path / "app" / "checkpoint").mkdir(parents=True)
    (path / "pod.options").write_bytes(bytes(100))
    (path / "app" / "pages-1.img").write_bytes(bytes(4000))
    (path / "app" / "checkpoint" / "core-1.img").write_bytes(bytes(23))


def test_a_pod_checkpoint_is_shown_with_the_bytes_below_it(quick: Path) -> None:
    pod_checkpoint(quick / POD)
    (one,) = look(quick).archives
    status = (quick / POD).stat()
    assert (one.name, one.state, one.size, one.problem) == (POD, State.POD_CHECKPOINT, 4123, "")
    assert (one.inode, one.mtime_ns, one.container) == (status.st_ino, status.st_mtime_ns, None)


def test_it_is_measured_anew_each_time_and_stays_first_seen(quick: Path) -> None:
    pod_checkpoint(quick / POD)
    first = look(quick)
    (quick / POD / "app" / "more").write_bytes(bytes(1000))
    again = look(quick, by_name(first))
    assert again.archives[0].size == 5123
    assert again.archives[0].first_seen_ns == first.archives[0].first_seen_ns


def test_a_directory_with_an_archive_s_name_is_one_too(quick: Path) -> None:
    (quick / NAME).mkdir()
    (quick / f"{NAME}.keep").touch()
    (one,) = look(quick).archives
    assert (one.state, one.pins) == (State.POD_CHECKPOINT, (SOMEBODY,))


def test_links_and_fifos_in_it_are_not_counted_or_followed(quick: Path) -> None:
    (quick / "large").write_bytes(bytes(10**6))
    (quick / POD).mkdir()
    (quick / POD / "up").symlink_to(quick)
    (quick / POD / "large").symlink_to(quick / "large")
    os.mkfifo(quick / POD / "fifo")
    (quick / POD / "file").write_bytes(bytes(7))
    assert look(quick).archives[0].size == 7


def test_one_that_is_too_deep_ends(quick: Path) -> None:
    path = quick / POD
    for n in range(100):
        path.mkdir()
        (path / "file").write_bytes(bytes(1))
        path /= str(n)
    (one,) = look(quick).archives
    assert one.size == trees._DEEPEST + 1
    assert one.problem == "there is more in it: it is too deep"


def test_all_of_them_together_are_no_endless_work(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "WALK_LIMIT", 25)
    for pod in range(3):
        (quick / f"checkpoint-{pod}").mkdir()
        for n in range(10):
            (quick / f"checkpoint-{pod}" / str(n)).write_bytes(b"x")
    found = look(quick)
    assert sum(one.size for one in found.archives) == 25
    assert sum("too many files" in one.problem for one in found.archives) == 1


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_one_that_cannot_be_read_has_the_reason(quick: Path, error: int) -> None:
    pod_checkpoint(quick / POD)
    calls = FailingArchiveCalls(quick)
    calls.break_at(0, error, match=f"open {POD}/app")
    (one,) = look(quick, system=calls).archives
    assert one.size == 100
    assert "there may be more in it" in one.problem
    assert errno.errorcode[error] in one.problem


def test_one_that_the_kubelet_takes_away_meanwhile_is_no_problem(quick: Path) -> None:
    pod_checkpoint(quick / POD)
    calls = FailingArchiveCalls(quick)
    calls.break_at(0, errno.ENOENT, match=f"open {POD}")
    (one,) = look(quick, system=calls).archives
    assert (one.size, one.problem) == (0, "")


def elsewhere(path: Path) -> Callable[[], os.stat_result]:
    """Return a status as if a path were on another file system."""

    def stat() -> os.stat_result:
        fields = list(os.lstat(path))
        fields[2] += 1
        return os.stat_result(fields)

    return stat


def test_a_device_that_is_not_the_directory_s_is_never_entered(quick: Path) -> None:
    (quick / POD).mkdir()
    (quick / POD / "file").write_bytes(bytes(9))
    put(quick / NAME)
    found = look(
        quick, system=listing(**{NAME: elsewhere(quick / NAME), POD: elsewhere(quick / POD)})
    )
    assert set(states(found).values()) == {State.OTHER}
    assert {one.problem for one in found.archives} == {"it is on another file system"}
    assert found.read == 0


def test_another_file_system_in_a_pod_checkpoint_is_not_entered(quick: Path) -> None:
    pod_checkpoint(quick / POD)
    (one,) = look(quick, system=listing(app=elsewhere(quick / POD / "app"))).archives
    assert (one.size, one.problem) == (100, "there is more in it: another file system")


@pytest.mark.root
def test_a_mount_in_the_directory_is_not_crossed(tmp_path: Path) -> None:
    place = tmp_path / "place"
    outside = tmp_path / "outside"
    pod_checkpoint(place / POD)
    (place / "checkpoint-mounted").mkdir()
    put(place / NAME)
    outside.mkdir()

    def work(child: Child) -> None:
        try:
            own_mounts()
            for command in (
                ["mount", "--make-rprivate", "/"],
                ["mount", "-t", "tmpfs", "none", str(place / "checkpoint-mounted")],
                ["mount", "-t", "tmpfs", "none", str(place / POD / "app" / "checkpoint")],
                ["mount", "-t", "tmpfs", "none", str(outside)],
            ):
                subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            child.say(f"{UNMOUNTABLE}{error}")
            return
        (place / "checkpoint-mounted" / "file").write_bytes(bytes(500))
        (place / POD / "app" / "checkpoint" / "file").write_bytes(bytes(500))
        put(outside / "file")
        bind = ["mount", "--bind", str(outside / "file"), str(place / NAME)]
        subprocess.run(bind, check=True, capture_output=True)
        found = by_name(look(place))
        assert found["checkpoint-mounted"].state is State.OTHER
        assert found[NAME].state is State.OTHER, "a file of another file system"
        assert found[POD].size == 4100
        assert found[POD].problem == "there is more in it: another file system"

    with Child(work) as child:
        said = child.end()
        if said and said[0].startswith(UNMOUNTABLE):
            pytest.skip(said[0])
        assert child.status == 0, "\n".join(said)


def test_known_archives_cost_one_look_each(quick: Path) -> None:
    """The way that each tick of a watcher takes."""
    for n in range(300):
        put(quick / f"checkpoint-{n:06d}.tar", b"")
    first = look(quick)
    assert first.read == 300
    calls = FailingArchiveCalls(quick)
    again = look(quick, by_name(first), system=calls)
    assert again.read == 0
    assert len(calls.attempts) < 20, "no call for each of them but the listing's own"
    assert all(one is other for one, other in zip(first.archives, again.archives, strict=True))
