"""A real directory that is brought into one state after the other."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from checkpointkit.testing.crash.recording import RecordingCalls

if TYPE_CHECKING:
    from pathlib import Path

    from checkpointkit.testing.crash.tree import Tree


class Disk:
    """A directory whose content is known, because all that is done in it is recorded.

    Args:
        directory: Where to make it.
        first: What is made in it gets numbers above this one.

    Attributes:
        path: The directory.
        calls: The system calls for a store in it.
    """

    def __init__(self, directory: Path, first: int = 0) -> None:
        self.path = directory
        directory.mkdir()
        self.calls: RecordingCalls = RecordingCalls(str(directory), first)

    def become(self, tree: Tree) -> None:
        """Bring the directory into a state; what is as it should be stays as it is."""
        now = self.calls.tree
        present, wanted = now.paths(), tree.paths()
        same = {node for node, data in tree.files.items() if now.files.get(node) == data}
        for path, node in reversed(list(present.items())):
            target = wanted.get(path)
            if node in now.files:
                if target != node or node not in same:
                    os.unlink(self._path(path))
                    del present[path]
            elif target not in tree.directories:
                os.rmdir(self._path(path))
                del present[path]
        made = {node: path for path, node in present.items()}
        for path, node in wanted.items():
            if path in present:
                continue
            if node in tree.directories:
                os.mkdir(self._path(path), 0o700)
            elif node in made:
                os.link(self._path(made[node]), self._path(path))
            else:
                self._make(path, tree.files[node])
                made[node] = path
        self.calls.begin(tree)

    def _make(self, path: str, data: bytes) -> None:
        fd = os.open(self._path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}"

    def clear(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path)
