"""`checkpointkit pods`: `run` chooses the command, `arguments` says what may be typed."""

from __future__ import annotations
