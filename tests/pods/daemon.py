"""A node with servers for all three sources, and the daemon on it, as a process or in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import parse_qs, urlsplit

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.daemon.flags import Flags
from checkpointkit.pods.daemon.settings import Settings, read_settings
from checkpointkit.pods.model import CHECKPOINT, CONFIG_SOURCE, PodName
from checkpointkit.pods.references import ObjectName
from tests.pods.clients import cri_server
from tests.pods.clients.cri_server import CriServer
from tests.pods.clients.servers import SECRET, Request, Server, reply
from tests.pods.world import Disk, FakeApiServer, FakeKubelet, an_object

NODE = "node1"
WEB = PodName("kube-system", "web")
OWN = PodName("kube-system", "pod-checkpointer-q9zlm")
PATIENCE = 120.0
"""Seconds until a test gives up; machines are slow at times."""
ENVIRONMENT = {"NODE_NAME": NODE, "POD_NAMESPACE": "kube-system", "HOST_IP": "127.0.0.1"}
AS_POD = {**ENVIRONMENT, "POD_NAME": OWN.name}


def parent(name: PodName = WEB, **spec: Any) -> dict[str, Any]:
    """Return a parent that is Ready, and mounts a secret."""
    volume = {"name": "tls", "secret": {"secretName": "tls"}}
    mount = {"name": "tls", "mountPath": "/tls"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name.name,
            "namespace": name.namespace,
            "uid": f"uid-{name.name}",
            "annotations": {CHECKPOINT: "true"},
        },
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "c", "image": "web:1", "volumeMounts": [mount]}],
            "volumes": [volume],
            **spec,
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


class Node:
    """A node whose API server, kubelet and container runtime are servers on loopback.

    Attributes:
        disk: Its directories.
        api: What the API server has.
        kubelet: What the kubelet has.
        cri: The container runtime.
        requests: What was asked of the API server.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.disk = Disk(root)
        self.api = FakeApiServer(objects={("kube-system", ObjectName("Secret", "tls")): TLS})
        self.kubelet = FakeKubelet()
        self.cri = CriServer(str(root / "cri.sock"))

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.servers = [
            self._stack.enter_context(Server(answer))
            for answer in (self._answer_api, self._answer_kubelet)
        ]
        self._stack.enter_context(self.cri)
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        self.kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.servers[0].url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [context],
        }
        (self.root / "kubeconfig").write_text(json.dumps(self.kubeconfig))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def requests(self) -> list[Request]:
        return self.servers[0].requests

    def run(self, name: PodName = WEB, **spec: Any) -> None:
        """Let a parent run here."""
        self.api.existing[name] = parent(name, **spec)
        self.kubelet.known.append(self.api.existing[name])
        metadata = {"namespace": name.namespace, "name": name.name, "uid": f"uid-{name.name}"}
        annotations = {CHECKPOINT: "true", CONFIG_SOURCE: "api"}
        self.cri.sandboxes.append(
            cri_server.sandbox(name.name, metadata=metadata, annotations=annotations)
        )
        self.cri.containers.append(cri_server.container(f"c-{name.name}", name.name))

    def crash(self) -> None:
        """Let everything end that runs here, and the API server not answer any more."""
        self.api.mode = "error500"
        self.kubelet.mode = "error500"
        self.cri.sandboxes, self.cri.containers = [], []

    def arguments(self, *more: str) -> list[str]:
        """Return what is typed behind `checkpointkit`."""
        return ["pods", "run", *self.directories(), *self._sources(), "--interval=50ms", *more]

    def directories(self) -> list[str]:
        roots = self.disk.roots
        return [
            f"--state-directory={self.disk.state}",
            f"--inactive-manifests={self.disk.inactive}",
            f"--manifests={self.disk.active}",
            f"--checkpoint-secrets={roots.secrets}",
            f"--checkpoint-configmaps={roots.configmaps}",
        ]

    def settings(self, environment: dict[str, str] = ENVIRONMENT, **flags: Any) -> Settings:
        """Return the settings of the daemon, for one tick."""
        typed = {
            name.removeprefix("--").replace("-", "_"): value
            for name, _, value in (
                each.partition("=") for each in (*self.directories(), *self._sources())
            )
        }
        return read_settings(Flags(**{**typed, "once": True, **flags}), environment)

    def _sources(self) -> list[str]:
        return [
            f"--kubeconfig={self.root / 'kubeconfig'}",
            f"--kubelet-url={self.servers[1].url}",
            f"--container-runtime-endpoint=unix://{self.cri.path}",
            f"--lock-file={self.root / 'lock'}",
        ]

    def _answer_api(self, request: Request) -> bytes:
        if self.api.mode != "ok":
            return reply({}, 500)
        target = urlsplit(request.target)
        selector = parse_qs(target.query).get("fieldSelector", [""])[0]
        path = target.path.removeprefix("/api/v1/namespaces/")
        said = self.api.respond(path, selector.removeprefix("spec.nodeName="))
        assert not isinstance(said, Failed)
        return reply(said[1], said[0])

    def _answer_kubelet(self, request: Request) -> bytes:
        assert request.target == "/pods"
        return reply(self.kubelet.list()) if self.kubelet.mode == "ok" else reply({}, 500)


TLS = an_object("Secret", "tls", "1", {"ca.crt": SECRET})


class Daemon:
    """The daemon as a process; its log is read as it comes.

    Attributes:
        lines: What it has logged so far.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str] = ENVIRONMENT) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "checkpointkit", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()

    def _read(self, log: IO[str]) -> None:
        for line in log:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, text: str) -> None:
        """Wait until it has logged that."""
        wait_until(lambda: any(text in line for line in self.lines) or self._has_ended)
        assert any(text in line for line in self.lines), "\n".join(self.lines)

    @property
    def _has_ended(self) -> bool:
        return self.process.poll() is not None and not self._reader.is_alive()

    def end(self, number: int) -> int:
        """Send it a signal, and wait for its end; its exit status."""
        self.process.send_signal(number)
        return self.ended()

    def close(self) -> None:
        """Wait for its end, and close its pipes."""
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def ended(self) -> int:
        """Wait for its end; its exit status. It has printed nothing."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        assert self.process.stdout.read() == ""
        return status


@contextmanager
def daemon(arguments: list[str], environment: dict[str, str] = ENVIRONMENT) -> Iterator[Daemon]:
    """Start the daemon; kill it in the end if it still runs."""
    started = Daemon(arguments, environment)
    try:
        yield started
    finally:
        started.process.kill()
        started.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < limit, "it is never so"
        time.sleep(0.02)
