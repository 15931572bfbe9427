"""What has to hold of every plan: each law is a function of one question to `plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from attrs import evolve

from checkpointkit.archives.model import Archive, State
from checkpointkit.archives.plan import Plan
from checkpointkit.archives.policies import Percent
from tests.archives import naive
from tests.archives.naive import Naive, name_bytes
from tests.archives.strategies import LIMITS, Case

Law = Callable[[Case], None]


def deleted(plan: Plan) -> set[str]:
    return {each.archive.name for each in plan.decisions if each.delete}


def survivors(plan: Plan) -> tuple[Archive, ...]:
    return tuple(each.archive for each in plan.decisions if not each.delete)


def with_limit(case: Case, name: str, number: int) -> Case:
    """Return the same question with one limit alone, and what tells archives apart."""
    old, new = case.policy, LIMITS[name](number)
    return case.of(
        policy=evolve(new, order=old.order, names_count=old.names_count, pins_count=old.pins_count)
    )


# ----------------------------------------------------------------------------------- what is never


def every_archive_has_one_decision_in_the_order_of_names(case: Case) -> None:
    names = [name_bytes(each.archive) for each in case.plan().decisions]
    assert names == sorted(map(name_bytes, case.archives))


def nothing_protected_goes(case: Case) -> None:
    asked = Naive(case)
    for each in case.plan().deletions:
        assert asked.protection(each.archive) is None, each


def the_floor_stays(case: Case) -> None:
    asked, made = Naive(case), case.plan()
    left = survivors(made)
    for each in made.deletions:
        if each.archive.state is State.BROKEN:
            continue
        owner = asked.owner(each.archive)
        assert owner is not None
        if asked.rule("allow_empty", owner) or asked.is_orphan(each.archive):
            continue
        newer = [
            other
            for other in asked.free_of(owner)
            if not asked.is_orphan(other)
            and asked.oldest_first([each.archive, other])[-1] is other
            and other is not each.archive
        ]
        assert any(other in left for other in newer), each


def what_something_goes_of_has_what_has_to_be_there(case: Case) -> None:
    """Whoever applies a part of a plan sees by it that no container is left without any."""
    asked, made = Naive(case), case.plan()
    complete = [each.archive for each in made.deletions if each.archive.state is State.COMPLETE]
    owners = {each.container for each in complete}
    kept = [each for each in survivors(made) if asked.owner(each) in owners - {None}]
    wanted = {each.container: each for each in kept if asked.is_floor(each)}
    assert made.floors == wanted


def a_limit_takes_archives_of_its_own_group_alone(case: Case) -> None:
    asked = Naive(case)
    for each in case.plan().deletions:
        level = each.rule.partition("-")[0]
        if level == "quarantine":
            assert each.archive.state is State.BROKEN
            continue
        assert each.archive.state is State.COMPLETE
        owner = asked.owner(each.archive)
        assert owner is not None
        if level in {"container", "pod", "namespace"}:
            assert each.reason.group in {"/".join(key) for key in asked.groups(owner)}
            assert each.reason.group.count("/") == ("namespace", "pod", "container").index(level)


def what_is_not_touched_stays(case: Case) -> None:
    asked = Naive(case)
    if case.touched is None:
        return
    keys = {key for touched in case.touched for key in asked.groups(touched)}
    for each in case.plan().deletions:
        level = each.rule.partition("-")[0]
        if level in {"container", "pod", "namespace"}:
            assert tuple(each.reason.group.split("/")) in keys, each
        elif level in {"expired", "orphan", "max"}:
            owner = asked.owner(each.archive)
            assert owner is not None
            assert keys & set(asked.groups(owner)), each


# --------------------------------------------------------------------------------- what is enough


def what_is_left_is_left_the_next_time(case: Case) -> None:
    made = case.plan()
    space = case.space
    if space is not None:
        space = evolve(space, free=space.free + made.freed)
    again = case.of(archives=survivors(made), space=space).plan()
    assert again.deletions == ()


def a_limit_that_allows_more_takes_no_others(case: Case) -> None:
    for name in LIMITS:
        last: set[str] | None = None
        for number in (1, 2, 3, 5, 9, 2**62, 2**63):
            if not name.endswith("size") and number > 2**31:
                continue
            gone = deleted(with_limit(case, name, number).plan())
            assert last is None or gone <= last, (name, number)
            last = gone


def a_limit_takes_the_oldest_and_no_more_than_it_has_to(case: Case) -> None:
    asked, made = Naive(case), case.plan()
    left = survivors(made)
    for rule, group, wanted, members in groups_of(case):
        taken = [each for each in made.deletions if (each.rule, each.reason.group) == (rule, group)]
        if taken:
            oldest_first = asked.oldest_first(each.archive for each in taken)
            weights = [each.size if rule.endswith("-size") else 1 for each in oldest_first]
            assert taken[0].reason.found - sum(weights[:-1]) > wanted, rule
            complete = [each for each in members if each.state is State.COMPLETE]
            might_go = [each for each in complete if each in left and asked.may_go(each)]
            last = oldest_first[-1]
            assert all(asked.oldest_first([last, each])[0] is last for each in might_go), rule


def limits_hold_or_the_plan_says_why_not(case: Case) -> None:
    made = case.plan()
    unmet = {(each.rule, each.group): each for each in made.unmet}
    for rule, group, wanted, members in groups_of(case):
        asked = Naive(case.of(archives=survivors(made)))
        there = [each for each in survivors(made) if each in members]
        is_size = rule.endswith("-size")
        weigh: Callable[[Archive], int] = lambda each: each.size if is_size else asked.counts(each)  # noqa: B023 - called here
        left = sum(map(weigh, there))
        said = unmet.get((rule, group))
        assert (left > wanted) == (said is not None), (rule, group)
        if said is not None:
            assert (said.wanted, said.left) == (wanted, left)
            why = Naive(case)
            kept = [each for each in there if is_size or why.counts(each)]
            assert not [each for each in kept if why.may_go(each) and each.state is State.COMPLETE]
            assert sum(said.blocked.values()) == len(kept)


def groups_of(case: Case) -> Iterable[tuple[str, str, int, list[Archive]]]:
    """Return each limit of containers, pods, namespaces and the directory, with its members."""
    asked = Naive(case)
    owners = {owner for each in case.archives if (owner := asked.owner(each))}
    known = [owner for owner in owners if asked.members((owner,))]
    keys = {key for owner in known for key in asked.groups(owner) if asked.is_touched(key)}
    for key in keys:
        inside = tuple(owner for owner in known if key in asked.groups(owner))
        level = ("", "namespace", "pod", "container")[len(key)]
        for what in ("count", "size"):
            wanted = asked.group_rule(f"{level}_{what}", key)
            if wanted is not None:
                yield f"{level}-{what}", "/".join(key), wanted, asked.members(inside)
    whole = [each for each in case.archives if each.state is not State.BROKEN]
    if case.policy.directory_count is not None:
        yield "directory-count", "directory", case.policy.directory_count, whole
    if case.policy.directory_size is not None:
        yield "directory-size", "directory", case.policy.directory_size, list(case.archives)


def there_is_room_or_the_plan_says_why_not(case: Case) -> None:
    made, space, policy = case.plan(), case.space, case.policy
    if space is None:
        return
    free = space.free + made.freed
    unmet = {each.rule: each for each in made.unmet}

    def share(amount: int | Percent) -> int:
        return amount if isinstance(amount, int) else int(space.total * amount.value / 100)

    if policy.min_free is not None:
        lacks = free < share(policy.min_free)
        if lacks or "min-free" not in unmet:
            assert lacks == ("min-free" in unmet)
    if policy.watermarks is not None and "watermark" not in unmet:
        assert space.total - free <= share(policy.watermarks.high)
    by_marks = [each.archive.size for each in made.deletions if each.rule == "watermark"]
    if by_marks:
        assert policy.watermarks is not None
        used = space.total - free + sum(by_marks)
        assert used > share(policy.watermarks.high)
        low = min(share(policy.watermarks.low), share(policy.watermarks.high))
        assert used - sum(by_marks) + max(by_marks) > low


# ------------------------------------------------------------------------------ what is the same


def the_order_of_the_archives_is_nothing(case: Case) -> None:
    made = case.plan()
    for archives in (case.archives[::-1], sorted(case.archives, key=lambda each: each.mtime_ns)):
        assert case.of(archives=tuple(archives)).plan() == made


def it_is_what_the_rules_say_word_by_word(case: Case) -> None:
    made = case.plan()
    decisions, unmet = naive.answer(case)
    assert {each.archive.name: (each.delete, each.rule) for each in made.decisions} == decisions
    found = [(u.rule, u.group, u.wanted, u.left, dict(u.blocked)) for u in made.unmet]
    assert sorted(found, key=str) == sorted(unmet, key=str)


def every_decision_and_every_unmet_limit_has_words_of_one_line(case: Case) -> None:
    made = case.plan()
    decided = [each.words for each in made.decisions]
    for words in [*decided, *(each.words for each in made.unmet)]:
        assert words
        assert len(words.splitlines()) == 1


LAWS: Final[tuple[Law, ...]] = (
    every_archive_has_one_decision_in_the_order_of_names,
    nothing_protected_goes,
    the_floor_stays,
    what_something_goes_of_has_what_has_to_be_there,
    a_limit_takes_archives_of_its_own_group_alone,
    what_is_not_touched_stays,
    what_is_left_is_left_the_next_time,
    a_limit_that_allows_more_takes_no_others,
    a_limit_takes_the_oldest_and_no_more_than_it_has_to,
    limits_hold_or_the_plan_says_why_not,
    there_is_room_or_the_plan_says_why_not,
    the_order_of_the_archives_is_nothing,
    it_is_what_the_rules_say_word_by_word,
    every_decision_and_every_unmet_limit_has_words_of_one_line,
)
