"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")

# Machines are shared and slow at times: how long an example takes says nothing here.
hypothesis.settings.register_profile("checkpointkit", deadline=None, print_blob=True)
hypothesis.settings.load_profile("checkpointkit")


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A directory where syncs cost nothing, if this machine has one."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    directory = Path(tempfile.mkdtemp(prefix="checkpointkit-", dir=_MEMORY))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
