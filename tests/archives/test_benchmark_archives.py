"""The benchmark of archives measures what it says, with a few; no times."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks import archives as bench

from checkpointkit.archives.model import Container

if TYPE_CHECKING:
    from pathlib import Path


def test_archives_are_looked_at_once_and_ten_of_twenty_are_to_go(tmp_path: Path) -> None:
    taken = bench.looks(40, str(tmp_path))
    assert taken.deletions == 20
    assert list(tmp_path.iterdir()) == []


def test_the_archives_have_nine_kib_and_different_names(tmp_path: Path) -> None:
    bench.fill(str(tmp_path), 40)
    assert len(os.listdir(tmp_path)) == 40
    assert bench.listed(str(tmp_path)) == bench.read_once(str(tmp_path)) == 40 * 9216


def test_what_is_on_no_disk_is_planned_as_what_is() -> None:
    found = bench.synthetic(40)
    assert len({one.name for one in found}) == 40
    assert len({one.container for one in found}) == 2
    _, plan = bench.planned(40)
    assert len(plan.deletions) == 20


@pytest.mark.slow
def test_a_plan_in_a_process_of_its_own_says_what_it_took() -> None:
    _, memory, deletions = bench.planned_apart(40)
    assert deletions == 20
    assert 2**20 < memory < 2**30


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="/proc/self/io is Linux's")
def test_of_a_large_archive_little_is_read(tmp_path: Path) -> None:
    size = 2**28
    path = bench.sparse(str(tmp_path), size)
    assert os.stat(path).st_size == size
    assert os.stat(path).st_blocks * 512 < 2**20
    read, whose = bench.identity_read(str(tmp_path), size)
    assert whose == Container("default", "web", "app")
    assert 512 < read < bench.READ_BAR


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="/proc/self/io is Linux's")
def test_bytes_that_are_read_are_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a" * 5000)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    assert bench.bytes_read(lambda: len(os.pread(fd, 3000, 1000))) == (3000, 3000)
    assert bench.bytes_read(lambda: None) == (0, None)
    os.close(fd)


def test_the_benchmark_says_what_it_measures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of `main`, with next to nothing; this process stays on all of its cores."""
    monkeypatch.setattr(sys, "argv", ["archives", "--quick", "--profile"])
    monkeypatch.setattr(bench, "SHARE", 2_500)
    monkeypatch.setattr(bench, "LARGE", 2**26)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    bench.main()
    said = capsys.readouterr().out
    for words in ("nothing known", "from the inventory", "plan of", "4 GiB", "tottime", "bar: 2 s"):
        assert words in said
    monkeypatch.setattr(sys, "argv", ["archives", "--only-plan", "40"])
    bench.main()
    assert capsys.readouterr().out.split()[2] == "20"
