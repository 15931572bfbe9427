"""The policy of a `CheckpointRestoreOperator`, as a policy of ours.

What the operator does with its fields is read off its collector (checkpoint-restore-operator
f5b45d3, internal/controller) and off recorded runs of it:

- The most specific policy alone counts. What it does not set is unlimited, and not inherited; of
  two for the same target the first counts; `*` is a name, and no pattern.
- A value of 0 or less switches its level off, with all that the level would do. Of the counts of
  `globalPolicy` this is true of 0 alone: with a negative one the default stays.
- The time of the last write orders archives, pinned ones count and stay, whose an archive is stands
  in its metadata alone, and the last archive of a container goes like any other.

What is known to be wrong with it is not copied: archives are grouped by what they are and not by a
pattern over names, an orphan is one only where the API server says so, and a size that no archive
can have (the operator's documentation says megabytes where it reads bytes) deletes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.amounts import LARGEST_COUNT, LARGEST_SIZE, size_text
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import DEFAULT_DIRECTORY, Container, Level
from checkpointkit.archives.policies import Order, OrphanRule, Policy, Rules
from checkpointkit.archives.policyfiles.fields import DIRECTORY
from checkpointkit.kubernetes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from fractions import Fraction

__all__ = ["OperatorPolicy", "read_operator", "shown_field", "unknown_field"]

_COUNTS: Final = {Level.CONTAINER: 10, Level.POD: 20, Level.NAMESPACE: 30}
"""How many archives `globalPolicy` keeps where it does not say it; narrow to wide."""
_NAMES: Final = {
    Level.CONTAINER: ("namespace", "pod", "container"),
    Level.POD: ("namespace", "pod"),
    Level.NAMESPACE: ("namespace",),
}
_LISTS: Final = {level: f"{level.value}Policies" for level in _NAMES}
_TOP: Final = ("checkpointDirectory", "applyPoliciesImmediately", "globalPolicy", *_LISTS.values())
_RETAIN: Final = "retainOrphan"
_COUNT: Final = "maxCheckpoints"
_SIZE: Final = "maxCheckpointSize"
_TOTAL: Final = "maxTotalSize"
_OWN: Final = (_RETAIN, _COUNT, _SIZE, _TOTAL)
_GENERAL: Final = (
    _RETAIN,
    _SIZE,
    *(f"{what}Per{level.value.title()}" for level in _COUNTS for what in (_COUNT, _TOTAL)),
)
_SMALLEST: Final = 4096
"""No checkpoint is smaller: it holds a page of memory at least, and what describes it."""
_DOUBTFUL: Final = 2**20
_LONGEST_NAME: Final = 40
_LONGEST_NUMBER: Final = 100
"""Characters of a text, or bits of a number."""


@frozen
class OperatorPolicy:
    """What an operator's document says.

    Attributes:
        policy: The policy.
        directory: The directory of the archives.
        immediately: Whether to look at what is there already, and not at new archives alone.
        notes: What may not be what was meant, or is not what the operator does; one line each.
    """

    policy: Policy
    directory: str
    immediately: bool
    notes: tuple[str, ...]


def read_operator(spec: Mapping[str, Any]) -> OperatorPolicy:
    """Return the policy that the `spec` of a `CheckpointRestoreOperator` says.

    A field that is not known is noted: it is another project's file. One that is known but for its
    capital letters is refused: Kubernetes leaves it out, and its default may delete what it keeps.

    Args:
        spec: The field `spec`, as plain data.

    Raises:
        PolicyError: A value has a type that the operator's own schema refuses, the directory is no
            absolute path, or a name has the wrong capital letters; `where` is its path in the spec.

    Example:
        >>> read = read_operator({"globalPolicy": {"maxCheckpointsPerContainer": 3}})
        >>> rules = read.policy.rules
        >>> rules.container_count, rules.pod_count, rules.namespace_count, rules.allow_empty
        (3, 20, 30, True)
        >>> print(*read_operator({"globalPolicy": {"maxCheckpointSize": 10}}).notes)
        globalPolicy.maxCheckpointSize: is 10 B, and no archive is that small: all of them would \
