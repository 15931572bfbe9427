"""A node's life, event by event: pods come and go, sources fail, somebody deletes files.

The kubelet runs what is in its directory: each file there is a static pod in its list, with a
sandbox and a container in the runtime.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import field, frozen, mutable

from checkpointkit.errors import StoreError
from checkpointkit.pods.checkpointer import PodCheckpointer
from checkpointkit.pods.model import CHECKPOINT_OF, PodName, manifest_file
from checkpointkit.pods.record import Record
from checkpointkit.pods.runtime import GIVEN_UP_AFTER
from checkpointkit.pods.state import PodState
from checkpointkit.pods.ticks import Tick
from tests.pods.lives import (
    CONF,
    CONTAINERS,
    CONTROLLERS,
    ENV,
    HERE,
    NODE,
    OWN,
    PODS,
    RUNS,
    TLS,
    Being,
    a_pod,
    in_api,
    named,
    objects,
)
from tests.pods.world import (
    Asked,
    BrittleCalls,
    Disk,
    KilledError,
    Sources,
    start,
    static_pods,
)


@frozen
class View:
    """What is on the disk of each pod: its manifests, and whether it has assets."""

    inactive: dict[PodName, bytes]
    active: dict[PodName, bytes]
    damaged: frozenset[PodName]
    """Those with a saved manifest that nobody can read."""
    assets: frozenset[PodName]

    @property
    def kept(self) -> set[PodName]:
        return {*self.inactive, *self.active}


@frozen
class Seen:
    """What there is to see in a tick, whoever looks."""

    lives: dict[PodName, str]
    since: dict[PodName, float]
    ready: frozenset[PodName]
    listed: frozenset[PodName]
    """Those in the kubelet's list, if it answers."""
    api: str
    kubelet: str
    cri: str
    cluster: str
    """The cluster that the node's record names before the tick."""

    def api_of(self, name: PodName) -> str:
        """Return what the API server says of a pod: here, gone, or nothing that counts."""
        if self.api == "empty":
            return "gone"
        if self.api != "ok":
            return "unknown"
        return "here" if self.lives[name] in HERE else "gone"

    def runs(self, name: PodName) -> bool:
        """Whether the runtime says that a container of it runs."""
        return self.cri == "ok" and self.lives[name] in RUNS

    def is_up(self, name: PodName) -> bool:
        """Whether it runs, or the kubelet may start it again."""
        return self.runs(name) or (self.cri == "ok" and self.lives[name] == "crashing")

    def may_be_no(self, name: PodName, now: float) -> bool:
        """Whether what the runtime says can be taken for a "no"."""
        life = self.lives[name]
        long_ago = now - self.since[name] >= GIVEN_UP_AFTER
        given_up = long_ago and (self.kubelet != "ok" or name not in self.listed)
        return self.cri == "ok" and (
            life in {"down", "gone", "moved", "failed"} or (life == "crashing" and given_up)
        )


@frozen
class Moment:
    """A tick that was carried out, or cut short: what was before it, and what is now."""

    now: float
    seen: Seen
    seen_before: Seen | None
    """Of the tick before it in the same process; None in its first one."""
    before: View
    after: View
    records: dict[PodName, Record]
    """Before the tick."""
    records_after: dict[PodName, Record]
    tick: Tick | None
    """None if it was killed."""
    whole: bool
    """It was neither killed, nor was the disk full."""
    changes: list[str]
    """The system calls that have changed the disk."""
    node: Node


@frozen
class Step:
    """What happens before a tick, and how that goes."""

    events: tuple[tuple[str, ...], ...] = ()
    seconds: float = 5.0
    restart: bool = False
    killed_before: int | None = None
    """The change to the disk, by number, that it does not come to, in this tick or a later one."""
    full_after: int | None = None
    """The change to the disk in this tick, by number, that finds no space, as all after it."""


