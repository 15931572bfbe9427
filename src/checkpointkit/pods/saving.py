"""A parent that is Ready becomes a copy on the disk: its sets of files first, its manifest last.

What a kill leaves in between is an older manifest beside newer files, or a newer manifest that the
record does not know: either is whole, and the next tick goes on from it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from attrs import define, evolve, field, frozen

from checkpointkit.errors import CheckpointError
from checkpointkit.kubernetes.grammar import is_subdomain
from checkpointkit.pods.assets import digest_of
from checkpointkit.pods.fetching import Held, is_due, spread, taken
from checkpointkit.pods.record import Copy
from checkpointkit.pods.references import needed
from checkpointkit.pods.sanitize import Refused, Sanitized, manifest_bytes, sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit.pods.assets import Roots
    from checkpointkit.pods.files.assetsets import AssetFiles
    from checkpointkit.pods.files.manifests import Manifests, PodFiles
    from checkpointkit.pods.model import Pod, PodName
    from checkpointkit.pods.record import Record
    from checkpointkit.pods.references import ObjectName
    from checkpointkit.pods.sources import ApiServer

__all__ = ["Saved", "Saver"]

_OF_NO_INTEREST: Final = frozenset({"generation", "managedFields", "resourceVersion"})


@frozen
class Saved:
    """What came of saving a parent.

    Attributes:
        copy: The copy as it is on the disk now; None if none was made, and the old one counts.
        wrote: Whether a file was written.
        refused: The parent cannot be made independent of the API server.
        problems: What could not be had or done, one line each.
        notes: What is worth knowing of the copy.
    """

    copy: Copy | None = None
    wrote: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: bool = False


@frozen
class _Made:
    """A copy that was made, and may be on the disk.

    Attributes:
        sanitized: The manifest, and the sets of files.
        data: The bytes of the manifest.
        copy: What the record is to say of it; the time is missing.
    """

    sanitized: Sanitized
    data: bytes = field(repr=False)
    copy: Copy

    def is_saved_as(self, saved: Copy) -> bool:
        """Whether it is the copy that was saved, at whatever time."""
        mine = self.copy
        return (mine.digest, mine.uid, mine.assets) == (saved.digest, saved.uid, saved.assets)


@define
class _Parent:
    """What is remembered of a parent from tick to tick; a restart forgets it."""

    uid: str
    decoded: Mapping[str, Any] = field(factory=dict[str, Any])
    essence: dict[str, Any] = field(factory=dict[str, Any])
    needs: tuple[ObjectName, ...] = ()
    held: dict[ObjectName, Held] = field(factory=dict)
    made: _Made | Refused | None = None
    checked_at: float = float("-inf")


class Saver:
    """Makes copies of parents, and keeps them as the parents are.

    Args:
        api: Where secrets and config maps are.
        manifests: Where manifests go.
        assets: Where sets of files go.
        node: The node's name.
        roots: Where the sets are, for the manifests.
        keep_labels: Whether copies keep their labels.
        refetch_after: For how long what was fetched is good, in seconds, at most; as often what
            is on the disk is read, and mended.
    """

    def __init__(
        self,
        api: ApiServer,
        manifests: Manifests,
        assets: AssetFiles,
        *,
        node: str,
        roots: Roots,
        keep_labels: bool = False,
        refetch_after: float = 60.0,
    ) -> None:
        self._api = api
        self._manifests = manifests
        self._assets = assets
        self._node = node
        self._roots = roots
        self._keep_labels = keep_labels
        self._after = refetch_after
        self._parents: dict[PodName, _Parent] = {}

    def save(
        self, record: Record, pod: Pod, files: PodFiles, now: float, may_ask: Callable[[], bool]
    ) -> Saved:
        """Bring the copy of a parent up to date.

        Args:
            record: The parent's record.
            pod: The parent, Ready, as the API server shows it.
            files: Its manifests on the disk.
            now: The time, in seconds since 1970.
            may_ask: Whether there is time left in this tick to ask the API server for more.
        """
        parent = self._parents.get(pod.name)
        if parent is None or parent.uid != pod.uid:
            parent = self._parents[pod.name] = _Parent(pod.uid)
        made, problems = self._made(parent, pod, now, may_ask)
        if made is None:
            return Saved(problems=problems)
        if isinstance(made, Refused):
            refused = tuple(f"its copy is refused: {each.text()}" for each in made.refusals)
            return Saved(problems=(*problems, *refused), refused=True)
        notes = made.sanitized.notes
        try:
            wrote = self._write(parent, made, record, files, now)
        except (CheckpointError, ValueError) as error:
            return Saved(problems=(*problems, str(error)), notes=notes)
        if record.copy is not None and made.is_saved_as(record.copy):
            return Saved(record.copy, wrote, problems, notes)
        return Saved(evolve(made.copy, saved_at=now), wrote=True, problems=problems, notes=notes)

    def _made(
        self, parent: _Parent, pod: Pod, now: float, may_ask: Callable[[], bool]
    ) -> tuple[_Made | Refused | None, tuple[str, ...]]:
        """Return what the copy is to be, and what could not be had; None if it cannot be made."""
        try:
            self._look(parent, pod)
            problems = self._fetch(parent, pod.name.namespace, now, may_ask)
            if not all(name in parent.held and parent.held[name].is_known for name in parent.needs):
                return None, problems
            return parent.made or self._make(parent), problems
        except (RecursionError, ValueError) as error:  # a field of another type, a strange number
            return None, (f"its copy cannot be made: {error}",)

    def manifest(self, name: PodName, digest: str) -> bytes | None:
        """Return the manifest with that digest, if it was made here, to put it back."""
        parent = self._parents.get(name)
        made = parent.made if parent else None
        return made.data if isinstance(made, _Made) and made.copy.digest == digest else None

    def forget(self, name: PodName) -> None:
        """Forget a parent that is gone."""
        self._parents.pop(name, None)

    def _look(self, parent: _Parent, pod: Pod) -> None:
        """Take in a parent's manifest, if it is another than before."""
        if pod.decoded is parent.decoded:
            return
        essence = _essence(pod.decoded)
        if essence != parent.essence:
            # what is no name is refused later, with its path; nobody is asked for it
            parent.needs = tuple(each for each in needed(pod.decoded) if is_subdomain(each.name))
            parent.essence = essence
            parent.made = None
            # the parent changes: what it needs is asked for at once
            parent.held = {name: parent.held[name] for name in parent.needs if name in parent.held}
            for name, held in parent.held.items():
                if held.asset is None or not held.asset.immutable:
                    parent.held[name] = evolve(held, asked_at=float("-inf"))
        parent.decoded = pod.decoded

    def _fetch(
        self, parent: _Parent, namespace: str, now: float, may_ask: Callable[[], bool]
    ) -> tuple[str, ...]:
        """Ask for what is due; one object that cannot be had does not hold up the others."""
        for name in parent.needs:
            held = parent.held.get(name)
            after = spread(self._after, f"{namespace}/{name}")
            if not is_due(held, now, after=after) or not may_ask():
                continue
            taken_now = taken(held, self._api.fetch(namespace, name), now)
            parent.held[name] = taken_now
            if held is None or not held.is_known or held.asset != taken_now.asset:
                parent.made = None
        return tuple(
            f"{name}: {reason}"
            for name in parent.needs
            if (reason := _missing(parent.held.get(name)))
        )

    def _make(self, parent: _Parent) -> _Made | Refused:
        made = sanitize(
            parent.decoded,
            {name: parent.held[name].asset for name in parent.needs},
            node=self._node,
            roots=self._roots,
            keep_labels=self._keep_labels,
        )
        if isinstance(made, Refused):
            parent.made = made
            return made
        data = manifest_bytes(made.manifest)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        sets = {each.place: digest_of(each) for each in made.assets}
        parent.made = _Made(made, data, Copy(parent.uid, 0.0, digest, sets))
        return parent.made

    def _write(
        self, parent: _Parent, made: _Made, record: Record, files: PodFiles, now: float
    ) -> bool:
        """Bring the disk to a copy; True if anything was written."""
        wanted, old = made.copy, record.copy
        after = spread(self._after, str(record.name))
        is_time = not parent.checked_at <= now < parent.checked_at + after
        wrote = False
        for each in made.sanitized.assets:
            is_there = old is not None and old.assets.get(each.place) == wanted.assets[each.place]
            if is_time or not is_there or not self._assets.is_present(each.place):
                wrote = self._assets.write(each) or wrote
        # all of them are there now; with this manifest the copy is whole
        if [each.data for each in files.inactive] != [made.data]:
            self._manifests.write_inactive(record.name, made.data)
            wrote = True
        if is_time:
            parent.checked_at = now
        return wrote


def _essence(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a pod its copy is made of: not its status, nor what counts its changes."""
    metadata = pod.get("metadata") or {}
    metadata = {name: each for name, each in metadata.items() if name not in _OF_NO_INTEREST}
    return {
        **{name: value for name, value in pod.items() if name != "status"},
        "metadata": metadata,
    }


def _missing(held: Held | None) -> str:
    """Return why an object is not known as it is now; empty if it is."""
    if held is None:
        return "not asked for yet: the API server is slow"
    if held.failures and held.is_known:
        return f"{held.reason}; the copy keeps what it has"
    return held.reason
