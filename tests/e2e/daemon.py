"""The daemon under test: as a program on the node, and as the pod of `deploy/pods`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import checkpointkit
from tests.e2e.account import DIRECTORY, NAMESPACE, deployed
from tests.e2e.node import NODE
from tests.e2e.workload import GOOD

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.processes import Process

__all__ = ["GRACE", "INTERVAL", "deploy_daemon", "start_daemon"]

GRACE: Final = 8.0
"""The grace period in the tests, in seconds; it is a minute else."""
INTERVAL: Final = 1.0
"""Seconds between two ticks in the tests; 5 else."""

_WORDS: Final = (sys.executable, "-m", "checkpointkit")
_SOURCE: Final = str(Path(checkpointkit.__file__).parents[1])


def start_daemon(cluster: Cluster) -> Process:
    """Start the checkpointer as a program on the node; it ends with the node's power."""
    environment = {
        "NODE_NAME": NODE,
        "POD_NAMESPACE": NAMESPACE,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": _SOURCE,
    }
    words = [
        *(*_WORDS, "pods", "run"),
        f"--kubeconfig={DIRECTORY}/kubeconfig",
        f"--kubelet-token-file={DIRECTORY}/token",
        "--kubelet-ca=/var/lib/kubelet/pki/kubelet.crt",
        f"--kubelet-server-name={NODE}",
        *_for_tests(cluster),
    ]
    return cluster.node.start("checkpointer", words, environment)


def deploy_daemon(cluster: Cluster) -> None:
    """Run the checkpointer as a pod: `deploy/pods`, with the rights and the limits that it has.

    Its image has no Python: the pod mounts that of the machine, and what it needs.
    """
    (kubeconfig,) = deployed("kubeconfig.yaml")
    text = kubeconfig["data"]["kubeconfig"]
    kubeconfig["data"]["kubeconfig"] = text.replace("https://192.0.2.1:6443", cluster.control.url)
    cluster.kube.apply(kubeconfig)
    (wanted,) = deployed("daemonset.yaml")
    template = wanted["spec"]["template"]
    (container,) = template["spec"]["containers"]
    container["image"] = GOOD
    container["command"] = list(_WORDS)
    container["args"] += _for_tests(cluster)
    container["env"].append({"name": "PYTHONPATH", "value": _SOURCE})
    for number, path in enumerate(_python()):
        volume = {"name": f"python-{number}", "hostPath": {"path": path}}
        mount = {"name": volume["name"], "mountPath": path, "readOnly": True}
        template["spec"]["volumes"].append(volume)
        container["volumeMounts"].append(mount)
    cluster.kube.apply(wanted)


def _for_tests(cluster: Cluster) -> list[str]:
    """Return what is not as everywhere: the port, and shorter times."""
    return [
        f"--kubelet-url={cluster.node.url}",
        f"--checkpoint-grace-period={GRACE:.0f}s",
        f"--interval={INTERVAL:.0f}s",
    ]


def _python() -> list[str]:
    """Return the directories that this Python needs; what is inside another comes with it."""
    needed = {"/lib", "/lib64", "/usr", sys.base_prefix, sys.prefix, _SOURCE}
    above = [{str(parent) for parent in Path(path).parents} for path in sorted(needed)]
    return [
        path
        for path, parents in zip(sorted(needed), above, strict=True)
        if not parents & needed and Path(path).exists()
    ]