@mutable
class Node:
    """A node with a disk, and a process on it that may be killed."""

    disk: Disk
    sources: Sources = field(factory=Sources)
    beings: dict[PodName, Being] = field(factory=lambda: {name: Being() for name in PODS})
    now: float = 1_000_000.0
    version: int = 1
    strange: dict[Path, bytes] = field(factory=dict)
    copies: dict[PodName, set[bytes]] = field(factory=lambda: {name: set() for name in PODS})
    """The manifests that were there before the tick, at any time."""
    may_stop: set[PodName] = field(factory=set)
    """Of whom somebody has said, since it was started, that its copy is not needed."""
    process: PodCheckpointer | None = None
    state: PodState | None = None
    calls: BrittleCalls = field(factory=BrittleCalls)
    seen: Seen | None = None
    fuse: int | None = None
    """After how many changes to the disk the process is killed."""
    is_kubelet_stale: bool = False
    """The kubelet goes on with the list that it has."""
    grace: float = 60.0
    asked: Asked | None = None
    """What the process asks; the sources themselves by default."""

    def __attrs_post_init__(self) -> None:
        self.disk.active.mkdir(parents=True)
        self.sources.api.objects = objects(self.version)

    # ---------------------------------------------------------------------------------- a tick

    def tick(self, step: Step) -> Moment:
        """Let the events happen, and the process have a tick."""
        for event, *arguments in step.events:
            getattr(self, f"on_{event}")(*arguments)
        self.now += step.seconds
        if step.killed_before is not None:
            self.fuse = step.killed_before
        if step.restart or self.process is None:
            self._start_badly(step)
            self._start()
        assert self.process is not None
        assert self.state is not None
        self._show()
        seen_before, seen, before = self.seen, self._seen(), view(self.disk)
        for name in PODS:
            self.copies[name] |= {
                found[name] for found in (before.inactive, before.active) if name in found
            }
            # Of two with one controller, one gives way to the other, for many a reason.
            if seen.api_of(name) == "gone" or seen.is_up(name) or CONTROLLERS[name] == "c1":
                self.may_stop.add(name)
        records = dict(self.state.records())
        self.calls.arm(killed_before=self.fuse, full_after=step.full_after)
        tick: Tick | None = None
        with suppress(KilledError):
            tick = self.process.reconcile()
        full = step.full_after is not None and self.calls.changes >= step.full_after
        if tick is None:
            self.process = self.seen = self.fuse = None
            records_after = dict(PodState.open(str(self.disk.state), read_only=True).records())
        else:
            self.seen = seen
            if self.fuse is not None:
                self.fuse -= self.calls.changes
            records_after = dict(self.state.records())
        changes = self.calls.log
        self.calls.arm()
        after = view(self.disk)
        self.may_stop -= after.active.keys() - before.active.keys()
        return Moment(
            self.now,
            seen,
            seen_before,
            before,
            after,
            records,
            records_after,
            tick,
            tick is not None and not full,
            changes,
            self,
        )

    def _start_badly(self, step: Step) -> None:
        """Let a process start that is killed before it is ready, or finds the disk full."""
        for killed_before, full_after in ((self.fuse, None), (None, step.full_after)):
            if (killed_before, full_after) != (None, None):
                self.calls = BrittleCalls()
                self.calls.arm(killed_before=killed_before, full_after=full_after)
                with suppress(KilledError, StoreError):
                    self._open()

    def _start(self) -> None:
        self.calls = BrittleCalls()
        self.seen = None
        self.process, self.state = self._open()

    def _open(self) -> tuple[PodCheckpointer, PodState]:
        return start(
            self.disk,
            self.asked or self.sources.all,
            lambda: self.now,
            node=NODE,
            own=OWN,
            grace=self.grace,
            system=self.calls,
        )

    def _seen(self) -> Seen:
        assert self.state is not None
        return Seen(
            {name: being.life for name, being in self.beings.items()},
            {name: being.since for name, being in self.beings.items()},
            frozenset(name for name, being in self.beings.items() if being.life == "runs"),
            frozenset(named(pod["metadata"]["name"]) for pod in self.sources.kubelet.known),
            self.sources.api.mode,
            self.sources.kubelet.mode,
            self.sources.runtime.mode,
            self.state.cluster,
        )

    def _show(self) -> None:
        """Let the sources know what is."""
        api, kubelet, runtime = self.sources.api, self.sources.kubelet, self.sources.runtime
        api.existing = {
            name: pod for name in PODS if (pod := in_api(name, self.beings[name])) is not None
        }
        if api.mode == "ok" and not self.is_kubelet_stale:
            known = {
                name: pod for name, pod in api.existing.items() if pod["spec"]["nodeName"] == NODE
            }
            ghosts = {
                name: a_pod(name, being.number)
                for name, being in self.beings.items()
                if being.life == "ghost"
            }
            kubelet.known = [*known.values(), *ghosts.values()]
        kubelet.static = static_pods(self.disk.active, NODE)
        runtime.sandboxes, runtime.containers = [], []
        for name, being in self.beings.items():
            if being.life in CONTAINERS:
                state, ready = CONTAINERS[being.life]
                runtime.run(a_pod(name, being.number), state, now=being.since, ready=ready)
        for pod in kubelet.static:
            runtime.run(pod)

    # ------------------------------------------------------------------------------- the events

    def on_life(self, pod: str, life: str) -> None:
        being = self.beings[named(pod)]
        if life != being.life:
            being.life, being.since = life, self.now

    def on_everything(self, life: str) -> None:
        for name in PODS:
            self.on_life(name.name, life)

    def on_recreated(self, pod: str, life: str) -> None:
        self.beings[named(pod)].number += 1
        self.on_life(pod, life)

    def on_outage(self) -> None:
        """The API server goes, and the node starts again."""
        self.on_api("unreachable")
        self.on_reboot()

    def on_return(self) -> None:
        """The API server is back, and all pods run."""
        self.on_api("ok")
        self.on_everything("runs")

    def on_reboot(self) -> None:
        """The node starts again: nothing runs, and the kubelet knows what the API server says."""
        for being in self.beings.values():
            being.life = {"ghost": "gone"}.get(being.life, being.life)
            if being.life in {"runs", "unready", "starting", "crashing"}:
                being.life, being.since = "down", self.now
        self.sources.kubelet.known = []

    def on_api(self, mode: str) -> None:
        self.sources.api.mode = mode

    def on_kubelet(self, mode: str) -> None:
        self.is_kubelet_stale = mode == "stale"
        if mode == "forgetful":
            self.sources.kubelet.known = []
        elif mode != "stale":
            self.sources.kubelet.mode = mode

    def on_cri(self, mode: str) -> None:
        self.sources.runtime.mode = mode

    def on_secret(self, change: str) -> None:
        api = self.sources.api
        if change == "changed":
            self.version += 1
            self.sources.api.objects = objects(self.version)
        else:
            for name in (TLS, ENV, CONF):
                api.modes["kube-system", name] = change

    def on_hand(self, what: str, pod: str) -> None:
        """Somebody deletes or damages what is kept of a pod."""
        name = named(pod)
        if what == "delete assets":
            for root in (self.disk.roots.secrets, self.disk.roots.configmaps):
                shutil.rmtree(Path(root) / name.namespace / name.name, ignore_errors=True)
        elif what == "damage assets":
            for path in sorted(Path(self.disk.roots.secrets, name.namespace).rglob("crt")):
                if name.name in path.parts and not path.is_symlink():
                    path.write_bytes(b"damaged")
        else:
            how, _, which = what.partition(" ")
            directory = self.disk.active if which == "active" else self.disk.inactive
            for file, found in self.disk.manifests(directory).items():
                if found["metadata"]["annotations"][CHECKPOINT_OF] == name.name:
                    _handle(directory / file, how)

    def on_strange(self, what: str) -> None:
        """Somebody puts a file of their own in a directory."""
        directories = {"active": self.disk.active, "inactive": self.disk.inactive}
        where, _, file = what.partition("/")
        directory = directories.get(where, Path(self.disk.roots.secrets) / "kube-system")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.strange[directory / file] = b'{"a": "foreign one"}'
        (directory / file).write_bytes(self.strange[directory / file])

    def on_records(self, how: str) -> None:
        """Somebody deletes or damages the records, while the process is not there."""
        self.process = None
        if how == "deleted":
            shutil.rmtree(self.disk.state, ignore_errors=True)
        else:
            for path in self.disk.state.rglob("current"):
                path.write_bytes(path.read_bytes()[:-20])


