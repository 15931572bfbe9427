"""The command line. What a command needs is imported when it runs.

`arguments` says what may be typed; `read`, `check`, `mend` and `migrate` are the commands, each a
function that returns an `Outcome`; `run` prints it. `schema`, `pods`, `archives` and `kubelet` have
commands of their own. `text`, `trouble` and `outcome` are pure.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_BAD = 1
_USAGE = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The arguments without the program's name; None for those of this process.

    Returns:
        0 when all is well; 1 when something in the store is damaged, missing, or could not be
        done, or nobody reads the output any more; 2 when the store cannot be opened or nobody can
        be asked; 3 when a limit of archives does not hold; 130 on Ctrl-C. For arguments that
        make no sense argparse ends the process with 2.
    """
    from checkpointkit.cli.arguments import make_parser  # noqa: PLC0415 - imports argparse

    arguments = make_parser().parse_args(argv)
    try:
        status = _run(arguments)
        if sys.stdout is not None:  # it may have been closed by whoever started us
            sys.stdout.flush()
    except FileNotFoundError as error:  # no write says that: a path was to be made whole
        what = error.filename or "the working directory"
        print(f"checkpointkit: {what!s} is not there any more; change to another", file=sys.stderr)
        return _USAGE
    except OSError as error:  # what the store does raises errors of its own: this is the output
        # whoever read the output has seen enough, or it cannot be written; python's own flush at
        # exit must not fail on it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            print(f"checkpointkit: cannot write the output: {error.strerror}", file=sys.stderr)
        return _BAD
    except KeyboardInterrupt as interrupt:
        if sys.stderr.isatty():  # the terminal has shown ^C and left the cursor behind it
            print(file=sys.stderr)
        said = interrupt.args or (arguments.interrupted,)
        print(f"checkpointkit: {said[0]}", file=sys.stderr)
        return _INTERRUPTED
    return status


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "demo":
        # imported for this command alone: the others have no use for it
        from checkpointkit.cli.demo import run as run_demo  # noqa: PLC0415

        return run_demo(kills=arguments.kills, out=sys.stdout, as_json=arguments.json)
    if arguments.command == "schema":
        from checkpointkit.cli.schema import run as run_schema  # noqa: PLC0415 - likewise

        return run_schema(arguments)
    if arguments.command == "pods":
        from checkpointkit.cli.pods.run import run as run_pods  # noqa: PLC0415 - likewise

        return run_pods(arguments)
    if arguments.command == "archives":
        from checkpointkit.cli.archives.run import run as run_archives  # noqa: PLC0415 - likewise

        return run_archives(arguments)
    if arguments.command == "kubelet":
        from checkpointkit.cli.kubelet.run import run as run_kubelet  # noqa: PLC0415 - likewise

        return run_kubelet(arguments)
    from checkpointkit.cli.run import run  # noqa: PLC0415 - not needed for the demo

    return run(arguments)
