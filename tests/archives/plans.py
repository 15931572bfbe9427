"""What the examples of plans have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checkpointkit.archives.model import Archive, Container
from checkpointkit.archives.plan import Decision, Plan, plan
from checkpointkit.archives.policies import Policy, Rules
from tests.archives.strategies import HOUR, NOW, NOW_NS, archive

APP = Container("default", "web", "app")
SIDE = Container("default", "web", "side")
DB = Container("default", "db", "app")
PROD = Container("prod", "web", "app")


def some(container: Container | None, count: int, first: str = "", **changes: Any) -> list[Archive]:
    """Return archives of a container, an hour apart; the one of number 0 is the oldest."""
    name = first or (container.container if container else "none")
    return [
        archive(f"{name}-{n}", container, mtime_ns=NOW_NS - (100 - n) * HOUR, **changes)
        for n in range(count)
    ]


def gone(made: Plan) -> list[str]:
    return [each.archive.name for each in made.deletions]


def of(made: Plan, name: str) -> Decision:
    return next(each for each in made.decisions if each.archive.name == name)


def go(archives: Sequence[Archive], rules: Rules, **options: Any) -> Plan:
    return plan(archives, Policy(rules=rules), NOW, **options)
