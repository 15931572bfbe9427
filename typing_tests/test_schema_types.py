"""A schema knows its type, without a cast: checked by mypy --strict and pyright, never run."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, assert_type

from states import Box, Circle, Lease, Movie, PodDevices, Point, Square

from checkpointkit import Hook, Migration, Payload, Schema
from checkpointkit.schema import Json, Tagged, tagged

pods = Schema(PodDevices, kind="example.com/pods", version=1)
assert_type(pods, Schema[PodDevices])
assert_type(pods.structure({}), PodDevices)
assert_type(pods.load({}, 1), PodDevices)
assert_type(pods.dump(PodDevices("", {})), dict[str, Any])
assert_type(pods.upgrade({}, 1), dict[str, Any])
assert_type(pods.cls, type[PodDevices])
assert_type(pods.kind, str)
assert_type(pods.version, int)
assert_type(pods.oldest, int)
assert_type(pods.fingerprint, str)

assert_type(Schema(Lease, kind="a", version=1).structure({}), Lease)
assert_type(Schema(Movie, kind="a", version=1).structure({}), Movie)
assert_type(Schema(Point, kind="a", version=1).structure({}), Point)
assert_type(Schema(Box[int], kind="a", version=1).structure({}), Box[int])
assert_type(Schema(Box[int], kind="a", version=1).structure({}).item, int)
assert_type(Schema(Box[Box[str]], kind="a", version=1).structure({}).item.item, str)
assert_type(Schema(dict[str, int], kind="a", version=1).structure({}), dict[str, int])
assert_type(
    Schema(dict[str, list[PodDevices]], kind="a", version=1).structure({}),
    dict[str, list[PodDevices]],
)


def rename(old: Payload) -> Payload:
    return {"pod_uid" if name == "uid" else name: value for name, value in old.items()}


chain: dict[int, Migration] = {1: rename}
assert_type(
    Schema(PodDevices, kind="a", version=3, migrations={1: rename, 2: lambda old: old}),
    Schema[PodDevices],
)
assert_type(Schema(PodDevices, kind="a", version=2, migrations=chain).oldest, int)

fraction = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)
assert_type(fraction, Hook[Fraction])
shapes = tagged(Circle | Square, {"circle": Circle, "square": Square}, field="type")
assert_type(shapes, Tagged)
assert_type(
    Schema(dict[str, Circle | Square], kind="a", version=1, hooks=[fraction, shapes]),
    Schema[dict[str, Circle | Square]],
)

manifests: dict[str, Json] = {"spec": {"containers": [{"name": "a", "ports": [80, 443]}]}}
assert_type(Schema(dict[str, Json], kind="a", version=1).structure({}), dict[str, Json])


def wrong() -> None:
    """Each line is an error to both checkers; one that is none makes the check fail."""
    pods.dump(Lease("", 1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pods.structure([])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Schema(PodDevices, "a", 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Tagged(Circle, {}, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
