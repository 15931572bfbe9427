"""The flags of the daemon, and what counts where nothing is typed.

They are those of bootkube's pod checkpointer (cmd/checkpoint/main.go), where they still make sense,
and those that a kubelet of today asks for. The command line imports this for every command.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Flags"]


@frozen
class Flags:
    """What was typed; the defaults are what counts where nothing was.

    Attributes:
        node: The node's name; empty for `NODE_NAME`.
        namespaces: The namespaces to watch, with commas between them; empty for the own one.
        kubeconfig: The kubeconfig of the API server.
        container_runtime_endpoint: The socket of the container runtime.
        runtime_request_timeout: How long the container runtime may take.
        checkpoint_grace_period: How long a checkpoint outlives its parent.
        interval: The time between two ticks.
        lock_file: The file that the one daemon of the node locks.
        state_directory: Where the records are.
        inactive_manifests: Where the copies are.
        manifests: Where the kubelet reads static pods.
        checkpoint_secrets: Below which the files with something of a secret in them are.
        checkpoint_configmaps: Below which all other files are.
        kubelet_url: The kubelet; empty for port 10250 of `HOST_IP`.
        kubelet_token_file: A file with a token for it.
        kubelet_certificate: A file with a client certificate for it.
        kubelet_key: The file with the certificate's key.
        kubelet_ca: A file with the certificates that its own is verified with.
        kubelet_server_name: The name that its certificate bears; empty for that of the URL.
        metrics: The host and the port to serve metrics on; empty for none.
        keep_labels: Keep a pod's labels on its copy.
        once: End after one tick.
    """

    node: str = ""
    namespaces: str = ""
    kubeconfig: str = ""
    container_runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    runtime_request_timeout: str = "10s"
    checkpoint_grace_period: str = "1m"
    interval: str = "5s"
    lock_file: str = "/var/run/lock/pod-checkpointer.lock"
    state_directory: str = "/var/lib/checkpointkit/pods"
    inactive_manifests: str = "/etc/kubernetes/inactive-manifests"
    manifests: str = "/etc/kubernetes/manifests"
    checkpoint_secrets: str = "/etc/kubernetes/checkpoint-secrets"
    checkpoint_configmaps: str = "/etc/kubernetes/checkpoint-configmaps"
    kubelet_url: str = ""
    kubelet_token_file: str = ""
    kubelet_certificate: str = ""
    kubelet_key: str = ""
    kubelet_ca: str = ""
    kubelet_server_name: str = ""
    metrics: str = ""
    keep_labels: bool = False
    once: bool = False
