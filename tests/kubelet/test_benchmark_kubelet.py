"""The benchmark of the kubelet's files measures what it says, on small ones; no times."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks import kubelet as bench

from checkpointkit.kubelet.sums import fnv1a32

if TYPE_CHECKING:
    import pytest


def test_each_kind_of_file_is_verified_both_ways(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SIZE", 1000)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    bench.main()
    assert sys.modules["fnv_hash_fast"] is not None, "what was taken away is there again"
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "cpu_manager_state V2",
        "memory_manager_state V1",
        "allocated_pods_state",
        "dra_manager_state",
    ]
    assert all("in pure Python" in line and "with the extra" in line for line in lines)


def test_the_plain_loop_is_the_same_sum() -> None:
    assert bench.plain_loop(b"") == fnv1a32(b"") == 2166136261
    assert bench.plain_loop(b"a") == fnv1a32(b"a") == 0xE40C292C
