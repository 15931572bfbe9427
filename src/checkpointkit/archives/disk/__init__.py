"""Everything that touches the directory of archives; nobody else does.

- `directory`: the directory, open; all else is reached through its descriptor.
- `scan`: what lies there. `flight` tells whether somebody may still write an archive, `trees` how
  much is below a directory, and `pins` who wants an archive kept.
- `apply`: deletes what a plan says, if it still is what was planned.
"""

from __future__ import annotations
