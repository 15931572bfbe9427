"""`checkpointkit archives list`: the archives, or what was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from checkpointkit.archives.model import State
from checkpointkit.archives.policies import Policy
from checkpointkit.cli.archives.arguments import LEVELS
from checkpointkit.cli.archives.look import look_at, open_inventory
from checkpointkit.cli.archives.words import (
    NONE,
    archive_document,
    archives_text,
    container_document,
    moment_text,
    problems_text,
    since_text,
    taken_ns,
    whose,
)
from checkpointkit.cli.outcome import BAD, FINE, Outcome
from checkpointkit.cli.text import bytes_text, plural, printable, table

if TYPE_CHECKING:
    import argparse

    from checkpointkit.archives.kept.deletions import Deletion
    from checkpointkit.archives.model import Archive
    from checkpointkit.cli.archives.session import Session

_COLUMNS: Final = ("ARCHIVE", "AGE", "SIZE", "STATE", "PINS", "PROBLEM")
_LONG: Final = ("ARCHIVE", "TAKEN", "AGE", "SIZE", "STATE", "PINS", "NAME", "PROBLEM")
_DELETED: Final = ("ARCHIVE", "DELETED", "SIZE", "RULE", "OUTCOME", "WHY")
_OPEN: Final = "not known"
_NUMBERS: Final = ("AGE", "SIZE")


def list_archives(session: Session) -> Outcome:
    """Return the archives, or what was deleted.

    Args:
        session: The run.

    Raises:
        CheckpointError: The directory cannot be used.
    """
    directory = session.directory()
    if session.arguments.deleted:
        return _list_deleted(session, directory)
    look = look_at(session, directory, Policy())
    chosen = [each for each in look.scan.archives if _is_wanted(each, session.arguments)]
    chosen = _sorted(chosen, session)
    names = _LONG if session.arguments.long else _COLUMNS
    rows = [_cells(each, session) for each in chosen]
    text = table(names, rows, numbers=_NUMBERS, width=session.width) if rows else ""
    size = sum(each.size for each in chosen)
    document = session.document(
        directory,
        archives=[archive_document(each, session.now_ns) for each in chosen],
        problems=list(look.problems),
    )
    return Outcome(
        BAD if look.problems else FINE,
        text + problems_text(look.problems),
        document,
        f"({archives_text(len(chosen), size)})\n" if session.width is not None or not rows else "",
    )


def _is_wanted(archive: Archive, arguments: argparse.Namespace) -> bool:
    own = archive.container
    for level in LEVELS:
        wanted = getattr(arguments, level)
        if wanted is not None and (own is None or getattr(own, level) != wanted):
            return False
    match arguments.only:
        case None:
            return True
        case "pinned":
            return bool(archive.pins)
        case "unknown":
            return own is None
        case state:
            return archive.state is State(state.replace("-", " "))


def _sorted(archives: list[Archive], session: Session) -> list[Archive]:
    match session.arguments.sort:
        case "name":
            return archives  # as the scan has them
        case "size":
            return sorted(archives, key=lambda each: -each.size)
        case _:
            return sorted(archives, key=lambda each: -taken_ns(each, session.now_ns))


def _cells(archive: Archive, session: Session) -> tuple[str, ...]:
    taken = taken_ns(archive, session.now_ns)
    cells = {
        "ARCHIVE": whose(archive),
        "TAKEN": moment_text(taken),
        "AGE": since_text(taken, session.now_ns),
        "SIZE": bytes_text(archive.size),
        "STATE": archive.state.value,
        "PINS": printable(", ".join(archive.pins)) or NONE,
        "NAME": printable(archive.name),
        "PROBLEM": printable(archive.problem),
    }
    return tuple(cells[name] for name in (_LONG if session.arguments.long else _COLUMNS))


# ---------------------------------------------------------------------------- what was deleted


def _list_deleted(session: Session, directory: str) -> Outcome:
    with open_inventory(session, directory) as inventory:
        entries = inventory.deletions.entries()
        deletions = [each for each in entries if _is_of(each, session.arguments)]
        problems = inventory.deletions.problems
    rows = [
        (
            printable(str(each.container or each.name)),
            moment_text(each.at_ns),
            bytes_text(each.size),
            each.rule,
            each.outcome or _OPEN,
            printable(each.words),
        )
        for each in deletions
    ]
    text = table(_DELETED, rows, numbers=_NUMBERS, width=session.width) if rows else ""
    document = session.document(
        directory, deleted=[_document(each) for each in deletions], problems=list(problems)
    )
    return Outcome(
        BAD if problems else FINE,
        text + problems_text(problems).removeprefix("" if rows else "\n"),
        document,
        "" if rows else f"({plural(0, 'deletion')})\n",
    )


def _is_of(deletion: Deletion, arguments: argparse.Namespace) -> bool:
    own = deletion.container
    return all(
        getattr(arguments, level) is None
        or (own is not None and getattr(own, level) == getattr(arguments, level))
        for level in LEVELS
    )


def _document(deletion: Deletion) -> dict[str, Any]:
    return {
        "name": deletion.name,
        **container_document(deletion.container),
        "size": deletion.size,
        "rule": deletion.rule,
        "words": deletion.words,
        "deleted_at": moment_text(deletion.at_ns),
        "outcome": deletion.outcome or None,
    }
