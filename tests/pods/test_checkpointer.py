"""The checkpointer, tick by tick, on a real disk: what an operator is promised."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, field, mutable

from checkpointkit import MemoryStore
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.activation import Activation, rejected
from checkpointkit.pods.answers import Fetched, PodList
from checkpointkit.pods.checkpointer import Options, PodCheckpointer
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.manifests import Manifests, PodFiles
from checkpointkit.pods.machine import Action, State
from checkpointkit.pods.model import CHECKPOINT, PodName, Scope, manifest_file
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.state import PodState
from checkpointkit.pods.ticks import PodTick, Tick
from checkpointkit.testing import FaultyStore
from tests.pods.world import (
    BrittleCalls,
    Disk,
    FakeApiServer,
    Sources,
    an_object,
    static_pods,
)

NODE = "node1"
OWN = PodName("kube-system", "pod-checkpointer-q9zlm")
WEB = PodName("kube-system", "web-aaaaa")
NEXT = PodName("kube-system", "web-bbbbb")
OTHER = PodName("kube-system", "scheduler")
TLS = ObjectName("Secret", "tls")


def a_pod(name: PodName, *, uid: str = "", image: str = "web:1", **spec: Any) -> dict[str, Any]:
    """Return a parent that runs and is Ready, with a secret."""
    container = {
        "name": "c",
        "image": image,
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
    }
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "c1"}
    return {
        "metadata": {
            "namespace": name.namespace,
            "name": name.name,
            "uid": uid or f"uid-of-{name.name}",
            "annotations": {CHECKPOINT: "true"},
            "ownerReferences": [{**owner, "controller": True}] if "web" in name.name else [],
        },
        "spec": {
            "nodeName": NODE,
            "containers": [container],
            "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
            **spec,
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@mutable
class Node:
    """A node, its sources, and its checkpointer, which may be started anew."""

    disk: Disk
    sources: Sources = field(factory=Sources)
    now: float = 1_000_000.0
    own: PodName | None = None
    namespaces: frozenset[str] = frozenset({"kube-system"})
    faulty: FaultyStore | None = None
    faulty_node: FaultyStore | None = None
    system: BrittleCalls = field(factory=BrittleCalls)
    checkpointer: PodCheckpointer = field(init=False)
    state: PodState = field(init=False)

    def restart(self) -> None:
        self.state = (
            PodState(self.faulty, self.faulty_node or MemoryStore())
            if self.faulty
            else PodState.open(str(self.disk.state), system=self.system)
        )
        self.checkpointer = PodCheckpointer(
            *self.sources.all,
            manifests=Manifests(str(self.disk.inactive), str(self.disk.active), system=self.system),
            assets=AssetFiles(self.disk.roots, system=self.system),
            state=self.state,
            options=Options(Scope(NODE, self.namespaces), own=self.own, roots=self.disk.roots),
            clock=lambda: self.now,
        )

    def add(self, *pods: dict[str, Any], runs: bool = True) -> None:
        for pod in pods:
            name = PodName(pod["metadata"]["namespace"], pod["metadata"]["name"])
            self.sources.api.existing[name] = pod
            self.sources.kubelet.known.append(pod)
            if runs:
                self.sources.runtime.run(pod)

    def secret(
        self, version: str = "1", value: str = "KEY", name: str = "tls", **more: Any
    ) -> None:
        made = an_object("Secret", name, version, {"key": value}, **more)
        self.sources.api.objects["kube-system", ObjectName("Secret", name)] = made

    def outage(self) -> None:
        """Let the API server die, and the node restart."""
        self.sources.api.mode = "unreachable"
        self.sources.kubelet.known.clear()
        self.stop_all()

    def stop_all(self) -> None:
        self.sources.runtime.sandboxes.clear()
        self.sources.runtime.containers.clear()

    def tick(self, *, after: float = 5.0) -> Tick:
        self.now += after
        self.sources.kubelet.static = static_pods(self.disk.active, NODE)
        return self.checkpointer.reconcile()

    def active(self) -> list[str]:
        return sorted(self.disk.manifests(self.disk.active))

    def inactive(self) -> list[str]:
        return sorted(self.disk.manifests(self.disk.inactive))

    def key(self, name: PodName = WEB, secret: str = "tls") -> Path:
        return Path(self.disk.roots.secrets) / name.namespace / name.name / secret / "key"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(Disk(tmp_path))
    made.secret()
    made.restart()
    return made


def of(tick: Tick, name: PodName = WEB) -> PodTick:
    found = tick.find(name)
    assert found is not None
    return found


def an_active_copy(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.outage()
    node.tick()
    node.tick()
    assert node.active() == [manifest_file(WEB)]


# -------------------------------------------------------------------------------------- the story


def test_a_parent_is_saved_started_in_an_outage_and_taken_away_when_it_is_back(node: Node) -> None:
    node.add(a_pod(WEB))
    first = of(node.tick())
    assert (first.state, first.saved) == (State.INACTIVE, True)
    assert node.inactive() == [manifest_file(WEB)]
    assert node.key().read_text() == "KEY"
    assert node.active() == []

    node.outage()
    assert of(node.tick()).actions == ()  # one "no" may be a mistake
    second = of(node.tick())
    assert (second.before, second.state) == (State.INACTIVE, State.ACTIVE)
    assert second.actions == (Action.START,)
    assert "the runtime: no" in second.reason
    assert node.active() == [manifest_file(WEB)]

    node.sources.api.mode = "ok"
    node.sources.runtime.run(a_pod(WEB))
    back = of(node.tick())
    assert (back.state, back.actions) == (State.INACTIVE, (Action.STOP,))
    assert node.active() == []
    assert node.inactive() == [manifest_file(WEB)]


def test_a_parent_that_is_deleted_goes_after_its_grace_period_with_all_that_was_kept(
    node: Node,
) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.sources.api.existing.clear()
    node.sources.kubelet.known.clear()
    node.stop_all()
    assert of(node.tick()).state is State.INACTIVE_GRACE
    node.restart()  # which does not begin the grace period anew
    assert of(node.tick(after=55)).state is State.INACTIVE_GRACE
    gone = of(node.tick())
    assert gone.actions == (Action.REMOVE,)
    assert node.inactive() == node.active() == []
    assert not node.key().parent.exists()
    node.tick()
    assert node.state.records() == {}


def test_the_checkpointer_is_started_beside_its_parent_in_the_tick_that_saves_it(
    node: Node,
) -> None:
    node.own = OWN
    node.restart()
    node.add(a_pod(OWN))
    first = of(node.tick(), OWN)
    assert (first.state, first.is_self, first.saved) == (State.SELF, True, True)
    assert node.active() == node.inactive() == [manifest_file(OWN)]


def test_an_active_copy_follows_what_is_saved(node: Node) -> None:
    node.own = OWN
    node.restart()
    node.add(a_pod(OWN))
    node.tick()
    changed = a_pod(OWN, image="web:2")
    node.sources.api.existing[OWN] = changed
    tick = node.tick()
    assert of(tick, OWN).saved
    (copy,) = node.disk.manifests(node.disk.active).values()
    assert copy["spec"]["containers"][0]["image"] == "web:2"


def test_it_runs_until_it_is_told_to_stop(node: Node) -> None:
    stop = threading.Event()
    told: list[Tick] = []

    def report(tick: Tick) -> None:
        told.append(tick)
        if len(told) == 3:
            stop.set()

    node.checkpointer.run(stop, interval=0.0, report=report)
    assert len(told) == 3
    node.checkpointer.run(stop)  # told already
    assert len(told) == 3


def test_it_runs_without_anybody_who_is_told(node: Node) -> None:
    stop = threading.Event()

    class Once:
        def pods(self, namespace: str, node: str) -> Failed:
            stop.set()
            return Failed("no")

        pod = cluster = fetch = None

    node.sources.api = Once()  # type: ignore[assignment]
    node.restart()
    node.checkpointer.run(stop, interval=0.0)


# -------------------------------------------------------------------------------------- what is new


def test_when_nothing_has_changed_nothing_is_written_and_nothing_is_fetched(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.tick()
    asked = len(node.sources.api.asked)
    node.system.arm()
    tick = node.tick()
    assert not tick.wrote
    assert node.system.changes == 0
    assert node.sources.api.asked[asked:] == ["kube-system/pods"]


def test_a_secret_is_fetched_once_a_minute_and_a_new_one_is_saved(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.secret("2", "NEW")
    assert not of(node.tick(after=40)).saved
    assert of(node.tick(after=15)).saved
    assert node.key().read_text() == "NEW"


def test_what_is_immutable_is_not_fetched_again_unless_the_parent_is_another(node: Node) -> None:
    node.secret("1", "KEY", immutable=True)
    node.add(a_pod(WEB))
    node.tick()
    node.secret("2", "NEW", immutable=True)
    asked = node.sources.api.asked
    count = asked.count("kube-system/secrets/tls")
    node.tick(after=300)
    node.sources.api.existing[WEB] = a_pod(WEB, image="web:2")
    assert of(node.tick()).saved
    assert asked.count("kube-system/secrets/tls") == count
    node.sources.api.existing[WEB] = a_pod(WEB, uid="another")
    node.tick()
    assert asked.count("kube-system/secrets/tls") == count + 1
    assert node.key().read_text() == "NEW"


def test_a_changed_parent_has_what_it_needs_fetched_at_once(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.secret("2", "NEW")
    node.sources.api.existing[WEB] = a_pod(WEB, image="web:2")
    node.tick()
    assert node.key().read_text() == "NEW"


def test_a_status_that_changes_saves_nothing(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    pod = a_pod(WEB)
    pod["status"]["podIP"] = "10.0.0.7"
    pod["metadata"]["resourceVersion"] = "9"
    node.sources.api.existing[WEB] = pod
    assert not node.tick().wrote


def test_what_cannot_be_fetched_any_more_keeps_the_copy_as_it_is(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.sources.api.modes["kube-system", TLS] = "forbidden"
    tick = of(node.tick(after=61))
    assert tick.problems == (
        "Secret tls: Secret tls was answered with status 403; the copy keeps what it has",
    )
    assert node.key().read_text() == "KEY"
    assert of(node.tick()).state is State.INACTIVE


def test_one_secret_that_cannot_be_had_does_not_hold_up_the_others(node: Node) -> None:
    volumes = [
        {"name": each, "secret": {"secretName": each}, "optional": False} for each in ("one", "tls")
    ]
    for each in volumes:
        del each["optional"]
    node.secret(name="one")
    node.add(a_pod(WEB, volumes=volumes))
    node.tick()
    node.sources.api.modes["kube-system", ObjectName("Secret", "one")] = "error500"
    node.secret("2", "NEW")
    assert of(node.tick(after=61)).saved
    assert node.key().read_text() == "NEW"


def test_without_all_that_it_needs_no_copy_is_made(node: Node) -> None:
    node.sources.api.modes["kube-system", TLS] = "forbidden"
    node.add(a_pod(WEB))
    assert of(node.tick()).problems == ("Secret tls: Secret tls was answered with status 403",)
    assert node.inactive() == []
    del node.sources.api.modes["kube-system", TLS]
    node.tick()
    assert node.inactive() == [manifest_file(WEB)]


def test_a_pod_that_needs_the_api_server_is_refused_with_the_path_and_left_alone(
    node: Node,
) -> None:
    volume = {"name": "tls", "persistentVolumeClaim": {"claimName": "data"}}
    node.add(a_pod(WEB, volumes=[volume]))
    tick = of(node.tick())
    assert len(tick.problems) == 1
    assert tick.problems[0].startswith(
        "its copy is refused: spec.volumes[0].persistentVolumeClaim: "
    )
    assert node.inactive() == node.active() == []


def test_a_pod_that_cannot_be_read_is_a_problem_of_its_own(node: Node) -> None:
    node.add(a_pod(WEB, volumes=[7]), a_pod(OTHER))
    tick = node.tick()
    assert of(tick).problems[0].startswith("its copy cannot be made: ")
    assert of(tick, OTHER).saved


def test_an_api_server_that_is_slow_does_not_hold_up_the_tick_for_ever(node: Node) -> None:
    class Slow(FakeApiServer):
        def fetch(self, namespace: str, name: ObjectName) -> Fetched:
            node.now += 11.0
            return super().fetch(namespace, name)

    node.sources.api = Slow(objects=node.sources.api.objects)
    node.restart()
    node.secret(name="one")
    volumes = [{"name": each, "secret": {"secretName": each}} for each in ("one", "tls")]
    node.add(a_pod(WEB, volumes=volumes))
    assert of(node.tick()).problems == ("Secret tls: not asked for yet: the API server is slow",)
    assert of(node.tick()).saved


# -------------------------------------------------------------------------------- what is lost


def test_files_that_are_deleted_by_hand_are_put_back(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    (node.disk.inactive / manifest_file(WEB)).unlink()
    (node.key().parent / "..data").unlink()
    assert node.tick().wrote
    assert node.inactive() == [manifest_file(WEB)]
    assert node.key().read_text() == "KEY"


def test_a_damaged_set_of_files_is_mended_within_a_minute(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.key().write_text("XXX")
    node.tick(after=61)
    assert node.key().read_text() == "KEY"


def test_a_saved_manifest_that_is_lost_in_an_outage_is_put_back_from_the_active_one(
    node: Node,
) -> None:
    an_active_copy(node)
    node.restart()
    (node.disk.inactive / manifest_file(WEB)).unlink()
    node.tick()
    assert node.inactive() == node.active() == [manifest_file(WEB)]


def test_a_saved_manifest_that_is_lost_in_an_outage_is_put_back_from_memory(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.outage()
    (node.disk.inactive / manifest_file(WEB)).unlink()
    node.tick()
    node.tick()
    assert node.inactive() == node.active() == [manifest_file(WEB)]


def test_an_active_manifest_that_is_deleted_by_hand_is_put_back_while_the_parent_is_down(
    node: Node,
) -> None:
    an_active_copy(node)
    (node.disk.active / manifest_file(WEB)).unlink()
    node.tick()
    assert node.active() == [manifest_file(WEB)]


def test_an_active_manifest_that_is_deleted_by_hand_stays_away_while_the_parent_runs(
    node: Node,
) -> None:
    an_active_copy(node)
    node.sources.api.mode = "ok"
    node.sources.api.existing.clear()  # gone, and its containers still run
    node.sources.runtime.run(a_pod(WEB))
    assert of(node.tick()).state is State.ACTIVE_GRACE
    (node.disk.active / manifest_file(WEB)).unlink()
    assert of(node.tick()).state is State.ACTIVE_GRACE
    assert node.active() == []


def test_nothing_starts_without_its_files(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.restart()
    node.outage()
    (node.key().parent / "..data").unlink()
    node.tick()
    tick = of(node.tick())
    assert tick.state is State.INACTIVE
    assert "its copy cannot be started" in tick.reason
    assert node.active() == []


def test_nothing_starts_with_files_that_are_damaged(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.outage()
    node.key().write_text("XXX")
    node.tick()
    tick = of(node.tick())
    assert tick.state is State.INACTIVE
    assert "its copy cannot be started" in tick.reason
    assert "XXX" not in tick.reason


def test_an_active_copy_whose_files_are_lost_says_so_and_goes_on(node: Node) -> None:
    an_active_copy(node)
    (node.key().parent / "..data").unlink()
    tick = of(node.tick())
    assert tick.state is State.ACTIVE
    assert tick.problems[0].startswith("its copy cannot be started: secrets/kube-system/web-aaaaa")
    assert node.active() == [manifest_file(WEB)]


def test_a_copy_that_is_lost_altogether_is_a_problem(node: Node) -> None:
    an_active_copy(node)
    node.restart()
    (node.disk.active / manifest_file(WEB)).unlink()
    (node.disk.inactive / manifest_file(WEB)).unlink()
    tick = of(node.tick())
    assert tick.problems == ("its copy cannot be started: its saved manifest is missing",)


def test_a_saved_manifest_that_no_kubelet_takes_is_not_started(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    path = node.disk.inactive / manifest_file(WEB)
    manifest = json.loads(path.read_bytes())
    manifest["spec"]["serviceAccountName"] = "web"
    path.write_text(json.dumps(manifest))
    node.restart()
    node.outage()
    node.tick()
    assert "a kubelet would refuse it: spec.serviceAccountName" in of(node.tick()).reason
    assert node.active() == []


def test_files_of_pods_that_are_gone_are_collected_and_those_of_others_are_not(
    node: Node,
) -> None:
    node.add(a_pod(WEB))
    secrets = Path(node.disk.roots.secrets)
    ours = secrets / "kube-system" / "gone" / "tls"
    theirs = secrets / "monitoring" / "agent" / "tls"
    for each in (ours, theirs):
        each.mkdir(parents=True)
        (each / "key").write_text("KEY")
    node.tick()
    assert not ours.exists()
    assert theirs.exists()
    assert node.key().exists()


def test_while_a_manifest_cannot_be_read_nothing_is_collected(node: Node) -> None:
    left = Path(node.disk.roots.secrets) / "kube-system" / "lost" / "tls"
    left.mkdir(parents=True)
    (left / "key").write_text("KEY")
    node.disk.inactive.mkdir(parents=True)
    damaged = node.disk.inactive / "kube-system_lost.json"
    damaged.write_text("{")
    tick = node.tick()
    assert left.exists()
    assert len(tick.problems) == 1
    damaged.unlink()
    node.tick()
    assert not left.exists()


def test_sets_that_a_copy_mounts_no_more_are_taken_away(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.secret(name="other")
    volumes = [{"name": "tls", "secret": {"secretName": "other"}}]
    node.sources.api.existing[WEB] = a_pod(WEB, volumes=volumes)
    node.tick()
    assert node.key(secret="other").exists()
    assert not node.key().parent.exists()


# ------------------------------------------------------------------------------- who is whose


def test_a_copy_in_a_namespace_of_another_checkpointer_is_left_alone(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    manifest = json.loads((node.disk.inactive / manifest_file(WEB)).read_bytes())
    manifest["metadata"]["namespace"] = "monitoring"
    theirs = PodName("monitoring", WEB.name)
    for directory in (node.disk.inactive, node.disk.active):
        directory.mkdir(exist_ok=True)
        (directory / manifest_file(theirs)).write_text(json.dumps(manifest))
    tick = node.tick()
    assert tick.find(theirs) is None
    assert (node.disk.active / manifest_file(theirs)).exists()
    assert (node.disk.inactive / manifest_file(theirs)).exists()


def test_a_copy_of_the_original_is_adopted_under_the_name_that_it_has(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    data = (node.disk.inactive / manifest_file(WEB)).read_bytes()
    node.state.delete(WEB)
    (node.disk.inactive / manifest_file(WEB)).unlink()
    node.disk.active.mkdir(exist_ok=True)
    (node.disk.active / "kube-system-web-aaaaa.json").write_bytes(data)
    node.restart()
    node.outage()
    assert of(node.tick()).state is State.ACTIVE
    assert node.active() == ["kube-system-web-aaaaa.json"]  # another name would be another pod
    assert node.inactive() == [manifest_file(WEB)]


def test_a_copy_of_the_original_is_started_with_the_files_that_it_has(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.state.delete(WEB)
    data = (node.disk.inactive / manifest_file(WEB)).read_bytes()
    (node.disk.inactive / manifest_file(WEB)).unlink()
    (node.disk.inactive / "kube-system-web-aaaaa.json").write_bytes(data)
    directory = node.key().parent
    for each in sorted(directory.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    (directory / "key").write_text("ORIGINAL")
    node.restart()
    node.outage()
    node.tick()
    assert of(node.tick()).state is State.ACTIVE
    assert node.active() == [manifest_file(WEB)]


def test_a_kill_between_files_and_record_does_not_keep_the_copy_from_starting(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    record = node.state.records()[WEB]
    node.secret("2", "NEW")
    node.tick(after=61)
    node.state.save(record)  # as if the process had ended before it stored the new one
    node.restart()
    node.outage()
    node.tick()
    assert of(node.tick()).state is State.ACTIVE
    assert node.key().read_text() == "NEW"


def test_nothing_is_removed_by_the_word_of_another_cluster(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.sources.api.mode = "another"
    node.sources.kubelet.known.clear()
    for _ in range(20):
        tick = node.tick(after=30)
    assert "another cluster" in of(tick).reason
    assert node.inactive() == [manifest_file(WEB)]


def test_parents_in_namespaces_that_are_not_watched_are_told(node: Node) -> None:
    agent = PodName("monitoring", "agent")
    node.add(a_pod(agent))
    tick = node.tick()
    assert tick.not_watched == (agent,)
    assert node.inactive() == []


def test_which_source_cannot_be_asked_is_told(node: Node) -> None:
    node.sources.api.mode = "error500"
    node.sources.kubelet.mode = "unauthorized"
    node.sources.runtime.mode = "error"
    assert set(node.tick().unavailable) == {"api server", "kubelet", "container runtime"}


# ---------------------------------------------------------------------------------- rejected copies


def test_a_copy_that_the_kubelet_rejects_for_good_is_tried_under_another_name(node: Node) -> None:
    an_active_copy(node)

    def rejected(uid: str) -> None:
        node.now += 5
        (copy,) = static_pods(node.disk.active, NODE)
        metadata = {**copy["metadata"], "uid": uid}
        failed = {**copy, "metadata": metadata, "status": {"phase": "Failed"}}
        node.sources.kubelet.static = [failed]
        node.checkpointer.reconcile()

    rejected("first")
    assert node.active() == [manifest_file(WEB, 1)]
    rejected("first")  # a list that is old
    assert node.active() == [manifest_file(WEB, 1)]
    node.now += 10
    rejected("second")
    assert node.active() == [manifest_file(WEB, 2)]
    rejected("third")  # not again at once
    assert node.active() == [manifest_file(WEB, 2)]


# -------------------------------------------------------------------------------------- the disk


@pytest.mark.parametrize("at", range(12))
def test_a_full_disk_is_told_and_the_next_tick_does_what_was_left(node: Node, at: int) -> None:
    node.add(a_pod(WEB))
    node.system.arm(full_after=at)
    full = node.tick()
    assert full.find(WEB) is None or of(full).problems or full.problems
    node.system.arm()
    node.tick()
    node.tick()
    assert node.inactive() == [manifest_file(WEB)]
    assert node.key().read_text() == "KEY"
    assert WEB in PodState.open(str(node.disk.state), read_only=True).records()


def unstable(node: Node) -> FaultyStore:
    """Let the records lie in a store that fails where it is told to."""
    node.faulty = FaultyStore(MemoryStore())
    node.restart()
    return node.faulty


def test_a_record_that_cannot_be_stored_keeps_the_disk_as_it_is(node: Node) -> None:
    store = unstable(node)
    node.add(a_pod(WEB))
    node.tick()
    node.outage()
    node.tick()
    store.fail("write")
    tick = of(node.tick())
    assert tick.state is State.INACTIVE
    assert len(tick.problems) == 1
    assert node.active() == []
    assert of(node.tick()).state is State.ACTIVE
    assert node.active() == [manifest_file(WEB)]


def test_a_copy_whose_record_cannot_be_stored_is_recorded_by_the_next_tick(node: Node) -> None:
    store = unstable(node)
    node.add(a_pod(WEB))
    store.fail("write", call=2)
    assert len(of(node.tick()).problems) == 1
    node.tick()
    record = node.state.records()[WEB]
    assert record.copy is not None
    assert record.copy.uid == "uid-of-web-aaaaa"


def test_a_record_that_cannot_be_forgotten_is_forgotten_by_the_next_tick(node: Node) -> None:
    store = unstable(node)
    node.add(a_pod(WEB))
    node.tick()
    node.sources.api.existing.clear()
    node.sources.kubelet.known.clear()
    node.stop_all()
    for _ in range(13):
        node.tick()
        if node.state.records()[WEB].removed:
            break
    store.fail("remove")
    assert len(node.tick().problems) == 1
    node.tick()
    assert node.state.records() == {}


def everyone_leaves(node: Node) -> None:
    """Let the checkpointer be no more scheduled here, and another pod go on."""
    node.own = OWN
    node.restart()
    node.add(a_pod(OWN), a_pod(OTHER))
    node.tick()
    node.sources.api.existing.pop(OWN)
    for _ in range(12):
        node.tick()
    assert node.active() == [manifest_file(OWN)]


def test_the_checkpointer_goes_last_and_leaves_nothing(node: Node) -> None:
    everyone_leaves(node)
    tick = node.tick()
    assert [of(tick, name).actions[-1] for name in (OTHER, OWN)] == [Action.REMOVE] * 2
    assert node.active() == node.inactive() == []
    assert node.state.records() == {}
    assert not Path(node.disk.roots.secrets, "kube-system").exists()


def test_the_checkpointer_stays_while_another_pod_could_not_be_removed(node: Node) -> None:
    store = unstable(node)
    everyone_leaves(node)
    store.fail("remove")
    tick = of(node.tick(), OWN)
    assert tick.problems == (f"it goes after {OTHER}, which is still there",)
    assert node.active() == [manifest_file(OWN)]
    node.tick()
    assert node.active() == node.inactive() == []


def test_a_directory_that_cannot_be_used_is_told_and_keeps_its_own_pods_alone(node: Node) -> None:
    node.disk.inactive.parent.mkdir(parents=True)
    node.disk.inactive.write_text("no directory")
    node.add(a_pod(WEB))
    tick = node.tick()
    assert tick.problems
    assert of(tick).problems
    node.disk.inactive.unlink()
    node.tick()
    assert node.inactive() == [manifest_file(WEB)]


def test_a_lost_manifest_that_cannot_be_put_back_is_told(node: Node) -> None:
    an_active_copy(node)
    (node.disk.inactive / manifest_file(WEB)).unlink()
    node.disk.inactive.rmdir()
    node.system.arm(full_after=0)
    assert any("No space left" in each for each in node.tick().problems)
    node.system.arm()
    node.tick()
    assert node.inactive() == [manifest_file(WEB)]


def test_files_that_cannot_be_collected_are_told_and_tried_again(node: Node) -> None:
    node.tick()
    left = Path(node.disk.roots.secrets) / "kube-system" / "gone" / "tls"
    left.mkdir(parents=True)

    class Stuck(BrittleCalls):
        def rmdir(self, *_: Any, **__: Any) -> None:
            raise OSError(5, "Input/output error")

    healthy, node.system = node.system, Stuck()
    node.restart()
    assert any("Input/output error" in each for each in node.tick().problems)
    node.system = healthy
    node.restart()
    node.tick()
    assert not left.exists()


def test_a_rejected_copy_of_which_there_are_two_files_is_left_to_the_next_tick(node: Node) -> None:
    an_active_copy(node)
    activation = Activation(Manifests(str(node.disk.inactive), str(node.disk.active)))
    assert not activation.retry(WEB, PodFiles(), "first", node.now)


def test_a_kubelet_that_says_nothing_rejects_nothing() -> None:
    assert rejected(Failed("timed out")) == {}


def test_which_cluster_it_is_has_to_be_known_before_anything_is_removed(node: Node) -> None:
    class Closed(FakeApiServer):
        def cluster(self) -> str | Failed:
            return Failed("the namespace kube-system was answered with status 403")

    node.sources.api = Closed(objects=node.sources.api.objects)
    node.restart()
    node.add(a_pod(WEB))
    tick = node.tick()
    assert len(tick.problems) == 1
    assert tick.problems[0].startswith("nothing is removed, since nobody knows which cluster")
    node.sources.api.existing.clear()
    node.sources.kubelet.known.clear()
    node.stop_all()
    for _ in range(20):
        node.tick(after=30)
    assert node.inactive() == [manifest_file(WEB)]


def test_a_cluster_without_a_parent_of_ours_is_not_taken_for_ours(node: Node) -> None:
    node.sources.api.mode = "another"
    node.tick()
    node.sources.api.mode = "ok"
    node.add(a_pod(WEB))
    node.tick()
    assert node.state.cluster == "cluster-1"


def test_a_checkpointer_that_has_left_keeps_nothing_anew(node: Node) -> None:
    everyone_leaves(node)
    node.tick()
    for _ in range(3):  # the kubelet lets it run for a while, and the other parent is here still
        (problem,) = node.tick().problems
        assert "does not have the checkpointer's own pod" in problem
        assert node.inactive() == node.active() == []
        assert node.state.records() == {}
    assert node.state.cluster == ""
    node.restart()
    node.tick()
    assert node.inactive() == []


def test_a_node_that_has_left_belongs_to_the_next_cluster(node: Node) -> None:
    everyone_leaves(node)
    node.tick()
    node.tick()
    node.sources.api.uid = "cluster-2"
    node.sources.api.existing[OWN] = a_pod(OWN)
    node.tick()
    assert of(node.tick(), OWN).state is State.SELF
    assert node.state.cluster == "cluster-2"


def test_a_cluster_that_cannot_be_forgotten_is_forgotten_by_the_next_tick(node: Node) -> None:
    store = node.faulty_node = FaultyStore(MemoryStore())
    node.faulty = FaultyStore(MemoryStore())
    node.restart()
    everyone_leaves(node)
    store.fail("remove")
    assert "a fault was injected" in node.tick().problems[0]
    node.tick()
    assert node.state.cluster == ""


def test_an_active_manifest_that_was_damaged_goes_when_the_parent_is_back(node: Node) -> None:
    an_active_copy(node)
    (node.disk.active / manifest_file(WEB)).write_text("{")
    node.sources.api.mode = "ok"
    node.sources.runtime.run(a_pod(WEB))
    node.tick()
    assert list(node.disk.active.iterdir()) == []
    assert node.tick().problems == ()


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("value", "reason"),
    [(float("inf"), "a number that JSON does not have"), (nested(5000), "nested too deeply")],
)
def test_what_cannot_be_written_as_json_is_a_problem_of_its_own(
    node: Node, value: Any, reason: str
) -> None:
    node.add(a_pod(WEB, unknown=value), a_pod(OTHER))
    tick = node.tick()
    assert of(tick, OTHER).saved
    (problem,) = of(tick).problems
    assert reason in problem
    node.sources.api.existing[WEB] = a_pod(WEB)
    assert of(node.tick()).state is State.INACTIVE
    assert node.inactive() == [manifest_file(OTHER), manifest_file(WEB)]


def test_a_copy_stops_beside_its_parent_though_no_record_can_be_stored(node: Node) -> None:
    store = unstable(node)
    an_active_copy(node)
    node.sources.api.mode = "ok"
    node.sources.runtime.run(a_pod(WEB))
    store.fail("write", times=None)
    assert of(node.tick()).problems
    assert node.active() == []
    assert node.inactive() == [manifest_file(WEB)]
    store.heal()
    assert of(node.tick()).state is State.INACTIVE


def test_a_copy_that_cannot_be_stopped_without_its_record_says_so(node: Node) -> None:
    store = unstable(node)
    an_active_copy(node)
    node.sources.api.mode = "ok"
    node.sources.runtime.run(a_pod(WEB))
    store.fail("write", times=None)

    class Stuck(BrittleCalls):
        def unlink(self, *_: Any, **__: Any) -> None:
            raise OSError(5, "Input/output error")

    node.system = Stuck()
    node.restart()
    assert len(of(node.tick()).problems) == 2


@pytest.mark.parametrize("spec", [{"volumes": None}, {"volumes": [{"hostPath": None}]}])
def test_a_saved_manifest_with_nulls_is_read_as_one_without(
    node: Node, spec: dict[str, Any]
) -> None:
    node.add(a_pod(WEB))
    node.tick()
    path = node.disk.inactive / manifest_file(WEB)
    manifest = json.loads(path.read_bytes())
    container = {"name": "c", "image": "web:1"}
    manifest["spec"] = {"containers": [container], **spec}
    path.write_text(json.dumps(manifest))
    node.restart()
    node.outage()
    node.tick()
    assert of(node.tick()).name == WEB


def test_files_stay_where_the_roots_are_given_by_another_path_than_before(node: Node) -> None:
    an_active_copy(node)
    real = node.disk.root
    link = real.parent / "link"
    link.symlink_to(real)
    node.disk = Disk(link)
    node.restart()
    node.tick(after=61)
    node.disk = Disk(real)
    assert node.key().read_text() == "KEY"


def test_a_namespace_that_cannot_be_listed_does_not_open_the_other_to_another_cluster(
    node: Node,
) -> None:
    node.add(a_pod(WEB))
    node.tick()

    class Half(FakeApiServer):
        def pods(self, namespace: str, node: str) -> PodList | Failed:
            if namespace == "prod":
                return Failed("the list of pods was answered with status 403")
            return super().pods(namespace, node)

    node.namespaces = frozenset({"kube-system", "prod"})
    node.sources.api = Half(
        existing={WEB: a_pod(WEB, image="theirs:1")},
        objects=node.sources.api.objects,
        uid="cluster-2",
    )
    node.secret("2", "THEIRS")
    node.restart()
    tick = node.tick()
    assert "another cluster" in of(tick).reason
    assert tick.unavailable["api server"].startswith("prod: ")
    assert node.key().read_text() == "KEY"


def test_what_is_kept_in_a_namespace_that_is_no_more_watched_is_told(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.namespaces = frozenset({"prod"})
    node.restart()
    (problem,) = node.tick().problems
    assert problem.startswith(f"{WEB}: something is kept of it, and its namespace is not watched")


def test_a_copy_that_was_taken_over_goes_when_the_cluster_is_known_and_until_then_it_is_told(
    node: Node,
) -> None:
    node.add(a_pod(WEB))
    node.tick()
    node.state.delete(WEB)
    node.state.leave()
    node.sources.api.existing.clear()
    node.sources.kubelet.known.clear()
    node.stop_all()
    node.restart()
    for _ in range(14):
        tick = node.tick()
    assert "it is not known which cluster this node belongs to" in tick.problems[0]
    assert node.inactive() == [manifest_file(WEB)]


def test_a_checkpointer_that_asks_for_no_checkpoint_of_itself_looks_after_the_others(
    node: Node,
) -> None:
    node.own = OWN
    node.restart()
    plain = a_pod(OWN)
    plain["metadata"]["annotations"] = {}
    node.add(plain, a_pod(WEB))
    tick = node.tick()
    assert of(tick).saved
    assert tick.problems == ()


def test_nobody_is_asked_for_what_is_no_name(node: Node) -> None:
    node.add(a_pod(WEB, volumes=[{"name": "tls", "secret": {"secretName": "a/../b"}}]))
    tick = of(node.tick())
    assert tick.refused
    assert "names no Secret" in tick.problems[0]
    assert node.sources.api.asked == ["kube-system/pods"]


def test_a_pod_of_an_own_client_without_its_json_is_refused(node: Node) -> None:
    class Bare(FakeApiServer):
        def pods(self, namespace: str, node: str) -> PodList | Failed:
            listed = super().pods(namespace, node)
            assert isinstance(listed, PodList)
            return PodList(tuple(evolve(pod, decoded={}) for pod in listed.pods))

    node.sources.api = Bare()
    node.restart()
    node.add(a_pod(WEB))
    assert of(node.tick()).refused


def test_what_was_fetched_for_a_pod_that_is_forgotten_is_forgotten_too(node: Node) -> None:
    node.sources.api.modes["kube-system", TLS] = "forbidden"
    node.add(a_pod(WEB))
    node.tick()
    node.sources.api.existing.clear()
    node.sources.kubelet.known.clear()
    node.stop_all()
    node.tick()
    node.tick()
    assert node.state.records() == {}
    assert node.checkpointer._saver._parents == {}


def test_of_the_checkpointer_as_little_as_can_be_is_left_when_its_active_manifest_goes(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone_leaves(node)
    left: list[list[str]] = []
    remove_active = Manifests.remove_active

    def noting(manifests: Manifests, name: PodName) -> bool:
        left.append(node.inactive())
        return remove_active(manifests, name)

    monkeypatch.setattr(Manifests, "remove_active", noting)
    node.tick()
    assert left[-1] == []  # power may fail right behind it, and nobody would tick any more
    assert node.active() == []


def test_of_two_saved_manifests_the_newer_is_started_whoever_has_written_it(node: Node) -> None:
    node.add(a_pod(WEB))
    node.tick()
    ours = node.disk.inactive / manifest_file(WEB)
    newer = json.loads(ours.read_bytes())
    newer["spec"]["containers"][0]["image"] = "web:2"
    (node.disk.inactive / "kube-system-web-aaaaa.json").write_text(json.dumps(newer))
    os.utime(ours, (1, 1))  # from before a downgrade to bootkube's checkpointer
    node.restart()
    node.outage()
    node.tick()
    node.tick()
    (copy,) = node.disk.manifests(node.disk.active).values()
    assert copy["spec"]["containers"][0]["image"] == "web:2"
