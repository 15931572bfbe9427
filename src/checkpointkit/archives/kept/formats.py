"""What the inventory stores, as classes and their formats, and how texts are written in them.

A shard holds its archives in columns: a hundred thousand objects of JSON would take longer to read
than all the rest of a plan.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from checkpointkit.archives.model import Container, Level, State
from checkpointkit.schema import Schema

__all__ = [
    "CUSTODY",
    "DELETIONS",
    "GONE",
    "HEAD",
    "SHARD",
    "Batch",
    "DeletionPart",
    "GoneParent",
    "GoneSince",
    "Head",
    "LinkPart",
    "Shard",
    "StoredDeletion",
    "StoredLink",
    "as_line",
    "from_line",
    "parent_of",
    "parent_text",
]


@frozen
class Head:
    """Which shards count.

    Attributes:
        directory: The path of the archives' directory, as a line (`as_line`).
        bits: There are two to the power of it many shards.
    """

    directory: str
    bits: int


@frozen(kw_only=True)
class Shard:
    """Some archives, in columns; a column in which all values are equal may hold one of them.

    Attributes:
        names: Their names, as lines (`as_line`), sorted; always one for each.
        sizes: Their lengths in bytes.
        devices: The devices.
        inodes: The inodes.
        mtimes: When they were last written, in nanoseconds since 1970.
        ctimes: When their inodes changed, in nanoseconds after the mtime.
        states: What they are.
        parents: Whose they are (`parent_text`).
        by_name: Whether their names alone say so.
        taken: When they were taken, as they say, in nanoseconds after the mtime.
        named: When they were taken, as their names say, in nanoseconds after the mtime.
        seen: When they were first seen, in nanoseconds since 1970.
        digests: Their digests, or empty texts.
        problems: What is wrong with them, or empty texts, as lines.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    devices: tuple[int, ...]
    inodes: tuple[int, ...]
    mtimes: tuple[int, ...]
    ctimes: tuple[int, ...]
    states: tuple[State, ...]
    parents: tuple[str, ...]
    by_name: tuple[bool, ...]
    taken: tuple[int | None, ...]
    named: tuple[int | None, ...]
    seen: tuple[int, ...]
    digests: tuple[str, ...]
    problems: tuple[str, ...]


@frozen
class GoneParent:
    """A parent that is gone.

    Attributes:
        parent: Which one (`parent_text`).
        level: The widest that is gone.
        since_ns: Since when, in nanoseconds since 1970.
    """

    parent: str
    level: Level
    since_ns: int


@frozen
class GoneSince:
    """The parents that are gone.

    Attributes:
        cluster: The UID of the cluster that says so.
        gone: The parents, sorted.
    """

    cluster: str
    gone: tuple[GoneParent, ...]


@frozen(kw_only=True)
class StoredDeletion:
    """A `Deletion`: texts are lines (`as_line`), the container is one of `parent_text`."""

    name: str
    container: str
    size: int
    device: int
    directory_inode: int
    inode: int
    mtime_ns: int
    rule: str
    words: str
    at_ns: int
    outcome: str


@frozen
class Batch:
    """Deletions that are recorded together.

    Attributes:
        number: How many deletions were recorded before.
        finished: Whether it is known what came of them.
        deletions: The deletions.
    """

    number: int
    finished: bool
    deletions: tuple[StoredDeletion, ...]


@frozen
class DeletionPart:
    """Some batches, in the order in which they were begun.

    Attributes:
        batches: The batches.
        carried: The numbers of batches in earlier checkpoints that were not finished when this
            one was begun.
    """

    batches: tuple[Batch, ...]
    carried: tuple[int, ...]


@frozen(kw_only=True)
class StoredLink:
    """A `Link` without what its place says: texts are lines, the container is a `parent_text`."""

    name: str
    container: str
    size: int
    mtime_ns: int
    recorded_ns: int
    sha256: str
    link: str


@frozen
class LinkPart:
    """Successive links.

    Attributes:
        previous: The link before the first of them, or the start of the chain.
        links: The links.
    """

    previous: str
    links: tuple[StoredLink, ...]


HEAD: Final = Schema(Head, kind="checkpointkit/archives-head", version=1)
"""The format of what says which shards count."""
SHARD: Final = Schema(Shard, kind="checkpointkit/archives-shard", version=1)
"""The format of a part of the archives."""
GONE: Final = Schema(GoneSince, kind="checkpointkit/archives-gone", version=1)
"""The format of since when parents are gone."""
DELETIONS: Final = Schema(DeletionPart, kind="checkpointkit/archives-deletions", version=1)
"""The format of a part of the records of deletions."""
CUSTODY: Final = Schema(LinkPart, kind="checkpointkit/archives-custody", version=1)
"""The format of a part of the chain of custody."""

_SPECIAL: Final = re.compile("[%\x00-\x1f\x7f\ud800-\udfff]")
_PARTS: Final = 4
_SLASH: Final = "%002f"
_WRITTEN: Final = re.compile("%([0-9a-f]{4})")


def as_line(text: str) -> str:
    r"""Return a text as one line that UTF-8 can write; `from_line` gives the text back.

    Control characters, `%`, and what `os.fsdecode` makes of bytes that are no UTF-8 become a
    `%` and the four hex digits of their code.

    Example:
        >>> as_line("100%\udcff")
        '100%0025%dcff'
        >>> from_line("100%0025%dcff") == "100%\udcff"
        True
    """
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):04x}", text)


def from_line(line: str) -> str:
    """Return the text of a line that `as_line` has made."""
    return _WRITTEN.sub(lambda found: chr(int(found[1], 16)), line) if "%" in line else line


def parent_text(container: Container | None, uid: str = "") -> str:
    """Return a parent as a text: namespace, pod, container and UID, or the UID alone.

    Example:
        >>> parent_text(Container("default", "web", "app"), "7f3e")
        'default/web/app/7f3e'
    """
    if container is None:
        return as_line(uid).replace("/", _SLASH)
    parts = (container.namespace, container.pod, container.container, uid)
    return "/".join(as_line(part).replace("/", _SLASH) for part in parts)


def parent_of(text: str) -> tuple[Container | None, str]:
    """Return container and UID of a text that `parent_text` has made; of another, None.

    Example:
        >>> parent_of("default/web/app/7f3e")
        (Container(namespace='default', pod='web', container='app'), '7f3e')
    """
    parts = [from_line(part) for part in text.split("/")]
    if len(parts) == _PARTS:
        namespace, pod, container, uid = parts
        return Container(namespace, pod, container), uid
    return None, parts[0] if len(parts) == 1 else ""
