"""`migrate` over a whole store: a plan first, the way back kept, errors one by one; and `unpin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import (
    CheckpointManager,
    CorruptCheckpointError,
    Downgrade,
    FileStore,
    InvalidKeyError,
    MemoryStore,
    MigrationError,
    OutcomeUnknownError,
    Payload,
    ReadOnlyError,
    Schema,
    VersionTooNewError,
    WrongKindError,
)
from checkpointkit.migrating import MigrationReport
from checkpointkit.testing import FaultyStore
from tests.support.states import generations, pins, tree
from tests.testing.plain import Bare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from checkpointkit.stores.base import Store
    from checkpointkit.testing.faults import Method

KIND = "example.com/lease"


@frozen
class Lease1:
    holder: str


@frozen
class Lease2:
    holder: str
    seconds: int


@frozen
class Lease3:
    holder: str
    ms: int


def add_seconds(old: Payload) -> Payload:
    if old["holder"] == "broken":
        raise ValueError
    return {**old, "seconds": 30}


def to_ms(old: Payload) -> Payload:
    return {"holder": old["holder"], "ms": 1000 * old["seconds"]}


def to_seconds(new: Payload) -> Payload:
    return {"holder": new["holder"], "seconds": new["ms"] // 1000}


UP: dict[int, Callable[[Payload], Payload]] = {1: add_seconds, 2: to_ms}
V1 = Schema(Lease1, kind=KIND, version=1)
V2 = Schema(Lease2, kind=KIND, version=2, migrations={1: add_seconds})
V3 = Schema(Lease3, kind=KIND, version=3, migrations=UP)
BOTH = Schema(
    Lease3,
    kind=KIND,
    version=3,
    migrations=UP,
    downgrades={3: Downgrade(to_seconds, V2.shape)},
    write_version=2,
)


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, quick: Path) -> Iterator[Store]:
    made: MemoryStore | FileStore
    made = MemoryStore() if request.param == "memory" else FileStore(quick / "store")
    with_all_versions(made)
    yield made
    made.close()


def with_all_versions(store: Store) -> None:
    """Save two keys in version 1, one in 2, and one in 3."""
    first = CheckpointManager(store, V1)
    for key in ("a", "b"):
        first.create(key, Lease1("old"))
        first.create(key, Lease1(key))
    CheckpointManager(store, V2).create("c", Lease2("c", 7))
    CheckpointManager(store, V3).create("d", Lease3("d", 8))


def versions(manager: CheckpointManager[Any], key: str) -> list[tuple[int, bool]]:
    return [(info.schema_version, info.pinned) for info in manager.history(key)]


# --------------------------------------------------------------------------------- plan, and do


def test_a_plan_says_how_many_keys_are_at_which_version_and_changes_nothing(quick: Path) -> None:
    with FileStore(quick) as files:
        with_all_versions(files)
        before = tree(quick)
        report = CheckpointManager(files, V3).migrate(dry_run=True)
        assert report == MigrationReport(
            4, ("a", "b", "c"), (), {1: 2, 2: 1, 3: 1}, ("a", "b", "c"), dry_run=True
        )
        assert report.ok
        assert tree(quick) == before


def test_migrate_does_what_the_plan_says(store: Store) -> None:
    manager = CheckpointManager(store, V3)
    values = {key: manager.get(key) for key in manager.list()}
    plan, done = manager.migrate(dry_run=True), manager.migrate()
    assert (done.checked, done.changed, done.versions) == (4, plan.changed, plan.versions)
    assert (done.pinned, done.dry_run) == (plan.pinned, False)
    assert {key: manager.get(key) for key in manager.list()} == values
    assert manager.migrate() == MigrationReport(4, versions={3: 4})


def test_the_state_before_stays_however_often_the_program_saves(store: Store) -> None:
    manager = CheckpointManager(store, V3)
    manager.migrate()
    for number in range(5):
        manager.create("a", Lease3("a", number))
    assert versions(manager, "a") == [(3, False), (3, False), (1, True)]
    way_back = manager.history("a")[-1].generation
    older = CheckpointManager(store, V1)
    with pytest.raises(VersionTooNewError):
        older.get("a")
    older.rollback("a", way_back)
    assert older.get("a") == Lease1("a")


def test_without_pin_the_history_alone_decides(store: Store) -> None:
    manager = CheckpointManager(store, V3)
    report = manager.migrate(pin=False)
    assert (report.changed, report.pinned) == (("a", "b", "c"), ())
    manager.create("a", Lease3("a", 1))
    assert versions(manager, "a") == [(3, False), (3, False)]


def test_a_store_without_pins_is_migrated_and_the_report_says_so(quick: Path) -> None:
    with_all_versions(bare := Bare(quick / "bare", 2**20))
    manager = CheckpointManager(bare, V3)
    assert manager.migrate(dry_run=True).pinned == ()
    report = manager.migrate()
    assert (report.changed, report.pinned, report.ok) == (("a", "b", "c"), (), True)
    assert manager.unpin().changed == ()
    bare.close()


def test_some_keys_alone_are_migrated_and_one_that_is_absent_is_none(store: Store) -> None:
    manager = CheckpointManager(store, V3)
    told: list[tuple[int, int]] = []
    report = manager.migrate(["b", "zz"], progress=lambda done, total: told.append((done, total)))
    assert report == MigrationReport(2, ("b",), (), {1: 1}, ("b",))
    assert told == [(1, 2), (2, 2)]
    with pytest.raises(InvalidKeyError):
        manager.migrate(["a", "../b"])
    assert versions(manager, "a") == [(1, False), (1, False)]


def test_the_version_that_is_written_is_the_one_to_reach(store: Store) -> None:
    """A newer one is left alone, also where the older version could not say it."""
    CheckpointManager(store, V3).create("d", Lease3("d", 1))
    manager = CheckpointManager(store, BOTH)
    report = manager.migrate()
    assert (report.changed, report.versions, report.ok) == (("a", "b"), {1: 2, 2: 1, 3: 1}, True)
    assert [versions(manager, key)[0][0] for key in "abcd"] == [2, 2, 2, 3]
    assert CheckpointManager(store, V2).get("a") == Lease2("a", 30)
    assert manager.get("d") == Lease3("d", 1)


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3)
    ),
    st.integers(0, 2),
)
def test_a_pass_changes_no_value_and_pins_what_was_the_newest(
    saves: dict[str, list[int]], history: int
) -> None:
    store = MemoryStore(history=history)
    manager = CheckpointManager(store, V3)
    for key, numbers in saves.items():
        for version in sorted(numbers):
            if version == 1:
                CheckpointManager(store, V1).create(key, Lease1(key))
            elif version == 2:
                CheckpointManager(store, V2).create(key, Lease2(key, 2))
            else:
                manager.create(key, Lease3(key, 3))
    values = {key: manager.get(key) for key in manager.list()}
    before = {key: generations(store, key)[0] for key in store.keys()}
    report = manager.migrate()
    assert sum(report.versions.values()) == len(saves)
    assert {key: manager.get(key) for key in manager.list()} == values
    old = sorted(key for key, numbers in saves.items() if max(numbers) < 3)
    assert report.changed == report.pinned == tuple(old)
    assert {key: pins(store, key) for key in saves if pins(store, key)} == {
        key: [before[key]] for key in old
    }
    assert manager.migrate().changed == ()
    assert manager.unpin().checked == len(old)
    for key in saves:
        manager.create(key, values[key])
        assert len(generations(store, key)) <= 1 + history


# ------------------------------------------------------------------------------ what goes wrong


def test_what_fails_is_reported_and_left_as_it_is(store: Store) -> None:
    CheckpointManager(store, V1).create("b", Lease1("broken"))
    CheckpointManager(store, Schema(dict[str, int], kind="example.com/n", version=1)).create(
        "k", {"n": 1}
    )
    before = {key: store.history(key) for key in ("b", "k")}
    manager = CheckpointManager(store, V3)
    for dry_run in (True, False):
        report = manager.migrate(dry_run=dry_run)
        assert [(problem.key, type(problem.error)) for problem in report.problems] == [
            ("b", MigrationError),
            ("k", WrongKindError),
        ]
        assert (report.changed, report.versions) == (("a", "c"), {1: 1, 2: 1, 3: 1})
    assert {key: store.history(key) for key in before} == before


def test_a_damaged_key_is_a_problem_of_its_own(quick: Path) -> None:
    with FileStore(quick) as files:
        with_all_versions(files)
        (quick / "a" / "current").write_bytes(b"")
        report = CheckpointManager(files, V3).migrate()
        assert [type(problem.error) for problem in report.problems] == [CorruptCheckpointError]
        assert report.changed == ("b", "c")
        assert pins(files, "a") == []


def test_a_pass_never_takes_back_the_pin_that_another_one_relies_on(quick: Path) -> None:
    with FileStore(quick, history=0) as one, FileStore(quick, history=0) as other:
        CheckpointManager(one, V1).create("a", Lease1("a"))
        faulty = FaultyStore(one)
        reports = []
        faulty.meanwhile(
            "write", lambda _: reports.append(CheckpointManager(other, V3).migrate(["a"]))
        )
        late = CheckpointManager(faulty, V3).migrate(["a"])
        assert [report.pinned for report in (*reports, late)] == [("a",), ()]
        CheckpointManager(other, V3).create("a", Lease3("later", 1))
        assert pins(other, "a") == [1]


def test_a_save_that_fails_leaves_its_pin_and_is_tried_again(store: Store) -> None:
    faulty = FaultyStore(store)
    faulty.fail("write", times=2)
    manager = CheckpointManager(faulty, V3)
    latest = {key: generations(store, key)[0] for key in ("a", "b")}
    report = manager.migrate()
    assert [problem.key for problem in report.problems] == ["a", "b"]
    assert (report.changed, report.pinned) == (("c",), ("c",))
    assert {key: generations(store, key)[0] for key in ("a", "b")} == latest
    assert manager.migrate().changed == ("a", "b")
    assert {key: pins(store, key) for key in ("a", "b")} == {
        key: [number] for key, number in latest.items()
    }


def test_a_save_whose_outcome_is_unknown_keeps_the_way_back(store: Store) -> None:
    faulty = FaultyStore(store)
    faulty.fail("write", after=True)
    report = CheckpointManager(faulty, V3).migrate(["a"])
    assert [type(problem.error) for problem in report.problems] == [OutcomeUnknownError]
    assert versions(CheckpointManager(store, V3), "a")[:2] == [(3, False), (1, True)]


def test_what_cannot_be_pinned_is_not_migrated(store: Store) -> None:
    faulty = FaultyStore(store)
    faulty.fail("pin")
    report = CheckpointManager(faulty, V3).migrate()
    assert [problem.key for problem in report.problems] == ["a"]
    assert report.changed == ("b", "c")
    assert versions(CheckpointManager(store, V3), "a") == [(1, False), (1, False)]


@pytest.mark.parametrize("saves", [1, 5])
@pytest.mark.parametrize("moment", ["pin", "write"])
def test_a_save_that_comes_in_between_is_what_is_migrated_and_pinned(
    store: Store, moment: Method, saves: int
) -> None:
    faulty = FaultyStore(store)

    def save(_key: str | None) -> None:
        for _ in range(saves):
            CheckpointManager(store, V1).create("a", Lease1("later"))

    faulty.meanwhile(moment, save)
    manager = CheckpointManager(faulty, V3)
    report = manager.migrate(["a"])
    assert (report.changed, report.ok) == (("a",), True)
    assert manager.get("a") == Lease3("later", 30000)
    latest = 2 + saves
    assert pins(store, "a")[0] == latest
    assert generations(store, "a")[:2] == [latest + 1, latest]


def test_a_key_that_is_removed_in_between_stays_removed(store: Store) -> None:
    moments: tuple[Method, ...] = ("pin", "write", "read")
    for moment in moments:
        CheckpointManager(store, V1).create("a", Lease1("a"))
        faulty = FaultyStore(store)
        faulty.meanwhile(moment, lambda _: store.remove("a"))
        report = CheckpointManager(faulty, V3).migrate(["a"])
        assert report == MigrationReport(1), moment
        assert store.history("a") == ()


def test_a_store_that_is_open_to_read_can_be_planned_for_and_not_migrated(quick: Path) -> None:
    with FileStore(quick) as files:
        with_all_versions(files)
        files.pin("d", 1)
    with FileStore(quick, read_only=True) as files:
        manager = CheckpointManager(files, V3)
        assert manager.migrate(dry_run=True).changed == ("a", "b", "c")
        for report in (manager.migrate(["a"]), manager.unpin()):
            assert [type(problem.error) for problem in report.problems] == [ReadOnlyError]
            assert report.changed == ()


# ------------------------------------------------------------------------------------------ unpin


def test_unpin_lets_all_of_them_go_or_those_of_some_keys(store: Store) -> None:
    manager = CheckpointManager(store, V3)
    manager.migrate()
    store.pin("a", generations(store, "a")[0])
    told: list[tuple[int, int]] = []
    report = manager.unpin(["a"], progress=lambda done, total: told.append((done, total)))
    assert (report.checked, report.changed, told) == (2, ("a",), [(1, 1)])
    assert (pins(store, "a"), pins(store, "b")) == ([], [2])
    assert manager.unpin().changed == ("b", "c")
    assert manager.unpin().checked == 0
    manager.create("b", Lease3("b", 1))
    assert versions(manager, "b") == [(3, False), (3, False)]
    with pytest.raises(TypeError):
        manager.unpin("abc")


def test_a_pin_that_cannot_be_released_is_a_problem_and_ends_nothing(store: Store) -> None:
    faulty = FaultyStore(store)
    manager = CheckpointManager(faulty, V3)
    manager.migrate()
    faulty.fail("unpin", call=2)
    faulty.fail("history", CorruptCheckpointError("c", None, "lost"), call=3)
    report = manager.unpin()
    assert (report.checked, report.changed) == (1, ("a",))
    assert [(problem.key, problem.generation) for problem in report.problems] == [
        ("b", 2),
        ("c", None),
    ]


def test_history_says_what_is_pinned_and_what_is_wrong_with_it(quick: Path) -> None:
    with FileStore(quick) as files:
        with_all_versions(files)
        manager = CheckpointManager(files, V3)
        manager.migrate(["a"])
        (quick / "a" / "2").write_bytes(b"")
        newest, older, oldest = manager.history("a")
        assert (newest.pinned, newest.problem) == (False, None)
        assert (older.pinned, older.problem) == (True, "it is empty")
        assert (oldest.generation, oldest.pinned) == (1, False)
        assert not manager.load("a").info.pinned, "it is for `history` to say"
