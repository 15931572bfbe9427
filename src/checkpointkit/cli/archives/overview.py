"""`checkpointkit archives DIR`: what a person asks first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from checkpointkit.archives.model import Level, State
from checkpointkit.archives.usage import usage
from checkpointkit.cli.archives.look import look_at
from checkpointkit.cli.archives.plan import plan_document, plan_words, status_of, unmet_text
from checkpointkit.cli.archives.policy import choose
from checkpointkit.cli.archives.words import (
    NONE,
    archives_text,
    notices,
    problems_text,
    share_text,
    since_text,
    space_document,
    space_text,
    taken_ns,
    totals_document,
)
from checkpointkit.cli.outcome import Outcome
from checkpointkit.cli.text import INDENT, bytes_text, fields, plural, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from checkpointkit.archives.retention import Look
    from checkpointkit.archives.usage import Totals, Usage
    from checkpointkit.cli.archives.policy import Chosen
    from checkpointkit.cli.archives.session import Session

_TOP: Final = 5
_COLUMNS: Final = ("CONTAINER", "ARCHIVES", "SIZE", "SHARE", "OLDEST", "NEWEST")
_NUMBERS: Final = ("ARCHIVES", "SIZE", "SHARE", "OLDEST", "NEWEST")


def overview(session: Session) -> Outcome:
    """Return the disk, who has how much, what is special, and what the policy would delete.

    Args:
        session: The run.

    Raises:
        CheckpointError: The directory or the policy cannot be used.
    """
    chosen = choose(session.arguments)
    directory = session.directory(chosen.directory)
    look = look_at(session, directory, chosen.policy)
    found = usage(
        look.scan.archives,
        moment=partial(taken_ns, now_ns=session.now_ns),
        foreign=look.scan.foreign,
        foreign_size=look.scan.foreign_bytes,
    )
    parts = [
        f"{printable(directory)}\n",
        _amounts(look, found),
        _top(session, directory, found),
        _special(chosen, look, found),
        _planned(session, directory, chosen, look),
        unmet_text(look.plan),
        problems_text((*notices(look), *look.problems)),
    ]
    groups = found.groups(Level.CONTAINER)
    document = session.document(
        directory,
        space=space_document(look.scan.space),
        totals=totals_document(found.totals),
        unknown=totals_document(found.unknown),
        broken=totals_document(_state(look, State.BROKEN)),
        pod_checkpoints=totals_document(found.pod_checkpoints),
        other_files={"files": found.foreign, "size": found.foreign_size},
        containers=len(groups),
        top=[{"name": str(group), **totals_document(group.totals)} for group in groups[:_TOP]],
        plan=plan_document(look.plan, session.now_ns, archives=False),
        leases=look.scan.leases,
        problems=list(look.problems),
    )
    return Outcome(status_of(look, overview=True), "".join(parts), document)


def _amounts(look: Look, found: Usage) -> str:
    totals, space = found.totals, look.scan.space
    share = share_text(totals.size, space.total)
    pairs = [
        ("file system", space_text(space)),
        ("archives", f"{archives_text(totals.archives, totals.size)}, {share} of it"),
    ]
    if found.foreign:
        others = f"{plural(found.foreign, 'file')}, {bytes_text(found.foreign_size)}, left alone"
        pairs.append(("other files", others))
    return fields(pairs)


def _top(session: Session, directory: str, found: Usage) -> str:
    groups = found.groups(Level.CONTAINER)
    if not groups:
        return ""
    rows = [
        (
            printable(str(group)),
            f"{group.totals.archives:,}",
            bytes_text(group.totals.size),
            share_text(group.totals.size, found.totals.size),
            _since(group.totals.oldest_ns, session),
            _since(group.totals.newest_ns, session),
        )
        for group in groups[:_TOP]
    ]
    text = "\n" + table(_COLUMNS, rows, numbers=_NUMBERS, width=session.width)
    more = len(groups) - len(rows)
    if more:
        text += (
            f"and {plural(more, 'container')} more: checkpointkit archives usage"
            f"{session.typed(directory)}\n"
        )
    return text


def _since(ns: int | None, session: Session) -> str:
    return NONE if ns is None else since_text(ns, session.now_ns)


def _special(chosen: Chosen, look: Look, found: Usage) -> str:
    pairs = list(_kinds(chosen, look, found))
    return "\n" + fields(pairs) if pairs else ""


def _kinds(chosen: Chosen, look: Look, found: Usage) -> Iterator[tuple[str, str]]:
    quarantined = chosen.policy.quarantine is not None
    broken = "the policy's quarantine says how many are kept" if quarantined else "they are kept"
    for name, totals, words in (
        ("pinned", _pinned(look), "no rule deletes them"),
        ("unknown", found.unknown, "nobody knows whose they are: they are kept"),
        ("in flight", _state(look, State.IN_FLIGHT), "they may still be written"),
        ("broken", _state(look, State.BROKEN), f"no whole archives: {broken}"),
        ("unreadable", _state(look, State.UNREADABLE), "they could not be read: they are kept"),
        ("pod checkpoints", found.pod_checkpoints, "the kubelet's own: they are kept"),
    ):
        if totals.archives:
            yield name, f"{archives_text(totals.archives, totals.size)}; {words}"


def _pinned(look: Look) -> Totals:
    return usage(each for each in look.scan.archives if each.pins).totals


def _state(look: Look, state: State) -> Totals:
    return usage(each for each in look.scan.archives if each.state is state).totals


def _planned(session: Session, directory: str, chosen: Chosen, look: Look) -> str:
    text = f"\n{chosen.words} would delete {plan_words(look.plan)}\n"
    typed = f"{chosen.typed}{session.typed(directory, lookup=True)}"
    if look.plan.deletions:
        text += f"{INDENT}see which: checkpointkit archives plan{typed}\n"
        text += f"{INDENT}delete them: checkpointkit archives apply{typed}\n"
    else:
        text += f"{INDENT}see why each is kept: checkpointkit archives plan --all{typed}\n"
    return text
