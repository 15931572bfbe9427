"""`checkpointkit archives`: a first look; list, plan, apply, watch, pins, verify, usage."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from checkpointkit.cli.archives.session import Session
from checkpointkit.cli.outcome import USAGE, Outcome, Refused
from checkpointkit.cli.terminal import encoding_of, width_of, write
from checkpointkit.cli.text import INDENT, json_text, printable
from checkpointkit.errors import CheckpointError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name, print what came of it, return the exit status."""
    clock = partial(datetime.now, UTC)
    session = Session(
        arguments, clock(), clock, width_of(sys.stdout), encoding_of(sys.stdout), os.environ
    )
    try:
        outcome = _carry_out(session)
    except Refused as refusal:
        text = f"{printable(refusal.message)}\n{INDENT}next: {printable(refusal.advice)}\n"
        error = {"type": refusal.name, "message": refusal.message, "next": refusal.advice}
        return _fail(session, refusal.status, text, error)
    except CheckpointError as problem:
        error = {"type": type(problem).__name__, "message": str(problem)}
        return _fail(session, USAGE, f"{printable(str(problem))}\n", error)
    if session.as_json:
        _print_document(outcome.document)
        return outcome.status
    write(outcome.text, sys.stdout)
    if outcome.note:
        if sys.stdout is not None:
            sys.stdout.flush()
        write(outcome.note, sys.stderr)
    return outcome.status


def _carry_out(session: Session) -> Outcome:  # noqa: PLR0911 - one for each command
    # each is imported for its command alone: the others have no use for it
    match session.arguments.part:
        case "":
            from checkpointkit.cli.archives import overview  # noqa: PLC0415

            return overview.overview(session)
        case "list":
            from checkpointkit.cli.archives import listing  # noqa: PLC0415

            return listing.list_archives(session)
        case "usage":
            from checkpointkit.cli.archives import usage  # noqa: PLC0415

            return usage.show_usage(session)
        case "forget-cluster":
            from checkpointkit.cli.archives import cluster  # noqa: PLC0415

            return cluster.forget_cluster(session)
        case "verify":
            from checkpointkit.cli.archives import verify  # noqa: PLC0415

            return verify.verify(session)
        case "pin" | "unpin":
            from checkpointkit.cli.archives import pins  # noqa: PLC0415

            return pins.change_pins(session)
        case "watch":
            from checkpointkit.cli.archives import watch  # noqa: PLC0415

            return watch.watch(session)
        case "plan":
            from checkpointkit.cli.archives import plan  # noqa: PLC0415

            return plan.show_plan(session)
        case _:
            from checkpointkit.cli.archives import apply  # noqa: PLC0415

            return apply.carry_out(session)


def _fail(session: Session, status: int, text: str, error: Mapping[str, Any]) -> int:
    if session.as_json:
        _print_document(session.document(error=error))
    else:
        write(f"checkpointkit: {text}", sys.stderr)
    return status


def _print_document(document: Mapping[str, Any]) -> None:
    write(json_text(document, encoding_of(sys.stdout)), sys.stdout)
