"""YAML as a tree of texts with their lines, of which nothing is guessed and nothing is run.

YAML has two ways to say a thing twice (keys, and aliases), types that depend on its version (`yes`,
`010`, `1:30`), and tags that make objects. Here a scalar is a text until somebody asks for more;
keys that are there twice, aliases, anchors and tags are refused; and a document is one, short and
not deep. JSON is YAML as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

from checkpointkit._extras import require
from checkpointkit.archives.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["LONGEST_DOCUMENT", "Fields", "Items", "Node", "Text", "plain", "read_document"]

LONGEST_DOCUMENT: Final = 256 * 1024
"""In characters."""

_DEEPEST: Final = 12
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True} | {
    "false": False,
    "False": False,
    "FALSE": False,
}
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")


@frozen
class Text:
    """A scalar.

    Attributes:
        line: Its line, from 1.
        text: What stands there.
        quoted: Whether it is in quotes, or a block: then it is nothing but text.
    """

    line: int
    text: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        """Whether nothing stands there."""
        return not self.quoted and self.text in _NULLS


@frozen
class Items:
    """A list.

    Attributes:
        line: Its line, from 1.
        items: What is in it.
    """

    line: int
    items: tuple[Node, ...]


@frozen
class Fields:
    """A mapping.

    Attributes:
        line: Its line, from 1.
        fields: What is in it, by name.
        lines: The lines of the names.
    """

    line: int
    fields: Mapping[str, Node]
    lines: Mapping[str, int]


Node: TypeAlias = Text | Items | Fields


def read_document(text: str, *, source: str) -> Node:
    r"""Return the one document of a text.

    Args:
        text: The text.
        source: Where it is from, for errors.

    Raises:
        PolicyError: It is no YAML, or uses what is refused here; `where` has the line.
        MissingExtraError: There is no PyYAML.

    Example:
        >>> document = read_document("keepLast: 5\n", source="a file")
        >>> document.fields["keepLast"]
        Text(line=1, text='5', quoted=False)
        >>> read_document("a: 1\na: 2\n", source="a file")
        Traceback (most recent call last):
        ...
        checkpointkit.archives.errors.PolicyError: a file:2: the field is there twice; remove one
    """
    if len(text) > LONGEST_DOCUMENT:
        raise PolicyError(source, f"is longer than {LONGEST_DOCUMENT // 1024} KiB, so no policy")
    yaml = require("archives", "yaml")
    try:
        found = _Builder(source, yaml).build(yaml.parse(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        if isinstance(error, PolicyError):
            raise
        # Its own words may quote the text; nor does it keep to its own errors with odd escapes.
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise PolicyError(f"{source}{line}", "is no YAML from here on") from None
    if found is None:
        raise PolicyError(source, "is empty")
    return found


def plain(node: Node) -> Any:
    """Return a tree as plain data: numbers, truth values and null as in YAML 1.2.

    A whole number that is written in an odd way and one with a fraction stay text.

    Example:
        >>> plain(read_document("{a: 1, b: yes, c: [true, ~, 010, 1.5, '2']}", source="a file"))
        {'a': 1, 'b': 'yes', 'c': [True, None, '010', '1.5', '2']}
    """
    if isinstance(node, Fields):
        return {name: plain(each) for name, each in node.fields.items()}
    if isinstance(node, Items):
        return [plain(each) for each in node.items]
    if node.is_null:
        return None
    if node.quoted:
        return node.text
    if node.text in _TRUTHS:
        return _TRUTHS[node.text]
    return int(node.text) if _WHOLE.fullmatch(node.text) else node.text


class _Open:
    """A list or a mapping that has not ended."""

    def __init__(self, line: int, *, is_fields: bool) -> None:
        self.line = line
        self.is_fields = is_fields
        self.items: list[Node] = []
        self.fields: dict[str, Node] = {}
        self.lines: dict[str, int] = {}
        self.name: str | None = None


class _Builder:
    """Makes the tree of the parser's events, one after the other."""

    def __init__(self, source: str, yaml: Any) -> None:
        self._source = source
        self._yaml = yaml
        self._open: list[_Open] = []
        self._root: Node | None = None

    def build(self, events: Iterable[Any]) -> Node | None:
        yaml = self._yaml
        documents = 0
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refused(line, "there is a second document; one file has one")
            elif isinstance(event, yaml.NodeEvent):
                self._check(event, line)
                if isinstance(event, yaml.ScalarEvent):
                    self._add(Text(line, event.value, event.style is not None))
                else:
                    is_fields = isinstance(event, yaml.MappingStartEvent)
                    self._begin(_Open(line, is_fields=is_fields))
            elif isinstance(event, yaml.CollectionEndEvent):
                ended = self._open.pop()
                if ended.is_fields:
                    self._add(Fields(ended.line, ended.fields, ended.lines))
                else:
                    self._add(Items(ended.line, tuple(ended.items)))
        return self._root

    def _check(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            raise self._refused(line, "anchors and aliases are not read; write it out")
        if event.tag is not None:
            raise self._refused(line, "tags are not read; leave the word with ! away")

    def _begin(self, opened: _Open) -> None:
        above = self._open[-1] if self._open else None
        if above is not None and above.is_fields and above.name is None:
            raise self._refused(opened.line, "the name of a field has to be a text")
        if len(self._open) == _DEEPEST:
            raise self._refused(opened.line, "is too deep for a policy")
        self._open.append(opened)

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        above = self._open[-1]
        if not above.is_fields:
            above.items.append(node)
        elif above.name is not None:
            above.fields[above.name] = node
            above.name = None
        else:
            self._name(above, node)

    def _name(self, above: _Open, node: Node) -> None:
        # A list or a mapping in this place was refused when it began.
        name = node.text if isinstance(node, Text) else ""
        if name in above.fields:
            raise self._refused(node.line, "the field is there twice; remove one")
        above.name = name
        above.lines[name] = node.line

    def _refused(self, line: int, reason: str) -> PolicyError:
        return PolicyError(f"{self._source}:{line}", reason)
