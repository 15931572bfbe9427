"""`checkpointkit archives pin` and `unpin`: who wants an archive kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from checkpointkit.archives.disk import pins
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.cli.archives.words import problems_text
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.text import printable

if TYPE_CHECKING:
    from checkpointkit.archives.disk.pins import Pinned
    from checkpointkit.cli.archives.session import Session


def change_pins(session: Session) -> Outcome:
    """Pin archives, or take a pin off them; what cannot be done with one is told.

    Args:
        session: The run.

    Raises:
        CheckpointError: A directory cannot be opened.
        Refused: A path names no file.
    """
    lines: list[str] = []
    documents: list[dict[str, Any]] = []
    problems: list[str] = []
    for path in session.arguments.archives:
        place, name = os.path.split(path)
        if name in {"", ".", ".."} or "\0" in path:
            raise Refused(
                f"{path} is no archive", "name a file: DIR/checkpoint-....tar", USAGE, "NoArchive"
            )
        with ArchiveDirectory.open(place or ".") as directory:
            try:
                found = _change(session, directory, name)
            except pins.PinError as error:
                problem = str(error)
                problems.append(problem)
                documents.append(_document(directory, name, None, problem))
            else:
                lines.append(f"{printable(name)}: {_words(session, found)}\n")
                documents.append(_document(directory, name, found, None))
    text = "".join(lines) + problems_text(problems).removeprefix("" if lines else "\n")
    return Outcome(
        BAD if problems else FINE, text, session.document(ok=not problems, archives=documents)
    )


def _change(session: Session, directory: ArchiveDirectory, name: str) -> Pinned:
    owner = session.arguments.owner
    if session.arguments.part == "pin":
        return pins.pin(directory, name, owner)
    return pins.unpin(directory, name, owner, force=session.arguments.force)


def _words(session: Session, found: Pinned) -> str:
    owners = printable(", ".join(found.owners))
    if session.arguments.part == "pin":
        return f"pinned by {owners}" + ("" if found.changed else "; it was so before")
    if not found.owners:
        return "no longer pinned" if found.changed else "it was not pinned"
    changed = "" if found.changed else f"{printable(session.arguments.owner)} did not pin it; "
    return f"{changed}still pinned by {owners}"


def _document(
    directory: ArchiveDirectory, name: str, found: Pinned | None, problem: str | None
) -> dict[str, Any]:
    return {
        "directory": directory.path,
        "name": name,
        "pins": None if found is None else list(found.owners),
        "changed": found is not None and found.changed,
        "problem": problem,
    }
