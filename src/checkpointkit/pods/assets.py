"""Secrets and config maps as values, and the files that a copy of a pod mounts instead of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import field, frozen

from checkpointkit.kubernetes.grammar import is_data_key, is_subdomain
from checkpointkit.pods.references import ObjectName

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_DEPTH", "Asset", "AssetFile", "AssetSet", "Roots", "digest_of", "read_asset"]

MAX_DEPTH: Final = 12
"""Names in the path of a file of a set, at most: each is a directory that is kept open."""


@frozen
class Asset:
    """A secret or a config map that was fetched.

    Attributes:
        name: Which one.
        data: Its values, by key.
        binary: The keys of a config map's binary data, which no environment variable takes.
        uid: Its UID: another one is another object, whatever its name.
        resource_version: The version that was fetched.
        immutable: Whether it stays as it is for as long as it has this UID.
    """

    name: ObjectName
    data: Mapping[str, bytes] = field(repr=False)
    binary: frozenset[str] = frozenset()
    uid: str = ""
    resource_version: str = ""
    immutable: bool = False


@frozen
class AssetFile:
    """A file of a set.

    Attributes:
        path: Below the set's directory; it stays there.
        data: What is in it.
        mode: Its permissions. It belongs to root, and to the set's group.
    """

    path: str
    data: bytes = field(repr=False)
    mode: int


@frozen
class AssetSet:
    """The files of one volume, which change together.

    Attributes:
        root: Below which of the two roots it is.
        path: Its directory, below that root: `<namespace>/<pod>/<object>`.
        files: The files, sorted by path.
        mode: The permissions of its directories, the outermost included.
        gid: The group of its files and directories.
    """

    root: Literal["configmaps", "secrets"]
    path: str
    files: tuple[AssetFile, ...]
    mode: int = 0o755
    gid: int = 0

    @property
    def place(self) -> str:
        """Its root and its path, which records and errors call it by."""
        return f"{self.root}/{self.path}"


@frozen
class Roots:
    """The directories on the node below which the sets are.

    Attributes:
        secrets: For sets with something of a secret in them.
        configmaps: For all others.
    """

    secrets: str = "/etc/kubernetes/checkpoint-secrets"
    configmaps: str = "/etc/kubernetes/checkpoint-configmaps"

    def place(self, files: AssetSet) -> str:
        """Return the directory of a set on the node.

        Example:
            >>> Roots().place(AssetSet("secrets", "kube-system/web/tls", ()))
            '/etc/kubernetes/checkpoint-secrets/kube-system/web/tls'
        """
        return f"{self.secrets if files.root == 'secrets' else self.configmaps}/{files.path}"


def digest_of(files: AssetSet) -> str:
    """Return what tells a set from another: its files, with their modes, and the group.

    Where it is does not count. No two sets have one digest: each part comes with its length.

    Example:
        >>> tls = AssetFile("tls.key", b"abc", 0o400)
        >>> digest = digest_of(AssetSet("secrets", "kube-system/web/tls", (tls,)))
        >>> digest[:12]
        'sha256:82113'
        >>> digest == digest_of(AssetSet("secrets", "kube-system/web/tls", (tls,), gid=1000))
        False
    """
    digest = hashlib.sha256(b"%o %d\n" % (files.mode, files.gid))
    for file in sorted(files.files, key=lambda each: each.path):
        path = file.path.encode("utf-8", "surrogatepass")
        digest.update(b"%d %o %d\n" % (len(path), file.mode, len(file.data)))
        digest.update(path)
        digest.update(file.data)
    return f"sha256:{digest.hexdigest()}"


def read_asset(decoded: Any, kind: Literal["ConfigMap", "Secret"]) -> Asset:
    """Return a secret or a config map, from what JSON has of it.

    Raises:
        ValueError: A field is of another type, or a key would not be the name of a file. The
            message says which field, not what is in it.

    Example:
        >>> read_asset({"metadata": {"name": "tls"}, "data": {"ca.crt": "YWJj"}}, "Secret").data
        {'ca.crt': b'abc'}
    """
    if not isinstance(decoded, dict) or not isinstance(decoded.get("metadata"), dict):
        raise ValueError(f"a {kind} is an object with metadata")  # noqa: TRY004 - the data is wrong
    metadata = decoded["metadata"]
    name, uid, version = (_text(metadata, each) for each in ("name", "uid", "resourceVersion"))
    if not is_subdomain(name):
        raise ValueError("metadata.name is no DNS subdomain")
    immutable = decoded.get("immutable")
    if not isinstance(immutable, bool | None):
        raise ValueError("immutable is no boolean")  # noqa: TRY004
    texts = _values(decoded, "data")
    binary = _values(decoded, "binaryData") if kind == "ConfigMap" else {}
    return Asset(
        ObjectName(kind, name),
        {
            **{
                key: _bytes(value) if kind == "Secret" else value.encode("utf-8", "replace")
                for key, value in texts.items()
            },
            **{key: _bytes(value) for key, value in binary.items()},
        },
        binary=frozenset(binary),
        uid=uid,
        resource_version=version,
        immutable=bool(immutable),
    )


def _text(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    if not isinstance(value, str | None):
        raise ValueError(f"metadata.{name} is no text")  # noqa: TRY004
    return value or ""


def _values(decoded: Mapping[str, Any], name: str) -> dict[str, str]:
    values = decoded.get(name)
    if not isinstance(values, dict | None):
        raise ValueError(f"{name} is no object")  # noqa: TRY004
    for key, value in (values or {}).items():
        if not isinstance(value, str):
            raise ValueError(f"{name} has a value that is no text")  # noqa: TRY004
        if not is_data_key(key):
            raise ValueError(f"{name} has a key that is no name of a file")
    return dict(values or {})


def _bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError("a value is no base64")
