"""Policies from files.

- `reading`: the way in: a file of our own, or the checkpoint-restore-operator's.
- `documents`: YAML as values that know their lines; `fields`: what may stand in our own file.
- `operator`: what the operator's fields mean; `text`: a policy as a file again.
"""

from __future__ import annotations
