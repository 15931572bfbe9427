"""A cluster and a node of it: sources that answer as the real ones do, and a disk that may fail.

What a source says passes through the same functions as the answer of a real one (`answers`), so
that what is made up here is a status and a body. The files are real ones.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from attrs import field, frozen, mutable

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import (
    Fetched,
    Got,
    PodList,
    read_api_list,
    read_fetched,
    read_get,
    read_kubelet_list,
    read_namespace_uid,
)
from checkpointkit.pods.assets import Roots
from checkpointkit.pods.checkpointer import Options, PodCheckpointer
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.directory import FileCalls
from checkpointkit.pods.files.manifests import Manifests
from checkpointkit.pods.files.reading import MAX_BYTES
from checkpointkit.pods.model import CHECKPOINT_OF, CONFIG_SOURCE, PodName, Scope
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.rules.metadata import static_name
from checkpointkit.pods.runtime import Container, ContainerState, Runtime, Sandbox
from checkpointkit.pods.sources import ApiServer, ContainerRuntime, Kubelet
from checkpointkit.pods.state import PodState

T = TypeVar("T")

STATUS: Final = {"unauthorized": 401, "forbidden": 403, "throttled": 429, "error500": 500}
"""What an API server in that mode answers; a plain 404 is a wrong address, or a proxy."""

# --------------------------------------------------------------------------------------- sources


def _bad(mode: str) -> tuple[int, Any] | Failed | None:
    """Return what a source in a mode answers, whatever it is asked; None if it depends."""
    if mode in {"unreachable", "silent"}:
        return Failed("connection refused")
    if mode == "html":
        return 200, None
    if mode == "notfound":
        return 404, None
    if mode in STATUS:
        return STATUS[mode], {"kind": "Status", "reason": mode}
    return None


def _missing(kind: str, name: str) -> tuple[int, Any]:
    details = {"name": name, "kind": kind}
    return 404, {"kind": "Status", "reason": "NotFound", "details": details}


_KINDS: Final[Mapping[str, Literal["ConfigMap", "Secret"]]] = {
    "configmaps": "ConfigMap",
    "secrets": "Secret",
}


@mutable
class FakeApiServer:
    """An API server.

    Besides `ok` and what `_bad` knows, its modes are `cut` (it lists one page of several), `empty`
    (it has lost all objects), and `another` (it is that of another cluster, and has no such pods).
    """

    mode: str = "ok"
    existing: dict[PodName, dict[str, Any]] = field(factory=dict)
    objects: dict[tuple[str, ObjectName], dict[str, Any]] = field(factory=dict)
    modes: dict[tuple[str, ObjectName], str] = field(factory=dict)
    uid: str = "cluster-1"
    asked: list[str] = field(factory=list)

    def pods(self, namespace: str, node: str) -> PodList | Failed:
        return self._ask(f"{namespace}/pods", read_api_list, node)

    def pod(self, name: PodName) -> Got:
        path = f"{name.namespace}/pods/{name.name}"
        return self._ask(path, lambda status, body: read_get(status, body, name))

    def cluster(self) -> str | Failed:
        return self._ask("kube-system", read_namespace_uid)

    def fetch(self, namespace: str, name: ObjectName) -> Fetched:
        path = f"{namespace}/{name.kind.lower()}s/{name.name}"
        return self._ask(path, lambda status, body: read_fetched(status, body, name))

    def _ask(self, path: str, read: Callable[[int, Any], T | Failed], node: str = "") -> T | Failed:
        self.asked.append(path)
        said = _bad(self.mode) or self.respond(path, node)
        return said if isinstance(said, Failed) else read(*said)

    def respond(self, path: str, node: str = "") -> tuple[int, Any] | Failed:
        """Return status and body for a path below /api/v1/namespaces."""
        match path.split("/"):
            case [namespace]:
                uid = f"not-{self.uid}" if self.mode == "another" else self.uid
                return 200, {"kind": "Namespace", "metadata": {"name": namespace, "uid": uid}}
            case [namespace, "pods"]:
                return 200, self._list(namespace, node)
            case [namespace, "pods", name]:
                pod = self._existing().get(PodName(namespace, name))
                return _missing("pods", name) if pod is None else (200, {"kind": "Pod", **pod})
            case [namespace, kind, name]:
                key = (namespace, ObjectName(_KINDS[kind], name))
                mode = self.modes.get(key, "ok")
                if mode == "notfound" or key not in self.objects or self._has_lost_all:
                    return _missing(kind, name)
                return _bad(mode) or (200, self.objects[key])
        raise AssertionError(path)

    def _list(self, namespace: str, node: str) -> dict[str, Any]:
        items = [
            pod
            for name, pod in self._existing().items()
            if name.namespace == namespace and pod["spec"].get("nodeName") == node
        ]
        metadata = {"continue": "abc"} if self.mode == "cut" else {}
        return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}

    @property
    def _has_lost_all(self) -> bool:
        return self.mode in {"empty", "another"}

    def _existing(self) -> dict[PodName, dict[str, Any]]:
        return {} if self._has_lost_all else self.existing


@mutable
class FakeKubelet:
    """A kubelet: the pods that it has from the API server, and those of its directory."""

    mode: str = "ok"
    known: list[dict[str, Any]] = field(factory=list)
    static: list[dict[str, Any]] = field(factory=list)

    def pods(self) -> PodList | Failed:
        said = _bad(self.mode) or (200, self.list())
        return said if isinstance(said, Failed) else read_kubelet_list(*said)

    def list(self) -> dict[str, Any]:
        return {"kind": "PodList", "apiVersion": "v1", "items": [*self.known, *self.static]}


@mutable
class FakeRuntime:
    """A container runtime."""

    mode: str = "ok"
    sandboxes: list[Sandbox] = field(factory=list)
    containers: list[Container] = field(factory=list)

    def runtime(self) -> Runtime | Failed:
        if self.mode != "ok":
            return Failed("the runtime: rpc error: code = Unavailable")
        return Runtime(tuple(self.sandboxes), tuple(self.containers))

    def run(
        self,
        pod: Mapping[str, Any],
        state: ContainerState | None = ContainerState.RUNNING,
        *,
        now: float = 0.0,
        ready: bool = True,
    ) -> None:
        """Let a pod have a sandbox, and a container in that state unless it is None."""
        metadata = pod["metadata"]
        # An id is for ever: another pod, or another attempt of it, has another one.
        number = f"{metadata['name']}-{metadata.get('uid', '')}-{now:.0f}"
        annotations = dict(metadata.get("annotations", {}))
        self.sandboxes.append(
            Sandbox(
                number,
                metadata["namespace"],
                metadata["name"],
                metadata.get("uid", ""),
                ready=ready,
                created_at=now,
                annotations={CONFIG_SOURCE: "api", **annotations},
            )
        )
        if state is not None:
            ended = now if state is ContainerState.EXITED else None
            self.containers.append(Container(number, "c", state, now, finished_at=ended))


def read_pod_file(path: Path) -> dict[str, Any] | None:
    """Return the pod in a file as a kubelet reads it; None for whatever else it is."""
    if path.name.startswith(".") or path.is_symlink() or not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        return None
    try:
        pod = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    metadata = pod.get("metadata") if isinstance(pod, dict) else None
    named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str)
    return pod if named else None


def static_pods(directory: Path, node: str) -> list[dict[str, Any]]:
    """Return the static pods that a kubelet makes of a directory."""
    made = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        pod = read_pod_file(path)
        if pod is not None:
            metadata = pod["metadata"]
            origin = os.fsencode(path.name) + path.read_bytes()
            uid = hashlib.md5(origin, usedforsecurity=False).hexdigest()
            annotations = {**metadata.get("annotations", {}), CONFIG_SOURCE: "file"}
            name = static_name(metadata["name"], node)
            changed = {**metadata, "name": name, "uid": uid, "annotations": annotations}
            made.append({**pod, "metadata": changed})
    return made


def an_object(
    kind: str, name: str, version: str, data: Mapping[str, str], **more: Any
) -> dict[str, Any]:
    """Return a secret or a config map, as JSON has it."""
    texts = {
        key: b64encode(value.encode()).decode() if kind == "Secret" else value
        for key, value in data.items()
    }
    metadata = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": version}
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, "data": texts, **more}


# ------------------------------------------------------------------------------------------ disk


class KilledError(BaseException):
    """The process is gone; nothing catches it, as nothing catches SIGKILL."""


_HARMLESS: Final = {
    "close",
    "geteuid",
    "monotonic",
    "open_files_limit",
    "own_group",
    "sleep",
    "time",
    "unlock",
    "urandom",
}
_READING: Final = {"fstat", "fstatvfs", "listdir", "lstat", "pread", "read", "readlink", "stat"}
_SYNCING: Final = {"fsync", "start_writing", "try_lock"}
_GROWING: Final = {"link", "mkdir", "open", "pwrite", "symlink", "write"}
_WRITING: Final = os.O_CREAT | os.O_WRONLY | os.O_RDWR


class BrittleCalls(FileCalls):
    """Real system calls of a process that is killed ahead of one of them, or has a full disk.

    After its death no call does anything, so that nothing tidies up. A write that is cut short by
    it leaves one half. Syncs cost nothing.

    Attributes:
        changes: How many calls have changed the disk, since it was armed.
        log: These calls.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.log: list[str] = []
        self._killed_at: int | None = None
        self._full_at: int | None = None
        self._is_dead = False
        for name in dir(self):
            real = getattr(self, name)
            if not name.startswith("_") and callable(real) and name not in {*_HARMLESS, "arm"}:
                setattr(self, name, self._guarded(name, real))

    def arm(self, *, killed_before: int | None = None, full_after: int | None = None) -> None:
        """Begin to count anew: be killed before that change, find the disk full after that many."""
        self.changes = 0
        self.log = []
        self._killed_at = killed_before
        self._full_at = full_after

    def _guarded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._is_dead:
                raise KilledError
            if name in _SYNCING:
                return real(*arguments, **options) if name == "try_lock" else None
            if name in _READING or (name == "open" and not arguments[1] & _WRITING):
                return real(*arguments, **options)
            if self.changes == self._killed_at:
                self._is_dead = True
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise KilledError
            if name in _GROWING and self._full_at is not None and self.changes >= self._full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.changes += 1
            self.log.append(f"{name} {' '.join(str(each) for each in arguments)[:80]}")
            return real(*arguments, **options)

        return call


