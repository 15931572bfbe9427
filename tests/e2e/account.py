"""The checkpointer's account: the rights of `deploy/pods`, and no others."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster

__all__ = ["ACCOUNT", "DIRECTORY", "NAMESPACE", "Right", "deployed", "grant", "granted", "used"]

NAMESPACE: Final = "kube-system"
ACCOUNT: Final = "pod-checkpointer"
DIRECTORY: Final = "/etc/kubernetes/checkpointer"
"""Where the node keeps what the checkpointer shows to the API server and to the kubelet."""

_DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "pods"

Right = tuple[str, str]
"""A verb and a resource: ("get", "nodes/pods")."""


def grant(cluster: Cluster) -> None:
    """Give the checkpointer its account, and put its token on the node."""
    for each in deployed("rbac.yaml"):
        cluster.kube.apply(each)
    token = cluster.token(NAMESPACE, f"{ACCOUNT}-token")
    directory = cluster.node.at(DIRECTORY)
    directory.mkdir(mode=0o700)
    kubeconfig = cluster.control.kubeconfig(ACCOUNT, {"token": token})
    (directory / "token").write_text(token)
    (directory / "kubeconfig").write_bytes(kubeconfig.read_bytes())


def granted() -> set[Right]:
    """Return the rights that the account has."""
    rules = [rule for each in deployed("rbac.yaml") for rule in each.get("rules", ())]
    return {pair for rule in rules for pair in product(rule["verbs"], rule["resources"])}


def used(cluster: Cluster) -> set[Right]:
    """Return the rights that the account has used, as the API server has noted it.

    What is asked of the kubelet, it asks the API server about.
    """
    user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    found: set[Right] = set()
    for event in cluster.control.audited():
        asked = event.get("objectRef", {})
        if event["user"]["username"] == user:
            found.add((event["verb"], _resource(asked)))
        elif asked.get("resource") == "subjectaccessreviews":
            answer = event.get("responseObject", {})
            spec = answer.get("spec", {})
            if spec.get("user") == user and answer["status"]["allowed"]:
                attributes = spec["resourceAttributes"]
                found.add((attributes["verb"], _resource(attributes)))
    return found


def _resource(asked: dict[str, Any]) -> str:
    return "/".join(asked[part] for part in ("resource", "subresource") if asked.get(part))


def deployed(name: str) -> list[dict[str, Any]]:
    """Return the objects in a file of `deploy/pods`."""
    from lightkube import codecs  # noqa: PLC0415 - other test runs import this module, too

    loaded = codecs.load_all_yaml((_DEPLOY / name).read_text())
    return [each.to_dict() for each in loaded]  # type: ignore[no-untyped-call]
