"""etcd and Kubernetes, built from their Go modules.

There is no release to download here: Go fetches the modules, and checks their sums. Kubernetes'
own go.mod replaces its libraries by directories beside it, which a module does not have; they are
replaced by the same libraries as they are published (k8s.io/api v0.36.3 is that of v1.36.3).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from filelock import FileLock

__all__ = ["COMPONENTS", "ETCD", "GO_LEAST", "KUBERNETES", "build", "cache", "unbuilt"]

ETCD: Final = "3.7.3"
KUBERNETES: Final = "1.36.3"
GO_LEAST: Final = (1, 26)
COMPONENTS: Final = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
)
_CACHE: Final = "CHECKPOINTKIT_CLUSTER"


def cache() -> Path:
    """Return where what was built is kept from one run to the next."""
    return Path(os.environ.get(_CACHE, "~/.cache/checkpointkit-cluster")).expanduser()


def build(directory: Path) -> None:
    """Build what is not there yet; some 10 minutes on two cores for all of it.

    Args:
        directory: Where the binaries go.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / ".lock"):
        wanted = unbuilt(directory)
        if "etcd" in wanted:
            _build_etcd(directory)
            wanted.remove("etcd")
        if wanted:
            _build_kubernetes(directory, wanted)


def unbuilt(directory: Path) -> list[str]:
    """Return the components that are not there, or there in another version."""
    return [name for name in COMPONENTS if not _is_built(directory / name)]


def _is_built(binary: Path) -> bool:
    if not binary.exists():
        return False
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    wanted = f"etcd Version: {ETCD}" if binary.name == "etcd" else f"Kubernetes v{KUBERNETES}"
    return wanted in said.stdout.splitlines()


def _build_etcd(directory: Path) -> None:
    package = "go.etcd.io/etcd/server/v3"
    with tempfile.TemporaryDirectory(prefix="checkpointkit-build-") as name:
        work = Path(name)
        _go(work, "mod", "init", "etcd.test/build")
        _go(work, "get", f"{package}@v{ETCD}")
        _compile(work, directory, {"etcd": package}, "-s -w")


def _build_kubernetes(directory: Path, wanted: list[str]) -> None:
    version = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    said = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    flags = " ".join(("-s -w", *(f"-X {version}.{name}={text}" for name, text in said.items())))
    with tempfile.TemporaryDirectory(prefix="checkpointkit-build-") as name:
        work = Path(name)
        _go(work, "mod", "init", "kubernetes.test/build")
        told = _go(work, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}")
        source = Path(json.loads(told)["Dir"])
        (work / "go.mod").write_text(_own_module((source / "go.mod").read_text()))
        (work / "go.sum").write_bytes((source / "go.sum").read_bytes())
        packages = {component: f"k8s.io/kubernetes/cmd/{component}" for component in wanted}
        _compile(work, directory, packages, flags)


def _own_module(theirs: str) -> str:
    """Return a go.mod that builds Kubernetes as a dependency, with the versions that it chose.

    Example:
        >>> theirs = "module k8s.io/kubernetes\\nreplace k8s.io/api => ./staging/src/k8s.io/api"
        >>> print(_own_module(theirs).strip())
        module kubernetes.test/build
        replace k8s.io/api => k8s.io/api v0.36.3
        <BLANKLINE>
        require k8s.io/kubernetes v1.36.3
    """
    published = f"v0.{KUBERNETES.partition('.')[2]}"
    text = re.sub(r"^module .*$", "module kubernetes.test/build", theirs, flags=re.MULTILINE)
    text = re.sub(r"=> \./staging/src/(\S+)", rf"=> \1 {published}", text)
    return f"{text}\n\nrequire k8s.io/kubernetes v{KUBERNETES}\n"


def _compile(work: Path, directory: Path, packages: dict[str, str], flags: str) -> None:
    """Build each, and put it into its place when it is whole."""
    for name, package in packages.items():
        _go(work, "build", "-trimpath", "-ldflags", flags, "-o", str(work / name), package)
        partial = directory / f".{name}.partial"
        partial.write_bytes((work / name).read_bytes())
        partial.chmod(0o755)
        partial.replace(directory / name)


def _go(work: Path, *words: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    done = subprocess.run(
        ["go", *words], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"go {' '.join(words)}: {done.stderr[-4000:]}")
    return done.stdout
