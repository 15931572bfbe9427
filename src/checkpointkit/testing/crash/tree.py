"""A small model of a file system: names and bytes, and the operations that change them. Pure."""

from __future__ import annotations

from typing import Final

from attrs import Factory, define, field, frozen, setters

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

    def having(self, name: str, node: int) -> Names:
        """Return these names, with one that names something."""
        names = Names(self)
        names[name] = node
        return names

    def without(self, name: str) -> Names:
        """Return all names but one."""
        names = Names(self)
        names.pop(name, None)
        return names


def _directories(directories: dict[int, dict[str, int]]) -> dict[int, Names]:
    return {
        number: names if isinstance(names, Names) else Names(names)
        for number, names in directories.items()
    }


@define
class Tree:
    """Files and directories by number.

    Attributes:
        directories: The names in each directory.
        files: The bytes of each file.
    """

    directories: dict[int, Names] = field(
        factory=lambda: {ROOT: Names()}, converter=_directories, on_setattr=setters.NO_OP
    )
    files: dict[int, bytes] = Factory(dict)

    def copy(self) -> Tree:
        """Return a copy of its own; names and bytes are never changed, so they are shared."""
        copied = Tree(files=self.files.copy())
        copied.directories = dict(self.directories)
        return copied

    def apply(self, operation: Operation, *, leave_source: bool = False) -> None:
        """Do what an operation did.

        Args:
            operation: It.
            leave_source: Of a rename, let the old name stand, too.
        """
        directories = self.directories
        match operation:
            case Enter(directory, name, node, is_directory):
                if is_directory:
                    directories.setdefault(node, Names())
                else:
                    self.files.setdefault(node, b"")
                directories[directory] = directories[directory].having(name, node)
            case Write(file, offset, data):
                self.files[file] = overwritten(self.files.get(file, b""), offset, data)
            case Leave(directory, name):
                directories[directory] = directories[directory].without(name)
            case Move(directory, name, to_directory, to_name, node):
                names = directories[directory]
                if names.get(name) == node and not leave_source:
                    directories[directory] = names.without(name)
                directories[to_directory] = directories[to_directory].having(to_name, node)
            case Cut(file, size):
                self.files[file] = self.files.get(file, b"")[:size].ljust(size, b"\0")
            case _:
                pass

    def find(self, path: str, directory: int = ROOT) -> int | None:
        """Return what a path names, seen from a directory; None where there is nothing."""
        node: int | None = directory
        for name in path.split("/"):
            if name not in {"", "."}:
                names = None if node is None else self.directories.get(node)
                node = None if names is None else names.get(name)
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


_NOTHING: Final = Names()


def overwritten(old: bytes, offset: int, data: bytes) -> bytes:
    r"""Return a file's bytes after a write; a hole is zeros.

    Example:
        >>> overwritten(b"abc", 5, b"xy")
        b'abc\x00\x00xy'
        >>> overwritten(b"abcdef", 1, b"XY")
        b'aXYdef'
    """
    return old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :]
