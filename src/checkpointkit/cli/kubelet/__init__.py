"""`checkpointkit kubelet`: `run` has the commands, `arguments` says what may be typed."""

from __future__ import annotations
