"""Retention of container checkpoint archives that never deletes the wrong one.

Kubernetes has the runtime write a tar archive for each checkpoint of a container, and nobody
deletes any. The way of the data, from the disk to the disk:

- `disk`: the directory that holds the archives: `disk.scan` says what lies there. `tarscan` reads
  what an archive says of itself; `identity` and `names` say whose it is.
- `kept`: what was read, as checkpoints, so that nothing is read twice; the record of what was
  deleted; a chain of digests.
- `plan`: what goes by which rule, and what stays: a pure function, in the steps of `planning`.
  `policies` are its rules, with `checks`, `calendar` and `amounts`; `policyfiles` reads them.
- `disk.apply`: deletes what the plan says, if it still is what was planned.
- `retention`: the parts put together. `watching`: all of it again, whenever an archive is finished.
- `usage`: who has how much; pure.

`model` has the words: `Archive`, `Container`, `State`; `errors` what goes wrong with all of them.
"""

from __future__ import annotations
