"""The steps of a plan, all pure; `checkpointkit.archives.plan` puts them together.

- `order`: which archive is older.
- `ledger`: the working state: whose archives are still there, and why others are not.
- `keeping`: what the keep rules of one container select; `expiry`: what goes whatever keeps it.
- `groups`: containers, pods, namespaces; `limits`: counts and bytes of them.
- `reasons`: the rules by name, and the words for people.
"""

from __future__ import annotations
