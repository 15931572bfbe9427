"""The tests of checkpointkit."""
