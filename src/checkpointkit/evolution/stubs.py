"""A migration from one shape to the next, as Python source to be finished by hand. Pure.

What can be done for certain is done: a field that is gone is dropped, one that may be None becomes
None, an empty container stands for a new one. Where only its author knows (`...`), the stub says
so; an unfinished one is refused by the check, as `...` fits no type.
"""

from __future__ import annotations

import json
from pprint import pformat
from textwrap import indent
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpointkit.evolution.diff import described, differences, widens
from checkpointkit.fingerprint import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from checkpointkit.fingerprint import Shape

_WIDTH = 92
_EMPTY = {"list": "[]", "set": "[]", "dict": "{}"}


def stub(old: Shape, new: Shape, version: int) -> str:
    """Return the source of a migration, ready to be pasted.

    Args:
        old: The shape of `version`.
        new: The shape of the next version.
        version: The version that the migration starts from.

    Example:
        >>> old = {"record": {"holder": "str", "note": "str"}}
        >>> new = {"record": {"holder": "str", "tags": {"list": "str"}}}
        >>> print(stub(old, new, 1))
        def to_2(old: Payload) -> Payload:  # 1 -> 2
            del old["note"]
            old["tags"] = []
            return old
        <BLANKLINE>
    """
    return _function(name_of(version), "old", (old, new), f"{version} -> {version + 1}")


def downgrade_stub(old: Shape, new: Shape, version: int) -> str:
    """Return the source of a step down, with the shape that it leads to, ready to be pasted.

    Args:
        old: The shape of `version`.
        new: The shape of the next version.
        version: The version that the step leads to.

    Example:
        >>> old = {"record": {"holder": "str"}}
        >>> new = {"record": {"holder": "str", "note": {"union": ["null", "str"]}}}
        >>> print(downgrade_stub(old, new, 1))
        def from_2(new: Payload) -> Payload:  # 2 -> 1
            del new["note"]
            return new
        <BLANKLINE>
        <BLANKLINE>
        # in Schema(...): write_version=1, downgrades={2: FROM_2}
        FROM_2 = Downgrade(
            from_2,
            shape={'record': {'holder': 'str'}},
        )
        <BLANKLINE>
    """
    start = version + 1
    function = _function(f"from_{start}", "new", (new, old), f"{start} -> {version}")
    shape = indent(pformat(old, width=_WIDTH), "    ").strip()
    return (
        f"{function}\n\n"
        f"# in Schema(...): write_version={version}, downgrades={{{start}: FROM_{start}}}\n"
        f"FROM_{start} = Downgrade(\n    from_{start},\n    shape={shape},\n)\n"
    )


def _function(name: str, argument: str, shapes: tuple[Shape, Shape], comment: str) -> str:
    before, after = shapes
    lines = [*_edits(before, after, argument, 1)]
    if not lines and canonical(before) != canonical(after):
        lines = ["# what such a state holds fits the other version as it is:"]
        lines += [f"# {difference.text()}" for difference in differences(before, after)]
    head = f"def {name}({argument}: Payload) -> Payload:  # {comment}"
    body = [f"    {line}" for line in (*lines, f"return {argument}")]
    return "\n".join([head, *body]) + "\n"


def name_of(version: int) -> str:
    """Return the name of the stub's function."""
    return f"to_{version + 1}"


def _edits(old: Any, new: Any, place: str, depth: int) -> Iterator[str]:
    """Write the statements that make the payload at `place` fit the new shape."""
    if canonical(old) == canonical(new) or widens(old, new):
        return
    if _both("record", old, new):
        yield from _field_edits(old, new, place, depth)
    elif (items := _items(old, new)) is not None:
        item = f"item{depth if depth > 1 else ''}"
        edits = _edits(items.old, items.new, item, depth + 1)
        yield from _block(f"for {item} in {place}{items.step}:", edits)
    else:
        yield f"# {place}: was {described(old)}, is {described(new)}; change it in place"


class _Items(NamedTuple):
    """The items of two containers, which one loop goes over."""

    old: Any
    new: Any
    step: str


def _items(old: Any, new: Any) -> _Items | None:
    for form in ("list", "tuple"):
        if _both(form, old, new) and not any(isinstance(each[form], list) for each in (old, new)):
            return _Items(old[form], new[form], "")
    if _both("dict", old, new) and old["dict"][0] == new["dict"][0]:
        return _Items(old["dict"][1], new["dict"][1], ".values()")
    return None


def _both(form: str, old: Any, new: Any) -> bool:
    return isinstance(old, dict) and isinstance(new, dict) and form in old and form in new


def _block(head: str, body: Iterable[str]) -> Iterator[str]:
    lines = list(body)
    yield head
    yield from (f"    {line}" for line in lines)
    if all(line.lstrip().startswith("#") for line in lines):
        yield "    ..."


