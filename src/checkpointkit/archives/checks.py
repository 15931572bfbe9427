"""What the fields of a policy may be: validators of attrs that say what to write instead."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

from checkpointkit.archives.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    from attrs import Attribute

    Check: TypeAlias = Callable[[Any, Attribute[Any], Any], None]

__all__ = ["flag", "instance", "length_of_time", "number", "or_value", "percent", "wait"]

_NOTHING: Final = timedelta()
_HUNDRED: Final = 100
_OFF: Final = "write `none` to switch it off"


def number(_: object, attribute: Attribute[Any], value: object) -> None:
    """Let whole numbers from 1 pass, and None.

    Raises:
        PolicyError: It is anything else.
    """
    if value is None:
        return
    if not _is_number(value):
        raise PolicyError(attribute.name, f"it has to be a whole number, not {_type(value)}")
    if value <= 0:
        reason = f"{value} would leave nothing; write a number from 1, or {_OFF}"
        raise PolicyError(attribute.name, reason)


def length_of_time(_: object, attribute: Attribute[Any], value: object) -> None:
    """Let lengths of time pass that are longer than nothing, and None.

    Raises:
        PolicyError: It is anything else.
    """
    if value is None:
        return
    if not isinstance(value, timedelta):
        raise PolicyError(attribute.name, f"it has to be a length of time, not {_type(value)}")
    if value <= _NOTHING:
        reason = f"a length of time has to be longer than nothing; {_OFF}"
        raise PolicyError(attribute.name, reason)


def wait(_: object, attribute: Attribute[Any], value: object) -> None:
    """Let lengths of time pass that are not negative.

    Raises:
        PolicyError: It is anything else.
    """
    if not isinstance(value, timedelta) or value < _NOTHING:
        raise PolicyError(attribute.name, "it has to be a length of time that is not negative")


def percent(_: object, attribute: Attribute[Any], value: object) -> None:
    """Let shares pass that are above 0 and below 100.

    Raises:
        PolicyError: It is anything else.
    """
    if not (isinstance(value, float) or _is_number(value)) or not 0 < value < _HUNDRED:
        raise PolicyError(attribute.name, "a share has to be above 0 % and below 100 %")


def flag(_: object, attribute: Attribute[Any], value: object) -> None:
    """Let true and false pass.

    Raises:
        PolicyError: It is anything else.
    """
    if not isinstance(value, bool):
        raise PolicyError(attribute.name, f"it has to be true or false, not {_type(value)}")


def instance(*kinds: type) -> Check:
    """Return a validator that lets values of these types pass.

    Raises:
        PolicyError: By the validator: it is anything else.
    """

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise PolicyError(attribute.name, f"it has to be {wanted}, not {_type(value)}")

    return check


def or_value(other: Enum | type | None, check: Check) -> Check:
    """Return a validator that lets a value pass, or those of a type, and asks another for the rest.

    Args:
        other: The value or the type.
        check: The other.
    """

    def either(of: object, attribute: Attribute[Any], value: object) -> None:
        if value is not other and not (isinstance(other, type) and isinstance(value, other)):
            check(of, attribute, value)

    return either


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _type(value: object) -> str:
    return "none" if value is None else type(value).__name__
