"""Durations as Go writes them, `1m30s`: the original's flags have them, and so do Kubernetes' own.

The grammar is that of `time.ParseDuration` (Go 1.24), without a minus: nothing here lasts less than
no time.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["duration_text", "parse_duration"]

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # the micro sign; U+03BC, which looks the same, is taken as well
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SECOND: Final = _UNITS["s"]
_LONGEST: Final = 2**63 - 1
"""Nanoseconds; what Go's own type holds, some 292 years."""
_PART: Final = re.compile(r"(?a:(\d*)(?:\.(\d*))?)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: It is none.

    Example:
        >>> parse_duration("1m30s"), parse_duration("1.5h"), parse_duration("250ms")
        (90.0, 5400.0, 0.25)
        >>> parse_duration("90")
        Traceback (most recent call last):
        ...
        ValueError: '90' is no duration such as 1m30s; its units are h, m, s, ms, us and ns
    """
    rest = text.removeprefix("+")
    if rest == "0":
        return 0.0
    total = 0
    at = 0
    while match := _PART.match(rest, at):
        whole, fraction, unit = match[1], match[2] or "", match[3]
        if not whole and not fraction:
            break
        total += int(whole or "0") * _UNITS[unit]
        total += int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
        at = match.end()
    if not at or at < len(rest) or total > _LONGEST:
        raise ValueError(
            f"{text!r} is no duration such as 1m30s; its units are h, m, s, ms, us and ns"
        )
    return total / _SECOND


def duration_text(seconds: float) -> str:
    """Return a duration as `parse_duration` reads it, to the nanosecond.

    Args:
        seconds: At least 0.

    Example:
        >>> duration_text(90), duration_text(0.25), duration_text(7200), duration_text(0)
        ('1m30s', '0.25s', '2h0m0s', '0s')
    """
    before, after = divmod(seconds, 1)  # exact; a product of both would not be
    whole, nanoseconds = divmod(int(before) * _SECOND + round(after * _SECOND), _SECOND)
    minutes, last = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    text = f"{last}{fraction}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
