"""The chain of custody: each archive's digest, linked to the one before, and what was tampered."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from checkpointkit import CheckpointManager, FileStore, MemoryStore
from checkpointkit.archives.disk.directory import ArchiveCalls, ArchiveDirectory
from checkpointkit.archives.kept import custody as module
from checkpointkit.archives.kept.custody import Custody
from checkpointkit.archives.kept.deletions import Deletion
from checkpointkit.archives.kept.digests import digest_of
from checkpointkit.archives.kept.formats import CUSTODY, LinkPart
from checkpointkit.archives.kept.links import ChainReport, check_export, start_of
from checkpointkit.archives.model import Archive, State
from checkpointkit.errors import CorruptCheckpointError, StoreError
from checkpointkit.testing import FaultyStore
from tests.archives.keeping import WEB, OneByOne, deaths, rot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from checkpointkit.stores.base import Store

PATH = "/var/lib/kubelet/checkpoints"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three links be a full part, and two archives be read at a time."""
    monkeypatch.setattr(module, "IN_A_PART", 3)
    monkeypatch.setattr(module, "_AT_A_TIME", 2)


def found(path: Path, **other: Any) -> Archive:
    status = path.stat()
    values: dict[str, Any] = {"state": State.COMPLETE, "container": WEB, "pod_uid": "7f3e"}
    return Archive(
        name=path.name,
        size=status.st_size,
        device=status.st_dev,
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        **{**values, **other},
    )


def filled(directory: Path, count: int, start: int = 0) -> list[Archive]:
    made = []
    for number in range(start, start + count):
        path = directory / f"checkpoint-{number}.tar"
        path.write_bytes(b"%d" % number * 5000)
        made.append(found(path))
    return made


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[ArchiveDirectory]:
    (tmp_path / "archives").mkdir()
    with ArchiveDirectory.open(str(tmp_path / "archives")) as directory:
        yield directory


@pytest.fixture
def place(opened: ArchiveDirectory, tmp_path: Path) -> Path:
    assert opened.fd >= 0
    return tmp_path / "archives"


def rules(report: ChainReport) -> list[tuple[int | None, str]]:
    return [(fault.index, fault.rule) for fault in report.faults]


# ------------------------------------------------------------------------------------- record


@pytest.mark.usefixtures("small_parts")
def test_each_archive_has_a_link_that_names_the_one_before(
    opened: ArchiveDirectory, place: Path
) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    archives = filled(place, 8)
    links = custody.record(opened, archives[:5], 10).links
    links += Custody(store, PATH).record(opened, archives, 20).links
    assert [link.name for link in links] == [one.name for one in archives]
    assert [link.index for link in links] == list(range(8))
    assert [link.recorded_ns for link in links] == [10] * 5 + [20] * 3
    for link, archive in zip(links, archives, strict=True):
        data = (place / archive.name).read_bytes()
        assert link.sha256 == hashlib.sha256(data).hexdigest()
        assert (link.container, link.pod_uid, link.size) == (WEB, "7f3e", archive.size)
    assert [link.previous for link in links] == [start_of(PATH), *(one.link for one in links[:-1])]
    assert list(custody.links()) == list(links)
    assert store.keys() == ("custody-000000000000", "custody-000000000003", "custody-000000000006")
    report = custody.verify(opened)
    assert report == ChainReport(8, links[-1].link, matching=8)


def test_what_has_a_link_is_not_read_again(opened: ArchiveDirectory, place: Path) -> None:
    custody = Custody(MemoryStore(), PATH)
    archives = filled(place, 3)
    custody.record(opened, archives, 10)
    for one in archives:
        (place / one.name).unlink()
    again = custody.record(opened, archives, 20)
    assert not again.links
    assert not again.skipped


def test_an_archive_of_the_same_name_gets_a_link_of_its_own(
    opened: ArchiveDirectory, place: Path
) -> None:
    custody = Custody(MemoryStore(), PATH)
    custody.record(opened, filled(place, 1), 10)
    path = place / "checkpoint-0.tar"
    path.write_bytes(b"another")
    assert len(custody.record(opened, [found(path)], 20).links) == 1
    assert rules(custody.verify(opened)) == [(0, "changed")]


@pytest.mark.parametrize(
    "state", [State.IN_FLIGHT, State.UNREADABLE, State.OTHER, State.POD_CHECKPOINT]
)
def test_what_may_still_be_written_or_is_no_file_has_no_link(
    state: State, opened: ArchiveDirectory, place: Path
) -> None:
    (archive,) = filled(place, 1)
    custody = Custody(MemoryStore(), PATH)
    recorded = custody.record(opened, [evolve(archive, state=state)], 10)
    assert recorded.links == ()
    assert [why for _, why in recorded.skipped] == [state.value]
    assert len(custody.record(opened, [evolve(archive, state=State.BROKEN)], 10).links) == 1


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replaced(path: Path) -> None:
    data = path.read_bytes()
    path.rename(path.with_name("old"))
    path.write_bytes(data)


