"""Running one command on a store, and saying what came of it."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli import check, mend, read
from checkpointkit.cli.outcome import BAD, Outcome, Refused
from checkpointkit.cli.session import Session
from checkpointkit.cli.target import Target
from checkpointkit.cli.terminal import encoding_of, width_of, write
from checkpointkit.cli.text import INDENT, json_text, printable
from checkpointkit.cli.trouble import trouble
from checkpointkit.errors import CheckpointError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

_log: Final = logging.getLogger("checkpointkit")


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name, print what came of it, return the exit status."""
    target = Target(arguments.store, tuple(arguments.scope), arguments.max_bytes)
    now = datetime.now(UTC)
    session = Session(arguments.command, target, arguments.json, now, width_of(sys.stdout))
    try:
        with _warnings_on_stderr():
            outcome = _carry_out(session, arguments)
    except CheckpointError as error:
        found = trouble(error, target)
        return _fail(session, BAD, found.text(), found.document())
    except Refused as refusal:
        text = f"{refusal.message}\n{INDENT}next: {refusal.advice}\n"
        document = {"type": refusal.name, "message": refusal.message, "next": refusal.advice}
        return _fail(session, refusal.status, text, document)
    if session.as_json:
        _print_document(outcome.document)
    else:
        write(outcome.text, sys.stdout)
        if outcome.note and session.width is not None:
            sys.stdout.flush()
            write(f"({outcome.note})\n", sys.stderr)
    return outcome.status


def _carry_out(  # noqa: PLR0911 - one for each command
    session: Session, arguments: argparse.Namespace
) -> Outcome:
    match arguments.command:
        case "list":
            return read.list_keys(
                session,
                prefix=arguments.prefix,
                long=arguments.long,
                recursive=arguments.recursive,
            )
        case "show":
            return read.show(
                session,
                arguments.key,
                generation=arguments.generation,
                payload=arguments.payload,
            )
        case "history":
            return read.history(session, arguments.key)
        case "verify":
            return check.verify(session, arguments.keys)
        case "recover":
            return mend.recover(
                session, arguments.keys, yes=arguments.yes, dry_run=arguments.dry_run
            )
        case "rollback":
            return mend.rollback(session, arguments.key, arguments.generation)
        case "migrate" | "unpin":
            return _carry_out_migration(session, arguments)
        case _:
            return mend.remove(
                session, arguments.keys, yes=arguments.yes, dry_run=arguments.dry_run
            )


def _carry_out_migration(session: Session, arguments: argparse.Namespace) -> Outcome:
    # imported for these commands alone: the others have no use for schemas
    from checkpointkit.cli import migrate  # noqa: PLC0415

    if arguments.command == "unpin":
        return migrate.unpin(session, arguments.keys, yes=arguments.yes, dry_run=arguments.dry_run)
    order = migrate.Order(
        arguments.schema,
        tuple(arguments.keys),
        pin=not arguments.no_pin,
        yes=arguments.yes,
        dry_run=arguments.dry_run,
    )
    return migrate.migrate(session, order)


def _fail(session: Session, status: int, text: str, error: Mapping[str, Any]) -> int:
    if session.as_json:
        _print_document(session.document(error=error))
    else:
        write(f"checkpointkit: {text}", sys.stderr)
    return status


def _print_document(document: Mapping[str, Any]) -> None:
    write(json_text(document, encoding_of(sys.stdout)), sys.stdout)


class _Warnings(logging.Handler):
    """Prints what the library warns of, but for what the commands say themselves."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if record.module not in {"manager", "records"}:
            write(f"checkpointkit: {printable(record.getMessage())}\n", sys.stderr)


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    handler = _Warnings(logging.WARNING)
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
