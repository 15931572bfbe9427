"""What everything here speaks of: an archive as it was found, and whose it is.

Times are whole nanoseconds since 1970, as `os.stat` gives them: a million archives are compared,
and two of them may differ in the last digit.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_DIRECTORY",
    "DEFAULT_NAMES",
    "MARKER_SUFFIX",
    "Archive",
    "Container",
    "Gone",
    "Level",
    "Orphans",
    "Parent",
    "Space",
    "State",
]

DEFAULT_DIRECTORY: Final = "/var/lib/kubelet/checkpoints"
"""Where the kubelet has the archives written; `checkpointDirectory`."""
DEFAULT_NAMES: Final = ("checkpoint-*.tar",)
"""The names of archives, as patterns of `fnmatch`; all other files are somebody else's."""
MARKER_SUFFIX: Final = ".keep"
"""A file of an archive's name and this pins it, as for the checkpoint-restore-operator."""


class Level(Enum):
    """What archives are grouped by, narrow to wide."""

    CONTAINER = "container"
    POD = "pod"
    NAMESPACE = "namespace"
    DIRECTORY = "directory"


class State(Enum):
    """What an archive is, as far as can be told."""

    COMPLETE = "complete"
    """It was read to its end."""
    IN_FLIGHT = "in flight"
    """It may still be written."""
    BROKEN = "broken"
    """It was read, and is no archive, or no whole one."""
    UNREADABLE = "unreadable"
    """The system would not let it be read: nothing is known of it."""
    OTHER = "other"
    """A link, a fifo, a device: nothing that a runtime writes, and never touched."""
    POD_CHECKPOINT = "pod checkpoint"
    """A directory of the kubelet's own (KEP-5823): shown, and never touched."""


@frozen(order=True, cache_hash=True)
class Container:
    """Whose archive it is.

    Attributes:
        namespace: The pod's namespace.
        pod: The pod's name.
        container: The container's name in the pod.

    Example:
        >>> print(Container("default", "web", "app"))
        default/web/app
    """

    namespace: str
    pod: str
    container: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}/{self.container}"


@frozen(cache_hash=True)
class Parent:
    """What an archive was taken of: a container of one pod, and of no later one of its name.

    Attributes:
        container: The container.
        uid: The pod's UID; empty where the archive does not say.
    """

    container: Container
    uid: str = ""


@frozen
class Gone:
    """A parent that is confirmed to be gone.

    Attributes:
        level: The widest that is gone: the container alone, its pod, or its namespace.
        since_ns: When that was first seen.
    """

    level: Level
    since_ns: int


if TYPE_CHECKING:
    Orphans = Mapping[Parent, Gone]
else:
    Orphans = dict
    """The parents that are confirmed to be gone; who is not in it may be there."""


@frozen(kw_only=True)
class Archive:
    """An archive as it was found.

    Attributes:
        name: Its name in the directory; bytes that are no UTF-8 as `os.fsdecode` has them.
        size: Its length in bytes (`st_size`).
        device: The device of its file system.
        inode: Its inode.
        mtime_ns: When it was last written.
        ctime_ns: When anything of its inode last changed.
        state: What it is.
        container: Whose it is; None where that is not known: then it is kept, and counted for
            nobody.
        by_name: Its name alone says whose it is, for it says nothing itself.
        pod_uid: The UID of its pod; empty where the archive does not say.
        checkpointed_ns: When it was taken, as it says itself.
        named_ns: When it was taken, as its name says.
        first_seen_ns: When this program saw it first.
        pins: Who wants it kept: the owners that its marker names, `marker` if it names none.
        digest: The sha256 of its bytes, if it was asked for; lowercase hex.
        problem: Why nothing more is known of it, or why it is no archive; one line, of which
            nothing is quoted that stands in the archive.
    """

    name: str
    size: int
    device: int = field(repr=False)
    inode: int = field(repr=False)
    mtime_ns: int
    ctime_ns: int = field(repr=False)
    state: State
    container: Container | None = None
    by_name: bool = False
    pod_uid: str = ""
    checkpointed_ns: int | None = None
    named_ns: int | None = None
    first_seen_ns: int = 0
    pins: tuple[str, ...] = ()
    digest: str = ""
    problem: str = ""


@frozen
class Space:
    """A file system's blocks, in bytes.

    Attributes:
        total: All of it.
        free: What is free for who is not root (`f_bavail`).
    """

    total: int
    free: int
