"""The contract of `checkpointkit.stores.base` as tests: a suite to subclass, and random calls."""
