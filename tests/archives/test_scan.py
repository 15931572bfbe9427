"""A scan says what lies there, and reads nothing twice."""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.disk.pins import SOMEBODY, pin
from checkpointkit.archives.disk.scan import scan
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.model import Container, State
from tests.archives.disk import (
    FailingArchiveCalls,
    aged,
    by_name,
    failing,
    listing,
    look,
    now_ns,
    put,
    states,
)
from tests.archives.making import START, UID, WEB, archive, name_of
from tests.support.calls import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = name_of()


# ------------------------------------------------------------------------- what is found


def test_an_archive_is_found_with_all_that_is_known_of_it(quick: Path) -> None:
    path = put(quick / NAME)
    found = look(quick)
    status = path.stat()
    (one,) = found.archives
    assert (one.name, one.state, one.problem) == (NAME, State.COMPLETE, "")
    assert (one.container, one.by_name, one.pod_uid) == (WEB, False, UID)
    assert (one.checkpointed_ns, one.named_ns) == (START * 10**9, START * 10**9)
    assert (one.size, one.device, one.inode) == (status.st_size, status.st_dev, status.st_ino)
    assert (one.mtime_ns, one.ctime_ns) == (status.st_mtime_ns, status.st_ctime_ns)
    assert (found.read, found.foreign, found.foreign_bytes) == (1, 0, 0)
    assert found.problems == ()
    assert (found.device, found.inode) == (quick.stat().st_dev, quick.stat().st_ino)
    assert found.space.total > 0


def test_an_empty_directory_holds_nothing(quick: Path) -> None:
    found = look(quick)
    assert (found.archives, found.read, found.leases) == ((), 0, True)


def test_who_it_is_may_be_known_by_its_name_alone(quick: Path) -> None:
    put(quick / NAME, archive(runtime="nospec"))
    put(quick / "checkpoint-odd.tar", archive(runtime="nospec"))
    odd, named = look(quick).archives
    assert (named.container, named.by_name) == (WEB, True)
    assert (odd.container, odd.by_name, odd.state) == (None, False, State.COMPLETE)
    assert odd.problem


def test_what_an_extra_is_missing_for_is_read_when_it_is_there(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(quick / NAME, archive(compression="zstd"))
    with monkeypatch.context() as without:
        for module in ("backports.zstd", "compression.zstd"):
            without.setitem(sys.modules, module, None)
        (unread,) = look(quick).archives
    assert unread.container is None
    (known,) = look(quick, {NAME: unread}).archives
    assert (known.container, known.problem) == (WEB, "")


def test_what_is_no_archive_is_broken(quick: Path) -> None:
    put(quick / NAME, archive()[:-1024])
    put(quick / "checkpoint-empty.tar", b"")
    found = look(quick)
    assert set(states(found).values()) == {State.BROKEN}
    assert all(one.problem for one in found.archives)


def test_other_files_are_counted_and_not_looked_into(quick: Path) -> None:
    put(quick / NAME)
    put(quick / "checkpoint-x.tar.gz", b"12345")
    put(quick / "notes", b"123")
    (quick / "link").symlink_to("notes")
    (quick / "lost+found").mkdir()
    found = look(quick)
    assert [one.name for one in found.archives] == [NAME]
    assert (found.foreign, found.foreign_bytes) == (4, 8)


def test_the_names_of_archives_can_be_chosen(quick: Path) -> None:
    for name in (
        "a.tar",
        "b.tar.gz",
        "A.tar",
        ".checkpointkit-pin",
        "a.tar.keep",
        "a.tar.keep.tmp",
    ):
        put(quick / name)
    found = look(quick, names=["[a]*.tar", "*.gz"])
    assert [one.name for one in found.archives] == ["a.tar", "b.tar.gz"]
    assert found.foreign == 1
    found = look(quick, names=["*"])
    assert [one.name for one in found.archives] == ["A.tar", "a.tar", "b.tar.gz"]
    assert found.foreign == 0, "markers, and those being written, are none"
    assert look(quick, names=[]).foreign == 3


def test_a_known_name_that_is_no_archive_s_any_more_is_foreign(quick: Path) -> None:
    put(quick / NAME)
    known = by_name(look(quick))
    found = look(quick, known, names=["*.other"])
    assert (found.archives, found.foreign) == ((), 1)


def test_they_are_sorted_by_the_bytes_of_their_names(quick: Path) -> None:
    odd = [b"\xff", b"\xf0\x9f\x98\x80", b"\xc3\xbc", b"a\nb", b"\xee\x80\x80", b"A" * 240, b"~"]
    for each in odd:
        put(quick / os.fsdecode(b"checkpoint-" + each + b".tar"))
    names = [os.fsencode(one.name) for one in look(quick).archives]
    assert names == sorted(names)
    assert len(names) == len(odd)


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_link_to_an_archive(path: Path) -> None:
    put(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [make_link, make_link_to_an_archive, make_fifo])
def test_what_is_no_file_is_never_opened(quick: Path, make: Callable[[Path], None]) -> None:
    make(quick / NAME)
    calls = FailingArchiveCalls(quick)
    found = look(quick, system=calls)
    (one,) = found.archives
    assert (one.state, one.container) == (State.OTHER, None)
    assert "never followed or touched" in one.problem
    assert [each for each in calls.attempts if each.startswith("open")] == ["open .", "open ."]


def test_two_names_of_one_inode_are_two_archives(quick: Path) -> None:
    put(quick / NAME)
    os.link(quick / NAME, quick / "checkpoint-b.tar")
    one, other = look(quick).archives
    assert one.inode == other.inode
    assert one.size == other.size == (quick / NAME).stat().st_size


# ---------------------------------------------------------------------- what is known already


def test_what_is_as_it_was_is_the_same_object_and_not_opened(quick: Path) -> None:
    for at in range(5):
        put(quick / name_of(at=START + at))
    put(quick / "checkpoint-broken.tar", b"no archive")
    before = look(quick)
    calls = FailingArchiveCalls(quick)
    found = look(quick, by_name(before), system=calls)
    assert found.read == 0
    assert all(one is other for one, other in zip(found.archives, before.archives, strict=True))
    assert [each for each in calls.attempts if each.startswith("open")] == ["open .", "open ."]


def rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))  # the ctime still tells


