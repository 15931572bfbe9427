"""One cluster for all end-to-end tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.account import grant
from tests.e2e.binaries import cache
from tests.e2e.cluster import BINARIES, Cluster
from tests.e2e.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one node; where it cannot be started, the tests are skipped, with the reason."""
    lacks = missing(cache() / BINARIES)
    if lacks:
        pytest.skip(lacks)
    failed = request.session.testsfailed
    with Cluster() as started:
        grant(started)
        yield started
        started.keep = request.session.testsfailed > failed
        if started.keep:
            print(f"\nthe logs are in {started.logs}")  # noqa: T201 - where to look
