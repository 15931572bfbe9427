"""Kubernetes quantities as exact numbers.

The grammar is that of `k8s.io/apimachinery/pkg/api/resource/quantity.go`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

__all__ = ["parse_quantity"]

_QUANTITY = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,3})?", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse_quantity(value: Any) -> Fraction | None:
    """Return what a quantity is worth; None if it is none.

    Example:
        >>> parse_quantity("1.5Gi"), parse_quantity("500m"), parse_quantity(2), parse_quantity("x")
        (Fraction(1610612736, 1), Fraction(1, 2), Fraction(2, 1), None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = Fraction(match[1]), match[2] or ""
    if suffix.endswith("i"):
        return number * Fraction(2) ** (10 * (" KMGTPE".index(suffix[0])))
    if suffix[:1] in ("e", "E") and suffix[1:]:
        return number * Fraction(10) ** int(suffix[1:])
    return number * Fraction(10) ** _DECIMAL[suffix]
