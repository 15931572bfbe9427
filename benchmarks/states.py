"""What is saved: one class, states of four sizes, and the converter that all contenders share."""

from __future__ import annotations

import json
from random import Random
from typing import Final

from attrs import frozen

from checkpointkit import Schema
from checkpointkit.envelope import encode_payload


@frozen
class Pod:
    """One of many small objects."""

    uid: str
    devices: dict[str, tuple[str, ...]]
    boot_id: str | None


@frozen
class State:
    """A state: flat ones have `texts`, nested ones `pods`."""

    revision: int
    texts: tuple[str, ...]
    pods: tuple[Pod, ...]


SCHEMA: Final = Schema(State, kind="example.com/benchmark", version=1)
SIZES: Final = ("1 KiB", "100 KiB flat", "100 KiB nested", "4 MiB")

_TEXTS: Final = {"1 KiB": (15, 62), "100 KiB flat": (100, 1021), "4 MiB": (1024, 4093)}
"""How many texts, and how long each."""
_PODS: Final = 882


class States:
    """Makes states of one size, each one different from those before.

    Args:
        size: One of `SIZES`.
    """

    def __init__(self, size: str) -> None:
        random = Random(size)
        count, length = _TEXTS.get(size, (0, 0))
        self._texts = [f"{random.getrandbits(4 * length):0{length}x}" for _ in range(count)]
        self._pods = [
            Pod(
                f"7f3e0c1a-5b7d-4b57-9d0e-{random.getrandbits(48):012x}",
                {"example.com/gpu": (f"gpu-{number:04d}", f"gpu-{number + 1:04d}")},
                None,
            )
            for number in range(0 if count else _PODS)
        ]
        self._revision = 0

    def next(self) -> State:
        """Return another state: one text or object and the revision differ from the last one."""
        self._revision += 1
        if self._texts:
            place = self._revision % len(self._texts)
            self._texts[place] = self._texts[place][1:] + self._texts[place][:1]
        else:
            place = self._revision % len(self._pods)
            self._pods[place] = Pod(self._pods[place].uid, {}, f"boot-{self._revision:027d}")
        return State(self._revision, tuple(self._texts), tuple(self._pods))


def encode(state: State) -> bytes:
    """Return the payload bytes: for every contender the same."""
    return encode_payload(SCHEMA.dump(state))


def decode(data: bytes) -> State:
    """Return the state of payload bytes, with the same converter for every contender."""
    return SCHEMA.structure(json.loads(data))
