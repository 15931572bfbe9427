"""The checker: what it has to accept, what it has to report, and how it says so."""

from __future__ import annotations

import random
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.stores.base import ABSENT
from checkpointkit.testing.linearizability import (
    MISSING,
    REFUSED,
    REMOVED,
    STORE,
    UNKNOWN,
    Conflict,
    History,
    KeyState,
    Listed,
    Operation,
    Read,
    Remove,
    Rollback,
    Saved,
    UndecidedError,
    Verdict,
    Violation,
    Write,
    check,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

MS = 1_000_000
CULPRIT = "  <- cannot be placed"

Line = tuple[float, float, Any, Any]


def history(*lines: Line, key: str = "a") -> list[Operation]:
    """One operation for each line: when it began and ended in ms, the call, the outcome."""
    return [
        Operation(f"c{number}", key, call, outcome, int(began * MS), int(ended * MS))
        for number, (began, ended, call, outcome) in enumerate(lines)
    ]


def one_after_the_other(*calls: tuple[Any, Any]) -> list[Operation]:
    return history(
        *((2 * number, 2 * number + 1, *call) for number, call in enumerate(calls)),
    )


def violation(operations: Iterable[Operation]) -> Violation:
    (found,) = check(operations).violations
    return found


ONE, TWO = (Write("x"), Saved(1)), (Write("y"), Saved(2))

# ------------------------------------------------------------------------------- good histories

GOOD = {
    "nothing at all": [],
    "saves, removes and what is read of them": one_after_the_other(
        (Read(), MISSING),
        (History(), ()),
        (Listed(), False),
        (Remove(), REMOVED),
        (Write("x", ABSENT), Saved(1)),
        (Write("y", 1, told=3, previous="x"), Saved(3)),
        (Write("z", ABSENT), Conflict(3)),
        (Write("z", 1), Conflict(3)),
        (Remove(1), Conflict(3)),
        (Read(), "y"),
        (Read(3), "y"),
        (Read(1), "x"),
        (Read(2), MISSING),
        (Listed(), True),
        (History(), (3, 1)),
        (Remove(3), REMOVED),
        (Remove(3), Conflict(None)),
        (Write("z", 3), Conflict(None)),
        (Read(3), MISSING),
        (Remove(ABSENT), REMOVED),
        (Write("z", previous=None), Saved(4)),
    ),
    "a history that leaves pruned generations out, or not yet": one_after_the_other(
        ONE,
        TWO,
        (Write("z"), Saved(3)),
        (History(), (3, 1)),
        (History(), (3, 2, 1)),
        (Read(1), MISSING),
        (History(), (3, 2)),
        (Read(1), MISSING),
        (Read(2), "y"),
    ),
    "a rollback gives an older state a new number": one_after_the_other(
        ONE,
        TWO,
        (Rollback(1, 2, told=3), Saved(3)),
        (Read(), "x"),
        (Rollback(2, 2), Conflict(3)),
    ),
    "a rollback to a generation that was pruned meanwhile": one_after_the_other(
        ONE, TWO, (Read(1), MISSING), (Rollback(1, 2), Saved(3)), (Read(), "x")
    ),
    "a read beside a save sees the old state or the new one": history(
        (0, 1, *ONE), (2, 9, *TWO), (3, 4, Read(), "x"), (5, 6, Read(), "y"), (7, 8, Read(), "y")
    ),
    "what ends when another begins may come after it": history((0, 5, Read(), "x"), (5, 6, *ONE)),
    "the order of two saves at the same time shows later": history(
        (0, 9, Write("x"), Saved(2)), (0, 9, Write("y"), Saved(1)), (10, 11, Read(), "x")
    ),
    "a slow operation that is overtaken many times": history(
        (0, 99, Read(), "x4"),
        *((n * 2, n * 2 + 1, Write(f"x{n}"), Saved(n)) for n in range(1, 20)),
    ),
    "an unknown save that shows up": one_after_the_other(
        ONE, (Write("y", told=2), UNKNOWN), (Read(), "x"), (Read(), "y"), (Read(), "y")
    ),
    "an unknown save that never shows up": one_after_the_other(
        ONE, (Write("y", told=2), UNKNOWN), (Read(), "x"), (Write("z"), Saved(2)), (Read(), "z")
    ),
    "an unknown save that nobody has seen before it was replaced": one_after_the_other(
        ONE, (Write("y", 1, told=2), UNKNOWN), (Write("z", previous="y"), Saved(3))
    ),
    "an unknown save that never reached its seal": one_after_the_other(
        ONE, (Write("y"), UNKNOWN), (Read(), "x")
    ),
    "an unknown remove that comes late": one_after_the_other(
        (Remove(), UNKNOWN), ONE, (Read(), "x"), (Read(), MISSING), (Read(), MISSING)
    ),
    "two unknown removes, and two absences": one_after_the_other(
        (Remove(), UNKNOWN), (Remove(), UNKNOWN), ONE, (Read(), MISSING), TWO, (Read(), MISSING)
    ),
    "nothing but unknown outcomes": one_after_the_other((Write("x", told=1), UNKNOWN)),
    "what was refused is left out": one_after_the_other(
        ONE, (Write("y"), REFUSED), (Remove(), REFUSED), (Read(), "x")
    ),
    "a remove that does nothing now takes place after the save at the same time": history(
        (0, 9, Remove(), REMOVED), (0, 9, *ONE), (10, 11, Read(), MISSING)
    ),
}


@pytest.mark.parametrize("operations", GOOD.values(), ids=GOOD)
def test_what_a_right_store_may_show_is_linearizable(operations: list[Operation]) -> None:
    for order in (operations, operations[::-1]):
        verdict = check(order)
        assert verdict.violations == ()
        assert verdict.operations == sum(op.outcome is not REFUSED for op in operations)


# -------------------------------------------------------------------------------- bad histories

BAD = {
    "a stale read": one_after_the_other(ONE, TWO, (Read(), "x")),
    "a read older than the one before it": history(
        (0, 1, *ONE), (2, 9, *TWO), (3, 4, Read(), "y"), (5, 6, Read(), "x")
    ),
    "a lost update": one_after_the_other(
        ONE,
        (Write("y", previous="x"), Saved(2)),
        (Write("z", previous="x"), Saved(3)),
    ),
    "a save that is acknowledged and nowhere": one_after_the_other(ONE, (Read(), MISSING)),
    "a save that is acknowledged and not in the history": one_after_the_other(ONE, (History(), ())),
    "two winners of a compare-and-swap": history(
        (0, 1, *ONE), (2, 5, Write("y", 1), Saved(2)), (2, 5, Write("z", 1), Saved(3))
    ),
    "two creators": history(
        (0, 5, Write("y", ABSENT), Saved(1)), (0, 5, Write("z", ABSENT), Saved(2))
    ),
    "a read of what was never saved": one_after_the_other(ONE, (Read(), "never")),
    "an older generation with other bytes": one_after_the_other(ONE, TWO, (Read(1), "y")),
    "a generation that was never saved": one_after_the_other(ONE, (Read(2), "x")),
    "a pruned generation that comes back": one_after_the_other(
        ONE, TWO, (Read(1), MISSING), (Read(1), "x")
    ),
    "a pruned generation that is listed again": one_after_the_other(
        ONE, TWO, (Read(1), MISSING), (History(), (2, 1))
    ),
    "a newest generation that cannot be found": one_after_the_other(ONE, (Read(1), MISSING)),
    "a resurrection after a remove": one_after_the_other(ONE, (Remove(), REMOVED), (Read(), "x")),
    "an older generation from before a remove": one_after_the_other(
        ONE, (Remove(), REMOVED), TWO, (Read(1), "x")
    ),
    "a listing that forgets a key": one_after_the_other(ONE, (Listed(), False)),
    "a listing that shows a removed key": one_after_the_other(
        ONE, (Remove(), REMOVED), (Listed(), True)
    ),
    "a number used again": one_after_the_other(ONE, (Write("y"), Saved(1))),
    "a number used again after a remove": one_after_the_other(
        ONE, (Remove(), REMOVED), (Write("y"), Saved(1))
    ),
    "a number that is smaller": one_after_the_other((Write("x"), Saved(5)), (Write("y"), Saved(4))),
    "a number other than the seal was told": one_after_the_other((Write("x", told=1), Saved(2))),
    "a seal that was given another state": one_after_the_other(
        ONE, (Write("y", previous=None), Saved(2))
    ),
    "a conflict that names another generation": one_after_the_other(
        ONE, (Write("y", 7), Conflict(2))
    ),
    "a conflict where the expectation holds": one_after_the_other(
        ONE, (Write("y", 1), Conflict(1))
    ),
    "a conflict without an expectation": one_after_the_other(ONE, (Write("y"), Conflict(1))),
    "a remove that did not compare": one_after_the_other(ONE, (Remove(7), REMOVED)),
    "a remove that conflicts for nothing": one_after_the_other(ONE, (Remove(1), Conflict(None))),
    "a history out of order": one_after_the_other(
        ONE, TWO, (Write("z"), Saved(3)), (History(), (3, 1, 2))
    ),
    "a history that names one twice": one_after_the_other(ONE, TWO, (History(), (2, 1, 1))),
    "a history with a generation of nobody": one_after_the_other(
        (Write("x"), Saved(3)), (Write("y"), Saved(4)), (History(), (4, 3, 2))
    ),
    "a history that is no tuple": one_after_the_other((History(), None)),
    "a rollback with the wrong bytes": one_after_the_other(
        ONE, TWO, (Rollback(1, 2), Saved(3)), (Read(), "y")
    ),
    "a rollback to what never was": one_after_the_other(ONE, (Rollback(7, 1), Saved(2))),
    "the order in time of two that do not overlap": history(
        (0, 1, Write("x"), Saved(2)), (2, 3, Write("y"), Saved(1))
    ),
    "an unknown save that shows up and vanishes": one_after_the_other(
        ONE, (Write("y", told=2), UNKNOWN), (Read(), "y"), (Read(), "x")
    ),
    "an unknown save that shows up under another number": one_after_the_other(
        (Write("y", told=2), UNKNOWN), (History(), (3,))
    ),
    "an unknown save that shows up without its seal having been asked": one_after_the_other(
        (Write("y"), UNKNOWN), (Read(), "y")
    ),
    "an unknown save that takes place before it is called": one_after_the_other(
        ONE, (Read(), "y"), (Write("y", told=2), UNKNOWN), (Read(), "y")
    ),
    "an unknown save against its expectation": one_after_the_other(
        ONE, TWO, (Write("y", 1, told=3), UNKNOWN), (History(), (3, 2, 1))
    ),
    "an unknown save that happens twice": one_after_the_other(
        (Write("x", told=1), UNKNOWN), (Read(), "x"), (Remove(), REMOVED), (Read(), "x")
    ),
    "an unknown remove, and two absences": one_after_the_other(
        (Remove(), UNKNOWN), ONE, (Read(), MISSING), TWO, (Read(), MISSING)
    ),
    "an outcome that no call has": one_after_the_other(ONE, (Remove(), MISSING)),
    "a save with an outcome that no save has": one_after_the_other((Write("x", told=1), MISSING)),
    "a call that the model does not know": one_after_the_other(("jump", None)),
}


def forgotten(operations: list[Operation], moment: int) -> list[Operation]:
    """Take the outcome away from what had not returned by then."""
    return [unknown(op) if op.ended >= moment else op for op in operations]


def unknown(op: Operation) -> Operation:
    """Return an operation as it is seen if its client is killed after the store has done it."""
    if isinstance(op.call, (Write, Rollback)) and isinstance(op.outcome, Saved):
        op = evolve(op, call=evolve(op.call, told=op.outcome.generation))
    return evolve(op, outcome=UNKNOWN)


@pytest.mark.parametrize("operations", BAD.values(), ids=BAD)
def test_what_no_right_store_shows_is_reported(operations: list[Operation]) -> None:
    for order in (operations, operations[::-1]):
        found = violation(order)
        assert found.key == "a"
        assert found.operations == len(operations)
        assert found.culprit in found.window
        assert set(found.window) <= set(operations)
        assert check(forgotten(operations, found.culprit.ended)).violations == ()


def test_each_key_is_checked_by_itself() -> None:
    good = history((0, 1, *ONE), (2, 3, Read(), "x"), key="b")
    bad = [evolve(op, key=key) for key in ("a", "c") for op in BAD["a stale read"]]
    verdict = check([*bad[:4], *good, *bad[4:]])
    assert (verdict.operations, verdict.keys) == (8, 3)
    assert [found.key for found in verdict.violations] == ["a", "c"]
    assert check([]) == Verdict(0, 0, 0, ())


# ---------------------------------------------------------------------------- how it is reported


def test_a_report_shows_the_few_operations_that_matter_and_what_does_not_fit() -> None:
    saves = [(Write(f"x{number}"), Saved(number)) for number in range(1, 100)]
    looks = [(Read(), "x99"), (History(), (99,)), (Listed(), True)] * 20
    lines = one_after_the_other(*saves, *looks, (Read(), "x98"), *looks)
    found = violation(lines)
    assert (found.culprit.call, found.culprit.outcome) == (Read(), "x98")
    assert [op.outcome for op in found.window] == [(99,), "x98"]
    assert found.states == ("generation 99, 'x99'",)


def test_a_report_reads_like_a_timeline() -> None:
    operations = history(
        (5, 6, Write("x"), Saved(1)),
        (7, 17, Write("y", 1), Saved(2)),
        (8, 17, Write("z", 1), Saved(3)),
    )
    assert str(violation(operations)).splitlines() == [
        "key 'a': 2 of its 3 operations have no order (times in milliseconds)",
        "    0.000 ..    10.000  c1  write 'y' expecting generation 1: generation 2",
        "  |========================================|",
        "    1.000 ..    10.000  c2  write 'z' expecting generation 1: generation 3" + CULPRIT,
        "  |   =====================================|",
        "  it does not fit: generation 2, 'y'",
    ]


def test_an_unknown_outcome_is_drawn_to_the_end() -> None:
    operations = one_after_the_other(
        ONE, (Remove(1), UNKNOWN), (Read(), MISSING), (History(), (1,))
    )
    shown = str(violation(operations))
    assert "..       ...  c1  remove expecting generation 1: unknown\n  |====" in shown
    assert "it does not fit: no checkpoint, the last was 1" in shown


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (Write("x"), "write 'x'"),
        (Write("x", ABSENT), "write 'x' expecting no checkpoint"),
        (Write("x", 3), "write 'x' expecting generation 3"),
        (Rollback(2, 3), "roll back to generation 2 expecting generation 3"),
        (Read(), "read"),
        (Read(4), "read generation 4"),
        (Remove(3), "remove expecting generation 3"),
        (History(), "history"),
        (Listed(), "is it listed"),
        (Saved(3), "generation 3"),
        (Conflict(None), "conflict with no checkpoint"),
        (MISSING, "nothing"),
        (KeyState(), "no checkpoint"),
    ],
)
def test_calls_and_outcomes_read_like_sentences(call: object, text: str) -> None:
    assert str(call) == text


