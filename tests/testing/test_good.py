"""The suite passes the stores that are right: ours, the example's, and two plain ones."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checkpointkit import FileStore, MemoryStore
from checkpointkit.testing import FaultyStore, StoreOpener, StoreTests
from tests.testing.plain import Bare, Impatient, Optimistic, Plain

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_store.py"


def load_example() -> ModuleType:
    spec = spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def open_store(self) -> StoreOpener:
        return lambda _name, max_bytes: MemoryStore(max_bytes=max_bytes)


class TestFileStore(StoreTests):
    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: FileStore(quick / name, max_bytes=max_bytes)


@pytest.mark.usefixtures("unmeasured")
class TestFileStoreWithoutSyncs(StoreTests):
    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: FileStore(
            quick / name, max_bytes=max_bytes, durability="none"
        )


class TestFaultyStoreWithoutFaults(StoreTests):
    @pytest.fixture
    def open_store(self) -> StoreOpener:
        return lambda _name, max_bytes: FaultyStore(MemoryStore(max_bytes=max_bytes))


@pytest.mark.usefixtures("unmeasured")
class TestTheStoreOfTheExample(StoreTests):
    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        store = load_example().OneFileStore
        return lambda name, max_bytes: store(quick / name, max_bytes=max_bytes)


@pytest.mark.usefixtures("unmeasured")
class TestPlain(StoreTests):
    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: Plain(quick / name, max_bytes)


class TestOptimistic(StoreTests):
    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: Optimistic(quick / name, max_bytes)


@pytest.mark.usefixtures("unmeasured")
class TestImpatient(StoreTests):
    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: Impatient(quick / name, max_bytes)


class TestBare(StoreTests):
    """Declares nothing: whatever is optional has to be absent."""

    @pytest.fixture
    def open_store(self, quick: Path) -> StoreOpener:
        return lambda name, max_bytes: Bare(quick / name, max_bytes)


def test_the_example_runs(tmp_path: Path) -> None:
    for starts in (1, 2):
        done = subprocess.run(
            [sys.executable, "-W", "error", EXAMPLE],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{{'starts': {starts}}}\n"
