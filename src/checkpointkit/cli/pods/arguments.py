"""What may stand behind `checkpointkit pods`.

The flags of `run` are those of bootkube's pod checkpointer, which wrote them with one dash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from checkpointkit.pods.daemon.flags import Flags

if TYPE_CHECKING:
    import argparse

_STATUSES: Final = (
    "exit status: 0 fine; 1 something is wrong with a pod, and it is said what; 2 wrong arguments, "
    "or something that cannot be opened; 130 Ctrl-C, but for run, which then ends with 0"
)
_RUN: Final = (
    ("node", "NAME", "the node's name (default: NODE_NAME)"),
    ("namespaces", "NAMES", "the namespaces to watch, with commas (default: POD_NAMESPACE)"),
    ("kubeconfig", "FILE", "how the API server is asked; no in-cluster configuration"),
    ("container-runtime-endpoint", "URL", "the socket of the container runtime"),
    ("runtime-request-timeout", "DURATION", "how long the container runtime may take"),
    ("checkpoint-grace-period", "DURATION", "how long a checkpoint outlives its parent"),
    ("interval", "DURATION", "the time between two ticks"),
    ("lock-file", "FILE", "the file that the one daemon of the node locks"),
    ("kubelet-url", "URL", "where the kubelet listens (default: port 10250 of HOST_IP)"),
    ("kubelet-token-file", "FILE", "a token for the kubelet"),
    ("kubelet-certificate", "FILE", "a client certificate for the kubelet"),
    ("kubelet-key", "FILE", "the key of that certificate"),
    ("kubelet-ca", "FILE", "what the kubelet's own certificate is verified with"),
    ("kubelet-server-name", "NAME", "the name that certificate bears (default: the URL's)"),
    ("metrics", "HOST:PORT", "serve metrics for Prometheus there (default: do not)"),
)
_DIRECTORIES: Final = (
    ("state-directory", "where the records are"),
    ("inactive-manifests", "where the copies are"),
    ("manifests", "where the kubelet reads static pods"),
    ("checkpoint-secrets", "below which files with something of a secret in them are"),
    ("checkpoint-configmaps", "below which all other files are"),
)
_ORIGINALS: Final = {
    "checkpoint-grace-period",
    "container-runtime-endpoint",
    "kubeconfig",
    "lock-file",
    "runtime-request-timeout",
}
"""The flags that may be written with one dash as well."""
_ROOTS: Final = ("checkpoint-secrets", "checkpoint-configmaps")


def add_pods_commands(commands: Any) -> None:
    """Add `pods` with its commands.

    Args:
        commands: What `ArgumentParser.add_subparsers` has returned.
    """
    pods = commands.add_parser(
        "pods",
        help="keep a node's important pods alive without an API server",
        description="Keep a node's important pods alive without an API server: the pods with the "
        'annotation checkpointer.alpha.coreos.com/checkpoint: "true".',
        epilog=_STATUSES,
        allow_abbrev=False,
    )
    parts = pods.add_subparsers(title="commands", metavar="COMMAND", dest="part", required=True)

    run = _add(
        parts,
        "run",
        "run the checkpointer of this node",
        "Save a copy of each pod of this node that asks for it, start it as a static pod when the "
        "pod does not run, and take it away when the pod is back. Runs until SIGTERM or Ctrl-C. "
        "Durations are written 1m30s. What it does is logged on stderr.",
    )
    for name, metavar, text in _RUN:
        _add_option(run, name, metavar, text)
    _add_directories(run)
    _add_labels(run)
    run.add_argument("--once", action="store_true", help="end after one tick")

    status = _add(
        parts,
        "status",
        "show what is kept of each pod",
        "Show the records of this node, and whether their files are there. Reads only, and may be "
        "run beside the daemon.",
    )
    status.add_argument("--json", action="store_true", help="print one JSON document")
    _add_directories(status)

    sanitize = _add(
        parts,
        "sanitize",
        "print what would be kept of a pod",
        "Print the static manifest that a pod becomes, or why it cannot be made independent of the "
        "API server. The manifest may hold secrets.",
    )
    sanitize.add_argument(
        "file",
        metavar="FILE",
        help="a pod as JSON or YAML, as kubectl get prints it; - for what comes in",
    )
    sanitize.add_argument(
        "--objects",
        action="append",
        default=[],
        metavar="FILE",
        help="secrets and config maps that it needs, as JSON or YAML; repeat it for several",
    )
    sanitize.add_argument("--json", action="store_true", help="print one JSON document")
    sanitize.add_argument(
        "--node", default="", metavar="NAME", help="the node's name (default: the pod's own)"
    )
    _add_directories(sanitize, *_ROOTS)
    _add_labels(sanitize)


def flags_of(arguments: argparse.Namespace) -> Flags:
    """Return what was typed of the flags; the rest is as it is by default."""
    known = Flags.__annotations__
    return Flags(**{name: given for name, given in vars(arguments).items() if name in known})


def _add(parts: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parts.add_parser(
        name, help=summary, description=description, epilog=_STATUSES, allow_abbrev=False
    )
    parser.set_defaults(interrupted="interrupted")
    return parser


def _add_directories(parser: argparse.ArgumentParser, *names: str) -> None:
    for name, text in _DIRECTORIES:
        if not names or name in names:
            _add_option(parser, name, "DIRECTORY", text)


def _add_option(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    default = getattr(Flags(), name.replace("-", "_"))
    written = (f"--{name}", f"-{name}") if name in _ORIGINALS else (f"--{name}",)
    parser.add_argument(
        *written,
        default=default,
        metavar=metavar,
        help=text + (f" (default: {default})" if default else ""),
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-labels",
        action="store_true",
        help="keep a pod's labels on its copy; then services send traffic to it, too",
    )
