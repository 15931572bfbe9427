"""A policy from a file: our own document, or that of the checkpoint-restore-operator.

Our own names itself in its first lines:

    apiVersion: checkpointkit/v1
    kind: RetentionPolicy
    keepLast: 5
    keepDaily: 7
    maxAge: 90d
    maxTotalSizePerNamespace: 100Gi
    watermarks: {high: 85%, low: 80%}
    pods:
      - namespace: shop
        pod: web-0
        keepLast: 20

A field that is not there is inherited from the next wider level; `none` switches it off; 0 is
refused. Ten archives of each container are kept where nothing else is said of how many: where keep
rules are set and `maxCheckpointsPerContainer` is not, the keep rules alone say it.

An error names the line and the field, and quotes nothing of the file.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import evolve, frozen

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import DEFAULT_DIRECTORY, Container
from checkpointkit.archives.policies import DEFAULT_RULES, INHERIT, Policy, Rules
from checkpointkit.archives.policyfiles.documents import (
    LONGEST_DOCUMENT,
    Fields,
    Items,
    Text,
    plain,
    read_document,
)
from checkpointkit.archives.policyfiles.fields import (
    API_VERSION,
    DIRECTORY,
    ENTRIES,
    GENERAL,
    KEEP,
    KIND,
    NONE,
    RULES,
    Group,
    Kind,
    Of,
)
from checkpointkit.archives.policyfiles.operator import read_operator, shown_field

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from checkpointkit.archives.policyfiles.documents import Node

__all__ = ["PolicyFile", "load_policy", "read_policy"]

_OPERATOR: Final = ("criu.org/v1", "CheckpointRestoreOperator")
_OF_OPERATOR: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_HEAD: Final = ("apiVersion", "kind", "checkpointDirectory")
_BEGIN: Final = f"begin with apiVersion: {API_VERSION} and kind: {KIND}"
_PER_CONTAINER: Final = "maxCheckpointsPerContainer"
_ALL: Final = (*RULES, *GENERAL, *ENTRIES, *_HEAD)
_LONGEST_NAME: Final = 40

_Specific: TypeAlias = "dict[str, dict[tuple[str, ...], Rules]]"


@frozen
class PolicyFile:
    """What a policy file says.

    Attributes:
        policy: The policy.
        directory: The directory of the archives.
        immediately: Whether to look at what is there already, and not at new archives alone; our
            own documents always have it.
        notes: What may not be what was meant; one line each.
    """

    policy: Policy
    directory: str
    immediately: bool
    notes: tuple[str, ...]


def load_policy(path: str) -> PolicyFile:
    """Read a policy file.

    Args:
        path: Where it is.

    Raises:
        PolicyError: It cannot be read, or is no policy.
        MissingExtraError: There is no PyYAML.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LONGEST_DOCUMENT + 1)
    except OSError as error:
        raise PolicyError(path, f"cannot be read: {error.strerror}") from error
    if len(data) > LONGEST_DOCUMENT:
        raise PolicyError(path, f"is longer than {LONGEST_DOCUMENT // 1024} KiB, so no policy")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyError(path, "is no text in UTF-8") from None
    return read_policy(text, source=path)


def read_policy(text: str, *, source: str) -> PolicyFile:
    """Return the policy of a document.

    Args:
        text: The document: YAML or JSON, our own or the operator's.
        source: Where it is from, for errors.

    Raises:
        PolicyError: It is no policy; `where` has the line and the field.
        MissingExtraError: There is no PyYAML.

    Example:
        >>> head = "apiVersion: checkpointkit/v1, kind: RetentionPolicy"
        >>> read_policy(f"{{{head}, maxAge: 90d}}", source="a file").policy.rules.max_age
        datetime.timedelta(days=90)
        >>> read_policy(f"{{{head}, maxage: 90d}}", source="a file")
        Traceback (most recent call last):
        ...
        checkpointkit.archives.errors.PolicyError: a file:1: maxage: is no field of a policy; did \
you mean maxAge?
    """
    document = read_document(text, source=source)
    if not isinstance(document, Fields):
        raise PolicyError(f"{source}:{document.line}", f"is no policy; {_BEGIN}")
    reader = _Reader(source)
    version, kind = (reader.word(document, name) for name in ("apiVersion", "kind"))
    if (version, kind) == _OPERATOR:
        return _of_operator(document, reader)
    if version != API_VERSION:
        reason = f"is no version that is known here; {_BEGIN}"
        raise reader.refused(document.lines["apiVersion"], "apiVersion", reason)
    if kind != KIND:
        raise reader.refused(document.lines["kind"], "kind", f"has to be {KIND}")
    return _own(document, reader)


def _of_operator(document: Fields, reader: _Reader) -> PolicyFile:
    notes = [
        f"{shown_field(name)}: is no field that is known here"
        for name in document.fields
        if name not in _OF_OPERATOR
    ]
    spec = document.fields.get("spec", Text(document.line, ""))
    if isinstance(spec, Text) and spec.is_null:
        reason = "is missing, and it says what is to be kept; write spec: {} for the defaults"
        raise reader.refused(spec.line, "spec", reason)
    try:
        found = read_operator(plain(spec))
    except PolicyError as error:
        line = _line_of(spec, error.where)
        raise reader.refused(line, error.where, error.reason) from None
    return PolicyFile(found.policy, found.directory, found.immediately, (*notes, *found.notes))


def _line_of(node: Node, path: str) -> int:
    """Return the line of a field, by its path as errors have it: `podPolicies[1].pod`."""
    line = node.line
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(node, Fields) and part in node.fields:
            line, node = node.lines[part], node.fields[part]
        elif isinstance(node, Items) and part.isdecimal():
            node = node.items[int(part)]
            line = node.line
    return line


