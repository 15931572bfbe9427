"""`PodCheckpointer`: one tick, from the answers of all sources to the files on the disk.

A tick asks, decides (`plan`, pure), stores what was decided, and then brings the disk to it. What
has to be on the disk follows from the stored states alone, so that a kill at any point is repaired
by the next tick, and what could not be written is tried again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from checkpointkit.errors import CheckpointError
from checkpointkit.pods.answers import PodList
from checkpointkit.pods.asking import Sources
from checkpointkit.pods.assets import Roots
from checkpointkit.pods.copies import Copies
from checkpointkit.pods.levelling import Levelling
from checkpointkit.pods.machine import Action
from checkpointkit.pods.observation import Api, api_sight
from checkpointkit.pods.plan import plan
from checkpointkit.pods.record import Record
from checkpointkit.pods.saving import Saver
from checkpointkit.pods.sightings import sightings
from checkpointkit.pods.ticking import Ticking
from checkpointkit.pods.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

    from checkpointkit.pods.files.assetsets import AssetFiles
    from checkpointkit.pods.files.manifests import Found, Manifests
    from checkpointkit.pods.model import PodName, Scope
    from checkpointkit.pods.plan import Plan
    from checkpointkit.pods.sightings import Sighting
    from checkpointkit.pods.sources import ApiServer, ContainerRuntime, Kubelet
    from checkpointkit.pods.state import PodState
    from checkpointkit.pods.ticks import Tick

__all__ = ["Options", "PodCheckpointer"]

_ASKING: Final = 10.0
"""Seconds of a tick after which no more secrets and config maps are asked for in it."""


@frozen
class Options:
    """What a checkpointer is told.

    Attributes:
        scope: The node, and the namespaces.
        own: The checkpointer's own parent (`model.own_name`); None if it runs as no pod.
        grace: How long a checkpoint outlives its parent, in seconds.
        roots: Where the sets of files are, as manifests name it: by their paths on the node. In a
            container `AssetFiles` may know them by others.
        keep_labels: Whether copies keep their labels; then services send traffic to them, too.
        refetch_after: How long a secret or a config map is good, in seconds.
    """

    scope: Scope
    own: PodName | None = None
    grace: float = 60.0
    roots: Roots = field(factory=Roots)
    keep_labels: bool = False
    refetch_after: float = 60.0


@frozen
class _Known:
    """Records with what the disk knows more, good until either changes.

    Attributes:
        stored: The records as they are stored.
        found: The manifests as they were found.
        records: Both.
    """

    stored: Mapping[PodName, Record]
    found: Found
    records: Mapping[PodName, Record]


class PodCheckpointer:
    """Keeps the important pods of a node alive without an API server.

    One at a time may work on a node: whoever calls it holds a lock (the daemon does).

    Args:
        api: The API server.
        kubelet: The kubelet.
        runtime: The container runtime.
        manifests: The manifests on the disk.
        assets: The secrets and config maps on the disk.
        state: The records.
        options: The rest.
        clock: Tells the time, in seconds since 1970.
    """

    def __init__(
        self,
        api: ApiServer,
        kubelet: Kubelet,
        runtime: ContainerRuntime,
        *,
        manifests: Manifests,
        assets: AssetFiles,
        state: PodState,
        options: Options,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._options = options
        self._clock = clock
        node, roots = options.scope.node, options.roots
        self._sources = Sources(api, kubelet, runtime, options.scope)
        self._copies = Copies(manifests, assets, node=node, roots=roots)
        self._saver = Saver(
            api,
            manifests,
            assets,
            node=node,
            roots=roots,
            keep_labels=options.keep_labels,
            refetch_after=options.refetch_after,
        )
        self._levelling = Levelling(
            state, manifests, assets, copies=self._copies, saver=self._saver, own=options.own
        )
        self._upkeep = Upkeep(
            manifests,
            assets,
            copies=self._copies,
            saver=self._saver,
            namespaces=options.scope.namespaces,
        )
        self._known: _Known | None = None
        self._misses: Mapping[PodName, int] = {}
        self._untold = state.problems

    def run(
        self, stop: Event, *, interval: float = 5.0, report: Callable[[Tick], None] | None = None
    ) -> None:
        """Tick until told to stop.

        Args:
            stop: Set it to end; the tick that is under way is finished.
            interval: Seconds between two ticks.
            report: Is given what came of each tick.
        """
        while not stop.is_set():
            tick = self.reconcile()
            if report is not None:
                report(tick)
            stop.wait(interval)

    def reconcile(self) -> Tick:
        """Do one tick.

        What a source does not answer, or the disk does not take, is no exception: it is in the
        result, what is kept stays as it was, and the next tick tries again.

        Returns:
            What was done, and why.
        """
        now = self._clock()
        ticking = Ticking(now, self._sources.ask(self._state.cluster, now))
        self._upkeep.tidy(ticking)
        self._copies.look()
        if self._upkeep.mend(ticking, self._records()):
            self._copies.look()
        made = self._decide_and_do(ticking)
        if self._save(ticking, *made):
            # what was saved just now may start in this very tick: the checkpointer itself does
            made = self._decide_and_do(ticking)
        self._misses = made[0].misses
        self._forget(ticking, made[0])
        self._leave(ticking)
        self._upkeep.collect(ticking, self._records())
        ticking.problems += [
            *self._strange(ticking, made[0]),
            *self._untold,
            *self._copies.found.problems,
            *self._sources.problems,
        ]
        self._untold = ()
        return ticking.told(self._options.scope, self._options.own, self._clock())

    def _records(self) -> Mapping[PodName, Record]:
        """Return the records, with what the disk knows more."""
        stored, found = self._state.records(), self._copies.found
        known = self._known
        if known is None or known.stored is not stored or known.found is not found:
            names = {*stored, *filter(self._options.scope.watches, found.pods)}
            adopted = {
                name: self._copies.adopt(
                    stored.get(name) or Record(name), is_self=name == self._options.own
                )
                for name in names
            }
            known = self._known = _Known(stored, found, adopted)
        return known.records

    def _decide_and_do(self, ticking: Ticking) -> tuple[Plan, Mapping[PodName, Sighting]]:
        made, seen = self._decide(ticking)
        self._levelling.bring(ticking, made, seen)
        if ticking.wrote:
            self._copies.look()
        return made, seen

    def _decide(self, ticking: Ticking) -> tuple[Plan, Mapping[PodName, Sighting]]:
        """Plan; and plan again with what only some plans need to know."""
        records = self._records()
        obstacles = {
            name: obstacle
            for name, record in records.items()
            if record.copy is not None and (obstacle := self._copies.obstacle(name))
        }
        made, seen = self._plan(ticking, records, obstacles)
        broken = {
            step.name: damage
            for step in made.steps
            if Action.START in step.actions
            and step.before.state.action is not Action.START
            and (damage := self._copies.damage(step.name))
        }
        if broken:
            obstacles |= broken
            made, seen = self._plan(ticking, records, obstacles)
        if asked := made.to_confirm():
            ticking.answers = self._sources.confirm(
                ticking.answers, asked, self._state.cluster, ticking.now
            )
            made, seen = self._plan(ticking, records, obstacles)
        return made, seen

    def _plan(
        self,
        ticking: Ticking,
        records: Mapping[PodName, Record],
        obstacles: Mapping[PodName, str],
    ) -> tuple[Plan, Mapping[PodName, Sighting]]:
        now, options = ticking.now, self._options
        seen = sightings(ticking.answers, records, options.scope, now, obstacles=obstacles)
        if self._has_left(ticking, records):
            seen = {name: sighting for name, sighting in seen.items() if name in records}
        made = plan(records, seen, now, grace=options.grace, own=options.own, misses=self._misses)
        return made, seen

    def _has_left(self, ticking: Ticking, records: Mapping[PodName, Record]) -> bool:
        """Tell whether the checkpointer has left this node, and is about to be stopped.

        What it kept now would stay for good: nobody would be here to take it away.
        """
        own, scope, listed = self._options.own, self._options.scope, ticking.answers.listed
        if own is None or own in records:
            return False
        if api_sight(own, "", scope, listed).value is not Api.GONE:
            return False
        pods = listed[own.namespace]
        pod = pods.find(own) if isinstance(pods, PodList) else None
        # one that is here and asks for no checkpoint has not left: all others are looked after
        return pod is None or pod.node != scope.node or pod.is_over or pod.terminating

    def _save(self, ticking: Ticking, made: Plan, seen: Mapping[PodName, Sighting]) -> bool:
        """Bring the copies of parents that are Ready up to date; True if one is another now."""
        changed = False
        if self._has_left(ticking, self._records()):
            return False
        for step in made.steps:
            parent = seen[step.name].api.pod
            if not step.save or parent is None:
                continue
            pod = ticking.pods[step.name]
            done = self._saver.save(
                step.record,
                parent,
                self._copies.files(step.name),
                ticking.now,
                lambda: ticking.now <= self._clock() <= ticking.now + _ASKING,
            )
            pod.problems += done.problems
            pod.notes = done.notes
            pod.refused = done.refused
            ticking.wrote |= done.wrote
            if done.copy is None:
                continue
            try:
                ticking.wrote |= self._belong(ticking.now)
                if self._state.save(evolve(step.record.of(parent), copy=done.copy)):
                    ticking.wrote = changed = pod.saved = True
            except CheckpointError as error:
                pod.problems.append(str(error))
        if ticking.wrote:
            self._copies.look()
        return changed

    def _belong(self, now: float) -> bool:
        """Record the cluster, if none is: one that has a parent running here is ours.

        Any other API server that answers may be that of a new cluster under an old address.
        """
        if self._state.cluster or not (cluster := self._sources.cluster(now)):
            return False
        self._state.belong_to(cluster)
        return True

    def _strange(self, ticking: Ticking, made: Plan) -> Iterator[str]:
        """Yield what does not change by itself, and nobody may want."""
        if self._has_left(ticking, self._records()):
            yield (
                f"the API server does not have the checkpointer's own pod, {self._options.own}, on "
                "this node: nothing new is kept here"
            )
        for name in self._state.records():
            if not self._options.scope.watches(name):
                yield (
                    f"{name}: something is kept of it, and its namespace is not watched: watch it "
                    "until it has gone"
                )
        if made.to_confirm() and not self._state.cluster:
            yield (
                "it is not known which cluster this node belongs to: nothing is removed until a "
                "parent was saved"
            )

    def _leave(self, ticking: Ticking) -> None:
        """Forget the cluster with the last pod: the node may become one of another."""
        if not self._records() and self._has_left(ticking, {}):
            try:
                ticking.wrote |= self._state.leave()
            except CheckpointError as error:
                ticking.problems.append(str(error))

    def _forget(self, ticking: Ticking, made: Plan) -> None:
        for name in made.forgotten:
            try:
                ticking.wrote |= self._state.delete(name)
                self._saver.forget(name)
            except CheckpointError as error:
                ticking.problems.append(str(error))
