"""The codecs of what `hooks.py` describes: foreign types, and unions of classes with a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.fingerprint import canonical
from checkpointkit.structuring.codecs import Codec, always, plain_data
from checkpointkit.structuring.misfit import PASSING, Misfit, expected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit.structuring.hooks import Hook


def foreign(hook: Hook[Any], gathering: bool) -> Codec:
    """Return the codec of a hook, with both directions checked each time."""
    plain = plain_data(gathering)
    kind = hook.cls if isinstance(hook.cls, type) else object

    def call(function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return function(argument)
        except PASSING:
            raise
        except Exception as error:  # noqa: BLE001 - foreign code
            problem = f"the hook {hook.wire} raised {type(error).__name__}"
        raise Misfit(problem)

    def load(data: Any, _: Any = None) -> Any:
        data = plain.load(data)
        text = canonical(data)  # now, as the hook may change its data
        value = call(hook.load, data)
        if not isinstance(value, kind):
            raise expected(kind.__name__, value)
        if canonical(plain.dump(call(hook.dump, value))) != text:
            raise Misfit(f"the hook {hook.wire} would write something else")
        return value

    def dump(value: Any) -> Any:
        if not isinstance(value, kind):
            raise expected(kind.__name__, value)
        data = plain.dump(call(hook.dump, value))
        back = load(data)
        if type(back) is not type(value):
            raise Misfit(f"the hook {hook.wire} gives back a {type(back).__name__}")
        if _has_equality(type(value)) and not call(lambda value: bool(back == value), value):
            raise Misfit(f"the hook {hook.wire} does not give the value back")
        return data

    hashable = getattr(kind, "__hash__", None) is not None
    return Codec(load, dump, always({"hook": hook.wire}), hashable=hashable)


def _has_equality(kind: type[Any]) -> bool:
    return any("__eq__" in vars(base) for base in kind.__mro__[:-1])


def tagged_union(field: str, classes: Mapping[str, tuple[type[Any], Codec]]) -> Codec:
    """Return the codec of a union of classes, each with its tag and the codec of its record."""
    loads = {tag: codec.load for tag, (_, codec) in classes.items()}
    dumps = {cls: (tag, codec.dump) for tag, (cls, codec) in classes.items()}
    names = " or ".join(cls.__name__ for cls in dumps)

    def load(data: Any, _: Any = None) -> Any:
        if type(data) is not dict:
            raise expected("dict", data)
        tag = data.get(field)
        if type(tag) is not str or tag not in loads:
            raise Misfit(f"has no known tag in {field!r}")
        return loads[tag]({key: part for key, part in data.items() if key != field})

    def dump(value: Any) -> dict[str, Any]:
        kind = type(value)
        if kind not in dumps:
            raise expected(names, value)
        tag, dump_record = dumps[kind]
        return {field: tag, **dump_record(value)}

    return Codec(
        load,
        dump,
        lambda part: {"tagged": [field, {tag: part(codec) for tag, (_, codec) in classes.items()}]},
        (dict,),
        hashable=all(codec.hashable for _, codec in classes.values()),
    )
