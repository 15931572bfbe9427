"""`checkpointkit archives plan`: what would be deleted, by which rule and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli.archives.look import look_at
from checkpointkit.cli.archives.policy import choose
from checkpointkit.cli.archives.words import (
    archives_text,
    container_document,
    moment_text,
    notices,
    problems_text,
    since_text,
    taken_ns,
    whose,
)
from checkpointkit.cli.outcome import BAD, FINE, Outcome
from checkpointkit.cli.text import INDENT, bytes_text, plural, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointkit.archives.plan import Decision, Plan
    from checkpointkit.archives.retention import Look
    from checkpointkit.cli.archives.session import Session

UNMET: Final = 3
"""A limit does not hold."""
_COLUMNS: Final = ("ARCHIVE", "AGE", "SIZE", "RULE", "WHY")
_ALL: Final = ("", *_COLUMNS)
_NUMBERS: Final = ("AGE", "SIZE")


def show_plan(session: Session) -> Outcome:
    """Return what would be deleted.

    Args:
        session: The run.

    Raises:
        CheckpointError: The directory or the policy cannot be used.
        Refused: What was typed makes no sense.
    """
    chosen = choose(session.arguments)
    directory = session.directory(chosen.directory)
    look = look_at(session, directory, chosen.policy)
    text = plan_text(session, look.plan, all_of_them=session.arguments.all)
    text += problems_text((*chosen.notes, *notices(look), *look.problems))
    document = session.document(
        directory,
        **plan_document(look.plan, session.now_ns),
        notes=list(chosen.notes),
        leases=look.scan.leases,
        problems=list(look.problems),
    )
    return Outcome(status_of(look), text, document)


def status_of(look: Look, *, overview: bool = False) -> int:
    """Return the exit status of a look.

    Args:
        look: The look.
        overview: Whether it is the first look, of which a limit that does not hold is no part.
    """
    if look.problems:
        return BAD
    return UNMET if look.plan.unmet and not overview else FINE


def plan_words(plan: Plan) -> str:
    """Return what a plan deletes, in short."""
    deletions = plan.deletions
    return archives_text(len(deletions), plan.freed) if deletions else "nothing"


def plan_text(session: Session, plan: Plan, *, all_of_them: bool = False) -> str:
    """Return a plan for a person.

    Args:
        session: The run.
        plan: The plan.
        all_of_them: Whether to show what is kept, too, one by one.
    """
    deletions = plan.deletions
    kept = [decision for decision in plan.decisions if not decision.delete]
    text = ""
    if all_of_them and plan.decisions:
        rows = [("delete", *_cells(session, each)) for each in deletions]
        rows += [("keep", *_cells(session, each)) for each in kept]
        text = table(_ALL, rows, numbers=_NUMBERS, width=session.width) + "\n"
    elif deletions:
        rows = [_cells(session, each) for each in deletions]
        text = table(_COLUMNS, rows, numbers=_NUMBERS, width=session.width) + "\n"
    text += f"to delete  {plan_words(plan)}{_by_rule(deletions)}\n"
    size = sum(each.archive.size for each in kept)
    text += f"to keep    {archives_text(len(kept), size)}{_by_rule(kept)}\n"
    return text + unmet_text(plan)


def unmet_text(plan: Plan) -> str:
    """Return the limits that do not hold; nothing where all do."""
    if not plan.unmet:
        return ""
    lines = "".join(f"{INDENT}{printable(each.words)}\n" for each in plan.unmet)
    return f"\n{plural(len(plan.unmet), 'limit')} cannot be held:\n{lines}"


def plan_document(plan: Plan, now_ns: int, *, archives: bool = True) -> dict[str, Any]:
    """Return a plan for programs.

    Args:
        plan: The plan.
        now_ns: The time.
        archives: Whether with the archives, one by one.
    """
    deletions = plan.deletions
    document: dict[str, Any] = {
        "delete": len(deletions),
        "keep": len(plan.decisions) - len(deletions),
        "freed": plan.freed,
        "unmet": [
            {
                "rule": each.rule,
                "group": each.group,
                "wanted": each.wanted,
                "left": each.left,
                "blocked": dict(each.blocked),
                "words": each.words,
            }
            for each in plan.unmet
        ],
    }
    if archives:
        document["decisions"] = [_decision(each, now_ns) for each in plan.decisions]
    return document


def _decision(decision: Decision, now_ns: int) -> dict[str, Any]:
    archive = decision.archive
    return {
        "name": archive.name,
        **container_document(archive.container),
        "size": archive.size,
        "taken_at": moment_text(taken_ns(archive, now_ns)),
        "delete": decision.delete,
        "rule": decision.rule,
        "words": decision.words,
    }


def _cells(session: Session, decision: Decision) -> tuple[str, ...]:
    archive = decision.archive
    return (
        whose(archive),
        since_text(taken_ns(archive, session.now_ns), session.now_ns),
        bytes_text(archive.size),
        decision.rule,
        printable(decision.words),
    )


def _by_rule(decisions: Iterable[Decision]) -> str:
    rules = Counter(decision.rule for decision in decisions)
    if not rules:
        return ""
    return ": " + ", ".join(f"{number:,} {rule}" for rule, number in rules.most_common())
