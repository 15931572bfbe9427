"""`checkpointkit archives apply`: the plan, a question, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.cli.archives.look import looking
from checkpointkit.cli.archives.plan import plan_document, plan_text, status_of, unmet_text
from checkpointkit.cli.archives.policy import choose
from checkpointkit.cli.archives.words import notices, problems_text, whose
from checkpointkit.cli.outcome import BAD, USAGE, Outcome, Refused
from checkpointkit.cli.terminal import Progress, ask, can_ask
from checkpointkit.cli.text import bytes_text, plural, printable

if TYPE_CHECKING:
    from checkpointkit.archives.disk.apply import Applied
    from checkpointkit.archives.retention import Look
    from checkpointkit.cli.archives.session import Session

NOT_DONE = "nothing was deleted\n"
"""What people read when they have said no."""


def carry_out(session: Session) -> Outcome:
    """Delete what the policy says.

    Args:
        session: The run.

    Raises:
        CheckpointError: The directory or the policy cannot be used.
        Refused: Nobody can be asked, or what was typed makes no sense.
    """
    chosen = choose(session.arguments)
    directory = session.directory(chosen.directory)
    dry_run = session.arguments.dry_run
    with looking(session, directory, chosen.policy, write=not dry_run) as (retention, look):
        deletions = look.plan.deletions
        text = plan_text(session, look.plan)
        document = session.document(
            directory,
            dry_run=dry_run,
            **plan_document(look.plan, session.now_ns),
            notes=list(chosen.notes),
            leases=look.scan.leases,
            planned=look.plan.freed,
        )
        notes = problems_text((*chosen.notes, *notices(look), *look.problems))
        if dry_run or not deletions:
            return Outcome(
                status_of(look),
                text + notes,
                {**document, **_nothing(), "problems": list(look.problems)},
            )
        question = f"\nDelete {plural(len(deletions), 'archive')} for good?"
        if not _agreed(session, text + notes, question):
            return Outcome(BAD, NOT_DONE, {})
        with Progress(0, thing="archives") as progress:
            applied = retention.apply(look, progress=progress.step)
    return _outcome(look, applied, document)


def _outcome(look: Look, applied: Applied, document: dict[str, Any]) -> Outcome:
    problems = (*look.problems, *applied.problems)
    lines = [f"{plural(len(applied.deleted), 'archive')} deleted, "]
    lines += [f"{bytes_text(applied.freed)} freed\n"]
    lines += [
        f"{printable(archive.name)} ({whose(archive)}) was left: {printable(why)}\n"
        for archive, why in applied.skipped
    ]
    document |= {
        "deleted": [archive.name for archive in applied.deleted],
        "skipped": [{"name": archive.name, "why": why} for archive, why in applied.skipped],
        "freed": applied.freed,
        "problems": list(problems),
    }
    text = "".join(lines) + unmet_text(look.plan) + problems_text(problems)
    failed = problems or applied.skipped
    return Outcome(BAD if failed else status_of(look), text, document)


def _nothing() -> dict[str, Any]:
    return {"deleted": [], "skipped": [], "freed": 0}


def _agreed(session: Session, text: str, question: str) -> bool:
    if session.arguments.yes:
        return True
    if session.as_json or not can_ask():
        raise Refused(
            "this would have to be confirmed, and nobody can be asked here",
            "see what would be done with --dry-run, then repeat the command with --yes",
            USAGE,
            "Unconfirmed",
        )
    return ask(text, question)
