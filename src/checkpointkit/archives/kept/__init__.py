"""What is kept of a directory of archives, as checkpoints under one store.

- `formats`: the classes and their schemas.
- `inventory`: the way in. `shelf` spreads what was read over `shards`; `gone` knows since when
  a pod is gone.
- `deletions`: the record of what was deleted, made before it is.
- `custody`: the chain of digests: `links` says what a link hashes, `digests` reads the archives.
"""

from __future__ import annotations
