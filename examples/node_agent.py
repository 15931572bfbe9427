"""A node agent that hands out devices and must never hand one out twice, whatever happens to it.

    python examples/node_agent.py DIRECTORY

Run it several times on the same directory: it goes on from where it was.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from checkpointkit import (
    ABSENT,
    CheckpointManager,
    ConflictError,
    CorruptCheckpointError,
    FileStore,
    Schema,
)

NODE = "node-a"


@frozen
class Devices:
    """Which devices are free, and which pod has which."""

    free: tuple[str, ...]
    by_pod: dict[str, tuple[str, ...]]


DEVICES = Schema(Devices, kind="example.com/devices", version=1)


def start(directory: Path) -> CheckpointManager[Devices]:
    """Open the state; make it on the first start, and go on after corruption."""
    manager = CheckpointManager(FileStore(directory, history=2), DEVICES)
    try:
        # ABSENT: should another process have been faster, its state stays
        manager.create(NODE, Devices(("gpu0", "gpu1", "gpu2", "gpu3"), {}), expected=ABSENT)
    except ConflictError:
        print("found the state of an earlier run")
    except CorruptCheckpointError as error:
        # The newest state is damaged. An older one may not know the last pod, so a real agent
        # compares it with what runs on the node before it hands out anything.
        print(f"{error}\nrecovering")
        manager.recover(NODE)
    return manager


def take(devices: Devices, pod: str) -> Devices:
    """Give a pod one of the free devices. Pure: `update` may call it more than once."""
    if pod in devices.by_pod or not devices.free:
        return devices
    device, *free = devices.free
    return Devices(tuple(free), {**devices.by_pod, pod: (device,)})


def give_back(manager: CheckpointManager[Devices], pod: str) -> bool:
    """Free what a pod has, unless somebody else saved in between.

    This is what `update` does with a loop around it. By hand it suits a decision that should not
    be tried again blindly.
    """
    seen = manager.load(NODE)
    by_pod = dict(seen.value.by_pod)
    devices = by_pod.pop(pod, ())
    after = evolve(seen.value, free=seen.value.free + devices, by_pod=by_pod)
    try:
        manager.create(NODE, after, expected=seen.info.generation)
    except ConflictError:
        return False
    return True


def main() -> None:
    """Hand out two devices, take one back, and show what is stored."""
    manager = start(Path(sys.argv[1]))
    for pod in ("pod-1", "pod-2"):
        manager.update(NODE, partial(take, pod=pod))
    print("given back:", give_back(manager, "pod-1"))

    state = manager.get(NODE)
    print("free:", *state.free)
    for pod, devices in state.by_pod.items():
        print(f"{pod} has", *devices)
    for info in manager.history(NODE):
        print(f"generation {info.generation}: {info.size} bytes, {info.problem or 'good'}")


if __name__ == "__main__":
    main()
