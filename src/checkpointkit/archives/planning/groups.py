"""Which containers are together in a pod or a namespace, and which of them are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from checkpointkit.archives.planning.limits import Piles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from checkpointkit.archives.model import Container
    from checkpointkit.archives.planning.ledger import Ledger, Pile
    from checkpointkit.archives.policies import Policy

__all__ = ["Groups"]

# The names of a namespace, of a pod, or of a container, from wide to narrow.
_Key: TypeAlias = "tuple[str, ...]"


class Groups:
    """The groups of an inventory, narrow to wide."""

    def __init__(
        self, ledger: Ledger, policy: Policy, touched: Collection[Container] | None
    ) -> None:
        """Take the archives.

        Args:
            ledger: The archives.
            policy: Whose limits are asked for.
            touched: The containers whose groups are looked at; None for all.
        """
        self._ledger = ledger
        self._policy = policy
        self._touched: set[_Key] | None = None
        if touched is not None:
            self._touched = {key for each in touched for key in self._keys(each)}
        self._containers: list[Pile] = []
        self._pods: dict[_Key, list[Pile]] = {}
        self._namespaces: dict[_Key, list[Pile]] = {}
        self._reached: list[Pile] = []
        for pile in ledger.piles.values():
            self._place(pile)

    def reached(self) -> list[Pile]:
        """Return the containers that are in a group which is looked at."""
        return self._reached

    def limits(self) -> Iterator[tuple[Piles, str, int | None]]:
        """Return each limit: the group, the rule, and what it allows; None for whatever it is."""
        ledger, policy = self._ledger, self._policy
        for pile in self._containers:
            count, size = pile.terms.container_count, pile.terms.container_size
            if count is not None or size is not None:
                group = Piles(ledger, str(pile.container), [pile])
                yield group, "container-count", count
                yield group, "container-size", size
        for (namespace, pod), piles in self._pods.items():
            terms = ledger.terms_of(policy.rules_of_pod(namespace, pod))
            group = Piles(ledger, f"{namespace}/{pod}", piles)
            yield group, "pod-count", terms.pod_count
            yield group, "pod-size", terms.pod_size
        for (namespace,), piles in self._namespaces.items():
            terms = ledger.terms_of(policy.rules_of_namespace(namespace))
            group = Piles(ledger, namespace, piles)
            yield group, "namespace-count", terms.namespace_count
            yield group, "namespace-size", terms.namespace_size

    def _place(self, pile: Pile) -> None:
        keys = self._keys(pile.container)
        if self._touched is not None:
            keys = tuple(key for key in keys if key in self._touched)
        for key in keys:
            match len(key):
                case 3:
                    self._containers.append(pile)
                case 2:
                    self._pods.setdefault(key, []).append(pile)
                case _:
                    self._namespaces.setdefault(key, []).append(pile)
        if keys:
            self._reached.append(pile)

    def _keys(self, container: Container) -> tuple[_Key, ...]:
        """Return the groups that a container is in, narrow to wide."""
        policy = self._policy
        of_container = (container.namespace, container.pod, container.container)
        keys = (of_container, of_container[:2], of_container[:1])
        if not policy.exclusive:
            return keys
        if container in policy.containers:
            return keys[:1]
        if keys[1] in policy.pods:
            return keys[1:2]
        return keys[2:] if container.namespace in policy.namespaces else keys
