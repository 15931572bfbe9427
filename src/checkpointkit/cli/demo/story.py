"""What the agent's state lives through, one chapter after the other on the same files."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from checkpointkit import CheckpointError, CorruptCheckpointError, VersionTooNewError
from checkpointkit.cli.demo.agents import agent, kill_agents
from checkpointkit.cli.demo.fulldisk import disk_rows, see_full_disk
from checkpointkit.cli.demo.releases import KEY, RELEASE_1, RELEASE_2, RELEASE_3, Table1
from checkpointkit.cli.demo.table import Row, row
from checkpointkit.cli.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from checkpointkit.cli.demo.ledger import Ledger


def play(directory: Path, *, kills: int, random: Random) -> Iterator[Row]:
    """Play the whole story in an empty directory; yields one row for each promise.

    Args:
        directory: Where to work.
        kills: How many agents to kill.
        random: Chooses when, and which bit flips.

    Raises:
        CheckpointError: Something failed that should not.
        OSError: Likewise.
    """
    home = directory / "agent"
    pause = warm_up(directory / "warm-up")
    yield from ledger_rows(kill_agents(home, kills, pause, random))
    yield upgrade(home)
    yield migrate(home)
    yield from downgrade(home)
    yield from rot(home, random)
    empty = directory / "full"
    empty.mkdir()
    found = RELEASE_3.open(home).load(KEY)
    yield from disk_rows(see_full_disk(empty, found.value, found.info.size))


def _say_nothing(line: str) -> None:
    """Take what an agent says, and leave it."""


def warm_up(directory: Path) -> float:
    """Save twice, so that the forked agents find everything imported; return the seconds of one."""
    agent(_say_nothing, directory, range(1))
    started = time.monotonic()
    agent(_say_nothing, directory, range(1))
    return time.monotonic() - started


def ledger_rows(ledger: Ledger) -> tuple[Row, Row]:
    """Return the rows of the table for the killed agents. Pure."""
    found = ledger.found_acknowledged + ledger.found_in_flight
    return (
        row(
            "SIGKILL",
            ledger.lost == 0,
            f"{plural(ledger.kills, 'agent')}, {ledger.kills_in_save} of them in mid-save; "
            f"{plural(ledger.saves, 'save')} acknowledged, lost: {ledger.lost}",
        ),
        row(
            "restarted",
            found == ledger.kills,
            f"{ledger.found_acknowledged} found the last acknowledged state, "
            f"{ledger.found_in_flight} the save in flight, whole",
        ),
    )


@frozen
class Upgraded:
    """What was seen when release 2 took over from release 1.

    Attributes:
        versions: The schema version in the file before, and after the first save.
        mounts: How many mounts release 1 had saved.
        mounts_kept: How many of them release 2 found, with each option.
        saves: The count of saves before, and as release 2 read it.
    """

    versions: tuple[int, int]
    mounts: int
    mounts_kept: int
    saves: tuple[int, int]


def upgrade(home: Path) -> Row:
    """Start release 2 on the state of release 1, and save."""
    old = RELEASE_1.open(home).load(KEY)
    manager = RELEASE_2.open(home)
    found = manager.get(KEY)
    saved = manager.update(KEY, RELEASE_2.observe)
    wanted = [(m.mount_point, m.source, m.options) for m in old.value.mounts]
    kept = [(m.mount_point, m.source, ",".join(m.options)) for m in found.mounts]
    return upgrade_row(
        Upgraded(
            versions=(old.info.schema_version, saved.info.schema_version),
            mounts=len(wanted),
            mounts_kept=sum(one == other for one, other in zip(wanted, kept, strict=False)),
            saves=(old.value.saves, found.saves),
        )
    )


def upgrade_row(seen: Upgraded) -> Row:
    """Return the row of the table for the upgrade to release 2. Pure."""
    same = seen.mounts == seen.mounts_kept and seen.saves[0] == seen.saves[1]
    before, after = seen.versions
    text = (
        f"release 2 read version {before} and saved version {after}: "
        f"{seen.mounts_kept} of {plural(seen.mounts, 'mount')}"
    )
    return row("upgraded to 2", same and seen.versions == (1, 2), text)


@frozen
class Migrated:
    """What was seen when release 3 migrated what release 2 had saved.

    Attributes:
        versions: The schema version in the file before and after.
        changed: How many checkpoints were saved anew.
        problems: How many could not be.
        same: Whether the state is the one of before.
    """

    versions: tuple[int, int]
    changed: int
    problems: int
    same: bool


def migrate(home: Path) -> Row:
    """Let release 3 bring everything on the disk to its version."""
    old = RELEASE_2.open(home).load(KEY)
    manager = RELEASE_3.open(home)
    as_read = manager.get(KEY)
    report = manager.migrate()
    found = manager.load(KEY)
    return migrate_row(
        Migrated(
            versions=(old.info.schema_version, found.info.schema_version),
            changed=len(report.changed),
            problems=len(report.problems),
            same=found.value == as_read and found.value.saves == old.value.saves,
        )
    )


def migrate_row(seen: Migrated) -> Row:
    """Return the row of the table for the migration by release 3. Pure."""
    before, after = seen.versions
    kept = seen.same and seen.versions == (2, 3) and (seen.changed, seen.problems) == (1, 0)
    text = (
        f"release 3 migrated {plural(seen.changed, 'checkpoint')} from version {before} to "
        f"{after}, {plural(seen.problems, 'problem')}"
    )
    return row("upgraded to 3", kept, text)


@frozen
class Refused:
    """What was seen when release 1 met the state of release 3.

    Attributes:
        by_read: The error of a read; None if there was none.
        by_write: The error of a save; None if there was none.
        untouched: Whether the file has the same bytes as before.
    """

    by_read: CheckpointError | None
    by_write: CheckpointError | None
    untouched: bool


def downgrade(home: Path) -> tuple[Row, Row]:
    """Start release 1 on the state of release 3."""
    file = home / KEY / "current"
    before = file.read_bytes()
    manager = RELEASE_1.open(home)
    by_read = error_of(partial(manager.get, KEY))
    by_write = error_of(partial(manager.create, KEY, RELEASE_1.observe(Table1(0, ()))))
    return downgrade_rows(Refused(by_read, by_write, file.read_bytes() == before))


def downgrade_rows(seen: Refused) -> tuple[Row, Row]:
    """Return the rows of the table for the downgrade. Pure."""

    def refused(error: CheckpointError | None) -> str:
        if isinstance(error, VersionTooNewError):
            return f"{type(error).__name__} (stored {error.stored}, newest {error.newest})"
        return "no error" if error is None else type(error).__name__

    state = "the file is untouched" if seen.untouched else "the file was changed"
    return (
        row(
            "downgraded, read",
            isinstance(seen.by_read, VersionTooNewError),
            f"release 1: {refused(seen.by_read)}",
        ),
        row(
            "downgraded, save",
            isinstance(seen.by_write, VersionTooNewError) and seen.untouched,
            f"release 1: {refused(seen.by_write)}, {state}",
        ),
    )


@frozen
class Rotted:
    """What was seen after one bit of the newest generation flipped.

    Attributes:
        bit: Which one, counted from the start of the file.
        size: How many bytes the file has.
        by_read: The error of a read; None if there was none.
        by_write: The error of a save; None if there was none.
        good: The generation before, which should come back.
        restored_from: The generation that `recover` took.
        generation: The number that it got.
        same: Whether the state is that of the good generation.
        evidence: Whether the damaged bytes are still there for a person to look at.
    """

    bit: int
    size: int
    by_read: CheckpointError | None
    by_write: CheckpointError | None
    good: int
    restored_from: int | None
    generation: int
    same: bool
    evidence: bool


def rot(home: Path, random: Random) -> tuple[Row, Row]:
    """Save once more, flip one bit of that save, and recover."""
    manager = RELEASE_3.open(home)
    good = manager.load(KEY)
    manager.update(KEY, RELEASE_3.observe)
    file = home / KEY / "current"
    size = file.stat().st_size
    bit = random.randrange(size * 8)
    flip_bit(file, bit)
    damaged = file.read_bytes()
    by_read = error_of(partial(manager.get, KEY))
    by_write = error_of(partial(manager.create, KEY, good.value))
    recovery = manager.recover(KEY)
    found = manager.load(KEY)
    evidence = recovery.evidence is not None and Path(recovery.evidence).read_bytes() == damaged
    return rot_rows(
        Rotted(
            bit=bit,
            size=size,
            by_read=by_read,
            by_write=by_write,
            good=good.info.generation,
            restored_from=recovery.restored_from,
            generation=found.info.generation,
            same=found.value == good.value,
            evidence=evidence,
        )
    )


def rot_rows(seen: Rotted) -> tuple[Row, Row]:
    """Return the rows of the table for the flipped bit. Pure."""

    def reported(error: CheckpointError | None) -> str:
        return "no error" if error is None else type(error).__name__

    read, save = reported(seen.by_read), reported(seen.by_write)
    both = f"{read} on read and on save" if read == save else f"{read} on read, {save} on save"
    errors = (seen.by_read, seen.by_write)
    return (
        row(
            "one bit flipped",
            all(isinstance(error, CorruptCheckpointError) for error in errors),
            f"bit {seen.bit % 8} of byte {seen.bit // 8:,} of {seen.size:,}: {both}",
        ),
        row(
            "recovered",
            seen.same and seen.restored_from == seen.good and seen.evidence,
            f"generation {seen.restored_from} is back as {seen.generation}; the damaged file is "
            f"{'kept as evidence' if seen.evidence else 'gone'}",
        ),
    )


def error_of(call: Callable[[], object]) -> CheckpointError | None:
    """Return the error that a call raises; None if it raises none."""
    try:
        call()
    except CheckpointError as error:
        return error
    return None


def flip_bit(file: Path, bit: int) -> None:
    """Flip one bit of a file in place, as rot does: behind the back of the library."""
    with file.open("r+b", buffering=0) as handle:
        byte = os.pread(handle.fileno(), 1, bit // 8)[0]
        os.pwrite(handle.fileno(), bytes([byte ^ 1 << bit % 8]), bit // 8)
