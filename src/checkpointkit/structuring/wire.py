"""From a shape back to a codec: what fits it, without any class.

A shape is all that is left of the class of an older version. These codecs take a payload of that
shape and nothing else, by the very functions that take it for a class; what they make of it is
of no interest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from checkpointkit.fingerprint import canonical
from checkpointkit.structuring import codecs
from checkpointkit.structuring.choices import choice
from checkpointkit.structuring.codecs import INT, NUMBERS, PLAIN, TEXT, Codec, always, check_int
from checkpointkit.structuring.misfit import Findings, Misfit, expected, gather
from checkpointkit.structuring.records import unknown_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from checkpointkit.fingerprint import Shape

_Read: TypeAlias = "Callable[[Any], Codec]"
_WHOLE = "the whole payload"
_SCALARS = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}


def misfits(shape: Shape, payload: Any) -> tuple[str, ...]:
    """Return what of a payload does not fit a shape, one text with its path for each.

    Raises:
        ValueError: It is no shape, or one of a newer release.

    Example:
        >>> misfits({"record": {"name": "str"}}, {"name": 7})
        ('name: expected str, got int',)
    """
    return misfits_of(wire_codec(shape), payload)


def misfits_of(codec: Codec, payload: Any) -> tuple[str, ...]:
    """Return what of a payload a codec does not take, as `misfits` does."""
    misfit = _misfit(codec, payload)
    return () if misfit is None else misfit.lines()


def unfit_paths(codec: Codec, payload: Any) -> tuple[str, ...]:
    """Return the paths of what of a payload a codec does not take."""
    misfit = _misfit(codec, payload)
    paths = [] if misfit is None else [path for path, _ in misfit.problems]
    return tuple(dict.fromkeys(path.removeprefix(".") or _WHOLE for path in paths))


def _misfit(codec: Codec, payload: Any) -> Misfit | None:
    try:
        codec.load(payload)
    except Misfit as misfit:
        return misfit
    except RecursionError:
        return Misfit("nested too deeply")
    return None


def wire_codec(shape: Shape, nameable: Collection[str] = ()) -> Codec:
    """Return the codec of a shape; what it loads is of no interest, what it refuses is.

    Args:
        shape: The shape.
        nameable: Names that may be printed where they are unknown: field names of another
            version. Any other name may be data.

    Raises:
        ValueError: It is no shape, or one of a newer release.
    """
    try:
        return _Reader(nameable).read(shape, ())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        problem = f"{shape!r:.80} is no shape that this release knows"
    raise ValueError(problem)


def field_names(shape: Shape) -> frozenset[str]:
    """Return the names of all fields in a shape, at any depth.

    Example:
        >>> sorted(field_names({"record": {"a": {"list": {"record": {"b": "int"}}}}}))
        ['a', 'b']
    """
    names: set[str] = set()
    waiting: list[Any] = [shape]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for form in ("record", "optional"):
                fields = part.get(form)
                names |= fields.keys() if isinstance(fields, dict) else set()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return frozenset(names)


class _Reader:
    """Makes codecs of shapes, each form with its own method."""

    def __init__(self, nameable: Collection[str]) -> None:
        self._nameable = nameable
        self._forms: Mapping[str, Callable[[Any, _Read], Codec]] = {
            "list": _list,
            "tuple": _tuple,
            "set": _set,
            "dict": _dict,
            "record": self._record,
            "enum": _enum,
            "flag": _flag,
            "union": _union,
            "tagged": _tagged,
            "hook": _hook,
        }

    def read(self, shape: Any, around: tuple[Codec, ...]) -> Codec:
        if isinstance(shape, str):
            return _leaf(shape)
        form, *others = shape
        if form == "up":
            return around[-1 - _natural(shape["up"])]
        if others and {form, *others} != {"record", "optional"}:
            raise ValueError
        pending = Codec.pending()
        inside = (*around, pending)
        make = self._forms["record" if others else form]
        pending.settle(make(shape, lambda part: self.read(part, inside)))
        return pending

    def _record(self, shape: Any, read: _Read) -> Codec:
        required: Mapping[str, Codec] = {name: read(part) for name, part in shape["record"].items()}
        optional = {name: read(part) for name, part in shape.get("optional", {}).items()}
        fields = {**required, **optional}

        def check(data: Any, _: Any = None) -> Any:
            if type(data) is not dict:
                raise expected("dict", data)
            findings = Findings()
            for name, codec in fields.items():
                if name in data:
                    findings.run(f".{name}", codec.load, data[name])
                elif name in required:
                    findings.add(f".{name}", Misfit("missing"))
            unknown = data.keys() - fields.keys()
            for name in sorted(unknown.intersection(self._nameable)):
                findings.add(f".{name}", Misfit("unknown"))
            if unknown.difference(self._nameable):
                count = len(unknown.difference(self._nameable))
                findings.add("", Misfit(unknown_keys(count)))
            findings.close()
            return data

        return Codec(check, check, always(shape), (dict,))


def _leaf(shape: str) -> Codec:
    if shape in _SCALARS:
        return PLAIN[_SCALARS[shape]]
    if shape == "json":
        return codecs.plain_data(gathering=True)
    # Late: it imports datetime, decimal and uuid, which most shapes do without.
    from checkpointkit.structuring.texts import BY_SHAPE  # noqa: PLC0415

    return BY_SHAPE[shape]


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError
    return number


def _list(shape: Any, read: _Read) -> Codec:
    return codecs.array(list, read(shape["list"]), gathering=True)


def _tuple(shape: Any, read: _Read) -> Codec:
    items = shape["tuple"]
    if isinstance(items, list):
        return codecs.fixed_tuple([read(item) for item in items], gathering=True)
    return codecs.array(tuple, read(items), gathering=True)


def _set(shape: Any, read: _Read) -> Codec:
    item = read(shape["set"])
    natural = item.wire == TEXT or item.wire in NUMBERS
    key = None if natural else canonical

    def check(data: Any, _: Any = None) -> Any:
        if type(data) is not list:
            raise expected("list", data)
        gather(item.load, data, "[*]")
        if data != sorted(data, key=key):
            raise Misfit("items of a set that are not in order")
        if len(set(map(canonical, data))) != len(data):
            raise Misfit("items of a set that are equal")
        return data

    return Codec(check, check, always(shape), (list,))


def _dict(shape: Any, read: _Read) -> Codec:
    key, value = shape["dict"]
    as_key = codecs.as_key(read(key))
    if as_key is None:
        raise ValueError
    return codecs.mapping(as_key, read(value), gathering=True)


def _enum(shape: Any, _: _Read) -> Codec:
    return choice("the enum", [(value, value) for value in shape["enum"]], plain=True)


def _flag(shape: Any, _: _Read) -> Codec:
    known = sum({_natural(bit) for bit in shape["flag"]})

    def check(data: Any, _: Any = None) -> int:
        if check_int(data) & ~known:
            raise Misfit("int that is no value of the flag")
        return int(data)

    return Codec(check, check, always(shape), INT)


def _union(shape: Any, read: _Read) -> Codec:
    options = [read(part) for part in shape["union"]]
    by_type = {kind: option for option in options for kind in option.wire}
    # A hook may write anything; beside it there is None at the most.
    anything = next((option for option in options if not option.wire), None)
    names = " or ".join(sorted(kind.__name__ for kind in by_type))

    def check(data: Any, _: Any = None) -> Any:
        option = by_type.get(type(data), anything)
        if option is None:
            raise expected(names, data)
        return option.load(data)

    return Codec(check, check, always(shape), by_type if anything is None else ())


def _tagged(shape: Any, read: _Read) -> Codec:
    field, tags = shape["tagged"]
    records = {tag: read(part) for tag, part in tags.items()}

    def check(data: Any, _: Any = None) -> Any:
        if type(data) is not dict:
            raise expected("dict", data)
        tag = data.get(field)
        if type(tag) is not str or tag not in records:
            raise Misfit(f"has no known tag in {field!r}")
        return records[tag].load({name: part for name, part in data.items() if name != field})

    return Codec(check, check, always(shape), (dict,))


def _hook(shape: Any, _: _Read) -> Codec:
    anything = codecs.plain_data(gathering=True)
    return Codec(anything.load, anything.dump, always(shape))


def differing(shape: Shape, left: Any, right: Any) -> tuple[str, ...]:
    """Return the paths at which two payloads of one shape differ, sorted.

    Names that are data, as those of a dict are, print as `[*]`.

    Example:
        >>> shape = {"record": {"name": "str", "ids": {"dict": ["str", "int"]}}}
        >>> differing(shape, {"name": "a", "ids": {"x": 1}}, {"name": "b", "ids": {"x": 2}})
        ('ids[*]', 'name')
    """
    found: set[str] = set()
    _compare((shape,), left, right, "", found)
    return tuple(sorted(path.removeprefix(".") or _WHOLE for path in found))


def _compare(shapes: tuple[Any, ...], left: Any, right: Any, path: str, found: set[str]) -> None:
    """Note where two payloads differ; `shapes` ends with theirs, after those around it."""
    if canonical(left) == canonical(right):
        return
    shapes = _plain(shapes, left)
    if isinstance(left, dict) and isinstance(right, dict):
        for name in {**left, **right}:
            known, part = _part(shapes[-1], name)
            step = f".{name}" if known else "[*]"
            if name in left and name in right:
                _compare((*shapes, part), left[name], right[name], path + step, found)
            else:
                found.add(path + step)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            _, part = _part(shapes[-1], index)
            _compare((*shapes, part), one, other, f"{path}[{index}]", found)
    else:
        found.add(path)


def _plain(shapes: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    """Return the shapes with the last one as it is for this payload: no reference, no union."""
    shape = shapes[-1]
    if not isinstance(shape, dict):
        return shapes
    if "up" in shape:
        return _plain(shapes[: -1 - shape["up"]], data)
    if "union" in shape:
        for option in shape["union"]:
            if isinstance(option, dict):
                return _plain((*shapes, option), data)
    if "tagged" in shape:
        field, tags = shape["tagged"]
        tag = data.get(field) if isinstance(data, dict) else None
        if type(tag) is str and tag in tags:
            *around, record = _plain((*shapes, tags[tag]), data)  # it may lead back to the union
            return (*around, {**record, "record": {**record["record"], field: "str"}})
    return shapes


def _part(shape: Any, step: str | int) -> tuple[bool, Any]:
    """Return whether a name is one of a field, and the shape of what stands there."""
    if not isinstance(shape, dict):
        return False, "json"
    fields = {**shape.get("record", {}), **shape.get("optional", {})}
    if step in fields:
        return True, fields[step]
    items = shape.get("list") or shape.get("set") or shape.get("tuple")
    if isinstance(items, list) and isinstance(step, int):
        return False, items[step] if step < len(items) else "json"
    if "dict" in shape:
        return False, shape["dict"][1]
    return False, items or "json"
