"""Sets of CPUs as `k8s.io/utils/cpuset` reads and writes them. Pure."""

from __future__ import annotations

import re
from typing import Final

from checkpointkit.kubelet.gotext import quote

__all__ = ["MAX_CPUS", "CpuSetError", "format_cpus", "parse_cpus"]

MAX_CPUS: Final = 1 << 16
"""More CPUs in one set are refused; the kubelet itself would go on until its memory ends."""

_INT: Final = re.compile(r"[-+]?[0-9]+")
_MOST_DIGITS: Final = 25


class CpuSetError(ValueError):
    """The text is no set of CPUs; the message is Go's."""


def _number(text: str) -> int:
    if not _INT.fullmatch(text) or not text.isascii():
        raise CpuSetError(f"strconv.Atoi: parsing {quote(text)}: invalid syntax")
    digits = text.lstrip("+-").lstrip("0") or "0"
    if (
        len(digits) > _MOST_DIGITS
        or not -(2**63) <= int(text[:1].strip("+0123456789") + digits) < 2**63
    ):
        raise CpuSetError(f"strconv.Atoi: parsing {quote(text)}: value out of range")
    return int(text)


def parse_cpus(text: str) -> tuple[int, ...]:
    """Return the CPUs of a text, each once and in order.

    Raises:
        CpuSetError: It is no such text, or names more than `MAX_CPUS`.

    Example:
        >>> parse_cpus("0-2,8,1")
        (0, 1, 2, 8)
    """
    cpus: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        start = _number(first)
        end = _number(last) if dash else start
        if start > end:
            raise CpuSetError(f"invalid range {quote(part)} ({start} > {end})")
        if end - start >= MAX_CPUS or len(cpus) > MAX_CPUS:
            raise CpuSetError(f"more than {MAX_CPUS} CPUs")
        cpus.update(range(start, end + 1))
    return tuple(sorted(cpus))


def format_cpus(cpus: tuple[int, ...]) -> str:
    """Return the canonical text of CPUs that are in order.

    Example:
        >>> format_cpus((0, 1, 2, 8))
        '0-2,8'
    """
    parts: list[str] = []
    start = 0
    while start < len(cpus):
        end = start
        while end + 1 < len(cpus) and cpus[end + 1] == cpus[end] + 1:
            end += 1
        parts.append(f"{cpus[start]}" if start == end else f"{cpus[start]}-{cpus[end]}")
        start = end + 1
    return ",".join(parts)
