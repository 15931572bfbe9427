"""Markers: whatever has the name pins; nobody's wish is lost, and nobody's marker is rewritten."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.disk.pins import (
    MARKER_LIMIT,
    OWNER_LIMIT,
    SOMEBODY,
    TEMPORARY,
    PinError,
    Pinned,
    has_marker,
    pin,
    read_pins,
    unpin,
)
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.errors import CheckpointError
from tests.archives.disk import FailingArchiveCalls, KillingArchiveCalls, calls_with, unchanged
from tests.support.calls import descriptors
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "checkpoint-a.tar"
MARKER = f"{NAME}.keep"
OPERATORS = "checkpoint-restore-operator/podrestore"


@pytest.fixture
def place(quick: Path) -> Path:
    (quick / NAME).write_bytes(b"archive")
    return quick


@pytest.fixture
def directory(place: Path) -> Iterator[ArchiveDirectory]:
    with ArchiveDirectory.open(str(place)) as opened:
        yield opened


def marker(place: Path) -> Any:
    return json.loads((place / MARKER).read_text())


def operators(place: Path, *owners: str, **more: object) -> None:
    document = {"managedBy": OPERATORS, "podRestoreOwners": list(owners), **more}
    (place / MARKER).write_text(json.dumps(document) + "\n")


# ------------------------------------------------------------------------------- our own


def test_a_pin_is_a_marker_that_names_its_owner(place: Path, directory: ArchiveDirectory) -> None:
    assert not has_marker(NAME, directory)
    assert read_pins(NAME, directory) == ()
    assert pin(directory, NAME, "alice") == Pinned(("alice",), changed=True, recorded=True)
    assert has_marker(NAME, directory)
    assert marker(place) == {"managedBy": "checkpointkit", "owners": ["alice"]}
    assert stat.S_IMODE((place / MARKER).stat().st_mode) == 0o600
    assert (place / MARKER).stat().st_nlink == 1
    assert unchanged(place, [NAME, MARKER])


def test_several_owners_are_sorted_and_each_is_there_once(
    place: Path, directory: ArchiveDirectory
) -> None:
    for owner in ("bob", "alice"):
        assert pin(directory, NAME, owner).changed
    assert pin(directory, NAME, "bob") == Pinned(("alice", "bob"), changed=False, recorded=True)
    assert marker(place)["owners"] == ["alice", "bob"]
    assert unchanged(place, [NAME, MARKER])


def test_the_last_owner_takes_the_marker_along(place: Path, directory: ArchiveDirectory) -> None:
    pin(directory, NAME, "alice")
    pin(directory, NAME, "bob")
    assert unpin(directory, NAME, "alice") == Pinned(("bob",), changed=True, recorded=False)
    assert unpin(directory, NAME, "alice") == Pinned(("bob",), changed=False, recorded=False)
    assert unpin(directory, NAME, "bob") == Pinned((), changed=True, recorded=False)
    assert unpin(directory, NAME, "bob") == Pinned((), changed=False, recorded=False)
    assert unchanged(place, [NAME])


def test_what_else_stands_in_a_marker_stays(place: Path, directory: ArchiveDirectory) -> None:
    document = {"managedBy": "checkpointkit", "owners": ["alice"], "why": "\u00fc", "n": [1, None]}
    (place / MARKER).write_text(json.dumps(document))
    pin(directory, NAME, "bob")
    unpin(directory, NAME, "alice")
    assert marker(place) == {**document, "owners": ["bob"]}


def test_owners_may_be_written_in_any_script(place: Path, directory: ArchiveDirectory) -> None:
    pin(directory, NAME, "\u5f20 \u00fc \U0001f600")
    assert read_pins(NAME, directory) == ("\u5f20 \u00fc \U0001f600",)


@pytest.mark.parametrize("owner", ["", "a\nb", "\x1b[2J", "\udcff", "x" * (OWNER_LIMIT + 1)])
@pytest.mark.parametrize("act", [pin, unpin])
def test_an_owner_that_could_not_be_shown_is_refused(
    place: Path, directory: ArchiveDirectory, act: Callable[..., object], owner: str
) -> None:
    with pytest.raises(PinError, match="printable characters"):
        act(directory, NAME, owner)
    assert unchanged(place, [NAME])


def test_an_archive_that_is_not_there_cannot_be_pinned(
    place: Path, directory: ArchiveDirectory
) -> None:
    with pytest.raises(PinError, match=r"cannot pin checkpoint-b\.tar: there is no such") as caught:
        pin(directory, "checkpoint-b.tar", "alice")
    assert isinstance(caught.value, CheckpointError)
    assert unchanged(place, [NAME])


def test_the_pin_of_an_archive_that_is_gone_can_be_let_go(
    place: Path, directory: ArchiveDirectory
) -> None:
    pin(directory, NAME, "alice")
    (place / NAME).unlink()
    assert unpin(directory, NAME, "alice").changed
    assert unchanged(place, [])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/etc/passwd", "a\0b"])
@pytest.mark.parametrize("act", [pin, unpin])
def test_a_name_that_leads_elsewhere_is_refused(
    directory: ArchiveDirectory, act: Callable[..., object], name: str
) -> None:
    with pytest.raises(PinError, match="no name of a file"):
        act(directory, name, "alice")


@pytest.mark.parametrize("length", [250, 251, 255])
def test_a_name_without_room_for_the_markers_is_told(
    place: Path, directory: ArchiveDirectory, length: int
) -> None:
    name = "checkpoint-".ljust(length, "x")
    (place / name).touch()
    assert not has_marker(name, directory)
    if length == 250:
        pin(directory, name, "alice")
        assert read_pins(name, directory) == ("alice",)
        return
    with pytest.raises(PinError, match="leaves no room"):
        pin(directory, name, "alice")
    assert unpin(directory, name, "alice") == Pinned((), changed=False, recorded=False)
    assert unchanged(place, [NAME, name])


def test_names_may_be_no_text(place: Path, directory: ArchiveDirectory) -> None:
    name = os.fsdecode(b"checkpoint-\xff\n.tar")
    (place / name).touch()
    pin(directory, name, "alice")
    assert read_pins(name, directory) == ("alice",)
    assert unpin(directory, name, "alice").changed


# ------------------------------------------------------------------------- the operator's


def test_an_owner_of_ours_joins_the_operators_where_the_operator_keeps_it(
    place: Path, directory: ArchiveDirectory
) -> None:
    operators(place, "default/restore-a")
    found = pin(directory, NAME, "alice")
    assert found == Pinned(("alice", "default/restore-a"), changed=True, recorded=True)
    assert marker(place) == {
        "managedBy": OPERATORS,
        "podRestoreOwners": ["checkpointkit:alice", "default/restore-a"],
    }
    # the operator lets its own go, and rewrites the marker with its two fields (see `pins`)
    operators(place, "checkpointkit:alice")
    assert read_pins(NAME, directory) == ("alice",)
    assert unpin(directory, NAME, "alice") == Pinned((), changed=True, recorded=False)
    assert unchanged(place, [NAME])


def test_letting_go_leaves_the_operators_owners(place: Path, directory: ArchiveDirectory) -> None:
    operators(place, "default/restore-a", more=1)
    before = marker(place)
    pin(directory, NAME, "alice")
    assert unpin(directory, NAME, "alice").owners == ("default/restore-a",)
    assert marker(place) == before


def test_no_one_of_ours_lets_an_owner_of_the_operators_go(
    place: Path, directory: ArchiveDirectory
) -> None:
    operators(place, "default/restore-a")
    before = (place / MARKER).read_bytes()
    found = unpin(directory, NAME, "default/restore-a")
    assert found == Pinned(("default/restore-a",), changed=False, recorded=False)
    assert (place / MARKER).read_bytes() == before


@pytest.mark.parametrize("owners", [None, []])
def test_a_program_s_marker_without_an_owner_pins(
    place: Path, directory: ArchiveDirectory, owners: object
) -> None:
    (place / MARKER).write_text(json.dumps({"managedBy": OPERATORS, "podRestoreOwners": owners}))
    assert read_pins(NAME, directory) == (SOMEBODY,)
    assert pin(directory, NAME, "alice").owners == ("alice",)


# ------------------------------------------------------------------------------ a person's

PERSONS = [
    b"",
    b"manual pin",
    b"not json {{{",
    b"[]",
    b"null",
    b"{}",
    b'{"reason": "test"}',
    b'{"managedBy": ["checkpointkit"]}',
    b'{"managedBy": "somebody"}',
    b'{"managedBy": "checkpointkit", "owners": "alice"}',
    b'{"managedBy": "checkpointkit", "owners": [1]}',
    b'{"managedBy": "checkpointkit", "owners": [""]}',
    b'{"managedBy": "checkpointkit", "owners": ["a\\nb"]}',
    b'{"managedBy": "checkpointkit", "owners": ["%s"]}' % (b"x" * 1000),
    b'{"managedBy": "checkpointkit", "owners": ["a"]} and more',
    b"\xff\xfe",
    b"[" * MARKER_LIMIT,
    b'{"managedBy": "checkpointkit", "owners": ["a"], "n": %s}' % (b"9" * 5000),
    b'{"managedBy": "checkpointkit", "owners": ["a"]}'.ljust(MARKER_LIMIT + 1),
]


@pytest.mark.parametrize("data", PERSONS, ids=range(len(PERSONS)))
def test_whatever_a_person_wrote_pins_and_stays_as_it_is(
    place: Path, directory: ArchiveDirectory, data: bytes
) -> None:
    (place / MARKER).write_bytes(data)
    assert read_pins(NAME, directory) == (SOMEBODY,)
    assert pin(directory, NAME, "alice") == Pinned((SOMEBODY,), changed=False, recorded=False)
    with pytest.raises(PinError, match="nothing that this program made; delete it by force"):
        unpin(directory, NAME, "alice")
    assert (place / MARKER).read_bytes() == data
    assert unpin(directory, NAME, "alice", force=True) == Pinned((), changed=True, recorded=False)
    assert unchanged(place, [NAME])


def test_a_marker_as_large_as_is_read_names_its_owners(
    place: Path, directory: ArchiveDirectory
) -> None:
    (place / MARKER).write_bytes(
        b'{"managedBy": "checkpointkit", "owners": ["a"]}'.ljust(MARKER_LIMIT)
    )
    assert read_pins(NAME, directory) == ("a",)


def make_directory(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make", [make_directory, make_link, make_dangling_link, make_link_to_itself, make_fifo]
)
def test_what_is_no_file_pins_and_is_neither_followed_nor_waited_for(
    place: Path, directory: ArchiveDirectory, make: Callable[[Path], None]
) -> None:
    make(place / MARKER)
    assert has_marker(NAME, directory)
    assert read_pins(NAME, directory) == (SOMEBODY,)
    assert pin(directory, NAME, "alice") == Pinned((SOMEBODY,), changed=False, recorded=False)
    with pytest.raises(PinError, match="by force"):
        unpin(directory, NAME, "alice")
    unpin(directory, NAME, "alice", force=True)
    assert unchanged(place, [NAME])


def test_force_deletes_no_directory_with_something_in_it(
    place: Path, directory: ArchiveDirectory
) -> None:
    (place / MARKER).mkdir()
    (place / MARKER / "file").touch()
    with pytest.raises(PinError, match="ENOTEMPTY"):
        unpin(directory, NAME, "alice", force=True)
    assert (place / MARKER / "file").exists()


# ----------------------------------------------------------------------- others, and kills


def test_a_marker_that_somebody_makes_meanwhile_is_not_replaced(place: Path) -> None:
    def link_later(*names: str, **options: Any) -> None:
        operators(place, "default/restore-a")
        os.link(*names, **options)

    calls = calls_with(link=link_later)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        with pytest.raises(PinError, match="somebody else has pinned it meanwhile"):
            pin(directory, NAME, "alice")
        assert read_pins(NAME, directory) == ("default/restore-a",)
    assert unchanged(place, [NAME, MARKER])


def test_a_marker_that_somebody_changes_meanwhile_is_not_replaced(place: Path) -> None:
    operators(place, "default/restore-a")

    def write_later(fd: int, data: bytes) -> int:
        (place / MARKER).rename(place / "aside")
        operators(place, "default/restore-b")
        return os.write(fd, data)

    calls = calls_with(write=write_later)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        with pytest.raises(PinError, match="somebody else has changed its marker meanwhile"):
            pin(directory, NAME, "alice")
        assert read_pins(NAME, directory) == ("default/restore-b",)
    assert unchanged(place, [NAME, MARKER, "aside"])


def test_a_marker_that_somebody_deletes_meanwhile_is_gone(place: Path) -> None:
    (place / MARKER).touch()

    def unlink_later(name: str, *, dir_fd: int) -> None:
        (place / MARKER).unlink()
        os.unlink(name, dir_fd=dir_fd)

    calls = calls_with(unlink=unlink_later)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        assert unpin(directory, NAME, "alice", force=True).changed
    assert unchanged(place, [NAME])


def test_too_many_owners_are_refused(place: Path, directory: ArchiveDirectory) -> None:
    owners = [f"{n:0256d}" for n in range(MARKER_LIMIT // 262)]
    (place / MARKER).write_text(json.dumps({"managedBy": "checkpointkit", "owners": owners}))
    before = (place / MARKER).read_bytes()
    with pytest.raises(PinError, match="too many owners"):
        for n in range(9):
            pin(directory, NAME, f"another {n}".ljust(256, "x"))
    assert len((place / MARKER).read_bytes()) <= MARKER_LIMIT
    assert len(before) > MARKER_LIMIT - 2048


def test_a_pin_waits_for_the_deletions_of_others_and_then_sees_them(place: Path) -> None:
    def work(child: Child) -> None:
        child.say("ready")
        with ArchiveDirectory.open(str(place)) as directory, pytest.raises(PinError) as caught:
            pin(directory, NAME, "alice")
        child.say(str(caught.value))

    with ArchiveDirectory.open(str(place)) as directory:
        with directory.locked("delete in"):
            child = Child(work)
            assert child.line() == "ready"
            assert not has_marker(NAME, directory)
            (place / NAME).unlink()
        assert child.end() == ["cannot pin checkpoint-a.tar: there is no such archive"]
    assert unchanged(place, [])


def test_a_directory_that_was_replaced_gets_no_marker(place: Path) -> None:
    inner = place / "inner"
    inner.mkdir()
    (inner / NAME).touch()
    with ArchiveDirectory.open(str(inner)) as directory:
        inner.rename(place / "aside")
        inner.mkdir()
        with pytest.raises(DirectoryError, match="another directory"):
            pin(directory, NAME, "alice")
    assert unchanged(place / "aside", [NAME])


SCENARIOS: dict[str, tuple[tuple[str, ...], Callable[[ArchiveDirectory], object], tuple[str, ...]]]
SCENARIOS = {
    "pin": ((), lambda directory: pin(directory, NAME, "bob"), ("bob",)),
    "pin too": (("al",), lambda directory: pin(directory, NAME, "bob"), ("al", "bob")),
    "unpin": (("al", "bob"), lambda directory: unpin(directory, NAME, "bob"), ("al",)),
    "unpin the last": (("bob",), lambda directory: unpin(directory, NAME, "bob"), ()),
}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_call_fails_the_marker_is_the_old_or_the_new_one(
    place: Path, name: str, error: int
) -> None:
    before, act, after = SCENARIOS[name]
    calls = FailingArchiveCalls(place)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        held = descriptors()
        failed = 0
        for at in range(60):
            (place / MARKER).unlink(missing_ok=True)
            for owner in before:
                pin(directory, NAME, owner)
            calls.break_at(at, error)
            try:
                act(directory)
            except CheckpointError as caught:
                failed += 1
                assert isinstance(caught, (PinError, DirectoryError))
                assert errno.errorcode[error] in str(caught) or "by force" in str(caught)
            calls.heal()
            assert read_pins(NAME, directory) in {before, after}, calls.failed
            if not calls.failed:
                break
            act(directory)  # once more, on a disk that works again
            assert read_pins(NAME, directory) == after, calls.failed
            pin(directory, NAME, "carol")
            assert TEMPORARY not in os.listdir(place), calls.failed
        assert not calls.failed
        assert failed >= 4
        assert descriptors() == held


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_call_leaves_the_old_marker_or_the_new_one(place: Path, name: str) -> None:
    before, act, after = SCENARIOS[name]
    for at in range(60):
        (place / MARKER).unlink(missing_ok=True)
        with ArchiveDirectory.open(str(place)) as directory:
            for owner in before:
                pin(directory, NAME, owner)

        def work(child: Child, at: int = at) -> None:
            calls = KillingArchiveCalls(place)
            with ArchiveDirectory.open(str(place), system=calls) as directory:
                calls.left = at
                act(directory)
                calls.left = None

        with Child(work) as child:
            child.end()
        with ArchiveDirectory.open(str(place)) as directory:
            assert read_pins(NAME, directory) in {before, after}
            if child.status == 0:
                break
            act(directory)
            assert read_pins(NAME, directory) == after
            pin(directory, NAME, "carol")
            assert unchanged(place, [NAME, MARKER])
    assert child.status == 0
    assert at >= 8


def test_what_is_no_file_is_not_pinned(quick: Path) -> None:
    (quick / "checkpoint-dir.tar").mkdir()
    (quick / "checkpoint-link.tar").symlink_to("nowhere")
    with ArchiveDirectory.open(str(quick)) as directory:
        for name in sorted(os.listdir(quick)):
            with pytest.raises(PinError, match="it is no file"):
                pin(directory, name, "alice")
    assert sorted(os.listdir(quick)) == ["checkpoint-dir.tar", "checkpoint-link.tar"]
