"""Stores with a broken protocol: the kills find each of them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.killer import Killer
from tests.support.mutants import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as made:
        yield made


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_protocol_is_found_out(quick: Path, killer: Killer, name: str) -> None:
    outcome = killer.mutant(quick / "store", name)
    assert outcome.kills > 10
    assert outcome.problems
    assert not any("exit" in problem for problem in outcome.problems), "it died of something else"
