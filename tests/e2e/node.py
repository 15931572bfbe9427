"""A node: containerd and a kubelet on a machine that can lose its power."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tests.e2e.machine import Machine
from tests.e2e.needs import program
from tests.e2e.processes import Process, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.e2e.controlplane import ControlPlane

__all__ = ["NODE", "PAUSE", "Node"]

NODE: Final = "node1"
PAUSE: Final = "checkpointkit.test/pause:1"

_CONTAINERD: Final = "/run/containerd"
_SOCKET: Final = f"{_CONTAINERD}/containerd.sock"
_PATHS: Final = (
    "/etc/cni/net.d",
    "/etc/kubernetes",
    "/var/lib/checkpointkit",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    _CONTAINERD,
)

# restrict_oom_score_adj: a virtual machine may lack the right to lower it.
_CONTAINERD_CONFIG: Final = f"""
version = 2
root = "/var/lib/containerd"
state = "{_CONTAINERD}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "/etc/cni/net.d"
"""

# Makes the node ready; only pods on the host's network get one.
_NETWORK: Final = {"cniVersion": "0.4.0", "name": "lo", "plugins": [{"type": "loopback"}]}

# Without an API server there is nobody to ask who may ask the kubelet.
_NOBODY: Final[Mapping[str, object]] = MappingProxyType(
    {
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
    }
)


class Node:
    """A node, off at first.

    Its files are those of any node: /etc/kubernetes, /var/lib/kubelet, /run/containerd; from
    outside they are elsewhere, and `at` says where.

    Args:
        directory: What it keeps.
        binaries: Where the kubelet is.
        logs: Where its programs log.
        control: Where it registers; None for a kubelet that knows no API server.
        images: The images that it has, as archives.
    """

    def __init__(
        self,
        directory: Path,
        binaries: Path,
        logs: Path,
        control: ControlPlane | None,
        images: Sequence[Path],
    ) -> None:
        self._binaries, self._images = binaries, tuple(images)
        self._machine = Machine(directory, logs, _PATHS, (_CONTAINERD,))
        self._port, self._health = free_ports(2)
        self.url = f"https://127.0.0.1:{self._port}"
        self._configure()
        self._kubeconfig: tuple[str, ...] = ()
        trust = _NOBODY if control is None else self._join(control)
        self._config = {**self._kubelet_config(), **trust}

    def at(self, path: str) -> Path:
        """Return where a file of the node is seen from outside."""
        return self._machine.at(path)

    @property
    def socket(self) -> str:
        """The runtime's socket, from outside."""
        return f"unix://{self.at(_SOCKET)}"

    @property
    def manifests(self) -> Path:
        """The directory of static pods, from outside."""
        return self.at("/etc/kubernetes/manifests")

    def power_on(self) -> None:
        """Start the runtime and the kubelet."""
        self.boot()
        self.start_kubelet().until(self._is_healthy)

    def boot(self) -> None:
        """Start the runtime alone."""
        self._machine.power_on()
        self._start_runtime()

    def start_kubelet(self, settings: Mapping[str, object] | None = None) -> Process:
        """Start the kubelet, and wait for nothing.

        Args:
            settings: What its configuration has besides.
        """
        config = {**self._config, **(settings or {})}
        (self.at("/etc/kubernetes") / "kubelet.json").write_text(json.dumps(config, indent=1))
        words = [
            *(str(self._binaries / "kubelet"), "--config=/etc/kubernetes/kubelet.json"),
            *("--root-dir=/var/lib/kubelet", "--cert-dir=/var/lib/kubelet/pki"),
            *(f"--hostname-override={NODE}", *self._kubeconfig),
        ]
        return self._machine.start("kubelet", words)

    def power_off(self) -> None:
        """End all that runs on it, at one moment."""
        self._machine.power_off()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a program on it, which ends with its power at the latest.

        Args:
            name: The program's, and its log's.
            command: Its words.
            environment: Its whole environment.
        """
        return self._machine.start(name, command, environment)

    def runs(self, word: str) -> list[str]:
        """Return the command lines of the node's processes that have a word in them."""
        return [line for line in self._machine.processes() if word in line]

    def _start_runtime(self) -> None:
        first = not any(self.at("/var/lib/containerd").iterdir())
        command = ["containerd", "--config", "/etc/kubernetes/containerd.toml"]
        runtime = self._machine.start("containerd", command)
        runtime.until(lambda: self._ctr("version"))
        if first:
            for archive in self._images:
                if not self._ctr("images", "import", str(archive)):
                    raise RuntimeError(f"containerd does not take {archive.name}")

    def _ctr(self, *words: str) -> bool:
        ctr = program("ctr") or "ctr"
        address = str(self.at(_SOCKET))
        done = subprocess.run(
            [ctr, "--address", address, "--namespace", "k8s.io", *words],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def _is_healthy(self) -> bool:
        command = ["wget", "-q", "-O", "-", f"http://127.0.0.1:{self._health}/healthz"]
        return (
            subprocess.run(["busybox", *command], capture_output=True, check=False).stdout == b"ok"
        )

    def _configure(self) -> None:
        for path in _PATHS:
            self.at(path).mkdir(parents=True, exist_ok=True)
        self.manifests.mkdir()
        (self.at("/etc/kubernetes") / "containerd.toml").write_text(_CONTAINERD_CONFIG)
        (self.at("/etc/cni/net.d") / "10-lo.conflist").write_text(json.dumps(_NETWORK))

    def _join(self, control: ControlPlane) -> dict[str, object]:
        """Give the kubelet its certificate, and return whom it lets in."""
        user = f"system:node:{NODE}"
        client = control.authority.client("node", user, "system:nodes")
        kubeconfig = control.kubeconfig("node", client)
        (self.at("/etc/kubernetes") / "kubelet").write_bytes(kubeconfig.read_bytes())
        self._kubeconfig = ("--kubeconfig=/etc/kubernetes/kubelet",)
        return {
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(control.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
        }

    def _kubelet_config(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": self._port,
            "healthzPort": self._health,
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            "staticPodPath": "/etc/kubernetes/manifests",
            "podLogsDir": "/var/lib/kubelet/logs",
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            # Only its own: the cgroups of the machine that it runs on are not to be changed.
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            "makeIPTablesUtilChains": False,
            "oomScoreAdj": 0,
            # A machine that plays a node may be nearly full.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "5s",
        }
