"""The lock file: what every accepted version of every format looks like. Text in, text out.

It is JSON with one field of a class to a line, so that its diff reads in a review like the change
of the class. `docs/lock-file.md` describes it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from checkpointkit.errors import LockFileError
from checkpointkit.structuring.wire import wire_codec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.fingerprint import Shape

LOCK_VERSION: Final = 1
"""The version of the lock file's own format."""

_ABOUT: Final = "Made by `checkpointkit schema accept`. Commit it; edit the classes, not this file."
_WIDTH: Final = 96
_VERSION: Final = re.compile("[1-9][0-9]{0,8}")
_FINGERPRINT: Final = re.compile("[a-z0-9]+:[0-9a-f]+")
_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")


@frozen
class LockedVersion:
    """An accepted version of a format.

    Attributes:
        shape: What is on the wire.
        fingerprint: The fingerprint of the shape, by the algorithm of the day.
        goldens: The digest of its goldens file (`sha256:…`).
    """

    shape: Shape
    fingerprint: str
    goldens: str


@frozen
class LockedKind:
    """What is locked of one kind.

    Attributes:
        versions: Its versions, ascending.
        reads_from: The oldest version that still has to be read; older ones were dropped on
            purpose.
        retired: The kind is not in use any more, on purpose.
    """

    versions: Mapping[int, LockedVersion]
    reads_from: int = 1
    retired: bool = False

    @property
    def newest(self) -> int:
        """The newest version; 0 where there is none."""
        return max(self.versions, default=0)


@frozen
class LockFile:
    """What is locked.

    Attributes:
        kinds: By kind, sorted.
    """

    kinds: Mapping[str, LockedKind] = field(factory=dict[str, LockedKind])

    def version(self, kind: str, version: int) -> LockedVersion | None:
        """Return what is locked of a version; None for nothing."""
        locked = self.kinds.get(kind)
        return None if locked is None else locked.versions.get(version)


@frozen
class Released:
    """What a release had locked (`released.read_released`).

    Attributes:
        lock: What it had locked.
        note: What people have to know about it; "" for nothing.
    """

    lock: LockFile
    note: str = ""


def parse_lock(text: str, path: str) -> LockFile:
    """Return what a lock file says.

    Args:
        text: Its content.
        path: Where it was read, for messages.

    Raises:
        LockFileError: It is none, or one of a newer release of checkpointkit.

    Example:
        >>> parse_lock('{"lock": 1, "kinds": {}}', "checkpointkit.lock")
        LockFile(kinds={})
    """
    try:
        return _Parser(path).lock(text)
    except RecursionError:
        problem = "nested too deeply"
    raise LockFileError(path, problem)


class _Parser:
    def __init__(self, path: str) -> None:
        self._path = path

    def lock(self, text: str) -> LockFile:
        if re.search("^(<<<<<<<|=======|>>>>>>>)", text, re.MULTILINE):
            raise self._error("it holds an unresolved merge; keep the entries of both sides")
        try:
            whole = json.loads(text, object_pairs_hook=self._object)
        except json.JSONDecodeError as error:
            raise self._error(f"it is no JSON: line {error.lineno}: {error.msg}") from error
        self._check(whole, "the whole", {"lock", "kinds"}, {"about"})
        if whole["lock"] != LOCK_VERSION or type(whole["lock"]) is not int:
            raise self._error(
                f"its format is {whole['lock']!r}, this release reads {LOCK_VERSION}; upgrade "
                "checkpointkit"
            )
        kinds = self._names(whole["kinds"], "kinds")
        return LockFile({kind: self._kind(kind, kinds[kind]) for kind in sorted(kinds)})

    def _kind(self, kind: str, found: Any) -> LockedKind:
        self._check(found, repr(kind), {"versions"}, {"reads_from", "retired"})
        versions = {}
        for number, entry in self._names(found["versions"], f"the versions of {kind!r}").items():
            if not _VERSION.fullmatch(number):
                raise self._error(f"{kind!r} has a version {number!r}, which is no number")
            versions[int(number)] = self._version(f"version {number} of {kind!r}", entry)
        reads_from, retired = found.get("reads_from", 1), found.get("retired", False)
        if type(reads_from) is not int or type(retired) is not bool:
            raise self._error(f"{kind!r}: reads_from is a number and retired is true or false")
        if not 1 <= reads_from <= max(versions, default=0) + 1:
            raise self._error(f"{kind!r}: reads_from is {reads_from}, and its versions are not")
        return LockedKind(dict(sorted(versions.items())), reads_from, retired)

    def _version(self, name: str, entry: Any) -> LockedVersion:
        forms = {"fingerprint": _FINGERPRINT, "goldens": _DIGEST}
        self._check(entry, name, {*forms, "shape"}, set())
        for field_name, form in forms.items():
            text = entry[field_name]
            if type(text) is not str or not form.fullmatch(text):
                raise self._error(f"{name}: its {field_name} is none")
        try:
            wire_codec(entry["shape"])
        except ValueError as error:
            raise self._error(f"{name}: {error}") from error
        return LockedVersion(entry["shape"], entry["fingerprint"], entry["goldens"])

    def _check(self, found: Any, name: str, required: set[str], optional: set[str]) -> None:
        names = self._names(found, name).keys()
        missing, unknown = sorted(required - names), sorted(names - required - optional)
        if missing:
            raise self._error(f"{name}: {missing[0]!r} is missing")
        if unknown:
            raise self._error(f"{name}: {unknown[0]!r} is not known to this release")

    def _names(self, found: Any, name: str) -> dict[str, Any]:
        if type(found) is not dict:
            raise self._error(f"{name}: expected an object, got {type(found).__name__}")
        return found

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise self._error(f"{twice!r} stands twice in one object; keep the one that is right")
        return made

    def _error(self, reason: str) -> LockFileError:
        return LockFileError(self._path, reason)


