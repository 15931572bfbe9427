"""Builds the archives that container runtimes write, whole and otherwise, for the tests.

`archive` makes the bytes of one; `write` puts them into a directory, with a size and a time;
`materialise` does both for an entry of a recorded scenario.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from checkpointkit._extras import require
from checkpointkit.archives.identity import Reading
from checkpointkit.archives.model import Container, State
from checkpointkit.archives.tarscan import read_archive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
START: Final = 1_780_000_000
"""The time of recorded scenarios, in seconds: 2026-05-28T20:26:40Z."""
UID: Final = "d2139d84-b72d-4e56-aa68-06d2f74e2528"
WEB: Final = Container("default", "web", "app")

RUNTIMES: Final = (
    "crio",
    "containerd",
    "podman",
    "checkpointctl",
    "podannot",
    "conflict",
    "badlabels",
    "nospec",
    "badjson",
    "subspec",
)
COMPRESSIONS: Final = ("none", "gzip", "bzip2", "xz", "zstd")


# ------------------------------------------------------------------------------------- tar


def header(
    name: bytes,
    size: int,
    kind: bytes = b"0",
    *,
    link: bytes = b"",
    magic: bytes = b"ustar  \x00",
    prefix: bytes = b"",
    mode: int = 0o600,
    size_field: bytes | None = None,
    rest: bytes | None = None,
) -> bytes:
    """Make one header block with its checksum; `rest` replaces all from byte 345 on."""
    numbers = size_field if size_field is not None else b"%011o\x00" % size
    tail = prefix.ljust(155, b"\x00") + bytes(12) if rest is None else rest.ljust(167, b"\x00")
    front = b"%b%07o\x000000000\x000000000\x00%b%011o\x00" % (
        name.ljust(100, b"\x00"),
        mode,
        numbers,
        START,
    )
    back = b"%b%b%b%b%b" % (kind, link.ljust(100, b"\x00"), magic, bytes(80), tail)
    return sealed(front + b" " * 8 + back)


def sealed(block: bytes) -> bytes:
    """Put the right checksum into a header block."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return b"%b%06o\x00 %b" % (block[:148], total, block[156:])


def padded(data: bytes) -> bytes:
    """Fill up to a whole block."""
    return data + bytes(-len(data) % BLOCK)


def member(name: str | bytes, data: bytes = b"", kind: bytes = b"0", **options: Any) -> bytes:
    """Make a member: its header and its contents."""
    encoded = name if isinstance(name, bytes) else os.fsencode(name)
    return header(encoded, len(data), kind, **options) + padded(data)


def pax(records: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]) -> bytes:
    """Make the records of a pax header: each with its own length before it."""
    made = []
    for key, value in records.items() if hasattr(records, "items") else records:
        text = value.encode() if isinstance(value, str) else value
        body = b" %b=%b\n" % (key.encode(), text)
        length = len(body)
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        made.append(b"%d%b" % (length, body))
    return b"".join(made)


def tar(members: Iterable[tuple[str, bytes]], prefix: str = "", end: bytes = END) -> bytes:
    """Make a tar of plain files; a name that ends with `/` is a directory."""
    parts = [
        member(prefix + name, data, b"5" if name.endswith("/") else b"0") for name, data in members
    ]
    return b"".join([*parts, end])


# ------------------------------------------------------------------------------------- members


