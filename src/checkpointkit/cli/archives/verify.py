"""`checkpointkit archives verify`: whole archives, and the chain of custody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.kept.deletions import KEPT
from checkpointkit.archives.kept.links import check_export
from checkpointkit.archives.model import Archive, State
from checkpointkit.archives.policies import Policy
from checkpointkit.cli.archives.export import write_lines
from checkpointkit.cli.archives.look import looking, open_inventory
from checkpointkit.cli.archives.words import problems_text, taken_ns
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.terminal import Progress
from checkpointkit.cli.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from checkpointkit.archives.kept.custody import Recorded
    from checkpointkit.archives.kept.inventory import Inventory
    from checkpointkit.archives.kept.links import ChainReport, Fault
    from checkpointkit.cli.archives.session import Session

_BAD_STATES: Final = (State.BROKEN, State.UNREADABLE)
_NO_CHAIN: Final = "no digests are recorded; --record records them\n"
_WHOSE: Final = ("spec.dump", "config.dump", "metadata")
"""What tells whose an archive is: what is wrong with that says nothing of the archive's end."""


def verify(session: Session) -> Outcome:
    """Return whether the archives are whole, and those that were recorded.

    Args:
        session: The run.

    Raises:
        CheckpointError: The directory or the state cannot be used.
        Refused: A file cannot be read or written, or what was typed makes no sense.
    """
    if session.arguments.exported is not None:
        return _verify_exported(session, session.arguments.exported)
    directory = session.directory()
    recording = session.arguments.record
    with looking(session, directory, Policy(), write=recording) as (_, look):
        archives = look.scan.archives
    with open_inventory(session, directory, write=recording) as inventory:
        recorded = _record(session, directory, inventory, archives) if recording else None
        report = _check(directory, inventory)
        damaged = inventory.deletions.problems
        exported = _export(session, report, inventory.custody.export())
    bad = [each for each in archives if each.state in _BAD_STATES]
    problems = (
        *(f"{each.name}: {each.state.value}: {each.problem}" for each in bad),
        *(_open_text(each) for each in archives if is_open(each)),
        *(f"{each.name}: it was not recorded: {why}" for each, why in _skipped(recorded)),
        *map(_fault_text, report.faults),
        *damaged,
        *look.problems,
    )
    document = session.document(
        directory,
        ok=not problems,
        archives=len(archives),
        recorded=[] if recorded is None else [link.name for link in recorded.links],
        chain=_report_document(report),
        problems=list(problems),
    )
    status = BAD if problems else FINE
    text = _text(len(archives), recorded, report) + problems_text(problems)
    if exported is not None:  # that alone goes to stdout
        return Outcome(status, exported, document, text)
    return Outcome(status, text, document)


def is_open(archive: Archive) -> bool:
    """Tell whether it is not known if an archive is whole: its end was not looked at.

    Example:
        >>> is_open(Archive(
        ...     name="checkpoint-a.tar", size=1, device=1, inode=1, mtime_ns=1, ctime_ns=1,
        ...     state=State.COMPLETE, problem="it takes too much memory to decompress it",
        ... ))
        True
    """
    if archive.state is not State.COMPLETE or archive.container is not None or not archive.problem:
        return False
    return not any(each in archive.problem for each in _WHOSE)


def _open_text(archive: Archive) -> str:
    return f"{archive.name}: not known whether it is whole: {archive.problem}"


def _check(directory: str, inventory: Inventory) -> ChainReport:
    with ArchiveDirectory.open(directory) as opened, Progress(0, thing="bytes") as progress:
        return inventory.custody.verify(
            opened, inventory.deletions.entries(), progress=progress.step
        )


def _record(
    session: Session, directory: str, inventory: Inventory, archives: tuple[Archive, ...]
) -> Recorded:
    oldest_first = sorted(archives, key=lambda each: taken_ns(each, session.now_ns))
    wanted = [each for each in oldest_first if each.state is State.COMPLETE]
    with ArchiveDirectory.open(directory) as opened, Progress(0, thing="bytes") as progress:
        return inventory.custody.record(opened, wanted, session.now_ns, progress=progress.step)


def _skipped(recorded: Recorded | None) -> tuple[tuple[Archive, str], ...]:
    return () if recorded is None else recorded.skipped


def _export(session: Session, report: ChainReport, lines: Iterator[str]) -> str | None:
    """Write the chain to the file that was named; return it for stdout."""
    path = session.arguments.export
    if path is None:
        return None
    damage = [fault.words for fault in report.faults if fault.rule == "damaged"]
    if damage:
        advice = "see what verify says; an earlier export is still there as it was"
        raise Refused(f"nothing is exported: {damage[0]}", advice, BAD, "DamagedChain")
    if not report.links:
        advice = "record them first, with --record"
        raise Refused("no digests are recorded", advice, USAGE, "NoChain")
    if path == "-":
        return "".join(f"{line}\n" for line in lines)
    try:
        write_lines(path, lines)
    except OSError as error:
        raise Refused(
            f"cannot write {path}: {error.strerror}", "name another file", USAGE, "NoExport"
        ) from error
    return None


def _verify_exported(session: Session, path: str) -> Outcome:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            report = check_export(line.rstrip("\n") for line in file)
    except OSError as error:
        raise Refused(
            f"cannot read {path}: {error.strerror}",
            "name a file that --export has written",
            USAGE,
            "NoExport",
        ) from error
    problems = [*map(_fault_text, report.faults)]
    text = f"{plural(report.links, 'link')}; the last one is {report.last or 'missing'}\n"
    document = session.document(ok=not problems, chain=_report_document(report), problems=problems)
    return Outcome(BAD if problems else FINE, text + problems_text(problems), document)


def _text(archives: int, recorded: Recorded | None, report: ChainReport) -> str:
    text = f"{plural(archives, 'archive')} looked at\n"
    if recorded is not None:
        text += f"{plural(len(recorded.links), 'digest')} recorded\n"
    if not report.links:
        return text + ("" if report.faults else _NO_CHAIN)
    return text + (
        f"{plural(report.links, 'link')} in the chain: {report.matching:,} as recorded, "
        f"{report.deleted:,} deleted by this program\n"
        f"{_notes_text(report.notes)}"
        f"the last link is {printable(report.last)}\n"
    )


def _notes_text(notes: Sequence[Fault]) -> str:
    begun = sum(note.rule == "begun" for note in notes)
    forgotten = len(notes) - begun
    text = ""
    if begun:
        text += f"{plural(begun, 'link')} of what this program had begun to delete, and is gone\n"
    if forgotten:
        text += (
            f"{plural(forgotten, 'link')} of what is gone: a record of the deletion would be "
            f"older than the {KEPT:,} that are kept\n"
        )
    return text


def _fault_text(fault: Fault) -> str:
    return f"{fault.name}: {fault.words}" if fault.name else fault.words


def _report_document(report: ChainReport) -> dict[str, Any]:
    return {
        "links": report.links,
        "last": report.last,
        "matching": report.matching,
        "deleted": report.deleted,
        "faults": [*map(_fault_document, report.faults)],
        "notes": [*map(_fault_document, report.notes)],
    }


def _fault_document(fault: Fault) -> dict[str, Any]:
    return {
        "index": fault.index,
        "name": fault.name or None,
        "rule": fault.rule,
        "words": fault.words,
    }
