"""What the end-to-end tests need of a machine; what it lacks is why they are skipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from tests.e2e.binaries import GO_LEAST, unbuilt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAMS: Final = {
    "busybox": "busybox-static",
    "chattr": "e2fsprogs",
    "containerd": "containerd",
    "ctr": "containerd",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Programs, and the packages of Debian that have them."""
_SBIN: Final = "/usr/local/sbin:/usr/sbin:/sbin"


def missing(binaries: Path) -> str:
    """Return what this machine lacks, in words; nothing if a cluster can be started.

    Args:
        binaries: Where the components of Kubernetes are, or will be built.
    """
    return "; ".join(_lacks(binaries))


def program(name: str) -> str | None:
    """Return the path of a program, also of those that only root has in its path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")


def _lacks(binaries: Path) -> Iterator[str]:
    if os.uname().sysname != "Linux":
        yield "a kubelet needs Linux"
        return
    if os.geteuid() != 0:
        yield "a kubelet needs root"
    for name, package in _PROGRAMS.items():
        if program(name) is None:
            yield f"no {name} (Debian: apt-get install {package})"
    if not unbuilt(binaries):
        return
    version = _go_version()
    if version is None:
        yield "no Go to build Kubernetes with"
    elif version < GO_LEAST:
        yield f"Go {'.'.join(map(str, GO_LEAST))} or newer is needed to build Kubernetes"


def _go_version() -> tuple[int, ...] | None:
    go = program("go")
    if go is None:
        return None
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    match = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return (int(match[1]), int(match[2])) if match else None