def replace(path: Path) -> None:
    put(path.with_name("new"), path.read_bytes())
    status = path.stat()
    path.with_name("new").replace(path)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 512)


def touch(path: Path) -> None:
    os.utime(path, ns=(5, 5))


@pytest.mark.parametrize("change", [rewrite, replace, cut, touch])
def test_what_has_changed_in_any_way_is_read_again(
    quick: Path, change: Callable[[Path], None]
) -> None:
    put(quick / NAME)
    before = look(quick)
    time.sleep(0.01)  # the clock of file systems has ticks
    change(quick / NAME)
    found = look(quick, by_name(before))
    assert found.read == 1
    (one,) = found.archives
    assert one.ctime_ns == (quick / NAME).stat().st_ctime_ns
    if change is replace:
        assert one.first_seen_ns > before.archives[0].first_seen_ns
    else:
        assert one.first_seen_ns == before.archives[0].first_seen_ns


@pytest.mark.parametrize("field", ["device", "inode", "size", "mtime_ns", "ctime_ns"])
def test_each_part_of_the_key_counts(quick: Path, field: str) -> None:
    put(quick / NAME)
    (before,) = look(quick).archives
    other = evolve(before, **{field: getattr(before, field) + 1})
    assert look(quick, {NAME: other}).read == 1


@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.UNREADABLE, State.OTHER])
def test_what_was_not_read_before_is_read_now(quick: Path, state: State) -> None:
    put(quick / NAME)
    (before,) = look(quick).archives
    found = look(quick, {NAME: evolve(before, state=state)})
    assert (found.read, found.archives[0].state) == (1, State.COMPLETE)


def test_what_is_gone_is_left_out(quick: Path) -> None:
    put(quick / NAME)
    known = by_name(look(quick))
    (quick / NAME).unlink()
    assert look(quick, known).archives == ()


def test_first_seen_stays(quick: Path) -> None:
    put(quick / NAME)
    now = now_ns()
    first = look(quick, now_ns=now)
    assert first.archives[0].first_seen_ns == now
    os.utime(quick / NAME, ns=(7, 7))
    found = look(quick, by_name(first), now_ns=now + 5)
    assert found.archives[0].first_seen_ns == now


# ----------------------------------------------------------------------------------- pins


def test_markers_pin_and_their_names_are_no_archives(quick: Path) -> None:
    for at in range(3):
        put(quick / name_of(at=START + at))
    (quick / f"{name_of(at=START + 1)}.keep").touch()
    (quick / "checkpoint-gone.tar.keep").touch()
    with ArchiveDirectory.open(str(quick)) as directory:
        pin(directory, name_of(at=START + 2), "alice")
    found = look(quick)
    assert [one.pins for one in found.archives] == [(), (SOMEBODY,), ("alice",)]
    assert found.foreign == 0


