"""States after a power cut: built one by one, and judged by the real store.

Whoever writes a store that does its system calls through `SystemCalls` can run the same proof:

    report = enumerate_crashes(
        lambda path, system: MyStore(path / "store", system=system), tmp_path
    )
    assert report.violations == [], str(report)
"""

from checkpointkit.testing.crash.run import (
    DEEP,
    QUICK,
    CrashReport,
    CrashViolation,
    StoreMaker,
    enumerate_crashes,
)
from checkpointkit.testing.crash.states import Depth
from checkpointkit.testing.crash.workloads import WORKLOADS, Scene, Workload, save

__all__ = [
    "DEEP",
    "QUICK",
    "WORKLOADS",
    "CrashReport",
    "CrashViolation",
    "Depth",
    "Scene",
    "StoreMaker",
    "Workload",
    "enumerate_crashes",
    "save",
]