# -------------------------------------------------------------------------------------- its bounds


def puzzle(size: int) -> list[Operation]:
    """Many removes at the same time, each of them possible, and a read that nothing explains."""
    return history(
        *((0, 100 + n, Write(f"x{n}"), Saved(n + 1)) for n in range(1)),
        *((0, 50 + n, Remove(ABSENT if n % 2 else None), REMOVED) for n in range(size)),
        (0, 200, Read(), "never"),
    )


def test_a_search_that_takes_too_long_says_so_and_gives_no_verdict() -> None:
    operations = puzzle(10)
    with pytest.raises(UndecidedError) as caught:
        check(operations, max_states=1000)
    assert (caught.value.key, caught.value.max_states) == ("a", 1000)
    assert str(caught.value) == (
        "key 'a': 1000 states explored, and neither an order found nor its absence; allow more "
        "max_states, or record fewer operations at the same time"
    )
    assert violation(operations).culprit.outcome == "never"


def test_a_report_is_made_though_the_search_for_a_smaller_one_takes_too_long() -> None:
    operations = puzzle(8)
    for bound in (2000, 700, 600, 500):
        try:
            found = check(operations, max_states=bound).violations
        except UndecidedError:
            break
        assert found[0].culprit.outcome == "never"
    else:
        pytest.fail("the bound never mattered")


