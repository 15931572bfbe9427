"""What the tests of `checkpointkit archives` share: a directory of archives, and a time."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.model import Container, Space
from tests.archives import making
from tests.support.states import NOW
from tests.test_cli_support import run

Capture = pytest.CaptureFixture[str]
APP = Container("default", "web", "app")
PROXY = Container("default", "web", "proxy")
JOB = Container("batch", "job-1", "work")
SPACE = Space(100 * 2**30, 25 * 2**30)
GIB = 2**30


class Clock:
    """Stands in for `datetime`."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return NOW.astimezone(zone)


class Node:
    """A directory of archives, and the state of the program."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "kubelet" / "checkpoints"
        self.state = root / "checkpointkit" / "archives"
        self.path.mkdir(parents=True)

    def add(
        self, container: Container = APP, hours: float = 1, *, size: int = 0, **options: Any
    ) -> str:
        """Add an archive that was taken some hours ago; its name.

        With a size it has an image of so many bytes, none of which takes room.
        """
        taken = NOW - timedelta(hours=hours)
        name = making.name_of(container, stamp=f"{taken:%Y-%m-%dT%H:%M:%SZ}")
        at = int(taken.timestamp())
        data = making.archive(container, checkpointed_ns=at * 10**9, **options)
        self.write(name, data, hours=hours, size=size)
        return name

    def write(self, name: str, data: bytes, *, hours: float = 1, size: int = 0) -> str:
        """Write a file some hours ago; its name."""
        file = self.path / name
        with file.open("wb") as out:
            if size:
                out.write(making.header(b"checkpoint/pages-0.img", size))
                out.seek(size + -size % making.BLOCK, os.SEEK_CUR)
            out.write(data)
        at = (NOW - timedelta(hours=hours)).timestamp()
        os.utime(file, (at, at))
        return name

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))


@pytest.fixture
def node(quick: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """An empty node, which is that of all commands that name no directory."""
    made = Node(quick)
    use(made, monkeypatch)
    return made


def use(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a node be the one of all commands that name no directory, at a known time."""
    monkeypatch.setattr("checkpointkit.cli.archives.run.datetime", Clock)
    monkeypatch.setattr("checkpointkit.cli.archives.session.DEFAULT_DIRECTORY", str(node.path))
    monkeypatch.setattr("checkpointkit.cli.archives.arguments.DEFAULT_STATE", str(node.state))
    monkeypatch.setattr(ArchiveDirectory, "space", lambda _: SPACE)


def archives(capsys: Capture, *typed: str | Path) -> str:
    """Run a command that has to go well; what it prints."""
    status, out, err = run(capsys, "archives", *typed)
    assert (status, err) == (0, "")
    return out


def document(capsys: Capture, *typed: str | Path, status: int = 0) -> dict[str, Any]:
    """Run a command with `--json`; its document."""
    found, out, err = run(capsys, "archives", *typed, "--json")
    assert (found, err) == (status, "")
    made: dict[str, Any] = json.loads(out)
    assert made["format"] == 1
    part = typed[:1] if typed and str(typed[0]).isalpha() else ()
    assert made["command"] == " ".join(["archives", *map(str, part)])
    return made


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its names."""
    return [line.split() for line in text.splitlines()[1:] if line]
