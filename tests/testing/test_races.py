"""Races of processes that are killed, and of threads: right stores pass, others are reported."""

from __future__ import annotations

import errno
import json
import os
import pickle
import select
import threading
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

import pytest

from checkpointkit.envelope import encode_payload, open_envelope
from checkpointkit.errors import StoreError
from checkpointkit.records import State, StateSeal, verify
from checkpointkit.stores.base import Damaged
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.memory import MemoryStore
from checkpointkit.testing.clients import Began, Log, name_of, state_of
from checkpointkit.testing.faults import FaultyStore
from checkpointkit.testing.linearizability import Read, Violation
from checkpointkit.testing.races import Mishap, RaceReport, _Process, race, race_threads
from tests.support.children import Child
from tests.support.states import temporaries
from tests.testing import broken
from tests.testing.plain import Impatient, Memory, Optimistic, Plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, Literal

    from checkpointkit.stores.base import BatchResult, Entry, Expected, Seal, Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMIT = 2**20


def assert_clean(report: RaceReport) -> None:
    assert report.violations == (), str(report)


# ------------------------------------------------------------------------------- the file store


class Enveloped(FileStore):
    """Puts each state into an envelope, as the manager does, and verifies the one before."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        return self.opened(key, super().read(key, generation, limit), generation)

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        return super().write(key, self.sealed(key, seal), expected=expected)

    def write_many(self, items: Any, *, atomic: bool = False) -> BatchResult:
        return super().write_many({key: self.sealed(key, seal) for key, seal in items.items()})

    @staticmethod
    def opened(key: str, data: bytes, generation: int | None = None) -> bytes:
        envelope = open_envelope(data, key, generation)
        state = json.loads(envelope.payload)["state"]
        assert isinstance(state, str)
        return state.encode()

    def sealed(self, key: str, seal: Seal) -> Seal:
        def outer(generation: int, previous: bytes | Damaged | None) -> bytes:
            inner = self.opened(key, previous) if isinstance(previous, bytes) else previous
            payload = encode_payload({"state": seal(generation, inner).decode()})
            state = State("example.com/race", 1, "fp1:0", payload)
            return StateSeal(key, state, NOW, lambda _: None)(generation, previous)

        return outer


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.slow
@pytest.mark.parametrize(("durability", "history"), [("full", 2), ("none", 0)])
@pytest.mark.parametrize("kind", [FileStore, Enveloped])
def test_processes_that_race_and_are_killed_see_one_order(
    quick: Path, kind: type[FileStore], durability: Literal["full", "none"], history: int
) -> None:
    open_store = partial(
        kind, quick / "store", durability=durability, history=history, lock_timeout=60
    )
    report = race(open_store, operations=2000, kills=24, seed=history)
    assert_clean(report)
    assert report.kills == 24
    assert report.operations >= 2000
    assert 10 < report.unknown < 400
    with FileStore(quick / "store") as store:
        assert temporaries(quick / "store") == []
        assert verify(store).ok == (kind is Enveloped)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", [FileStore, Enveloped])
def test_many_more_of_them_see_one_order(quick: Path, kind: type[FileStore], seed: int) -> None:
    open_store = partial(kind, quick / "store", history=seed % 3, lock_timeout=60)
    report = race(open_store, processes=4 + seed % 9, operations=20_000, kills=400, seed=seed)
    assert_clean(report)
    assert report.kills == 400


def test_threads_that_race_on_a_file_store_see_one_order(quick: Path) -> None:
    with FileStore(quick / "store", lock_timeout=60) as store:
        assert_clean(race_threads(store, operations=1500))


@pytest.mark.parametrize("history", [0, 1, 5])
def test_threads_that_race_on_a_store_in_memory_see_one_order(history: int) -> None:
    report = race_threads(MemoryStore(history=history), operations=4000, seed=history)
    assert_clean(report)
    assert (report.kills, report.unknown) == (0, 0)


# --------------------------------------------------------------------------------- other stores


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("kind", [Plain, Impatient, Optimistic])
def test_other_right_stores_pass(quick: Path, kind: type[Plain]) -> None:
    report = race(lambda: kind(quick / "store", LIMIT), operations=800, kills=8)
    assert_clean(report)
    assert (report.refused > 0) == (kind is Impatient)


class MixtureOfTwo(Plain):
    """Writes into the file that readers read."""

    def save(self, state: Any) -> None:
        old = self.load()
        for name, box in state.items():
            before = old.get(name)
            if before is not None and before.newest is not None and box.newest is not None:
                first, second = before.kept[before.newest], box.kept[box.newest]
                if first != second:
                    whole = box.kept[box.newest]
                    box.kept[box.newest] = second[:5] + first[5:]
                    super().save(state)
                    box.kept[box.newest] = whole
        super().save(state)


class SavesLater(Plain):
    """Acknowledges a save, and does it together with the next one."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.later: Any = None

    def save(self, state: Any) -> None:
        self.later = state
        if sum(len(box.kept) for box in state.values()) % 2:
            super().save(state)


