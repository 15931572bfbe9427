"""What the daemon is told, by flags and by its environment, as a value; and what makes no sense.

The environment is that of bootkube's pod checkpointer (cmd/checkpoint/main.go).
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import frozen

from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from checkpointkit.pods.assets import Roots
from checkpointkit.pods.daemon.durations import parse_duration
from checkpointkit.pods.model import PodName, Scope, own_name
from checkpointkit.pods.references import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.daemon.flags import Flags

__all__ = ["Directories", "KubeletAccess", "Settings", "read_directories", "read_settings"]

_KUBELET_PORT: Final = 10250
_LARGEST_PORT: Final = 65535


@frozen
class Directories:
    """The directories on the node.

    Attributes:
        state: The records.
        inactive: The copies.
        active: The static pods of the kubelet.
        roots: The files that the copies mount.
    """

    state: str
    inactive: str
    active: str
    roots: Roots


@frozen
class KubeletAccess:
    """How the kubelet is asked.

    Attributes:
        url: Where it listens.
        token_file: A file with a token; None for none.
        certificate: A file with a client certificate; None for none.
        key: The file with its key; None for none.
        ca: A file with the certificates that its own is verified with; None for the system's.
        server_name: The name that its certificate bears; None for that of the URL.
    """

    url: str
    token_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None
    server_name: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether a kubelet that asks who it is gets no answer."""
        return self.url.startswith("https:") and not (self.token_file or self.certificate)


@frozen
class Settings:
    """What a daemon runs with.

    Attributes:
        scope: The node, and the namespaces.
        own: The checkpointer's own parent; None if it runs as no pod.
        kubeconfig: The kubeconfig of the API server.
        kubelet: The kubelet.
        runtime_endpoint: The socket of the container runtime.
        runtime_timeout: How long the runtime may take, in seconds.
        directories: Where things are on the node.
        lock_file: The file that the one daemon of the node locks.
        grace: How long a checkpoint outlives its parent, in seconds.
        interval: The time between two ticks, in seconds.
        metrics: Host and port to serve metrics on; None for none.
        keep_labels: Keep a pod's labels on its copy.
        once: End after one tick.
    """

    scope: Scope
    own: PodName | None
    kubeconfig: str
    kubelet: KubeletAccess
    runtime_endpoint: str
    runtime_timeout: float
    directories: Directories
    lock_file: str
    grace: float
    interval: float
    metrics: tuple[str, int] | None
    keep_labels: bool
    once: bool


def read_settings(flags: Flags, environment: Mapping[str, str]) -> Settings:
    """Return what a daemon runs with.

    Args:
        flags: What was typed.
        environment: The environment: `NODE_NAME`, `POD_NAMESPACE`, `POD_NAME`, `HOST_IP`.

    Raises:
        ValueError: Something is missing, or makes no sense; the message says what to do.

    Example:
        >>> from checkpointkit.pods.daemon.flags import Flags
        >>> environment = {"NODE_NAME": "node1", "POD_NAMESPACE": "kube-system"}
        >>> flags = Flags(kubeconfig="/etc/kubernetes/kubelet.conf")
        >>> settings = read_settings(flags, environment)
        >>> settings.scope
        Scope(node='node1', namespaces=frozenset({'kube-system'}))
        >>> settings.grace, settings.kubelet.url
        (60.0, 'https://127.0.0.1:10250')
        >>> read_settings(Flags(), environment)
        Traceback (most recent call last):
        ...
        ValueError: --kubeconfig is missing: the checkpointer outlives the service account's token \
(its own copy has none), so that it does not use in-cluster configuration; give it a kubeconfig \
from a Secret or from a directory of the node
    """
    node = flags.node or environment.get("NODE_NAME", "")
    if not is_subdomain(node):
        raise ValueError(
            "the node's name is missing, or is none: set NODE_NAME (in a pod, from the field "
            "spec.nodeName), or give --node"
        )
    own = _own(environment, node)
    return Settings(
        scope=Scope(node, _namespaces(flags.namespaces, environment)),
        own=own,
        kubeconfig=_kubeconfig(flags.kubeconfig),
        kubelet=_kubelet(flags, environment),
        runtime_endpoint=_endpoint(flags.container_runtime_endpoint),
        runtime_timeout=_duration("--runtime-request-timeout", flags.runtime_request_timeout),
        directories=read_directories(flags),
        lock_file=_absolute("--lock-file", flags.lock_file),
        grace=_duration("--checkpoint-grace-period", flags.checkpoint_grace_period, zero=True),
        interval=_duration("--interval", flags.interval),
        metrics=_address(flags.metrics) if flags.metrics else None,
        keep_labels=flags.keep_labels,
        once=flags.once,
    )


