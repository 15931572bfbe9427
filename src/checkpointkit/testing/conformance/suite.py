"""The conformance suite for stores: one test for each rule of `checkpointkit.stores.base`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from checkpointkit.testing.conformance.batches import AtomicBatchRules, BatchRules
from checkpointkit.testing.conformance.machine import MACHINE_SETTINGS, run_store_machine
from checkpointkit.testing.conformance.optional import (
    HistoryRules,
    OpeningRules,
    ScopeRules,
    SetAsideRules,
)
from checkpointkit.testing.conformance.order import OrderRules
from checkpointkit.testing.conformance.pins import PinRules
from checkpointkit.testing.conformance.processes import ProcessRules
from checkpointkit.testing.conformance.reading import KeyRules, ReadRules
from checkpointkit.testing.conformance.saving import (
    ExpectationRules,
    GenerationRules,
    LimitRules,
    RemoveRules,
    SealRules,
)

if TYPE_CHECKING:
    import hypothesis

    from checkpointkit.testing.conformance.bench import StoreOpener


class StoreTests(
    KeyRules,
    ReadRules,
    GenerationRules,
    ExpectationRules,
    SealRules,
    LimitRules,
    RemoveRules,
    BatchRules,
    AtomicBatchRules,
    HistoryRules,
    PinRules,
    SetAsideRules,
    ScopeRules,
    OpeningRules,
    OrderRules,
    ProcessRules,
):
    """What a store has to pass to be one. Subclass it and override the fixture `open_store`.

    The fixture returns a callable that takes a name and `max_bytes`, and opens the store of that
    name: the same one for the same name, an empty one for a name that it has not heard in this
    test. What a store declares in `features` is tested; what it does not declare has to be absent,
    and that is tested, too. A store with the feature `history` is opened so that it keeps one
    older generation at least.

    Attributes:
        patience: How many seconds one test may take before it counts as hanging.
        machine_settings: Hypothesis' settings for the random calls.

    Example:
        >>> import pytest
        >>> from checkpointkit import MemoryStore
        >>> class TestMemoryStore(StoreTests):
        ...     @pytest.fixture
        ...     def open_store(self):
        ...         return lambda name, max_bytes: MemoryStore(max_bytes=max_bytes)
    """

    machine_settings: ClassVar[hypothesis.settings] = MACHINE_SETTINGS

    def test_random_calls_agree_with_a_dict(self, open_store: StoreOpener) -> None:
        """All of it, whatever comes after whatever."""
        run_store_machine(open_store, self.machine_settings)
