"""What the library logs, on stderr: for the commands that run until they are told to stop."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from checkpointkit.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_log: Final = logging.getLogger("checkpointkit")


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Print what the library logs, a line each, as long as the block lasts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.setLevel(level)
        _log.removeHandler(handler)


class _Formatter(logging.Formatter):
    """Times are those of UTC, and a line stays one, whatever is in it."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @staticmethod
    def converter(seconds: float | None = None) -> time.struct_time:
        """Return a time as that of UTC."""
        return time.gmtime(seconds)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base has it
        """Return the line."""
        return printable(super().formatMessage(record))
