"""The page about the command line: each example is run, and prints what the page says."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checkpointkit.cli.arguments import make_parser
from checkpointkit.envelope import encode_payload
from checkpointkit.records import State, StateSeal
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW
from tests.test_cli_support import Clock, flip, run

if TYPE_CHECKING:
    from checkpointkit.envelope import Payload

PAGE = Path(__file__).parent.parent / "docs" / "command-line.md"
STORE = "/var/lib/agent"
DEVICES = ("example.com/devices", 3, "fp1:43b481427e1d9aa7b88bed8c82fca99d")
LEASE = ("example.com/lease", 1, "fp1:5d0f4f6c0f7d3f4f2a9c0f0ee2d8a1b7")


def save(
    path: Path, key: str, form: tuple[str, int, str], *payloads: Payload, hours: int = 0
) -> None:
    """Save some states of a key, an hour between them."""
    with closing(FileStore(path, history=9, durability="none")) as store:
        for number, payload in enumerate(payloads):
            now = NOW - timedelta(hours=hours - number)
            state = State(*form, encode_payload(payload))
            store.write(key, StateSeal(key, state, now, lambda _: None))


AGENT = """
from attrs import frozen
from checkpointkit import Schema

@frozen
class Devices:
    pod: str
    ids: tuple[str, ...]
    zone: str

DEVICES = Schema(
    Devices,
    kind="example.com/devices",
    version=4,
    migrations={3: lambda old: {**old, "zone": ""}},
)
"""
"""The program of the page, in a release that has raised the schema version."""


def install_agent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the program where Python finds it, for one test."""
    (path / "agent").mkdir(parents=True)
    (path / "agent" / "__init__.py").touch()
    (path / "agent" / "state.py").write_text(AGENT)
    monkeypatch.syspath_prepend(path)
    for name in ("agent", "agent.state"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def make_agent(path: Path) -> None:
    """Make the store of the page: `node-b` is damaged, a lease is kept in a scope."""
    steps = [
        {"pod": "web", "ids": ["gpu0"]},
        {"pod": "web", "ids": ["gpu0", "gpu3"]},
    ]
    save(path, "node-a", DEVICES, *steps, hours=50)
    save(path, "node-b", DEVICES, *steps, hours=8)
    save(path / ".scope" / "leases", "leader", LEASE, {"holder": "node-a", "seconds": 30})
    flip(path / "node-b" / "current")
    (path / "node-b" / "current~").write_text("")


def played(page: str, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the page with each command's output as it is when it runs at `path`."""
    status = 0

    def play(block: re.Match[str]) -> str:
        nonlocal status
        lines = []
        for command in re.findall(r"^\$ (.*)$", block[1], re.MULTILINE):
            if command == "echo $?":
                out = f"{status}\n"
            else:
                _, *arguments = shlex.split(command)
                typed = [each.replace("/var/lib", str(path)) for each in arguments]
                status, out, err = run(capsys, *typed)
                out += err
            lines.append(f"$ {command}\n{out.replace(str(path), '/var/lib')}")
        return f"```console\n{''.join(lines)}```\n"

    return re.sub(r"^```console\n(.*?)^```\n", play, page, flags=re.DOTALL | re.MULTILINE)


def test_each_example_prints_what_the_page_says(
    quick: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("checkpointkit.cli.run.datetime", Clock)
    install_agent(tmp_path, monkeypatch)
    make_agent(quick / "agent")
    page = PAGE.read_text(encoding="utf-8")
    assert played(page, quick, capsys) == page


def test_the_page_names_each_command_and_option() -> None:
    page = PAGE.read_text(encoding="utf-8")
    commands = make_parser()._actions[-1].choices
    assert isinstance(commands, dict)
    assert list(commands) == re.findall(r"^\| `([a-z]+)[^`]*` \| \w+s ", page, re.MULTILINE)
    options = {
        option
        for parser in commands.values()
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    assert {option for option in options if f"{option}" not in page} == {"--kills"}
