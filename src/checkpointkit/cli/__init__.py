"""The command line. One module or package for each command; argparse is imported here alone."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
"""The exit status of a program that ended on Ctrl-C (128 + SIGINT)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The arguments without the program's name; None for those of this process.

    Returns:
        0 when all went well, 1 when something failed or nobody reads the output any more, 130 on
        Ctrl-C. For arguments that make no sense argparse ends the process with 2.
    """
    arguments = _parser().parse_args(argv)
    try:
        return _demo(arguments)
    except BrokenPipeError:
        # whoever read the output has seen enough; python's own flush at exit must not fail on it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("checkpointkit: interrupted; nothing is left behind", file=sys.stderr)
        return INTERRUPTED


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"checkpointkit {version('checkpointkit')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="checkpointkit",
        description="Typed state on disk that survives crashes, power cuts, upgrades and "
        "downgrades.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version of the package and exit"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="play a node agent that is killed, upgraded, downgraded and run out of disk",
        description="Play a small node agent that keeps this machine's mount table: it is killed "
        "while it saves, upgraded, downgraded, its file rots and its disk runs full. Prints what "
        "came of it; exits with 1 if a promise was broken. Works in a temporary directory (see "
        "TMPDIR) and removes it.",
    )
    demo.add_argument(
        "--kills",
        type=_positive,
        default=200,
        metavar="N",
        help="how many agents to kill (default: %(default)s)",
    )
    return parser


def _positive(text: str) -> int:
    """Return a number of at least 1 from the command line."""
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return number


def _demo(arguments: argparse.Namespace) -> int:
    # imported for this command alone: the others have no use for it
    from checkpointkit.cli.demo import run

    return run(kills=arguments.kills, out=sys.stdout)
