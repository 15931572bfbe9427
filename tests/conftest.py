"""Fixtures that several test modules share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.calls import settle
from tests.support.unmeasured import save_before_forks, unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MEMORY = Path("/dev/shm")

# Machines are shared and slow at times: how long an example takes says nothing here.
hypothesis.settings.register_profile("checkpointkit", deadline=None, print_blob=True)
hypothesis.settings.load_profile("checkpointkit")

save_before_forks()


def pytest_collection_finish() -> None:
    # What is loaded by now stays: to go through it takes longer than most tests that `settle`.
    gc.collect()
    gc.freeze()


@pytest.fixture
def settled() -> None:
    """Descriptors are counted: none of them is that of a store which another test has dropped."""
    settle()


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


@pytest.fixture(name="unmeasured")
def _unmeasured() -> Iterator[None]:
    """The test covers nothing that others do not cover, and takes long: without coverage."""
    with unmeasured():
        yield


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a job in the background of a shell: what a test starts would ignore an interrupt, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say in the end of the run how much was tried, so that a shrunken proof shows."""

    def say(text: str) -> None:
        request.node.user_properties.append(("count", text.partition("\n")[0]))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "count" and report.when == "call":
                    terminalreporter.line(text)
