"""What may stand behind `checkpointkit archives`.

Without a command it is the first look at a directory, so that no command has to be known.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from checkpointkit.archives.model import DEFAULT_DIRECTORY

DEFAULT_STATE: Final = "/var/lib/checkpointkit/archives"
"""Where the inventory is kept."""
DEFAULT_SETTLE: Final = "60s"
"""For how long nobody may have written an archive that is finished."""
STATUSES: Final = (
    "exit status: 0 fine; 1 something is wrong or could not be done, and it is said what; 2 wrong "
    "arguments, something that cannot be opened, or a question that nobody can answer; 3 a limit "
    "does not hold, since what is protected is not deleted; 130 Ctrl-C"
)
COUNTS: Final = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
"""What `--keep-...` takes a number of."""
ONLY: Final = (
    "complete",
    "in-flight",
    "broken",
    "unreadable",
    "other",
    "pod-checkpoint",
    "unknown",
    "pinned",
)
"""What `list --only` knows: the states, and two more."""
LEVELS: Final = ("namespace", "pod", "container")
_POSITIVE: Final = "{!r} is no whole number above 0"


def add_archives_commands(commands: Any) -> None:
    """Add `archives` with its commands.

    Args:
        commands: What `ArgumentParser.add_subparsers` has returned.
    """
    archives = commands.add_parser(
        "archives",
        help="keep the archives of container checkpoints from filling the disk",
        description="Look at the archives of container checkpoints, and delete by policy what is "
        "not to be kept. Without a command: the disk, who has how much, and what the policy would "
        f"delete in DIR (default: {DEFAULT_DIRECTORY}). Only apply and watch delete. A directory "
        "with the name of a command is written ./NAME.",
        usage="checkpointkit archives [OPTIONS] [DIR]\n       checkpointkit archives COMMAND ...",
        epilog=STATUSES,
        allow_abbrev=False,
    )
    # what is typed without a command is read by a parser of its own: a directory is no command
    first = type(archives)(
        prog="checkpointkit archives", usage=archives.usage, epilog=STATUSES, allow_abbrev=False
    )
    for parser in (archives, first):
        _add_state(parser)
        _add_json(parser)
        _add_policy(parser)
        _add_lookup(parser)
    _add_directory(first)
    first.set_defaults(part="", interrupted="interrupted")

    parts = archives.add_subparsers(
        title="commands",
        metavar="COMMAND",
        dest="part",
        required=True,
        prog="checkpointkit archives",
    )
    archives.without_command = (parts.choices, first)
    _add_list(parts)
    _add_plan_and_apply(parts)
    _add_watch(parts)
    _add_pins(parts)
    _add_verify(parts)
    _add_usage(parts)
    _add_cluster(parts)


def _add_list(parts: Any) -> None:
    listing = _add(
        parts,
        "list",
        "list the archives",
        "List the archives, newest first. Changes nothing.",
    )
    for level in LEVELS:
        listing.add_argument(f"--{level}", metavar="NAME", help=f"only those of this {level}")
    listing.add_argument(
        "--only", choices=ONLY, metavar="STATE", help=f"only those that are {', '.join(ONLY)}"
    )
    listing.add_argument(
        "--sort",
        choices=("age", "size", "name"),
        default="age",
        metavar="BY",
        help="age (newest first), size (largest first) or name (default: %(default)s)",
    )
    listing.add_argument(
        "-l", "--long", action="store_true", help="with the names of the files, and times in UTC"
    )
    listing.add_argument(
        "--deleted",
        action="store_true",
        help="list what was deleted instead, newest first: what, when, why, and by which rule",
    )


def _add_plan_and_apply(parts: Any) -> None:
    plan = _add(
        parts,
        "plan",
        "show what the policy would delete, and why",
        "Show what would be deleted, by which rule and why, and what would be kept. Deletes "
        "nothing.",
    )
    _add_policy(plan)
    _add_lookup(plan)
    plan.add_argument("-a", "--all", action="store_true", help="show each one that is kept, too")

    apply = _add(
        parts,
        "apply",
        "delete what the policy says",
        "Show what would be deleted, ask, and delete it. What has changed since, or was pinned, "
        "stays.",
    )
    _add_policy(apply)
    _add_lookup(apply)
    apply.add_argument("-y", "--yes", action="store_true", help="do not ask")
    apply.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    apply.set_defaults(interrupted="interrupted; what was deleted so far is in list --deleted")


def _add_watch(parts: Any) -> None:
    watch = _add(
        parts,
        "watch",
        "delete what the policy says whenever an archive is finished",
        "Keep to the policy until SIGTERM or Ctrl-C: look at the start, whenever an archive is "
        "finished, and from time to time. What it does is logged on stderr. Durations are "
        "written 10min or 1h30min.",
        as_json=False,
    )
    _add_policy(watch)
    _add_lookup(watch)
    watch.add_argument(
        "--interval",
        default="10min",
        metavar="DURATION",
        help="how often to look in any case (default: %(default)s)",
    )
    watch.add_argument(
        "--poll",
        action="store_true",
        help="look at the directory from time to time, without the extra watch",
    )
    watch.add_argument(
        "-n", "--dry-run", action="store_true", help="only log what would be deleted"
    )


def _add_pins(parts: Any) -> None:
    pin = _add_part(
        parts,
        "pin",
        "let no rule delete an archive",
        "Keep archives from all rules: a file NAME.keep beside an archive names who wants that.",
    )
    unpin = _add_part(
        parts,
        "unpin",
        "let the rules have an archive again",
        "Take an owner's pin off archives. With the last owner the file NAME.keep goes.",
    )
    for parser in (pin, unpin):
        parser.add_argument("archives", nargs="+", metavar="ARCHIVE", help="the path of an archive")
        parser.add_argument(
            "--owner",
            default="admin",
            metavar="NAME",
            help="whose pin it is (default: %(default)s)",
        )
        _add_json(parser)
    unpin.add_argument(
        "--force", action="store_true", help="whoever has pinned it, and whoever else wants it kept"
    )


def _add_verify(parts: Any) -> None:
    verify = _add(
        parts,
        "verify",
        "see that archives are whole, and the ones that were recorded",
        "Say which archives are not whole, and compare those that were recorded with the chain "
        "of custody: their digests, each linked to the one before.",
    )
    verify.add_argument(
        "--record", action="store_true", help="record the digests of archives that have none yet"
    )
    verify.add_argument(
        "--export", metavar="FILE", help="write the chain as lines of JSON; - for stdout"
    )
    verify.add_argument(
        "--from",
        dest="exported",
        metavar="FILE",
        help="verify an exported chain instead of the recorded one",
    )


def _add_usage(parts: Any) -> None:
    usage = _add(
        parts,
        "usage",
        "show who has how much",
        "Draw who has how many bytes, by namespace, pod and container.",
    )
    usage.add_argument(
        "--by", choices=LEVELS, metavar="LEVEL", help=f"only by {', '.join(LEVELS)} (default: all)"
    )
    usage.add_argument(
        "--top",
        type=_positive,
        default=10,
        metavar="N",
        help="show so many of each (default: %(default)s)",
    )


def _add_cluster(parts: Any) -> None:
    forget = _add(
        parts,
        "forget-cluster",
        "forget which cluster the node belongs to",
        "For a node that has moved to another cluster: forget which one it belongs to, and since "
        "when pods are gone. Until then the new one is not believed, and no archive is an orphan.",
    )
    forget.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _add(
    parts: Any, name: str, summary: str, description: str, *, as_json: bool = True
) -> argparse.ArgumentParser:
    parser = _add_part(parts, name, summary, description)
    _add_directory(parser)
    _add_state(parser)
    if as_json:
        _add_json(parser)
    return parser


def _add_part(parts: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parts.add_parser(
        name, help=summary, description=description, epilog=STATUSES, allow_abbrev=False
    )
    parser.set_defaults(interrupted="interrupted")
    return parser


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory",
        nargs="?",
        type=_directory,
        metavar="DIR",
        help=f"where the archives are (default: what the policy says, or {DEFAULT_DIRECTORY})",
    )


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=_directory,
        default=DEFAULT_STATE,
        metavar="DIR",
        help="where is kept what is known of the archives (default: %(default)s)",
    )
    parser.add_argument(
        "--settle",
        default=DEFAULT_SETTLE,
        metavar="DURATION",
        help="an archive is not finished before nobody wrote it for so long (default: %(default)s)",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document, ask nothing")


def _add_policy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "policy",
        "Without any of these, 10 archives of each container are kept. Flags of rules replace "
        "that, and do not go with --policy.",
    )
    group.add_argument(
        "--policy",
        metavar="FILE",
        help="a policy as YAML, or a CheckpointRestoreOperator",
    )
    for what in COUNTS:
        text = (
            "the newest N" if what == "last" else f"the newest of each of the last N {_unit(what)}"
        )
        group.add_argument(
            f"--keep-{what}", type=_positive, metavar="N", help=f"keep {text} of each container"
        )
    group.add_argument(
        "--keep-within", metavar="DURATION", help="keep what is no older than that, say 14d"
    )
    group.add_argument("--max-age", metavar="DURATION", help="delete what is older")
    group.add_argument(
        "--max-per-container", type=_positive, metavar="N", help="keep N of each container at most"
    )


def _unit(what: str) -> str:
    return {"daily": "days"}.get(what, f"{what.removesuffix('ly')}s")


def _add_lookup(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "orphans", "For a rule about orphans, the API server is asked"
    )
    group.add_argument("--kubeconfig", metavar="FILE", help="as a kubeconfig says")
    group.add_argument(
        "--in-cluster", action="store_true", help="as the pod's service account, within a cluster"
    )


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(_POSITIVE.format(text))
    return number


def _directory(text: str) -> str:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no directory")
    return text
