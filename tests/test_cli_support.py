"""What the tests of the command line share: a store, damage, a run."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.cli import main
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW, sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Run = tuple[int, str, str]


class Clock:
    """Stands in for `datetime`: three hours after whatever `sealed` saves."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return (NOW + timedelta(hours=3)).astimezone(zone)


def make_store(directory: Path, *keys: str, saves: int = 3, pad: int = 0) -> Path:
    """Save each key some times, the number of the save in it, and keep all generations."""
    with closing(FileStore(directory, history=9, durability="none")) as store:
        for key in keys:
            for number in range(1, saves + 1):
                store.write(key, sealed(key, number, pad=pad))
    return directory


def make_scope(directory: Path, *names: str, keys: tuple[str, ...] = ("inner",)) -> Path:
    """Save keys in a scope of a store, which is made if need be; return its directory."""
    path = make_store(directory)
    for name in names:
        path = make_store(path / ".scope" / name)
    return make_store(path, *keys)


def flip(file: Path, at: int = -3) -> None:
    """Flip one bit behind the back of the library."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Run:
    """Run the command line in this process; its exit status, stdout and stderr."""
    capsys.readouterr()
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        status = ended.code
    out, err = capsys.readouterr()
    return status, out, err


def run_json(
    capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, dict[str, Any]]:
    """Run it with `--json`; its exit status and the document."""
    status, out, err = run(capsys, arguments[0], "--json", *arguments[1:])
    assert err == ""
    document = json.loads(out)
    assert document["format"] == 1
    assert document["command"] == arguments[0]
    return status, document


def overtake(
    monkeypatch: pytest.MonkeyPatch, method: str, change: Callable[[FileStore], object]
) -> None:
    """Let another program do something just before the next call of a method of a store."""
    real = getattr(FileStore, method)

    def overtaken(store: FileStore, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(FileStore, method, real)
        change(store)
        return real(store, *arguments, **options)

    monkeypatch.setattr(FileStore, method, overtaken)
