"""What the stories have in common: the node's files, its pods, and an end that leaves nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.account import NAMESPACE
from tests.e2e.daemon import start_daemon
from tests.e2e.kube import path_of
from tests.e2e.processes import eventually
from tests.e2e.seen import Diary, now
from tests.e2e.workload import GOOD, OBJECTS, daemon_set

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.cluster import Cluster
    from tests.e2e.processes import Process

__all__ = ["ACTIVE", "INACTIVE", "Scene"]

INACTIVE: Final = "/etc/kubernetes/inactive-manifests"
ACTIVE: Final = "/etc/kubernetes/manifests"
_ASSETS: Final = ("/etc/kubernetes/checkpoint-secrets", "/etc/kubernetes/checkpoint-configmaps")
_RECORDS: Final = "/var/lib/checkpointkit"
_DIRECTORIES: Final = {
    "--state-directory": f"{_RECORDS}/pods",
    "--inactive-manifests": INACTIVE,
    "--manifests": ACTIVE,
    **dict(zip(("--checkpoint-secrets", "--checkpoint-configmaps"), _ASSETS, strict=True)),
}


class Scene:
    """One story's part of the cluster, started with a `with`, and clean after it.

    Args:
        cluster: The cluster.
        name: The name of its DaemonSet.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.diary = Diary(cluster.directory / f"diary-{name}")
        self._daemon: Process | None = None

    def __enter__(self) -> Scene:
        for each in OBJECTS:
            metadata = {**each["metadata"], "namespace": NAMESPACE}
            self.cluster.kube.apply({**each, "metadata": metadata})
        return self

    def __exit__(self, *_: object) -> None:
        """Bring the cluster back to where it was, whatever has happened."""
        self.cluster.node.power_off()
        logs = self.cluster.node.at("/var/lib/kubelet/logs")
        shutil.copytree(logs, self.cluster.logs / f"pods-{self.name}")
        control, kube = self.cluster.control, self.cluster.kube
        control.stop_controllers()  # else they make again what they have not yet seen go
        control.stop_server()
        control.start_server()
        for each in kube.items(path_of("DaemonSet", NAMESPACE, version="apps/v1")):
            self.delete(each["metadata"]["name"])
        for each in kube.items(path_of("Pod", NAMESPACE)):
            path = path_of("Pod", NAMESPACE, each["metadata"]["name"])
            kube.delete(path, gracePeriodSeconds=0)  # nobody runs it: the node is off
        control.start_controllers()
        for path in (INACTIVE, ACTIVE, *_ASSETS, _RECORDS):
            _empty(self.cluster.node.at(path))
        self.cluster.node.power_on()

    def start_daemon(self) -> None:
        """Start the checkpointer as a program on the node; it ends with the node's power."""
        self._daemon = start_daemon(self.cluster)

    def end_daemon(self) -> int:
        """Ask the checkpointer to end, and return its exit status."""
        if self._daemon is None:
            raise RuntimeError("there is none")
        return self._daemon.end()

    def apply(self, image: str = GOOD) -> None:
        """Make the pods of the DaemonSet run, or fail, with an image."""
        directory = str(self.diary.directory)
        self.cluster.kube.apply(daemon_set(self.name, NAMESPACE, directory, image))

    def delete(self, name: str) -> None:
        """Delete a DaemonSet, and what it owns."""
        self.cluster.kube.delete(path_of("DaemonSet", NAMESPACE, name, "apps/v1"))

    def pods(self, app: str = "") -> list[dict[str, Any]]:
        """Return the pods of the API server, without the mirrors of static ones.

        Args:
            app: The DaemonSet's name; all if empty.
        """
        return [
            pod
            for pod in self.cluster.kube.items(path_of("Pod", NAMESPACE))
            if "kubernetes.io/config.mirror" not in pod["metadata"].get("annotations", {})
            and (not app or _owner(pod) == app)
        ]

    def pod(self, image: str = GOOD, app: str = "") -> str:
        """Wait for the pod of a DaemonSet, and return its name.

        Args:
            image: The image that it has.
            app: The DaemonSet's name, if it is not the story's own.
        """

        def look() -> list[str]:
            return [
                str(pod["metadata"]["name"])
                for pod in self.pods(app or self.name)
                if pod["spec"]["containers"][0]["image"] == image
                and "deletionTimestamp" not in pod["metadata"]
            ]

        return eventually(f"there is a pod with {image}", look)[0]

    def restarts(self, name: str) -> int:
        """Return how often the container of a pod was started again."""
        pod = self.cluster.kube.get(path_of("Pod", NAMESPACE, name)) or {}
        statuses = pod.get("status", {}).get("containerStatuses", ())
        return sum(each["restartCount"] for each in statuses)

    def is_going(self, name: str) -> bool:
        """Whether a pod is being deleted, or not there any more."""
        pod = self.cluster.kube.get(path_of("Pod", NAMESPACE, name))
        return pod is None or "deletionTimestamp" in pod["metadata"]

    def files(self, directory: str) -> dict[str, dict[str, Any]]:
        """Return the manifests in a directory, by their file's name."""
        found = {}
        for path in self.cluster.node.at(directory).glob("[!.]*.json"):
            try:
                found[path.name] = json.loads(path.read_text())
            except FileNotFoundError:
                continue
        return found

    def started(self, seconds: float) -> set[str]:
        """Watch for a while which manifests come, or are there, and return their files' names."""
        end, found = now() + seconds, set[str]()
        while now() < end:
            found.update(self.files(ACTIVE))
            time.sleep(0.02)
        return found

    def status(self) -> dict[str, str]:
        """Return the state of each pod, as `pods status` tells it, which finds nothing wrong."""
        at = self.cluster.node.at
        flags = [f"{flag}={at(path)}" for flag, path in _DIRECTORIES.items()]
        command = [sys.executable, "-m", "checkpointkit", "pods", "status", "--json", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = json.loads(done.stdout)
        if done.returncode or not told["ok"]:
            raise AssertionError(f"pods status: {told}")
        return {pod["name"]: pod["state"] for pod in told["pods"]}

    def asset_roots(self) -> list[Path]:
        """Return the directories below which the files are that copies mount."""
        return [self.cluster.node.at(path) for path in _ASSETS]

    def assets(self) -> list[Path]:
        """Return all files that copies mount, and the directories above them."""
        return sorted(path for root in self.asset_roots() for path in root.rglob("*"))

    def leftovers(self) -> list[Path]:
        """Return all files of pods; there are none when nothing is saved."""
        directories = [self.cluster.node.at(path) for path in (INACTIVE, ACTIVE)]
        return [*(path for each in directories for path in each.iterdir()), *self.assets()]


def _owner(pod: dict[str, Any]) -> str:
    return next((str(each["name"]) for each in pod["metadata"].get("ownerReferences", ())), "")


def _empty(directory: Path) -> None:
    if directory.is_dir():
        for path in directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
