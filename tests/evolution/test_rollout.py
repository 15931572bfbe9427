"""Releases that come and go on one store: each a package of its own, in a process of its own.

The two-release rollout of docs/evolve.md, played: release A; release B, which reads the new
version and writes the old one; release C, which writes the new one; back to B; nothing is lost.
Then a skew of three releases, as the kubelet's nodes may have it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from attrs import frozen

from tests.evolution.projects import SRC, quiet_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("unmeasured")

AGENT = '''
"""An agent that keeps a lease: told on stdin what to do, says on stdout what came of it."""

import json
import sys

from attrs import asdict, evolve

from agent.state import LEASES, Lease
from checkpointkit import CheckpointError, CheckpointManager, FileStore

manager = CheckpointManager(FileStore(sys.argv[1], history=3), LEASES)
WHAT = {
    "save": lambda **fields: manager.create("leader", Lease(**fields)),
    "renew": lambda **changes: manager.update(
        "leader", lambda lease: evolve(lease, renewals=lease.renewals + 1, **changes)
    ),
    "read": lambda: asdict(manager.get("leader")),
    "migrate": lambda: list(manager.migrate().changed),
}
for line in sys.stdin:
    what, fields = json.loads(line)
    try:
        answer = WHAT[what](**fields)
        if what == "renew":
            answer = asdict(answer.value)
        elif what == "save":
            answer = None
    except CheckpointError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), flush=True)
'''

STATE = """
from attrs import frozen

from checkpointkit import Downgrade, Schema


@frozen
class Lease:
    holder: str
    renewals: int = 0
    {fields}


def to_2(old):  # 1 -> 2
    return {{**old, "note": None}}


def to_1(new):  # 2 -> 1
    return {{name: value for name, value in new.items() if name != "note"}}


def to_3(old):  # 2 -> 3
    return {{**old, "seconds": 30}}


def from_3(new):  # 3 -> 2
    return {{name: value for name, value in new.items() if name != "seconds"}}


