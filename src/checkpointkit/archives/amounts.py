"""Sizes, durations and shares as people write them in a policy, and as they read them.

Each text is read in one way or refused: what another program would read differently is refused
with what to write instead. What a `..._text` writes is read back as the same.

- A size is a Kubernetes quantity (`10Gi` is 2**30, `10G` is 10**9), with its binary units also as
  `10 GiB`; a bare number is bytes. `GB` is refused: half the world means `Gi`.
- A duration has the units `y` (365 days), `w`, `d`, `h`, `min` and `s`, the larger ones first:
  `14d`, `1d12h`, `1.5h`. Go's `m` is minutes and restic's is months, so `m` is taken in Go's way
  beside hours or seconds alone, as in `1h30m` and `1m30s`; months and years of the calendar are
  what `keepMonthly` and `keepYearly` are for.
- A share is a percentage of the file system, `80%`, or a size.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.policies import Percent
from checkpointkit.kubernetes.quantity import parse_quantity

__all__ = [
    "LARGEST_COUNT",
    "LARGEST_SIZE",
    "LONGEST",
    "duration_text",
    "parse_duration",
    "parse_share",
    "parse_size",
    "quantity_text",
    "share_text",
    "size_text",
]

LARGEST_COUNT: Final = 2**31 - 1
"""The largest number of archives that a rule may name."""
LARGEST_SIZE: Final = 2**63 - 1
"""The largest size in bytes; no file system has larger files."""
LONGEST: Final = timedelta(days=365 * 1000)
"""The longest duration: a thousand years."""

_LONGEST_TEXT: Final = 64
_SECONDS: Final = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "min": 60, "s": 1}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(y|w|d|h|min|m|s)", re.ASCII)
_BINARY_UNIT: Final = re.compile(r"(\d+(?:\.\d+)?) ?([KMGTPE]i)B|(\d+) ?B", re.ASCII)
_DECIMAL_UNIT: Final = re.compile(r"[+-]?[\d.]+ ?(?:[kKMGTPE]|)[bB]", re.ASCII)
_OCTAL: Final = re.compile(r"[+-]?0[0-9]")
"""What begins with a zero is octal to some."""
_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?) ?%", re.ASCII)
_BINARY: Final = tuple((2 ** (10 * power), f"{unit}i") for power, unit in enumerate("KMGTPE", 1))
_DECIMAL: Final = tuple((10 ** (3 * power), unit) for power, unit in enumerate("kMGTPE", 1))
_DIGITS_AFTER: Final = 1000
"""A size is written with three digits after the point at most."""


def parse_size(value: str | int, where: str = "size") -> int:
    """Return a size in bytes.

    Args:
        value: The text; a number is bytes.
        where: The rule, for the error.

    Raises:
        PolicyError: It is none, or not at least one byte, or too large.

    Example:
        >>> parse_size("10Gi"), parse_size("1.5 GiB"), parse_size("20k"), parse_size(4096)
        (10737418240, 1610612736, 20000, 4096)
        >>> parse_size("10 GB")
        Traceback (most recent call last):
        ...
        checkpointkit.archives.errors.PolicyError: size: GB may mean 10**9 or 2**30 bytes; write \
10G or 10Gi, for example
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PolicyError(where, "is no size; write 10Gi, for example")
    text = str(value) if isinstance(value, str) or abs(value) <= LARGEST_SIZE else "1e99"
    size = None if len(text) > _LONGEST_TEXT else _bytes(text, where)
    if size is None:
        raise PolicyError(where, "is no size; write 10Gi, 500M or a number of bytes, for example")
    if size <= 0:
        raise PolicyError(where, "has to be above 0; write none to switch the rule off")
    if size > LARGEST_SIZE:
        raise PolicyError(where, "is larger than any file system; write none for no limit")
    if size.denominator != 1:
        raise PolicyError(
            where, "is no whole number of bytes; m is a thousandth, and M is a million"
        )
    return int(size)


def size_text(size: int) -> str:
    """Return a size for people, exactly, so that `parse_size` reads the same.

    Args:
        size: In bytes, at least 0.

    Example:
        >>> size_text(3 * 2**29), size_text(20_000), size_text(1_234_567)
        ('1.5 GiB', '20k', '1234567 B')
    """
    number, unit = _shortest(size)
    if not unit:
        return f"{number} B"
    return f"{number} {unit}B" if unit.endswith("i") else f"{number}{unit}"


def quantity_text(size: int) -> str:
    """Return a size as a Kubernetes quantity, exactly.

    Args:
        size: In bytes, at least 0.

    Example:
        >>> quantity_text(3 * 2**29), quantity_text(20_000), quantity_text(511)
        ('1.5Gi', '20k', '511')
    """
    return "".join(_shortest(size))


