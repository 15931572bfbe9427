"""What the checkpointer knows, on the disk: a checkpoint for each pod, and one for the node.

A damaged record is removed, unless it is only to be read, and what is known of its pod comes from
the files again (`record.adopted`): where its copy stood is seen there, and a grace period begins
anew. One that a newer release has saved is left alone, and the checkpointer does not start.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from checkpointkit.errors import CorruptCheckpointError, ReadOnlyError
from checkpointkit.manager import CheckpointManager
from checkpointkit.pods.machine import Stage
from checkpointkit.pods.model import record_key
from checkpointkit.pods.record import Record
from checkpointkit.schema import Schema
from checkpointkit.stores.files.disk import store_error
from checkpointkit.stores.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.model import PodName
    from checkpointkit.stores.base import Store
    from checkpointkit.stores.files.system import SystemCalls

__all__ = ["NODE", "RECORDS", "Node", "PodState"]

_KEY = "node"


@frozen
class Node:
    """What is kept of the node.

    Attributes:
        cluster: The UID of the namespace kube-system of the cluster that it belongs to.
    """

    cluster: str


RECORDS: Final = Schema(Record, kind="checkpointkit/pod", version=1)
"""The format of a pod's record; frozen in the package's `checkpointkit.lock`."""
NODE: Final = Schema(Node, kind="checkpointkit/pods-node", version=1)
"""The format of what is kept of the node."""


class PodState:
    """The records of a node's pods, in memory and on the disk.

    What it gives back is what is stored: a record that could not be saved is as it was. One
    process may write at a time; any number may read.

    Args:
        records: Where the records are kept.
        node: Where the rest is kept.

    Raises:
        VersionTooNewError: A newer release has saved a record.
        CheckpointError: A record cannot be read; the error says why.

    Example:
        >>> from checkpointkit import MemoryStore
        >>> from checkpointkit.pods.model import PodName
        >>> state = PodState(MemoryStore(), MemoryStore())
        >>> state.save(Record(PodName("kube-system", "kube-apiserver-x7k2p"), uid="7f3e"))
        True
        >>> [record.uid for record in state.records().values()]
        ['7f3e']
    """

    def __init__(self, records: Store, node: Store) -> None:
        self._records = CheckpointManager(records, RECORDS)
        self._node = CheckpointManager(node, NODE)
        self.problems: tuple[str, ...] = ()
        """What was wrong with records when they were read, one line each."""
        # never changed, but replaced: whoever has it may tell that nothing has changed
        self._known: Mapping[PodName, Record] = {}
        self._cluster = ""
        self._read()

    @classmethod
    def open(
        cls,
        directory: str,
        *,
        read_only: bool = False,
        system: SystemCalls | None = None,
    ) -> PodState:
        """Open a directory; it is created if there is none.

        Args:
            directory: Its path.
            read_only: Change nothing, and create nothing.
            system: The system calls; for tests.

        Raises:
            StoreError: It cannot be opened.
            CheckpointError: As for the class itself.
        """
        if not read_only:
            try:
                os.makedirs(directory, mode=0o700, exist_ok=True)
            except OSError as error:
                raise store_error(None, f"open {directory}", error) from error
        opened = [
            FileStore(os.path.join(directory, name), read_only=read_only, history=2, system=system)
            for name in ("pods", "node")
        ]
        return cls(*opened)

    @property
    def cluster(self) -> str:
        """The UID of kube-system in the cluster that the node belongs to; empty if unknown."""
        return self._cluster

    def belong_to(self, cluster: str) -> None:
        """Store the UID of kube-system in the cluster that the node belongs to.

        Raises:
            CheckpointError: It could not be stored.
        """
        self._node.create(_KEY, Node(cluster))
        self._cluster = cluster

    def leave(self) -> bool:
        """Forget the cluster; True if one was known.

        Raises:
            CheckpointError: It could not be deleted.
        """
        if not self._cluster:
            return False
        self._node.remove(_KEY)
        self._cluster = ""
        return True

    def records(self) -> Mapping[PodName, Record]:
        """Return the records, by the name of the parent; the same object while none changes."""
        return self._known

    def save(self, record: Record) -> bool:
        """Store a record; True if it is another than was stored.

        Raises:
            CheckpointError: It could not be stored.
        """
        if self._known.get(record.name) == record:
            return False
        self._records.create(record_key(record.name), record)
        self._take(record)
        return True

    def delete(self, name: PodName) -> bool:
        """Delete a record; True if there was one.

        Raises:
            CheckpointError: It could not be deleted.
        """
        if name not in self._known:
            return False
        self._records.remove(record_key(name))
        self._known = {each: record for each, record in self._known.items() if each != name}
        return True

    def _read(self) -> None:
        problems = []
        for key in self._records.list():
            try:
                self._take(self._records.get(key))
            except CorruptCheckpointError as error:
                problems.append(f"a pod's record is damaged, and does not count: {error}")
                with suppress(ReadOnlyError):
                    self._mend(key)
        try:
            self._cluster = self._node.get(_KEY, default=Node("")).cluster
        except CorruptCheckpointError as error:
            problems.append(f"the node's record is damaged, and does not count: {error}")
            with suppress(ReadOnlyError):
                self._node.remove(_KEY)
        self.problems = tuple(problems)

    def _take(self, record: Record) -> None:
        self._known = {**self._known, record.name: record}

    def _mend(self, key: str) -> None:
        """Go on from an older generation, without what it says of where the copy stands.

        The record goes first: a kill in between leaves none, and what the files say counts. With
        `recover` it would leave an older one, which is good, and wrong.
        """
        older = next((each for each in self._records.history(key) if not each.problem), None)
        record = None if older is None else self._records.get(key, generation=older.generation)
        self._records.remove(key)
        if record is None:
            return
        mended = record if record.removed else evolve(record, stage=Stage(), copy=None)
        self._records.create(key, mended)
        self._take(mended)
