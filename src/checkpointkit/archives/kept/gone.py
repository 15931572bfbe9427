"""Since when the parents of archives are gone, and which cluster says so, on the disk.

An empty cluster, and a wrong one, say of every pod that it is gone. So the node's is the first
that has one of the archives' pods, until a person says otherwise; no other one is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.kept.formats import GONE, GoneParent, GoneSince, parent_of, parent_text
from checkpointkit.archives.kept.shelf import older
from checkpointkit.archives.model import Gone, Level, Parent
from checkpointkit.errors import CorruptCheckpointError
from checkpointkit.manager import CheckpointManager

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from checkpointkit.archives.model import Orphans
    from checkpointkit.stores.base import Store

__all__ = ["GoneMemory"]

_KEY: Final = "gone"
_WIDTH: Final = {Level.CONTAINER: 0, Level.POD: 1, Level.NAMESPACE: 2, Level.DIRECTORY: 3}


class GoneMemory:
    """The parents that are gone.

    Args:
        store: Where they are kept.
        read_only: Write nothing.

    Raises:
        CheckpointError: They cannot be read; the error says why.
    """

    def __init__(self, store: Store, *, read_only: bool = False) -> None:
        self._manager = CheckpointManager(store, GONE)
        self._read_only = read_only
        self.problems: tuple[str, ...] = ()
        """What was wrong with what was read, one line each."""
        self._stored: GoneSince | None = None
        self._damaged = False
        cluster = ""
        gone: tuple[GoneParent, ...] = ()
        try:
            self._stored = self._manager.get(_KEY, default=None)
        except CorruptCheckpointError as error:
            # Of an older state the cluster alone counts: who was gone then may have come back,
            # and be gone anew.
            self._damaged = True
            before = older(self._manager, _KEY)
            cluster = before.cluster if before else ""
            what = "" if before else ", and of which cluster they are,"
            self.problems = (
                f"since when pods are gone{what} is lost; their grace periods begin anew: {error}",
            )
        if self._stored is not None:
            cluster, gone = self._stored.cluster, self._stored.gone
        self._cluster = cluster
        self._gone: Mapping[Parent, Gone] = {
            Parent(container, uid): Gone(one.level, one.since_ns)
            for one in gone
            for container, uid in (parent_of(one.parent),)
            if container is not None
        }

    @property
    def cluster(self) -> str:
        """The UID of the cluster that the node belongs to; empty if unknown."""
        return self._cluster

    def note(
        self,
        cluster: str,
        gone: Mapping[Parent, Level],
        now_ns: int,
        *,
        there: Collection[Parent],
    ) -> Orphans:
        """Remember since when each parent is gone, and forget who is not gone any more.

        More of a parent's kin may be gone than before (its namespace, say): that begins now.
        While the node's cluster is not known, it is this one if a parent is there.

        Raises:
            PolicyError: Another cluster says so, or one that may be another; nothing is gone.
            CheckpointError: It could not be stored; nothing is gone.
        """
        if not cluster:
            raise PolicyError("orphans", "the cluster does not say which one it is; nobody is gone")
        if self._cluster not in ("", cluster):
            raise PolicyError(
                "orphans",
                f"cluster {cluster!a} answers, and this node belongs to {self._cluster!a}; nobody "
                "is gone. If the node has moved: checkpointkit archives forget-cluster",
            )
        if not self._cluster and not _is_ours(gone, there):
            if not gone:
                return {}
            raise PolicyError(
                "orphans",
                f"cluster {cluster!a} has none of the archives' pods, and may be the wrong one; "
                "nobody is gone. See that it is the node's: once there is an archive of a pod "
                "that runs, it is believed",
            )
        found = {
            parent: _since(self._gone.get(parent), level, now_ns) for parent, level in gone.items()
        }
        self._put(cluster, found)
        return found

    def leave(self) -> bool:
        """Forget the cluster, and who is gone; False if there is nothing to forget.

        Raises:
            CheckpointError: It could not be stored.
        """
        if not self._cluster and not self._damaged:
            return False
        self._put("", {})
        return True

    def _put(self, cluster: str, gone: Mapping[Parent, Gone]) -> None:
        rows = (
            GoneParent(parent_text(parent.container, parent.uid), one.level, one.since_ns)
            for parent, one in gone.items()
        )
        wanted = GoneSince(cluster, tuple(sorted(rows, key=lambda row: row.parent)))
        if wanted != self._stored and not self._read_only:
            if self._damaged:
                self._manager.remove(_KEY)
                self._damaged = False
            self._manager.create(_KEY, wanted)
            self._stored = wanted
        self._cluster = cluster
        self._gone = gone


def _is_ours(gone: Collection[Parent], there: Collection[Parent]) -> bool:
    # A pod of the same name may be in any cluster: where UIDs are known, names say nothing.
    if any(parent.uid for parent in (*gone, *there)):
        return any(parent.uid for parent in there)
    return bool(there)


def _since(before: Gone | None, level: Level, now_ns: int) -> Gone:
    if before is None or _WIDTH[before.level] < _WIDTH[level]:
        return Gone(level, now_ns)
    # A clock that was ahead must not keep a grace period from ever ending.
    return Gone(level, min(before.since_ns, now_ns))
