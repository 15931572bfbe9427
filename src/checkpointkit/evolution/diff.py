"""What differs between two shapes, path by path, in words. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from checkpointkit.fingerprint import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.fingerprint import Shape

_ITEMS = ("list", "tuple", "set")
_LONG = 60


@frozen
class Difference:
    """One difference between two shapes.

    Attributes:
        path: Where it is, as in error messages: `pods[*].uid`; empty for the whole payload.
        sign: `"+"` for a field or tag that is new, `"-"` for one that is gone, `"~"` for another
            type.
        old: The old shape; None for one that is new.
        new: The new shape; None for one that is gone.
    """

    path: str
    sign: Literal["+", "-", "~"]
    old: Shape | None
    new: Shape | None

    def text(self) -> str:
        """Return it in a line.

        Example:
            >>> Difference("pods[*].uid", "~", "int", "str").text()
            '~ pods[*].uid: int -> str'
        """
        path = on_one_line(self.path) or "the whole payload"
        if self.sign == "+":
            return f"+ {path}: {described(self.new)}"
        if self.sign == "-":
            return f"- {path}: {described(self.old)}"
        return f"~ {path}: {described(self.old)} -> {described(self.new)}"


def differences(old: Shape, new: Shape) -> tuple[Difference, ...]:
    """Return what differs between two shapes, by path; none for equal ones.

    Example:
        >>> old = {"record": {"holder": "str", "seconds": "int"}}
        >>> new = {"record": {"holder": {"union": ["null", "str"]}, "milliseconds": "int"}}
        >>> for difference in differences(old, new):
        ...     print(difference.text())
        ~ holder: str -> str or null
        + milliseconds: int
        - seconds: int
    """
    found = _walk(old, new, "")
    return tuple(sorted(found, key=lambda each: (each.path, each.sign)))


def _walk(old: Any, new: Any, path: str) -> Iterator[Difference]:
    if canonical(old) == canonical(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for form in _ITEMS:
            fixed = isinstance(old.get(form), list) or isinstance(new.get(form), list)
            if form in old and form in new and not fixed:
                yield from _walk(old[form], new[form], f"{path}[*]")
                return
        if "dict" in old and "dict" in new and old["dict"][0] == new["dict"][0]:
            yield from _walk(old["dict"][1], new["dict"][1], f"{path}[*]")
            return
        if "record" in old and "record" in new:
            yield from _fields(old, new, path)
            return
        if "tagged" in old and "tagged" in new and old["tagged"][0] == new["tagged"][0]:
            yield from _parts(old["tagged"][1], new["tagged"][1], lambda tag: f"{path}<{tag}>")
            return
        inner = _the_same_but_for_one(old, new)
        if inner is not None:
            yield from _walk(*inner, path)
            return
    yield Difference(path.removeprefix("."), "~", old, new)


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Difference]:
    def presence(shape: Mapping[str, Any]) -> dict[str, Any]:
        optional = {name: {"maybe": part} for name, part in shape.get("optional", {}).items()}
        return {**shape["record"], **optional}

    yield from _parts(presence(old), presence(new), lambda name: f"{path}.{name}")


def _parts(old: Mapping[str, Any], new: Mapping[str, Any], place: Any) -> Iterator[Difference]:
    for name in sorted({**old, **new}):
        path = place(name)
        if name not in new:
            yield Difference(path.removeprefix("."), "-", old[name], None)
        elif name not in old:
            yield Difference(path.removeprefix("."), "+", None, new[name])
        else:
            yield from _walk(old[name], new[name], path)


def _the_same_but_for_one(old: Any, new: Any) -> tuple[Any, Any] | None:
    """Return the one record or container in two unions, where everything else in them is equal."""
    if "maybe" in old and "maybe" in new:
        return old["maybe"], new["maybe"]
    if "union" not in old or "union" not in new:
        return None
    sides = [[part for part in each["union"] if isinstance(part, dict)] for each in (old, new)]
    rests = [[part for part in each["union"] if isinstance(part, str)] for each in (old, new)]
    if rests[0] != rests[1] or [len(side) for side in sides] != [1, 1]:
        return None
    (one,), (other,) = sides
    return (one, other) if one.keys() & other.keys() & {"record", "dict", *_ITEMS} else None


def described(shape: Any) -> str:  # noqa: C901, PLR0912 - one case for each form
    """Return a shape in a few words.

    Example:
        >>> described({"union": [{"list": "int"}, "null"]})
        'list of int or null'
    """
    if isinstance(shape, str):
        return shape
    (form, part), *_ = shape.items()
    match form:
        case "list" | "set":
            text = f"{form} of {described(part)}"
        case "tuple" if isinstance(part, list):
            text = f"tuple of ({', '.join(map(described, part))})"
        case "tuple":
            text = f"tuple of {described(part)}, ..."
        case "dict":
            text = f"dict of {described(part[0])} to {described(part[1])}"
        case "record":
            text = f"record of {', '.join(sorted({**part, **shape.get('optional', {})}))}"
        case "optional":
            text = f"record of {', '.join(sorted({**part, **shape['record']}))}"
        case "enum":
            text = " | ".join(json.dumps(value, ensure_ascii=False) for value in part)
        case "flag":
            text = f"flag of {', '.join(map(str, part))}"
        case "union":
            text = " or ".join(sorted(map(described, part), key=lambda name: name == "null"))
        case "tagged":
            text = f"one of {', '.join(sorted(part[1]))}, told by {part[0]!r}"
        case "hook":
            text = f"hook {part}"
        case "maybe":
            text = f"{described(part)}, or absent"
        case _:
            text = f"the record {part} levels up" if part else "the record around it"
    text = on_one_line(text)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def on_one_line(text: str) -> str:
    r"""Return a text with escapes for what does not print; a name may hold the end of a line.

    Example:
        >>> on_one_line("a\nb")
        'a\\nb'
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def widens(old: Any, new: Any) -> bool:  # noqa: PLR0911 - one case after the other
    """Tell whether every payload of the old shape fits the new one, as far as is easily seen.

    Example:
        >>> widens("int", {"union": ["int", "null"]}), widens({"union": ["int", "null"]}, "int")
        (True, False)
    """
    if canonical(old) == canonical(new) or new == "json":
        return True
    if isinstance(new, dict) and "maybe" in new:
        return widens(old.get("maybe", old) if isinstance(old, dict) else old, new["maybe"])
    if isinstance(new, dict) and "union" in new:
        options = old["union"] if isinstance(old, dict) and "union" in old else [old]
        return all(any(widens(option, each) for each in new["union"]) for option in options)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    if "enum" in old and "enum" in new:
        values = set(map(canonical, new["enum"]))
        return all(canonical(value) in values for value in old["enum"])
    if "flag" in old and "flag" in new:
        return set(old["flag"]) <= set(new["flag"])
    return _arrays_widen(old, new)


def _arrays_widen(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell it of arrays: a set is in order, so it is a list as well, and not the other way."""
    was = next((form for form in _ITEMS if form in old), None)
    now = next((form for form in _ITEMS if form in new), None)
    if was is None or now is None or (now == "set" and was != "set"):
        return False
    return (
        not isinstance(new[now], list)
        and not isinstance(old[was], list)
        and widens(old[was], new[now])
    )
