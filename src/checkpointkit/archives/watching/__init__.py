"""Retention that goes on: look again whenever an archive may have been finished.

- `watch`: the loop; `pacing` decides when to look next, `rounds` what is worth a line in the log.
- `changes`: that something in the directory has changed, by watchfiles or by looking.
- `orphans`: which pods are gone, asked of an API server; `whereabouts`: what its answers say.
"""

from __future__ import annotations
