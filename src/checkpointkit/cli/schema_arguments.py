"""What may stand behind `checkpointkit schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import argparse

_STATUSES: Final = (
    "exit status: 0 fine; 1 something has to be done, and it is said what; 2 wrong arguments, or "
    "a project that cannot be read; 130 Ctrl-C"
)
_AGAINST: Final = (
    "what was released: a git revision (the last release's tag, say), or the path of a wheel or "
    "an sdist; entries of it may not be changed or taken away"
)


def add_schema_commands(commands: Any) -> None:
    """Add `schema` with its commands.

    Args:
        commands: What `ArgumentParser.add_subparsers` has returned.
    """
    schema = commands.add_parser(
        "schema",
        help="see to it that no format changes without a new version",
        description="Compare the classes of a project with its lock file, checkpointkit.lock. The "
        "project is the one around the present directory: [tool.checkpointkit] in its "
        "pyproject.toml says where the lock file is and which schemas there are.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parts = schema.add_subparsers(title="commands", metavar="COMMAND", dest="part", required=True)

    check = _add(
        parts,
        "check",
        "see whether every class is as it was accepted",
        "Compare each class with the lock file, and run the goldens of each version through the "
        "migrations. Says which edit to make, and prints a migration to begin with. Changes "
        "nothing.",
    )
    _add_against(check)

    accept = _add(
        parts,
        "accept",
        "take the classes as they are into the lock file",
        "Write new kinds and new versions into the lock file, and goldens for them. What is there "
        "already stays as it is. Look at the difference, and commit it.",
    )
    _add_against(accept)
    accept.add_argument(
        "--amend",
        action="store_true",
        help="replace the newest version of the lock file where it was never released",
    )
    accept.add_argument(
        "--drop-old",
        action="store_true",
        help="agree that versions are no longer read because the chain of migrations begins later",
    )
    accept.add_argument(
        "--retire",
        action="append",
        default=[],
        metavar="KIND",
        help="agree that no schema is of that kind any more; repeat it for several",
    )
    accept.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    accept.set_defaults(interrupted="interrupted; the lock file is as it was, or as it was to be")

    diff = _add(
        parts,
        "diff",
        "say what differs between the lock file and the classes",
        "Say, path by path, what differs between each class and the newest version of it in the "
        "lock file. Exits with 1 if something does.",
    )
    diff.add_argument("kind", nargs="?", metavar="KIND", help="only this one (default: all)")

    stub = _add(
        parts,
        "stub",
        "print a migration to begin with",
        "Print the migrations that a kind needs, as Python to be pasted and completed.",
    )
    stub.add_argument("kind", metavar="KIND", help="the kind, or the schema: module:NAME")
    stub.add_argument(
        "--downgrade",
        action="store_true",
        help="print the way back instead: from the version of the class to the one before it",
    )


def _add(parts: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parts.add_parser(
        name, help=summary, description=description, epilog=_STATUSES, allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(interrupted="interrupted")
    return parser


def _add_against(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", type=str, metavar="REV|WHEEL", help=_AGAINST)
