"""`recover`, `rollback` and `remove`: they look first, say what they will do, and do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit import records
from checkpointkit.cli.look import (
    Look,
    look_at_all,
    look_at_newest,
    state_of,
    times_of,
    trouble_with,
)
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.target import aside_of, check_owner, open_to_read, open_to_write
from checkpointkit.cli.terminal import ask, can_ask
from checkpointkit.cli.text import INDENT, UNKNOWN, plural, printable
from checkpointkit.cli.trouble import Trouble, trouble
from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointkit.cli.session import Session
    from checkpointkit.cli.target import Target
    from checkpointkit.stores.base import Store

NOT_DONE: Final = "nothing was changed\n"
"""What people read when they have said no."""


@frozen
class Plan:
    """What to do about one key.

    Attributes:
        key: The key.
        newest: What was seen of its newest generation; None where the key is absent.
        source: The generation to go on from; None where nothing can or need be done.
        problem: What is wrong with the newest one, or with the request; None for a good one.
    """

    key: str
    newest: Look | None
    source: Look | None
    problem: Trouble | None

    @property
    def blocked(self) -> bool:
        """Whether something is wrong, and recovery is no way out."""
        return self.problem is not None and self.source is None


def plan_recovery(key: str, looks: Sequence[Look], target: Target) -> Plan:
    """Decide how to go on with a key. Pure.

    Args:
        key: The key.
        looks: What was seen of its generations, newest first; none for an absent key.
        target: The store.
    """
    if not looks:
        return Plan(key, None, None, trouble(CheckpointNotFoundError(key), target))
    newest, *older = looks
    source = next((seen for seen in older if seen.good), None)
    problem = trouble_with(newest, target, others_good=source is not None)
    recoverable = isinstance(newest.error, CorruptCheckpointError)
    return Plan(key, newest, source if recoverable else None, problem)


def recover(session: Session, keys: Sequence[str], *, yes: bool, dry_run: bool) -> Outcome:
    """Go on from the newest good generation where the newest one is damaged.

    Args:
        session: The run.
        keys: The keys.
        yes: Whether not to ask.
        dry_run: Whether only to say what would be done.

    Raises:
        Refused: Nobody can be asked.
    """
    keys = tuple(dict.fromkeys(keys))
    with open_to_read(session.target) as store:
        plans = [plan_recovery(key, look_at_all(store, key), session.target) for key in keys]
        wanted = [plan for plan in plans if plan.source is not None]
        aside = aside_of(store.path)
        if not dry_run:
            check_owner(session.target, store.path, [plan.key for plan in wanted])
    blocked = any(plan.blocked for plan in plans)
    text = "".join(_plan_text(session, plan, aside) for plan in plans)
    planned = [_plan_document(plan, session.target) for plan in plans]
    if dry_run or not wanted:
        return Outcome(
            BAD if wanted or blocked else FINE,
            text,
            session.document(ok=not wanted and not blocked, dry_run=dry_run, checkpoints=planned),
        )
    if not agreed(session, text, f"Recover {plural(len(wanted), 'checkpoint')}?", yes=yes):
        return Outcome(BAD, NOT_DONE, {})
    parts: list[str] = []
    documents: list[dict[str, Any]] = []
    with open_to_write(session.target) as store:
        for plan, document in zip(plans, planned, strict=True):
            if plan.source is None:
                parts.append(_plan_text(session, plan, aside) if yes else "")
                documents.append(document)
                continue
            part, change = _recover_key(session, store, plan.key)
            parts.append(part)
            documents.append({**document, **change})
    failed = any(document["problem"] and not document["saved_as"] for document in documents)
    return Outcome(
        BAD if failed else FINE,
        "".join(parts),
        session.document(ok=not failed, dry_run=False, checkpoints=documents),
    )


def rollback(session: Session, key: str, generation: int) -> Outcome:
    """Save an older generation's payload, as it is, as a new generation.

    Args:
        session: The run.
        key: The key.
        generation: The generation to go back to.

    Raises:
        CheckpointError: It cannot be read, or not be saved.
        Refused: The store belongs to somebody else.
    """
    with open_to_read(session.target) as store:
        records.read_record(store, key, generation)
        check_owner(session.target, store.path, [key])
    with open_to_write(session.target) as store:
        info = records.rollback(store, key, generation, session.now)
    number = info.generation
    text = f"{session.target.place(key)}: generation {generation} is back as generation {number}\n"
    document = session.document(key=key, restored_from=generation, saved_as=number)
    return Outcome(FINE, text, document)


def remove(session: Session, keys: Sequence[str], *, yes: bool, dry_run: bool) -> Outcome:
    """Remove keys with all their generations.

    Args:
        session: The run.
        keys: The keys.
        yes: Whether not to ask.
        dry_run: Whether only to say what would be removed.

    Raises:
        CheckpointNotFoundError: One of the keys is absent; nothing was removed.
        CheckpointError: One of them could not be removed.
        Refused: Nobody can be asked.
    """
    keys = tuple(dict.fromkeys(keys))
    target = session.target
    with open_to_read(target) as store:
        seen = [_present(store, key) for key in keys]
    text = "".join(_removal_text(session, newest) for newest in seen)
    if dry_run:
        document = session.document(ok=True, dry_run=True, removed=[], problems=[])
        return Outcome(FINE, text, document)
    question = f"Remove {plural(len(keys), 'checkpoint')} for good?"
    if not agreed(session, text, question, yes=yes):
        return Outcome(BAD, NOT_DONE, {})
    removed: list[str] = []
    troubles: list[Trouble] = []
    with open_to_write(target) as store:
        for newest in seen:
            # What was shown is what goes: a newer state has to be looked at first. With --yes
            # nothing was shown, and what is damaged has no number that could be compared.
            expected = newest.generation if newest.error is None and not yes else None
            try:
                store.remove(newest.key, expected=expected)
            except CheckpointError as error:
                troubles.append(trouble(error, target, newest.key))
            else:
                removed.append(newest.key)
    lines = [f"{target.place(key)}: removed\n" for key in removed]
    lines += [each.text() for each in troubles]
    problems = [each.document() for each in troubles]
    return Outcome(
        BAD if troubles else FINE,
        "".join(lines),
        session.document(ok=not troubles, dry_run=False, removed=removed, problems=problems),
    )


def agreed(session: Session, text: str, question: str, *, yes: bool) -> bool:
    """Ask, unless that is not wanted.

    Args:
        session: The run.
        text: What is to be done.
        question: What is asked.
        yes: Whether not to ask.

    Raises:
        Refused: Nobody can be asked.
    """
    if yes:
        return True
    if session.as_json or not can_ask():
        raise Refused(
            "this would have to be confirmed, and nobody can be asked here",
            "see what would be done with --dry-run, then repeat the command with --yes",
            USAGE,
            "Unconfirmed",
        )
    return ask(text, question)


def _recover_key(session: Session, store: Store, key: str) -> tuple[str, dict[str, Any]]:
    """Recover one key; what people read of it, and what programs read."""
    place = session.target.place(key)
    try:
        recovery = records.recover(store, key, session.now)
    except CheckpointError as error:
        problem = trouble(error, session.target, key)
        return problem.text(), {"action": "failed", "problem": problem.document()}
    if recovery.info is None:
        text = f"{place}: another program was quicker; the newest generation is good now\n"
        return text, {"action": "none", "problem": None, "restored_from": None}
    number = recovery.info.generation
    text = f"{place}: generation {recovery.restored_from} is back as generation {number}\n"
    if recovery.evidence is not None:
        text += f"{INDENT}the damaged file is kept as {printable(recovery.evidence)}\n"
    return text, {
        "action": "recovered",
        "restored_from": recovery.restored_from,
        "saved_as": number,
        "evidence": recovery.evidence,
    }


def _plan_text(session: Session, plan: Plan, aside: str) -> str:
    if plan.problem is None:
        return f"{session.target.place(plan.key)}: good, nothing to recover\n"
    if plan.source is None:
        return plan.problem.text()
    return (
        f"{plan.problem.place}: {plan.problem.message}\n"
        f"{INDENT}it will be set aside, to be kept as evidence in {printable(aside)}\n"
        f"{INDENT}generation {plan.source.generation}, saved {_saved(session, plan.source)}, will "
        "be saved anew as the newest\n"
        f"{INDENT}what was saved after it is lost\n"
    )


def _plan_document(plan: Plan, target: Target) -> dict[str, Any]:
    action = "recover" if plan.source is not None else "impossible" if plan.blocked else "none"
    return {
        "scope": list(target.scope),
        "key": plan.key,
        "generation": plan.newest and plan.newest.generation,
        "action": action,
        "problem": plan.problem and plan.problem.document(),
        "restored_from": plan.source and plan.source.generation,
        "saved_as": None,
        "evidence": None,
    }


def _present(store: Store, key: str) -> Look:
    newest = look_at_newest(store, key)
    if newest is None:
        raise CheckpointNotFoundError(key)
    return newest


def _removal_text(session: Session, newest: Look) -> str:
    number = UNKNOWN if newest.generation is None else newest.generation
    header = newest.header
    kind = "" if header is None else f"kind {header.kind}, saved {_saved(session, newest)}"
    state = "" if newest.error is None else state_of(newest)
    return (
        f"{session.target.place(newest.key)}: all generations, the newest is {number}\n"
        f"{INDENT}{', '.join(filter(None, (kind, state)))}\n"
    )


def _saved(session: Session, seen: Look) -> str:
    saved, since = times_of(seen, session.now)
    return f"{saved} ({since})"
