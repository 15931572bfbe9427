"""The bars of the core, side by side in one run: `python benchmarks/bars.py`.

Each pair is interleaved, A B A B …, on one disk, so that what the machine does besides hits both.
Times are medians; what to look at are the ratios.

- save: `manager.create` of a 1 KiB state (full durability, history 1, the key exists), a flat one
  and one of many small objects, against the bare system calls of the protocol with the lock,
  the verifying read and sha256.
- get: `manager.get` of the same state against reading, sha256, `json.loads` and the same
  converter by hand.
- list: `manager.list` of 20,000 keys against `os.scandir` and a sort.
- import: a fresh interpreter that imports checkpointkit against one that imports
  attrs, cattrs, json, hashlib and logging.
"""

from __future__ import annotations

import argparse
import cProfile
import fcntl
import hashlib
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from checkpointkit import CheckpointManager, FileStore, Schema

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


@frozen
class PodDevices:
    pod_uid: str
    devices: dict[str, tuple[str, ...]]
    boot_id: str | None


@frozen
class Node:
    name: str
    pods: tuple[PodDevices, ...]


FLAT = Schema(PodDevices, kind="example.com/pod-devices", version=1)
FLAT_STATE = PodDevices(
    "7f3e0c1a-5b7d-4b57-9d0e-3a1f6c2b8e90",
    {
        f"example.com/{name}": tuple(f"{name}-{number:04x}" for number in range(16))
        for name in ("gpu", "nic", "fpga", "nvme")
    },
    "0b1f9f0e-6e0c-4c1e-9a55-1d0f6f3a7c11",
)
NESTED = Schema(Node, kind="example.com/node", version=1)
NESTED_STATE = Node(
    "node-a",
    tuple(
        PodDevices(
            f"7f3e0c1a-5b7d-4b57-9d0e-{number:012d}",
            {"example.com/gpu": (f"gpu-{number}", f"gpu-{number + 1}")},
            None,
        )
        for number in range(9)
    ),
)


_KEYS = 20_000


