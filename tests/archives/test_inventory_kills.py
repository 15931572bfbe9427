"""A kill between any two changes of a save loses nothing but a reread."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit import MemoryStore
from checkpointkit.archives.kept import shards
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.kept.shards import shard_key, shard_of
from checkpointkit.testing.calls import CHANGES, RecordedCalls
from tests.archives.keeping import OneByOne, archive, archives, deaths
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from checkpointkit.archives.model import Archive
    from checkpointkit.stores.base import Store

COUNTS: Final = [(3, 20), (20, 3), (20, 21), (0, 9), (9, 0)]


@pytest.fixture(autouse=True)
def _small_shards() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "IN_A_SHARD", 2)
        yield


def as_dict(found: Sequence[Archive]) -> dict[str, Archive]:
    return {one.name: one for one in found}


def _save(store: Store, found: list[Archive]) -> None:
    Inventory(store).save(found)


def changed(count: int, digest: str) -> list[Archive]:
    return [archive(one.name, digest=digest) for one in archives(count)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("first", "second"), COUNTS)
def test_after_a_kill_each_archive_is_as_before_or_as_saved(
    first: int, second: int, *, after: bool
) -> None:
    for change in range(200):
        memory = MemoryStore()
        old, new = changed(first, "00"), changed(second, "11")
        Inventory(memory).save(old)
        store = OneByOne(memory)
        died = deaths(store, partial(_save, store, new), change, after=after)
        found = Inventory(memory).load()
        for name, one in found.items():
            assert one in (as_dict(old).get(name), as_dict(new).get(name))
        both = as_dict(old).keys() & as_dict(new).keys()
        assert both <= found.keys(), "nothing that stays is forgotten"
        Inventory(memory).save(new)
        assert Inventory(memory).load() == as_dict(new)
        kept = {shard_of(one.name, _bits(memory)) for one in new}
        assert len(memory.keys("shard-")) == 1 << _bits(memory) >= len(kept)
        if not died:
            break
    else:
        pytest.fail("it never came to its end")


def _bits(store: MemoryStore) -> int:
    (bits,) = {key.split("-")[1] for key in store.keys("shard-")}
    assert shard_key(int(bits), 0) in store.keys("shard-")
    return int(bits)


@given(
    st.lists(
        st.tuples(st.integers(0, 24), st.integers(0, 30), st.booleans()), min_size=1, max_size=6
    )
)
@settings(max_examples=60)
def test_any_number_of_kills_in_any_saves(saves: list[tuple[int, int, bool]]) -> None:
    memory = MemoryStore()
    store = OneByOne(memory)
    inventory = Inventory(store)
    ever: dict[str, set[str]] = {}
    for number, (count, change, after) in enumerate(saves):
        new = changed(count, f"{number:02}")
        for one in new:
            ever.setdefault(one.name, set()).add(one.digest)
        if deaths(store, partial(inventory.save, new), change, after=after):
            inventory = Inventory(store)
        else:
            assert Inventory(memory).load() == as_dict(new)
        for name, one in Inventory(memory).load().items():
            assert one.digest in ever[name]
    inventory.save(archives(24))
    assert Inventory(memory).load() == as_dict(archives(24))


@pytest.mark.slow
def test_a_real_process_is_killed_at_each_change_of_a_new_spread(tmp_path: Path) -> None:
    """SIGKILL before every eighth system call that changes the disk; each is looked at."""
    calls = RecordedCalls(str(tmp_path / "counted"))
    with Inventory.open(str(tmp_path / "counted"), "/a", system=calls) as inventory:
        inventory.save(archives(2))
        calls.forget()
        inventory.save(archives(9))
        changes = calls.changes()
    assert len(changes) > 20
    for at in range(0, len(changes), 8):
        state = str(tmp_path / f"state-{at}")
        with Inventory.open(state, "/a") as inventory:
            inventory.save(archives(2))

        def work(_: Child, at: int = at, state: str = state) -> None:
            dying = _Dying(state, at)
            with Inventory.open(state, "/a", system=dying) as inventory:
                inventory.load()
                dying.armed = True
                inventory.save(archives(9))

        with Child(work) as child:
            assert child.wait() == -9
        with Inventory.open(state, "/a") as inventory:
            found = inventory.load()
            assert as_dict(archives(2)).items() <= found.items() <= as_dict(archives(9)).items()
            assert inventory.problems == ()
            inventory.save(archives(9))
            assert inventory.load() == as_dict(archives(9))


class _Dying(RecordedCalls):
    """Kills the process at a change."""

    armed = False

    def __init__(self, directory: str, at: int) -> None:
        super().__init__(directory)
        self._left = at

    def before(self, name: str, event: str) -> None:
        """See `RecordedCalls`."""
        if self.armed and name in CHANGES:
            if self._left == 0:
                os.kill(os.getpid(), 9)
            self._left -= 1
