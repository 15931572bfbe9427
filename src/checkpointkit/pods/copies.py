"""The copies on the disk: which file counts, whether it can be started, what of it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.files.manifests import Found, PodFiles
from checkpointkit.pods.model import manifest_file
from checkpointkit.pods.mounts import mounted
from checkpointkit.pods.record import Copy, adopted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.assets import Roots
    from checkpointkit.pods.files.assetsets import AssetFiles
    from checkpointkit.pods.files.manifests import ManifestFile, Manifests
    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.record import Record

__all__ = ["Copies"]

_NO_FILES = PodFiles((), ())


@frozen
class _Judged:
    """What a manifest's bytes say, whoever's they are.

    Attributes:
        refusal: Why no kubelet takes it; empty if one does.
        places: The sets of files that it mounts.
    """

    refusal: str
    places: tuple[str, ...]


class Copies:
    """The copies of a node's pods, as they are on the disk.

    Args:
        manifests: The manifests.
        assets: The sets of files.
        node: The node's name.
        roots: Where the sets are, as manifests name it.
    """

    def __init__(
        self, manifests: Manifests, assets: AssetFiles, *, node: str, roots: Roots
    ) -> None:
        self._manifests = manifests
        self._assets = assets
        self._node = node
        self._roots = roots
        self._judged: dict[str, _Judged] = {}
        self.found: Found = Found({}, (), is_complete=False)
        """What the last look at the manifests has found."""

    def look(self) -> None:
        """Look at the manifests."""
        self.found = self._manifests.scan()
        known = {
            each.digest
            for files in self.found.pods.values()
            for each in (*files.inactive, *files.active)
        }
        self._judged = {
            digest: judged for digest, judged in self._judged.items() if digest in known
        }

    def files(self, name: PodName) -> PodFiles:
        """Return the manifests of a pod."""
        return self.found.pods.get(name, _NO_FILES)

    def saved(self, name: PodName) -> ManifestFile | None:
        """Return the saved manifest of a pod: the newest, and of two that are as new, ours."""
        inactive = self.files(name).inactive
        return max(
            inactive,
            key=lambda each: (each.modified_at, each.file == manifest_file(name)),
            default=None,
        )

    def adopt(self, record: Record, *, is_self: bool) -> Record:
        """Return a record with the copy that is on the disk.

        Where both know of one, the disk is right: the process may have ended between writing a
        manifest and storing the record.
        """
        files = self.files(record.name)
        source = self.saved(record.name) or next(iter(files.active), None)
        if source is None:
            return record
        if record.copy is None:
            copy = Copy("", source.modified_at, source.digest)
            return adopted(
                record,
                copy,
                active=bool(files.active),
                inactive=bool(files.inactive),
                is_self=is_self,
            )
        if record.copy.digest == source.digest:
            return record
        return evolve(record, copy=evolve(record.copy, digest=source.digest))

    def obstacle(self, name: PodName) -> str:
        """Return why a copy cannot be started, as far as a few looks tell; empty if it can."""
        saved = self.saved(name)
        if saved is None:
            return "its saved manifest is missing"
        judged = self._judge(saved)
        if judged.refusal:
            return judged.refusal
        missing = [place for place in judged.places if not self._assets.is_present(place)]
        return f"{missing[0]} is missing" if missing else ""

    def damage(self, name: PodName) -> str:
        """Return what is wrong with the files that a copy mounts; all of them are read."""
        problems = (self._assets.problem(place) for place in self.places(name))
        return next((problem for problem in problems if problem), "")

    def places(self, name: PodName) -> tuple[str, ...]:
        """Return the sets of files that the manifests of a pod mount."""
        files = self.files(name)
        return tuple(
            sorted(
                {p for each in (*files.inactive, *files.active) for p in self._judge(each).places}
            )
        )

    def _judge(self, file: ManifestFile) -> _Judged:
        judged = self._judged.get(file.digest)
        if judged is None:
            judged = self._judged[file.digest] = self._judge_anew(file.manifest)
        return judged

    def _judge_anew(self, manifest: Mapping[str, Any]) -> _Judged:
        problems = refusals(manifest, node=self._node)
        if problems:
            return _Judged(f"a kubelet would refuse it: {problems[0].text()}", ())
        return _Judged("", mounted(manifest, self._roots))
