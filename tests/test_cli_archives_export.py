"""What `checkpointkit archives verify --export` writes: all of the chain, or nothing."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from checkpointkit.archives.kept import custody
from checkpointkit.cli.archives.export import write_lines
from tests.archives.keeping import rot
from tests.test_cli_archives_support import Capture, Node, archives, document, node
from tests.test_cli_support import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["node"]


def broken() -> Iterator[str]:
    yield "one"
    raise OSError(5, "Input/output error")


def test_a_file_is_replaced_by_all_lines_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "chain.jsonl"
    write_lines(str(file), ["one"])
    assert file.read_text() == "one\n"
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    write_lines(str(link), ["two", "three"])
    assert link.is_symlink()
    assert file.read_text() == "two\nthree\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["chain.jsonl", "link"]


def test_what_fails_on_the_way_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "chain.jsonl"
    with pytest.raises(OSError, match="Input/output"):
        write_lines(str(file), broken())
    assert os.listdir(tmp_path) == []
    write_lines(str(file), ["first"])
    with pytest.raises(OSError, match="Input/output"):
        write_lines(str(file), broken())
    assert os.listdir(tmp_path) == ["chain.jsonl"]
    assert file.read_text() == "first\n"


def test_a_pipe_is_written_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_lines(str(pipe), ["one"])
        assert os.read(reader, 100) == b"one\n"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_chain_with_a_damaged_part_is_not_exported_and_the_earlier_export_stays(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody, "IN_A_PART", 1)
    node.add(hours=9)
    node.add(hours=1)
    file = node.root / "chain.jsonl"
    archives(capsys, "verify", "--record", "--export", file)
    before = file.read_text()
    for place in node.state.rglob("custody-000000000001"):
        for path in place.glob("[0-9]*"):
            rot(path)
    assert run(capsys, "archives", "verify")[0] == 1
    for target in (str(file), "-"):
        found = document(capsys, "verify", "--export", target, status=1)
        assert found["error"]["type"] == "DamagedChain"
        assert "a part is damaged" in found["error"]["message"]
    assert file.read_text() == before
    assert sorted(each.name for each in node.root.iterdir() if each.is_file()) == [file.name]


def test_a_chain_of_which_nothing_can_be_read_is_not_called_empty(
    node: Node, capsys: Capture
) -> None:
    node.add()
    archives(capsys, "verify", "--record")
    for place in node.state.rglob("custody-000000000000"):
        for path in place.glob("[0-9]*"):
            rot(path)
    status, out, _ = run(capsys, "archives", "verify")
    assert status == 1
    assert "no digests are recorded" not in out
    assert "a part is damaged" in out
    found = document(capsys, "verify", "--export", node.root / "x", status=1)
    assert found["error"]["type"] == "DamagedChain"
    assert json.dumps(found).count("no digests") == 0