def rfc3339(at_ns: int) -> str:
    """Write a time as Go does, in UTC, with all nine digits."""
    seconds, fraction = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def annotations_of(runtime: str, container: Container, uid: str = UID) -> dict[str, str]:
    """Return the annotations that a runtime leaves in spec.dump."""
    labels = {
        "io.kubernetes.container.name": container.container,
        "io.kubernetes.pod.name": container.pod,
        "io.kubernetes.pod.namespace": container.namespace,
        **({"io.kubernetes.pod.uid": uid} if uid else {}),
    }
    crio = {
        "io.container.manager": "cri-o",
        "io.kubernetes.container.name": container.container,
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.Labels": json.dumps(labels),
        "io.kubernetes.cri-o.Metadata": '{"name": "app", "attempt": 0}',
        "io.kubernetes.cri-o.Created": "2026-05-28T10:00:00.059581077Z",
        "io.kubernetes.pod.name": container.pod,
        "io.kubernetes.pod.namespace": container.namespace,
        **({"io.kubernetes.pod.uid": uid} if uid else {}),
    }
    containerd = {
        "io.kubernetes.cri.container-name": container.container,
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-name": container.pod,
        "io.kubernetes.cri.sandbox-namespace": container.namespace,
        **({"io.kubernetes.cri.sandbox-uid": uid} if uid else {}),
    }
    checkpointctl = {
        "org.criu.checkpoint.container.name": container.container,
        "org.criu.checkpoint.pod.name": container.pod,
        "org.criu.checkpoint.pod.namespace": container.namespace,
    }
    other = {**checkpointctl, "org.criu.checkpoint.container.name": container.container + "x"}
    return {
        "crio": crio,
        "containerd": containerd,
        "checkpointctl": checkpointctl,
        "podman": {"io.container.manager": "libpod"},
        "podannot": {
            "io.kubernetes.container.name": container.container,
            "io.kubernetes.pod.name": container.pod,
            "io.kubernetes.pod.namespace": container.namespace,
        },
        "conflict": {**crio, **other},
        "badlabels": {**containerd, "io.kubernetes.cri-o.Labels": "{ not json"},
        "subspec": crio,
    }[runtime]


def spec(
    runtime: str,
    container: Container = WEB,
    uid: str = UID,
    *,
    more: Mapping[str, Any] | None = None,
) -> bytes:
    """Make a spec.dump; `more` goes into its annotations."""
    if runtime == "badjson":
        return b"{ broken"
    return _spec(json.dumps({**annotations_of(runtime, container, uid), **(more or {})}))


def _spec(found: str) -> bytes:
    front = (
        '{"ociVersion": "1.2.0", "process": {"terminal": false, "user": {"uid": 0, "gid": 0},'
        ' "args": ["/bin/app"], "cwd": "/"}, "root": {"path": "/rootfs"}, "mounts":'
        ' [{"destination": "/proc", "type": "proc", "source": "proc"}], "annotations": '
    )
    return f"{front}{found}}}".encode()


def config(checkpointed_ns: int = START * 10**9, *, checkpointed: Any = None) -> bytes:
    """Make a config.dump; `checkpointed` replaces the time."""
    digest = "f4dc2303f9e34e6625f4e1c101975362db11c0215e7f4e313ccf2b11120712a4"
    fields = {
        "id": digest,
        "name": f"k8s_app_web_default_{UID}_0",
        "rootfsImage": f"docker.io/library/redis@sha256:{digest}",
        "rootfsImageRef": digest,
        "rootfsImageName": "docker.io/library/redis:7",
        "runtime": "runc",
        "createdTime": "2026-05-28T10:00:00.059581077Z",
        "checkpointedTime": checkpointed or rfc3339(checkpointed_ns),
        "restoredTime": "0001-01-01T00:00:00Z",
        "restored": False,
    }
    return json.dumps(fields, indent=2).encode()


@lru_cache(maxsize=8)
def _images(prefix: str) -> bytes:
    found = [
        ("stats-dump", b"TT X" * 8),
        ("dump.log", b"(00.000000) Version: 4.0 (gitid 0)\n"),
        ("checkpoint/", b""),
        ("checkpoint/inventory.img", b"TT X" * 8),
        ("checkpoint/pages-1.img", bytes(range(256)) * 2),
    ]
    return tar(found, prefix, end=b"")


# ------------------------------------------------------------------------------------- archives


def archive(
    container: Container = WEB,
    *,
    runtime: str = "crio",
    checkpointed_ns: int | None = START * 10**9,
    uid: str = UID,
    prefix: str = "",
    compression: str = "none",
    end: bytes = END,
) -> bytes:
    """Make an archive as a runtime writes it; some 9 KiB.

    Args:
        container: Whose it is.
        runtime: One of `RUNTIMES`.
        checkpointed_ns: The time in config.dump; None leaves config.dump out.
        uid: The pod's UID, where the runtime says it; empty leaves it out.
        prefix: Stands before the name of every member, as `./`.
        compression: One of `COMPRESSIONS`.
        end: What follows the last member.
    """
    parts = [_images(prefix)]
    if checkpointed_ns is not None:
        parts.append(member(f"{prefix}config.dump", config(checkpointed_ns)))
    if runtime != "nospec":
        place = "sub/spec.dump" if runtime == "subspec" else "spec.dump"
        parts.append(member(prefix + place, spec(runtime, container, uid)))
    return compressed(b"".join([*parts, end]), compression)