def test_many_operations_at_the_same_time_are_checked_in_time() -> None:
    lines = [
        (n * 10, n * 10 + 75, Write(f"x{n}", told=n), Saved(n)) if n % 2 else
        (n * 10, n * 10 + 75, Read(), f"x{n - 1}")
        for n in range(2, 4000)
    ]  # fmt: skip
    verdict = check(history((0, 1, *ONE), *lines[1:]))
    assert verdict.violations == ()
    assert verdict.states < 3 * len(lines)


def test_unknown_removes_do_not_multiply_the_search() -> None:
    unknown = [(0.0, 0.0, Remove(), UNKNOWN)] * 40
    lines: list[Line] = []
    for n in range(1, 40):
        lines += [
            (4 * n, 4 * n + 1, Write(f"x{n}"), Saved(n)),
            (4 * n + 2, 4 * n + 3, Read(), MISSING),
        ]
    verdict = check(history(*unknown, *lines))
    assert verdict.violations == ()
    assert verdict.states < 2000
    assert violation(history(*unknown[:38], *lines)).culprit.outcome is MISSING


# -------------------------------------------------------------------- histories from a right store


class Generator:
    """Asks the model, one call after the other, what a right store would have answered."""

    def __init__(self, seed: int, spread: int) -> None:
        self.chance = random.Random(seed)
        self.spread = spread

    def answer(self, state: KeyState, number: int) -> tuple[Hashable, Hashable]:
        """Return a call and what comes of it in this state."""
        chance = self.chance
        newest = state.newest
        expected = chance.choice([None, ABSENT, newest, newest, state.highest])
        holds = expected is None or (None if expected is ABSENT else expected) == newest
        saved = Saved(state.highest + chance.randint(1, 2))
        told = chance.choice([None, saved.generation]) if holds else None
        older = [n for n, _ in state.saved if n not in state.gone]
        asked = chance.choice([*older, state.highest + 1])
        pruned = asked != newest and chance.random() < 0.2
        shown = tuple(n for n in older[::-1] if n == newest or chance.random() < 0.8)
        answers: list[tuple[Hashable, Hashable]] = [
            *[(Write(f"x{number}", expected, told), saved if holds else Conflict(newest))] * 2,
            (Remove(expected), REMOVED if holds else Conflict(newest)),
            (Read(asked), MISSING if pruned else dict(state.saved).get(asked, MISSING)),
            (Read(), state.data if state.saved else MISSING),
            (History(), shown),
            (Listed(), bool(state.saved)),
        ]
        if older:
            rollback = Rollback(chance.choice(older), expected)
            answers.append((rollback, saved if holds else Conflict(newest)))
        return chance.choice(answers)

    def history(self, size: int) -> list[Operation]:
        """Stretch a sequential execution to intervals; some outcomes are forgotten."""
        state, found = KeyState(), []
        for number in range(size):
            call, outcome = self.answer(state, number)
            moment = 10 * number
            began, ended = (self.chance.randint(0, self.spread) for _ in range(2))
            op = Operation(f"c{number}", "a", call, outcome, moment - began, moment + ended)
            (state,) = STORE.step(state, op)
            lost = isinstance(outcome, Saved) or outcome is REMOVED
            if lost and self.chance.random() < 0.15:
                op = unknown(op)
            found.append(op)
        return found


