"""The API server as a test asks it: plain objects over HTTPS, as the administrator."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.e2e.certificates import Pair

__all__ = ["Kube", "path_of"]

Object = dict[str, Any]

_PLURALS: Final = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Namespace": "namespaces",
    "Node": "nodes",
    "Pod": "pods",
    "PriorityClass": "priorityclasses",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "ServiceAccount": "serviceaccounts",
}
_NOT_FOUND: Final = 404


def path_of(kind: str, namespace: str = "", name: str = "", version: str = "v1") -> str:
    """Return the path of an object, or of a list.

    Example:
        >>> path_of("DaemonSet", "kube-system", "web", "apps/v1")
        '/apis/apps/v1/namespaces/kube-system/daemonsets/web'
        >>> path_of("Node")
        '/api/v1/nodes'
    """
    parts = ["", "apis" if "/" in version else "api", version]
    parts += ["namespaces", namespace] if namespace else []
    return "/".join([*parts, _PLURALS[kind], *([name] if name else [])])


class Kube:
    """A client of the API server.

    Args:
        url: Where it is.
        authority: The certificate that its own is signed with.
        pair: What the client shows.
    """

    def __init__(self, url: str, authority: Path, pair: Pair) -> None:
        self._url = url
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(str(pair.certificate), str(pair.key))

    def is_ready(self) -> bool:
        """Whether it serves."""
        try:
            with self._open("GET", "/readyz"):
                return True
        except OSError:
            return False

    def get(self, path: str) -> Object | None:
        """Return an object or a list; None if there is none."""
        try:
            return self._ask("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def items(self, path: str) -> list[Object]:
        """Return what a list has."""
        found: list[Object] = self._ask("GET", path)["items"]
        return found

    def apply(self, wanted: Mapping[str, Any]) -> Object:
        """Make an object what it should be, and return what it has become.

        Args:
            wanted: The object, with its kind and name.
        """
        metadata = wanted["metadata"]
        path = path_of(
            wanted["kind"], metadata.get("namespace", ""), metadata["name"], wanted["apiVersion"]
        )
        query = "fieldManager=e2e&force=true"
        return self._ask("PATCH", f"{path}?{query}", wanted, "application/apply-patch+yaml")

    def create(self, path: str, wanted: Mapping[str, Any]) -> Object:
        """Send an object to a list, or to a subresource."""
        return self._ask("POST", path, wanted)

    def delete(self, path: str, **options: Any) -> None:
        """Delete an object and what it owns, if it is there.

        Args:
            path: Of the object.
            options: Further ones.
        """
        try:
            self._ask("DELETE", path, {"propagationPolicy": "Background", **options})
        except urllib.error.HTTPError as error:
            if error.code != _NOT_FOUND:
                raise

    def _ask(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> Object:
        with self._open(method, path, body, content) as answer:
            decoded: Object = json.loads(answer.read())
        return decoded

    def _open(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._url}{path}", data, {"Content-Type": content}, method=method
        )
        try:
            return urllib.request.urlopen(request, timeout=30, context=self._context)
        except urllib.error.HTTPError as error:
            error.msg = f"{error.msg}: {method} {path}: {error.read()[:2000]!r}"
            error.close()
            raise
