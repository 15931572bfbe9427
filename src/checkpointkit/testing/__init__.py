"""Tools for tests: of a store, and of a program that uses one.

They need the extra: `pip install 'checkpointkit[testing]'`.

- `StoreTests`: the contract of a store, as a suite to subclass.
- `StoreMachine`, `run_store_machine`: random calls on a store, compared with a dict.
- `FaultyStore`: a store around another, which fails where it is told to.
- `values_of`: a Hypothesis strategy of the values of a schema.
"""

from checkpointkit._extras import require

for _module in ("pytest", "hypothesis"):
    require("testing", _module)

import pytest  # noqa: E402 - a missing one is a `MissingExtraError` by now

# Before anything is imported from it: a failed assertion then shows the values.
pytest.register_assert_rewrite("checkpointkit.testing.conformance")

from checkpointkit.testing.conformance.bench import StoreOpener  # noqa: E402
from checkpointkit.testing.conformance.machine import StoreMachine, run_store_machine  # noqa: E402
from checkpointkit.testing.conformance.suite import StoreTests  # noqa: E402
from checkpointkit.testing.faults import FaultyStore  # noqa: E402
from checkpointkit.testing.strategies import values_of  # noqa: E402

__all__ = [
    "FaultyStore",
    "StoreMachine",
    "StoreOpener",
    "StoreTests",
    "run_store_machine",
    "values_of",
]
