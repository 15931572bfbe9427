"""The fields of a policy file: what each is called, what it sets, how it is read and written."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from checkpointkit.archives.amounts import (
    LARGEST_COUNT,
    duration_text,
    parse_duration,
    parse_share,
    parse_size,
    quantity_text,
    share_text,
)
from checkpointkit.archives.calendar import zone_of
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import Level
from checkpointkit.archives.policies import Order, OrphanRule, Quarantine, Watermarks
from checkpointkit.kubernetes.grammar import is_label, is_subdomain

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    from checkpointkit.archives.policies import Percent

__all__ = [
    "API_VERSION",
    "DIRECTORY",
    "ENTRIES",
    "GENERAL",
    "KEEP",
    "KIND",
    "NONE",
    "RULES",
    "Group",
    "Kind",
    "Of",
    "quoted",
]

API_VERSION: Final = "checkpointkit/v1"
KIND: Final = "RetentionPolicy"
NONE: Final = "none"
"""What switches a field off."""

_WHOLE: Final = re.compile(r"[1-9][0-9]{0,15}")
_NOTHING: Final = re.compile(r"-[0-9.]+|0+")
_BARE: Final = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_SMALLEST: Final = 4096
"""No archive is smaller: it holds a page of memory at least, and what describes it."""
_PLAIN: Final = re.compile(r"[A-Za-z][-A-Za-z0-9._/+]*")
_ELSEWHERE: Final = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""Words that other readers of YAML take for something else than a text."""


@frozen
class Kind:
    """How a value is read and written.

    Attributes:
        read: Makes it of the text, and the place for an error.
        write: Makes the text of it.
        can_be_off: Whether `none` may stand there.
    """

    read: Callable[[str, str], Any]
    write: Callable[[Any], str]
    can_be_off: bool = True


@frozen
class Group:
    """A mapping within the file.

    Attributes:
        make: Makes the value of its fields.
        fields: Its fields, by name.
        needed: Those that have to be there.
    """

    make: Callable[..., Any]
    fields: dict[str, Of]
    needed: tuple[str, ...] = ()


@frozen
class Of:
    """What a field sets.

    Attributes:
        attribute: The attribute of the value.
        kind: How it is read.
    """

    attribute: str
    kind: Kind | Group


def _count(text: str, where: str) -> int:
    if _NOTHING.fullmatch(text):
        raise PolicyError(where, f"has to be above 0; write {NONE} to switch it off")
    if not _WHOLE.fullmatch(text):
        raise PolicyError(where, f"has to be a whole number in plain digits, or {NONE}")
    if int(text) > LARGEST_COUNT:
        raise PolicyError(where, f"is more than {LARGEST_COUNT}; write {NONE} for no limit")
    return int(text)


def _flag(text: str, where: str) -> bool:
    if text not in ("true", "false"):
        raise PolicyError(where, "has to be true or false")
    return text == "true"


def _one_of(choices: type[Enum], *left_out: Enum) -> Kind:
    words = {str(each.value): each for each in choices if each not in left_out}

    def read(text: str, where: str) -> Enum:
        if text not in words:
            raise PolicyError(where, f"has to be one of: {', '.join(words)}")
        return words[text]

    return Kind(read, lambda choice: str(choice.value), can_be_off=False)


def _size(text: str, where: str) -> int:
    size = parse_size(text, where)
    if size < _SMALLEST and _BARE.fullmatch(text):
        raise PolicyError(
            where, "a bare number is bytes, and no archive is that small; write 500Mi or 10Gi"
        )
    return size


def _share(text: str, where: str) -> Percent | int:
    if _BARE.fullmatch(text):
        raise PolicyError(
            where, "a bare number may mean per cent or bytes; write 85% or 85Gi, for example"
        )
    return parse_share(text, where)


def _with_unit(text: str) -> str:
    return f"{text} B" if text.isdecimal() else text


def _grace(text: str, where: str) -> timedelta:
    return timedelta() if text == NONE else parse_duration(text, where)


def _zone(text: str, where: str) -> str:
    try:
        zone_of(text)
    except PolicyError as error:
        raise PolicyError(
            where, "is no time zone; write Europe/Berlin or UTC, for example"
        ) from error
    return text