def compressed(data: bytes, compression: str) -> bytes:
    """Compress all of it."""
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    if compression == "bzip2":
        return bz2.compress(data)
    if compression == "xz":
        return lzma.compress(data)
    if compression == "zstd":
        return bytes(zstd().compress(data))
    return data


def zstd() -> Any:
    """Return the module for zstd, wherever it comes from."""
    try:
        return require("archives", "compression.zstd")
    except ImportError:
        return require("archives", "backports.zstd")


def name_of(container: Container = WEB, at: int = START, *, stamp: str | None = None) -> str:
    """Return the name that the kubelet gives an archive; `at` in seconds, written in UTC."""
    moment = stamp or f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"checkpoint-{container.pod}_{container.namespace}-{container.container}-{moment}.tar"


def write(
    directory: str | os.PathLike[str],
    name: str,
    data: bytes,
    *,
    size: int | None = None,
    mtime: float | None = None,
    mtime_ns: int | None = None,
) -> str:
    """Write a file, new or over what is there.

    Args:
        directory: Where.
        name: Its name there.
        data: What it begins with.
        size: Extended with zeros to this (a hole), or cut to it.
        mtime: When it was last written, in seconds.
        mtime_ns: The same in nanoseconds.

    Returns:
        Its path.
    """
    path = os.path.join(directory, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
        if size is not None and size != len(data):
            os.ftruncate(fd, size)
        if mtime is not None:
            mtime_ns = round(mtime * 10**9)
        if mtime_ns is not None:
            os.utime(fd, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(fd)
    return path


def materialise(directory: str | os.PathLike[str], entry: Mapping[str, Any]) -> str:
    """Put an entry of a recorded scenario into a directory; return its path."""
    name, kind = entry["name"], entry.get("kind", "archive")
    path = os.path.join(directory, name)
    if kind == "dir":
        os.mkdir(path)
        os.utime(path, (entry["mtime"], entry["mtime"]))
        return path
    if kind == "symlink":
        os.symlink(entry["target"], path)
        return path
    if kind == "marker":
        return write(directory, name, entry["content"].encode(), mtime=entry["mtime"])
    if kind == "raw":
        data = bytes.fromhex(entry["content_hex"])
        return write(directory, name, data, size=entry["size"], mtime=entry["mtime"])
    found = entry["metadata"]
    taken = entry.get("checkpointed", entry["mtime"])
    data = archive(
        Container(found["namespace"], found["pod"], found["container"]),
        runtime=entry["runtime"],
        checkpointed_ns=None if entry.get("no_config") else round(taken * 10**9),
        prefix=entry.get("member_prefix", ""),
        compression=entry["compression"],
    )
    size = entry["size"] if entry["compression"] == "none" else None
    return write(directory, name, data, size=size, mtime=entry["mtime"])


# ------------------------------------------------------------------------------------- reading

GOOD: Final = Reading(
    state=State.COMPLETE,
    container=WEB,
    pod_uid=UID,
    checkpointed_ns=START * 10**9,
    compression="none",
)
"""What is read of `archive()`."""


def read_path(path: str | os.PathLike[str], **options: Any) -> Reading:
    """Read an archive."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_archive(fd, os.fstat(fd).st_size, **options)
    finally:
        os.close(fd)


def read_bytes(
    directory: str | os.PathLike[str], data: bytes, size: int | None = None, **options: Any
) -> Reading:
    """Write an archive and read it."""
    return read_path(write(directory, "x.tar", data, size=size), **options)


class Counted:
    """Counts what is read from files; it takes the place of `os.pread`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = self.bytes = 0
        self._pread = os.pread
        monkeypatch.setattr(os, "pread", self)

    def __call__(self, fd: int, length: int, offset: int) -> bytes:
        data = self._pread(fd, length, offset)
        self.calls += 1
        self.bytes += len(data)
        return data
