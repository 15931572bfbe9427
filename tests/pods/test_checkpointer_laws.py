"""The laws of the whole checkpointer, over arbitrary lives of a node, on real files.

Hypothesis makes up what happens before each tick, and where the process is killed in it or the disk
is full; after each tick all laws hold, and when the world is calm again all is clean.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checkpointkit.pods.machine import State
from tests.pods.laws import check, unclean
from tests.pods.lives import FIRST, LIVES, LONE, OWN, PODS, SECOND
from tests.pods.simulation import Node, Step
from tests.pods.world import Disk

HEALTHY: Final = (Step((("everything", "runs"),)), Step(), Step())
OUTAGE: Final = (*HEALTHY, Step((("outage",),)), Step(), Step())
"""Copies run in the end."""
WELL = (
    ("api", "ok"),
    ("kubelet", "ok"),
    ("cri", "ok"),
    ("secret", "ok"),
)

names = st.sampled_from([name.name for name in PODS])


def happens(event: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(st.just(event), *arguments)


BAD_API: Final = ("unreachable", "html", "forbidden", "notfound", "error500", "cut", "another")
BY_HAND: Final = tuple(
    f"{how} {which}"
    for how in ("delete", "damage", "change")
    for which in ("active", "inactive", "assets")
    if (how, which) != ("change", "assets")
)
STRANGE: Final = (
    "active/etcd.json",
    "active/.swp",
    "inactive/other.json",
    "inactive/kube-system_other",
    "secrets/strange",
)
LIKELY: Final = (
    (8, happens("outage")),
    (4, happens("return")),
    (1, happens("reboot")),
    (3, happens("life", names, st.sampled_from(["down", "gone", "runs"]))),
    (3, happens("life", names, st.sampled_from(LIVES))),
    (2, happens("everything", st.sampled_from(["runs", "down", "gone"]))),
    (3, happens("recreated", names, st.sampled_from(["runs", "unready", "crashing"]))),
    (2, happens("api", st.sampled_from(["ok", "empty", *BAD_API]))),
    (1, happens("kubelet", st.sampled_from(["ok", "silent", "stale", "forgetful"]))),
    (1, happens("cri", st.sampled_from(["ok", "error"]))),
    (2, happens("secret", st.sampled_from(["changed", "ok", "notfound", "forbidden", "html"]))),
    (4, happens("hand", st.sampled_from(BY_HAND), names)),
    (1, happens("strange", st.sampled_from(STRANGE))),
    (1, happens("records", st.sampled_from(["deleted", "damaged"]))),
)
events = st.sampled_from([event for weight, event in LIKELY for _ in range(weight)]).flatmap(
    lambda event: event
)
waits = st.sampled_from([5.0, 5.0, 5.0, 61.0, 61.0, 400.0, 0.0, -3600.0])
kills = st.none() | st.none() | st.integers(0, 40)
shortages = st.sampled_from([None] * 8 + [0, 1, 3, 8, 15])
restarts = st.sampled_from([False] * 7 + [True])
steps = st.builds(
    Step, st.lists(events, min_size=1, max_size=2).map(tuple), waits, restarts, kills, shortages
)
later = st.builds(Step, st.just(()), waits, restarts, kills, shortages)
# Something happens, and then nothing for a while: some decisions take more than one tick.
periods = st.tuples(steps, st.lists(later, max_size=3)).map(lambda parts: (parts[0], *parts[1]))
histories = st.tuples(
    st.sampled_from([HEALTHY, HEALTHY, ()]), st.lists(periods, min_size=1, max_size=6)
).map(lambda parts: (*parts[0], *chain.from_iterable(parts[1])))
long_histories = st.lists(periods, min_size=4, max_size=25).map(
    lambda parts: (*HEALTHY, *chain.from_iterable(parts))
)


@contextmanager
def a_node() -> Iterator[Node]:
    """A node whose processes have no umask to rely on."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="checkpointkit-", dir=memory) as directory:
        mask = os.umask(0)
        try:
            yield Node(Disk(Path(directory)))
        finally:
            os.umask(mask)