def test_a_pin_that_is_gone_is_forgotten_and_a_new_one_is_seen(quick: Path) -> None:
    put(quick / NAME)
    (quick / f"{NAME}.keep").touch()
    pinned = look(quick)
    assert pinned.archives[0].pins == (SOMEBODY,)
    again = look(quick, by_name(pinned))
    assert again.archives[0] is pinned.archives[0]
    (quick / f"{NAME}.keep").unlink()
    unpinned = look(quick, by_name(pinned))
    assert (unpinned.archives[0].pins, unpinned.read) == ((), 0)
    (quick / f"{NAME}.keep").mkdir()
    found = look(quick, by_name(unpinned))
    assert (found.archives[0].pins, found.read) == ((SOMEBODY,), 0)


def test_whatever_it_is_a_marker_pins_it(quick: Path) -> None:
    put(quick / NAME, b"broken")
    (quick / f"{NAME}.keep").symlink_to("nowhere")
    (one,) = look(quick).archives
    assert (one.state, one.pins) == (State.BROKEN, (SOMEBODY,))


# ------------------------------------------------------------------- errors of the whole


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_too_few_descriptors_say_nothing_of_an_archive(quick: Path, error: int) -> None:
    put(quick / NAME)
    calls = FailingArchiveCalls(quick)
    with ArchiveDirectory.open(str(quick), system=calls) as directory:
        calls.break_at(0, error, match=f"open {NAME}")
        with pytest.raises(DirectoryError, match="cannot look through") as caught:
            scan(directory, {}, now_ns=now_ns())
        assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DirectoryError, match=errno.errorcode[error]):
        look(quick, system=listing(**{NAME: failing(error)}))


@pytest.mark.parametrize("match", ["stat", "open .", "scandir", "fstatvfs"])
def test_a_directory_that_cannot_be_read_is_an_error(quick: Path, match: str) -> None:
    put(quick / NAME)
    calls = FailingArchiveCalls(quick)
    with ArchiveDirectory.open(str(quick), system=calls) as directory:
        held = descriptors()
        calls.break_at(0, errno.EIO, match=match)
        with pytest.raises(DirectoryError, match="EIO"):
            scan(directory, {}, now_ns=now_ns())
        assert calls.failed
        assert descriptors() == held


def test_a_directory_that_was_replaced_is_not_scanned(quick: Path) -> None:
    place = quick / "place"
    place.mkdir()
    with ArchiveDirectory.open(str(place)) as directory:
        place.rename(quick / "aside")
        place.symlink_to("aside")
        with pytest.raises(DirectoryError, match="a link"):
            scan(directory, {}, now_ns=now_ns())


# ------------------------------------------------------------------------------- progress


def test_progress_is_told_now_and_then(quick: Path) -> None:
    data = archive()
    for at in range(600):
        (quick / name_of(at=START + at)).write_bytes(data)
    told: list[tuple[int, int]] = []
    found = look(quick, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 600), (256, 600), (512, 600), (600, 600)]
    told.clear()
    look(quick, by_name(found), progress=lambda done, total: told.append((done, total)))
    assert told == [(600, 600)]


# ----------------------------------------------------------------------------------- laws


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.binary(min_size=1, max_size=200).filter(lambda each: not set(each) & {0, 47}),
        max_size=6,
        unique=True,
    )
)
def test_any_name_is_listed_once_and_the_second_scan_reads_nothing(
    quick: Path, names: list[bytes]
) -> None:
    place = quick / "place"
    place.mkdir(exist_ok=True)
    for path in place.iterdir():
        path.unlink()
    for name in names:
        put(place / os.fsdecode(b"checkpoint-" + name + b".tar"))
    first = look(place)
    assert [os.fsencode(one.name) for one in first.archives] == sorted(
        b"checkpoint-" + name + b".tar" for name in names
    )
    second = look(place, by_name(first))
    assert second.read == 0
    assert second.archives == first.archives


def test_the_identity_of_another_container_is_its_own(quick: Path) -> None:
    other = Container("kube-system", "dns-1", "coredns")
    put(quick / name_of(other), archive(other))
    aged(put(quick / NAME), 5)
    assert {one.container for one in look(quick).archives} == {WEB, other}
