"""The page about archives: each example prints what the page says, and nothing is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from checkpointkit.archives.policyfiles.fields import ENTRIES, GENERAL, RULES
from checkpointkit.archives.policyfiles.reading import read_policy
from checkpointkit.cli.arguments import make_parser
from tests.archives import making
from tests.test_cli_archives_support import APP, GIB, JOB, PROXY, Capture, Node, use
from tests.test_cli_support import run

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "archives.md"
TEXT = PAGE.read_text(encoding="utf-8")
YAML = re.findall(r"^```yaml\n(.*?)^```\n", TEXT, re.DOTALL | re.MULTILINE)
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def node_of_the_page(root: Path) -> Node:
    node = Node(root)
    for day in range(6):
        node.add(APP, hours=2 + 24 * 3 * day, size=GIB)
    for hours in (1, 2, 3):
        node.add(JOB, hours=hours, size=GIB // 2)
    node.add(PROXY, hours=2, size=GIB // 8)
    node.write("checkpoint-a-b_c-d-e-2026-01-01T00:00:00Z.tar", making.archive(runtime="nospec"))
    node.write("notes.txt", b"x" * 100)
    return node


def played(page: str, root: Path, capsys: Capture) -> str:
    """Return the page with each command's output as it is."""

    def play(block: re.Match[str]) -> str:
        lines = []
        for command in re.findall(r"^\$ (.*)$", block[1], re.MULTILINE):
            _, *typed = shlex.split(command)
            _, out, err = run(capsys, *(each.replace("/var/lib", str(root)) for each in typed))
            shown = (out + err).replace(str(root), "/var/lib")
            # what a file takes of the disk is the file system's own business
            shown = re.sub(r"deleted, \S+ \S+ freed", "deleted, 3.0 GiB freed", shown)
            # a chain begins with the path of its directory
            shown = re.sub(r"\b[0-9a-f]{64}\b", DIGEST, shown)
            lines.append(f"$ {command}\n{shown}")
        return f"```console\n{''.join(lines)}```\n"

    return re.sub(r"^```console\n(.*?)^```\n", play, page, flags=re.DOTALL | re.MULTILINE)


def test_each_example_prints_what_the_page_says(
    quick: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(node_of_the_page(quick), monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name, text in zip(("policy.yaml", "operator.yaml"), YAML, strict=True):
        (tmp_path / name).write_text(text)
    # the operator's file names the real directory, which no test may look at
    assert read_policy(YAML[1], source="the page").directory == "/var/lib/kubelet/checkpoints"
    assert played(TEXT, quick, capsys) == TEXT


def test_the_page_names_each_field_of_a_policy() -> None:
    fields = [*RULES, *GENERAL, *ENTRIES, "checkpointDirectory"]
    shortened = re.sub(r"`…(Per\w+)`", r"`maxCheckpoints\1` `maxTotalSize\1`", TEXT)
    assert [field for field in fields if f"`{field}" not in shortened] == []


def test_the_reference_names_each_command_and_option() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    commands = make_parser()._actions[-1].choices
    assert isinstance(commands, dict)
    parts = commands["archives"]._actions[-1].choices
    assert [part for part in parts if f"| `archives {part}" not in page] == []
    options = {
        option
        for part in parts.values()
        for action in part._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    assert sorted(option for option in options if f"`{option}" not in page + TEXT) == []