class _Fields:
    """The fields of a record: all of them, and those that may be absent."""

    def __init__(self, shape: Any) -> None:
        self.optional: dict[str, Any] = shape.get("optional", {})
        self.all: dict[str, Any] = {**shape["record"], **self.optional}

    def only_like(self, name: str, others: Iterable[str]) -> bool:
        """Tell whether a field is the only one of its shape among some."""
        shape = canonical(self.all[name])
        return [other for other in others if canonical(self.all[other]) == shape] == [name]


def _field_edits(old: Any, new: Any, place: str, depth: int) -> Iterator[str]:
    before, after = _Fields(old), _Fields(new)
    gone = sorted(before.all.keys() - after.all.keys())
    fresh = sorted(after.all.keys() - before.all.keys())
    renamed = {
        one: other
        for one in gone
        for other in fresh
        if canonical(before.all[one]) == canonical(after.all[other])
        and before.only_like(one, gone)
        and after.only_like(other, fresh)
    }
    for one in gone:
        yield from _farewell(one, renamed.get(one), before, after, place)
    for name in fresh:
        if name not in after.optional and name not in renamed.values():
            yield _assignment(_at(place, name), after.all[name])
    for name in sorted(before.all.keys() & after.all.keys()):
        change = [*_change(before.all[name], after.all[name], _at(place, name), depth)]
        yield from _where_there(name, change, before, after, place)


def _farewell(
    name: str, renamed: str | None, before: _Fields, after: _Fields, place: str
) -> Iterator[str]:
    """Write what becomes of a field that the new record has not."""
    if renamed is None:
        absent = name in before.optional
        yield f"{place}.pop({_text(name)}, None)" if absent else f"del {_at(place, name)}"
        return
    move = f"{_at(place, renamed)} = {place}.pop({_text(name)})  # renamed, or is it not?"
    if name not in before.optional:
        yield move
        return
    yield from _block(f"if {_text(name)} in {place}:", [move])
    if renamed not in after.optional:
        yield from _block("else:", [_assignment(_at(place, renamed), after.all[renamed])])


def _where_there(
    name: str, change: list[str], before: _Fields, after: _Fields, place: str
) -> Iterator[str]:
    """Write the change of a field that both records have, where it may be absent."""
    if name not in before.optional:
        yield from change
        return
    if change:
        yield from _block(f"if {_text(name)} in {place}:", change)
    if name not in after.optional:
        head = "else:" if change else f"if {_text(name)} not in {place}:"
        yield from _block(head, [_assignment(_at(place, name), after.all[name])])


def _change(old: Any, new: Any, place: str, depth: int) -> Iterator[str]:
    """Write what makes the value of one field fit."""
    if canonical(old) == canonical(new) or widens(old, new):
        return
    inner = _without_null(old), _without_null(new)
    if inner[0] is not None and inner[1] is not None:
        yield from _block(f"if {place} is not None:", _change(*inner, place, depth))
    elif inner[0] is not None and (canonical(inner[0]) == canonical(new) or widens(inner[0], new)):
        yield from _block(f"if {place} is None:", [_assignment(place, new)])
    elif _in_place(old, new):
        yield from _edits(old, new, place, depth)
    elif _both("enum", old, new):
        yield from _choice(old["enum"], new["enum"], place, f"now one of {described(new)}")
    elif (old, new) == ("int", "float"):
        yield f"{place} = float({place})"
    elif (old, new) == ("int", "str"):
        yield f"{place} = str({place})"
    else:
        yield f"{place} = ...  # was {described(old)}, is {described(new)}"


def _choice(old: list[Any], new: list[Any], place: str, note: str) -> Iterator[str]:
    kept = set(map(canonical, new))
    left = [value for value in old if canonical(value) not in kept]
    change = f"{place} = ...  # {note}"
    if any(value in (0, 1) for value in old + new):  # 1, 1.0 and True are equal to Python
        yield change
    else:
        yield from _block(f"if {place} in ({', '.join(map(_literal, left))},):", [change])


def _in_place(old: Any, new: Any) -> bool:
    """Tell whether a difference is in records, which can be changed where they stand."""
    items = _items(old, new)
    return _both("record", old, new) or (items is not None and _in_place(items.old, items.new))


def _without_null(shape: Any) -> Any:
    """Return what a shape is when it is not None; None itself for one that never is."""
    if not isinstance(shape, dict) or "null" not in shape.get("union", ()):
        return None
    rest = [part for part in shape["union"] if part != "null"]
    return rest[0] if len(rest) == 1 else {"union": rest}


def _assignment(place: str, shape: Any) -> str:
    if _without_null(shape) is not None or shape == "null":
        return f"{place} = None"
    form = next(iter(shape)) if isinstance(shape, dict) else ""
    if form in _EMPTY:
        return f"{place} = {_EMPTY[form]}"
    if form == "tuple" and not isinstance(shape["tuple"], list):
        return f"{place} = []"
    return f"{place} = ...  # {described(shape)}: what is it for an old state?"


def _at(place: str, name: str) -> str:
    return f"{place}[{_text(name)}]"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _literal(value: Any) -> str:
    return _text(value) if isinstance(value, str) else repr(value)