def linked(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.symlink_to("old")


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [touched, grown, replaced, linked, a_fifo, os.unlink])
def test_what_is_no_more_what_was_found_is_not_recorded(
    change: Callable[[Path], object], opened: ArchiveDirectory, place: Path
) -> None:
    archives = filled(place, 2)
    change(place / archives[0].name)
    custody = Custody(MemoryStore(), PATH)
    recorded = custody.record(opened, archives, 10)
    assert [one.name for one, _ in recorded.skipped] == [archives[0].name]
    assert [one.name for one in recorded.links] == [archives[1].name]
    assert [link.index for link in recorded.links] == [0]


class Meddling(ArchiveCalls):
    """Does something to the file after its first part was read."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        def read(fd: int, size: int) -> bytes:
            data = os.read(fd, size)
            self.reads += 1
            meddle()
            return data

        self.reads = 0
        self.read = read


@pytest.mark.parametrize("change", [touched, grown])
def test_what_changes_while_it_is_read_is_not_recorded(
    change: Callable[[Path], object], place: Path
) -> None:
    path = place / "checkpoint-a.tar"
    path.write_bytes(b"a" * 3 * 2**20)
    archive = found(path)
    system = Meddling(lambda: change(path))
    with ArchiveDirectory.open(str(place), system=system) as directory:
        recorded = Custody(MemoryStore(), PATH).record(directory, [archive], 10)
    assert recorded.links == ()
    assert "no more what it was" in recorded.skipped[0][1]
    assert system.reads < 6


def test_who_adds_for_ever_does_not_keep_us(place: Path) -> None:
    path = place / "checkpoint-a.tar"
    path.write_bytes(b"a")

    def add() -> None:
        with path.open("ab") as file:
            file.write(b"a" * 2**20)

    system = Meddling(add)
    with ArchiveDirectory.open(str(place), system=system) as directory:
        found_ = digest_of(directory.fd, path.name, system=system)
    assert found_.problem
    assert system.reads <= 3


@pytest.mark.parametrize("call", ["open", "fstat", "read"])
def test_what_cannot_be_read_is_skipped_and_no_descriptor_stays_open(
    call: str, place: Path
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied")

    (archive,) = filled(place, 1)
    with ArchiveDirectory.open(str(place)) as directory:
        setattr(directory.system, call, fails)
        before = len(os.listdir("/proc/self/fd"))
        recorded = Custody(MemoryStore(), PATH).record(directory, [archive], 10)
        assert recorded.skipped == ((archive, "it cannot be read: Permission denied"),)
        assert len(os.listdir("/proc/self/fd")) == before


def test_progress_is_told_in_bytes(opened: ArchiveDirectory, place: Path) -> None:
    archives = filled(place, 2)
    total = sum(one.size for one in archives)
    told: list[tuple[int, int]] = []
    custody = Custody(MemoryStore(), PATH)
    custody.record(opened, archives, 10, progress=lambda *one: told.append(one))
    assert told == [(archives[0].size, total), (total, total)]
    told.clear()
    custody.verify(opened, progress=lambda *one: told.append(one))
    assert told[-1] == (total, total)


@pytest.mark.usefixtures("small_parts")
def test_two_who_record_at_the_same_time_make_one_chain(
    opened: ArchiveDirectory, place: Path
) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    archives = filled(place, 9)
    other = iter(archives[5:])
    store.meanwhile(
        "write",
        lambda _: [
            Custody(memory, PATH).record(opened, [one], 20) for one in [next(other, None)] if one
        ],
        times=None,
    )
    Custody(store, PATH).record(opened, archives[:5], 10)
    report = Custody(memory, PATH).verify(opened)
    assert report.faults == ()
    assert report.links == report.matching == 9


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_leaves_a_whole_chain(opened: ArchiveDirectory, place: Path, *, after: bool) -> None:
    archives = filled(place, 7)
    for change in range(20):
        memory = MemoryStore()
        store = OneByOne(memory)

        def work(store: Store = store) -> None:
            Custody(store, PATH).record(opened, archives, 10)

        died = deaths(store, work, change, after=after)
        assert Custody(memory, PATH).verify(opened).faults == ()
        Custody(memory, PATH).record(opened, archives, 10)
        report = Custody(memory, PATH).verify(opened)
        assert (report.links, report.faults) == (7, ())
        if not died:
            break
    else:
        pytest.fail("it never came to its end")


def test_a_link_that_could_not_be_stored_is_an_error(opened: ArchiveDirectory, place: Path) -> None:
    store = FaultyStore(MemoryStore())
    store.fail("write")
    with pytest.raises(StoreError):
        Custody(store, PATH).record(opened, filled(place, 1), 10)


# ------------------------------------------------------------------------------------- verify


def tampered(store: Store, change: Callable[[LinkPart], LinkPart], key: str = "") -> None:
    """Change a stored part as somebody would who can write all of the state."""
    manager = CheckpointManager(store, CUSTODY)
    key = key or store.keys("custody-")[0]
    manager.create(key, change(manager.get(key)))


def with_link(part: LinkPart, index: int, **change: Any) -> LinkPart:
    links = list(part.links)
    links[index] = evolve(links[index], **change)
    return evolve(part, links=tuple(links))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "checkpoint-9.tar"),
        ("container", "default/web/other/7f3e"),
        ("size", 1),
        ("mtime_ns", 1),
        ("recorded_ns", 1),
        ("sha256", "0" * 64),
    ],
)
def test_whatever_is_changed_in_a_link_shows(
    field: str, value: object, opened: ArchiveDirectory, place: Path
) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    custody.record(opened, filled(place, 4), 10)
    tampered(store, lambda part: with_link(part, 1, **{field: value}))
    assert rules(custody.verify()) == [(1, "link")]


def test_a_link_that_was_made_anew_does_not_fit_the_next_one(
    opened: ArchiveDirectory, place: Path
) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    links = custody.record(opened, filled(place, 4), 10).links
    forged = evolve(links[1], sha256="0" * 64)
    tampered(store, lambda part: with_link(part, 1, sha256=forged.sha256, link=forged.digest()))
    assert rules(custody.verify()) == [(2, "link")]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 2, 1, 3], [1, 2, 3]),
        ([0, 2, 3], [1, 2]),
        ([1, 2, 3], [0, 1, 2]),
        ([0, 1, 1, 2], [2, 3]),
    ],
)
def test_links_that_are_moved_left_out_or_doubled_show(
    order: list[int], expected: list[int], opened: ArchiveDirectory, place: Path
) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    custody.record(opened, filled(place, 4), 10)
    tampered(store, lambda part: evolve(part, links=tuple(part.links[one] for one in order)))
    report = custody.verify()
    assert {index for index, _ in rules(report)} == set(expected)


def test_what_is_left_out_at_the_end_shows_in_the_last_digest_alone(
    opened: ArchiveDirectory, place: Path
) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    before = custody.record(opened, filled(place, 4), 10).links[-1].link
    tampered(store, lambda part: evolve(part, links=part.links[:3]))
    report = custody.verify()
    assert report.faults == ()
    assert (report.links, report.last == before) == (3, False)


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_is_gone_shows(opened: ArchiveDirectory, place: Path) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    custody.record(opened, filled(place, 8), 10)
    store.remove("custody-000000000003")
    assert rules(custody.verify()) == [(6, "order"), (6, "order")]


@pytest.mark.usefixtures("small_parts")
def test_a_part_whose_beginning_is_changed_shows(opened: ArchiveDirectory, place: Path) -> None:
    store = MemoryStore()
    custody = Custody(store, PATH)
    custody.record(opened, filled(place, 5), 10)
    tampered(store, lambda part: evolve(part, previous="0" * 64), "custody-000000000003")
    assert rules(custody.verify()) == [(3, "order"), (3, "link")]


def test_the_chain_of_another_directory_shows(opened: ArchiveDirectory, place: Path) -> None:
    store = MemoryStore()
    Custody(store, PATH).record(opened, filled(place, 1), 10)
    assert rules(Custody(store, "/b").verify()) == [(0, "order")]


@pytest.mark.usefixtures("small_parts")
def test_a_damaged_part_is_told_and_nothing_is_added_after_it(
    opened: ArchiveDirectory, place: Path, tmp_path: Path
) -> None:
    with FileStore(tmp_path / "state", history=0) as store:
        custody = Custody(store, PATH)
        custody.record(opened, filled(place, 5), 10)
        rot(next((tmp_path / "state").glob("custody-000000000003/[0-9]*")))
        report = custody.verify(opened)
        assert rules(report) == [(3, "damaged")]
        assert (report.links, report.matching) == (3, 3)
        with pytest.raises(CorruptCheckpointError):
            custody.record(opened, filled(place, 6), 20)
        with pytest.raises(CorruptCheckpointError):
            list(custody.export())


def deletion(archive: Archive, outcome: str = "deleted", at_ns: int = 20) -> Deletion:
    return Deletion(
        name=archive.name,
        container=WEB,
        size=archive.size,
        device=archive.device,
        inode=archive.inode,
        mtime_ns=archive.mtime_ns,
        rule="max-age",
        words="",
        at_ns=at_ns,
        outcome=outcome,
    )


def test_archives_are_changed_missing_or_deleted(opened: ArchiveDirectory, place: Path) -> None:
    custody = Custody(MemoryStore(), PATH)
    archives = filled(place, 6)
    custody.record(opened, archives, 10)
    assert custody.verify(opened).matching == 6
    paths = [place / one.name for one in archives]
    touched(paths[0])
    paths[1].write_bytes(b"b" * archives[1].size)
    paths[2].unlink()
    paths[3].unlink()
    paths[4].unlink()
    linked(paths[5])
    records = [deletion(archives[3]), deletion(archives[4], "kept: it is pinned")]
    report = custody.verify(opened, records)
    assert (report.links, report.matching, report.deleted) == (6, 1, 1)
    assert rules(report) == [
        (1, "changed"),
        (2, "missing"),
        (4, "missing"),
        (5, "unreadable"),
    ]
    assert {fault.name for fault in report.faults} == {archives[i].name for i in (1, 2, 4, 5)}


def noted(report: ChainReport) -> list[tuple[int | None, str]]:
    return [(note.index, note.rule) for note in report.notes]


def test_what_this_program_had_begun_to_delete_is_no_loss_without_a_reason(
    opened: ArchiveDirectory, place: Path
) -> None:
    """A kill between the deletion and its record: nobody has settled that yet."""
    custody = Custody(MemoryStore(), PATH)
    archives = filled(place, 4)
    custody.record(opened, archives, 10)
    for one in (0, 1, 3):
        (place / archives[one].name).unlink()
    (place / archives[2].name).write_bytes(b"another")
    newer = (place / archives[3].name, b"a later one of that name")
    newer[0].write_bytes(newer[1])
    custody.record(opened, [found(newer[0])], 30)
    report = custody.verify(opened, [deletion(archives[one], "") for one in (0, 2, 3)])
    # what is there and is another one was not deleted; what nobody has begun to is lost
    assert rules(report) == [(1, "missing"), (2, "changed")]
    assert noted(report) == [(0, "begun"), (3, "begun")]
    assert (report.matching, report.deleted) == (1, 0)


def test_a_link_that_is_older_than_all_records_of_deletions_is_no_loss(
    opened: ArchiveDirectory, place: Path
) -> None:
    """Records are pruned, and links are not."""
    custody = Custody(MemoryStore(), PATH)
    archives = filled(place, 3)
    for now, one in enumerate(archives, 10):
        custody.record(opened, [one], now)
        (place / one.name).unlink()
    again = place / archives[0].name
    again.write_bytes(b"a later one of that name")
    custody.record(opened, [found(again)], 30)
    others = filled(place, 4, start=5)
    records = [deletion(one, at_ns=at) for one, at in zip(others, (40, 30, 12, 5), strict=True)]
    whole = custody.verify(opened, records, keep=5)
    assert rules(whole) == [(0, "changed"), (1, "missing"), (2, "missing")]
    assert whole.notes == ()
    report = custody.verify(opened, records, keep=3)
    assert rules(report) == [(2, "missing")]
    assert noted(report) == [(0, "forgotten"), (1, "forgotten")]
    assert "older than the 3 deletions that are kept" in report.notes[0].words
    # what is there under that name and was changed is a fault, however old its link is
    again.write_bytes(b"changed")
    late = [deletion(others[0], at_ns=99)]
    report = custody.verify(opened, late, keep=1)
    assert rules(report) == [(3, "changed")]


def test_what_is_exported_is_what_is_stored(opened: ArchiveDirectory, place: Path) -> None:
    custody = Custody(MemoryStore(), PATH)
    links = custody.record(opened, filled(place, 4), 10).links
    assert check_export(custody.export()) == ChainReport(4, links[-1].link)


def test_a_fifo_in_place_of_an_archive_is_not_waited_for(
    opened: ArchiveDirectory, place: Path
) -> None:
    custody = Custody(MemoryStore(), PATH)
    custody.record(opened, filled(place, 1), 10)
    a_fifo(place / "checkpoint-0.tar")
    assert rules(custody.verify(opened)) == [(0, "unreadable")]
