"""How the commands on archives write things: times, groups, archives. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.archives.planning.order import UNDATED, moment
from checkpointkit.archives.policies import Order
from checkpointkit.archives.watching.rounds import NO_LEASES
from checkpointkit.cli.text import UNKNOWN, age_text, bytes_text, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from checkpointkit.archives.model import Archive, Container, Space
    from checkpointkit.archives.retention import Look
    from checkpointkit.archives.usage import Totals

NONE: Final = "-"
_EXTRA: Final = "checkpointkit[archives]"
"""What the problem of an archive names that could not be read for want of zstd."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND: Final = 10**9
_PER_CENT: Final = 100
_FULL_BAR: Final = 20


def archives_text(number: int, size: int) -> str:
    """Return how many archives there are, and their bytes.

    Example:
        >>> archives_text(1, 1024)
        '1 archive, 1.0 KiB'
    """
    return f"{plural(number, 'archive')}, {bytes_text(size)}"


def share_text(part: int, whole: int) -> str:
    """Return a part of something in per cent, or nothing of nothing.

    Example:
        >>> share_text(1, 3), share_text(0, 0)
        ('33%', '0%')
    """
    return f"{round(_PER_CENT * part / whole) if whole else 0}%"


def bar(part: int, whole: int, encoding: str) -> str:
    """Return a bar for a part of something, of blocks where the encoding has them.

    Example:
        >>> bar(1, 4, "ascii"), bar(1, 4, "utf-8")
        ('#####...............', '█████░░░░░░░░░░░░░░░')
    """
    filled = min(_FULL_BAR, -(-_FULL_BAR * part // whole)) if whole else 0
    full, empty = "█░"
    try:
        f"{full}{empty}".encode(encoding)
    except UnicodeEncodeError:
        full, empty = "#."
    return full * filled + empty * (_FULL_BAR - filled)


def moment_text(ns: int) -> str:
    """Return a time to the second, in UTC.

    Example:
        >>> moment_text(10**18), moment_text(10**25)
        ('2001-09-09T01:46:40Z', '?')
    """
    try:
        when = _EPOCH + timedelta(seconds=ns // _PER_SECOND)
    except OverflowError:  # after the year 9999
        return UNKNOWN
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def since_text(ns: int, now_ns: int) -> str:
    """Return how long ago a time is.

    Example:
        >>> since_text(0, 7200 * 10**9), since_text(90 * 10**9, 0), since_text(UNDATED, 0)
        ('2 h', 'in 90 s', '?')
    """
    if ns == UNDATED:
        return UNKNOWN
    seconds = (now_ns - ns) / _PER_SECOND
    return f"in {age_text(-seconds)}" if seconds <= -1 else age_text(max(seconds, 0))


def taken_ns(archive: Archive, now_ns: int) -> int:
    """Return when an archive was taken, as far as it can be believed."""
    return moment(archive, Order.CHECKPOINTED, now_ns)


def whose(archive: Archive) -> str:
    """Return whose an archive is; its name where that is not known."""
    known = archive.container
    return printable(archive.name if known is None else str(known))


def space_text(space: Space) -> str:
    """Return how full a file system is."""
    used = space.total - space.free
    return (
        f"{bytes_text(space.total)}, {bytes_text(used)} ({share_text(used, space.total)}) in use, "
        f"{bytes_text(space.free)} free"
    )


def container_document(container: Container | None) -> dict[str, str | None]:
    """Return whose something is, for programs."""
    if container is None:
        return {"namespace": None, "pod": None, "container": None}
    return {
        "namespace": container.namespace,
        "pod": container.pod,
        "container": container.container,
    }


def archive_document(archive: Archive, now_ns: int) -> dict[str, Any]:
    """Return an archive for programs."""
    return {
        "name": archive.name,
        **container_document(archive.container),
        "pod_uid": archive.pod_uid or None,
        "state": archive.state.value,
        "size": archive.size,
        "taken_at": moment_text(taken_ns(archive, now_ns)),
        "modified_at": moment_text(archive.mtime_ns),
        "pins": list(archive.pins),
        "digest": archive.digest or None,
        "problem": archive.problem or None,
    }


def totals_document(totals: Totals) -> dict[str, Any]:
    """Return the totals of a group for programs."""
    oldest, newest = totals.oldest_ns, totals.newest_ns
    return {
        "archives": totals.archives,
        "size": totals.size,
        "pinned": totals.pinned,
        "protected": totals.protected,
        "in_flight": totals.in_flight,
        "broken": totals.broken,
        "oldest_at": None if oldest is None else moment_text(oldest),
        "newest_at": None if newest is None else moment_text(newest),
    }


def space_document(space: Space) -> Mapping[str, int]:
    """Return how full a file system is, for programs."""
    return {"total": space.total, "free": space.free}


def notices(look: Look) -> tuple[str, ...]:
    """Return what is to be known of a look, and is no problem."""
    found = [] if look.scan.leases else [NO_LEASES]
    unread = sum(_EXTRA in archive.problem for archive in look.scan.archives)
    if unread:
        found.append(
            f"{plural(unread, 'archive')} could not be read for want of zstd, and stay: install "
            f"{_EXTRA}"
        )
    return tuple(found)


def problems_text(problems: Iterable[str]) -> str:
    """Return a line for each problem, behind an empty one; nothing where there is none."""
    lines = "".join(f"{printable(problem)}\n" for problem in problems)
    return f"\n{lines}" if lines else ""