BROKEN = [
    broken.AbsentIgnored,
    broken.ConflictAfterTheChange,
    broken.LockOfOneOpening,
    broken.NotAtomic,
    broken.OlderIsNewest,
    broken.PreviousCutShort,
    broken.RemoveOfTheNewest,
    broken.RemovesFirst,
    broken.Resurrection,
    broken.ReusedAfterRemove,
    broken.StaleHistory,
    broken.StaleReads,
    broken.SwallowedConflict,
    MixtureOfTwo,
    SavesLater,
]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_store_is_reported(quick: Path, kind: type[Plain]) -> None:
    for seed in range(20):
        open_store = partial(kind, quick / f"store-{seed}", LIMIT)
        report = race(open_store, processes=4, operations=400, kills=2, seed=seed, keys=("a", "b"))
        if report.violations:
            break
    assert report.violations
    for violation in report.violations:
        assert isinstance(violation, Violation), str(violation)
        assert "cannot be placed" in str(violation)
        assert len(violation.window) < 30


def test_what_is_lost_when_all_have_ended_is_reported(quick: Path) -> None:
    class LostAtTheEnd(Plain):
        def close(self) -> None:
            super().close()
            self.path.unlink(missing_ok=True)

    open_store = partial(LostAtTheEnd, quick / "store", LIMIT)
    report = race(open_store, processes=1, operations=200, kills=0)
    assert report.violations
    for violation in report.violations:
        assert isinstance(violation, Violation)
        assert violation.culprit.client == "last.0"


def test_a_lock_that_outlives_its_holder_is_reported(quick: Path) -> None:
    def open_store() -> Store:
        return broken.LockOfTheDead(quick / "store", LIMIT)

    for seed in range(20):
        report = race(open_store, processes=3, operations=300, kills=5, seed=seed, patience=1)
        if report.violations:
            break
        (quick / "store").unlink()
    problem = "nobody got on for 1 seconds; is a lock not given back?"
    assert report.violations[0] == Mishap("", problem)
    assert str(report).endswith(f"violations\n{problem}")


@pytest.mark.parametrize("kind", [broken.NoLock, broken.SwallowedConflict, broken.NotAtomic])
def test_threads_report_a_broken_store(quick: Path, kind: type[Plain]) -> None:
    for seed in range(20):
        store = kind(quick / f"store-{seed}", LIMIT)
        report = race_threads(store, threads=4, operations=500, seed=seed, keys=("a", "b"))
        if report.violations:
            break
    assert report.violations


def test_threads_that_hang_are_reported(tmp_path: Path) -> None:
    class Hanging(Memory):
        def history(self, key: str) -> tuple[Entry, ...]:
            if key == "a":
                forever.wait()
            return super().history(key)

    forever = threading.Event()
    report = race_threads(Hanging(tmp_path, LIMIT), threads=3, operations=90, patience=0.2)
    assert [str(violation) for violation in report.violations] == [
        "nobody got on for 0.2 seconds; is a lock not given back?"
    ]
    forever.set()


# ------------------------------------------------------------------------- what is none of a race


def few(act: Callable[[], object]) -> RaceReport:
    """Race with one process, for which something happens before each read."""

    def open_store() -> Store:
        store = FaultyStore(MemoryStore())
        store.meanwhile("read", lambda _: act(), times=None)
        return store

    return race(open_store, processes=1, operations=60, kills=0)


