"""Running: all contenders take turns, round by round, operation by operation, on one disk.

What the machine does besides hits the times of a round alike, so the ratios of a round say more
than the times do. The order is drawn anew for each operation of each round: whoever comes after a
contender that runs the same code finds it in the processor's caches, so with a fixed order of
neighbours the same `get` took 46 us in one place and 25 us in the next.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from contextlib import ExitStack, closing
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.bare import ORDERS
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import BARE, Cell, Times, best_of
from benchmarks.ours import BareCalls, OneByOne, bare_in_order
from benchmarks.states import States

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.contender import Contender

FIRST: Final = "create first"
NEXT: Final = "create next"
GET: Final = "get"
LIST: Final = "list"
REMOVE: Final = "remove"
MANY_FIRST: Final = "create_many first, each key"
MANY_NEXT: Final = "create_many next, each key"

_WARM_UP: Final = 2
"""Rounds that are not counted; with them, each key has all generations that are kept."""
_CALLS: Final = {GET: 5}
"""Calls whose mean is one time, after one more that is not counted: of what is over too soon."""
_FEWEST: Final = 3
"""Rounds that are counted, unless they take twice their time."""
_DISK: Final = 3 * 2**30


class Plan(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: Rounds by size.
        keys: How many keys there are beside the one that is measured.
        lists: Rounds that list.
        many: Keys in a batch.
        batches: Rounds of batches.
        seconds: No further round of a scenario begins after its share of these.
    """

    rounds: dict[str, int]
    keys: tuple[int, ...]
    lists: int
    many: int
    batches: int
    seconds: float


FULL_RUN: Final = Plan(
    {"1 KiB": 200, "100 KiB flat": 60, "100 KiB nested": 30, "4 MiB": 10},
    keys=(1, 1_000, 10_000),
    lists=30,
    many=1_000,
    batches=9,
    seconds=150,
)
QUICK_RUN: Final = Plan(
    {"1 KiB": 30, "100 KiB flat": 6, "100 KiB nested": 4, "4 MiB": 3},
    keys=(1, 1_000),
    lists=6,
    many=200,
    batches=3,
    seconds=30,
)


def enough(rounds: int, seconds: float, share: float) -> bool:
    """Tell whether a scenario has had its share of the time; a slow disk gets less of rounds.

    Example:
        >>> enough(2, 1.5, 1.0), enough(3, 1.5, 1.0), enough(1, 2.5, 1.0), enough(0, 99.0, 1.0)
        (False, True, True, False)
    """
    return (rounds >= _FEWEST and seconds > share) or (rounds >= 1 and seconds > 2 * share)


class Run:
    """One run of a plan.

    Args:
        plan: How much is measured.
        directory: On which disk; None for the temporary directory.
        say: Told what is going on.
    """

    def __init__(self, plan: Plan, directory: str | None, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._directory = directory
        self._say = say
        self._times: Times = {}
        self._random = Random()
        self._share = plan.seconds / (len(plan.keys) * len(plan.rounds) + 2)

    def times(self) -> Times:
        """Measure all, and leave nothing behind."""
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="checkpointkit-") as path:
            free = shutil.disk_usage(path).free
            if free < _DISK:
                raise SystemExit(f"it needs {_DISK:,} bytes of disk, and there are {free:,}")
            for count in self._plan.keys:
                self._beside(count, f"{path}/{count}")
            self._batches(f"{path}/many")
        return self._times

    def _beside(self, count: int, path: str) -> None:
        """Measure all operations of one key beside `count` others."""
        with ExitStack() as stack:
            stores = _open(stack, CONTENDERS, path)
            states = States("1 KiB")
            others = {f"node-{number:05d}": states.next() for number in range(count)}
            for store in stores:
                store.fill(others)
            for size in self._plan.rounds:
                self._say(f"{size} beside {count:,} keys")
                self._operations(stores, size, count)
        shutil.rmtree(path)

    def _operations(self, stores: Sequence[Contender], size: str, count: int) -> None:
        states = States(size)
        os.sync()
        begun = time.monotonic()
        for number in range(-_WARM_UP, self._plan.rounds[size]):
            if enough(number, time.monotonic() - begun, self._share):
                break
            steps: list[tuple[str, str, tuple[Any, ...]]] = [
                (FIRST, "save", ("new", states.next())),
                (NEXT, "save", ("present", states.next())),
                (GET, "get", ("present",)),
                (REMOVE, "remove", ("new",)),
            ]
            if size == "1 KiB" and number < self._plan.lists:
                steps.append((LIST, "list", ()))
            for operation, method, arguments in steps:
                cell = Cell(size, count, operation) if number >= 0 else None
                calls = _CALLS.get(operation, 1)
                self._round(cell, stores, method, arguments, calls=calls)

    def _batches(self, path: str) -> None:
        """Measure batches: each round with new stores; their second save makes them next ones."""
        self._say(f"batches of {self._plan.many:,} keys")
        contenders = [bare_in_order(order) for order in ORDERS]
        contenders += [item for item in CONTENDERS if item is not BareCalls]
        contenders.append(OneByOne)
        states = States("1 KiB")
        begun = time.monotonic()
        found: Times = {}
        for number in range(-1, self._plan.batches):
            if enough(number, time.monotonic() - begun, 2 * self._share):
                break
            with ExitStack() as stack:
                stores = _open(stack, contenders, path)
                for attempt in (MANY_FIRST, None, MANY_NEXT):
                    batch = {f"node-{n:05d}": states.next() for n in range(self._plan.many)}
                    cell = Cell("1 KiB", self._plan.many, attempt or "")
                    wanted = cell if attempt and number >= 0 else None
                    self._round(wanted, stores, "save_many", (batch,), times=found, settle=True)
            shutil.rmtree(path)
        for cell, taken in found.items():
            each = {
                name: [value / self._plan.many for value in values]
                for name, values in taken.items()
            }
            # The floor is the best order that was found.
            name, best = best_of(each, BARE)
            self._say(f"{cell.operation}: the best order is that of {name}")
            peers = {name: values for name, values in each.items() if not name.startswith(BARE)}
            self._times[cell] = {BARE: best, **peers}

    def _round(
        self,
        cell: Cell | None,
        stores: Sequence[Contender],
        method: str,
        arguments: tuple[Any, ...],
        *,
        calls: int = 1,
        times: Times | None = None,
        settle: bool = False,
    ) -> None:
        """Let each store do one thing, in an order drawn by lot.

        With `settle`, each begins on a disk that has nothing left to write: otherwise who comes
        after a contender without syncs writes a thousand files for it.
        """
        times = self._times if times is None else times
        taken: dict[str, float] = {}
        gc.collect()
        gc.disable()
        for store in self._random.sample(stores, len(stores)):
            call = getattr(store, method)
            if settle:
                os.sync()
            if calls > 1:
                call(*arguments)
            start = time.perf_counter()
            for _ in range(calls):
                call(*arguments)
            taken[store.name] = (time.perf_counter() - start) / calls * 1e6
        gc.enable()
        if cell is not None:
            for store in stores:
                values = times.setdefault(cell, {}).setdefault(store.name, [])
                values.append(taken[store.name])


def _open(stack: ExitStack, contenders: Iterable[type[Contender]], path: str) -> list[Contender]:
    """Open a store of each of the contenders that can take part."""
    stores = []
    for number, contender in enumerate(contenders):
        if contender.missing() is None:
            own = f"{path}/{number}"
            os.makedirs(own)
            stores.append(stack.enter_context(closing(contender(own))))
    return stores
