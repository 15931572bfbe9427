"""Which archive is older: whole nanoseconds since 1970, and by which of its stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import State
from checkpointkit.archives.policies import Order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointkit.archives.model import Archive

__all__ = ["AHEAD_NS", "UNDATED", "by_name", "moment", "moments", "nanoseconds", "since_1970"]

AHEAD_NS: Final = 5 * 60 * 10**9
"""How far ahead of now a stamp may be; clocks differ a little."""
UNDATED: Final = -(2**100)
"""The moment of an archive whose stamps all lie ahead: nobody knows it, and any other is later."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BROKEN: Final = State.BROKEN


def nanoseconds(length: timedelta) -> int:
    """Return a length of time in nanoseconds, exactly.

    Example:
        >>> nanoseconds(timedelta(seconds=1.5))
        1500000000
    """
    return length // _MICROSECOND * 1000


def since_1970(now: datetime) -> int:
    """Return a time in nanoseconds since 1970, exactly.

    Raises:
        PolicyError: It has no time zone, so that nobody knows when it was.

    Example:
        >>> since_1970(datetime(1970, 1, 2, tzinfo=UTC))
        86400000000000
    """
    if now.tzinfo is None:
        raise PolicyError("now", "it has no time zone; write datetime.now(UTC)")
    return nanoseconds(now - _EPOCH)


def moment(archive: Archive, order: Order, now_ns: int) -> int:
    """Return when an archive was taken, in nanoseconds since 1970.

    As it says itself, else as its name says, else when it was written. Of a broken archive the last
    alone is looked at. Stamps more than five minutes ahead of now are passed over; where that
    leaves none, the archive is `UNDATED`, and protected until the clock is there: a clock that was
    ahead and one that was set back leave the same stamps, so it may be the newest or the oldest. In
    the order of the operator, by mtime, a stamp is taken as it is.

    Args:
        archive: The archive.
        order: Which stamps are looked at.
        now_ns: The time, in nanoseconds since 1970.

    Example:
        >>> from checkpointkit.archives.model import Archive, State
        >>> archive = Archive(
        ...     name="a.tar",
        ...     size=1,
        ...     device=1,
        ...     inode=1,
        ...     mtime_ns=9,
        ...     ctime_ns=9,
        ...     state=State.COMPLETE,
        ...     checkpointed_ns=7,
        ... )
        >>> moment(archive, Order.CHECKPOINTED, 0)
        7
        >>> moment(archive, Order.CHECKPOINTED, -AHEAD_NS) == UNDATED
        True
    """
    return moments((archive,), order, now_ns)[0]


def moments(archives: Iterable[Archive], order: Order, now_ns: int) -> list[int]:
    """Return when each of some archives was taken (`moment`)."""
    if order is Order.MTIME:
        return [archive.mtime_ns for archive in archives]
    latest = now_ns + AHEAD_NS
    # In one expression, for there may be a million of them.
    return [
        taken
        if not (broken := archive.state is _BROKEN)
        and (taken := archive.checkpointed_ns) is not None
        and taken <= latest
        else named
        if not broken and (named := archive.named_ns) is not None and named <= latest
        else written
        if (written := archive.mtime_ns) <= latest
        else UNDATED
        for archive in archives
    ]


def by_name(archives: Iterable[Archive]) -> list[Archive]:
    """Return archives sorted by the bytes of their names, which is a total order of a directory."""
    found = list(archives)
    names = [archive.name for archive in found]
    if "".join(names).isascii():
        found.sort(key=_name)
    else:
        found.sort(key=_name_bytes)
    return found


def _name(archive: Archive) -> str:
    return archive.name


def _name_bytes(archive: Archive) -> bytes:
    return archive.name.encode("utf-8", "surrogateescape")
