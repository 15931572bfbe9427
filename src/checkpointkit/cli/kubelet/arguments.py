"""What may stand behind `checkpointkit kubelet`."""

from __future__ import annotations

import argparse
from typing import Any, Final

from checkpointkit.kubelet.formats import FILES
from checkpointkit.kubelet.restarts import GATE, Version, parse_version

_STATUSES: Final = (
    "exit status: 0 fine; 1 a kubelet would not take a file, or it is not repaired; 2 wrong "
    "arguments, or a file that cannot be read; 130 Ctrl-C"
)


def add_kubelet_commands(commands: Any) -> None:
    """Add `kubelet` with its commands.

    Args:
        commands: What `ArgumentParser.add_subparsers` has returned.
    """
    kubelet = commands.add_parser(
        "kubelet",
        help="look at the kubelet's own checkpoint files",
        description="Read and verify the kubelet's own checkpoint files, and say what is wrong "
        "with them. No file of the kubelet is ever written.",
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parts = kubelet.add_subparsers(title="commands", metavar="COMMAND", dest="part", required=True)
    verify = _add(
        parts,
        "verify",
        "say whether the kubelet takes the files, and if not, why",
        "Read files as the kubelet does when it starts; say what it would do, what is wrong, and "
        "what to do. Changes nothing.",
    )
    _add_kubelet(verify)
    _add(
        parts,
        "show",
        "show the state as tables",
        "Show what is in the files: CPUs of each container, memory of each NUMA node, devices of "
        "each pod. Damaged files are shown as far as they are read.",
    )
    repair = _add(
        parts,
        "repair",
        "write a copy with the right checksum",
        "Write a copy of a file with the right checksum beside it, named *.repaired, where the "
        "checksum alone is wrong and it is certain why; and say what is left to do. Refuses while "
        "a kubelet runs on this machine.",
    )
    _add_kubelet(repair)


def _add(parts: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parts.add_parser(
        name, help=summary, description=description, epilog=_STATUSES, allow_abbrev=False
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a file, or the kubelet's root directory (for example /var/lib/kubelet) with "
        "device-plugins in it",
    )
    parser.add_argument(
        "--as",
        dest="file",
        choices=FILES,
        help="which file it is, where its name does not say so",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(interrupted="interrupted; nothing was changed")
    return parser


def _add_kubelet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kubelet-version",
        type=_version,
        metavar="VERSION",
        help="the kubelet that is to start, for example 1.36 (default: all)",
    )
    parser.add_argument(
        "--feature-gate",
        type=_gate,
        metavar=f"{GATE}=true|false",
        help="whether it has the feature gate on (default: both)",
    )
    parser.add_argument(
        "--policy",
        metavar="NAME",
        help="the policy that it is configured with (default: the one in the file)",
    )


def _version(text: str) -> Version:
    try:
        return parse_version(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _gate(text: str) -> bool:
    name, _, value = text.partition("=")
    if name != GATE or value not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"write {GATE}=true or {GATE}=false")
    return value == "true"
