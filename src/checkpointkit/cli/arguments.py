"""What may stand on the command line. Imported for every command, so it imports next to nothing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli.archives.arguments import add_archives_commands
from checkpointkit.cli.kubelet.arguments import add_kubelet_commands
from checkpointkit.cli.pods.arguments import add_pods_commands
from checkpointkit.cli.schema_arguments import add_schema_commands
from checkpointkit.errors import InvalidKeyError
from checkpointkit.keys import check_key
from checkpointkit.stores.base import DEFAULT_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection

_STATUSES: Final = (
    "exit status: 0 fine; 1 something in the store is damaged, missing, or could not be done; "
    "2 wrong arguments, a store that cannot be opened, or a question that nobody can answer; "
    "130 Ctrl-C"
)


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and needed here alone

        print(f"checkpointkit {version('checkpointkit')}")
        parser.exit()


class _Command(argparse.ArgumentParser):
    """Takes options between positional arguments, as in `verify STORE --json KEY`, too.

    Attributes:
        without_command: The commands, and what reads everything that does not begin with one.
    """

    without_command: tuple[Collection[str], argparse.ArgumentParser] | None = None
    _within = False

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - overloads
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """See `argparse.ArgumentParser.parse_known_args`."""
        if self.without_command is not None:
            names, other = self.without_command
            if not args or args[0] not in {*names, "-h", "--help"}:
                return other.parse_known_args(args, namespace)
        if self._within or self._subparsers is not None:  # `schema` and others have commands
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="checkpointkit",
        description="Look at stores of checkpoints and mend them.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version of the package and exit"
    )
    commands = parser.add_subparsers(
        title="commands",
        metavar="COMMAND",
        dest="command",
        required=True,
        parser_class=_Command,
    )
    _add_readers(commands)
    _add_menders(commands)
    _add_migration(commands)
    _add_demo(commands)
    add_schema_commands(commands)
    add_pods_commands(commands)
    add_archives_commands(commands)
    add_kubelet_commands(commands)
    return parser


Commands = Any
"""`argparse._SubParsersAction`, which has no public name."""


def _add_readers(commands: Commands) -> None:
    listing = _add(
        commands,
        "list",
        "list the keys",
        "List the keys of a store: every one that can be seen, damaged or not. Decodes nothing.",
    )
    listing.add_argument(
        "-l",
        "--long",
        action="store_true",
        help="with the newest generation's number, kind, schema version, size and age, as its "
        "header says",
    )
    listing.add_argument(
        "-r", "--recursive", action="store_true", help="list the scopes in the store, too"
    )
    listing.add_argument(
        "--prefix", default="", metavar="TEXT", help="only the keys that begin with TEXT"
    )

    show = _add(
        commands,
        "show",
        "show one checkpoint",
        "Show what the header of a checkpoint says. The payload may hold secrets and is shown "
        "only with --payload.",
    )
    _add_key(show)
    show.add_argument(
        "--generation", type=_positive, metavar="N", help="which generation (default: the newest)"
    )
    show.add_argument(
        "--payload", action="store_true", help="show the payload instead, as JSON; with --json both"
    )

    history = _add(
        commands,
        "history",
        "list the generations of a key",
        "List the generations of a key, newest first. Each is read and verified.",
    )
    _add_key(history)

    verify = _add(
        commands,
        "verify",
        "read everything and report what is damaged",
        "Read every generation and see that its bytes are those that were saved. Changes nothing.",
    )
    _add_chosen(verify, "verify these (default: the whole store, with the scopes in it)")


def _add_menders(commands: Commands) -> None:
    recover = _add(
        commands,
        "recover",
        "go on from the newest good generation",
        "Where the newest generation of a key is damaged, set it aside as evidence and save the "
        "newest good one anew. Says what it will do and asks. Does nothing to a good key.",
        changes=True,
    )
    _add_keys(recover)
    _add_consent(recover)

    rollback = _add(
        commands,
        "rollback",
        "go back to an older generation",
        "Save an older generation, as it is, as the newest one. Deletes nothing, so a "
        "rollback to the generation that was the newest undoes it.",
        changes=True,
    )
    _add_key(rollback)
    rollback.add_argument(
        "generation",
        type=_positive,
        metavar="GENERATION",
        help="the generation to go back to; history lists them",
    )

    remove = _add(
        commands,
        "remove",
        "remove keys for good",
        "Remove keys with all their generations, damaged or not. Asks.",
        changes=True,
    )
    _add_keys(remove)
    _add_consent(remove)


def _add_migration(commands: Commands) -> None:
    migrate = _add(
        commands,
        "migrate",
        "save older schema versions anew in the present one",
        "Save every checkpoint of an older schema version anew, in the version that the schema "
        "writes. Says first how many keys are at which version, and asks. The generations before "
        "are pinned: they are kept until unpin lets them go. Begun again after an interruption, it "
        "does the rest.",
        changes=True,
    )
    migrate.add_argument(
        "--schema",
        required=True,
        metavar="MODULE:NAME",
        help="where the schema is, for example agent.state:LEASES; its module is imported and run",
    )
    _add_chosen(migrate, "migrate these (default: all of the store, without the scopes in it)")
    migrate.add_argument(
        "--no-pin",
        action="store_true",
        help="keep the generations before no longer than the program's history= says",
    )
    _add_consent(migrate)

    unpin = _add(
        commands,
        "unpin",
        "let pinned generations go",
        "Let every pinned generation go: those that a migration has kept, and any other. What is "
        "older than the program's history= goes when it saves the key the next time. Asks.",
        changes=True,
    )
    _add_chosen(unpin, "unpin these (default: all of the store, without the scopes in it)")
    _add_consent(unpin)


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="play a node agent that is killed, upgraded, downgraded and run out of disk",
        description="Play a small node agent that keeps this machine's mount table: it is killed "
        "while it saves, upgraded, downgraded, its file rots and its disk runs full. Prints what "
        "came of it; exits with 1 if a promise was broken. Works in a temporary directory (see "
        "TMPDIR) and removes it.",
        allow_abbrev=False,
    )
    demo.add_argument(
        "--kills",
        type=_positive,
        default=200,
        metavar="N",
        help="how many agents to kill (default: %(default)s)",
    )
    _add_json(demo)
    demo.set_defaults(interrupted="interrupted; nothing is left behind")


def _add(
    commands: Commands, name: str, summary: str, description: str, *, changes: bool = False
) -> argparse.ArgumentParser:
    """Add a command on a store, with the arguments that all of them have."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=_STATUSES, allow_abbrev=False
    )
    parser.add_argument(
        "store", type=_directory, metavar="STORE", help="the directory of the store"
    )
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        type=_key,
        metavar="NAME",
        help="the scope of that name in the store; repeat it for a scope in a scope",
    )
    parser.add_argument(
        "--max-bytes",
        type=_positive,
        default=DEFAULT_MAX_BYTES,
        metavar="N",
        help="the largest checkpoint to read, as the store's owner has it (default: %(default)s)",
    )
    _add_json(parser)
    interrupted = "interrupted; each checkpoint is as it was, or as it was to be"
    parser.set_defaults(interrupted=interrupted if changes else "interrupted")
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document, ask nothing")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", type=_key, metavar="KEY", help="the key")


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("keys", nargs="+", type=_key, metavar="KEY", help="the keys")


def _add_chosen(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("keys", nargs="*", type=_key, metavar="KEY", help=text)


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")


def _positive(text: str) -> int:
    """Return a number of at least 1 from the command line."""
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return number


def _key(text: str) -> str:
    try:
        return check_key(text)
    except InvalidKeyError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _directory(text: str) -> str:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no directory")
    return text
