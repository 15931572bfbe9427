"""What a container sees while its files are replaced: old or new, and never some of each."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from checkpointkit.pods.files.assetsets import AssetFiles
from tests.pods.files.support import PLACE, Calls, asset_set, roots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SWAPS = 1000
KEYS = ("a", "sub/c")
SETS = {
    name: asset_set({key: f"{name} {key}".encode() for key in (*KEYS, f"only-{name}")})
    for name in ("old", "new")
}


def read(path: str, directory: int | None = None) -> bytes:
    fd = os.open(path, os.O_RDONLY, dir_fd=directory)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def look(place: str) -> Iterator[str]:
    """Yield what is wrong with what a reader sees."""
    for key in (*KEYS, "only-old", "only-new"):
        try:
            data = read(f"{place}/{key}").decode()
        except FileNotFoundError:
            if not key.startswith("only-"):
                # The reader was between two links when the set behind them was removed.
                continue
        else:
            if data not in {f"old {key}", f"new {key}"}:
                yield f"{key}: {data!r}"
    try:
        once = os.open(f"{place}/..data", os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        seen = {read(key, once).decode().partition(" ")[0] for key in KEYS}
        if len(seen) > 1:
            yield f"both sets: {seen}"
    except FileNotFoundError:
        pass  # it has been removed: its reader resolves `..data` again
    finally:
        os.close(once)


def test_a_reader_sees_old_or_new_through_a_thousand_swaps(quick: Path, unmeasured: None) -> None:
    files = AssetFiles(roots(quick), durable=False)
    files.write(SETS["old"])
    problems: list[str] = []
    looks = 0
    over = threading.Event()

    def keep_looking() -> None:
        nonlocal looks
        while not over.is_set():
            problems.extend(look(str(quick / PLACE)))
            looks += 1

    reader = threading.Thread(target=keep_looking)
    reader.start()
    try:
        for number in range(SWAPS):
            assert files.write(SETS["old" if number % 2 else "new"])
    finally:
        over.set()
        reader.join()
    assert problems == []
    assert looks > 10


@pytest.mark.parametrize("name", SETS)
def test_every_moment_of_a_swap_shows_all_keys_of_one_set(quick: Path, name: str) -> None:
    """Not by chance, as above, but ahead of each call to the disk."""
    other = "new" if name == "old" else "old"
    plain = AssetFiles(roots(quick))
    plain.write(SETS[other])
    shown = []

    class Watching(Calls):
        def before(self, call: str, event: str) -> None:
            seen = {}
            for key in (*KEYS, "only-old", "only-new"):
                try:
                    seen[key] = read(f"{quick / PLACE}/{key}")
                except FileNotFoundError:
                    seen[key] = b""
            shown.append(seen)

    AssetFiles(roots(quick), system=Watching(quick)).write(SETS[name])
    contents = {
        each: {file.path: file.data for file in SETS[each].files} | {f"only-{missing}": b""}
        for each, missing in (("old", "new"), ("new", "old"))
    }
    assert all(seen in (contents["old"], contents["new"]) for seen in shown)
    assert shown[0] == contents[other]
    assert shown[-1] == contents[name]
    assert shown == sorted(shown, key=lambda seen: seen == contents[name])  # once, and for good
