"""Who has how much: the sums fit, and nothing is counted for somebody else."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from attrs import asdict, evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.archives.model import Archive, Container, Level, State
from checkpointkit.archives.usage import Group, Totals, Usage, is_protected, usage

LEVELS = (Level.NAMESPACE, Level.POD, Level.CONTAINER)
APP = Container("default", "web", "app")
ARCHIVE = Archive(
    name="a.tar",
    size=10,
    device=1,
    inode=2,
    mtime_ns=5,
    ctime_ns=5,
    state=State.COMPLETE,
    container=APP,
)

names = st.sampled_from(["a", "b", "a-b"])
containers = st.builds(Container, names, names, names)
archives = st.builds(
    Archive,
    name=st.just("x.tar"),
    size=st.integers(0, 5),
    device=st.just(1),
    inode=st.integers(1, 9),
    mtime_ns=st.integers(0, 99),
    ctime_ns=st.just(0),
    state=st.sampled_from(State),
    container=st.none() | containers,
    pins=st.sampled_from([(), ("me",), ("me", "you")]),
)


def numbers(totals: Totals) -> Counter[str]:
    found = asdict(totals)
    del found["oldest_ns"], found["newest_ns"]
    return Counter(found)


def total(groups: tuple[Group, ...]) -> Counter[str]:
    return sum((numbers(group.totals) for group in groups), Counter())


def every(found: Usage) -> list[Group]:
    return [group for level in LEVELS for group in found.groups(level)]


@given(st.lists(archives, max_size=30))
@settings(max_examples=60)
def test_the_groups_of_each_level_and_what_is_apart_sum_up_to_all(given: list[Archive]) -> None:
    found = usage(given)
    parts = (found.unknown, found.broken, found.unread, found.pod_checkpoints)
    apart = sum(map(numbers, parts), Counter())
    for level in LEVELS:
        assert total(found.groups(level)) + apart == +numbers(found.totals)
    assert found.totals.archives == len(given)
    assert found.totals.size == sum(archive.size for archive in given)


@given(st.lists(archives, max_size=30))
@settings(max_examples=60)
def test_each_group_is_the_sum_of_its_members_and_no_other_one_has_its_name(
    given: list[Archive],
) -> None:
    found = usage(given)
    groups = every(found)
    assert len({group.names for group in groups}) == len(groups)
    for group in groups:
        assert all(member.names[:-1] == group.names for member in group.members)
        if len(group.names) == 3:
            assert group.members == ()
        else:
            assert total(group.members) == +numbers(group.totals)


@given(st.lists(archives, max_size=30))
@settings(max_examples=60)
def test_a_group_counts_the_archives_of_its_names_and_no_others(given: list[Archive]) -> None:
    for group in every(usage(given)):
        own = [
            archive
            for archive in given
            if archive.container is not None
            and archive.state is not State.POD_CHECKPOINT
            and str(archive.container).split("/")[: len(group.names)] == list(group.names)
        ]
        times = [archive.mtime_ns for archive in own]
        assert group.totals == Totals(
            archives=len(own),
            size=sum(archive.size for archive in own),
            pinned=sum(archive.pins != () for archive in own),
            protected=sum(is_protected(archive) for archive in own),
            in_flight=sum(archive.state is State.IN_FLIGHT for archive in own),
            broken=sum(archive.state is State.BROKEN for archive in own),
            oldest_ns=min(times),
            newest_ns=max(times),
        )


@given(st.lists(archives, max_size=20), st.randoms())
@settings(max_examples=40)
def test_the_order_of_the_archives_changes_nothing(given: list[Archive], chance: Random) -> None:
    shuffled = list(given)
    chance.shuffle(shuffled)
    assert usage(shuffled) == usage(given)


@given(st.lists(archives, max_size=30))
@settings(max_examples=40)
def test_most_bytes_come_first_and_names_decide_between_equals(given: list[Archive]) -> None:
    found = usage(given)
    rows = [found.groups(level) for level in LEVELS]
    rows += [group.members for group in every(found)]
    rows.append(found.namespaces)
    for row in rows:
        keys = [(-group.totals.size, group.names) for group in row]
        assert keys == sorted(keys)
    assert found.groups(Level.NAMESPACE) == found.namespaces


def test_nothing_has_neither_an_oldest_nor_a_newest() -> None:
    assert usage([]) == Usage(
        totals=Totals(),
        namespaces=(),
        unknown=Totals(),
        broken=Totals(),
        unread=Totals(),
        pod_checkpoints=Totals(),
    )


def test_other_files_are_apart() -> None:
    found = usage([ARCHIVE], foreign=3, foreign_size=99)
    assert (found.foreign, found.foreign_size) == (3, 99)
    assert found.totals.size == 10


def test_a_directory_of_the_kubelet_is_apart_even_if_somebody_knows_whose_it_is() -> None:
    found = usage([evolve(ARCHIVE, state=State.POD_CHECKPOINT)])
    assert found.namespaces == ()
    assert found.unknown == Totals()
    assert found.pod_checkpoints.archives == 1


def test_the_moment_is_the_one_that_is_asked_for() -> None:
    found = usage([ARCHIVE, evolve(ARCHIVE, inode=8)], moment=lambda archive: archive.inode)
    assert (found.totals.oldest_ns, found.totals.newest_ns) == (2, 8)


def test_the_broken_are_not_among_the_unknown_for_these_are_kept() -> None:
    given = [evolve(ARCHIVE, state=state, container=None) for state in State]
    found = usage(given)
    assert (found.unknown.archives, found.unknown.protected) == (1, 1)
    assert (found.broken.archives, found.broken.broken, found.broken.protected) == (1, 1, 0)
    assert (found.unread.archives, found.unread.protected) == (3, 3)
    assert found.pod_checkpoints.archives == 1


def test_a_group_is_written_like_a_container() -> None:
    assert [str(group) for group in every(usage([ARCHIVE]))] == [
        "default",
        "default/web",
        "default/web/app",
    ]


@pytest.mark.parametrize(
    ("state", "known", "pinned", "protected"),
    [
        (State.COMPLETE, True, False, False),
        (State.COMPLETE, True, True, True),
        (State.COMPLETE, False, False, True),
        (State.IN_FLIGHT, True, False, True),
        (State.UNREADABLE, True, False, True),
        (State.OTHER, True, False, True),
        (State.POD_CHECKPOINT, True, False, True),
        (State.BROKEN, True, False, False),
        (State.BROKEN, False, False, False),
        (State.BROKEN, False, True, True),
    ],
)
def test_what_no_rule_deletes_is_protected(
    state: State, *, known: bool, pinned: bool, protected: bool
) -> None:
    container = APP if known else None
    pins = ("me",) if pinned else ()
    archive = evolve(ARCHIVE, state=state, container=container, pins=pins)
    assert is_protected(archive) is protected
