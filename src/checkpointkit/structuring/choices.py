"""The codecs of types with a fixed set of values: `Enum`, `Literal` and `Flag`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.fingerprint import in_order
from checkpointkit.structuring.codecs import Codec, always, check_int
from checkpointkit.structuring.misfit import Misfit, expected

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Sequence


def choice(name: str, values: Sequence[tuple[Any, Any]], plain: bool) -> Codec:
    """Return the codec of an `Enum` or a `Literal`.

    Args:
        name: What is expected, for messages.
        values: Each value with its payload, a scalar.
        plain: The values are their own payloads.

    Raises:
        ValueError: Two values have the same payload.
    """
    loads = {_exact(data): value for value, data in values}
    dumps = {_exact(value): data for value, data in values}
    if len(loads) != len(dumps):
        raise ValueError("two values are the same on the wire")

    def taken_from(table: dict[Any, Any]) -> Callable[..., Any]:
        types = {kind for kind, _ in table}

        def take(found: Any, _: Any = None) -> Any:
            kind = type(found)
            if kind not in types:  # such a thing may have no hash
                raise expected(name, found)
            try:
                return table[_exact(found)]
            except KeyError:
                pass
            raise Misfit(f"{kind.__name__} that is no value of {name}")

        return take

    return Codec(
        taken_from(loads),
        taken_from(dumps),
        always({"enum": in_order(data for _, data in values)}),
        {type(data) for _, data in values},
        plain=plain,
    )


def _exact(value: Any) -> tuple[type, Any]:
    # 1, 1.0 and True are equal and have one hash, and so have 0.0 and -0.0.
    kind = type(value)
    return kind, repr(value) if kind is float else value


def flag(cls: type[enum.Flag]) -> Codec:
    """Return the codec of a `Flag`: an int of the bits that have a name.

    Raises:
        ValueError: A member has a value that is no int.
    """
    values = [member._value_ for member in cls.__members__.values()]
    if not all(type(value) is int for value in values):
        raise ValueError("has a value that is no int")
    bits: list[Any] = sorted(
        {1 << i for value in values for i in range(value.bit_length()) if value >> i & 1}
    )

    def load(data: Any, _: Any = None) -> Any:
        check_int(data)
        try:
            value = cls(data)
        except ValueError:
            value = None
        # What becomes of unknown bits is up to the class: here they are refused.
        if value is None or type(value) is not cls or value._value_ != data or data & ~sum(bits):
            raise Misfit(f"int that is no value of {cls.__name__}")
        return value

    def dump(value: Any) -> int:
        if type(value) is not cls:
            raise expected(cls.__name__, value)
        data: int = value._value_
        load(data)
        return data

    return Codec(load, dump, always({"flag": bits}), (int,))
