"""What is lost is put back, and what nobody needs is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.errors import CheckpointError
from checkpointkit.pods.machine import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.copies import Copies
    from checkpointkit.pods.files.assetsets import AssetFiles
    from checkpointkit.pods.files.manifests import Manifests
    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.record import Record
    from checkpointkit.pods.saving import Saver
    from checkpointkit.pods.ticking import Ticking

__all__ = ["Upkeep"]

_COLLECT_AFTER: Final = 60.0


class Upkeep:
    """Mends copies, and collects what is left of pods that are gone.

    Args:
        manifests: The manifests.
        assets: The sets of files.
        copies: The copies, as they are on the disk.
        saver: Remembers the copies that it has made.
        namespaces: Those that are watched: what is of others belongs to another checkpointer.
    """

    def __init__(
        self,
        manifests: Manifests,
        assets: AssetFiles,
        *,
        copies: Copies,
        saver: Saver,
        namespaces: frozenset[str],
    ) -> None:
        self._manifests = manifests
        self._assets = assets
        self._copies = copies
        self._saver = saver
        self._namespaces = namespaces
        self._collected_at = float("-inf")

    def tidy(self, ticking: Ticking) -> None:
        """Finish what a process before this one was killed in."""
        try:
            self._manifests.tidy()
        except CheckpointError as error:
            ticking.problems.append(str(error))

    def mend(self, ticking: Ticking, records: Mapping[PodName, Record]) -> bool:
        """Put saved manifests back that are lost; True if any was.

        They come from memory, or from the active manifest, which is a copy of them.
        """
        mended = False
        for name, record in records.items():
            files = self._copies.files(name)
            if files.inactive or record.copy is None or record.stage.state is State.REMOVE:
                continue
            known = self._saver.manifest(name, record.copy.digest)
            data = known or next((each.data for each in files.active), None)
            if data is None:
                continue
            try:
                self._manifests.write_inactive(name, data)
            except CheckpointError as error:
                ticking.problems.append(str(error))
            else:
                mended = ticking.wrote = True
        return mended

    def collect(self, ticking: Ticking, records: Mapping[PodName, Record]) -> None:
        """Take away the sets of files that no copy mounts."""
        due = not self._collected_at <= ticking.now < self._collected_at + _COLLECT_AFTER
        if not (due or ticking.wrote) or not self._copies.found.is_complete:
            return  # where a manifest could not be read, nobody knows whose they are
        kept = [name for name, record in records.items() if not record.removed]
        try:
            gone = bool(self._assets.collect(kept, self._namespaces))
            for name in kept:
                places = self._copies.places(name)
                if self._is_known(name, records[name], places):
                    gone |= self._assets.discard_others(name, places)
        except CheckpointError as error:
            ticking.problems.append(str(error))
            return
        ticking.wrote |= gone
        self._collected_at = ticking.now

    def _is_known(self, name: PodName, record: Record, places: tuple[str, ...]) -> bool:
        """Whether it is certain which sets a pod mounts.

        A root that was given by another path is not seen in the manifests that were made before.
        """
        saved, copy = self._copies.saved(name), record.copy
        return (
            saved is not None
            and copy is not None
            and bool(copy.uid)  # else somebody else has made it, and we left nothing
            and copy.assets.keys() <= set(places)
            and not self._copies.obstacle(name)
        )
