"""The page about the pods: each example prints what the page says, and nothing is left out.

`docs/pods.md` shows a node that loses its API server, and what `status` and the log say of it.
"""

from __future__ import annotations

import re
import shlex
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from attrs import fields

from checkpointkit.pods.assets import Roots
from checkpointkit.pods.checkpointer import Options, PodCheckpointer
from checkpointkit.pods.daemon.flags import Flags
from checkpointkit.pods.daemon.journal import Journal
from checkpointkit.pods.daemon.metrics import Metrics
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.manifests import Manifests
from checkpointkit.pods.machine import State
from checkpointkit.pods.model import PodName, Scope
from checkpointkit.pods.references import ObjectName
from checkpointkit.pods.state import PodState
from tests.pods.daemon import NODE, parent
from tests.pods.world import Disk, FakeApiServer, FakeKubelet, FakeRuntime, an_object
from tests.support.states import NOW
from tests.test_cli_support import run

PAGE = Path(__file__).parent.parent / "docs" / "pods.md"
TEXT = PAGE.read_text(encoding="utf-8")
WEB = PodName("kube-system", "web")
SECOND = timedelta(seconds=5)


class Clock:
    """Stands in for `datetime`: two hours after the save."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return (NOW + timedelta(hours=2, minutes=1)).astimezone(zone)


class Node:
    """The node of the page. What it has is at the usual paths, as far as manifests name them."""

    def __init__(self, root: Path) -> None:
        self.disk = Disk(root)
        self.api = FakeApiServer(
            objects={
                ("kube-system", ObjectName("Secret", "tls")): an_object(
                    "Secret", "tls", "1", {"ca.crt": "abc"}
                )
            }
        )
        self.kubelet = FakeKubelet()
        self.runtime = FakeRuntime()
        self.now = NOW
        self.lines: list[str] = []
        self._journal = Journal()
        self._checkpointer = PodCheckpointer(
            self.api,
            self.kubelet,
            self.runtime,
            manifests=Manifests(str(self.disk.inactive), str(self.disk.active)),
            assets=AssetFiles(self.disk.roots),
            state=PodState.open(str(self.disk.state)),
            options=Options(Scope(NODE, frozenset({"kube-system"})), roots=Roots()),
            clock=lambda: self.now.timestamp(),  # noqa: PLW0108 - `now` is another one each time
        )

    def tick(self) -> None:
        lines, self._journal = self._journal.told(self._checkpointer.reconcile())
        self.lines += [f"{line.level.upper()} {line.text}" for line in lines]
        self.now += SECOND

    def start(self) -> None:
        self.api.mode = self.kubelet.mode = "ok"
        self.api.existing[WEB] = parent()
        self.kubelet.known = [parent()]
        self.runtime.run(parent())

    def lose(self) -> None:
        self.api.mode = self.kubelet.mode = "error500"
        self.runtime.sandboxes, self.runtime.containers = [], []

    @property
    def directories(self) -> list[str]:
        return [
            f"--state-directory={self.disk.state}",
            f"--inactive-manifests={self.disk.inactive}",
            f"--manifests={self.disk.active}",
            f"--checkpoint-secrets={self.disk.roots.secrets}",
            f"--checkpoint-configmaps={self.disk.roots.configmaps}",
        ]


def played(page: str, node: Node, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the page with each command's output as it is."""
    status = 0
    for name, block in zip(
        ("pod.yaml", "objects.yaml"),
        re.findall(r"^```yaml\n(.*?)^```\n", page, re.DOTALL | re.MULTILINE),
        strict=True,
    ):
        (path / name).write_text(block)

    def play(block: re.Match[str]) -> str:
        nonlocal status
        lines = []
        for command in re.findall(r"^\$ (.*)$", block[1], re.MULTILINE):
            if command == "echo $?":
                out = f"{status}\n"
            else:
                _, *typed = shlex.split(command)
                more = node.directories if "status" in typed else []
                status, out, err = run(capsys, *typed, *more)
                out += err
            lines.append(f"$ {command}\n{out}")
        return f"```console\n{''.join(lines)}```\n"

    return re.sub(r"^```console\n(.*?)^```\n", play, page, flags=re.DOTALL | re.MULTILINE)


def test_each_example_prints_what_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpointkit.cli.pods.run.datetime", Clock)
    monkeypatch.chdir(tmp_path)
    node = Node(tmp_path)
    node.start()
    node.tick()
    node.lose()
    for _ in range(3):
        node.tick()
    assert played(TEXT, node, tmp_path, capsys) == TEXT


def test_the_log_of_an_outage_is_the_one_on_the_page(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for change in (node.start, node.lose, node.start):
        change()
        for _ in range(3):
            node.tick()
    (log,) = re.findall(r"^```text\n(.*?)^```\n", TEXT, re.DOTALL | re.MULTILINE)
    assert "\n".join([*node.lines, ""]) == log


def test_the_page_names_each_flag_each_state_and_each_metric() -> None:
    flags = [f"--{field.name.replace('_', '-')}" for field in fields(Flags)]
    assert [flag for flag in flags if f"`{flag}" not in TEXT] == []
    states = [state.value for state in State if state is not State.NONE]
    assert [state for state in states if f"`{state}`" not in TEXT] == []
    metrics = re.findall(r"^# HELP (\S+)", Metrics().text().decode(), re.MULTILINE)
    assert len(metrics) == 9
    assert [metric for metric in metrics if f"| `{metric}" not in TEXT] == []


def test_the_defaults_on_the_page_are_those_of_the_flags() -> None:
    defaults = [field.default for field in fields(Flags) if field.default]
    assert [default for default in defaults if str(default) not in TEXT] == []
