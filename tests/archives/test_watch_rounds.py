"""The watcher's log: what is wrong is said when it begins and when it has ended."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.archives.planning.reasons import Unmet
from checkpointkit.archives.watching.rounds import Journal, Line, Round

FULL = Unmet("pod-count", "default/web", 20, 23, {"pinned": 3})
HIGH = Unmet("watermark", "file system", 800, 900, {"floor": 1})


def said(*rounds: Round) -> list[list[str]]:
    """Return the lines of rounds, one after the other."""
    journal, all_lines = Journal(), []
    for made in rounds:
        lines, journal = journal.told(made)
        all_lines.append([f"{line.level}: {line.text}" for line in lines])
    return all_lines


def test_a_quiet_round_is_not_worth_a_line() -> None:
    assert said(Round(archives=5, in_flight=1), Round(archives=6, took=3.0)) == [[], []]


def test_deletions_are_said_each_time() -> None:
    made = Round(deleted=1, freed=9216)
    assert said(made, made, evolve(made, deleted=2)) == [
        ["info: 1 archive deleted, 9 KiB are free again"],
        ["info: 1 archive deleted, 9 KiB are free again"],
        ["info: 2 archives deleted, 9 KiB are free again"],
    ]


def test_an_unmet_limit_is_said_once_however_its_numbers_change() -> None:
    first, worse = Round(unmet=(FULL,)), Round(unmet=(evolve(FULL, left=24), HIGH))
    assert said(first, first, worse, Round(unmet=(HIGH,)), Round()) == [
        [f"warning: {FULL.words}"],
        [],
        [f"warning: {HIGH.words}"],
        ["info: pod-count of the pod default/web holds again"],
        ["info: watermark of the file system holds again"],
    ]


def test_a_problem_is_said_once_and_when_it_is_gone() -> None:
    made = Round(problems=("a.tar cannot be read", "b.tar cannot be read"))
    other = Round(problems=("b.tar cannot be read",))
    assert said(made, made, other, Round(), made) == [
        ["warning: a.tar cannot be read", "warning: b.tar cannot be read"],
        [],
        ["info: no longer: a.tar cannot be read"],
        ["info: no longer: b.tar cannot be read"],
        ["warning: a.tar cannot be read", "warning: b.tar cannot be read"],
    ]


def test_a_round_that_fails_says_nothing_of_what_it_did_not_come_to() -> None:
    wrong = Round(problems=("the disk is slow",), unmet=(FULL,))
    failed = Round(error="no directory")
    assert said(wrong, failed, failed, Round(error="a link"), wrong, Round()) == [
        [f"warning: {FULL.words}", "warning: the disk is slow"],
        ["warning: a round failed: no directory"],
        [],
        ["warning: a round failed: a link"],
        ["info: the rounds go well again"],
        [
            "info: pod-count of the pod default/web holds again",
            "info: no longer: the disk is slow",
        ],
    ]


def test_what_was_deleted_before_a_round_failed_is_said() -> None:
    assert said(Round(deleted=3, freed=1024, error="the disk failed")) == [
        [
            "info: 3 archives deleted, 1 KiB are free again",
            "warning: a round failed: the disk failed",
        ]
    ]


def test_a_dry_run_says_what_would_go_when_that_changes() -> None:
    made = Round(dry_run=True, planned=2, planned_bytes=1024)
    more = evolve(made, planned=3)
    assert said(made, made, more, Round(dry_run=True)) == [
        ["info: 2 archives of 1 KiB would be deleted"],
        [],
        ["info: 3 archives of 1 KiB would be deleted"],
        ["info: 0 archives of 0 B would be deleted"],
    ]
    assert said(Round(planned=2, planned_bytes=1024)) == [[]]


def test_a_dry_run_says_whose_archives_would_go_by_which_rule_and_what_has_changed() -> None:
    due = {("a/b/c", "max-age"): (1, 1024), ("a/b/d", "expired"): (2, 2048)}
    made = Round(dry_run=True, planned=3, planned_bytes=3072, due=due)
    later = evolve(made, planned=4, due={**due, ("a/b/c", "max-age"): (2, 1024)})
    assert said(made, made, evolve(made, error="no directory"), made, later) == [
        [
            "info: 3 archives of 3 KiB would be deleted",
            "info: a/b/d: 2 archives of 2 KiB, by expired",
            "info: a/b/c: 1 archive of 1 KiB, by max-age",
        ],
        [],
        ["warning: a round failed: no directory"],
        ["info: the rounds go well again"],
        [
            "info: 4 archives of 3 KiB would be deleted",
            "info: a/b/c: 2 archives of 1 KiB, by max-age",
        ],
    ]


def test_a_dry_run_of_the_same_number_of_others_is_said() -> None:
    one, other = (
        Round(dry_run=True, planned=1, planned_bytes=1024, due={(whose, "expired"): (1, 1024)})
        for whose in ("a/b/c", "a/b/d")
    )
    assert said(one, other)[1] == ["info: a/b/d: 1 archive of 1 KiB, by expired"]


def test_a_dry_run_of_very_many_containers_does_not_fill_the_log() -> None:
    due = {(f"a/b/{n}", "expired"): (1, n) for n in range(1000)}
    (lines,) = said(Round(dry_run=True, planned=1000, planned_bytes=9, due=due))
    assert len(lines) == 22
    assert lines[1] == "info: a/b/999: 1 archive of 999 B, by expired"
    assert lines[-1] == "info: and 980 more; `checkpointkit archives plan` shows them"


def test_that_there_are_no_leases_is_said_once_for_all() -> None:
    without = Round(leases=False)
    failed = Round(error="no directory")
    texts = said(without, Round(), failed, without, without)
    assert [line for lines in texts for line in lines if "leases" in line] == texts[0]
    assert len(texts[0]) == 1


def test_a_disk_that_dies_does_not_fill_the_log() -> None:
    made = Round(problems=tuple(f"{n}.tar cannot be read" for n in range(10_000)))
    lines, journal = Journal().told(made)
    assert len(lines) == 101
    assert "more problems than are said here" in lines[-1].text
    assert journal.told(made)[0] == ()
    assert len(journal.told(Round())[0]) == 101


rounds = st.builds(
    Round,
    problems=st.lists(st.sampled_from("abcd"), unique=True).map(tuple),
    unmet=st.lists(st.sampled_from([FULL, HIGH]), unique_by=id).map(tuple),
    error=st.sampled_from(["", "", "", "x", "y"]),
)


@given(st.lists(rounds, max_size=12))
def test_each_beginning_and_each_end_is_said_exactly_once(made: list[Round]) -> None:
    journal = Journal()
    open_: set[str] = set()
    for each in made:
        lines, journal = journal.told(each)
        assert all(isinstance(line, Line) for line in lines)
        if each.error:
            assert len(lines) <= 1
            continue
        begun = {line.text for line in lines if line.level == "warning"}
        ended = {line.text for line in lines if line.text.startswith("no longer: ")}
        problems = set(each.problems)
        assert begun - {FULL.words, HIGH.words} == problems - open_
        assert ended == {f"no longer: {text}" for text in open_ - problems}
        open_ = problems


@given(rounds)
def test_the_same_round_again_says_nothing(made: Round) -> None:
    _, journal = Journal().told(made)
    assert journal.told(made) == ((), journal)
