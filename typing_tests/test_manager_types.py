"""A manager needs no cast: checked by mypy --strict and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from states import Box, Lease, Movie, PodDevices

from checkpointkit import (
    ABSENT,
    Absent,
    Checkpoint,
    CheckpointInfo,
    CheckpointManager,
    FileStore,
    MemoryStore,
    MigrationReport,
    Recovery,
    Report,
    Schema,
)

store = MemoryStore()
pods = CheckpointManager(store, Schema(PodDevices, kind="example.com/pods", version=1))
assert_type(pods, CheckpointManager[PodDevices])

# get: T, or T | D with a default for an absent key
assert_type(pods.get("a"), PodDevices)
assert_type(pods.get("a", generation=3), PodDevices)
assert_type(pods.get("a", default=None), PodDevices | None)
assert_type(pods.get("a", default=0), PodDevices | int)
assert_type(pods.get("a", default=ABSENT), PodDevices | Absent)
assert_type(pods.get("a", default=PodDevices("", {})), PodDevices)

# load: the value with what a compare-and-swap needs
assert_type(pods.load("a"), Checkpoint[PodDevices])
assert_type(pods.load("a").value, PodDevices)
assert_type(pods.load("a", generation=1).info, CheckpointInfo)
assert_type(pods.load("a").info.generation, int)

# the other methods
value = PodDevices("7f3e", {"gpu": ("0",)})
assert_type(pods.create("a", value), CheckpointInfo)
assert_type(pods.create("a", value, expected=ABSENT), CheckpointInfo)
assert_type(pods.create("a", value, expected=3), CheckpointInfo)
assert_type(pods.create_many({"a": value}), tuple[CheckpointInfo, ...])
assert_type(pods.list(), tuple[str, ...])
assert_type(pods.list(prefix="a"), tuple[str, ...])
assert_type(pods.history("a"), tuple[CheckpointInfo, ...])
assert_type(pods.rollback("a", 1), CheckpointInfo)
assert_type(pods.recover("a"), Recovery)
assert_type(pods.verify(), Report)
assert_type(pods.migrate(["a"]), MigrationReport)
assert_type(pods.migrate(dry_run=True, pin=False).versions, Mapping[int, int])
assert_type(pods.unpin(), Report)


def add(old: PodDevices) -> PodDevices:
    return PodDevices(old.pod_uid, {**old.devices, "nic": ("eth0",)})


assert_type(pods.update("a", add), Checkpoint[PodDevices])
assert_type(pods.update("a", lambda old: PodDevices(old.pod_uid, {})).value, PodDevices)

# the other kinds of classes, on any store
leases = CheckpointManager(FileStore("/x"), Schema(Lease, kind="example.com/lease", version=1))
assert_type(leases.get("a").seconds, int)
movies = CheckpointManager(store, Schema(Movie, kind="example.com/movie", version=1))
assert_type(movies.get("a"), Movie)
assert_type(movies.get("a")["title"], str)
boxes = CheckpointManager(store, Schema(Box[int], kind="example.com/box", version=1))
assert_type(boxes.get("a").item, int)
assert_type(boxes.get("a", default=None), Box[int] | None)
counters = CheckpointManager(store, Schema(dict[str, int], kind="example.com/n", version=1))
assert_type(counters.get("a"), dict[str, int])
assert_type(counters.update("a", lambda old: {**old, "n": old["n"] + 1}).value, dict[str, int])


def wrong() -> None:
    """Each line is an error to both checkers; one that is none makes the check fail."""
    lease = Lease("", 1)
    pods.create("a", lease)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pods.list(prefix=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    maybe = pods.get("a", default=None)
    pods.create("a", maybe)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pods.update("a", str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
