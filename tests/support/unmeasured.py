"""The same again and again, and children that are forked for it: run without measuring coverage.

Measured, it takes three times as long, and ten times in a child, where coverage is started anew.
What is run here has to be covered by other tests, too; where it is not, coverage falls short.
"""

from __future__ import annotations

import os
import posix
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def save_before_forks() -> None:
    """Let no child save once more all that its parent has measured so far.

    Each child would, when it ends: a quarter of a second after a thousand tests, and more later.
    """
    os.register_at_fork(before=_save)


def _save() -> None:
    coverage = sys.modules.get("coverage")
    measuring = None if coverage is None else coverage.Coverage.current()
    if measuring is not None:
        measuring.save()


@contextmanager
def unmeasured() -> Iterator[None]:
    """Measure nothing in here: neither in this process nor in those that it forks or starts."""
    coverage = sys.modules.get("coverage")
    measuring = None if coverage is None else coverage.Coverage.current()
    if measuring is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]:
            patch.delenv(name)  # children look for it
        patch.setattr(os, "_exit", posix._exit)  # coverage has put one there that saves its data
        measuring.stop()
        try:
            yield
        finally:
            # Each start patches once more, and for good: each fork would start all of them.
            patches = measuring.get_option("run:patch")
            measuring.set_option("run:patch", [])
            measuring.start()
            measuring.set_option("run:patch", patches)