def _directory(text: str, where: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise PolicyError(where, "has to be an absolute path, such as /var/lib/kubelet/checkpoints")
    return text


def _name(what: str, is_good: Callable[[str], bool]) -> Kind:
    def read(text: str, where: str) -> str:
        if not is_good(text):
            raise PolicyError(where, f"is no name of a {what}; patterns are not read here")
        return text

    return Kind(read, quoted, can_be_off=False)


def quoted(text: str) -> str:
    r"""Return a text as it stands in YAML: plain where every reader takes it for a text.

    Example:
        >>> print(quoted("web-0"), quoted("true"), quoted("a\nb"))
        web-0 "true" "a\U0000000ab"
    """
    if _PLAIN.fullmatch(text) and text.lower() not in (*_ELSEWHERE, NONE):
        return text
    shown = (
        each if " " <= each <= "~" and each not in '"\\' else f"\\U{ord(each):08x}" for each in text
    )
    return f'"{"".join(shown)}"'


COUNT: Final = Kind(_count, str)
SIZE: Final = Kind(_size, lambda size: _with_unit(quantity_text(size)))
DURATION: Final = Kind(parse_duration, duration_text)
SHARE: Final = Kind(_share, lambda share: _with_unit(share_text(share)))
_MARK: Final = evolve(SHARE, can_be_off=False)
FLAG: Final = Kind(_flag, lambda flag: str(flag).lower(), can_be_off=False)

_ORPHANS: Final = Group(
    OrphanRule,
    {
        "grace": Of(
            "grace",
            Kind(_grace, lambda grace: duration_text(grace) if grace else NONE, can_be_off=False),
        ),
        "gone": Of("gone", _one_of(Level, Level.DIRECTORY)),
    },
    needed=("grace",),
)
_WATERMARKS: Final = Group(
    Watermarks,
    {
        "high": Of("high", _MARK),
        "low": Of("low", _MARK),
    },
    needed=("high", "low"),
)
_QUARANTINE: Final = Group(
    Quarantine,
    {"maxCheckpoints": Of("count", COUNT), "maxTotalSize": Of("size", SIZE)},
)

KEEP: Final = {
    "keepLast": Of("keep_last", COUNT),
    "keepWithin": Of("keep_within", DURATION),
    "keepHourly": Of("keep_hourly", COUNT),
    "keepDaily": Of("keep_daily", COUNT),
    "keepWeekly": Of("keep_weekly", COUNT),
    "keepMonthly": Of("keep_monthly", COUNT),
    "keepYearly": Of("keep_yearly", COUNT),
}
"""What is kept of each container."""

_OF_CONTAINER: Final = {
    **KEEP,
    "maxAge": Of("max_age", DURATION),
    "maxCheckpointSize": Of("max_size", SIZE),
    "minAge": Of("min_age", DURATION),
    "orphans": Of("orphans", _ORPHANS),
    "allowEmpty": Of("allow_empty", FLAG),
    "maxCheckpointsPerContainer": Of("container_count", COUNT),
    "maxTotalSizePerContainer": Of("container_size", SIZE),
}
_OF_POD: Final = {
    **_OF_CONTAINER,
    "maxCheckpointsPerPod": Of("pod_count", COUNT),
    "maxTotalSizePerPod": Of("pod_size", SIZE),
}
RULES: Final = {
    **_OF_POD,
    "maxCheckpointsPerNamespace": Of("namespace_count", COUNT),
    "maxTotalSizePerNamespace": Of("namespace_size", SIZE),
}
"""The fields of `Rules`."""

GENERAL: Final = {
    "maxCheckpointsPerDirectory": Of("directory_count", COUNT),
    "maxTotalSizePerDirectory": Of("directory_size", SIZE),
    "minFree": Of("min_free", SHARE),
    "watermarks": Of("watermarks", _WATERMARKS),
    "quarantine": Of("quarantine", _QUARANTINE),
    "timeZone": Of("timezone", Kind(_zone, quoted, can_be_off=False)),
    "order": Of("order", _one_of(Order)),
    "pinsCount": Of("pins_count", FLAG),
    "exclusive": Of("exclusive", FLAG),
    "namesCount": Of("names_count", FLAG),
}
"""The fields of `Policy`."""

DIRECTORY: Final = Kind(_directory, quoted, can_be_off=False)

_NAMESPACE: Final = {"namespace": _name("namespace", is_label)}
_POD: Final = {**_NAMESPACE, "pod": _name("pod", is_subdomain)}
_CONTAINER: Final = {**_POD, "container": _name("container", is_label)}

ENTRIES: Final = {
    "namespaces": (_NAMESPACE, RULES),
    "pods": (_POD, _OF_POD),
    "containers": (_CONTAINER, _OF_CONTAINER),
}
"""The lists of more specific policies: how an entry is named, and what may be in it."""
