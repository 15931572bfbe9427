"""What was done and what was left, for people to read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.testing.crash.tree import (
    ROOT,
    Cut,
    Enter,
    Leave,
    Move,
    Operation,
    Sync,
    Tree,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY: Final = 8
"""Of so many files of one size in a directory, the first and the last are drawn."""


def draw_operations(start: Tree, operations: Sequence[Operation]) -> tuple[str, ...]:
    r"""Return a line for each operation; a star marks those that no sync has made certain.

    Example:
        >>> made = [Enter(0, "a", 1), Write(1, 0, b"xyz"), Sync(1)]
        >>> print("\n".join(draw_operations(Tree(), made)))
        * make a
          write 3 bytes at 0 of a
          sync a
    """
    last = {
        operation.node: at for at, operation in enumerate(operations) if isinstance(operation, Sync)
    }
    tree = start.copy()
    lines = []
    for at, operation in enumerate(operations):
        text, nodes = _describe(tree, operation)
        certain = isinstance(operation, Sync) or any(last.get(node, -1) > at for node in nodes)
        lines.append(f"{' ' if certain else '*'} {text}")
        tree.apply(operation)
    return tuple(lines)


def _describe(tree: Tree, operation: Operation) -> tuple[str, tuple[int, ...]]:
    """Return a text, and what has to be synced to make the operation certain."""
    match operation:
        case Write(file, offset, data):
            text, nodes = f"write {len(data)} bytes at {offset} of {_path(tree, file)}", (file,)
        case Cut(file, size):
            text, nodes = f"cut {_path(tree, file)} to {size} bytes", (file,)
        case Enter():
            text, nodes = _describe_name(tree, operation), (operation.directory,)
        case Leave(directory, name):
            text, nodes = f"delete {_below(tree, directory, name)}", (directory,)
        case Move(directory, name, to_directory, to_name):
            old, new = _below(tree, directory, name), _below(tree, to_directory, to_name)
            return f"rename {old} to {new}", (directory, to_directory)
        case synced:
            return f"sync {_path(tree, synced.node)}", ()
    return text, nodes


def _describe_name(tree: Tree, operation: Enter) -> str:
    path = _below(tree, operation.directory, operation.name)
    if operation.is_directory:
        return f"make directory {path}"
    if operation.node in tree.paths().values():
        return f"link {_path(tree, operation.node)} to {path}"
    return f"make {path}"


def _path(tree: Tree, node: int) -> str:
    if node == ROOT:
        return "/"
    return next((path for path, found in tree.paths().items() if found == node), "a deleted file")


def _below(tree: Tree, directory: int, name: str) -> str:
    return name if directory == ROOT else f"{_path(tree, directory)}/{name}"


def draw_tree(tree: Tree) -> tuple[str, ...]:
    r"""Return a line for each name: files with their size, and the number of their names.

    Example:
        >>> tree = Tree({0: {"k": 1}, 1: {"1": 2, "current": 2}}, {2: b"xyz"})
        >>> print("\n".join(draw_tree(tree)))
        k/
          1: 3 bytes (2 names)
          current: 3 bytes (2 names)
    """
    paths = tree.paths()
    named = list(paths.values())
    lines: list[str] = []
    for path, node in sorted(paths.items()):
        indent = "  " * path.count("/")
        name = path.rpartition("/")[2]
        if node in tree.directories:
            lines.append(f"{indent}{name}/")
            continue
        data = tree.files[node]
        names = f" ({named.count(node)} names)" if named.count(node) > 1 else ""
        zeros = ", all zeros" if data and not data.strip(b"\0") else ""
        lines.append(f"{indent}{name}: {len(data)} bytes{zeros}{names}")
    return tuple(_shortened(lines))


def _shortened(lines: list[str]) -> list[str]:
    """Leave out the middle of many lines that differ in the name alone."""
    short: list[str] = []
    run: list[str] = []

    def end() -> None:
        short.extend(run if len(run) < _MANY else [run[0], f"{_indent(run[0])}…", run[-1]])
        run.clear()

    for line in lines:
        if run and line.partition(": ")[2] != run[-1].partition(": ")[2]:
            end()
        run.append(line)
    end()
    return short


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
