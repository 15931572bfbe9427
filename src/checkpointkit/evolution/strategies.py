"""Hypothesis strategies from a shape: payloads as `Schema.dump` would write them.

Hypothesis comes with the extra `testing`, and is imported when a strategy is asked for.

Texts and bytes are put together here, one character after the other. Hypothesis, where it draws a
whole text, takes constants out of the modules that are loaded: what it finds in them would be
committed, and shipped, with the goldens. The characters are such that a review can show.
"""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from checkpointkit._extras import require
from checkpointkit.errors import StructureError
from checkpointkit.evolution.nodes import read_shape, sorting, unlike
from checkpointkit.schema import Hook
from checkpointkit.structuring.texts import BY_SHAPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hypothesis.strategies import SearchStrategy

    from checkpointkit.evolution.nodes import Node
    from checkpointkit.fingerprint import Shape
    from checkpointkit.schema import Payload, Schema

_MOST: Final = 2
"""So many items a container has, at most."""
_AROUND: Final = 2
"""So often recursion goes around, at most."""
_CHARACTERS: Final = (
    "abcdefghijklmnopqrstuvwxyz0123456789 ABCXYZ._-:/@%&*+,;=~!?#$'\"\\<>()[]{}|^`"
    "\xe9\xfc\xdf\xf8\u0142\u03b1\u0436\u65e5\u672c\u8a9e\U0001f600"
)
"""One byte in UTF-8, and two, three and four."""
_DAY: Final = 24 * 60 - 1
_FINITE: Final[dict[str, Any]] = {"allow_nan": False, "allow_infinity": False}


def payloads(
    shape: Shape,
    hooks: Mapping[str, SearchStrategy[Any]] | None = None,
    texts: SearchStrategy[str] | None = None,
) -> SearchStrategy[Any]:
    """Return a strategy of the payloads of a shape: canonical texts, bounded size.

    Args:
        shape: The shape.
        hooks: A strategy of what each hook writes, by wire name: the shape does not say it. A
            part with a hook that is not in here is left out where that is possible.
        texts: The strategy of a `str`; by default short texts that are fit to be committed.

    Raises:
        ValueError: It is no shape that this release knows; or no payload of it can be made.
        MissingExtraError: Hypothesis is not installed.

    Example:
        >>> from hypothesis import find
        >>> find(payloads({"record": {"n": "int", "at": "date"}}), lambda payload: payload["n"] > 1)
        {'at': '2000-01-01', 'n': 2}
    """
    made = _Strategies(hooks or {}, texts).of(read_shape(shape), _AROUND)
    if made is None:
        raise ValueError("no payload of this shape can be made: it is endless, or has a hook")
    strategy: SearchStrategy[Any] = made
    return strategy


def hooks_of(schema: Schema[Any]) -> dict[str, SearchStrategy[Any]]:
    """Return a strategy of what each hook of a schema writes, by wire name.

    The values are what Hypothesis makes of the type of a hook. Where it does not know how, tell it:
    `hypothesis.strategies.register_type_strategy`.
    """
    st: Any = require("testing", "hypothesis.strategies")
    return {
        hook.wire: st.from_type(hook.cls).map(hook.dump)
        for hook in schema.hooks
        if isinstance(hook, Hook)
    }


def values(
    schema: Schema[Any], texts: SearchStrategy[str] | None = None
) -> SearchStrategy[Payload]:
    """Return a strategy of the payloads that `schema.structure` takes.

    What the class refuses (a validator, a `__post_init__`) is thrown away.

    Args:
        schema: The schema.
        texts: As for `payloads`.

    Raises:
        ValueError: No payload of the schema can be made.
        MissingExtraError: Hypothesis is not installed.
    """
    made = payloads(schema.shape, hooks_of(schema), texts)
    return made.filter(lambda payload: takes(schema, payload))


def takes(schema: Schema[Any], payload: Payload) -> bool:
    """Tell whether `schema.structure` takes a payload."""
    try:
        schema.structure(payload)
    except StructureError:
        return False
    return True


