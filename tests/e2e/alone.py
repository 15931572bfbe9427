"""A node whose kubelet knows no API server, and runs one pod from a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

import checkpointkit
from tests.e2e.binaries import build, cache
from tests.e2e.cluster import BINARIES
from tests.e2e.images import busybox_image
from tests.e2e.needs import program
from tests.e2e.node import PAUSE, Node
from tests.e2e.processes import eventually
from tests.e2e.workload import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.e2e.processes import Process

__all__ = ["CONTAINER", "POD", "ROOT", "Alone", "Start"]

ROOT: Final = "/var/lib/kubelet"
"""The kubelet's root directory, on the node."""
POD: Final = "0d1f6c0a-5b7e-4c39-9f43-6f2f3c1f7a10"
"""The UID of the pod."""
CONTAINER: Final = "web"
"""Its only container."""

_SOON: Final = 60.0
"""Seconds within which a start has come to something; measured 0.3 to 2."""
# It says on which CPUs it may run.
_SCRIPT: Final = """
grep Cpus_allowed_list /proc/self/status >/out/.cpus
mv /out/.cpus /out/cpus
exec sleep 1000000
"""


@frozen
class Start:
    """What has become of a start.

    Attributes:
        status: The kubelet's exit status; None where it runs on.
        log: What it has said.
        cpus: The CPUs that its pod may run on, as the kernel writes them; none where none runs.
    """

    status: int | None
    log: str
    cpus: str


class Alone:
    """The node, off at first; a `with` ends it, and takes its files away.

    Attributes:
        policy: The policy of the CPU manager that the kubelet is configured with.
        reserved: The CPU that no container gets for itself.
        keep: Whether the logs stay.
        logs: Where they are.
    """

    def __init__(self) -> None:
        binaries = cache() / BINARIES
        build(binaries)
        self.policy, self.reserved, self.keep = "none", 0, False
        self._directory = Path(tempfile.mkdtemp(prefix="checkpointkit-e2e-", dir="/tmp"))
        self.logs, self._out = self._directory / "logs", self._directory / "out"
        for each in (self.logs, self._out):
            each.mkdir()
        images = [self._image(number, name) for number, name in enumerate((PAUSE, GOOD))]
        self._node = Node(self._directory / "node", binaries, self.logs, None, images)
        self._kubelet: Process | None = None
        self._is_on = False
        self._runs = 0

    def __enter__(self) -> Alone:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.power_off()
        if not self.keep:
            shutil.rmtree(self._directory)

    def at(self, name: str) -> Path:
        """Return where a file of the kubelet is seen from outside."""
        return self._node.at(ROOT) / name

    def put_pod(self) -> None:
        """Tell the kubelet to run the pod."""
        out = {"name": "out", "hostPath": {"path": str(self._out)}}
        container = {
            "name": CONTAINER,
            "image": GOOD,
            "imagePullPolicy": "Never",
            "command": ["/bin/sh", "-ec", _SCRIPT],
            # Guaranteed, and a whole CPU: what the static policy gives a CPU for itself.
            "resources": {"limits": {"cpu": "1", "memory": "32Mi"}},
            "volumeMounts": [{"name": "out", "mountPath": "/out"}],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "uid": POD},
            "spec": {"hostNetwork": True, "containers": [container], "volumes": [out]},
        }
        (self._node.manifests / "web.json").write_text(json.dumps(pod))

    def take_pod(self) -> None:
        """Tell the kubelet no more to run the pod."""
        (self._node.manifests / "web.json").unlink()

    def start(self, what: str = "the pod runs", look: Callable[[], object] | None = None) -> Start:
        """Start the kubelet, and wait until there is something, or it has ended.

        What it has run before is gone by then: a pod that runs, runs because of this start.

        Args:
            what: What is waited for, in words.
            look: Returns it, or nothing; None for the pod, which says that it runs.
        """
        self._boot_afresh()
        says = self._out / "cpus"
        says.unlink(missing_ok=True)
        log = self.logs / "kubelet.log"
        before = log.stat().st_size if log.exists() else 0
        settings = {"cpuManagerPolicy": self.policy, "cpuManagerReconcilePeriod": "1s"}
        if self.policy == "static":
            settings["reservedSystemCPUs"] = str(self.reserved)
        kubelet = self._kubelet = self._node.start_kubelet(settings)
        look = look or says.exists
        eventually(what, lambda: not kubelet.is_alive or look(), _SOON)
        status = None if kubelet.is_alive else kubelet.wait()
        with log.open("rb") as file:
            file.seek(before)
            said = file.read().decode(errors="replace")
        found = re.search(r"Cpus_allowed_list:\s*(\S+)", says.read_text() if says.exists() else "")
        return Start(status, said, found[1] if found else "")

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run `checkpointkit kubelet` on the node.

        Args:
            words: What stands behind it.

        Returns:
            Its exit status, and its document.
        """
        self._boot()
        self._runs += 1
        command = [sys.executable, "-m", "checkpointkit", "kubelet", *words, "--json"]
        source = str(Path(checkpointkit.__file__).parents[1])
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": source}
        name = f"checkpointkit-{self._runs}"
        status = self._node.start(name, command, environment).wait()
        document: dict[str, Any] = json.loads((self.logs / f"{name}.log").read_text())
        return status, document

    def power_off(self) -> None:
        """End all that runs on it, at one moment."""
        self._node.power_off()
        self._kubelet, self._is_on = None, False

    def _boot(self) -> None:
        if not self._is_on:
            self._is_on = True
            self._node.boot()

    def _boot_afresh(self) -> None:
        """Boot, where something runs that an earlier kubelet has started."""
        if self._kubelet is not None and self._kubelet.is_alive:
            self.power_off()
        self._boot()

    def _image(self, number: int, name: str) -> Path:
        archive = self._directory / f"image{number}.tar"
        busybox_image(archive, name, Path(program("busybox") or "busybox"))
        return archive