def parse_duration(value: str, where: str = "duration") -> timedelta:
    """Return a duration.

    Args:
        value: The text.
        where: The rule, for the error.

    Raises:
        PolicyError: It is none, or can be read in two ways, or is 0 or too long.

    Example:
        >>> parse_duration("14d"), parse_duration("1h30m") == parse_duration("1.5h")
        (datetime.timedelta(days=14), True)
        >>> parse_duration("6m")
        Traceback (most recent call last):
        ...
        checkpointkit.archives.errors.PolicyError: duration: m may mean minutes or months; write \
min for minutes, and months in days, as 180d
    """
    if not isinstance(value, str):
        raise PolicyError(where, "is no duration: it has no unit; write 14d, 12h or 90s")
    parts = [] if len(value) > _LONGEST_TEXT else _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise PolicyError(where, _no_duration(value))
    units = [unit for _, unit in parts]
    if "m" in units:
        units = _minutes(units, where)
    ranks = [list(_SECONDS).index(unit) for unit in units]
    if ranks != sorted(set(ranks)):
        raise PolicyError(where, "has each unit once, and the larger ones first, as in 1d12h")
    seconds = sum(
        Fraction(number) * _SECONDS[unit] for (number, _), unit in zip(parts, units, strict=True)
    )
    if not seconds:
        raise PolicyError(where, "has to be above 0; write none to switch the rule off")
    if seconds > LONGEST // timedelta(seconds=1):
        raise PolicyError(where, "is longer than a thousand years; write none for no limit")
    microseconds = Fraction(seconds) * 10**6
    if microseconds.denominator != 1:
        raise PolicyError(where, "is finer than a microsecond; write fewer digits")
    return timedelta(microseconds=int(microseconds))


def duration_text(duration: timedelta) -> str:
    """Return a duration for people, exactly, so that `parse_duration` reads the same.

    Args:
        duration: At least 0.

    Example:
        >>> duration_text(timedelta(days=14)), duration_text(timedelta(seconds=5400))
        ('14d', '1h30min')
        >>> duration_text(timedelta(milliseconds=1500)), duration_text(timedelta(0))
        ('1.5s', '0s')
    """
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{duration.microseconds:06}".rstrip("0") if duration.microseconds else ""
    parts = [
        f"{number}{unit}"
        for number, unit in ((duration.days, "d"), (hours, "h"), (minutes, "min"))
        if number
    ]
    if seconds or fraction or not parts:
        parts.append(f"{seconds}{fraction}s")
    return "".join(parts)


def parse_share(value: str | int, where: str = "share") -> Percent | int:
    """Return a share of the file system, or a size in bytes.

    Args:
        value: The text; a number is bytes.
        where: The rule, for the error.

    Raises:
        PolicyError: It is neither.

    Example:
        >>> parse_share("80%"), parse_share("10Gi")
        (Percent(value=80.0), 10737418240)
    """
    if not isinstance(value, str) or "%" not in value:
        return parse_size(value, where)
    match = _SHARE.fullmatch(value) if len(value) <= _LONGEST_TEXT else None
    if match is None:
        raise PolicyError(where, "is no share; write 80%, for example")
    if not 0 < (percent := float(match[1])) < 100:  # noqa: PLR2004 - per cent
        raise PolicyError(where, "has to be above 0% and below 100%; write none to switch it off")
    return Percent(percent)


def share_text(share: Percent | int) -> str:
    """Return a share as `parse_share` reads it.

    Example:
        >>> share_text(Percent(80.0)), share_text(Percent(12.5)), share_text(2**30)
        ('80%', '12.5%', '1Gi')
    """
    if isinstance(share, Percent):
        text = f"{Decimal(repr(float(share.value))):f}"
        return f"{text.removesuffix('.0')}%"
    return quantity_text(share)


def _bytes(text: str, where: str) -> Fraction | None:
    if _OCTAL.match(text):
        return None
    match = _BINARY_UNIT.fullmatch(text)
    if match is not None:
        return parse_quantity(f"{match[1]}{match[2]}" if match[1] else match[3])
    if _DECIMAL_UNIT.fullmatch(text):
        raise PolicyError(where, "GB may mean 10**9 or 2**30 bytes; write 10G or 10Gi, for example")
    return parse_quantity(text)


def _shortest(size: int) -> tuple[str, str]:
    """Return the number with the fewest digits that is exact, and its unit."""
    best, digits = (str(size), ""), len(str(size))
    for worth, unit in (*_BINARY, *_DECIMAL):
        if size >= worth and not size * _DIGITS_AFTER % worth:
            whole, rest = divmod(size * _DIGITS_AFTER // worth, _DIGITS_AFTER)
            number = f"{whole}.{rest:03}".rstrip("0").rstrip(".")
            if len(number) < digits:
                best, digits = (number, unit), len(number)
    return best


def _minutes(units: list[str], where: str) -> list[str]:
    """Take `m` for minutes where nobody reads months: beside hours or seconds."""
    at = units.index("m")
    if units[at - 1 : at] != ["h"] and units[at + 1 : at + 2] != ["s"]:
        raise PolicyError(
            where,
            "m may mean minutes or months; write min for minutes, and months in days, as 180d",
        )
    return ["min" if unit == "m" else unit for unit in units]


def _no_duration(text: str) -> str:
    if text.startswith("-"):
        return "has to be above 0; write none to switch the rule off"
    if text.isdecimal():
        return "is no duration: it has no unit; write 14d, 12h or 90s"
    return "is no duration; its units are y, w, d, h, min and s; write 14d or 1d12h, for example"