def medians(rounds: int, *variants: Callable[[], object], calls: int = 1) -> list[float]:
    """Return the median time of one call of each variant, in microseconds."""
    times: list[list[float]] = [[] for _ in variants]
    for turn in range(rounds + rounds // 10):
        for variant, taken in zip(variants, times, strict=True):
            start = time.perf_counter()
            for _ in range(calls):
                variant()
            elapsed = time.perf_counter() - start
            if turn >= rounds // 10:  # the first tenth warms up
                taken.append(elapsed / calls * 1e6)
    return [statistics.median(taken) for taken in times]


def bare_save(root: int, path: str, key: str, data: bytes) -> Callable[[], None]:
    """Return the protocol of a next save, with nothing but system calls, lock and sha256."""
    generation = 1
    start = data.index(b"\n", data.index(b"\n") + 1) + 1  # the payload's

    def save() -> None:
        nonlocal generation
        os.stat(path)
        lock = os.open(".lock/43", os.O_RDWR | os.O_CLOEXEC, dir_fd=root)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fstat(lock)
        directory = os.open(key, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        current = os.open("current", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
        stored = os.read(current, os.fstat(current).st_size)
        os.close(current)
        hashlib.sha256(stored[:start]).hexdigest()
        hashlib.sha256(stored[start:]).hexdigest()
        os.listdir(directory)
        os.stat(str(generation), dir_fd=directory, follow_symlinks=False)
        os.pread(lock, 1024, 0)
        hashlib.sha256(data[:start]).hexdigest()
        hashlib.sha256(data[start:]).hexdigest()
        temporary = os.open(
            ".tmp/43.0", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=root
        )
        os.fchmod(temporary, 0o600)
        os.write(temporary, data)
        os.fstat(temporary)
        os.fsync(temporary)
        os.close(temporary)
        generation += 1
        os.link(".tmp/43.0", str(generation), src_dir_fd=root, dst_dir_fd=directory)
        os.rename(".tmp/43.0", "current", src_dir_fd=root, dst_dir_fd=directory)
        os.fsync(directory)
        if (pruned := generation - 2) > 0:
            os.unlink(str(pruned), dir_fd=directory)
        os.close(directory)
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)

    return save


def bench_save(path: str, rounds: int, schema: Schema[T], state: T) -> tuple[float, float]:
    manager = CheckpointManager(FileStore(f"{path}/ours"), schema)
    manager.create("node-a", state)
    stored = manager.store.read("node-a")
    FileStore(f"{path}/bare").close()
    root = os.open(f"{path}/bare", os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("node-a", 0o700, dir_fd=root)
    with open(f"{path}/bare/node-a/current", "wb") as file:
        file.write(stored)
    os.link(f"{path}/bare/node-a/current", f"{path}/bare/node-a/1")
    bare = bare_save(root, f"{path}/bare", "node-a", stored)
    ours, floor = medians(rounds, lambda: manager.create("node-a", state), bare)
    return ours, floor


def bench_get(path: str, rounds: int, schema: Schema[T], state: T) -> tuple[float, float]:
    manager = CheckpointManager(FileStore(f"{path}/ours"), schema)
    manager.create("node-a", state)
    payload = json.dumps(schema.dump(state), separators=(",", ":")).encode()
    file = f"{path}/plain"
    with open(file, "wb") as handle:
        handle.write(payload)
    digest = hashlib.sha256(payload).hexdigest()

    def by_hand() -> T:
        with open(file, "rb") as handle:
            data = handle.read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError
        return schema.structure(json.loads(data))

    assert by_hand() == manager.get("node-a") == state
    ours, floor = medians(rounds, lambda: manager.get("node-a"), by_hand, calls=50)
    return ours, floor


def bench_list(path: str, rounds: int) -> tuple[float, float]:
    store = FileStore(f"{path}/many", durability="none")
    for number in range(_KEYS):
        os.mkdir(f"{path}/many/pod-{number * 7919 % _KEYS:05d}")
    manager = CheckpointManager(store, FLAT)

    def by_hand() -> list[str]:
        with os.scandir(f"{path}/many") as entries:
            return sorted(entry.name for entry in entries)

    assert len(manager.list()) == _KEYS
    ours, floor = medians(rounds, manager.list, by_hand)
    return ours, floor


def bench_import(path: str, rounds: int) -> tuple[float, float]:
    # With compiled modules for both, as an installer leaves them.
    environment = dict(os.environ, PYTHONPYCACHEPREFIX=f"{path}/pycache")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(statement: str) -> Callable[[], object]:
        command = [sys.executable, "-c", statement]
        return lambda: subprocess.run(command, check=True, env=environment)

    ours, floor = medians(
        rounds, run("import checkpointkit"), run("import attrs, cattrs, json, hashlib, logging")
    )
    return ours, floor


def profile(path: str) -> None:
    """Print where the time of a save and of a get goes."""
    manager = CheckpointManager(FileStore(f"{path}/profile"), FLAT)
    manager.create("node-a", FLAT_STATE)
    for name, call, times in (
        ("save", lambda: manager.create("node-a", FLAT_STATE), 500),
        ("get", lambda: manager.get("node-a"), 20_000),
    ):
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(times):
            call()
        profiler.disable()
        print(f"\n{name}, {times} times")
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", help="on which disk (default: the temporary directory)")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as path:
        if options.profile:
            profile(path)
            return
        for name in "1234":
            os.mkdir(f"{path}/{name}")
        rows = [
            ("save, flat", 1.3, bench_save(f"{path}/1", options.rounds, FLAT, FLAT_STATE)),
            ("save, nested", 1.3, bench_save(f"{path}/2", options.rounds, NESTED, NESTED_STATE)),
            ("get, flat", 1.3, bench_get(f"{path}/3", options.rounds, FLAT, FLAT_STATE)),
            ("get, nested", 1.3, bench_get(f"{path}/4", options.rounds, NESTED, NESTED_STATE)),
            ("list 20,000", 1.5, bench_list(path, max(options.rounds // 10, 3))),
            ("import", 1.3, bench_import(path, max(options.rounds // 20, 3))),
        ]
    print(f"{'':14}{'checkpointkit':>16}{'by hand':>14}{'ratio':>8}{'bar':>6}")
    for name, bar, (ours, floor) in rows:
        print(f"{name:14}{ours:13,.1f} us{floor:11,.1f} us{ours / floor:8.2f}{bar:6.1f}")


if __name__ == "__main__":
    main()