@settings(max_examples=300)
@given(st.integers(0), st.integers(0, 40), st.sampled_from([0, 9, 30, 100]))
def test_a_sequential_execution_stretched_to_intervals_is_linearizable(
    seed: int, size: int, spread: int
) -> None:
    operations = Generator(seed, spread).history(size)
    assert check(operations).violations == ()


def has_order(operations: Sequence[Operation]) -> bool:
    """Try all orders of all operations, with each unknown one left out or not."""
    for order in permutations(operations):
        if any(
            later.ended < sooner.began and later.outcome is not UNKNOWN
            for index, sooner in enumerate(order)
            for later in order[index + 1 :]
        ):
            continue
        states = {KeyState()}
        for op in order:
            stepped = {new for state in states for new in STORE.step(state, op)}
            states = states | stepped if op.outcome is UNKNOWN else stepped
        if states:
            return True
    return False


def spoiled(operations: list[Operation], chance: random.Random) -> list[Operation]:
    """Give some operations another outcome, or another time."""
    spoilt = list(operations)
    for _ in range(chance.randint(1, 2)):
        index = chance.randrange(len(spoilt))
        op = spoilt[index]
        if chance.random() < 0.5 and op.outcome is not UNKNOWN:
            others = [other.outcome for other in operations if type(other.call) is type(op.call)]
            spoilt[index] = evolve(op, outcome=chance.choice(others))
        else:
            shift = chance.randint(-40, 40)
            spoilt[index] = evolve(op, began=op.began + shift, ended=op.ended + shift)
    return spoilt


@settings(max_examples=400)
@given(st.integers(0), st.integers(1, 6), st.sampled_from([0, 9, 30]))
def test_the_verdict_is_that_of_trying_all_orders(seed: int, size: int, spread: int) -> None:
    operations = Generator(seed, spread).history(size)
    operations = spoiled(operations, random.Random(seed))
    assert (check(operations).violations == ()) == has_order(operations)


def test_good_and_bad_histories_are_told_apart_as_by_trying_all_orders() -> None:
    verdicts = [0, 0]
    for seed in range(400):
        chance = random.Random(seed)
        operations = spoiled(Generator(seed, 9).history(chance.randint(3, 6)), chance)
        good = check(operations).violations == ()
        assert good == has_order(operations)
        verdicts[good] += 1
    assert min(verdicts) > 50
