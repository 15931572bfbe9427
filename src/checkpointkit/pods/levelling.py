"""What was decided is stored, and the disk is brought to it, pod by pod.

What has to be on the disk follows from the state of a record, in every tick: this is level-driven,
as Kubernetes' controllers are. What a kill, a full disk or a hand has kept from being there is put
there by the next tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointkit.errors import CheckpointError
from checkpointkit.pods.activation import Activation, rejected
from checkpointkit.pods.machine import Action
from checkpointkit.pods.runtime import Running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.copies import Copies
    from checkpointkit.pods.files.assetsets import AssetFiles
    from checkpointkit.pods.files.manifests import Manifests
    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.plan import Plan, Planned
    from checkpointkit.pods.saving import Saver
    from checkpointkit.pods.sightings import Sighting
    from checkpointkit.pods.state import PodState
    from checkpointkit.pods.ticking import PodTicking, Ticking

__all__ = ["Levelling"]


class Levelling:
    """Does what a plan says.

    Args:
        state: The records.
        manifests: The manifests.
        assets: The sets of files.
        copies: The copies, as they are on the disk.
        saver: Is told which parents are gone.
        own: The checkpointer's own parent; None if it runs as no pod.
    """

    def __init__(
        self,
        state: PodState,
        manifests: Manifests,
        assets: AssetFiles,
        *,
        copies: Copies,
        saver: Saver,
        own: PodName | None,
    ) -> None:
        self._state = state
        self._manifests = manifests
        self._assets = assets
        self._copies = copies
        self._saver = saver
        self._own = own
        self._activation = Activation(manifests)

    def bring(self, ticking: Ticking, made: Plan, seen: Mapping[PodName, Sighting]) -> None:
        """Do all steps of a plan, in its order; one that fails holds up none but its own pod."""
        for step in made.steps:
            pod = ticking.pod(step)
            left = [name for name in step.only_after if not ticking.pods[name].is_gone]
            if left:
                pod.problems.append(f"it goes after {left[0]}, which is still there")
                continue
            try:
                if not step.record.is_empty:
                    ticking.wrote |= self._state.save(step.record)
                pod.state = step.record.stage.state
                pod.actions += [each for each in step.actions if each not in pod.actions]
                ticking.wrote |= self._bring(ticking, step, seen[step.name], pod)
            except CheckpointError as error:
                pod.problems.append(str(error))
                self._yield(ticking, step, seen[step.name], pod)

    def _yield(self, ticking: Ticking, step: Planned, seen: Sighting, pod: PodTicking) -> None:
        """Take a copy away beside which its parent runs, though its record cannot be stored.

        As long as the parent runs, nothing puts it back (`_start`), whatever the record says.
        """
        is_to_stop = step.record.stage.state.action is Action.STOP
        if not is_to_stop or seen.running.value is not Running.YES or step.name == self._own:
            return
        try:
            ticking.wrote |= self._stop(step.name)
        except CheckpointError as error:
            pod.problems.append(str(error))

    def _bring(self, ticking: Ticking, step: Planned, seen: Sighting, pod: PodTicking) -> bool:
        """Bring the disk to the state of a pod; True if anything was written."""
        action = pod.state.action
        if action is Action.STOP:
            return self._stop(step.name)
        if action is Action.START:
            return self._start(ticking, step, seen, pod)
        if action is Action.REMOVE:
            self._remove(step)
            pod.is_gone = True
            return True
        return False

    def _start(self, ticking: Ticking, step: Planned, seen: Sighting, pod: PodTicking) -> bool:
        files = self._copies.files(step.name)
        is_parent_up = seen.running.value is Running.YES and step.name != self._own
        if is_parent_up and not files.active:
            return False  # somebody has taken the copy away, and the parent runs
        saved = self._copies.saved(step.name)
        if saved is None or seen.obstacle:
            pod.problems.append(f"its copy cannot be started: {seen.obstacle}")
            return False
        if self._activation.start(step.name, files, saved):
            return True
        uid = rejected(ticking.answers.kubelet).get(step.name)
        return uid is not None and self._activation.retry(step.name, files, uid, ticking.now)

    def _stop(self, name: PodName) -> bool:
        is_certain = self._copies.found.is_complete
        return self._activation.stop(name, self._copies.files(name), is_certain=is_certain)

    def _remove(self, step: Planned) -> None:
        """Take away all that is kept of a pod: what runs, what could be started, what it mounts."""
        if step.name == self._own:
            # its active manifest is what this process lives by: as little as can be goes after it
            self._manifests.remove_inactive(step.name)
        self._stop(step.name)
        self._manifests.remove_inactive(step.name)
        self._assets.remove(step.name)
        self._saver.forget(step.name)
        if step.afterwards is None:
            self._state.delete(step.name)
        else:
            self._state.save(step.afterwards)
