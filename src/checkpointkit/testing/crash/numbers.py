"""A number for each state, by which one that was judged is known again. Pure.

It is a sum of random numbers, one for each name with what it names and one for the bytes behind it,
as in Zobrist's hashing of chess positions ("A New Hashing Method with Application for Game
Playing", 1970). So what many states have in common is summed once, a state has the same number
whatever was certain when it was built, and no two of some millions have the same one by chance: a
sum of Python's own hashes of pairs would give one to files that have changed places.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from checkpointkit.testing.crash.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from checkpointkit.testing.crash.tree import Tree

Drawn = defaultdict[tuple[int, bytes] | tuple[int, str, int], int]
"""The number that was drawn for a file's bytes, and for a name in a directory."""


def draw() -> Drawn:
    """Return numbers that are drawn when they are asked for."""
    random = Random(0)  # noqa: S311 - nothing here is a secret
    return defaultdict(lambda: random.getrandbits(64))


class _Part(NamedTuple):
    """What a directory adds to the number of a state.

    Attributes:
        number: For its names, and for the files whose bytes are certain, once for each name.
        files: The other files that it names.
        below: The directories that it names.
    """

    number: int
    files: list[int]
    below: list[int]


class Numbers:
    """The numbers of the states that one power cut may leave.

    Args:
        certain: The tree that the states share the most with.
        files: Those whose bytes differ from state to state.
        drawn: What was drawn for the states of other cuts; theirs have the same numbers.
    """

    def __init__(self, certain: Tree, files: Collection[int], drawn: Drawn) -> None:
        self._certain = certain
        self._files = files
        self._drawn = drawn
        self._known = {
            directory: self._part(certain, directory) for directory in certain.directories
        }

    def of_names(self, tree: Tree) -> tuple[int, dict[int, int]]:
        """Return the number of a tree but for those files, and how many names each of them has."""
        number = 0
        reached: dict[int, int] = {}
        left = [ROOT]
        while left:
            directory = left.pop()
            if tree.directories[directory] is self._certain.directories.get(directory):
                part = self._known[directory]
            else:
                part = self._part(tree, directory)
            number += part.number
            for file in part.files:
                reached[file] = reached.get(file, 0) + 1
            left += part.below
        return number, reached

    def of_contents(self, contents: Mapping[int, bytes], reached: Mapping[int, int]) -> int:
        """Return what the bytes of the files that differ add.

        Args:
            contents: The bytes of each.
            reached: How many names each has.
        """
        return sum([reached[item[0]] * self._drawn[item] for item in contents.items()])

    def _part(self, tree: Tree, directory: int) -> _Part:
        number = 0
        files, below = [], []
        for name, node in tree.directories[directory].items():
            number += self._drawn[directory, name, node]
            data = tree.files.get(node)
            if data is None:
                below.append(node)
            elif node in self._files:
                files.append(node)
            else:
                number += self._drawn[node, data]
        return _Part(number, files, below)
