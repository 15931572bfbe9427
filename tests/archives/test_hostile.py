"""Archives that somebody has made to be misread: the right verdict, and never much work.

What it costs is bounded by what is counted: calls, bytes and memory. A limit of the system ends a
child that would take more; no clock is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.archives.hostile import BROKEN, CASES, LIMIT, MIB, Case
from tests.archives.making import Counted, read_path

CHILD = """
import json, os, resource, sys, time
import bz2, lzma, zlib
from checkpointkit.archives.tarscan import read_archive

__import__("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

def virtual():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")

limit = virtual() + 64 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for line in sys.stdin:
    fd = os.open(line.rstrip("\\n"), os.O_RDONLY)
    used = time.process_time()
    reading = read_archive(fd, os.fstat(fd).st_size)
    used = time.process_time() - used
    os.close(fd)
    print(json.dumps([reading.problem, used]), flush=True)
"""


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_an_archive_that_lies_gets_its_verdict(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, path = CASES[name], tmp_path / "x.tar"
    case.write(path)
    counted = Counted(monkeypatch)
    reading = read_path(path)
    path.unlink()
    case.check(reading)
    assert reading.problem.isascii()
    assert reading.problem.isprintable()
    assert len(reading.problem) < 80
    _check_work(case, counted)


def _check_work(case: Case, counted: Counted) -> None:
    if case.verdict is LIMIT:
        assert counted.bytes < 64 * MIB
        assert counted.calls < 10_000
    elif case.verdict is BROKEN or case.size is not None:
        assert counted.bytes < 3 * MIB
        assert counted.calls < 100


@pytest.fixture
def child() -> Any:
    command = [sys.executable, "-c", CHILD]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set by what /proc says")
def test_no_archive_takes_more_than_64_mebibytes(child: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    slowest = []
    for name, case in CASES.items():
        case.write(path)
        print(path, file=child.stdin, flush=True)
        answer = child.stdout.readline()
        assert answer, f"it ended at: {name}"
        problem, used = json.loads(answer)
        assert case.why in problem, name
        slowest.append((used, name))
        path.unlink()
    # Processor time of a child that does nothing else; ten times what is promised.
    assert max(slowest)[0] < 10, sorted(slowest)[-5:]
