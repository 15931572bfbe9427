"""Which parents of archives are gone, as somebody says who knows: here, a Kubernetes API server.

A parent is gone if that is confirmed. Whatever else comes of asking (no answer, an odd one, no
right to ask) leaves it as it is, with a line that says why.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from attrs import field, frozen

from checkpointkit.archives.model import Level
from checkpointkit.archives.watching.whereabouts import (
    Absent,
    Present,
    judge,
    read_namespace,
    read_pod,
)
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from checkpointkit.kubernetes.http import Http, decode
from checkpointkit.kubernetes.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from checkpointkit.archives.model import Container, Parent

__all__ = ["Answer", "KubernetesLookup", "Lookup"]

_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes; etcd takes no object of more than 1.5 MiB."""
_CLUSTER: Final = "kube-system"
_GOES_ON: Final = {200, 403, 404}
"""After any other status the API server has other troubles, and is left alone."""

_Pod = tuple[str, str]
"""A namespace, and the name of a pod in it."""


@frozen
class Answer:
    """What came of asking for parents.

    Attributes:
        cluster: Tells one cluster from another; empty where it is not known, and then nothing is
            gone.
        gone: The widest that is gone, of each parent that is confirmed to be gone.
        problems: Why others may be gone and are not known to be; a line each.
        there: The parents that are confirmed to be there: they tell that it is the right cluster.
    """

    cluster: str
    gone: Mapping[Parent, Level] = field(factory=dict)
    problems: tuple[str, ...] = ()
    there: frozenset[Parent] = frozenset()


class Lookup(Protocol):
    """Knows which parents are gone."""

    def look(self, parents: Collection[Parent]) -> Answer:
        """Return which of the parents are gone; it never fails, and ends in time.

        Args:
            parents: Those to ask for.
        """
        ...


