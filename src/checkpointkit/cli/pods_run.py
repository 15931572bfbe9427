"""`checkpointkit pods run`: the daemon, its log and its signals."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from checkpointkit.cli.outcome import FINE, USAGE, Outcome, Refused
from checkpointkit.cli.pods_arguments import flags_of
from checkpointkit.cli.text import printable
from checkpointkit.pods.daemon.serving import serve
from checkpointkit.pods.daemon.settings import read_settings
from checkpointkit.stopping import Stop, handling_signals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

_log: Final = logging.getLogger("checkpointkit")


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Outcome:
    """Run the daemon until it is told to stop.

    Args:
        arguments: What was typed.
        environment: The environment.

    Raises:
        Refused: What was typed makes no sense.
        CheckpointError: It cannot start.
    """
    try:
        settings = read_settings(flags_of(arguments), environment)
    except ValueError as error:
        advice = "see checkpointkit pods run --help"
        raise Refused(str(error), advice, USAGE, "BadSettings") from error
    stop = Stop()
    with logging_to_stderr(), handling_signals(stop):
        serve(settings, stop)
    return Outcome(FINE, "", {})


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
