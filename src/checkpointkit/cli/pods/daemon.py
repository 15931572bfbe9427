"""`checkpointkit pods run`: the daemon, its log and its signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointkit.cli.logs import logging_to_stderr
from checkpointkit.cli.outcome import FINE, USAGE, Outcome, Refused
from checkpointkit.cli.pods.arguments import flags_of
from checkpointkit.pods.daemon.serving import serve
from checkpointkit.pods.daemon.settings import read_settings
from checkpointkit.stopping import Stop, handling_signals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


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
