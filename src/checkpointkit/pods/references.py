"""Which secrets and config maps a pod needs, and where in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import frozen

from checkpointkit.pods.rules.decoding import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "TOKEN_PATH",
    "Item",
    "ObjectName",
    "Reference",
    "account_volumes",
    "lasting_containers",
    "needed",
    "references",
    "volume_references",
]

Kind = Literal["ConfigMap", "Secret"]

TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
"""Where admission mounts the service account's volume."""

_VOLUMES: Mapping[str, tuple[Kind, str]] = {
    "configMap": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
}
_PROJECTED: Mapping[str, Kind] = {"configMap": "ConfigMap", "secret": "Secret"}
_ENV: Mapping[str, Kind] = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_ENV_FROM: Mapping[str, Kind] = {"configMapRef": "ConfigMap", "secretRef": "Secret"}


@frozen(order=True)
class ObjectName:
    """A secret or a config map, in the pod's namespace.

    Attributes:
        kind: `Secret` or `ConfigMap`.
        name: Its name.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@frozen
class Item:
    """A key that becomes a file.

    Attributes:
        key: The key.
        path: The file, below the volume.
        mode: Its mode; None for the volume's.
    """

    key: str
    path: str
    mode: int | None = None


@frozen
class Reference:
    """One place in a pod that needs a secret or a config map.

    Attributes:
        object: What it needs.
        path: The place: `spec.volumes[0].secret`.
        optional: Whether the pod starts without it.
        key: The key that an environment variable takes; None for all keys, or for `items`.
        items: The keys that become files; None for all keys.
    """

    object: ObjectName
    path: str
    optional: bool = False
    key: str | None = None
    items: tuple[Item, ...] | None = None


def references(pod: Mapping[str, Any]) -> tuple[Reference, ...]:
    """Return what a pod needs, place by place.

    What admission has added for the service account is not needed: a copy has none. Nor is what a
    debug container needs: a copy has none, either.

    Args:
        pod: The pod, as JSON has it.

    Raises:
        ValueError: A field is of another type; the message says which, not what is in it.

    Example:
        >>> source = {"configMapRef": {"name": "web", "optional": True}}
        >>> container = {"name": "web", "image": "web:1", "envFrom": [source]}
        >>> volume = {"name": "tls", "secret": {"secretName": "tls"}}
        >>> pod = {"spec": {"containers": [container], "volumes": [volume]}}
        >>> for each in references(pod):
        ...     print(each.object, each.path)
        Secret tls spec.volumes[0].secret
        ConfigMap web spec.containers[0].envFrom[0].configMapRef
    """
    known, misfits = decoded(pod)
    if misfits:
        raise ValueError(misfits[0].text())
    return tuple(_references(known.get("spec", {})))


def needed(pod: Mapping[str, Any]) -> tuple[ObjectName, ...]:
    """Return what to fetch for a pod, each once, sorted.

    Raises:
        ValueError: A field is of another type; the message says which, not what is in it.

    Example:
        >>> volumes = [{"name": name, "secret": {"secretName": "tls"}} for name in ("a", "b")]
        >>> needed({"spec": {"volumes": volumes}})
        (ObjectName(kind='Secret', name='tls'),)
    """
    return tuple(sorted({reference.object for reference in references(pod)}))


def _references(spec: Mapping[str, Any]) -> Iterator[Reference]:
    dropped = account_volumes(spec)
    for number, volume in enumerate(spec.get("volumes", ())):
        if number not in dropped:
            yield from volume_references(volume, f"spec.volumes[{number}]")
    for path, container in lasting_containers(spec):
        yield from _environment(container, path)


def lasting_containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the containers of a decoded spec, debug containers aside, with their paths.

    Example:
        >>> [path for path, _ in lasting_containers({"containers": [{}], "initContainers": [{}]})]
        ['spec.containers[0]', 'spec.initContainers[0]']
    """
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(kind, ())):
            yield f"spec.{kind}[{number}]", container


def volume_references(volume: Mapping[str, Any], path: str) -> Iterator[Reference]:
    """Yield what a decoded volume needs, a projected one's sources in their order.

    Example:
        >>> sources = [{"configMap": {"name": "a", "items": [{"key": "k", "path": "p"}]}}]
        >>> next(volume_references({"name": "v", "projected": {"sources": sources}}, "v")).items
        (Item(key='k', path='p', mode=None),)
    """
    for field, (kind, name) in _VOLUMES.items():
        if field in volume:
            yield _files(kind, volume[field], name, f"{path}.{field}")
    for number, source in enumerate(volume.get("projected", {}).get("sources", ())):
        for field, kind in _PROJECTED.items():
            if field in source:
                place = f"{path}.projected.sources[{number}].{field}"
                yield _files(kind, source[field], "name", place)


def _files(kind: Kind, source: Mapping[str, Any], name: str, path: str) -> Reference:
    items = source.get("items") or None
    return Reference(
        ObjectName(kind, source.get(name, "")),
        path,
        optional=source.get("optional", False),
        items=items
        and tuple(
            Item(item.get("key", ""), item.get("path", ""), item.get("mode")) for item in items
        ),
    )


def _environment(container: Mapping[str, Any], path: str) -> Iterator[Reference]:
    for number, source in enumerate(container.get("envFrom", ())):
        for field, kind in _ENV_FROM.items():
            if field in source:
                place = f"{path}.envFrom[{number}].{field}"
                yield _variables(kind, source[field], place)
    for number, variable in enumerate(container.get("env", ())):
        for field, kind in _ENV.items():
            if field in variable.get("valueFrom", {}):
                place = f"{path}.env[{number}].valueFrom.{field}"
                yield _variables(kind, variable["valueFrom"][field], place)


def _variables(kind: Kind, source: Mapping[str, Any], path: str) -> Reference:
    return Reference(
        ObjectName(kind, source.get("name", "")),
        path,
        optional=source.get("optional", False),
        key=source.get("key"),
    )


def account_volumes(spec: Mapping[str, Any]) -> frozenset[int]:
    """Return which volumes of a decoded spec admission has added for the service account.

    Such a volume is named `kube-api-access-*`, holds the token, the cluster's certificates and
    the namespace, nothing else, and is mounted at `TOKEN_PATH` alone (Kubernetes 1.34,
    `plugin/pkg/admission/serviceaccount/admission.go`).

    Example:
        >>> account_volumes({"volumes": [{"name": "kube-api-access-x", "emptyDir": {}}]})
        frozenset()
    """
    elsewhere = {
        mount.get("name")
        for _, container in lasting_containers(spec)
        for mount in container.get("volumeMounts", ())
        if mount.get("mountPath", "").rstrip("/") != TOKEN_PATH or mount.get("subPath")
    }
    return frozenset(
        number
        for number, volume in enumerate(spec.get("volumes", ()))
        if volume.get("name", "").startswith("kube-api-access-")
        and volume.get("name") not in elsewhere
        and _is_account(volume.get("projected", {}).get("sources", ()))
    )


def _is_account(sources: Any) -> bool:
    return sorted(_account_part(source) for source in sources) == ["namespace", "root", "token"]


def _account_part(source: Mapping[str, Any]) -> str:
    match source:
        case {"serviceAccountToken": {"path": "token", **rest}} if not rest.get("audience"):
            return "token"
        case {"configMap": {"name": "kube-root-ca.crt"}}:
            return "root"
        case {"downwardAPI": {"items": [{"fieldRef": {"fieldPath": "metadata.namespace"}}]}}:
            return "namespace"
    return ""
