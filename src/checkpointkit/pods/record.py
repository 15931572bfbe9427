"""What is kept of a pod from one tick to the next, and over restarts: a plain value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from checkpointkit.pods.machine import Stage, State
from checkpointkit.pods.model import PodName  # noqa: TC001 - a schema resolves it

if TYPE_CHECKING:
    from checkpointkit.pods.model import Pod

__all__ = ["Copy", "Record", "adopted"]


@frozen
class Copy:
    """The saved copy of a pod: the last one that is known to be good.

    Attributes:
        uid: The UID of the pod that it was made of.
        saved_at: When, in seconds since 1970.
        digest: The digest of its manifest.
        assets: The version of each secret and config map in it, by a name that the caller chooses.
    """

    uid: str
    saved_at: float
    digest: str = ""
    assets: dict[str, str] = field(factory=dict[str, str])


@frozen
class Record:
    """What is kept of a pod.

    Attributes:
        name: The parent.
        stage: Its state, and the grace period.
        uid: The parent's UID; empty if it was never seen.
        controller_uid: The UID of its controller; empty without one.
        copy: The saved copy; None if there is none.
        removed: All of it was removed; what stays of it is that the kubelet, which may list the pod
            for a while, does not bring it back.

    Example:
        >>> record = Record(PodName("kube-system", "kube-apiserver-x7k2p"))
        >>> record.stage.state
        <State.NONE: 'none'>
    """

    name: PodName
    stage: Stage = field(factory=Stage)
    uid: str = ""
    controller_uid: str = ""
    copy: Copy | None = None
    removed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it says no more than that the pod was seen."""
        return self.stage.state is State.NONE and self.copy is None and not self.removed

    def of(self, parent: Pod) -> Record:
        """Return the record with the UIDs of the pod that bears the name now."""
        if (self.uid, self.controller_uid) == (parent.uid, parent.controller_uid):
            return self
        return evolve(self, uid=parent.uid, controller_uid=parent.controller_uid)

    def buried(self) -> Record:
        """Return what stays when all that was kept is removed."""
        return evolve(self, stage=Stage(), copy=None, removed=True)


def adopted(
    record: Record, copy: Copy, *, active: bool, inactive: bool, is_self: bool = False
) -> Record:
    """Return a record with the copy that lies on the disk, if it knows of none.

    Such files are those of bootkube's checkpointer, or the process ended between saving them and
    storing the record. What it knows counts for more.

    Args:
        record: The record; a new one where there is none.
        copy: What the files say of the copy.
        active: There is an active manifest.
        inactive: There is an inactive one.
        is_self: The pod is the checkpointer itself.

    Example:
        >>> record = Record(PodName("kube-system", "kube-apiserver-x7k2p"))
        >>> adopted(record, Copy("7f3e", 0.0), active=True, inactive=True).stage.state
        <State.ACTIVE: 'active'>
    """
    known = record.copy is not None or record.stage.state is State.REMOVE
    if known or not (active or inactive):
        return record
    if record.stage.state is State.NONE:
        running = State.SELF if is_self else State.ACTIVE
        state = running if active else State.INACTIVE
        record = evolve(record, stage=Stage(state), removed=False)
    return evolve(record, uid=record.uid or copy.uid, copy=copy)
