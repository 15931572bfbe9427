"""A policy as the text of a policy file: what is in force, to be read, and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.archives.policies import INHERIT, Policy, Rules
from checkpointkit.archives.policyfiles.fields import (
    API_VERSION,
    DIRECTORY,
    ENTRIES,
    GENERAL,
    KIND,
    NONE,
    RULES,
    Group,
    Of,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["policy_text"]


def policy_text(policy: Policy, *, directory: str = "") -> str:
    """Return the text of a policy file with this policy.

    Args:
        policy: The policy.
        directory: The directory of the archives; empty leaves it out.

    Example:
        >>> from checkpointkit.archives.policies import Watermarks, Percent
        >>> marks = Watermarks(high=Percent(85), low=Percent(80))
        >>> of_web = {("shop", "web-0"): Rules(keep_last=5)}
        >>> print(policy_text(Policy(watermarks=marks, pods=of_web)), end="")
        apiVersion: checkpointkit/v1
        kind: RetentionPolicy
        maxCheckpointsPerContainer: 10
        watermarks:
          high: 85%
          low: 80%
        pods:
          - namespace: shop
            pod: web-0
            keepLast: 5
    """
    lines = [f"apiVersion: {API_VERSION}", f"kind: {KIND}"]
    if directory:
        lines.append(f"checkpointDirectory: {DIRECTORY.write(directory)}")
    # The reader has a default of its own for this one; so it is always there.
    count = policy.rules.container_count
    if count is INHERIT:
        lines.append(f"maxCheckpointsPerContainer: {NONE}")
    lines += _fields(policy.rules, RULES, INHERIT)
    plain = Policy()
    for name, of in GENERAL.items():
        if getattr(policy, of.attribute) != getattr(plain, of.attribute):
            lines += _fields(policy, {name: of}, INHERIT)
    specific: Mapping[str, Mapping[tuple[str, ...], Rules]] = {
        "namespaces": {(name,): rules for name, rules in policy.namespaces.items()},
        "pods": dict(policy.pods.items()),
        "containers": {
            (each.namespace, each.pod, each.container): rules
            for each, rules in policy.containers.items()
        },
    }
    for name, entries in specific.items():
        if entries:
            lines.append(f"{name}:")
        for names, rules in sorted(entries.items(), key=lambda entry: entry[0]):
            keys, table = ENTRIES[name]
            of_it = [f"{key}: {quoted(text)}" for key, text in zip(keys, names, strict=True)]
            of_it += _fields(rules, table, INHERIT)
            lines += [f"  {'-' if not at else ' '} {line}" for at, line in enumerate(of_it)]
    return "\n".join(lines) + "\n"


def _fields(value: Any, table: Mapping[str, Of], left_out: object) -> Iterator[str]:
    """Return the lines of those fields that are set."""
    for name, of in table.items():
        found = getattr(value, of.attribute)
        if found is left_out:
            continue
        if found is None:
            yield f"{name}: {NONE}"
        elif not isinstance(of.kind, Group):
            yield f"{name}: {of.kind.write(found)}"
        else:
            within = list(_fields(found, of.kind.fields, None))
            yield f"{name}:" if within else f"{name}: {{}}"
            yield from (f"  {line}" for line in within)
