"""`checkpointkit archives usage`: who has how much."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from checkpointkit.archives.model import Level
from checkpointkit.archives.policies import Policy
from checkpointkit.archives.usage import usage
from checkpointkit.cli.archives.arguments import LEVELS
from checkpointkit.cli.archives.look import look_at
from checkpointkit.cli.archives.words import (
    archives_text,
    bar,
    problems_text,
    share_text,
    space_document,
    space_text,
    taken_ns,
    totals_document,
)
from checkpointkit.cli.outcome import BAD, FINE, Outcome
from checkpointkit.cli.text import bytes_text, plural, printable

if TYPE_CHECKING:
    from checkpointkit.archives.usage import Group, Usage
    from checkpointkit.cli.archives.session import Session

_GAP: Final = "  "
_NARROWEST: Final = 12
"""Characters of a name that are shown in any case."""


def show_usage(session: Session) -> Outcome:
    """Return who has how many bytes, by namespace, pod and container.

    Args:
        session: The run.

    Raises:
        CheckpointError: The directory cannot be used.
    """
    by, top = session.arguments.by, session.arguments.top
    directory = session.directory()
    look = look_at(session, directory, Policy())
    scan = look.scan
    found = usage(
        scan.archives,
        moment=partial(taken_ns, now_ns=session.now_ns),
        foreign=scan.foreign,
        foreign_size=scan.foreign_bytes,
    )
    levels = [Level(level) for level in LEVELS if by in {None, level}]
    everything = archives_text(found.totals.archives, found.totals.size)
    parts = [f"{printable(directory)}: {everything}\n", f"file system: {space_text(scan.space)}\n"]
    parts += [_drawn(session, found, level, top) for level in levels]
    parts += [_apart(found), problems_text(look.problems)]
    document = session.document(
        directory,
        space=space_document(scan.space),
        totals=totals_document(found.totals),
        unknown=totals_document(found.unknown),
        broken=totals_document(found.broken),
        unread=totals_document(found.unread),
        pod_checkpoints=totals_document(found.pod_checkpoints),
        other_files={"files": found.foreign, "size": found.foreign_size},
        **{
            f"{level.value}s": [
                {"name": str(group), **totals_document(group.totals)}
                for group in found.groups(level)[:top]
            ]
            for level in levels
        },
        problems=list(look.problems),
    )
    return Outcome(BAD if look.problems else FINE, "".join(parts), document)


def _drawn(session: Session, found: Usage, level: Level, top: int) -> str:
    groups = found.groups(level)
    if not groups:
        return ""
    shown = groups[:top]
    rows = [_cells(session, group, found.totals.size) for group in shown]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if session.width is not None:  # the name gives way, so that the bars stay below one another
        room = session.width - 1 - sum(wide[1:]) - len(_GAP) * (len(wide) - 1)
        wide[0] = min(wide[0], max(room, _NARROWEST))
    lines = [f"\nby {level.value}\n"]
    for name, *cells in rows:
        drawn = [_cut(name, wide[0]).ljust(wide[0])]
        drawn += [
            cell.rjust(width) if at != 1 else cell
            for at, (cell, width) in enumerate(zip(cells, wide[1:], strict=True))
        ]
        lines.append(f"{_GAP.join(drawn).rstrip()}\n")
    if len(groups) > len(shown):
        lines.append(f"and {plural(len(groups) - len(shown), level.value)} more: --top N\n")
    return "".join(lines)


def _cells(session: Session, group: Group, whole: int) -> tuple[str, ...]:
    totals = group.totals
    return (
        printable(str(group)),
        bytes_text(totals.size),
        bar(totals.size, whole, session.encoding),
        share_text(totals.size, whole),
        plural(totals.archives, "archive"),
    )


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 3]}..."


def _apart(found: Usage) -> str:
    lines = [
        f"{what}: {plural(number, thing)}, {bytes_text(size)}\n"
        for what, number, thing, size in (
            ("of unknown identity", found.unknown.archives, "archive", found.unknown.size),
            ("broken, of nobody", found.broken.archives, "archive", found.broken.size),
            ("not read, of nobody", found.unread.archives, "archive", found.unread.size),
            (
                "pod checkpoints",
                found.pod_checkpoints.archives,
                "item",
                found.pod_checkpoints.size,
            ),
            ("other files", found.foreign, "file", found.foreign_size),
        )
        if number
    ]
    return "\n" + "".join(lines) if lines else ""
