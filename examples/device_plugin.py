"""A device plugin in small: it gives devices to pods, and never one device to two of them.

    python examples/device_plugin.py STATE PODS

STATE is the directory of the store. PODS stands for the node: one file for each pod that is there,
named like the pod, with the devices in it that the pod uses (empty while it starts). A real plugin
asks the kubelet.

Requests come on standard input, one a line:

    allocate POD COUNT      prints the devices of the pod, the same ones each time
    reconcile               compares the state with the node; happens by itself once a second

Kill it whenever you like, and start it again: it goes on where it was.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from checkpointkit import (
    ABSENT,
    CheckpointError,
    CheckpointManager,
    ConflictError,
    CorruptCheckpointError,
    FileStore,
    Payload,
    Schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit import Store

KEY = "allocations"
DEVICES = ("gpu0", "gpu1", "gpu2", "gpu3")

log = logging.getLogger("device-plugin")


# ------------------------------------------------------------------------------------- the state


@frozen
class Allocations:
    """Which pod has which devices."""

    by_pod: dict[str, tuple[str, ...]]

    def taken(self) -> set[str]:
        """Return the devices that some pod has."""
        return {device for devices in self.by_pod.values() for device in devices}


def turn_around(old: Payload) -> Payload:
    """Migrate 1 -> 2: release 1 kept the pod of each device, and lost the order of them."""
    by_pod: dict[str, list[str]] = {}
    for device, pod in sorted(old["by_device"].items()):
        by_pod.setdefault(pod, []).append(device)
    return {"by_pod": by_pod}


ALLOCATIONS = Schema(
    Allocations, kind="example.com/device-allocations", version=2, migrations={1: turn_around}
)


# ------------------------------------------------------------- decisions: pure, so safe to repeat


class NotEnoughDevicesError(Exception):
    """There are not as many free devices as a pod wants."""


def allocate(state: Allocations, pod: str, count: int) -> Allocations:
    """Give a pod its devices. One that has some keeps them: the request is a repeated one."""
    if pod in state.by_pod:
        return state
    free = [device for device in DEVICES if device not in state.taken()]
    if len(free) < count:
        raise NotEnoughDevicesError(f"{pod} wants {count}, {len(free)} are free")
    return evolve(state, by_pod={**state.by_pod, pod: tuple(free[:count])})


def reconcile(state: Allocations, pods: Mapping[str, tuple[str, ...]]) -> Allocations:
    """Make the state agree with the node. The node is right; the state is a memory of it.

    Args:
        state: What is stored.
        pods: The pods of the node, each with the devices that it uses; none while it starts.
    """
    in_use = {device for devices in pods.values() for device in devices}
    # Not here: a pod that is gone. Its devices are free.
    starting = {
        pod: devices
        for pod, devices in state.by_pod.items()
        if pods.get(pod) == () and not in_use.intersection(devices)
    }
    # Here, known or not: after a recovery the state may be older than the last allocation.
    running = {pod: devices for pod, devices in pods.items() if devices}
    return evolve(state, by_pod=starting | running)


# ------------------------------------------------------------------------------------ the plugin


class DevicePlugin:
    """Keeps allocations in a store.

    Args:
        store: Where.
        observe: Returns the pods of the node, each with the devices that it uses.
    """

    def __init__(self, store: Store, observe: Callable[[], Mapping[str, tuple[str, ...]]]) -> None:
        self._manager = CheckpointManager(store, ALLOCATIONS)
        self._observe = observe

    def start(self) -> None:
        """Open the state, or make it on the first start; nothing is allocated before.

        Raises:
            CheckpointError: The state cannot be used: a newer release wrote it, say. Better no
                plugin than one that gives a device to a second pod.
        """
        try:
            # ABSENT: should another process have been faster, its state stays
            self._manager.create(KEY, Allocations({}), expected=ABSENT)
        except ConflictError:
            log.info("found the state of an earlier run")
        except CorruptCheckpointError:
            # An older state may not know the last pod. That is why the node is asked below,
            # before the first device is given away.
            self._manager.recover(KEY)
        self.reconcile()

    def allocate(self, pod: str, count: int) -> tuple[str, ...]:
        """Return the devices of a pod; they are saved before anybody hears of them.

        Raises:
            NotEnoughDevicesError: There are not enough.
            CheckpointError: They could not be saved, so they are not given.
        """
        # The other way round, a crash after the answer would give the device out again.
        after = self._manager.update(KEY, lambda state: allocate(state, pod, count))
        return after.value.by_pod[pod]

    def reconcile(self) -> None:
        """Compare the state with the node, and save it where they differ.

        Raises:
            CheckpointError: It could not be read or saved.
        """
        before = self._manager.load(KEY)  # before the node is asked: what is saved meanwhile wins
        after = reconcile(before.value, self._observe())
        if after == before.value:
            return  # most of the time: nothing to write
        try:
            self._manager.create(KEY, after, expected=before.info.generation)
        except ConflictError:
            log.info("somebody has saved in the meantime; the next round compares again")
            return
        log.info("now: %s", after.by_pod)


# ------------------------------------------------------------------------------------ the program


def pods_of(directory: Path) -> dict[str, tuple[str, ...]]:
    """Read what stands for the node."""
    return {path.name: tuple(path.read_text().split()) for path in directory.iterdir()}


def tend(plugin: DevicePlugin) -> None:
    """Reconcile; a failure is logged, and the next round tries again."""
    try:
        plugin.reconcile()
    except CheckpointError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says all of it


def serve(plugin: DevicePlugin, line: str) -> str:
    """Answer one request."""
    match line.split():
        case ["allocate", pod, count] if count.isdecimal():
            try:
                return f"{pod}: {' '.join(plugin.allocate(pod, int(count)))}"
            except (NotEnoughDevicesError, CheckpointError) as error:
                return f"{pod}: refused: {error}"
        case ["reconcile"]:
            tend(plugin)
            return "reconciled"
        case _:
            return f"what is {line.strip()!r}?"


def main() -> int:
    """Serve requests until standard input ends; reconcile once a second."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    state, pods = map(Path, sys.argv[1:])
    plugin = DevicePlugin(FileStore(state, history=2), lambda: pods_of(pods))
    try:
        plugin.start()
    except CheckpointError as error:
        log.error("cannot start: %s", error)  # noqa: TRY400 - likewise
        return 1

    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    while True:
        try:
            line = lines.get(timeout=1)
        except Empty:
            tend(plugin)
            continue
        if not line:
            return 0
        print(serve(plugin, line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
