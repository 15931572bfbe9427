"""The environment of a container without the API server: references become literal values.

What a value is follows `makeEnvironmentVariables` of Kubernetes 1.34's
`pkg/kubelet/kubelet_pods.go`: `envFrom` first, in its order, then `env`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.kubernetes.grammar import is_env_name
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.rules.decoding import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit.pods.assets import Asset
    from checkpointkit.pods.references import Kind

    Find = Callable[[ObjectName, str, bool], Asset | None]
    """Name, path and whether it is optional to what was fetched; None if there is none."""
    Field = Callable[[str], str | None]
    """A field of the parent that its copy does not have; None for one that both have."""

__all__ = ["literal_environment"]

_ENV_FROM: Mapping[str, Kind] = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_ENV: Mapping[str, Kind] = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}


def literal_environment(
    container: Mapping[str, Any],
    path: str,
    find: Find,
    field: Field,
    refused: list[Refusal],
) -> list[dict[str, Any]]:
    """Return a decoded container's variables with literal values in place of references.

    Args:
        container: The container.
        path: Its path in the pod.
        find: What was fetched.
        field: What a field of the parent is worth that its copy does not have.
        refused: Where to put what cannot be made literal.

    Example:
        >>> from checkpointkit.pods.assets import Asset
        >>> web = Asset(ObjectName("Secret", "web"), {"password": b"a$(b)"})
        >>> source = {"secretKeyRef": {"name": "web", "key": "password"}}
        >>> container = {"env": [{"name": "PASSWORD", "valueFrom": source}]}
        >>> literal_environment(container, "spec.containers[0]", lambda *_: web, lambda _: None, [])
        [{'name': 'PASSWORD', 'value': 'a$$(b)'}]
    """
    taken: dict[str, dict[str, Any]] = {}
    for number, source in enumerate(container.get("envFrom", ())):
        place = f"{path}.envFrom[{number}]"
        for variable in _all(source, place, find, refused):
            taken[variable["name"]] = variable
    own = [
        _one(variable, f"{path}.env[{number}]", find, field, refused)
        for number, variable in enumerate(container.get("env", ()))
    ]
    return [*taken.values(), *(variable for variable in own if variable is not None)]


def _all(
    source: Mapping[str, Any], path: str, find: Find, refused: list[Refusal]
) -> list[dict[str, Any]]:
    """Return a variable for each key of a source."""
    variables = []
    for form, kind in _ENV_FROM.items():
        if form not in source:
            continue
        place = f"{path}.{form}"
        name = ObjectName(kind, source[form].get("name", ""))
        asset = find(name, place, source[form].get("optional", False))
        if asset is None:
            continue
        for key in sorted(asset.data.keys() - asset.binary):
            variable = source.get("prefix", "") + key
            if not is_env_name(variable):
                refused.append(Refusal(place, "has a key that names no variable of a static pod"))
            text = _literal(asset.data[key], place, refused)
            variables.append({"name": variable, "value": text})
    return variables


def _one(
    variable: dict[str, Any],
    path: str,
    find: Find,
    field: Field,
    refused: list[Refusal],
) -> dict[str, Any] | None:
    """Return a variable, literal if it was a reference; None if what it refers to is absent."""
    source = variable.get("valueFrom", {})
    rest = {name: value for name, value in variable.items() if name != "valueFrom"}
    gone = field(source.get("fieldRef", {}).get("fieldPath", ""))
    if gone is not None:
        return {**rest, "value": _doubled(gone)}
    for name, kind in _ENV.items():
        if name not in source:
            continue
        place = f"{path}.valueFrom.{name}"
        optional = source[name].get("optional", False)
        asset = find(ObjectName(kind, source[name].get("name", "")), place, optional)
        key = source[name].get("key", "")
        if asset is not None and key in asset.data and key not in asset.binary:
            return {**rest, "value": _literal(asset.data[key], place, refused)}
        if asset is not None and not optional:
            refused.append(Refusal(place, "refers to a key that is not there"))
        return None
    return variable


def _literal(value: bytes, path: str, refused: list[Refusal]) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        refused.append(Refusal(path, "has a value that is no text for a variable"))
    return _doubled(text)


def _doubled(text: str) -> str:
    """Return a text that the kubelet's expansion of `$(NAME)` turns back into this one."""
    return text.replace("$", "$$")
