"""The suite on stores that are wrong; run by `test_broken.py`, which expects the failures."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import ClassVar

import pytest

from checkpointkit.testing import StoreOpener, StoreTests
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.order import OrderRules
from checkpointkit.testing.conformance.processes import ProcessRules
from tests.testing.broken import MISTAKES
from tests.testing.plain import Plain

numbers = itertools.count()


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: to make thousands of them takes longer than the tests."""
    return tmp_path_factory.mktemp("broken")


class Broken(Rules):
    """Without the random calls, which have tests of their own."""

    kind: ClassVar[type[Plain]]
    test_random_calls_agree_with_a_dict = None

    @pytest.fixture
    def open_store(self, directory: Path) -> StoreOpener:
        number = next(numbers)
        return lambda name, max_bytes: self.kind(directory / f"{number}-{name}", max_bytes)


ALL = (Broken, StoreTests)
ALONE = (
    Broken,
    *(rules for rules in StoreTests.__bases__ if rules not in {OrderRules, ProcessRules}),
)

for mistake in MISTAKES:
    attributes = {"kind": mistake.kind, "patience": 2.0 if mistake.hangs else 60.0}
    name = f"Test{mistake.kind.__name__}"
    globals()[name] = type(name, ALL if mistake.needs_others else ALONE, attributes)
