"""Images of one layer, made here: busybox, and what a test adds to it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["busybox_image"]

_OCI: Final = "application/vnd.oci.image"
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_DIRECTORIES: Final = ("bin", "dev", "etc", "proc", "run", "sys", "var")


def busybox_image(
    archive: Path, name: str, busybox: Path, programs: Mapping[str, str] | None = None
) -> None:
    """Write an image with busybox, as `ctr images import` takes it.

    Args:
        archive: The file to write.
        name: The image's whole name, with its tag.
        busybox: The program; a static one.
        programs: Scripts to put beside it, in /bin.
    """
    layer = _layer(busybox, programs or {})
    squeezed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = _json(
        {
            "architecture": _MACHINES.get(machine := os.uname().machine, machine),
            "os": "linux",
            "config": {"Cmd": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor("config.v1+json", config),
            "layers": [_descriptor("layer.v1.tar+gzip", squeezed)],
        }
    )
    named = {"io.containerd.image.name": name}
    index = {
        "schemaVersion": 2,
        "manifests": [{**_descriptor("manifest.v1+json", manifest), "annotations": named}],
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json(index))
        for blob in (config, manifest, squeezed):
            _add(tar, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)


def _layer(busybox: Path, programs: Mapping[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in _DIRECTORIES:
            _add(tar, name, kind=tarfile.DIRTYPE)
        _add(tar, "tmp", kind=tarfile.DIRTYPE, mode=0o1777)
        _add(tar, "var/run", kind=tarfile.SYMTYPE, target="/run")  # as every distribution has it
        _add(tar, "bin/busybox", busybox.read_bytes())
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        for applet in set(listed.stdout.split()) - {"busybox", *programs}:
            _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, target="busybox")
        for name, script in programs.items():
            _add(tar, f"bin/{name}", script.encode())
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", mode=0o644)
    return data.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o755,
    target: str = "",
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, target, len(data)
    tar.addfile(member, io.BytesIO(data))


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
