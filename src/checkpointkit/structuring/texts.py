"""The codecs of types that are a text (or an int) on the wire: dates, numbers, bytes, paths.

One value has one text, and no other is taken: the text is written again after reading, and has to
be the same. That closes the doors that the parsers of the standard library leave open (UUIDs in
upper case, `20240101` as a date, spaces and underscores in numbers, `a//b` as a path).

This module is imported when a class first needs it: `decimal`, `uuid` and `datetime` are slow.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from checkpointkit.structuring.codecs import Codec, always, check_int, check_str
from checkpointkit.structuring.misfit import Misfit, expected

if TYPE_CHECKING:
    from collections.abc import Callable

_MICROSECOND = timedelta(microseconds=1)


def _text(
    kind: type[Any], shape: str, write: Callable[[Any], str], read: Callable[[str], Any]
) -> Codec:
    def dump(value: Any) -> str:
        if type(value) is not kind:
            raise expected(kind.__name__, value)
        return write(value)

    def load(data: Any, _: Any = None) -> Any:
        text = check_str(data)
        try:
            value = read(text)
        except Exception:  # noqa: BLE001 - ValueError, InvalidOperation, OverflowError
            value = None
        if value is None:
            raise Misfit(f"str that is no {shape}")
        if write(value) != text:
            raise Misfit(f"str that is no {shape} in its canonical form")
        return value

    return Codec(load, dump, always(shape), (str,))


def _write_datetime(value: datetime) -> str:
    zone = value.tzinfo
    if zone is not UTC:
        if zone is None:
            raise Misfit("datetime without a UTC offset")
        # A named zone would come back as a mere offset: its rules would be lost.
        if type(zone) is not timezone or str(zone) != str(timezone(zone.utcoffset(None))):
            raise Misfit("datetime of a named zone; use astimezone(timezone.utc)")
    if value.fold:
        raise Misfit("datetime with fold=1")
    return value.isoformat()


def _write_time(value: time) -> str:
    if value.tzinfo is not None or value.fold:
        raise Misfit("time with a zone or with fold=1")
    return value.isoformat()


def _write_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise Misfit("Decimal that is not finite")
    return str(value).upper()  # the context of the thread decides between "E" and "e"


def _write_path(value: PurePath) -> str:
    return check_str(str(value))  # a name that is not UTF-8 is a str with lone surrogates


def _dump_timedelta(value: Any) -> int:
    if type(value) is not timedelta:
        raise expected("timedelta", value)
    return value // _MICROSECOND


def _load_timedelta(data: Any, _: Any = None) -> timedelta:
    number = check_int(data)
    try:
        return timedelta(microseconds=number)
    except OverflowError:
        pass
    raise Misfit("int that is no timedelta: too large")


CODECS: dict[Any, Codec] = {
    bytes: _text(
        bytes,
        "bytes",
        lambda value: b2a_base64(value, newline=False).decode("ascii"),
        a2b_base64,
    ),
    date: _text(date, "date", date.isoformat, date.fromisoformat),
    datetime: _text(datetime, "datetime", _write_datetime, datetime.fromisoformat),
    time: _text(time, "time", _write_time, time.fromisoformat),
    timedelta: Codec(_load_timedelta, _dump_timedelta, always("timedelta"), (int,)),
    Decimal: _text(Decimal, "decimal", _write_decimal, Decimal),
    UUID: _text(UUID, "uuid", str, UUID),
    PurePosixPath: _text(PurePosixPath, "path", _write_path, PurePosixPath),
    PureWindowsPath: _text(PureWindowsPath, "windows-path", _write_path, PureWindowsPath),
}

_HERE: type[Path] = type(Path())  # PosixPath, or WindowsPath: the other one cannot be made here
_SHAPE = "path" if _HERE is PosixPath else "windows-path"
CODECS[_HERE] = _text(_HERE, _SHAPE, _write_path, _HERE)
CODECS[Path] = CODECS[_HERE]
CODECS[PurePath] = CODECS[type(PurePath())]

BY_SHAPE = {codec.shape(always(None)): codec for codec in CODECS.values()}
"""The codec of each shape: a shape tells a path from a path of Windows, and not who made it."""

FOREIGN_PATH = WindowsPath if _HERE is PosixPath else PosixPath
"""The type of path that this system cannot make."""