def render_lock(lock: LockFile) -> str:
    """Return the text of a lock file; `parse_lock` gives the lock again.

    Example:
        >>> version = LockedVersion({"record": {"id": "str"}}, "fp1:00", "sha256:00")
        >>> lock = LockFile({"example.com/pod": LockedKind({1: version})})
        >>> print(render_lock(lock))  # doctest: +ELLIPSIS
        {
          "about": ...
          "lock": 1,
          "kinds": {
            "example.com/pod": {
              "versions": {
                "1": {
                  "fingerprint": "fp1:00",
                  "goldens": "sha256:00",
                  "shape": {
                    "record": {
                      "id": "str"
                    }
                  }
                }
              }
            }
          }
        }
        <BLANKLINE>
    """
    kinds = {kind: _kind_document(lock.kinds[kind]) for kind in sorted(lock.kinds)}
    return "".join(_lines({"about": _ABOUT, "lock": LOCK_VERSION, "kinds": kinds}, "")) + "\n"


def _kind_document(kind: LockedKind) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if kind.reads_from != 1:
        document["reads_from"] = kind.reads_from
    if kind.retired:
        document["retired"] = True
    versions = {}
    for number, entry in sorted(kind.versions.items()):
        versions[str(number)] = {
            "fingerprint": entry.fingerprint,
            "goldens": entry.goldens,
            "shape": _sorted(entry.shape),
        }
    return {**document, "versions": versions}


def _sorted(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: _sorted(shape[name]) for name in sorted(shape)}
    return [_sorted(part) for part in shape] if isinstance(shape, list) else shape


_SPREAD: Final = frozenset({"kinds", "optional", "record", "shape", "versions"})
"""What has a line for each of its parts, even where one line would do."""


def _lines(data: Any, indent: str, *, spread: bool = True) -> Iterator[str]:
    """Write JSON with each field on a line of its own, and everything else on one if it fits."""
    compact = json.dumps(data, ensure_ascii=False)
    if not isinstance(data, (dict, list)) or not data:
        yield compact
        return
    if not spread and not _has_fields(data) and len(indent) + len(compact) < _WIDTH:
        yield compact
        return
    inner = indent + "  "
    parts = data.items() if isinstance(data, dict) else (("", part) for part in data)
    opening, closing = "{}" if isinstance(data, dict) else "[]"
    yield opening
    for number, (name, part) in enumerate(parts):
        yield f"{',' if number else ''}\n{inner}"
        if isinstance(data, dict):
            yield f"{json.dumps(name, ensure_ascii=False)}: "
        yield from _lines(part, inner, spread=name in _SPREAD)
    yield f"\n{indent}{closing}"


def _has_fields(data: Any) -> bool:
    if isinstance(data, dict):
        return any(name in _SPREAD or _has_fields(part) for name, part in data.items())
    return isinstance(data, list) and any(map(_has_fields, data))
