"""`checkpointkit pods run`: the checkpointer as a daemon on a node.

`serving` puts everything together. `flags` is what was typed, `settings` what that means;
`journal` says what of a tick is worth a line in the log, `metrics` counts; `stopping` ends it
within a second.
"""