class KubernetesLookup:
    """Asks a Kubernetes API server (a `Lookup`); made by `connect`.

    Each pod is asked for once, however many archives are of it. An answer counts for a while:
    a directory may change much more often than pods come and go. That a pod is gone counts so
    where its UID is known alone, for another of its name may come at any time.

    Args:
        http: The way to it.
        deadline: Seconds for all pods together; those that were not asked come first next time.
        fresh: Seconds for which an answer counts.
        clock: A clock that is never set.
    """

    def __init__(
        self, http: Http, *, deadline: float, fresh: float, clock: Callable[[], float]
    ) -> None:
        self._http = http
        self._deadline = deadline
        self._fresh = fresh
        self._clock = clock
        self._known = _Known()
        self._last: _Pod = "", ""

    @classmethod
    def connect(
        cls,
        kubeconfig: str | None = None,
        *,
        context: str | None = None,
        service_account: str = _SERVICE_ACCOUNT,
        timeout: float = 10.0,
        deadline: float = 60.0,
        fresh: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Return a look-up; nothing is asked yet, so that the API server need not be there.

        Its certificate is verified, always. It takes the rights to get pods and namespaces.

        Args:
            kubeconfig: The path of a kubeconfig file; None for the service account of the pod
                that this runs in.
            context: The context in the kubeconfig; None for its current one.
            service_account: The directory of the service account.
            timeout: Seconds for a request, all in all.
            deadline: Seconds for all pods together; the last request may go on beyond it.
            fresh: Seconds for which an answer counts.
            clock: A clock that is never set.

        Raises:
            SourceConfigError: The kubeconfig, or the service account, cannot be used.
            MissingExtraError: The extra `kubernetes` is not installed.
        """
        from checkpointkit.kubernetes.kubeconfig import ApiServerOpener  # noqa: PLC0415 - extra

        opener = ApiServerOpener(
            kubeconfig=kubeconfig,
            context=context,
            service_account=service_account,
            max_bytes=_MAX_BODY,
            clock=clock,
        )
        # Without patience: after the first request that fails, nothing more is asked anyway.
        never = Patience(slow=float("inf"))
        http = Http(opener, timeout=timeout, clock=clock, patience=never)
        return cls(http, deadline=deadline, fresh=fresh, clock=clock)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def look(self, parents: Collection[Parent]) -> Answer:
        """Return which of the parents are gone.

        Args:
            parents: Those to ask for.
        """
        asking = _Asking(self._http, self._clock, self._deadline)
        cluster = asking.cluster()
        if isinstance(cluster, Failed):
            return _unknown("", cluster.reason)
        known = self._known = self._known.of(cluster, parents)
        due = known.due(parents, since=self._clock() - self._fresh)
        pods = _by_pod(due, asking.problems)
        for pod in _beginning_behind(self._last, pods):
            if asking.is_over():
                asking.problems.add(pod, asking.why)
                continue
            self._last = pod
            self._ask(asking, pod, pods[pod])
        gone = {parent: level for parent, (_, level) in known.seen.items() if level is not None}
        again = asking.cluster() if known.seen else cluster
        if again != cluster:
            # A kubeconfig that was replaced in between: some answers may be of another cluster.
            self._known = _Known()
            why = again.reason if isinstance(again, Failed) else "it is another cluster now"
            return _unknown(cluster, why)
        self._known = known.lasting()
        there = frozenset(known.seen.keys() - gone.keys())
        return Answer(cluster, gone, asking.problems.lines(), there)

    def _ask(self, asking: _Asking, pod: _Pod, parents: list[Parent]) -> None:
        found = asking.pod(pod)
        for parent in parents:
            level = found if isinstance(found, Failed) else judge(parent, found)
            if isinstance(level, Failed):
                asking.problems.add(pod, level.reason)
                self._known.seen.pop(parent, None)
            else:
                self._known.seen[parent] = self._clock(), level


def _unknown(cluster: str, reason: str) -> Answer:
    return Answer(cluster, {}, (f"whose pods are gone is not known: {reason}",))


@frozen
class _Known:
    """What is known of parents: when it was said, and what is gone; None where they are there."""

    cluster: str = ""
    seen: dict[Parent, tuple[float, Level | None]] = field(factory=dict)

    def of(self, cluster: str, parents: Collection[Parent]) -> _Known:
        """Return what of it is said of these parents, by the same cluster."""
        if cluster != self.cluster:
            return _Known(cluster)
        both = [parent for parent in parents if parent in self.seen]
        return _Known(cluster, {parent: self.seen[parent] for parent in both})

    def due(self, parents: Collection[Parent], *, since: float) -> list[Parent]:
        """Return those that are to be asked for: nothing was said of them lately.

        What was gone before stays so until something else is said of it: where there are more
        pods than there is time to ask for, each would otherwise be gone anew each time.
        """
        return [each for each in parents if each not in self.seen or self.seen[each][0] < since]

    def lasting(self) -> _Known:
        """Return what counts beyond this look: a pod that goes by its name may come again."""
        lasting = {
            parent: seen for parent, seen in self.seen.items() if seen[1] is None or parent.uid
        }
        return _Known(self.cluster, lasting)


class _Problems:
    """Why parents are not known to be gone: each reason once, with the number of its pods."""

    def __init__(self) -> None:
        self._found: dict[str, set[_Pod]] = {}

    def add(self, pod: _Pod, reason: str) -> None:
        """Note the reason for a pod."""
        self._found.setdefault(reason, set()).add(pod)

    def lines(self) -> tuple[str, ...]:
        """Return a line for each reason."""
        return tuple(
            f"whether {_said(pods)} gone is not known: {reason}"
            for reason, pods in self._found.items()
        )


def _said(pods: set[_Pod]) -> str:
    if len(pods) > 1:
        return f"{len(pods)} pods are"
    ((namespace, name),) = pods
    # What is no name was made up by who wrote the archive, and is not repeated.
    is_named = is_label(namespace) and is_subdomain(name)
    return f"{namespace}/{name} is" if is_named else "a pod is"


class _Asking:
    """The requests of one look; after one that tells of trouble, or in the end, there are none."""

    def __init__(self, http: Http, clock: Callable[[], float], deadline: float) -> None:
        self.problems = _Problems()
        self.why = ""
        self._http = http
        self._clock = clock
        self._until = clock() + deadline
        self._namespaces: dict[str, Level | Failed] = {}

    def is_over(self) -> bool:
        """Tell whether nothing more is asked; then `why` says why."""
        if not self.why and self._clock() >= self._until:
            self.why = "the time was over; it is asked next time"
        return bool(self.why)

    def cluster(self) -> str | Failed:
        """Return the UID of a namespace that every cluster has, and none has for long."""
        answered = self._get(f"/api/v1/namespaces/{_CLUSTER}")
        if isinstance(answered, Failed):
            return answered
        uid = read_namespace(*answered, _CLUSTER)
        return Failed("the API server has no kube-system") if isinstance(uid, Absent) else uid

    def pod(self, pod: _Pod) -> Present | Level | Failed:
        """Return a pod, or the widest that is gone."""
        namespace, name = pod
        answered = self._get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        if isinstance(answered, Failed):
            return answered
        found = read_pod(*answered, namespace, name)
        return self._namespace(namespace) if isinstance(found, Absent) else found

    def _namespace(self, name: str) -> Level | Failed:
        if name not in self._namespaces:
            answered = self._get(f"/api/v1/namespaces/{name}")
            found = answered if isinstance(answered, Failed) else read_namespace(*answered, name)
            if isinstance(found, Failed):
                self._namespaces[name] = found
            else:
                gone = isinstance(found, Absent)
                self._namespaces[name] = Level.NAMESPACE if gone else Level.POD
        return self._namespaces[name]

    def _get(self, path: str) -> tuple[int, Any] | Failed:
        reply = self._http.get(path)
        if isinstance(reply, Failed):
            self.why = reply.reason
            return reply
        if reply.status not in _GOES_ON:
            self.why = f"the API server answered with status {reply.status}"
        try:
            return reply.status, decode(reply.body)
        except ValueError:
            return reply.status, None


def _by_pod(parents: Collection[Parent], problems: _Problems) -> dict[_Pod, list[Parent]]:
    pods: dict[_Pod, list[Parent]] = {}
    for parent in parents:
        pod = parent.container.namespace, parent.container.pod
        if _has_names(parent.container):
            pods.setdefault(pod, []).append(parent)
        else:
            problems.add(pod, "they have no names of Kubernetes")
    return pods


def _has_names(container: Container) -> bool:
    # An archive may say what it likes, and a path with dots would lead to other objects.
    return (
        is_label(container.namespace)
        and is_subdomain(container.pod)
        and is_label(container.container)
    )


def _beginning_behind(last: _Pod, pods: Collection[_Pod]) -> list[_Pod]:
    """Return the pods in their order, from the one behind the last: each has its turn."""
    ordered = sorted(pods)
    at = bisect_right(ordered, last)
    return [*ordered[at:], *ordered[:at]]