SHAPE_1 = {{"record": {{"holder": "str", "renewals": "int"}}}}
SHAPE_2 = {{
    "record": {{"holder": "str", "renewals": "int", "note": {{"union": ["null", "str"]}}}}
}}
MIGRATIONS = {{1: to_2, 2: to_3}}
DOWNGRADES = {{2: Downgrade(to_1, SHAPE_1), 3: Downgrade(from_3, SHAPE_2)}}
LEASES = Schema(
    Lease,
    kind="example.com/lease",
    version={version},
    migrations={{step: MIGRATIONS[step] for step in range(1, {version})}},
    downgrades={{start: DOWNGRADES[start] for start in range(2, {version} + 1)}},
    write_version={writes},
)
"""

FIELDS = {
    1: [],
    2: ["note: str | None = None"],
    3: ["note: str | None = None", "seconds: int = 30"],
}
"""The fields that a version has beside those of version 1."""


@frozen
class Release:
    """A release of the agent that runs: it reads up to one version, and writes another."""

    process: subprocess.Popen[str]
    reads: int
    writes: int

    def ask(self, what: str, **fields: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([what, fields]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the release has died"
        return json.loads(answer)


class Start(Protocol):
    """Starts a release, on the store that all of them share."""

    def __call__(self, *, reads: int, writes: int) -> Release: ...


@pytest.fixture
def start(quick: Path, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def started(*, reads: int, writes: int) -> Release:
            package = tmp_path / f"reads-{reads}-writes-{writes}" / "agent"
            if not package.exists():
                package.mkdir(parents=True)
                state = STATE.format(
                    version=reads, writes=writes, fields="\n    ".join(FIELDS[reads])
                )
                (package / "state.py").write_text(dedent(state), encoding="utf-8")
                (package / "__init__.py").touch()
                (package / "__main__.py").write_text(dedent(AGENT), encoding="utf-8")
            process = subprocess.Popen(
                [sys.executable, "-m", "agent", str(quick / "store")],
                cwd=package.parent,
                env=quiet_environment() | {"PYTHONPATH": str(SRC)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            running.enter_context(process)
            running.callback(process.kill)
            return Release(process, reads, writes)

        yield started


@pytest.fixture
def stored(quick: Path) -> Callable[[], tuple[int, int]]:
    """Tell the schema version and the generation of what is on the disk."""

    def read() -> tuple[int, int]:
        header = (quick / "store" / "leader" / "current").read_bytes().splitlines()[1]
        fields = json.loads(header)
        return fields["schema_version"], fields["generation"]

    return read


def test_a_new_version_is_rolled_out_in_two_releases_and_can_be_taken_back(
    start: Start, stored: Callable[[], tuple[int, int]]
) -> None:
    a = start(reads=1, writes=1)
    a.ask("save", holder="node-a")
    assert stored() == (1, 1)

    b = start(reads=2, writes=1)  # reads both, writes A's
    assert b.ask("read") == {"holder": "node-a", "renewals": 0, "note": None}
    b.ask("renew")
    assert stored() == (1, 2)
    assert a.ask("renew") == {"holder": "node-a", "renewals": 2}  # back to A: nothing is lost
    b.ask("renew")

    c = start(reads=2, writes=2)  # writes B's version
    c.ask("renew")
    assert stored() == (2, 5)
    assert b.ask("renew") == {"holder": "node-a", "renewals": 5, "note": None}  # back to B
    assert stored() == (1, 6)
    assert a.ask("renew")["renewals"] == 6  # and even to A
    assert c.ask("read") == {"holder": "node-a", "renewals": 6, "note": None}


def test_what_the_old_version_cannot_say_stays_on_the_disk_after_the_way_back(
    start: Start, stored: Callable[[], tuple[int, int]]
) -> None:
    c = start(reads=2, writes=2)
    c.ask("save", holder="node-a", note="drained")
    b = start(reads=2, writes=1)
    assert b.ask("read")["note"] == "drained"  # nothing is lost by reading
    refused = b.ask("renew")
    assert refused["error"] == "DowngradeLossError"
    assert "note" in refused["message"]
    assert "drained" not in refused["message"]
    assert stored() == (2, 1)  # nor by a save: the file is as C left it
    assert b.ask("renew", note=None)["renewals"] == 1  # given up, on purpose
    assert stored() == (1, 2)


def test_a_release_that_cannot_read_the_new_version_leaves_it_alone(
    start: Start, stored: Callable[[], tuple[int, int]]
) -> None:
    c = start(reads=2, writes=2)
    c.ask("save", holder="node-a")
    a = start(reads=1, writes=1)  # two steps back at once: B was left out
    for attempt in (a.ask("read"), a.ask("renew"), a.ask("save", holder="node-b")):
        assert attempt["error"] == "VersionTooNewError"
    assert stored() == (2, 1)
    # the way back is B, which writes what A reads
    b = start(reads=2, writes=1)
    assert b.ask("migrate") == []  # what is newer than what is written is left alone
    b.ask("renew")
    assert a.ask("renew")["renewals"] == 2


READS = (1, 1, 2, 2, 2, 3, 3, 3, 3)
"""What each release can read. It writes what the release three before it could read."""
SKEW = 3
WRITES = tuple(READS[max(number - SKEW, 0)] for number in range(len(READS)))


def test_with_a_skew_of_three_releases_each_reads_and_keeps_what_the_other_saves(
    start: Start, stored: Callable[[], tuple[int, int]]
) -> None:
    assert WRITES == (1, 1, 1, 1, 1, 2, 2, 2, 3)
    releases = [
        start(reads=reads, writes=writes) for reads, writes in zip(READS, WRITES, strict=True)
    ]
    releases[0].ask("save", holder="node-a")
    renewals = 0
    for number, newer in enumerate(releases):
        for older in releases[max(number - SKEW, 0) : number]:
            # an upgrade, the way back, and the upgrade once more
            for release in (newer, older, newer):
                renewals += 1
                lease = release.ask("renew")
                assert lease["holder"] == "node-a"
                assert lease["renewals"] == renewals
                assert stored() == (release.writes, renewals + 1)
    # one more release back is too far, and is refused with the file untouched
    assert stored()[0] == 3
    assert releases[len(releases) - 2 - SKEW].reads == 2
    assert releases[-2 - SKEW].ask("renew")["error"] == "VersionTooNewError"
    assert stored() == (3, renewals + 1)
