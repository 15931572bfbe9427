"""What a kubelet demands of the resources of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.kubernetes.grammar import is_qualified_name
from checkpointkit.kubernetes.quantity import parse_quantity
from checkpointkit.pods.rules.decoding import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction

__all__ = ["resource_refusals"]

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_HUGE = "hugepages-"


def resource_refusals(resources: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    """Yield what in decoded resource requirements breaks a rule.

    Example:
        >>> for each in resource_refusals({"requests": {"hugepages-2Mi": "2Mi"}}, "resources"):
        ...     print(each.text())
        resources.limits[hugepages-2Mi]: is missing, which a resource that is never shared needs
        resources: has huge pages without cpu or memory
    """
    limits = _amounts(resources.get("limits", {}))
    requests = _amounts(resources.get("requests", {}))
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            yield from _amount(name, amount, f"{path}.{side}[{name}]")
    for name, amount in requests.items():
        if name in limits and amount > limits[name]:
            yield Refusal(f"{path}.requests[{name}]", "is more than the limit")
        if _shared(name):
            continue
        if name not in limits:
            needed = "is missing, which a resource that is never shared needs"
            yield Refusal(f"{path}.limits[{name}]", needed)
        elif amount < limits[name]:
            yield Refusal(f"{path}.requests[{name}]", "differs from the limit")
    names = {*limits, *requests}
    if any(name.startswith(_HUGE) for name in names) and not names & {"cpu", "memory"}:
        yield Refusal(path, "has huge pages without cpu or memory")


def _amounts(texts: Mapping[str, Any]) -> dict[str, Fraction]:
    parsed = {name: parse_quantity(text) for name, text in texts.items()}
    return {name: amount for name, amount in parsed.items() if amount is not None}


def _amount(name: str, amount: Fraction, path: str) -> Iterator[Refusal]:
    native = "/" not in name or name.partition("/")[0].endswith("kubernetes.io")
    if not is_qualified_name(name):
        yield Refusal(path, "is no name for a resource")
    elif "/" not in name and name not in _STANDARD and not name.startswith(_HUGE):
        yield Refusal(path, "is no resource of containers")
    elif not native and name.startswith("requests."):
        yield Refusal(path, "is no name for an extended resource")
    if amount < 0:
        yield Refusal(path, "is negative")
    elif not native and amount.denominator != 1:
        yield Refusal(path, "is no whole number")
    elif name.startswith(_HUGE):
        size = parse_quantity(name.removeprefix(_HUGE))
        if not size or amount % size:
            yield Refusal(path, "is no whole number of huge pages")


def _shared(name: str) -> bool:
    """Tell whether less may be asked for than is allowed: not so for huge pages and devices."""
    native = "/" not in name or name.partition("/")[0].endswith("kubernetes.io")
    return native and not name.startswith(_HUGE)
