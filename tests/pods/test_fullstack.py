"""The whole checkpointer beside the original: the same worlds, tick by tick, and the same tree."""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import field, mutable

from checkpointkit.pods.checkpointer import PodCheckpointer
from checkpointkit.pods.machine import Action
from checkpointkit.pods.model import CHECKPOINT_OF, PodName, own_name
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.runtime import ContainerState
from checkpointkit.pods.state import PodState
from tests.pods.recorded import recorded
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


# ------------------------------------------------------------------------- each of them has a name

Pairs = dict[str, tuple[Any, Any]]
Rule = Callable[[Tick, str, Pairs], bool]
LACKS, HAS = (True, False), (False, True)
"""The original has it and we do not; the other way round."""


def paths(found: Pairs) -> set[tuple[Any, Any]]:
    return {pair for what, pair in found.items() if what.startswith("/")}


def runs(tick: Tick, pod: str) -> bool:
    return pod in tick.fields["CRIContain"]


def objects(tick: Tick, pod: str) -> set[str]:
    """Return what is difficult about a pod that the API server has."""
    specs = [each["spec"] for each in tick.fields["APIPods"] if str(name_of(each)) == pod]
    if not specs:
        return set()
    (spec,) = specs
    kinds = set()
    for volume in spec.get("volumes", ()):
        name = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        path = f"kube-system/{name}"
        known = path in tick.fields["Secrets"] or path in tick.fields["ConfigMaps"]
        kinds |= {"projected"} & volume.keys()
        kinds |= {"missing"} if name and not known else set()
        kinds |= {"optional"} if volume.get("secret", {}).get("optional") else set()
        kinds |= {"binary"} if path in tick.fields["BinaryData"] else set()
        if f"secret:{path}" in tick.fields["ObjModes"]:
            kinds.add(tick.fields["ObjModes"][f"secret:{path}"])
    return kinds | ({"user"} if "runAsUser" in spec.get("securityContext", {}) else set())


def waits_for_a_second_no(tick: Tick, pod: str, found: Pairs) -> bool:
    """One "no" of the runtime starts nothing; it may be a moment between two containers."""
    if found == {"start": HAS}:
        assert tick.before is not None
        return waits_for_a_second_no(tick.before, pod, tick.before.differences[pod])
    reasons = [each.reason for each in tick.ours["tick"].pods if str(each.name) == pod]
    return (
        found.get("state") == ("active", "inactive")
        and found.keys() - {"start", "state"} == {active_path(pod)}
        and reasons[0].endswith("for the first time)")
        and not runs(tick, pod)
    )


def an_error_of_the_runtime_says_nothing(tick: Tick, pod: str, found: Pairs) -> bool:
    """D4: the original starts a copy beside its parent that runs; and stops it again."""
    if found == {"stop": LACKS}:
        assert tick.before is not None
        return bool(tick.before.fields["CRIMode"] != "ok")
    return tick.fields["CRIMode"] != "ok" and found == {
        "state": ("active", "inactive"),
        "start": LACKS,
        active_path(pod): LACKS,
    }


def it_goes_back_to_self(tick: Tick, pod: str, found: Pairs) -> bool:
    """D3: the original becomes inactive, and stops all others in each tick, whatever they need."""
    if tick.theirs["states"].get(tick.own) != "inactive":
        return False
    assert tick.ours["states"][tick.own] == "self"
    if pod != tick.own:
        return found.keys() <= {"state", "stop"} and tick.ours["states"][pod] == "inactive"
    return found == {
        "state": ("inactive", "self"),
        "start": HAS,
        "stop": LACKS,
        active_path(pod): HAS,
    }


def it_has_left(tick: Tick, pod: str, found: Pairs) -> bool:
    """When it has removed all and itself, nothing is saved; the original begins anew."""
    return tick.has_left and tick.ours["states"] == {} and paths(found) <= {LACKS}


def saves_what_the_api_server_has_and_what_runs(tick: Tick, pod: str, found: Pairs) -> bool:
    """The original saves what any list has: without its secrets, or what never was Ready."""
    unknown = tick.fields["APIMode"] != "ok"
    lists = (*tick.fields["APIPods"], *tick.fields["KubeletPods"])
    if pod not in {str(name_of(each)) for each in lists}:
        return False
    return (
        (unknown or not runs(tick, pod))
        and pod not in tick.ours["states"]
        and (paths(found) == {LACKS})
    )


def saves_nothing_that_is_not_complete(tick: Tick, pod: str, found: Pairs) -> bool:
    """A manifest without its assets would be a copy that cannot start."""
    difficult = objects(tick, pod) & {"missing", "forbidden", "projected"}
    told = [each.problems for each in tick.ours["tick"].pods if str(each.name) == pod]
    return bool(difficult) and bool(told[0]) and set(found.values()) == {LACKS}


def asks_again_before_the_minute_is_over(tick: Tick, pod: str, found: Pairs) -> bool:
    return "ok" in objects(tick, pod) and set(found.values()) == {HAS} and tick.theirs["now"] < 60


