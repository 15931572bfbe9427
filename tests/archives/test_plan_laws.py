"""The laws hold of any inventory and any policy."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.archives.laws import LAWS
from tests.archives.strategies import Case, cases


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases)
def test_each_law_holds_of_any_inventory_and_any_policy(case: Case) -> None:
    for law in LAWS:
        law(case)


@pytest.mark.deep
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases)
def test_each_law_holds_of_many_inventories_and_policies(case: Case) -> None:
    for law in LAWS:
        law(case)