def calmed(node: Node, *events: tuple[str, ...], ticks: int = 4) -> None:
    """Let the world be well again, and the process have its time."""
    node.fuse = None
    check(node.tick(Step((*WELL, *events), 61.0)))
    for _ in range(ticks):
        check(node.tick(Step(seconds=61.0)))


RUNNING = dict.fromkeys(PODS, State.INACTIVE) | {OWN: State.SELF}
STAYING = {OWN: State.SELF, SECOND: State.INACTIVE}


def all_run(node: Node) -> None:
    calmed(node, ("everything", "runs"))
    assert unclean(node, RUNNING) == {}
    quiet = node.tick(Step())
    assert quiet.tick is not None
    assert (quiet.tick.wrote, quiet.tick.problems, quiet.changes) == (False, (), [])


def all_are_gone(node: Node) -> None:
    if node.state is None or not node.state.cluster:
        # Where nobody knows which cluster the node belongs to, nothing is taken away: it belongs
        # to the one where a parent of it is seen to run.
        calmed(node, ("everything", "runs"), ticks=0)
    calmed(node, ("everything", "gone"), ticks=6)
    assert unclean(node, {}) == {}


def some_are_gone(node: Node) -> None:
    gone = [("life", name.name, "gone") for name in PODS if name not in STAYING]
    calmed(node, ("everything", "runs"), *gone, ticks=6)
    assert unclean(node, STAYING) == {}


def none_runs_and_nobody_can_be_asked(node: Node) -> None:
    """What was saved runs within two ticks, one copy of each controller, and goes on running."""
    calmed(node, ("everything", "runs"), ticks=1)
    for _ in range(4):
        check(node.tick(Step((("outage",),))))
    copies = node.disk.manifests(node.disk.active)
    first = {name.name for name in (OWN, LONE, FIRST)}
    second = {name.name for name in (OWN, LONE, SECOND)}
    assert {pod["metadata"]["name"] for pod in copies.values()} in (first, second)
    check(node.tick(Step((("return",),))))
    all_run(node)


def it_leaves(node: Node) -> None:
    """The checkpointer's own parent is gone, and all others run: nothing is kept of any."""
    calmed(node, ("everything", "runs"))
    calmed(node, ("life", OWN.name, "gone"), ticks=6)
    assert unclean(node, {}) == {}


ENDINGS: Final = (
    all_run,
    all_are_gone,
    some_are_gone,
    none_runs_and_nobody_can_be_asked,
    it_leaves,
)


def has_its_day(history: tuple[Step, ...], ending: Callable[[Node], None]) -> None:
    with a_node() as node:
        for step in history:
            check(node.tick(step))
        ending(node)


HALF_A_MANIFEST: Final = Step((("return",), ("hand", "damage active", LONE.name)))


@settings(max_examples=80)
@given(histories, st.sampled_from(ENDINGS))
@example((*OUTAGE, HALF_A_MANIFEST), all_run)
@example((*OUTAGE, HALF_A_MANIFEST), all_are_gone)
@pytest.mark.usefixtures("unmeasured")
def test_each_law_holds_in_every_tick_and_all_is_well_in_the_end(
    history: tuple[Step, ...], ending: Callable[[Node], None]
) -> None:
    has_its_day(history, ending)


@pytest.mark.usefixtures("unmeasured")
def test_a_kill_at_any_moment_of_a_start_that_mends_records_breaks_no_law() -> None:
    for number in range(30):
        with a_node() as node:
            for step in (*OUTAGE, Step((("records", "damaged"),), killed_before=number), Step()):
                check(node.tick(step))


@pytest.mark.deep
@settings(max_examples=20_000)
@given(long_histories, st.sampled_from(ENDINGS))
@pytest.mark.usefixtures("unmeasured")
def test_each_law_holds_in_many_more_and_longer_lives(
    history: tuple[Step, ...], ending: Callable[[Node], None]
) -> None:
    has_its_day(history, ending)