def optional_is_optional(tick: Tick, pod: str, found: Pairs) -> bool:
    """What is missing and optional is empty, and the rest is there."""
    return objects(tick, pod) >= {"missing", "optional"} and set(found.values()) == {HAS}


def binary_data_is_data(tick: Tick, pod: str, found: Pairs) -> bool:
    return "binary" in objects(tick, pod) and (
        found
        == {
            "/etc/kubernetes/checkpoint-configmaps/kube-system/kube-scheduler-1/sched-cfg/blob": HAS
        }
    )


def files_belong_to_root(tick: Tick, pod: str, found: Pairs) -> bool:
    """The original gives files to the containers' user, and if there are two, it writes none."""
    return "user" in objects(tick, pod) and set(found.values()) == {HAS}


def a_key_that_is_gone_is_gone(tick: Tick, pod: str, found: Pairs) -> bool:
    known = {key for data in tick.fields["Secrets"].values() for key in data}
    places = [path.rpartition("/") for path in found]
    return (
        set(found.values()) == {LACKS}
        and all("checkpoint-secrets" in directory for directory, _, _ in places)
        and all(directory in tick.ours["tree"] for directory, _, _ in places)
        and not known & {key for _, _, key in places}
    )


def what_was_deleted_is_put_back_at_once(tick: Tick, pod: str, found: Pairs) -> bool:
    deleted = tick.vector["steps"][tick.number]["delete"]
    below = tuple(deleted)
    return (
        bool(deleted)
        and set(found.values()) == {HAS}
        and all(path.startswith(below) for path in found)
    )


def yaml_is_not_ours(tick: Tick, pod: str, found: Pairs) -> bool:
    """All that either checkpointer has ever written is JSON."""
    return pod == "kube-system/yam" and found == {
        "state": ("inactive-grace@60", None),
        f"{INACTIVE}/kube-system-yam.json": LACKS,
    }


def dotfiles_of_others_stay(tick: Tick, pod: str, found: Pairs) -> bool:
    return found.keys() == {f"{ACTIVE}/.tmp123", f"{INACTIVE}/.9999"} and (
        set(found.values()) == {HAS}
    )


def what_no_copy_mounts_is_collected(tick: Tick, pod: str, found: Pairs) -> bool:
    """The original keeps files of pods that it does not know for ever, with their secrets."""
    strange = {path for step in tick.vector["steps"] for path in step["files"]}
    return set(found.values()) == {LACKS} and all(
        any(file.startswith(path) for file in strange) for path in found
    )


def empty_directories_go(tick: Tick, pod: str, found: Pairs) -> bool:
    """With the last pod of a namespace goes the directory of the namespace."""
    leaves = tick.own in tick.theirs["remove"] and not tick.has_left
    return leaves and found == {
        "/etc/kubernetes/checkpoint-secrets/kube-system": LACKS,
        "/etc/kubernetes/checkpoint-configmaps/kube-system": LACKS,
    }


def active_path(pod: str) -> str:
    return f"{ACTIVE}/{pod.replace('/', '-')}.json"


RULES: Final[dict[Rule, int]] = {
    waits_for_a_second_no: 7,
    an_error_of_the_runtime_says_nothing: 3,
    it_goes_back_to_self: 10,
    it_has_left: 8,
    saves_what_the_api_server_has_and_what_runs: 5,
    saves_nothing_that_is_not_complete: 4,
    asks_again_before_the_minute_is_over: 2,
    optional_is_optional: 2,
    binary_data_is_data: 1,
    files_belong_to_root: 1,
    a_key_that_is_gone_is_gone: 2,
    what_was_deleted_is_put_back_at_once: 3,
    yaml_is_not_ours: 2,
    dotfiles_of_others_stay: 2,
    what_no_copy_mounts_is_collected: 4,
    empty_directories_go: 2,
}
"""All that differs: a rule, and for how many pods and ticks (a pod in a tick differs by one)."""

EVERYWHERE: Final = {
    "name of a manifest": 271,
    "mode of a manifest: 0644 0600": 266,
    "layout: ..data and what it names": 330,
    "mode of a file of a volume: 0600 0644": 524,
    "mode of a dir of a volume: 0700 0755": 318,
    "mode of a dir of a volume: 0755 0700": 6,
}
"""Names and modes that are others wherever they are: for how many paths."""


def test_each_tick_is_the_originals_but_for_differences_that_have_a_name(quick: Path) -> None:
    found: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    vectors = recorded("fullstack")["vectors"]
    for vector in vectors:
        for tick in replayed(vector, quick / vector["name"]):
            for pod, differs in tick.differences.items():
                named = [rule.__name__ for rule in RULES if rule(tick, pod, differs)]
                assert len(named) == 1, (vector["name"], tick.number, pod, differs, named)
                found[named[0]] += 1
            everywhere += tick.everywhere
    assert len(vectors) == 32
    assert found == {rule.__name__: count for rule, count in RULES.items()}
    assert everywhere == EVERYWHERE
