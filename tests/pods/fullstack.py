"""The worlds of the recorded ticks, our checkpointer in them, and what differs in each tick."""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import field, mutable

from checkpointkit.pods.checkpointer import PodCheckpointer
from checkpointkit.pods.machine import Action
from checkpointkit.pods.model import CHECKPOINT_OF, PodName, own_name
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.runtime import ContainerState
from checkpointkit.pods.state import PodState
from tests.pods.replay import shown
from tests.pods.world import Disk, Sources, an_object, start

Vector = dict[str, Any]

ACTIVE: Final = "/etc/kubernetes/manifests"
INACTIVE: Final = "/etc/kubernetes/inactive-manifests"


@mutable
class World:
    """The world of a vector, and our checkpointer in it."""

    vector: Vector
    disk: Disk
    fields: dict[str, Any] = field(factory=dict)
    sources: Sources = field(factory=Sources)
    now: float = 0.0
    process: PodCheckpointer | None = None
    state: PodState | None = None

    def tick(self, step: dict[str, Any]) -> dict[str, Any]:
        """Have a tick; return what came of it, as the vectors write it."""
        self.now += step["dt"]
        for name, value in (step["set"] or {}).items():
            merged = isinstance(value, dict)
            self.fields[name] = {**self.fields.get(name, {}), **value} if merged else value
        for path, text in step["files"].items():
            file = self.path(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for path in step["delete"]:
            if self.path(path).is_dir():
                shutil.rmtree(self.path(path))
            else:
                self.path(our_name(path)).unlink()
        if step["restart"] or self.process is None:
            self.restart()
        self.show()
        assert self.process is not None
        assert self.state is not None
        tick = self.process.reconcile()
        did = {
            action: [str(pod.name) for pod in tick.pods if action in pod.actions]
            for action in (Action.START, Action.STOP, Action.REMOVE)
        }
        return {
            "now": self.now,
            "states": {
                str(name): shown(record.stage)
                for name, record in self.state.records().items()
                if not record.removed
            },
            "start": did[Action.START],
            "stop": did[Action.STOP],
            "remove": did[Action.REMOVE],
            "tree": dict(tree(self.disk.root)),
            "tick": tick,
        }

    def path(self, path: str) -> Path:
        return self.disk.root / path.lstrip("/")

    def restart(self) -> None:
        own = self.vector["self"]
        self.process, self.state = start(
            self.disk,
            self.sources.all,
            lambda: self.now,
            node=own["NodeName"],
            own=own_name(own["PodNamespace"], own["PodName"], own["NodeName"]),
            grace=self.vector["grace"],
        )

    def show(self) -> None:
        """Let the sources say what the fields say.

        The vectors have the phase Running and no conditions: a pod whose phase is that is Ready.
        """
        fields, api = self.fields, self.sources.api
        api.mode = fields["APIMode"]
        conditions = [{"type": "Ready", "status": "True"}]
        pods = [
            {**pod, "status": {**pod["status"], "conditions": conditions}}
            for pod in fields["APIPods"]
        ]
        api.existing = {name_of(pod): pod for pod in pods}
        api.objects = {}
        for kind, key in (("Secret", "Secrets"), ("ConfigMap", "ConfigMaps")):
            for path, data in fields[key].items():
                namespace, _, name = path.partition("/")
                more = {} if kind == "Secret" else {"binaryData": fields["BinaryData"].get(path)}
                made = an_object(kind, name, json.dumps(data), data, **more)
                api.objects[namespace, ObjectName(kind, name)] = made  # type: ignore[arg-type]
        kinds = {"secret": "Secret", "configmap": "ConfigMap"}
        for place, mode in fields["ObjModes"].items():
            kind, _, path = place.partition(":")
            namespace, _, name = path.partition("/")
            api.modes[namespace, ObjectName(kinds[kind], name)] = mode  # type: ignore[arg-type]
        kubelet = self.sources.kubelet
        kubelet.mode = "ok" if fields["KubeletMode"] == "ok" else "unreachable"
        kubelet.known = fields["KubeletPods"]
        runtime = self.sources.runtime
        runtime.mode = fields["CRIMode"]
        runtime.sandboxes, runtime.containers = [], []
        ready, running = set(fields["CRISandbox"]), set(fields["CRIContain"])
        for path in sorted(ready | running):
            namespace, _, name = path.partition("/")
            state = ContainerState.RUNNING if path in running else None
            runtime.run(
                {"metadata": {"namespace": namespace, "name": name}},
                state,
                now=self.now,
                ready=path in ready,
            )


def our_name(path: str) -> str:
    """Return the path of our file for a manifest of the original's."""
    return path.replace("/kube-system-", "/kube-system_")


def name_of(pod: dict[str, Any]) -> PodName:
    return PodName(pod["metadata"]["namespace"], pod["metadata"]["name"])


def tree(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every path below /etc/kubernetes, as the vectors write it; a link with its file."""
    for path in sorted((root / "etc/kubernetes").rglob("*")):
        mode = path.stat().st_mode
        entry = {
            "type": "dir" if stat.S_ISDIR(mode) else "file",
            "mode": f"{stat.S_IMODE(mode):04o}",
        }
        if entry["type"] == "file":
            entry |= described(path.read_text())
        yield f"/{path.relative_to(root)}", entry


def described(text: str) -> dict[str, str]:
    try:
        pod = json.loads(text)
        return {
            "checkpoint_of": pod["metadata"]["annotations"][CHECKPOINT_OF],
            "image": pod["spec"]["containers"][0]["image"],
        }
    except (ValueError, KeyError, TypeError):
        return {"content": text}


# ------------------------------------------------------------------------------------- differences


@mutable
class Tick:
    """A tick of both: the world, what was wanted, what was made; and the tick before it."""

    vector: Vector
    number: int
    fields: dict[str, Any]
    theirs: dict[str, Any]
    ours: dict[str, Any]
    before: Tick | None
    everywhere: Counter[str] = field(factory=Counter)
    """Differences that are in every tick, by name."""
    differences: dict[str, dict[str, tuple[Any, Any]]] = field(init=False)
    """What differs, by pod: the state, the actions, and paths; ours second."""

    def __attrs_post_init__(self) -> None:
        self.differences = self._compared()

    @property
    def own(self) -> str:
        own = self.vector["self"]
        return str(own_name(own["PodNamespace"], own["PodName"], own["NodeName"]))

    @property
    def has_left(self) -> bool:
        """Whether the original has removed all, and itself, before this tick."""
        return self.before is not None and self.own in self.before.theirs["remove"]

    def _compared(self) -> dict[str, dict[str, tuple[Any, Any]]]:
        found: dict[str, dict[str, tuple[Any, Any]]] = {}

        def compare(pod: str, what: str, theirs: Any, ours: Any) -> None:
            if theirs != ours:
                found.setdefault(pod, {})[what] = (theirs, ours)

        pods = {*self.theirs["states"], *self.ours["states"]}
        for what in ("start", "stop", "remove"):
            pods |= {*self.theirs[what], *self.ours[what]}
        for pod in pods:
            compare(pod, "state", self.theirs["states"].get(pod), self.ours["states"].get(pod))
            for what in ("start", "stop", "remove"):
                compare(pod, what, pod in self.theirs[what], pod in self.ours[what])
        theirs = {entry["path"]: entry for entry in self.theirs["tree"]}
        ours = self._translated()
        for path in theirs.keys() | ours.keys():
            pod = pod_of(path)
            if path not in ours or path not in theirs:
                compare(pod, path, path in theirs, path in ours)
                continue
            for aspect in ("type", "content", "checkpoint_of", "image"):
                pair = theirs[path].get(aspect), ours[path].get(aspect)
                compare(pod, f"{path}: {aspect}", *pair)
            modes = theirs[path]["mode"], ours[path]["mode"]
            if modes[0] != modes[1]:
                self.everywhere[f"mode of {kind_of(path, theirs[path])}: {' '.join(modes)}"] += 1
        return found

    def _translated(self) -> dict[str, dict[str, Any]]:
        """Return our tree in the original's names."""
        found = {}
        for path, entry in self.ours["tree"].items():
            directory, _, name = path.rpartition("/")
            if "/.." in path:
                self.everywhere["layout: ..data and what it names"] += name == "..data"
            elif directory.endswith("manifests") and "_" in name:
                self.everywhere["name of a manifest"] += 1
                found[f"{directory}/{name.replace('_', '-', 1)}"] = entry
            else:
                found[path] = entry
        return found


def pod_of(path: str) -> str:
    """Return whose a path is; empty for nobody's."""
    _, _, _, root, *rest = path.split("/")
    if root.endswith("manifests") and rest and rest[0].startswith("kube-system-"):
        return f"kube-system/{rest[0].removeprefix('kube-system-').removesuffix('.json')}"
    return "/".join(rest[:2]) if root.startswith("checkpoint-") and len(rest) > 1 else ""


def kind_of(path: str, entry: dict[str, Any]) -> str:
    if "manifests/" in path:
        return "a manifest"
    return f"a {entry['type']} of a volume"


def replayed(vector: Vector, directory: Path) -> Iterator[Tick]:
    """Yield each tick of a vector."""
    world = World(vector, Disk(directory))
    world.disk.inactive.mkdir(parents=True, mode=0o700)
    world.disk.active.mkdir(mode=0o755)
    before: Tick | None = None
    for number, (step, want) in enumerate(zip(vector["steps"], vector["want"], strict=True)):
        ours = world.tick(step)
        before = Tick(vector, number, dict(world.fields), want, ours, before)
        yield before
