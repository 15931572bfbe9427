"""The recorded scenarios of the checkpoint-restore-operator, and our plan run on each of them.

`on_paper` takes the archives from the scenario itself; `on_disk` writes them and has the real scan
read them. Both go through the translator of the operator's policy, and plan as often as the
operator looked: once, or once for each file that was written and each container that was deleted.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import evolve, frozen

from checkpointkit.archives.disk.apply import apply
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.disk.scan import scan
from checkpointkit.archives.kept.deletions import DeletionLog
from checkpointkit.archives.model import (
    DEFAULT_NAMES,
    MARKER_SUFFIX,
    Archive,
    Container,
    Gone,
    Level,
    Parent,
    State,
)
from checkpointkit.archives.plan import plan
from checkpointkit.archives.policyfiles.operator import read_operator
from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from checkpointkit.stores.memory import MemoryStore
from tests.archives.making import UID, materialise

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from checkpointkit.archives.plan import Plan
    from checkpointkit.archives.policies import Policy

DATA: Final = os.path.join(os.path.dirname(__file__), os.pardir, "data", "archives")
NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
_SECOND: Final = 10**9
_READ: Final = ("crio", "containerd", "checkpointctl")
_CONTRADICTORY: Final = ("conflict", "badlabels")


@frozen
class Scenario:
    """One of them.

    Attributes:
        id: Its name.
        note: What is odd about it; empty if nothing is.
        mode: `immediate`, `event` or `poddeleted`.
        triggers: The files that were written, or the pods that were deleted.
        spec: The policy.
        cluster: What the API server knows; None if there is none.
        files: What lay in the directory.
        deleted: What was gone afterwards.
        outcomes: Every recorded result.
    """

    id: str
    note: str
    mode: str
    triggers: tuple[str, ...]
    spec: Mapping[str, Any]
    cluster: Mapping[str, Any] | None
    files: tuple[Mapping[str, Any], ...]
    deleted: frozenset[str]
    outcomes: tuple[frozenset[str], ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of all that lay there."""
        return frozenset(entry["name"] for entry in self.files)


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Return all of them, by name."""
    with gzip.open(os.path.join(DATA, "operator.json.gz")) as file:
        found = json.load(file)
    return {
        each["id"]: Scenario(
            each["id"],
            each["note"] or "",
            each["mode"],
            tuple(each["triggers"]),
            each["policy"],
            each["cluster"],
            tuple(each["files"]),
            frozenset(each["deleted"]),
            tuple(
                frozenset(outcome["deleted"])
                for outcome in each.get("outcomes") or ({"deleted": each["deleted"]},)
            ),
        )
        for each in found
    }


def on_paper(scenario: Scenario) -> frozenset[str]:
    """Return what our plan deletes of the archives that the scenario says are there."""
    archives = {archive.name: archive for archive in archives_of(scenario)}

    def delete(planned: Plan) -> None:
        for decision in planned.deletions:
            del archives[decision.archive.name]

    return _run(scenario, lambda: list(archives.values()), delete)


def archives_of(scenario: Scenario) -> Sequence[Archive]:
    """Return the archives that the scenario says are there."""
    archives = map(_on_paper, _archives(scenario))
    return [
        evolve(each, pins=("marker",)) if each.name + MARKER_SUFFIX in scenario.names else each
        for each in archives
    ]


def on_disk(scenario: Scenario, path: Path) -> frozenset[str]:
    """Return what our plan deletes of a directory with the files of the scenario."""
    for entry in scenario.files:
        materialise(path, {"content": "", **entry})
    log = DeletionLog(MemoryStore())
    with ArchiveDirectory.open(str(path)) as directory:

        def look() -> Sequence[Archive]:
            return scan(directory, {}, now_ns=time.time_ns(), settle_ns=0).archives

        def delete(planned: Plan) -> None:
            applied = apply(planned, directory, log, clock_ns=time.time_ns)
            assert (applied.skipped, applied.problems) == ((), ())

        gone = _run(scenario, look, delete)
    assert frozenset(os.listdir(path)) == scenario.names - gone
    return gone


def policy_of(scenario: Scenario) -> Policy:
    """Return its policy as ours."""
    return read_operator(scenario.spec).policy


def _run(
    scenario: Scenario, look: Callable[[], Sequence[Archive]], delete: Callable[[Plan], None]
) -> frozenset[str]:
    policy = policy_of(scenario)
    gone: set[str] = set()
    for trigger in scenario.triggers or ("",):
        for touched in _touched(scenario.mode, trigger):
            archives = look()
            containers = touched(archives)
            orphans = asked(_orphans(scenario.cluster, archives), containers)
            planned = plan(archives, policy, NOW, orphans=orphans, touched=containers)
            delete(planned)
            gone.update(decision.archive.name for decision in planned.deletions)
    return frozenset(gone)


_Touched: TypeAlias = "Callable[[Sequence[Archive]], Collection[Container] | None]"


def _touched(mode: str, trigger: str) -> Iterable[_Touched]:
    """Return, for each time that the operator looked, what tells whose archives it looked for."""
    if mode == "event":
        return (
            lambda archives: {x.container for x in archives if x.name == trigger and x.container},
        )
    if mode == "immediate":
        return (lambda _: None,)
    namespace, pod, names = trigger.split("/")
    return tuple(partial(_these, Container(namespace, pod, name)) for name in names.split(","))


def _these(container: Container, _: Sequence[Archive]) -> Collection[Container]:
    return (container,)


def asked(
    orphans: Mapping[Parent, Gone], touched: Collection[Container] | None
) -> Mapping[Parent, Gone]:
    """Return those of whom the operator learns when it looks for these containers: it asks for
    each of them, for its pod and for its namespace, and for nobody else.
    """
    if touched is None:
        return orphans
    return {
        parent: gone
        for parent, gone in orphans.items()
        if any(_parts(parent.container, gone.level) == _parts(each, gone.level) for each in touched)
    }


def _parts(container: Container, level: Level) -> tuple[str, ...]:
    whole = (container.namespace, container.pod, container.container)
    return whole[: {Level.NAMESPACE: 1, Level.POD: 2, Level.CONTAINER: 3}[level]]


def _orphans(
    cluster: Mapping[str, Any] | None, archives: Iterable[Archive]
) -> Mapping[Parent, Gone]:
    """Return who is gone, as an API server confirms it; what it cannot say is not gone."""
    if cluster is None or "error" in cluster:
        return {}
    pods = {(pod["namespace"], pod["name"]): pod for pod in cluster["pods"]}
    found: dict[Parent, Gone] = {}
    for archive in archives:
        whose = archive.container
        if whose is None:
            continue
        pod = pods.get((whose.namespace, whose.pod))
        if whose.namespace not in cluster["namespaces"]:
            level = Level.NAMESPACE
        elif pod is None:
            level = Level.POD
        elif whose.container not in (*pod["containers"], *pod["initContainers"]):
            level = Level.CONTAINER
        else:
            continue
        found[Parent(whose, archive.pod_uid)] = Gone(level, 0)
    return found


def _archives(scenario: Scenario) -> Iterable[Mapping[str, Any]]:
    return (
        entry
        for entry in scenario.files
        if any(fnmatchcase(entry["name"], pattern) for pattern in DEFAULT_NAMES)
    )


def _on_paper(entry: Mapping[str, Any]) -> Archive:
    kind = entry.get("kind", "archive")
    mtime_ns = int(entry["mtime"] * 16) * _SECOND // 16
    state = {
        "archive": State.COMPLETE,
        "dir": State.POD_CHECKPOINT,
        "symlink": State.OTHER,
    }.get(kind, State.BROKEN)
    runtime = entry.get("runtime")
    whole = state is State.COMPLETE
    return Archive(
        name=entry["name"],
        size=entry["size"],
        device=1,
        inode=1,
        mtime_ns=mtime_ns,
        ctime_ns=mtime_ns,
        state=state,
        container=_whose(entry) if whole and runtime not in _CONTRADICTORY else None,
        by_name=whole and runtime not in (*_READ, *_CONTRADICTORY),
        pod_uid=UID if whole and runtime == "crio" else "",
        checkpointed_ns=mtime_ns if whole else None,
    )


def _whose(entry: Mapping[str, Any]) -> Container | None:
    found = Container(*(entry["metadata"][name] for name in ("namespace", "pod", "container")))
    good = is_label(found.namespace) and is_subdomain(found.pod) and is_label(found.container)
    return found if good else None