@frozen
class Disk:
    """The directories of a node, all below one, with their usual names."""

    root: Path

    @property
    def inactive(self) -> Path:
        return self.root / "etc/kubernetes/inactive-manifests"

    @property
    def active(self) -> Path:
        return self.root / "etc/kubernetes/manifests"

    @property
    def roots(self) -> Roots:
        below = self.root / "etc/kubernetes"
        return Roots(str(below / "checkpoint-secrets"), str(below / "checkpoint-configmaps"))

    @property
    def state(self) -> Path:
        return self.root / "var/lib/checkpointkit"

    def manifests(self, directory: Path) -> dict[str, dict[str, Any]]:
        """Return the copies in a directory that can be read, by file name."""
        found = {}
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            pod = read_pod_file(path)
            if pod is not None and CHECKPOINT_OF in pod["metadata"].get("annotations", {}):
                found[path.name] = pod
        return found


Asked = tuple[ApiServer, Kubelet, ContainerRuntime]


@mutable
class Sources:
    """The three sources of a node."""

    api: FakeApiServer = field(factory=FakeApiServer)
    kubelet: FakeKubelet = field(factory=FakeKubelet)
    runtime: FakeRuntime = field(factory=FakeRuntime)

    @property
    def all(self) -> Asked:
        return self.api, self.kubelet, self.runtime


def start(
    disk: Disk,
    asked: Asked,
    clock: Callable[[], float],
    *,
    node: str,
    own: PodName | None,
    grace: float,
    namespaces: tuple[str, ...] = ("kube-system",),
    system: FileCalls | None = None,
) -> tuple[PodCheckpointer, PodState]:
    """Return a checkpointer as a process begins with it: it knows nothing but the disk."""
    system = system or FileCalls()
    state = PodState.open(str(disk.state), system=system)
    scope = Scope(node, frozenset(namespaces))
    checkpointer = PodCheckpointer(
        *asked,
        manifests=Manifests(str(disk.inactive), str(disk.active), system=system),
        assets=AssetFiles(disk.roots, system=system),
        state=state,
        options=Options(scope, own=own, grace=grace, roots=disk.roots),
        clock=clock,
    )
    return checkpointer, state
