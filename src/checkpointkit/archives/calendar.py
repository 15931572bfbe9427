"""The hours, days, weeks, months and years of a time zone that keep rules speak of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from checkpointkit.archives.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo

__all__ = ["PERIODS", "local_time", "zone_of"]

_SECOND: Final = 10**9
# A stamp of the year 1 (the zero of Go's clock) has no local time in zones west of Greenwich.
_FIRST: Final = int(datetime(2, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(9998, 1, 1, tzinfo=UTC).timestamp())


def _hour(moment: datetime) -> int:
    # An hour that the clock shows twice is two hours: `fold` is 1 in the second.
    return (moment.toordinal() * 24 + moment.hour) * 2 + moment.fold


def _week(moment: datetime) -> int:
    year, week, _ = moment.isocalendar()
    return year * 100 + week


def _month(moment: datetime) -> int:
    return moment.year * 12 + moment.month


def _year(moment: datetime) -> int:
    return moment.year


PERIODS: Final[Mapping[str, Callable[[datetime], int]]] = {
    "keep-hourly": _hour,
    "keep-daily": datetime.toordinal,
    "keep-weekly": _week,
    "keep-monthly": _month,
    "keep-yearly": _year,
}
"""By the name of the rule: a number that is the same for all local times of one period alone."""


def zone_of(name: str) -> tzinfo:
    """Return a time zone.

    Args:
        name: Its name in the IANA database, or `UTC`.

    Raises:
        PolicyError: There is none of that name.

    Example:
        >>> zone_of("UTC")
        datetime.timezone.utc
    """
    if name == "UTC":
        return UTC  # which takes no database
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        reason = (
            f"no time zone {name!r} is known here; write one like Europe/Berlin, or UTC"
            " (a machine that knows none at all needs tzdata: the system's package, or that of pip)"
        )
        raise PolicyError("timezone", reason) from error


def local_time(moment_ns: int, zone: tzinfo) -> datetime:
    """Return what the clocks of a zone show, whole seconds; years below 2 and above 9997 as those.

    Args:
        moment_ns: Nanoseconds since 1970.
        zone: The time zone.

    Example:
        >>> local_time(0, UTC).isoformat()
        '1970-01-01T00:00:00+00:00'
    """
    seconds = min(max(moment_ns // _SECOND, _FIRST), _LAST)
    return datetime.fromtimestamp(seconds, zone)
