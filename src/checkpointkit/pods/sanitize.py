"""A parent and what it refers to become a static manifest and the files beside it.

The contract is the README of bootkube's pod checkpointer (v0.4.5); what it kept and a kubelet of
today refuses is taken out here, resolved, or refused with its path in the pod. Unknown fields
survive.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from checkpointkit.pods.acceptance import Refusal, refusals, volume_refusals
from checkpointkit.pods.assets import Asset, AssetSet, Roots
from checkpointkit.pods.environment import literal_environment
from checkpointkit.pods.hostports import without_ports
from checkpointkit.pods.model import CHECKPOINT_OF
from checkpointkit.pods.projection import directory_mode, is_converted, volume_files
from checkpointkit.pods.references import account_volumes
from checkpointkit.pods.rules.decoding import decoded
from checkpointkit.pods.rules.fields import fields_of
from checkpointkit.pods.rules.metadata import metadata_refusals, static_name
from checkpointkit.pods.rules.validation import spec_refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.pods.references import ObjectName

__all__ = ["Refused", "Sanitized", "manifest_bytes", "sanitize"]

_MANIFEST_BYTES = 10 * 1024 * 1024  # maxConfigLength of pkg/kubelet/config
_DROPPED = (
    "affinity",  # what the scheduler needed
    "ephemeralContainers",
    "imagePullSecrets",
    "nodeSelector",
    "schedulingGates",
    "serviceAccount",
    "serviceAccountName",
    "topologySpreadConstraints",
)
_MENDED = re.compile(r"spec\.initContainers\[\d+\]\.resizePolicy.*")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]", re.DOTALL)


@frozen
class Sanitized:
    """A copy of a pod that needs no API server.

    Attributes:
        manifest: The static manifest. It may hold secrets: its file is for root alone (0600).
        assets: The sets of files that it mounts; all of them have to be there before it is.
        notes: What is worth knowing of the copy, in words, each with its path in the pod.
    """

    manifest: dict[str, Any] = field(repr=False)
    assets: tuple[AssetSet, ...] = ()
    notes: tuple[str, ...] = ()


@frozen
class Refused:
    """A pod that cannot be made independent of the API server.

    Attributes:
        refusals: Why, each with its path in the pod.
    """

    refusals: tuple[Refusal, ...]


def sanitize(
    pod: Mapping[str, Any],
    fetched: Mapping[ObjectName, Asset | None],
    *,
    node: str,
    roots: Roots | None = None,
    keep_labels: bool = False,
) -> Sanitized | Refused:
    """Return what to keep of a pod on its node, or why that is not possible.

    What is a checkpoint already (its annotation says so) is returned as it is.

    Args:
        pod: The pod, as JSON has it.
        fetched: What `references.needed` asks for; None for what the API server says is not there.
        node: The node's name, which the kubelet appends to the pod's.
        roots: Where the files go.
        keep_labels: Keep the labels; then services send traffic to the copy, too.

    Example:
        >>> from checkpointkit.pods.references import ObjectName
        >>> tls = ObjectName("Secret", "tls")
        >>> volume = {"name": "tls", "secret": {"secretName": "tls"}}
        >>> pod = {
        ...     "metadata": {"name": "web", "namespace": "prod", "labels": {"app": "web"}},
        ...     "spec": {"containers": [{"name": "web", "image": "web:1"}], "volumes": [volume]},
        ... }
        >>> done = sanitize(pod, {tls: Asset(tls, {"ca.crt": b"abc"})}, node="node1")
        >>> done.manifest["metadata"]["annotations"]
        {'checkpointer.alpha.coreos.com/checkpoint-of': 'web'}
        >>> done.manifest["spec"]["volumes"][0]["hostPath"]
        {'path': '/etc/kubernetes/checkpoint-secrets/prod/web/tls'}
        >>> [(each.path, [file.path for file in each.files]) for each in done.assets]
        [('prod/web/tls', ['ca.crt'])]
        >>> sanitize(pod, {tls: None}, node="node1").refusals[0].text()
        'spec.volumes[0].secret: Secret tls does not exist'
    """
    known, misfits = decoded(pod)
    if misfits:
        return Refused(misfits)
    if CHECKPOINT_OF in known.get("metadata", {}).get("annotations", {}):
        problems = refusals(known, node=node)
        return Refused(problems) if problems else Sanitized(known)
    work = _Work(known, fetched, node, roots or Roots(), keep_labels)
    manifest = work.manifest()
    problems = tuple(work.refused) or refusals(manifest, node=node) or tuple(_unfit(manifest))
    return Refused(problems) if problems else Sanitized(manifest, work.assets(), tuple(work.notes))


def _unfit(manifest: Mapping[str, Any]) -> Iterator[Refusal]:
    try:
        if len(manifest_bytes(manifest)) > _MANIFEST_BYTES:
            yield Refusal("", "is longer than the 10 MiB that a kubelet reads")
    except ValueError:
        yield Refusal("", "has a number that JSON does not have")


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes of a manifest's file, the same for equal manifests.

    Example:
        >>> manifest_bytes({"kind": "Pod", "apiVersion": "v1"}).rstrip()
        b'{"apiVersion":"v1","kind":"Pod"}'
    """
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode("ascii")


