"""The demo's decisions: the mount table, the agents' reports, what was seen and what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from checkpointkit import CorruptCheckpointError, VersionTooNewError
from checkpointkit.cli.demo import mounts, table
from checkpointkit.cli.demo.fulldisk import FullDisk, Limited, disk_rows
from checkpointkit.cli.demo.ledger import NOTHING, Ledger
from checkpointkit.cli.demo.mounts import Mount, filesystem_of, parse_mountinfo, read_mounts
from checkpointkit.cli.demo.story import (
    Migrated,
    Refused,
    Rotted,
    Upgraded,
    downgrade_rows,
    ledger_rows,
    migrate_row,
    rot_rows,
    upgrade_row,
)
from checkpointkit.cli.demo.table import Result, Row

# ---------------------------------------------------------------------------- the mount table


def escape(text: str) -> str:
    """What the kernel does to white space and backslashes."""
    return re.sub(r"[ \t\n\\#]", lambda match: f"\\{ord(match[0]):03o}", text)


printable = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
mount_values = st.builds(Mount, printable, words, printable, words)


@given(st.lists(st.tuples(mount_values, st.lists(words))))
@example([(Mount("-", "-", "-", "-"), [])])
def test_every_mount_comes_back_from_the_kernels_text(
    table: list[tuple[Mount, list[str]]],
) -> None:
    lines = [
        f"{number} 1 0:{number} / {escape(mount.mount_point)} {mount.options} "
        + "".join(f"{word}:1 " for word in optional)
        + f"- {mount.filesystem} {escape(mount.source)} rw,errors=continue\n"
        for number, (mount, optional) in enumerate(table)
    ]
    assert parse_mountinfo("".join(lines).encode()) == tuple(mount for mount, _ in table)


def test_a_path_that_is_no_utf_8_stays_readable() -> None:
    line = b"36 35 98:0 / /caf\xe9 rw - ext4 /dev/a rw\n"
    assert parse_mountinfo(line)[0].mount_point == r"/caf\xe9"


@pytest.mark.parametrize(
    "line",
    [
        b"36 35 98:0 / / rw,noatime ext3 /dev/a rw",
        b"36 35 98:0 / / - ext3 /dev/a rw",
        b"36 35 98:0 / / rw - ext3",
        b"",
    ],
)
def test_a_line_that_is_none_of_a_mount_table_is_named(line: bytes) -> None:
    good = b"36 35 98:0 / / rw - ext4 /dev/a rw\n"
    with pytest.raises(ValueError, match="line 2 is none of a mount table"):
        parse_mountinfo(good + line + b"\n")


@pytest.mark.skipif(not mounts.MOUNTINFO.exists(), reason="this system has no mountinfo")
def test_the_real_mount_table_has_a_root() -> None:
    assert "/" in {mount.mount_point for mount in read_mounts()}


def test_without_a_mount_table_the_paths_that_exist_are_measured(tmp_path: Path) -> None:
    found = read_mounts(tmp_path / "none", [tmp_path, tmp_path / "missing"])
    assert [mount.mount_point for mount in found] == [str(tmp_path)]
    assert re.fullmatch(r"size=[1-9][0-9]*", found[0].options)


def test_without_a_mount_table_there_are_usual_paths_to_measure(tmp_path: Path) -> None:
    assert "/" in {mount.mount_point for mount in read_mounts(tmp_path / "none")}


def test_the_boot_id_is_read_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("6f7e\n")
    assert mounts.read_boot_id(tmp_path / "boot_id") == "6f7e"
    assert mounts.read_boot_id(tmp_path / "none") is None


def test_the_longest_and_then_the_last_mount_point_holds_a_path() -> None:
    def mounted(*points: str) -> list[Mount]:
        return [Mount(point, f"fs{n}", "-", "rw") for n, point in enumerate(points)]

    assert filesystem_of("/tmp/x", mounted("/", "/tmp", "/tmp/xy")) == "fs1"
    assert filesystem_of("/tmp/x", mounted("/tmp", "/")) == "fs0"
    assert filesystem_of("/tmp/x", mounted("/tmp", "/tmp")) == "fs1"
    assert filesystem_of("/tmp/x", mounted("/home")) == "unknown"


# ---------------------------------------------------------------------------------- the books


def test_an_agent_that_finds_what_was_acknowledged_lost_nothing() -> None:
    ledger = Ledger().hear(["read 0 -", "saving 1", "saved 1 aa", "saving 2"]).killed()
    assert (ledger.saves, ledger.kills, ledger.kills_in_save) == (1, 1, 1)
    assert ledger.hear(["read 1 aa"]) == Ledger(
        acknowledged=1, digest="aa", saves=1, kills=1, kills_in_save=1, found_acknowledged=1
    )


def test_an_agent_may_find_the_save_in_flight() -> None:
    ledger = Ledger().hear(["read 0 -", "saving 1", "saved 1 aa", "saving 2"]).killed()
    found = ledger.hear(["read 2 bb"])
    assert (found.found_in_flight, found.acknowledged, found.digest, found.lost) == (1, 2, "bb", 0)


def test_a_kill_between_two_saves_is_not_one_in_a_save() -> None:
    assert Ledger().hear(["read 0 -"]).killed().kills_in_save == 0
    assert Ledger().hear(["read 0 -", "saving 1", "saved 1 aa"]).killed().kills_in_save == 0


@pytest.mark.parametrize(
    ("report", "lost"),
    [
        ("read 0 -", 3),  # everything is gone
        ("read 2 bb", 1),  # an older state
        ("read 3 dd", 1),  # the right number, other bytes
        ("read 5 ee", 1),  # a state that nobody began to save
    ],
)
def test_any_other_state_counts_as_lost(report: str, lost: int) -> None:
    said = ["read 0 -"]
    for number, digest in enumerate(("aa", "bb", "cc"), start=1):
        said += [f"saving {number}", f"saved {number} {digest}"]
    found = Ledger().hear([*said, "saving 4"]).killed().hear([report])
    assert (found.lost, found.found_acknowledged, found.found_in_flight) == (lost, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=1))
def test_a_store_that_keeps_its_promise_loses_nothing(
    lives: list[tuple[int, bool, bool]],
) -> None:
    """Each life of an agent: full saves, killed in one more save or not, which was kept or not."""
    ledger, disk, saves = Ledger(), 0, 0

    def digest(number: int) -> str:
        return f"{number:02x}" if number else NOTHING

    for full, in_save, reached_disk in lives:
        said = [f"read {disk} {digest(disk)}"]
        for _ in range(full):
            disk += 1
            said += [f"saving {disk}", f"saved {disk} {digest(disk)}"]
        if in_save:
            said.append(f"saving {disk + 1}")
            disk += reached_disk
        ledger = ledger.hear(said).killed()
        saves += full
    ledger = ledger.hear([f"read {disk} {digest(disk)}"])
    assert (ledger.lost, ledger.saves, ledger.kills) == (0, saves, len(lives))
    assert ledger.found_acknowledged + ledger.found_in_flight == len(lives)
    assert ledger.found_in_flight == sum(in_save and kept for _, in_save, kept in lives)


# ---------------------------------------------------------------------------------- the table


def test_the_table_lines_up() -> None:
    lines = [*table.heading().splitlines(), table.line(Row("killed", Result.FAILED, "it"))]
    assert lines[0].index("what came of it") == lines[2].index("it")
    assert lines[0].index("result") == lines[2].index("FAILED")


def test_the_summary_counts_what_was_shown() -> None:
    ok, failed = Row("a", Result.OK, ""), Row("b", Result.FAILED, "")
    hidden = Row("c", Result.NOT_SHOWN, "")
    assert table.summary([ok, ok], 1.26) == "2 of 2 promises kept; 1.3 s"
    assert (
        table.summary([ok, failed, hidden], 1)
        == "1 of 2 promises kept, 1 cannot be shown here; 1.0 s"
    )
    assert table.all_kept([ok, hidden])
    assert not table.all_kept([ok, failed])


# ----------------------------------------------------------------- what is seen, and what it means


def failed(*rows: Row) -> list[str]:
    return [row.label for row in rows if row.result is Result.FAILED]


def test_a_lost_save_breaks_the_promise() -> None:
    books = Ledger(saves=9, kills=3, kills_in_save=2, found_acknowledged=2, found_in_flight=1)
    rows = ledger_rows(books)
    assert failed(*rows) == []
    assert rows[0].text == "3 agents, 2 of them in mid-save; 9 saves acknowledged, lost: 0"
    assert rows[1].text == "2 found the last acknowledged state, 1 the save in flight, whole"
    assert failed(*ledger_rows(evolve(books, found_in_flight=0, lost=1))) == [
        "SIGKILL",
        "restarted",
    ]


UPGRADED = Upgraded(versions=(1, 2), mounts=2, mounts_kept=2, saves=(7, 7))


def test_an_upgrade_keeps_everything() -> None:
    row = upgrade_row(UPGRADED)
    assert failed(row) == []
    assert row.text == "release 2 read version 1 and saved version 2: 2 of 2 mounts"


@pytest.mark.parametrize(
    "seen",
    [
        evolve(UPGRADED, versions=(1, 1)),
        evolve(UPGRADED, mounts_kept=1),
        evolve(UPGRADED, saves=(7, 6)),
    ],
)
def test_an_upgrade_that_loses_something_fails(seen: Upgraded) -> None:
    assert failed(upgrade_row(seen)) == ["upgraded to 2"]


MIGRATED = Migrated(versions=(2, 3), changed=1, problems=0, same=True)


def test_a_migration_of_all_checkpoints_changes_nothing_but_the_version() -> None:
    row = migrate_row(MIGRATED)
    assert failed(row) == []
    assert row.text == "release 3 migrated 1 checkpoint from version 2 to 3, 0 problems"


@pytest.mark.parametrize(
    "seen",
    [
        evolve(MIGRATED, versions=(2, 2)),
        evolve(MIGRATED, changed=0),
        evolve(MIGRATED, problems=1),
        evolve(MIGRATED, same=False),
    ],
)
def test_a_migration_that_leaves_something_out_fails(seen: Migrated) -> None:
    assert failed(migrate_row(seen)) == ["upgraded to 3"]


TOO_NEW = VersionTooNewError("key", 3, 1, 1)
ROTTEN = CorruptCheckpointError("key", 9, "rot")


def test_an_older_release_is_refused_by_name() -> None:
    rows = downgrade_rows(Refused(TOO_NEW, TOO_NEW, untouched=True))
    assert failed(*rows) == []
    assert rows[0].text == "release 1: VersionTooNewError (stored 3, newest 1)"
    assert rows[1].text.endswith(", the file is untouched")


@pytest.mark.parametrize(
    ("seen", "labels", "text"),
    [
        (Refused(None, TOO_NEW, untouched=True), ["downgraded, read"], "release 1: no error"),
        (Refused(ROTTEN, TOO_NEW, untouched=True), ["downgraded, read"], "CorruptCheckpointError"),
        (Refused(TOO_NEW, None, untouched=False), ["downgraded, save"], "the file was changed"),
        (Refused(TOO_NEW, TOO_NEW, untouched=False), ["downgraded, save"], "the file was changed"),
    ],
)
def test_an_older_release_that_gets_through_fails(
    seen: Refused, labels: list[str], text: str
) -> None:
    rows = downgrade_rows(seen)
    assert failed(*rows) == labels
    assert any(row.text.endswith(text) for row in rows)


ROTTED = Rotted(
    bit=8195,
    size=2000,
    by_read=ROTTEN,
    by_write=ROTTEN,
    good=8,
    restored_from=8,
    generation=10,
    same=True,
    evidence=True,
)


def test_a_flipped_bit_is_reported_and_recovered() -> None:
    flipped, recovered = rot_rows(ROTTED)
    assert failed(flipped, recovered) == []
    assert flipped.text == (
        "bit 3 of byte 1,024 of 2,000: CorruptCheckpointError on read and on save"
    )
    assert recovered.text == "generation 8 is back as 10; the damaged file is kept as evidence"


@pytest.mark.parametrize(
    ("seen", "labels", "text"),
    [
        (evolve(ROTTED, by_read=None), ["one bit flipped"], "no error on read, Corrupt"),
        (evolve(ROTTED, by_write=TOO_NEW), ["one bit flipped"], "VersionTooNewError on save"),
        (evolve(ROTTED, restored_from=7), ["recovered"], "generation 7 is back"),
        (evolve(ROTTED, same=False), ["recovered"], "is back"),
        (evolve(ROTTED, evidence=False), ["recovered"], "the damaged file is gone"),
    ],
)
def test_rot_that_passes_unseen_or_is_not_mended_fails(
    seen: Rotted, labels: list[str], text: str
) -> None:
    rows = rot_rows(seen)
    assert failed(*rows) == labels
    assert any(text in row.text for row in rows)


FULL = FullDisk("tmpfs", "StoreError (full)", state_kept=True, works_again=True, reserve_saves=3)
LIMITED = Limited("not permitted", "StoreError (large)", state_kept=True, works_again=True)


def test_a_full_disk_keeps_the_old_state_and_a_reserve_saves_the_new_one() -> None:
    rows = disk_rows(FULL)
    assert failed(*rows) == []
    assert [row.text for row in rows] == [
        "tmpfs: StoreError (full); the old state stays",
        "3 of 3 saves went through on the full disk",
        "the next save went through",
    ]


def test_without_a_small_disk_the_row_of_the_reserve_says_what_it_needs() -> None:
    rows = disk_rows(LIMITED)
    assert [row.result for row in rows] == [Result.OK, Result.NOT_SHOWN, Result.OK]
    assert rows[0].text == "at a limit of the file size: StoreError (large); the old state stays"
    assert rows[1].text == ("needs a small file system; none can be mounted here (not permitted)")


@pytest.mark.parametrize(
    ("seen", "labels"),
    [
        (evolve(FULL, refusal=None), ["disk full"]),
        (evolve(FULL, state_kept=False), ["disk full"]),
        (evolve(FULL, works_again=False), ["room again"]),
        (evolve(FULL, reserve_saves=2), ["with a reserve"]),
        (evolve(LIMITED, refusal=None), ["disk full"]),
        (evolve(LIMITED, state_kept=False), ["disk full"]),
        (evolve(LIMITED, works_again=False), ["room again"]),
    ],
)
def test_a_full_disk_that_costs_the_state_fails(
    seen: FullDisk | Limited, labels: list[str]
) -> None:
    assert failed(*disk_rows(seen)) == labels
