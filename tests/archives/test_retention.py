"""The parts put together: on real files, as the command line and the watcher use them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve, field, frozen

from checkpointkit.archives.disk.apply import apply
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.deletions import Deletion, DeletionLog
from checkpointkit.archives.model import Container, Level, Parent, State
from checkpointkit.archives.plan import Plan
from checkpointkit.archives.policies import OrphanRule, Policy, Rules
from checkpointkit.archives.retention import Retention
from checkpointkit.archives.watching.orphans import Answer
from checkpointkit.errors import LockTimeoutError, ReadOnlyError
from tests.archives import making
from tests.support.disks import fill as fill_disk
from tests.support.disks import on_small_tmpfs

WEB = Container("default", "web", "app")
DB = Container("prod", "db", "pg")
START = 1780000000
NOW = datetime.fromtimestamp(START + 1000, UTC)
TWO = Policy(rules=Rules(container_count=2))
ORPHANS = Policy(rules=Rules(orphans=OrphanRule(timedelta(hours=1))))


@frozen
class Known:
    """Says what it was told to say, and what it was asked."""

    cluster: str = "a1"
    gone: tuple[Container, ...] = ()
    asked: list[set[Container]] = field(factory=list)

    def look(self, parents: Collection[Parent]) -> Answer:
        self.asked.append({parent.container for parent in parents})
        gone = {parent: Level.POD for parent in parents if parent.container in self.gone}
        return Answer(self.cluster, gone, (), frozenset(parents) - frozenset(gone))


class Cut(DeletionLog):
    """The process is killed when a batch is deleted."""

    def __init__(self, log: DeletionLog) -> None:
        self._log = log

    def begin(self, deletions: Sequence[Deletion]) -> int:
        return self._log.begin(deletions)

    def finish(self, number: int, outcomes: Sequence[str]) -> None:
        raise KeyboardInterrupt


def fill(directory: Path, *containers: Container, each: int = 4) -> None:
    directory.mkdir(exist_ok=True)
    for container in containers:
        for number in range(each):
            at = START + number
            making.write(
                directory,
                making.name_of(container, at),
                making.archive(container, checkpointed_ns=at * 10**9),
                mtime=at,
            )


def made(tmp_path: Path, policy: Policy = TWO, *, lookup: Known | None = None) -> Retention:
    return Retention(
        str(tmp_path / "checkpoints"),
        policy,
        state=str(tmp_path / "state"),
        settle_ns=0,
        lookup=lookup,
        clock=lambda: NOW,
    )


def _same(now: datetime) -> datetime:
    return now


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_a_look_deletes_nothing_and_apply_what_it_planned(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    fill(directory, WEB, DB)
    retention = made(tmp_path)
    look = retention.look()
    assert len(names(directory)) == 8
    planned = {decision.archive.name for decision in look.plan.deletions}
    expected = {making.name_of(each, START + at) for each in (WEB, DB) for at in (0, 1)}
    assert planned == expected
    applied = retention.apply(look)
    assert {archive.name for archive in applied.deleted} == expected
    assert not applied.skipped
    assert applied.freed > 0
    assert set(names(directory)) == {
        making.name_of(each, START + at) for each in (WEB, DB) for at in (2, 3)
    }
    assert not retention.look().plan.deletions


def test_each_deletion_is_on_record_with_its_rule(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, each=3)
    retention = made(tmp_path)
    retention.apply(retention.look())
    inventory = retention.inventory()
    assert inventory is not None
    (entry,) = inventory.deletions.entries()
    inventory.close()
    assert (entry.name, entry.rule) == (making.name_of(WEB, START), "container-count")


def test_what_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB)
    assert made(tmp_path).look().scan.read == 4
    again = made(tmp_path).look()
    assert again.scan.read == 0
    assert {archive.state for archive in again.scan.archives} == {State.COMPLETE}


def test_without_a_state_each_look_reads_anew_and_nothing_can_be_applied(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB)
    retention = Retention(
        str(tmp_path / "checkpoints"), TWO, state=None, settle_ns=0, clock=lambda: NOW
    )
    assert [retention.look().scan.read for _ in range(2)] == [4, 4]
    with pytest.raises(ReadOnlyError):
        retention.apply(retention.look())
    assert names(tmp_path) == ["checkpoints"]
    assert len(names(tmp_path / "checkpoints")) == 4


def test_who_only_reads_makes_no_state_and_changes_none(tmp_path: Path) -> None:
    directory, state = tmp_path / "checkpoints", tmp_path / "state"
    fill(directory, WEB)
    reader = Retention(
        str(directory), TWO, state=str(state), settle_ns=0, read_only=True, clock=lambda: NOW
    )
    assert len(reader.look().plan.deletions) == 2
    assert not state.exists()
    with pytest.raises(ReadOnlyError):
        reader.apply(reader.look())
    made(tmp_path).look()
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in state.rglob("*"))
    assert reader.look().scan.read == 0
    fill(directory, DB)
    assert reader.look().scan.read == 4
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in state.rglob("*")) == before


def test_another_process_that_applies_is_not_disturbed(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB)
    retention = made(tmp_path)
    look = retention.look()
    other = made(tmp_path).inventory()
    assert other is not None
    with other.exclusive(), pytest.raises(LockTimeoutError):
        retention.apply(look)
    other.close()
    assert len(names(tmp_path / "checkpoints")) == 4


def test_a_plan_in_parts_deletes_what_the_whole_would(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    retention = made(tmp_path)
    look = retention.look()
    for decision in look.plan.deletions:
        retention.apply(evolve(look, plan=evolve(look.plan, decisions=(decision,))))
    assert len(names(tmp_path / "checkpoints")) == 4
    assert not retention.look().plan.deletions


def test_nobody_is_an_orphan_where_nobody_is_asked(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB)
    look = made(tmp_path, ORPHANS).look()
    assert not look.plan.deletions
    assert any("nobody is asked" in problem for problem in look.problems)


def test_only_those_are_asked_for_whose_rules_want_to_know(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    lookup = Known()
    policy = Policy(containers={DB: Rules(orphans=OrphanRule(timedelta(0)))})
    made(tmp_path, policy, lookup=lookup).look()
    made(tmp_path, TWO, lookup=lookup).look()
    assert lookup.asked == [{DB}]


def test_an_orphan_goes_when_its_grace_is_over_since_it_was_first_seen(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    lookup = Known(gone=(WEB,))
    found = []
    times = [NOW + timedelta(hours=hours) for hours in (0, 0.5, 1.5)]
    for now in times:
        retention = Retention(
            str(tmp_path / "checkpoints"),
            ORPHANS,
            state=str(tmp_path / "state"),
            settle_ns=0,
            lookup=lookup,
            clock=partial(_same, now),
        )
        found.append({decision.archive.container for decision in retention.look().plan.deletions})
    assert found == [set(), set(), {WEB}]


def test_another_cluster_makes_no_orphans(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB)
    policy = Policy(rules=Rules(orphans=OrphanRule(timedelta(0))))
    made(tmp_path, policy, lookup=Known("a1")).look()
    look = made(tmp_path, policy, lookup=Known("b2", gone=(WEB,))).look()
    assert not look.plan.deletions
    assert any("cluster" in problem for problem in look.problems)


def test_who_writes_nothing_is_told_of_orphans_all_the_same(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    retention = Retention(
        str(tmp_path / "checkpoints"),
        Policy(rules=Rules(orphans=OrphanRule(timedelta(0)))),
        state=None,
        settle_ns=0,
        lookup=Known(gone=(WEB,)),
        clock=lambda: NOW,
    )
    assert len(retention.look().plan.deletions) == 4


def test_a_plan_that_is_only_read_is_the_one_that_would_be_applied(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    for hours, cluster in ((0, "a1"), (2, "a1"), (3, "b2")):
        lookup = Known(cluster, gone=(WEB,))
        planned = []
        for read_only in (True, False):
            retention = Retention(
                str(tmp_path / "checkpoints"),
                ORPHANS,
                state=str(tmp_path / "state"),
                settle_ns=0,
                lookup=lookup,
                read_only=read_only,
                clock=partial(_same, NOW + timedelta(hours=hours)),
            )
            look = retention.look()
            planned.append(([each.archive.name for each in look.plan.deletions], look.problems))
        assert planned[0] == planned[1]
        assert len(planned[0][0]) == (4 if hours == 2 else 0)


def test_a_cluster_that_shows_no_pod_of_ours_makes_no_orphans(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    policy = Policy(rules=Rules(orphans=OrphanRule(timedelta(0))))
    look = made(tmp_path, policy, lookup=Known(gone=(WEB, DB))).look()
    assert not look.plan.deletions
    assert look.problems


def test_an_api_server_of_which_nothing_is_known_makes_no_orphans(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB)
    policy = Policy(rules=Rules(orphans=OrphanRule(timedelta(0))))
    assert not made(tmp_path, policy, lookup=Known("", gone=(WEB,))).look().plan.deletions


def cut_off(retention: Retention, directory: Path) -> None:
    """Leave a deletion behind as a kill does, with its archive gone."""
    (first, *_) = retention.look().plan.deletions
    inventory = retention.inventory()
    assert inventory is not None
    status = (directory / first.archive.name).stat()
    opened = ArchiveDirectory.open(str(directory))
    with opened, pytest.raises(KeyboardInterrupt):
        apply(
            Plan((first,), (), 0),
            opened,
            Cut(inventory.deletions),
            clock_ns=lambda: status.st_mtime_ns,
        )
    inventory.close()


def test_what_a_kill_has_cut_off_is_settled_by_the_next_look(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    fill(directory, WEB, each=3)
    retention = made(tmp_path)
    cut_off(retention, directory)
    assert not retention.look().plan.deletions
    inventory = retention.inventory()
    assert inventory is not None
    assert inventory.deletions.unfinished() == []
    assert [each.outcome for each in inventory.deletions.entries()] == ["deleted"]
    inventory.close()


def test_what_another_process_deletes_is_settled_by_that(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    fill(directory, WEB, each=3)
    retention = made(tmp_path)
    cut_off(retention, directory)
    other = made(tmp_path).inventory()
    assert other is not None
    with other.exclusive():
        assert not retention.look().problems
        assert len(other.deletions.unfinished()) == 1
    other.close()


def test_a_full_disk_is_freed_although_the_state_is_on_it(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        directory = path / "checkpoints"
        fill(directory, WEB)
        retention = made(path)
        retention.look()
        fill(directory, DB)
        fill_disk(path)
        look = retention.look()
        assert len(look.plan.deletions) == 4
        applied = retention.apply(look)
        assert len(applied.deleted) == 4
        inventory = retention.inventory()
        assert inventory is not None
        assert {each.outcome for each in inventory.deletions.entries()} == {"deleted"}
        inventory.close()

    on_small_tmpfs(tmp_path / "small", 4 * 2**20, work)


def test_what_cannot_be_stored_is_said_and_nothing_else_is_lost(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        directory = path / "checkpoints"
        fill(directory, WEB, each=40)
        retention = made(path)
        retention.look()
        fill(directory, DB, each=40)
        fill_disk(path)
        look = retention.look()
        assert any("could not be stored" in problem for problem in look.problems)
        assert len(look.plan.deletions) == 76
        assert len(retention.apply(look).deleted) == 76

    on_small_tmpfs(tmp_path / "small", 4 * 2**20, work)


def test_a_directory_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="checkpoints"):
        made(tmp_path).look()
    assert names(tmp_path) == []


def test_progress_and_names_reach_the_scan(tmp_path: Path) -> None:
    fill(tmp_path / "checkpoints", WEB, DB)
    told: list[tuple[int, int]] = []
    retention = Retention(
        str(tmp_path / "checkpoints"),
        TWO,
        state=None,
        names=("checkpoint-web_*.tar",),
        settle_ns=0,
    )
    look = retention.look(progress=lambda done, of: told.append((done, of)))
    assert len(look.scan.archives) == 4
    assert look.scan.foreign == 4
    assert told
    assert told[-1] == (4, 4)