def test_an_error_that_has_no_business_there_is_reported_with_its_trace() -> None:
    def fail() -> NoReturn:
        raise StoreError("a", "read", "no such luck") from OSError(errno.EIO, "disk")

    report = few(fail)
    assert report.violations
    for violation in report.violations:
        assert isinstance(violation, Mishap)
        assert violation.client in ("0.0", "last.0")
        assert "no such luck" in str(violation)
        assert "Traceback" in str(violation)


def test_a_store_that_cannot_be_opened_is_reported() -> None:
    def open_store() -> NoReturn:
        raise StoreError(None, "open", "no such luck")

    report = race(open_store, processes=2, operations=10, kills=0)
    assert [str(violation)[:4] for violation in report.violations] == ["0.0:", "1.0:", "last"]
    assert report.operations == 0


def test_a_process_that_ends_by_itself_is_reported() -> None:
    report = few(lambda: os._exit(3))
    assert Mishap("0.0", "it ended with code 3") in report.violations


def test_a_key_that_nobody_saved_is_reported() -> None:
    store = MemoryStore()
    store.write("zebra", lambda _generation, _previous: b"state")
    report = race_threads(store, threads=1, operations=100)
    assert any("keys that nobody saved: ['zebra']" in str(each) for each in report.violations)


def test_what_has_an_unknown_outcome_or_was_refused_is_taken_for_that() -> None:
    store = FaultyStore(MemoryStore())
    for call in range(1, 200, 7):
        for method in ("write", "write_many", "remove"):
            store.fail(method, call=call, after=True)
            store.fail(method, call=call + 3)
    report = race_threads(store, threads=2, operations=1000)
    assert_clean(report)
    assert report.unknown > 20
    assert report.refused > 20


def test_a_message_that_comes_in_parts_is_put_together() -> None:
    reading, writing = os.pipe()
    process = _Process(0, reading, 0, Log("0.0"))
    began = Began(1, (("a", Read()),))
    message = pickle.dumps(began)
    whole = len(message).to_bytes(4) + message
    for part, events in [
        (whole[:2], []),
        (whole[2:9], []),
        (whole[9:] + whole + whole[:7], [began, began]),
    ]:
        os.write(writing, part)
        assert process.hear() == events
    os.close(writing)
    assert process.hear() is None
    assert process.log.begun == 2
    os.close(reading)


def test_the_processes_of_a_race_that_is_killed_end_too(quick: Path) -> None:
    reading, writing = os.pipe()

    def open_store() -> Store:
        os.write(writing, b"!")
        return FileStore(quick / "store", durability="none", lock_timeout=60)

    with Child(lambda _: race(open_store, operations=10**7, kills=0)) as child:
        os.close(writing)
        assert os.read(reading, 1) == b"!"
        child.kill()
        while select.select([reading], [], [], 60)[0] and os.read(reading, 1):
            pass
        assert select.select([reading], [], [], 0)[0], "somebody is still at work"
    os.close(reading)


def test_without_fork_there_are_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(StoreError, match="this system cannot fork"):
        race(MemoryStore)


def test_a_state_says_which_it_is_and_a_mixture_says_so() -> None:
    names = [f"3.1.{number}a" for number in range(50)]
    states = [state_of(name) for name in names]
    assert [name_of(state) for state in states] == names
    assert len({len(state) for state in states}) > 4
    for state, other in pairwise(states):
        for mixture in (state[:-1], state + b"x", state[:20] + other[20:], b"", b"\xff"):
            assert "bytes that nobody saved" in name_of(mixture)
    assert name_of(Damaged("a reason")) == "damaged: a reason"


def test_a_report_prints_its_figures() -> None:
    report = RaceReport(
        operations=12, unknown=3, refused=1, kills=2, keys=4, states=50, longest_check=0.126,
        violations=(Mishap("1.0", "oh"),),
    )  # fmt: skip
    assert str(report) == (
        "12 operations on 4 keys, 3 of unknown outcome, 1 refused; 2 processes killed; "
        "50 states explored, 0.13 s for a key at most; 1 violations\n1.0: oh"
    )
