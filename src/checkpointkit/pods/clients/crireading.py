"""What a container runtime has answered by the CRI becomes a `Runtime`.

What cannot be read may be a parent's: to leave it out would be to say that the parent does not run,
and its copy would be started beside it. So a list is read whole, or not at all.

Sources: containerd 1.6.20 and k8s.io/cri-api. containerd gives lists and maps in another order each
time, so that equal bytes say nothing; it makes sandboxes without a name, if asked to by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from checkpointkit._extras import require
from checkpointkit.pods.clients.crimessages import message_classes
from checkpointkit.pods.runtime import Container, ContainerState, Runtime, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CriReader"]

_READY: Final = 0
_NOT_READY: Final = 1

_NANOSECONDS: Final = 1e9
_SHOWN: Final = 13  # of an id, as crictl shows it

# An id stands for one sandbox or container for ever; of what a list says of it, only its state
# changes.
_Key = tuple[str, int, int]


class CriReader:
    """Reads answers, and remembers them: from one tick to the next, most is the same.

    Raises:
        MissingExtraError: protobuf is not installed.
    """

    def __init__(self) -> None:
        self._classes = message_classes()
        self._decode_error = require("cri", "google.protobuf.message").DecodeError
        self._sandboxes: dict[_Key, Sandbox] = {}
        self._containers: dict[_Key, Container] = {}
        self._ends: dict[str, float] = {}
        self._undated = False
        self._runtime = Runtime((), ())

    def status_request(self, container: str) -> bytes:
        """Return the request for the status of a container."""
        request = self._classes["ContainerStatusRequest"](container_id=container)
        encoded: bytes = request.SerializeToString()
        return encoded

    def end(self, status: bytes) -> float | None:
        """Return when a container has exited, in seconds since 1970; None if nobody knows.

        Args:
            status: The answer to `status_request`.

        Raises:
            ValueError: It is none.
        """
        finished = self._decoded("ContainerStatusResponse", status).status.finished_at
        return finished / _NANOSECONDS if finished > 0 else None

    def read(
        self, containers: bytes, sandboxes: bytes, end: Callable[[str], float | None]
    ) -> Runtime:
        """Return what the runtime has; the object that was returned last, if nothing has changed.

        Args:
            containers: The list of containers, which has to be the older one: a sandbox that came
                in between is then one that is starting, and a container that is in no sandbox has
                gone. The other way round, one that has just begun to run would not be seen.
            sandboxes: The list of sandboxes.
            end: Asks when a container has exited, by its id.

        Raises:
            ValueError: Something cannot be read.
        """
        held = self._read_containers(containers)
        boxes = self._read_sandboxes(sandboxes)
        if boxes == self._sandboxes and held == self._containers and not self._undated:
            return self._runtime
        _check_strays(boxes, held)
        in_question = set(_in_question(boxes, held))
        for container in in_question - self._ends.keys():
            at = end(container)
            if at is not None:
                self._ends[container] = at
        self._ends = {name: self._ends[name] for name in in_question & self._ends.keys()}
        self._undated = len(self._ends) < len(in_question)
        self._sandboxes, self._containers = boxes, held
        self._runtime = Runtime(
            tuple(boxes.values()),
            tuple(
                evolve(container, finished_at=self._ends[key[0]])
                if key[0] in self._ends
                else container
                for key, container in held.items()
            ),
        )
        return self._runtime

    def _decoded(self, kind: str, data: bytes) -> Any:
        try:
            return self._classes[kind].FromString(data)
        except self._decode_error:
            pass  # what it says may quote the data
        raise ValueError(f"it is no {kind}")

    def _read_containers(self, data: bytes) -> dict[_Key, Container]:
        read: dict[_Key, Container] = {}
        for item in self._decoded("ListContainersResponse", data).containers:
            key = (item.id, item.state, item.created_at)
            read[key] = self._containers.get(key) or _container(item)
        return read

    def _read_sandboxes(self, data: bytes) -> dict[_Key, Sandbox]:
        read: dict[_Key, Sandbox] = {}
        for item in self._decoded("ListPodSandboxResponse", data).items:
            key = (item.id, item.state, item.created_at)
            read[key] = self._sandboxes.get(key) or _sandbox(item)
        return read


def _container(item: Any) -> Container:
    if not item.id:
        raise ValueError("a container has no id")
    try:
        state = ContainerState(item.state)
    except ValueError:
        state = ContainerState.UNKNOWN
    return Container(
        item.pod_sandbox_id,
        item.metadata.name,
        state,
        item.created_at / _NANOSECONDS,
        attempt=item.metadata.attempt,
    )


def _sandbox(item: Any) -> Sandbox:
    if not item.id:
        raise ValueError("a sandbox has no id")
    if item.state not in {_READY, _NOT_READY}:
        raise ValueError(f"sandbox {item.id[:_SHOWN]!r} is in the unknown state {item.state}")
    sandbox = Sandbox(
        item.id,
        item.metadata.namespace,
        item.metadata.name,
        item.metadata.uid,
        ready=item.state == _READY,
        created_at=item.created_at / _NANOSECONDS,
        attempt=item.metadata.attempt,
        annotations={entry.key: entry.value for entry in item.annotations},
    )
    if sandbox.ready and not _is_named(sandbox):
        raise ValueError(
            f"sandbox {item.id[:_SHOWN]!r} is ready, and does not say which pod's it is; "
            "no kubelet makes such a one: stop it"
        )
    return sandbox


def _is_named(sandbox: Sandbox) -> bool:
    return bool(sandbox.namespace and sandbox.name)


def _check_strays(boxes: dict[_Key, Sandbox], held: dict[_Key, Container]) -> None:
    """Refuse containers that may run in nobody knows which pod."""
    known = {sandbox.id for sandbox in boxes.values() if _is_named(sandbox)}
    for key, container in held.items():
        live = container.state in {ContainerState.RUNNING, ContainerState.UNKNOWN}
        if live and container.sandbox_id not in known:
            raise ValueError(
                f"container {key[0][:_SHOWN]!r} is in no sandbox that is listed, and may run; "
                "if that lasts, stop it"
            )


def _in_question(boxes: dict[_Key, Sandbox], held: dict[_Key, Container]) -> Iterator[str]:
    """Yield the ids of the containers of which it matters when they have exited (`runtime`)."""
    ready = {box.id for box in boxes.values() if box.ready and box.is_parents}
    running = {
        container.sandbox_id
        for container in held.values()
        if container.state is ContainerState.RUNNING
    }
    for key, container in held.items():
        if container.state is ContainerState.EXITED and container.sandbox_id in ready - running:
            yield key[0]
