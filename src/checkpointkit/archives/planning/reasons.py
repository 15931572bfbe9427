"""Why an archive goes or stays: the rule, of which group, and which number; and all that in words.

A reason is one for all archives that have it, and its words are made when somebody asks.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.archives.amounts import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpointkit.archives.model import Archive

__all__ = ["KEEP_RULES", "RULES", "Reason", "Unmet", "group_text", "words"]

KEEP_RULES: Final = (
    "keep-last",
    "keep-within",
    "keep-hourly",
    "keep-daily",
    "keep-weekly",
    "keep-monthly",
    "keep-yearly",
)
"""The rules that keep what they select."""

RULES: Final = (
    "other",
    "pod-checkpoint",
    "in-flight",
    "unreadable",
    "unknown",
    "undated",
    "min-age",
    "pinned",
    "broken",
    "floor",
    "keep-last",
    "keep-within",
    "keep-hourly",
    "keep-daily",
    "keep-weekly",
    "keep-monthly",
    "keep-yearly",
    "no-rule",
    "quarantine-count",
    "quarantine-size",
    "expired",
    "orphan",
    "max-age",
    "max-size",
    "container-count",
    "container-size",
    "pod-count",
    "pod-size",
    "namespace-count",
    "namespace-size",
    "directory-count",
    "directory-size",
    "min-free",
    "watermark",
)
"""What a reason may be: first what keeps, then what deletes, in the order in which it is asked."""

_UNNAMED_GROUPS: Final = ("directory", "quarantine", "file system")


@frozen
class Reason:
    """Why an archive goes or stays.

    Attributes:
        rule: Which rule says so, of `RULES`.
        delete: Whether it goes.
        group: Whose rule it is: a container, a pod, a namespace as it is named, `directory`,
            `quarantine` or `file system`; for an orphan what of it is gone. Empty elsewhere.
        wanted: What the rule allows: archives, bytes or nanoseconds.
        found: What was there: archives or bytes.
        kept: The keep rules that select the archive, each with its number or its nanoseconds.
    """

    rule: str
    delete: bool = False
    group: str = ""
    wanted: int = 0
    found: int = 0
    kept: tuple[tuple[str, int], ...] = ()


@frozen
class Unmet:
    """A limit that does not hold, though all went that may go.

    Attributes:
        rule: Which limit, of `RULES`.
        group: Whose: as in `Reason`.
        wanted: What it allows: archives or bytes; for `min-free` the bytes that are to be free.
        left: What is left; for `min-free` the bytes that will be free.
        blocked: Why that does not go: the rules that keep it, and how many archives each.
    """

    rule: str
    group: str
    wanted: int
    left: int
    blocked: Mapping[str, int]

    @property
    def words(self) -> str:
        """All of it, for a person."""
        whose = group_text(self.rule, self.group)
        if self.rule == "min-free":
            text = f"{_about(self.left)} will be free, {_about(self.wanted)} have to be"
        elif self.rule == "watermark":
            text = f"{_about(self.left)} stay in use, {_about(self.wanted)} are allowed"
        else:
            number = _number(self.rule)
            text = f"{whose} keeps {number(self.left)}, {_allowed(self.rule, self.wanted)}"
        why = ", ".join(f"{count} {_BLOCKS[rule]}" for rule, count in self.blocked.items())
        return f"{text}: {why or 'nothing here can go'}"


def group_text(rule: str, group: str) -> str:
    """Return a group as it is spoken of.

    Args:
        rule: The rule that speaks of it.
        group: Its name.

    Example:
        >>> group_text("pod-count", "default/web")
        'the pod default/web'
    """
    if group in _UNNAMED_GROUPS and not rule.startswith(("container", "pod", "namespace")):
        return f"the {group}"
    return f"the {rule.partition('-')[0]} {group}"


def words(archive: Archive, reason: Reason) -> str:
    """Return why an archive goes or stays, for a person.

    Args:
        archive: The archive.
        reason: The reason.

    Example:
        >>> from checkpointkit.archives.model import Archive, State
        >>> archive = Archive(
        ...     name="a.tar",
        ...     size=1,
        ...     device=1,
        ...     inode=1,
        ...     mtime_ns=1,
        ...     ctime_ns=1,
        ...     state=State.COMPLETE,
        ... )
        >>> words(archive, Reason("namespace-count", True, "prod", wanted=30, found=31))
        'the namespace prod has 31 archives, 30 are allowed'
    """
    text = _WORDS.get(reason.rule, _limit)(archive, reason)
    if reason.kept and not reason.rule.startswith("keep-"):
        text = f"{text}; {_kept(archive, reason)}"
    return text


def _kept(_: Archive, reason: Reason) -> str:
    chosen = [_SELECTED[rule].format(_keep_number(rule, number)) for rule, number in reason.kept]
    return "one of " + ", and of ".join(chosen)


def _keep_number(rule: str, number: int) -> str:
    return _time(number) if rule == "keep-within" else str(number)


_SELECTED: Final[Mapping[str, str]] = {
    "keep-last": "the newest {} of its container",
    "keep-within": "those of {} before its container's newest",
    "keep-hourly": "the newest of {} hours",
    "keep-daily": "the newest of {} days",
    "keep-weekly": "the newest of {} weeks",
    "keep-monthly": "the newest of {} months",
    "keep-yearly": "the newest of {} years",
}


def _limit(_: Archive, reason: Reason) -> str:
    whose = group_text(reason.rule, reason.group)
    number = _number(reason.rule)
    return f"{whose} has {number(reason.found)}, {_allowed(reason.rule, reason.wanted)}"


def _number(rule: str) -> Callable[[int], str]:
    return _about if rule.endswith("-size") else _archives


def _allowed(rule: str, wanted: int) -> str:
    if rule.endswith("-size"):
        return f"{size_text(wanted)} are allowed"
    return f"{wanted} {'is' if wanted == 1 else 'are'} allowed"


def _archives(count: int) -> str:
    return f"{count} archive" if count == 1 else f"{count} archives"


def _about(size: int) -> str:
    """Return a size that was measured: its digits after the second say nothing to a person."""
    power = min((max(size, 1).bit_length() - 1) // 10, len(_UNITS))
    if not power:
        return f"{size} B"
    return f"{size / 2 ** (10 * power):.2f} {_UNITS[power - 1]}B"


_UNITS: Final = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def _time(length_ns: int) -> str:
    return duration_text(timedelta(microseconds=length_ns // 1000))


def _pinned(archive: Archive, _: Reason) -> str:
    return f"pinned by {', '.join(archive.pins)}"


def _broken(archive: Archive, _: Reason) -> str:
    return f"broken: {archive.problem}" if archive.problem else "broken"


def _unreadable(archive: Archive, _: Reason) -> str:
    return f"not readable: {archive.problem}" if archive.problem else "not readable"


def _unknown(archive: Archive, _: Reason) -> str:
    text = "nobody knows whose it is"
    return f"{text}: {archive.problem}" if archive.problem else text


def _floor(archive: Archive, _: Reason) -> str:
    return f"newest complete archive of {archive.container}, always kept"


def _orphan(archive: Archive, reason: Reason) -> str:
    waited = f" for more than {_time(reason.wanted)}" if reason.wanted else ""
    return f"the {reason.group} of {archive.container} is gone{waited}"


def _max_size(archive: Archive, reason: Reason) -> str:
    return f"{_about(archive.size)} large, {size_text(reason.wanted)} are allowed"


def _min_free(_: Archive, reason: Reason) -> str:
    return f"{_about(reason.found)} are free, {_about(reason.wanted)} have to be"


def _watermark(_: Archive, reason: Reason) -> str:
    return f"{_about(reason.found)} are in use, archives go down to {_about(reason.wanted)}"


_WORDS: Final[Mapping[str, Callable[[Archive, Reason], str]]] = {
    "other": lambda *_: "no regular file, never touched",
    "pod-checkpoint": lambda *_: "a pod checkpoint of the kubelet's, never touched",
    "in-flight": lambda *_: "it may still be written",
    "unreadable": _unreadable,
    "unknown": _unknown,
    "undated": lambda *_: "all its times lie ahead of the clock: nobody knows how old it is",
    "min-age": lambda _, reason: f"younger than {_time(reason.wanted)}",
    "pinned": _pinned,
    "broken": _broken,
    "floor": _floor,
    **dict.fromkeys(KEEP_RULES, _kept),
    "no-rule": lambda *_: "no rule says that it goes",
    "expired": lambda *_: "no keep rule selects it",
    "orphan": _orphan,
    "max-age": lambda _, reason: f"older than {_time(reason.wanted)}",
    "max-size": _max_size,
    "min-free": _min_free,
    "watermark": _watermark,
}

_BLOCKS: Final[Mapping[str, str]] = {
    "other": "that are no regular files",
    "pod-checkpoint": "pod checkpoints of the kubelet's",
    "in-flight": "that may still be written",
    "unreadable": "that cannot be read",
    "unknown": "of which nobody knows whose they are",
    "undated": "of times ahead of the clock",
    "min-age": "too young",
    "pinned": "pinned",
    "broken": "broken",
    "floor": "newest of its container",
}
