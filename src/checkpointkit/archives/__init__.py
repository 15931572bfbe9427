"""Retention of container checkpoint archives that never deletes the wrong one.

Kubernetes has the runtime write a tar archive for each checkpoint of a container, and nobody
deletes any. The way of the data, from the disk to the disk:

- `directory`: the directory that holds the archives, open; everything is reached through it.
- `scan`: what lies there. `flight` tells whether an archive may still be written, `tarscan` reads
  what it says of itself, `identity` and `names` say whose it is, `pins` who wants it kept.
- `inventory`: what was read, as checkpoints, so that nothing is read twice.
- `plan`: what goes by which rule, and what stays: a pure function. `policies` are its rules;
  `policyfile` and `operator` read them from files; `orphans` says whose pods are gone.
- `apply`: deletes what the plan says, if it still is what was planned; `deletions` records it.
- `watch`: all of it again, whenever an archive is finished.
- `custody`: digests of archives, each linked to the one before.
- `usage`: who has how much; pure.

`model` has the words: `Archive`, `Container`, `State`.
"""

from __future__ import annotations
