"""What an archive says of itself, and whether it is whole: from bytes that anybody has written.

`read_archive` goes from header to header and reads two members alone: `spec.dump` and
`config.dump`, at the top. Nothing is extracted and no link is followed. It ends in one of three
ways:

- It was read to its end: the archive is complete.
- It is broken: cut, malformed, or no archive at all. That was seen, not guessed.
- A limit came first (`ReadLimits`): more members, or more to decompress, than is looked at. Such
  an archive may be a good one, so it is not called broken; it may be half of one, so it must not
  evict another. It is kept and counts for nobody, whatever it and its name say: it is complete and
  `conflicting`, and the problem says which limit it was.

The last is for archives, too, that say two things at once: two `spec.dump`, a link of that name,
metadata in which a key stands twice.

- `blocks`, `extended`: a header, and what may stand before it; pure.
- `members`: from header to header.
- `plain`, `compressed`: where the bytes come from; `files` reads them.
"""

from __future__ import annotations

from checkpointkit.archives.identity import Reading
from checkpointkit.archives.tarscan.compressed import is_unread
from checkpointkit.archives.tarscan.limits import ReadLimits
from checkpointkit.archives.tarscan.reading import read_archive

__all__ = ["ReadLimits", "Reading", "is_unread", "read_archive"]
