"""Reads and writes that move less than they were asked to: it goes on, or nothing has changed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import CheckpointNotFoundError, StoreError
from checkpointkit.records import verify
from checkpointkit.stores.files.layout import encode_slot, stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import MOVES, FailingCalls
from tests.support.calls import SCENARIOS, Bench, descriptors, shown
from tests.support.states import generations, number_of, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITES = frozenset({"pwrite", "write"})
SHARES: dict[str, Callable[[int], int]] = {
    "a byte": lambda asked: 1,
    "half": lambda asked: (asked + 1) // 2,
    "nothing": lambda asked: 0,
}


class Stuck(FailingCalls):
    """Ends a loop that would never end."""

    def before(self, name: str, event: str) -> None:
        assert len(self.shortened) < 5000, "an endless loop"
        super().before(name, event)


pytestmark = pytest.mark.usefixtures("settled")


def kinds(attempts: list[str]) -> list[str]:
    """Return the names of the calls that move bytes."""
    names = [event.partition(" ")[0] for event in attempts]
    return [name for name in names if name in MOVES]


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_is_short_of_a_few_bytes_is_continued_or_changes_nothing(
    quick: Path, request: pytest.FixtureRequest, name: str, share: str, for_ever: bool
) -> None:
    """A write may take nothing; a read that gives nothing is at the end of the file."""
    scenario = SCENARIOS[name]
    bench = Bench(quick, Stuck(quick / "store"), **scenario.options())
    request.addfinalizer(bench.close)
    moves = kinds(bench.attempts(scenario))
    before = descriptors()
    for at, move in enumerate(moves):
        if share == "nothing" and (for_ever or move not in WRITES):
            continue
        key = bench.ready(scenario)
        old, history = shown(bench.store, key), generations(bench.store, key)
        bench.calls.shorten_at(at, SHARES[share], for_ever=for_ever)
        error = None
        try:
            scenario.act(bench.store, key)
        except StoreError as raised:
            error = raised
        shortened = list(bench.calls.shortened)
        where = f"{name}: {shortened}: {error!r}"
        bench.calls.heal()
        if error is None:
            assert shown(bench.store, key) == scenario.after, where
        else:  # the high-water is written in one piece or not at all
            assert shortened[-1].startswith("pwrite .lock"), where
            assert shown(bench.store, key) == old, where
            assert generations(bench.store, key) == history, where
        assert descriptors() == before, where
        assert temporaries(bench.directory) == [], where
        bench.healed(key)
        assert verify(bench.store, [key]).ok, where
    assert len(moves) >= 2 or name == "remove of nothing"


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "save" in name])
def test_a_disk_that_takes_nothing_any_more_ends_the_save(
    quick: Path, request: pytest.FixtureRequest, name: str
) -> None:
    scenario = SCENARIOS[name]
    bench = Bench(quick, Stuck(quick / "store"), **scenario.options())
    request.addfinalizer(bench.close)
    writes = [e for e in bench.attempts(scenario) if e.startswith("write ")]
    for at in range(len(writes)):
        key = bench.ready(scenario)
        old = shown(bench.store, key)

        def nothing(asked: int) -> int:
            return 0

        bench.calls._begin(at, "write ", for_ever=True)
        bench.calls._to = nothing
        with suppress(StoreError):
            scenario.act(bench.store, key)
            assert at, "the state itself cannot have been written"
        bench.calls.heal()
        assert shown(bench.store, key) == (scenario.after if at else old)
        assert temporaries(bench.directory) == []
        bench.healed(key)


@pytest.mark.parametrize("share", ["a byte", "half"])
def test_a_short_read_is_never_taken_for_the_whole(
    quick: Path, request: pytest.FixtureRequest, share: str
) -> None:
    bench = Bench(quick)
    request.addfinalizer(bench.close)
    store = bench.store
    for n in range(3):
        store.write("a", sealed("a", n))
        store.write("b", sealed("b", n))
    (bench.directory / "b" / "3").unlink()  # its number is in its header alone
    reads: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.read("a", 2),
        lambda: store.read("a", 3),
        lambda: store.read("a", limit=9),
        lambda: store.history("a"),
        lambda: store.read("b"),
        lambda: store.read("b", 3),
        lambda: store.history("b"),
        lambda: store.keys() if absent(store) else None,
    ]
    shortened = 0
    for read in reads:
        right = read()
        for for_ever in (False, True):
            bench.calls.shorten_at(0, SHARES[share], for_ever=for_ever)
            assert read() == right, bench.calls.shortened
            shortened += len(bench.calls.shortened)
            bench.calls.heal()
    assert shortened > len(reads)


def absent(store: FileStore) -> bool:
    try:
        store.read("nothing")
    except CheckpointNotFoundError:
        return True
    return False


def test_a_short_read_of_a_high_water_never_gives_a_number_twice(quick: Path) -> None:
    """A remove that was killed between its two writes has raised one slot alone."""
    calls = FailingCalls(quick / "store")
    path = quick / "store" / ".lock" / f"{stripe_of('a'):02d}"
    with FileStore(quick / "store", system=calls) as store:
        for n in range(3):
            store.write("a", sealed("a", n))
        store.remove("a")
        low = encode_slot(stripe_of("a"), 0)
        for at in (0, 512):  # the other one holds 3
            data = bytearray(path.read_bytes())
            slots = [encode_slot(stripe_of("a"), 3)] * 2
            for offset, slot in zip((0, 512), slots, strict=True):
                data[offset : offset + len(slot)] = slot
            data[at : at + len(low)] = low
            path.write_bytes(data)
            for share in ("a byte", "half"):
                for for_ever in (False, True):
                    calls.shorten_at(0, SHARES[share], for_ever=for_ever)
                    entry = store.write(f"a{share}{for_ever}{at}".replace(" ", ""), sealed("a", 9))
                    assert calls.shortened
                    calls.heal()
                    assert entry.generation >= 1
                    calls.shorten_at(0, SHARES[share], for_ever=for_ever)
                    assert store.write("a", sealed("a", 9)).generation > 3, (at, share)
                    calls.heal()
                    assert number_of(store, "a") == 9
                    store.remove("a")


@pytest.mark.parametrize("share", ["a byte", "half", "nothing"])
def test_a_store_is_opened_with_short_reads_and_writes(quick: Path, share: str) -> None:
    calls = FailingCalls(quick / "dry")
    FileStore(quick / "dry", system=calls, reserve=500).close()
    moves = kinds(calls.attempts)
    points = [n for n, move in enumerate(moves) if n < 8 or n > len(moves) - 8]
    for at in points:
        if share == "nothing" and moves[at] not in WRITES:
            continue
        directory = quick / f"store{at}"
        calls = FailingCalls(directory)
        for _ in range(2):
            calls.shorten_at(at, SHARES[share])
            with FileStore(directory, system=calls, reserve=500) as store:
                calls.heal()
                number = len(store.history("a"))
                store.write("a", sealed("a", number))
                assert number_of(store, "a") == number
        assert temporaries(directory) == []
        assert (directory / ".reserve" / "ballast").stat().st_size == 500
        assert [p.stat().st_size for p in sorted((directory / ".lock").iterdir())] == [1024] * 64