class _Strategies:
    """Makes the strategy of each node, once for each number of times to go around.

    None stands for: there is no payload that ends.
    """

    def __init__(
        self, hooks: Mapping[str, SearchStrategy[Any]], texts: SearchStrategy[str] | None
    ) -> None:
        self._st: Any = require("testing", "hypothesis.strategies")
        self._hooks = hooks
        self._leaves = _leaves(self._st, texts)
        self._made: dict[tuple[Node, int], Any] = {}

    def of(self, node: Node, around: int) -> Any:
        """Return the strategy of a node; recursion may go `around` so many times."""
        known = (node, around)
        if known not in self._made:
            if node.kind in self._leaves:
                self._made[known] = self._leaves[node.kind]
            else:
                self._made[known] = getattr(self, f"_{node.kind}")(node, around)
        return self._made[known]

    def _enum(self, node: Node, _: int) -> Any:
        return self._st.sampled_from(node.values) if node.values else None

    def _flag(self, node: Node, _: int) -> Any:
        bits = [self._st.sampled_from([0, bit]) for bit in node.values]
        return self._st.tuples(*bits).map(sum)

    def _hook(self, node: Node, _: int) -> Any:
        return self._hooks.get(node.name)

    def _up(self, node: Node, around: int) -> Any:
        return self.of(node.parts["back"], around - 1) if around else None

    def _list(self, node: Node, around: int) -> Any:
        item = self.of(node.parts["item"], around)
        return self._st.builds(list) if item is None else self._st.lists(item, max_size=_MOST)

    _tuple = _list

    # Without `unique_by`, which makes Hypothesis many times slower.
    def _set(self, node: Node, around: int) -> Any:
        item = node.parts["item"]
        key = sorting(item)
        return self._list(node, around).map(lambda made: sorted(unlike(item, made), key=key))

    def _dict(self, node: Node, around: int) -> Any:
        key, value = node.parts["key"], node.parts["value"]
        keys, values = self.of(key, around), self.of(value, around)
        if keys is None or values is None:
            return self._st.builds(dict)
        made = self._st.dictionaries(keys, values, max_size=_MOST)
        return made.map(lambda made: {str(name): made[name] for name in unlike(key, made)})

    def _pair(self, node: Node, around: int) -> Any:
        parts = [self.of(part, around) for part in node.parts.values()]
        return None if None in parts else self._st.tuples(*parts).map(list)

    def _record(self, node: Node, around: int) -> Any:
        parts = {name: self.of(part, around) for name, part in node.parts.items()}
        needed = {name: part for name, part in parts.items() if name not in node.optional}
        others = {name: parts[name] for name in node.optional if parts[name] is not None}
        if None in needed.values():
            return None
        return self._st.fixed_dictionaries(needed, optional=others)

    def _union(self, node: Node, around: int) -> Any:
        return self._one_of([self.of(part, around) for part in node.parts.values()])

    def _tagged(self, node: Node, around: int) -> Any:
        records = {tag: self.of(part, around) for tag, part in node.parts.items()}
        return self._one_of(
            None if record is None else record.map(partial(_with_tag, node.name, tag))
            for tag, record in records.items()
        )

    def _one_of(self, branches: Iterable[Any]) -> Any:
        known = [branch for branch in branches if branch is not None]
        return self._st.one_of(known) if known else None


def _with_tag(field: str, tag: str, record: Payload) -> Payload:
    return {field: tag, **record}


def _leaves(st: Any, texts: Any) -> dict[str, Any]:
    """Return the strategies of the shapes that have no parts."""

    def written(shape: str, values: Any) -> Any:
        return values.map(BY_SHAPE[shape].dump)

    def joined(parts: Any, most: int) -> Any:
        return st.lists(parts, max_size=most).map("".join)

    # One after the other: see the docstring of the module.
    text = joined(st.sampled_from(_CHARACTERS), 8) if texts is None else texts
    scalars = {
        "str": text,
        "int": st.one_of(st.integers(-9, 99), st.integers()),
        "float": st.floats(**_FINITE),
        "bool": st.booleans(),
        "null": st.none(),
    }
    zones = st.integers(-_DAY, _DAY).map(_zone)
    name = joined(st.sampled_from(_CHARACTERS.replace("/", "")), 5)
    letters = joined(st.sampled_from("ab Cd-_0"), 5)
    return scalars | {
        "json": st.recursive(
            st.one_of(list(scalars.values())),
            lambda inner: st.one_of(
                st.lists(inner, max_size=_MOST), st.dictionaries(text, inner, max_size=_MOST)
            ),
            max_leaves=6,
        ),
        "bytes": written("bytes", st.lists(st.integers(0, 255), max_size=8).map(bytes)),
        "date": written("date", st.dates()),
        "datetime": written(
            "datetime", st.datetimes(timezones=zones).map(lambda moment: moment.replace(fold=0))
        ),
        "time": written("time", st.times().map(lambda moment: moment.replace(fold=0))),
        "timedelta": written("timedelta", st.timedeltas()),
        "decimal": written("decimal", st.decimals(**_FINITE)),
        "uuid": written("uuid", st.uuids()),
        "path": written("path", _path(st, PurePosixPath, ["", "/"], name)),
        "windows-path": written("windows-path", _path(st, PureWindowsPath, ["", "C:\\"], letters)),
    }


def _path(st: Any, kind: Callable[..., Any], roots: list[str], name: Any) -> Any:
    names = st.lists(name, max_size=3)
    return st.builds(lambda root, parts: kind(root, *parts), st.sampled_from(roots), names)


def _zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes)) if minutes else UTC
