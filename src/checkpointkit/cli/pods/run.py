"""`checkpointkit pods`: run, status, sanitize."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli.outcome import USAGE, Outcome, Refused
from checkpointkit.cli.terminal import encoding_of, width_of, write
from checkpointkit.cli.text import INDENT, json_text, printable
from checkpointkit.errors import CheckpointError

if TYPE_CHECKING:
    import argparse

_FORMAT: Final = 1
"""Goes up if a name in a document is taken away or changes its meaning; new names may come."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name, print what came of it, return the exit status."""
    as_json = getattr(arguments, "json", False)
    name = f"pods {arguments.part}"
    try:
        outcome = _carry_out(arguments)
    except Refused as refusal:
        text = f"{printable(refusal.message)}\n{INDENT}next: {refusal.advice}\n"
        error = {"type": refusal.name, "message": refusal.message, "next": refusal.advice}
        return _fail(name, refusal.status, text, error, as_json=as_json)
    except CheckpointError as problem:
        error = {"type": type(problem).__name__, "message": str(problem)}
        return _fail(name, USAGE, f"{printable(str(problem))}\n", error, as_json=as_json)
    if as_json:
        _print_document(name, outcome.document)
        return outcome.status
    write(outcome.text, sys.stdout)
    if outcome.note:
        if sys.stdout is not None:
            sys.stdout.flush()
        write(outcome.note, sys.stderr)
    return outcome.status


def _carry_out(arguments: argparse.Namespace) -> Outcome:
    # each is imported for its command alone: the others have no use for it
    match arguments.part:
        case "sanitize":
            from checkpointkit.cli.pods import sanitize  # noqa: PLC0415

            return sanitize.sanitize(arguments, os.environ)
        case "status":
            from checkpointkit.cli.pods import status  # noqa: PLC0415

            now = datetime.now(UTC).timestamp()
            return status.status(arguments, now, width_of(sys.stdout))
        case _:
            from checkpointkit.cli.pods import daemon  # noqa: PLC0415

            return daemon.run(arguments, os.environ)


def _fail(name: str, status: int, text: str, error: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        _print_document(name, {"error": error})
    else:
        write(f"checkpointkit: {text}", sys.stderr)
    return status


def _print_document(name: str, fields: Any) -> None:
    document = {"format": _FORMAT, "command": name, **fields}
    write(json_text(document, encoding_of(sys.stdout)), sys.stdout)
