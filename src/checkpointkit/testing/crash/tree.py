"""A small model of a file system: names and bytes, and the operations that change them. Pure."""

from __future__ import annotations

from typing import Final

from attrs import Factory, define, field, frozen

ROOT: Final = 0
"""The number of the topmost directory."""


@frozen
class Write:
    """Bytes were written into a file."""

    file: int
    offset: int
    data: bytes


@frozen
class Cut:
    """A file got another size."""

    file: int
    size: int


@frozen
class Enter:
    """A name was given to a file or to a directory: it was made, or linked."""

    directory: int
    name: str
    node: int
    is_directory: bool = False


@frozen
class Leave:
    """A name was taken away."""

    directory: int
    name: str


@frozen
class Move:
    """A file or a directory was renamed."""

    directory: int
    name: str
    to_directory: int
    to_name: str
    node: int
    is_directory: bool


@frozen
class Sync:
    """What was written to a file, or the names in a directory, were synced."""

    node: int


Operation = Write | Cut | Enter | Leave | Move | Sync


class Names(dict[str, int]):
    """The names in a directory, and what they name; never changed, so trees may share it."""

    _key: int | None = None

    def key(self) -> int:
        """Return a number that is the same for equal names; found once."""
        if self._key is None:
            self._key = hash(tuple(sorted(self.items())))
        return self._key

    def without(self, name: str) -> Names:
        """Return all names but one."""
        return Names({other: node for other, node in self.items() if other != name})


def _directories(directories: dict[int, dict[str, int]]) -> dict[int, Names]:
    return {
        number: names if isinstance(names, Names) else Names(names)
        for number, names in directories.items()
    }


Known = dict[int, tuple[int, list[int]]]
"""What `Tree.parts` has returned, by the identity of the names."""


@define
class Tree:
    """Files and directories by number.

    Attributes:
        directories: The names in each directory.
        files: The bytes of each file.
    """

    directories: dict[int, Names] = field(factory=lambda: {ROOT: Names()}, converter=_directories)
    files: dict[int, bytes] = Factory(dict)

    def copy(self) -> Tree:
        """Return a copy of its own; names and bytes are never changed, so they are shared."""
        copied = Tree(files=dict(self.files))
        copied.directories = dict(self.directories)
        return copied

    def apply(self, operation: Operation, *, leave_source: bool = False) -> None:
        """Do what an operation did.

        Args:
            operation: It.
            leave_source: Of a rename, let the old name stand, too.
        """
        match operation:
            case Write(file, offset, data):
                self.files[file] = overwritten(self.files.get(file, b""), offset, data)
            case Cut(file, size):
                self.files[file] = self.files.get(file, b"")[:size].ljust(size, b"\0")
            case Enter(directory, name, node, is_directory):
                if is_directory:
                    self.directories.setdefault(node, Names())
                else:
                    self.files.setdefault(node, b"")
                self._name(directory, name, node)
            case Leave(directory, name):
                self.directories[directory] = self.directories[directory].without(name)
            case Move(directory, name, to_directory, to_name, node):
                names = self.directories[directory]
                if names.get(name) == node and not leave_source:
                    self.directories[directory] = names.without(name)
                self._name(to_directory, to_name, node)
            case _:
                pass

    def _name(self, directory: int, name: str, node: int) -> None:
        self.directories[directory] = Names({**self.directories[directory], name: node})

    def find(self, path: str, directory: int = ROOT) -> int | None:
        """Return what a path names, seen from a directory; None where there is nothing."""
        node = directory
        for name in path.split("/"):
            if name in {"", "."}:
                continue
            found = self.directories.get(node, Names()).get(name)
            if found is None:
                return None
            node = found
        return node

    def paths(self) -> dict[str, int]:
        """Return what each path names; a directory before what is in it."""
        found: dict[str, int] = {}
        left = [("", ROOT)]
        while left:
            above, directory = left.pop()
            for name, node in self.directories[directory].items():
                path = above + name
                found[path] = node
                if node in self.directories:
                    left.append((f"{path}/", node))
        return found

    def key(self, known: Known | None = None) -> int:
        """Return a number that is the same for the same paths, nodes and bytes in one process.

        Args:
            known: What `parts` has returned for some of its names, by their identity; it saves
                time where many trees share most of their directories.
        """
        found: list[object] = []
        left = [ROOT]
        while left:
            directory = left.pop()
            names = self.directories[directory]
            part = None if known is None else known.get(id(names))
            number, below = self.parts(names) if part is None else part
            found.append((directory, number))
            left += below
        return hash(frozenset(found))

    def parts(self, names: Names) -> tuple[int, list[int]]:
        """Return a number for names and the bytes of their files, and the directories below."""
        files = self.files
        below = [node for node in names.values() if node not in files]
        contents = frozenset((node, files[node]) for node in names.values() if node in files)
        return hash((names.key(), contents)), below


def overwritten(old: bytes, offset: int, data: bytes) -> bytes:
    r"""Return a file's bytes after a write; a hole is zeros.

    Example:
        >>> overwritten(b"abc", 5, b"xy")
        b'abc\x00\x00xy'
        >>> overwritten(b"abcdef", 1, b"XY")
        b'aXYdef'
    """
    return old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :]