go, so it is not applied; a bare number is bytes, write 10Mi for megabytes
    """
    notes: list[str] = []
    top = _Fields(spec, "", _TOP, notes)
    policy = Policy(
        rules=_general(_Fields(top.value("globalPolicy"), "globalPolicy", _GENERAL, notes)),
        namespaces={names[0]: own for names, own in _specific(top, Level.NAMESPACE).items()},
        pods={(names[0], names[1]): own for names, own in _specific(top, Level.POD).items()},
        containers={
            Container(*names): own for names, own in _specific(top, Level.CONTAINER).items()
        },
        order=Order.MTIME,
        pins_count=True,
        exclusive=True,
        names_count=False,
    )
    directory = top.text("checkpointDirectory")
    if directory:
        DIRECTORY.read(directory, "checkpointDirectory")
    return OperatorPolicy(
        policy,
        directory or DEFAULT_DIRECTORY,
        top.flag("applyPoliciesImmediately"),
        tuple(dict.fromkeys(notes)),
    )


def _general(fields: _Fields) -> Rules:
    size = fields.size(_SIZE)
    on: dict[Level, dict[str, Any]] = {}
    for level, default in _COUNTS.items():
        suffix = f"Per{level.value.title()}"
        count = fields.count(_COUNT + suffix)
        if count is not None and count < 0:
            fields.note(
                _COUNT + suffix, f"is negative, and ignored: the default of {default} stays"
            )
            count = None
        amounts: dict[str, Any] = {
            _COUNT + suffix: default if count is None else count,
            _SIZE: size,
            _TOTAL + suffix: fields.size(_TOTAL + suffix),
        }
        if not _switched_off(fields, amounts, level):
            on[level] = _limits(level, *amounts.values())
    limits = {name: value for each in on.values() for name, value in each.items()}
    return Rules(
        **limits,
        orphans=_orphans(fields, next(iter(on), None)),
        allow_empty=True,
    )


def _specific(top: _Fields, level: Level) -> dict[tuple[str, ...], Rules]:
    """Return the rules of one list, by name; what is unlimited is None, and so not inherited."""
    found: dict[tuple[str, ...], Rules] = {}
    for fields in top.items(_LISTS[level], (*_NAMES[level], *_OWN)):
        names = tuple(fields.text(name) for name in _NAMES[level])
        amounts: dict[str, Any] = {
            _COUNT: fields.count(_COUNT),
            **{name: fields.size(name) for name in (_SIZE, _TOTAL)},
        }
        off = _switched_off(fields, amounts, level)
        limits = _limits(level, *((None,) * 3 if off else amounts.values()))
        orphans = _orphans(fields, None if off else level)
        if "" in names:
            fields.note(_NAMES[level][names.index("")], "is empty, so that this is for no archive")
        elif names in found:
            fields.note("namespace", "there is an earlier one for the same, and that one counts")
        else:
            found[names] = Rules(**limits, orphans=orphans)
        for name, text in zip(_NAMES[level], names, strict=True):
            if set(text) & set("*?["):
                fields.note(name, "is taken to the letter, and no pattern")
    return found


def _switched_off(
    fields: _Fields, amounts: Mapping[str, Fraction | int | None], level: Level
) -> bool:
    for name, amount in amounts.items():
        if amount is not None and amount <= 0:
            what = f"it switches off all that this does for a {level.value}"
            fields.note(name, f"is not above 0: {what}, other limits and orphans as well")
            return True
    return False


def _limits(
    level: Level, count: int | None, size: Fraction | None, total: Fraction | None
) -> dict[str, Any]:
    return {
        f"{level.value}_count": None if count is None or count > LARGEST_COUNT else count,
        f"{level.value}_size": _bytes(total),
        "max_size": _bytes(size),
    }


def _bytes(size: Fraction | None) -> int | None:
    return None if size is None or not _SMALLEST <= size <= LARGEST_SIZE else int(size)


def _orphans(fields: _Fields, level: Level | None) -> OrphanRule | None:
    if fields.flag(_RETAIN, default=True) or level is None:
        return None
    fields.note(_RETAIN, f"an archive goes once it is confirmed that its {level.value} is gone")
    return OrphanRule(timedelta(), level)


class _Fields:
    """The fields of one mapping, by name and type; null is as if it were not there."""

    def __init__(self, values: object, path: str, known: tuple[str, ...], notes: list[str]) -> None:
        if values is not None and not isinstance(values, Mapping):
            raise PolicyError(path or "spec", "has to be a mapping")
        self._values: Mapping[Any, Any] = values or {}
        self._path = path
        self.notes = notes
        letters = {each.lower(): each for each in known}
        for name in self._values:
            if name not in known:
                if (meant := letters.get(str(name).lower())) is not None:
                    reason = f"its letters have to be those of {meant}; Kubernetes leaves it out"
                    raise PolicyError(self.at(shown_field(name)), reason)
                self.note(shown_field(name), unknown_field(name, known))

    def at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def note(self, name: str, text: str) -> None:
        self.notes.append(f"{self.at(name)}: {text}")

    def value(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str:
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            raise PolicyError(self.at(name), "has to be text")
        return value or ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            raise PolicyError(self.at(name), "has to be true or false")
        return default if value is None else value

    def count(self, name: str) -> int | None:
        value = self.value(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise PolicyError(self.at(name), "has to be a whole number")
        return value

    def size(self, name: str) -> Fraction | None:
        value = self.value(name)
        quantity = None if _is_long(value) else parse_quantity(value)
        if value is not None and quantity is None:
            raise PolicyError(self.at(name), "has to be a quantity, such as 10Gi or 500M")
        if quantity is not None and 0 < quantity < _DOUBTFUL:
            self._doubt(name, quantity)
        return quantity

    def items(self, name: str, known: tuple[str, ...]) -> Iterator[_Fields]:
        values = self.value(name)
        if values is not None and not isinstance(values, list):
            raise PolicyError(self.at(name), "has to be a list")
        for index, item in enumerate(values or ()):
            path = f"{self.at(name)}[{index}]"
            if item is None:
                raise PolicyError(path, "has to be a mapping")
            yield _Fields(item, path, known, self.notes)

    def _doubt(self, name: str, size: Fraction) -> None:
        text = f"is {size_text(int(size))} only"
        if size < _SMALLEST:
            text = f"is {size_text(int(size))}, and no archive is that small: all of them would go"
            text += ", so it is not applied"
        if str(self.value(name)).isdecimal():
            text += f"; a bare number is bytes, write {int(size)}Mi for megabytes"
        self.note(name, text)


def _is_long(value: object) -> bool:
    """Whether it has so many digits that no size has them, and that reading them takes its time."""
    if isinstance(value, int):
        return value.bit_length() > _LONGEST_NUMBER
    return isinstance(value, str) and len(value) > _LONGEST_NUMBER


def shown_field(name: object) -> str:
    r"""Return the name of a field as an error may show it: no text of any other kind.

    Example:
        >>> shown_field("keepLst"), shown_field("\x1b[2J"), shown_field(7)
        ('keepLst', '(a field)', '(a field)')
    """
    good = isinstance(name, str) and name.isascii() and name.isalnum()
    return str(name) if good and len(str(name)) <= _LONGEST_NAME else "(a field)"


def unknown_field(name: object, known: Collection[str]) -> str:
    """Return what to say of a field that is not known.

    Example:
        >>> unknown_field("maxCheckpointPerPod", ["maxCheckpointsPerPod", "retainOrphan"])
        'is no field that is known here; maxCheckpointsPerPod is'
    """
    near = get_close_matches(str(name)[:_LONGEST_NAME], known, 1)
    return "is no field that is known here" + (f"; {near[0]} is" if near else "")