@define
class _Work:
    """One pod on its way."""

    pod: dict[str, Any]
    fetched: Mapping[ObjectName, Asset | None]
    node: str
    roots: Roots
    keep_labels: bool
    refused: list[Refusal] = field(factory=list)
    notes: list[str] = field(factory=list)
    sets: dict[str, AssetSet] = field(factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.pod.get("metadata", {})
        return metadata

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.pod.get("spec", {})
        return spec

    def manifest(self) -> dict[str, Any]:
        """Return the static manifest; what is wrong goes to `refused`."""
        self._check()
        rest = {name: part for name, part in self.pod.items() if name != "status"}
        return {
            **rest,
            "apiVersion": rest.get("apiVersion", "v1"),
            "kind": rest.get("kind", "Pod"),
            "metadata": self._metadata(),
            "spec": self._spec(),
        }

    def assets(self) -> tuple[AssetSet, ...]:
        """Return the sets of files, sorted by their place."""
        return tuple(sorted(self.sets.values(), key=lambda each: (each.root, each.path)))

    def _check(self) -> None:
        """Refuse what no change below mends, with its path in the parent.

        Directories are made of the names, so that each has to be good alone, too.
        """
        for name, is_good in (("namespace", is_label), ("name", is_subdomain)):
            if not is_good(self.metadata.get(name, "")):
                self.refused.append(Refusal(f"metadata.{name}", "is missing, or no such name"))
        name = self.metadata.get("name", "")
        self.refused.extend(metadata_refusals({"name": name or "a"}, self.node))
        spec = {name: part for name, part in self.spec.items() if name not in _DROPPED}
        self.refused.extend(
            refusal for refusal in spec_refusals(spec) if not _MENDED.fullmatch(refusal.path)
        )

    def _metadata(self) -> dict[str, Any]:
        """Return what the copy keeps: all that the API server fills in would be a lie."""
        known = fields_of("ObjectMeta")
        name = self.metadata.get("name", "")
        kept = {field: part for field, part in self.metadata.items() if field not in known}
        if self.keep_labels and self.metadata.get("labels"):
            kept["labels"] = self.metadata["labels"]
        return {
            **kept,
            "name": name,
            "namespace": self.metadata.get("namespace", ""),
            "annotations": {CHECKPOINT_OF: name},
        }

    def _spec(self) -> dict[str, Any]:
        spec = {name: part for name, part in self.spec.items() if name not in _DROPPED}
        dropped = account_volumes(self.spec)
        volumes = self.spec.get("volumes", ())
        gone = {volumes[number]["name"] for number in dropped}
        kept = [
            self._volume(volume, f"spec.volumes[{number}]")
            for number, volume in enumerate(volumes)
            if number not in dropped
        ]
        spec.pop("volumes", None)
        if kept:
            spec["volumes"] = kept
        converted = {volume.get("name") for volume in volumes if is_converted(volume)}
        for kind in ("containers", "initContainers"):
            if kind in spec:
                spec[kind] = [
                    self._container(container, f"spec.{kind}[{number}]", gone, converted)
                    for number, container in enumerate(spec[kind])
                ]
        self._note_dropped()
        return spec

    def _note_dropped(self) -> None:
        if self.spec.get("imagePullSecrets"):
            self.notes.append("spec.imagePullSecrets: the image has to be on the node already")
        if self.spec.get("ephemeralContainers"):
            self.notes.append("spec.ephemeralContainers: a copy has no debug containers")

    def _container(
        self, container: dict[str, Any], path: str, gone: set[str], converted: set[str]
    ) -> dict[str, Any]:
        copy = dict(container)
        mounts = [
            # As a volume it was read-only whatever the mount said; the host's files are not.
            {**mount, "readOnly": True} if mount.get("name") in converted else mount
            for mount in copy.pop("volumeMounts", ())
            if mount.get("name") not in gone
        ]
        if mounts:
            copy["volumeMounts"] = mounts
        if copy.keys() & {"env", "envFrom"}:
            variables = literal_environment(copy, path, self._find, self._gone, self.refused)
            copy.pop("envFrom", None)
            copy.pop("env", None)
            if variables:
                copy["env"] = variables
        if self.spec.get("hostNetwork"):
            copy = without_ports(copy)
        else:
            self._note_ports(copy, path)
        if path.startswith("spec.init"):
            copy.pop("resizePolicy", None)  # nobody resizes a static pod, and kubelets refuse it
        if self.spec.get("imagePullSecrets") and copy.get("imagePullPolicy") != "Never":
            copy["imagePullPolicy"] = "IfNotPresent"
        return copy

    def _note_ports(self, container: Mapping[str, Any], path: str) -> None:
        for number, port in enumerate(container.get("ports", ())):
            if port.get("hostPort"):
                place = f"{path}.ports[{number}].hostPort"
                self.notes.append(f"{place}: parent and copy cannot run at the same time")

    def _volume(self, volume: dict[str, Any], path: str) -> dict[str, Any]:
        if not is_converted(volume):
            self.refused.extend(volume_refusals(volume, path))
            self._note_downward(volume, path)
            return volume
        handled = {"configMap", "secret"}
        self.refused.extend(
            refusal
            for refusal in volume_refusals(volume, path)
            if refusal.path.rpartition(".")[2] not in handled
        )
        group = self.spec.get("securityContext", {}).get("fsGroup")
        files = volume_files(volume, path, self._find, self._downward, group, self.refused)
        known = fields_of("Volume").keys() - {"name"}
        rest = {name: part for name, part in volume.items() if name not in known}
        return {**rest, "hostPath": {"path": self._place(volume, files, group)}}

    def _place(self, volume: Mapping[str, Any], files: Any, group: int | None) -> str:
        """Return the directory of a volume's files.

        It is named after the object. Another choice of keys or modes of the same object, and a
        projected volume, get one after the volume, with `_` before it, which is in no object's
        name.
        """
        secret = "secret" in volume or any(
            "secret" in source for source in volume.get("projected", {}).get("sources", ())
        )
        name = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        places = (name, f"_{volume.get('name', '')}") if name else (f"_{volume.get('name', '')}",)
        parent = f"{self.metadata.get('namespace')}/{self.metadata.get('name')}"
        made = [
            AssetSet(
                "secrets" if secret else "configmaps",
                f"{parent}/{last}",
                files,
                directory_mode(group),
                group or 0,
            )
            for last in places
        ]
        taken = ((each, self.sets.setdefault(self.roots.place(each), each)) for each in made)
        chosen = next((each for each, there in taken if each == there), made[-1])
        return self.roots.place(chosen)

    def _note_downward(self, volume: Mapping[str, Any], path: str) -> None:
        sources = volume.get("projected", {}).get("sources", ())
        items = [
            item
            for source in (volume, *sources)
            for item in source.get("downwardAPI", {}).get("items", ())
        ]
        fields = [item.get("fieldRef", {}).get("fieldPath", "") for item in items]
        if any(field.startswith(("metadata.annotations", "metadata.labels")) for field in fields):
            self.notes.append(f"{path}: shows the copy's own labels and annotations")

    def _find(self, name: ObjectName, path: str, optional: bool) -> Asset | None:  # noqa: FBT001
        """Return what was fetched; None, with the reason in `refused` unless it is optional."""
        if not is_subdomain(name.name):
            self.refused.append(Refusal(path, f"names no {name.kind}"))
        elif name not in self.fetched:
            self.refused.append(Refusal(path, f"{name} was not fetched"))
        elif self.fetched[name] is None and not optional:
            self.refused.append(Refusal(path, f"{name} does not exist"))
        else:
            return self.fetched[name]
        return None

    def _gone(self, path: str) -> str | None:
        """Return what a field of the parent is worth that the copy does not have."""
        if path == "spec.serviceAccountName":
            return str(self.spec.get("serviceAccountName") or self.spec.get("serviceAccount", ""))
        match = _SUBSCRIPT.fullmatch(path)
        if match is None or (match[1] == "labels" and self.keep_labels):
            return None
        return str(self.metadata.get(match[1], {}).get(match[2], ""))

    def _downward(self, path: str) -> str | None:
        """Return what the downward API says of the copy; None for what is not known here."""
        name, namespace = self.metadata.get("name", ""), self.metadata.get("namespace", "")
        known = {
            "metadata.name": static_name(name, self.node),
            "metadata.namespace": namespace,
            "spec.nodeName": self.node,
        }
        return known.get(path, self._gone(path))
