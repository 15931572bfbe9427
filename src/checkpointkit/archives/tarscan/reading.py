"""An archive, as far as it has to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.archives.identity import Identity, Reading, read_config, read_spec
from checkpointkit.archives.model import State
from checkpointkit.archives.tarscan.compressed import CompressedSource, format_of
from checkpointkit.archives.tarscan.files import File
from checkpointkit.archives.tarscan.limits import (
    DEFAULT_LIMITS,
    BrokenError,
    ReadLimits,
    UndecidedError,
)
from checkpointkit.archives.tarscan.members import Found, walk
from checkpointkit.archives.tarscan.plain import FIRST, PlainSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.archives.tarscan.members import Source

__all__ = ["read_archive"]

_NOBODY: Final = Identity()


def read_archive(
    fd: int,
    size: int,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    read_spec: Callable[[bytes], Identity] = read_spec,
) -> Reading:
    """Read what an archive says of itself, and whether it is whole.

    Args:
        fd: A regular file that is open; its own position may move.
        size: How long it is (`st_size`).
        limits: How much of it is looked at.
        read_spec: Reads its `spec.dump`; of many archives, a `LastSpec` does it faster.

    Returns:
        What was read; whatever stands in the file, it raises nothing for it.

    Raises:
        OSError: The system would not let it be read.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     read_archive(file.fileno(), 0).problem
        'it is empty'
    """
    reader = _Reader(File(fd, size), limits)
    state, problem, undecided = State.COMPLETE, "", False
    try:
        reader.run()
    except BrokenError as error:
        state, problem = State.BROKEN, str(error)
    except UndecidedError as error:
        problem, undecided = str(error), True
    found = reader.found
    taken, doubt, identity = None, found.doubt, _NOBODY
    if found.spec is not None:
        identity = read_spec(found.spec)
        doubt = doubt or identity.problem
    if found.config is not None:
        taken, wrong = read_config(found.config)
        doubt = doubt or wrong
    if doubt or undecided:
        identity = _NOBODY
    return Reading(
        state=state,
        container=identity.container,
        pod_uid=identity.pod_uid,
        checkpointed_ns=taken,
        compression=reader.compression,
        problem=problem or doubt,
        conflicting=bool(doubt or undecided),
    )


class _Reader:
    __slots__ = ("_file", "_limits", "compression", "found")

    def __init__(self, file: File, limits: ReadLimits) -> None:
        self._file = file
        self._limits = limits
        self.compression = ""
        self.found = Found()

    def run(self) -> None:
        file, limits = self._file, self._limits
        head = file.read(0, min(file.size, FIRST))
        if not head:
            raise BrokenError("it is empty")
        form = format_of(head)
        source: Source
        if form is None:
            self.compression = "none"
            source = PlainSource(file, head, limits)
        else:
            self.compression = form.name
            source = CompressedSource(file, form, limits)
        walk(source, limits, self.found)