def _own(document: Fields, reader: _Reader) -> PolicyFile:
    reader.check_names(document, "", _ALL)
    directory = document.fields.get("checkpointDirectory")
    rules = Rules(**reader.values(document, "", RULES))
    specific = {name: reader.entries(document, name) for name in ENTRIES}
    settings = reader.values(document, "", GENERAL)
    notes: list[str] = []
    if rules.container_count is INHERIT:
        rules, specific = _with_the_default(rules, specific, notes)
    policy = Policy(
        rules=rules,
        namespaces={names[0]: own for names, own in specific["namespaces"].items()},
        pods={(names[0], names[1]): own for names, own in specific["pods"].items()},
        containers={Container(*names): own for names, own in specific["containers"].items()},
        **settings,
    )
    path = reader.value(directory, "checkpointDirectory", DIRECTORY) if directory else None
    return PolicyFile(policy, path or DEFAULT_DIRECTORY, immediately=True, notes=tuple(notes))


def _with_the_default(
    rules: Rules, specific: _Specific, notes: list[str]
) -> tuple[Rules, _Specific]:
    """Keep ten of each container, except where keep rules alone say what is kept."""

    def alone(own: Rules, path: str) -> Rules:
        what = f"the default of {DEFAULT_RULES.container_count} is off: the keep rules say it alone"
        notes.append(f"{path}{_PER_CONTAINER}: {what}")
        return evolve(own, container_count=None)

    if _keeps(rules):
        return alone(rules, ""), specific

    def is_default(names: tuple[str, ...]) -> bool:
        found = (entries.get(names[:length]) for length, entries in enumerate(specific.values(), 1))
        return all(own is None or own.container_count is INHERIT for own in found)

    changed = {
        name: {
            names: alone(own, f"{name}: ") if _keeps(own) and is_default(names) else own
            for names, own in entries.items()
        }
        for name, entries in specific.items()
    }
    return evolve(rules, container_count=DEFAULT_RULES.container_count), changed


def _keeps(rules: Rules) -> bool:
    return any(getattr(rules, of.attribute) not in (INHERIT, None) for of in KEEP.values())


class _Reader:
    """Reads nodes, and says where one is that it refuses."""

    def __init__(self, source: str) -> None:
        self._source = source

    def refused(self, line: int, path: str, reason: str) -> PolicyError:
        return PolicyError(f"{self._source}:{line}: {path}", reason)

    def word(self, document: Fields, name: str) -> str:
        node = document.fields.get(name)
        if not isinstance(node, Text) or node.is_null:
            raise self.refused(document.line, name, f"is missing; {_BEGIN}")
        return node.text

    def check_names(self, fields: Fields, path: str, known: Collection[str]) -> None:
        for name in fields.fields:
            if name not in known:
                near = get_close_matches(name[:_LONGEST_NAME], known, 1)
                reason = "is no field of a policy" if name not in _ALL else "does nothing here"
                advice = f"; did you mean {near[0]}?" if near else ""
                where = _path(path, shown_field(name))
                raise self.refused(fields.lines[name], where, reason + advice)

    def values(self, fields: Fields, path: str, table: Mapping[str, Of]) -> dict[str, Any]:
        return {
            table[name].attribute: self.value(node, _path(path, name), table[name].kind)
            for name, node in fields.fields.items()
            if name in table
        }

    def value(self, node: Node, path: str, kind: Kind | Group) -> Any:
        where = f"{self._source}:{node.line}: {path}"
        if isinstance(node, Text):
            if node.is_null:
                advice = f"write {NONE} to switch it off" if _can_be_off(kind) else "write a value"
                raise PolicyError(where, f"is empty; {advice}, or leave it away")
            if node.text == NONE and _can_be_off(kind):
                return None
        if isinstance(kind, Group):
            return self._group(node, path, kind)
        if not isinstance(node, Text):
            raise PolicyError(where, "has to be a single value")
        return kind.read(node.text, where)

    def entries(self, document: Fields, name: str) -> dict[tuple[str, ...], Rules]:
        node = document.fields.get(name, Items(0, ()))
        if not isinstance(node, Items):
            raise self.refused(node.line, name, "has to be a list; begin each entry with -")
        keys, table = ENTRIES[name]
        found: dict[tuple[str, ...], Rules] = {}
        lines: dict[tuple[str, ...], int] = {}
        for index, item in enumerate(node.items):
            path = f"{name}[{index}]"
            fields = self._mapping(item, path, (*keys, *table), tuple(keys))
            names = tuple(
                self.value(fields.fields[key], f"{path}.{key}", kind) for key, kind in keys.items()
            )
            if names in found:
                reason = f"there is one for the same in line {lines[names]}; write one of them"
                raise self.refused(item.line, path, reason)
            lines[names] = item.line
            found[names] = Rules(**self.values(fields, path, table))
        return found

    def _group(self, node: Node, path: str, group: Group) -> Any:
        fields = self._mapping(node, path, group.fields, group.needed)
        try:
            return group.make(**self.values(fields, path, group.fields))
        except PolicyError as error:
            if error.where.startswith(self._source):
                raise
            raise self.refused(node.line, _path(path, error.where), error.reason) from None

    def _mapping(
        self, node: Node, path: str, known: Collection[str], needed: Collection[str]
    ) -> Fields:
        if not isinstance(node, Fields):
            raise self.refused(node.line, path, f"has to be a mapping with: {', '.join(known)}")
        self.check_names(node, path, known)
        for name in needed:
            if name not in node.fields:
                raise self.refused(node.line, _path(path, name), "is missing")
        return node


def _path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _can_be_off(kind: Kind | Group) -> bool:
    return isinstance(kind, Group) or kind.can_be_off