def read_directories(flags: Flags) -> Directories:
    """Return the directories on the node.

    Raises:
        ValueError: One of them is none, or is inside another.

    Example:
        >>> from checkpointkit.pods.daemon.flags import Flags
        >>> read_directories(Flags()).inactive
        '/etc/kubernetes/inactive-manifests'
        >>> read_directories(Flags(inactive_manifests="/etc/kubernetes/manifests"))
        Traceback (most recent call last):
        ...
        ValueError: --inactive-manifests is the directory of --manifests, or inside it: each needs \
one of its own
    """
    names = (
        "state_directory",
        "inactive_manifests",
        "manifests",
        "checkpoint_secrets",
        "checkpoint_configmaps",
    )
    options = {f"--{name.replace('_', '-')}": getattr(flags, name) for name in names}
    paths = {option: _absolute(option, path) for option, path in options.items()}
    for option, path in paths.items():
        for other, above in paths.items():
            # A copy in the kubelet's directory would run at once, beside its parent.
            if option != other and f"{path}/".startswith(f"{above.rstrip('/')}/"):
                raise ValueError(
                    f"{option} is the directory of {other}, or inside it: each needs one of its own"
                )
    state, inactive, active, secrets, configmaps = paths.values()
    return Directories(state, inactive, active, Roots(secrets, configmaps))


def _own(environment: Mapping[str, str], node: str) -> PodName | None:
    pod, namespace = environment.get("POD_NAME", ""), environment.get("POD_NAMESPACE", "")
    if not pod:
        return None
    try:
        return own_name(namespace, pod, node)
    except ValueError as error:
        raise ValueError(
            f"POD_NAME and POD_NAMESPACE are not those of a pod ({error}): set both from the "
            "fields metadata.name and metadata.namespace, or neither"
        ) from error


def _namespaces(typed: str, environment: Mapping[str, str]) -> frozenset[str]:
    own = environment.get("POD_NAMESPACE", "")
    # its own is among them: it looks after itself as after any other, and leaves as any other
    is_pod = bool(environment.get("POD_NAME"))
    names = [*typed.split(","), *([own] if is_pod else [])] if typed else [own]
    if not all(is_label(name) for name in names):
        raise ValueError(
            "the namespaces to watch are missing, or are none: give --namespaces, with commas "
            "between them, or set POD_NAMESPACE"
        )
    return frozenset(names)


def _kubeconfig(path: str) -> str:
    if not path:
        raise ValueError(
            "--kubeconfig is missing: the checkpointer outlives the service account's token (its "
            "own copy has none), so that it does not use in-cluster configuration; give it a "
            "kubeconfig from a Secret or from a directory of the node"
        )
    return _lasting("--kubeconfig", path)


def _kubelet(flags: Flags, environment: Mapping[str, str]) -> KubeletAccess:
    host = environment.get("HOST_IP", "") or "127.0.0.1"
    address = f"[{host}]" if ":" in host else host
    url = flags.kubelet_url or f"https://{address}:{_KUBELET_PORT}"
    scheme, name, path = _split(url)
    if scheme not in {"http", "https"} or not name or path.strip("/"):
        raise ValueError("--kubelet-url is no address such as https://192.0.2.7:10250")
    if bool(flags.kubelet_certificate) != bool(flags.kubelet_key):
        raise ValueError("--kubelet-certificate and --kubelet-key go together: give both")
    files = {
        option: _lasting(option, path)
        for option, path in (
            ("--kubelet-token-file", flags.kubelet_token_file),
            ("--kubelet-certificate", flags.kubelet_certificate),
            ("--kubelet-key", flags.kubelet_key),
            ("--kubelet-ca", flags.kubelet_ca),
        )
        if path
    }
    named = {"--kubelet-server-name": flags.kubelet_server_name}
    if scheme == "http" and (useless := [*files, *(name for name in named if named[name])]):
        raise ValueError(
            "--kubelet-url is not encrypted, so that nothing is verified and nothing secret goes "
            f"there: use https, or leave out {', '.join(useless)}"
        )
    return KubeletAccess(
        url,
        files.get("--kubelet-token-file"),
        files.get("--kubelet-certificate"),
        files.get("--kubelet-key"),
        files.get("--kubelet-ca"),
        flags.kubelet_server_name or None,
    )


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme, host and what follows of a URL; nothing where it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return "", "", ""
    rest = parts.path + parts.query + parts.fragment + (parts.username or "")
    return parts.scheme, parts.hostname or "", rest


def _endpoint(url: str) -> str:
    path = url.removeprefix("unix://")
    if not path.startswith("/"):
        raise ValueError(
            "--container-runtime-endpoint is no socket such as "
            "unix:///run/containerd/containerd.sock"
        )
    return f"unix://{path}"


def _duration(option: str, text: str, *, zero: bool = False) -> float:
    """Return a duration; it may be 0 where `zero` says so."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error
    if not zero and not seconds:
        raise ValueError(f"{option} is 0, and has to be more")
    return seconds


def _absolute(option: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{option} is no absolute path")
    return "/" + posixpath.normpath(path).lstrip("/")


def _lasting(option: str, path: str) -> str:
    """Return the path of a file that the checkpointer's own copy has as well."""
    path = _absolute(option, path)
    accounts = (TOKEN_PATH, TOKEN_PATH.removeprefix("/var"))
    if any(f"{path}/".startswith(f"{account}/") for account in accounts):
        raise ValueError(
            f"{option} is a file of the service account's volume, which the checkpointer's own "
            "copy does not have: take one from a Secret or from a directory of the node"
        )
    return path


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = port.isascii() and port.isdecimal() and int(port) <= _LARGEST_PORT
    if not colon or not host or not good or any(each in host for each in "[]/ "):
        raise ValueError("--metrics is no address such as 127.0.0.1:9090 or [::1]:9090")
    return host, int(port)