def _handle(path: Path, how: str) -> None:
    if how == "delete":
        path.unlink()
    elif how == "damage":
        path.write_bytes(path.read_bytes()[:50])
    else:
        changed = json.loads(path.read_bytes())
        changed["spec"]["containers"][0]["image"] = "changed:1"
        path.write_text(json.dumps(changed))


def view(disk: Disk) -> View:
    """Look at the disk."""
    found: list[dict[PodName, bytes]] = []
    for directory in (disk.inactive, disk.active):
        each: dict[PodName, bytes] = {}
        for file, pod in disk.manifests(directory).items():
            metadata = pod["metadata"]
            parent = PodName(metadata["namespace"], metadata["annotations"][CHECKPOINT_OF])
            each[parent] = (directory / file).read_bytes()
        found.append(each)
    with_assets = set()
    for root in (Path(disk.roots.secrets), Path(disk.roots.configmaps)):
        for name in PODS:
            if (root / name.namespace / name.name).exists():
                with_assets.add(name)
    damaged = {
        name
        for name in PODS
        if (disk.inactive / manifest_file(name)).exists() and name not in found[0]
    }
    return View(found[0], found[1], frozenset(damaged), frozenset(with_assets))


Law = Callable[[Moment], None]
"""Asserts what holds in a moment."""
