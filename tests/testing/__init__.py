"""Tests of `checkpointkit.testing` and of the pytest plugin."""
