"""How long it takes to verify a file of the kubelet of 100 KiB: python -m benchmarks.kubelet.

It is compared with the plain loop of FNV-1a over the same bytes, which is the least that any
checksum in pure Python takes. Each number is the best of several rounds.
"""

from __future__ import annotations

import sys
from time import process_time
from typing import TYPE_CHECKING

from checkpointkit.kubelet import formats, sums
from checkpointkit.kubelet.sums import FNV_BASIS, FNV_PRIME
from checkpointkit.kubelet.verdicts import Verdict, read, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.kubelet.formats import Format

SIZE = 100 * 1024
ROUNDS = 25


def plain_loop(data: bytes) -> int:
    """One byte after the other."""
    value = FNV_BASIS
    for byte in data:
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value


def file_of(kind: Format) -> bytes:
    """Make a file of about 100 KiB."""
    for pods in range(100, 10_000, 25):
        data = render(kind, state_of(kind, pods))
        if len(data) >= SIZE:
            return data
    raise AssertionError


def state_of(kind: Format, pods: int) -> dict[str, object]:
    """Make the state of some pods."""
    uids = [f"{n:08x}-0c66-4bd4-8f4c-2d1b3f1e5a01" for n in range(pods)]
    if kind is formats.CPU_V2:
        entries = {uid: {"web": f"{n % 64}-{n % 64 + 3}"} for n, uid in enumerate(uids)}
        return {"policy_name": "static", "default_cpu_set": "0-3", "entries": entries}
    if kind is formats.MEMORY_V1:
        block = {"numa_affinity": [0], "type": "memory", "size": 1073741824}
        blocks = {uid: {"web": [block]} for uid in uids}
        return {"policy_name": "Static", "machine_state": {}, "entries": blocks}
    return {"data": "".join(uids)}


def best(work: Callable[[], object]) -> float:
    """Return the milliseconds of the best round."""
    times = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times) * 1000


def main() -> None:
    for kind in (formats.CPU_V2, formats.MEMORY_V1, formats.ALLOCATED_PODS, formats.DRA):
        data = file_of(kind)
        assert read(kind, data).verdict is Verdict.OK
        loop = best(lambda data=data: plain_loop(data))  # type: ignore[misc] # a default for a loop
        quick = best(lambda kind=kind, data=data: read(kind, data))  # type: ignore[misc] # likewise
        kept = sys.modules.get("fnv_hash_fast")
        sys.modules["fnv_hash_fast"] = None  # type: ignore[assignment] # as if not installed
        try:
            pure = best(lambda kind=kind, data=data: read(kind, data))  # type: ignore[misc] # likewise
        finally:
            sys.modules.pop("fnv_hash_fast")
            if kept is not None:
                sys.modules["fnv_hash_fast"] = kept
        assert sums.fnv1a32(data) == plain_loop(data)
        print(
            f"{kind.name}, {len(data):,} bytes: plain loop {loop:.2f} ms; verify {pure:.2f} ms "
            f"in pure Python ({pure / loop:.2f} x), {quick:.2f} ms with the extra"
        )


if __name__ == "__main__":
    main()
