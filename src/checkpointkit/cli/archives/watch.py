"""`checkpointkit archives watch`: the policy is kept to until it is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointkit.archives.watching.watch import run_watch
from checkpointkit.cli.archives.look import lookup_of
from checkpointkit.cli.archives.policy import choose, duration
from checkpointkit.cli.logs import logging_to_stderr
from checkpointkit.cli.outcome import FINE, USAGE, Outcome, Refused
from checkpointkit.errors import MissingExtraError
from checkpointkit.stopping import Stop, handling_signals

if TYPE_CHECKING:
    from checkpointkit.cli.archives.session import Session


def watch(session: Session) -> Outcome:
    """Keep to the policy until SIGTERM or Ctrl-C.

    Args:
        session: The run.

    Raises:
        CheckpointError: It cannot start.
        Refused: What was typed makes no sense.
    """
    arguments = session.arguments
    chosen = choose(arguments)
    settle, interval = duration(arguments, "settle"), duration(arguments, "interval")
    stop = Stop()
    with lookup_of(arguments) as lookup, logging_to_stderr(), handling_signals(stop):
        try:
            run_watch(
                session.directory(chosen.directory),
                chosen.policy,
                state=arguments.state,
                stop=stop,
                settle=settle,
                interval=interval,
                poll=arguments.poll,
                lookup=lookup,
                dry_run=arguments.dry_run,
                notes=chosen.notes,
            )
        except MissingExtraError as error:
            raise Refused(
                str(error), "install it, or give --poll", USAGE, type(error).__name__
            ) from error
    return Outcome(FINE, "", {})
