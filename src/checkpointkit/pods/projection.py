"""The volumes of a pod without the API server: files on the host in place of references.

What a file holds and who may read it follows Kubernetes 1.34's volume plugins
(`pkg/volume/{secret,configmap,projected}`) and `pkg/volume/volume_linux.go`.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from checkpointkit.pods.assets import MAX_DEPTH, AssetFile
from checkpointkit.pods.references import volume_references
from checkpointkit.pods.rules.decoding import Refusal
from checkpointkit.pods.rules.fieldrules import is_volume_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit.pods.assets import Asset
    from checkpointkit.pods.references import ObjectName, Reference

    Find = Callable[[ObjectName, str, bool], Asset | None]
    Field = Callable[[str], str | None]

__all__ = ["directory_mode", "is_converted", "volume_files"]

_MODE = 0o644
_READABLE = 0o440
_GROUP_DIRECTORY = 0o2550
_NAME_BYTES = 255


def is_converted(volume: Mapping[str, Any]) -> bool:
    """Tell whether a decoded volume has something of a secret or a config map in it.

    Example:
        >>> is_converted({"name": "a", "secret": {}}), is_converted({"name": "b", "emptyDir": {}})
        (True, False)
    """
    sources = volume.get("projected", {}).get("sources", ())
    return any({"secret", "configMap"} & each.keys() for each in (volume, *sources))


def volume_files(
    volume: Mapping[str, Any],
    path: str,
    find: Find,
    field: Field,
    group: int | None,
    refused: list[Refusal],
) -> tuple[AssetFile, ...]:
    """Return the files of a decoded volume that is to be converted, sorted by path.

    Args:
        volume: The volume.
        path: Its path in the pod.
        find: What was fetched.
        field: What the downward API says of the copy; None for what is known on the node alone.
        group: The pod's fsGroup.
        refused: Where to put what keeps it from being converted.

    Example:
        >>> from checkpointkit.pods.assets import Asset
        >>> from checkpointkit.pods.references import ObjectName
        >>> tls = Asset(ObjectName("Secret", "tls"), {"ca.crt": b"abc"})
        >>> volume = {"name": "tls", "secret": {"secretName": "tls", "defaultMode": 0o400}}
        >>> for each in volume_files(volume, "v", lambda *_: tls, lambda _: None, 1000, []):
        ...     print(each.path, oct(each.mode))
        ca.crt 0o440
    """
    source = next(volume[name] for name in ("secret", "configMap", "projected") if name in volume)
    default = source.get("defaultMode", _MODE)
    files: dict[str, AssetFile] = {}
    for reference in volume_references(volume, path):
        for name, data, mode in _chosen(reference, find, refused):
            files[name] = _file(name, data, default if mode is None else mode, group)
    for number, part in enumerate(volume.get("projected", {}).get("sources", ())):
        place = f"{path}.projected.sources[{number}].downwardAPI"
        for index, item in enumerate(part.get("downwardAPI", {}).get("items", ())):
            value = _downward(item, f"{place}.items[{index}]", field, refused)
            mode = item.get("mode", default)
            files[item.get("path", "")] = _file(item.get("path", ""), value, mode, group)
    _check_paths(files, path, refused)
    return tuple(files[name] for name in sorted(files))


def directory_mode(group: int | None) -> int:
    """Return the permissions of a volume's directories.

    Example:
        >>> oct(directory_mode(None)), oct(directory_mode(1000))
        ('0o755', '0o2755')
    """
    return 0o755 if group is None else 0o755 | _GROUP_DIRECTORY


def _chosen(
    reference: Reference, find: Find, refused: list[Refusal]
) -> list[tuple[str, bytes, int | None]]:
    """Return path, data and mode of what one source brings."""
    asset = find(reference.object, reference.path, reference.optional)
    if asset is None:
        return []
    if reference.items is None:
        return [(key, value, None) for key, value in asset.data.items()]
    found = []
    for number, item in enumerate(reference.items):
        if item.key in asset.data:
            found.append((item.path, asset.data[item.key], item.mode))
        elif not reference.optional:
            place = f"{reference.path}.items[{number}].key"
            refused.append(Refusal(place, f"is not in {reference.object}"))
    return found


def _file(path: str, data: bytes, mode: int, group: int | None) -> AssetFile:
    return AssetFile(path, data, mode if group is None else mode | _READABLE)


def _downward(item: Mapping[str, Any], path: str, field: Field, refused: list[Refusal]) -> bytes:
    value = field(item.get("fieldRef", {}).get("fieldPath", ""))
    if value is None:
        reason = "cannot be a file beside secrets and config maps: it is known on the node alone"
        refused.append(Refusal(path, reason))
    return (value or "").encode()


def _check_paths(files: Mapping[str, AssetFile], path: str, refused: list[Refusal]) -> None:
    """Refuse what would not be a file below the volume: these are written to the host by root."""
    for name in files:
        parts = name.split("/")
        good = is_volume_path(name) and posixpath.normpath(name) == name and "\0" not in name
        if not good or any(len(part.encode("utf-8", "replace")) > _NAME_BYTES for part in parts):
            refused.append(Refusal(path, "has a path that is no file below the volume"))
        if len(parts) > MAX_DEPTH:
            refused.append(Refusal(path, f"has a path of more than {MAX_DEPTH} names"))
        if any("/".join(parts[:depth]) in files for depth in range(1, len(parts))):
            refused.append(Refusal(path, "has a file and a directory at one path"))
