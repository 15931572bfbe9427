"""What a kubelet of today demands of a static pod, as a pure function.

The rules are those of Kubernetes 1.34.2: `pkg/kubelet/config/common.go` (`tryDecodeSinglePod`),
`pkg/api/pod/util.go` (`HasAPIObjectReference`) and `pkg/apis/core/validation/validation.go`. A
kubelet validates a file more strictly than the API server validates a pod (it calls
`ValidatePodCreate` with no option set), so that a pod that runs may yet be refused as a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.pods.rules.decoding import Refusal, decoded
from checkpointkit.pods.rules.metadata import metadata_refusals
from checkpointkit.pods.rules.validation import spec_refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Refusal", "containers_of", "reference_refusals", "refusals", "volume_refusals"]

_KINDS = ("containers", "initContainers", "ephemeralContainers")
_SECRET_REFERENCES = {
    "cephfs": "secretRef",
    "cinder": "secretRef",
    "flexVolume": "secretRef",
    "iscsi": "secretRef",
    "rbd": "secretRef",
    "scaleIO": "secretRef",
    "storageos": "secretRef",
}
_NEEDS = {
    "azureFile": "secrets",
    "configMap": "config maps",
    "csi": "CSI drivers",
    "ephemeral": "persistent volume claims",
    "glusterfs": "endpoints",
    "persistentVolumeClaim": "persistent volume claims",
    "secret": "secrets",
}
_PROJECTED_NEEDS = {
    "clusterTrustBundle": "cluster trust bundles",
    "configMap": "config maps",
    "podCertificate": "pod certificates",
    "secret": "secrets",
    "serviceAccountToken": "service accounts",
}
_ENV_NEEDS = {"configMapKeyRef": "config maps", "secretKeyRef": "secrets"}
_ENV_FROM_NEEDS = {"configMapRef": "config maps", "secretRef": "secrets"}


def refusals(pod: Mapping[str, Any], *, node: str = "") -> tuple[Refusal, ...]:
    """Return why a kubelet would not run a manifest as a static pod; none if it would.

    Args:
        pod: The manifest, decoded from JSON.
        node: The node's name, which the kubelet appends to the pod's.

    Example:
        >>> pod = {
        ...     "apiVersion": "v1",
        ...     "kind": "Pod",
        ...     "metadata": {"name": "web", "namespace": "prod"},
        ...     "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        ... }
        >>> refusals(pod, node="node1")
        ()
        >>> pod["spec"]["serviceAccountName"] = "web"
        >>> print(refusals(pod, node="node1")[0].text())
        spec.serviceAccountName: a static pod may not refer to service accounts
    """
    if (pod.get("apiVersion"), pod.get("kind")) != ("v1", "Pod"):
        return (Refusal("kind", "is no Pod of version v1"),)
    known, misfits = decoded(pod)
    if misfits:
        return misfits
    spec = known.get("spec", {})
    return (
        *metadata_refusals(known.get("metadata", {}), node),
        *spec_refusals(spec),
        *reference_refusals(spec),
    )


def reference_refusals(spec: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yield what in a decoded spec refers to objects of the API.

    Example:
        >>> [each.path for each in reference_refusals({"imagePullSecrets": [{"name": "a"}]})]
        ['spec.imagePullSecrets[0]']
    """
    for name in ("serviceAccountName", "serviceAccount"):
        if spec.get(name):
            yield _refused(f"spec.{name}", "service accounts")
    for number, secret in enumerate(spec.get("imagePullSecrets", ())):
        if secret.get("name"):
            yield _refused(f"spec.imagePullSecrets[{number}]", "secrets")
    for path, container in containers_of(spec):
        yield from _container(container, path)
    if spec.get("resourceClaims"):
        yield _refused("spec.resourceClaims", "resource claims")
    for number, volume in enumerate(spec.get("volumes", ())):
        yield from volume_refusals(volume, f"spec.volumes[{number}]")


def containers_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each container of a decoded spec, of any kind, with its path in the pod.

    Example:
        >>> list(containers_of({"containers": [{"name": "a"}]}))
        [('spec.containers[0]', {'name': 'a'})]
    """
    for kind in _KINDS:
        for number, container in enumerate(spec.get(kind, ())):
            yield f"spec.{kind}[{number}]", container


def volume_refusals(volume: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    """Yield what in a decoded volume refers to objects of the API.

    Example:
        >>> [each.path for each in volume_refusals({"name": "a", "csi": {}}, "spec.volumes[0]")]
        ['spec.volumes[0].csi']
    """
    for source, needed in _NEEDS.items():
        if source in volume:
            yield _refused(f"{path}.{source}", needed)
    for source, field in _SECRET_REFERENCES.items():
        if volume.get(source, {}).get(field, {}).get("name"):
            yield _refused(f"{path}.{source}.{field}", "secrets")
    for number, part in enumerate(volume.get("projected", {}).get("sources", ())):
        place = f"{path}.projected.sources[{number}]"
        for source, needed in _PROJECTED_NEEDS.items():
            if source in part:
                yield _refused(f"{place}.{source}", needed)
        if not part.keys() & {"downwardAPI", *_PROJECTED_NEEDS}:
            yield Refusal(place, "is of no kind that a kubelet of today knows")


def _container(container: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    for number, source in enumerate(container.get("envFrom", ())):
        for field, needed in _ENV_FROM_NEEDS.items():
            if source.get(field, {}).get("name"):
                yield _refused(f"{path}.envFrom[{number}].{field}", needed)
    for number, variable in enumerate(container.get("env", ())):
        for field, needed in _ENV_NEEDS.items():
            if variable.get("valueFrom", {}).get(field, {}).get("name"):
                yield _refused(f"{path}.env[{number}].valueFrom.{field}", needed)


def _refused(path: str, needed: str) -> Refusal:
    return Refusal(path, f"a static pod may not refer to {needed}")
