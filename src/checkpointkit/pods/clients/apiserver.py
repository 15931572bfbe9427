"""The Kubernetes API server: GETs, and nothing else."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.grammar import is_subdomain
from checkpointkit.kubernetes.http import MAX_BODY, Http, decode
from checkpointkit.pods.answers import (
    Fetched,
    Got,
    PodList,
    read_api_list,
    read_fetched,
    read_get,
    read_namespace_uid,
)
from checkpointkit.pods.clients.podlists import PodLists

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.kubernetes.patience import Patience
    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.references import ObjectName

    _T = TypeVar("_T")

__all__ = ["ApiServerClient"]

_OK: Final = 200
_MAX_PAGES: Final = 100
_REMEMBERED: Final = 128
_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class ApiServerClient:
    """Asks the API server (`sources.ApiServer`); made by `connect`.

    Args:
        http: The way to it.
        page: How many pods to ask for at once.
        clock: A clock that is never set.
    """

    def __init__(self, http: Http, *, page: int, clock: Callable[[], float]) -> None:
        self._http = http
        self._page = page
        self._clock = clock
        self._lists: dict[tuple[str, str], PodLists] = {}
        self._objects: OrderedDict[str, tuple[int, bytes, Any]] = OrderedDict()

    @classmethod
    def connect(
        cls,
        kubeconfig: str | None = None,
        *,
        context: str | None = None,
        service_account: str = _SERVICE_ACCOUNT,
        timeout: float = 10.0,
        page: int = 500,
        max_bytes: int = MAX_BODY,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> Self:
        """Return a client; nothing is asked yet, so that the API server need not be there.

        The server's certificate is verified, always. Proxies are not used, whatever the
        environment says. Files that are replaced later (the kubeconfig, certificates, tokens) are
        read again.

        Args:
            kubeconfig: The path of a kubeconfig file; None for the service account of the pod
                that this runs in.
            context: The context in the kubeconfig; None for its current one.
            service_account: The directory of the service account.
            timeout: Seconds for a request, all in all.
            page: How many pods to ask for at once.
            max_bytes: The largest answer.
            clock: A clock that is never set.
            patience: When a server is asked again that has not answered in time.

        Raises:
            SourceConfigError: The kubeconfig, or the service account, cannot be used.
            MissingExtraError: The extra `kubernetes` is not installed.
        """
        from checkpointkit.kubernetes.kubeconfig import ApiServerOpener  # noqa: PLC0415 - extra

        opener = ApiServerOpener(
            kubeconfig=kubeconfig,
            context=context,
            service_account=service_account,
            max_bytes=max_bytes,
            clock=clock,
        )
        http = Http(opener, timeout=timeout, clock=clock, patience=patience)
        return cls(http, page=page, clock=clock)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def pods(self, namespace: str, node: str) -> PodList | Failed:
        """Return all pods of a namespace that are bound to a node, or why they are not known.

        The list is the newest (no `resourceVersion`): an older one could lack a pod that is
        there. Where nothing has changed, it is the object of the last time.

        Args:
            namespace: The namespace.
            node: The node's name.
        """
        # The node's name becomes part of a selector, where a comma would begin another condition,
        # and a list that is too short says that pods are gone.
        if not (is_subdomain(namespace) and is_subdomain(node)):
            return Failed("the namespace or the node has no name of Kubernetes")
        lists = self._lists.setdefault((namespace, node), PodLists(read_api_list))
        begun = self._clock()
        tokens = [""]
        pages: list[PodList] = []
        while True:
            page = self._pods_page(lists, namespace, node, len(pages), tokens[-1])
            if isinstance(page, Failed):
                return page
            token, pods = page
            pages.append(pods)
            if not token:
                return lists.join(pages)
            late = self._clock() - begun > self._http.timeout
            if late or token in tokens or len(pages) == _MAX_PAGES:
                return Failed("the list of pods goes on and on")
            tokens.append(token)

    def _pods_page(
        self, lists: PodLists, namespace: str, node: str, number: int, token: str
    ) -> tuple[str, PodList] | Failed:
        params = {"fieldSelector": f"spec.nodeName={node}", "limit": str(self._page)}
        if token:
            params["continue"] = token
        reply = self._http.get(f"/api/v1/namespaces/{namespace}/pods", params)
        if isinstance(reply, Failed):
            return reply
        if reply.status != _OK:
            return Failed(f"the list of pods was answered with status {reply.status}")
        return lists.page(number, reply.body)

    def pod(self, name: PodName) -> Got:
        """Return one pod, wherever it is bound.

        Args:
            name: Which one.
        """
        path = f"/api/v1/namespaces/{name.namespace}/pods/{name.name}"
        return self._object(path, lambda status, decoded: read_get(status, decoded, name))

    def cluster(self) -> str | Failed:
        """Return the UID of the namespace kube-system, which tells one cluster from another."""
        return self._object("/api/v1/namespaces/kube-system", read_namespace_uid)

    def fetch(self, namespace: str, name: ObjectName) -> Fetched:
        """Return a secret or a config map.

        Args:
            namespace: Its namespace.
            name: Which one.
        """
        # A pod may say what it likes, and a path with dots would lead to objects of others.
        if not (is_subdomain(namespace) and is_subdomain(name.name)):
            return Failed(f"{name.kind}: what the pod calls it is no name of Kubernetes")
        path = f"/api/v1/namespaces/{namespace}/{name.kind.lower()}s/{name.name}"
        return self._object(path, lambda status, decoded: read_fetched(status, decoded, name))

    def _object(self, path: str, read: Callable[[int, Any], _T]) -> _T | Failed:
        reply = self._http.get(path)
        if isinstance(reply, Failed):
            return reply
        before = self._objects.get(path)
        if before is not None and before[:2] == (reply.status, reply.body):
            self._objects.move_to_end(path)
            known: _T = before[2]
            return known
        try:
            decoded = decode(reply.body)
        except ValueError as error:
            if reply.status == _OK:
                return Failed(f"the answer cannot be read: {error}")
            decoded = None
        answer = read(reply.status, decoded)
        self._objects[path] = reply.status, reply.body, answer
        if len(self._objects) > _REMEMBERED:
            self._objects.popitem(last=False)
        return answer
