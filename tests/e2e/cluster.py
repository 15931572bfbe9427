"""A cluster of one node on loopback: `python -m tests.e2e.cluster` starts one to look at."""

from __future__ import annotations

import base64
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.e2e.binaries import build, cache
from tests.e2e.controlplane import ControlPlane
from tests.e2e.images import busybox_image
from tests.e2e.kube import path_of
from tests.e2e.needs import missing, program
from tests.e2e.node import NODE, PAUSE, Node
from tests.e2e.processes import eventually
from tests.e2e.workload import IMAGES

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["BINARIES", "Cluster"]

BINARIES: Final = "bin"


class Cluster:
    """A control plane and a node, started with a `with`, and ended with it.

    Its files are in a directory of their own under /tmp, and go in the end; `keep` leaves the
    logs there.
    """

    def __init__(self) -> None:
        binaries = cache() / BINARIES
        build(binaries)
        self.directory = Path(tempfile.mkdtemp(prefix="checkpointkit-e2e-", dir="/tmp"))
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.keep = False
        self.control = ControlPlane(self.directory, binaries, self.logs)
        self.kube = self.control.kube
        self.node = Node(self.directory / "node", binaries, self.logs, self.control, self._images())

    def __enter__(self) -> Cluster:
        try:
            self.control.start()
            self.node.power_on()
            eventually("the node is ready", self._node_is_ready, 60)
            labels = {"node-role.kubernetes.io/control-plane": ""}
            self.kube.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": NODE, "labels": labels},
                }
            )
        except BaseException:
            self.keep = True
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all of it, and take away what it has left."""
        self.node.power_off()
        self.control.stop()
        if not self.keep:
            shutil.rmtree(self.directory)

    def token(self, namespace: str, secret: str) -> str:
        """Return the token of a service account that the controllers have put into a secret."""

        def look() -> str | None:
            found = self.kube.get(path_of("Secret", namespace, secret)) or {}
            token: str | None = found.get("data", {}).get("token")
            return token

        return base64.b64decode(eventually(f"{secret} has a token", look)).decode()

    def _node_is_ready(self) -> bool:
        node = self.kube.get(f"/api/v1/nodes/{NODE}") or {}
        conditions = node.get("status", {}).get("conditions", ())
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _images(self) -> list[Path]:
        busybox = Path(program("busybox") or "busybox")
        archives = []
        for number, (name, programs) in enumerate({PAUSE: {}, **IMAGES}.items()):
            archive = self.directory / f"image{number}.tar"
            busybox_image(archive, name, busybox, programs)
            archives.append(archive)
        return archives


def main() -> None:
    """Start a cluster, say where it is, and end it when interrupted."""
    lacks = missing(cache() / BINARIES)
    if lacks:
        raise SystemExit(lacks)
    with Cluster() as cluster:
        admin = cluster.control.authority.client("you", "you", "system:masters")
        print(f"kubeconfig  {cluster.control.kubeconfig('you', admin)}")  # noqa: T201
        print(f"kubelet     {cluster.node.url}")  # noqa: T201
        print(f"runtime     {cluster.node.socket}")  # noqa: T201
        print(f"manifests   {cluster.node.manifests}")  # noqa: T201
        print(f"logs        {cluster.logs}", flush=True)  # noqa: T201
        signals = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # what was started has a mask of its own
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
