"""The classes that the typing tests save: one of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, NotRequired, TypedDict, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen
class PodDevices:
    pod_uid: str
    devices: dict[str, tuple[str, ...]]
    boot_id: str | None = None


@dataclass
class Lease:
    holder: str
    seconds: int


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int


@frozen
class Box(Generic[T]):
    item: T


@frozen
class Circle:
    radius: int


@frozen
class Square:
    side: int
