"""Fixtures of checkpointkit for any test; pytest finds this module by itself.

Nothing of checkpointkit is imported until a test asks for one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from checkpointkit import FileStore


@pytest.fixture
def checkpoint_dir(tmp_path: Path) -> Path:
    """A directory for a `FileStore`, one for each test; the store makes it."""
    return tmp_path / "checkpoints"


@pytest.fixture
def checkpoint_store(checkpoint_dir: Path) -> Iterator[FileStore]:
    """An empty `FileStore` in `checkpoint_dir`, without syncs; closed at the end of the test."""
    from checkpointkit import FileStore  # noqa: PLC0415 - a test run that does not ask pays nothing

    with FileStore(checkpoint_dir, durability="none") as store:
        yield store
