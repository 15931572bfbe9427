"""What counts as an answer, and what it says of a parent: here, gone, listed, or unknown."""

from __future__ import annotations

from typing import Any

import pytest

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import (
    Got,
    NotFound,
    PodList,
    read_api_list,
    read_fetched,
    read_get,
    read_kubelet_list,
    read_namespace_uid,
)
from checkpointkit.pods.assets import Asset
from checkpointkit.pods.model import CHECKPOINT, Pod, PodName, Scope
from checkpointkit.pods.observation import (
    Api,
    ApiSight,
    api_sight,
    find_listed,
    is_same_cluster,
    not_watched,
)
from checkpointkit.pods.references import ObjectName

NAME = PodName("kube-system", "kube-apiserver-x7k2p")
SCOPE = Scope("node1", frozenset({"kube-system"}))
PARENT = Pod(NAME, uid="7f3e", node="node1", phase="Running", marked=True)

DECODED: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {
        "namespace": NAME.namespace,
        "name": NAME.name,
        "uid": "7f3e",
        "annotations": {CHECKPOINT: "true"},
    },
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running"},
}


def like(**changes: Any) -> Pod:
    return Pod(**{"name": NAME, "uid": "7f3e", "node": "node1", "marked": True, **changes})


def seen(*pods: Pod, **options: Any) -> ApiSight:
    return api_sight(NAME, "7f3e", SCOPE, {"kube-system": PodList(pods)}, **options)


# --------------------------------------------------------------------------------------- the lists


@pytest.mark.parametrize("status", [0, 204, 301, 401, 403, 404, 410, 429, 500, 503])
def test_no_status_but_200_is_a_list(status: int) -> None:
    whole = {"kind": "PodList", "items": []}
    for read in (read_api_list, read_kubelet_list):
        found = read(status, whole)
        assert isinstance(found, Failed)
        assert str(status) in found.reason


@pytest.mark.parametrize(
    "body",
    [
        None,
        "<html>",
        [],
        7,
        {},
        {"items": []},
        {"kind": "Status", "items": []},
        {"kind": "PodList"},
        {"kind": "PodList", "items": {}},
        {"kind": "PodList", "items": "s3cret"},
        {"kind": "PodMetricsList", "items": []},
    ],
)
def test_a_body_that_is_no_list_is_not_an_empty_one(body: Any) -> None:
    for read in (read_api_list, read_kubelet_list):
        found = read(200, body)
        assert isinstance(found, Failed)
        assert "s3cret" not in found.reason


@pytest.mark.parametrize("items", [None, []])
def test_a_list_of_nothing_is_a_list_as_go_writes_it(items: Any) -> None:
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
    assert read_api_list(200, body) == read_kubelet_list(200, body) == PodList(())


@pytest.mark.parametrize("metadata", [{"continue": "token"}, {"continue": ["s3cret"]}, "s3cret"])
def test_a_list_that_goes_on_is_not_complete(metadata: Any) -> None:
    found = read_api_list(200, {"kind": "PodList", "metadata": metadata, "items": [DECODED]})
    assert found == Failed("the list of pods goes on, and its other pages are missing")


def test_the_last_page_is_complete() -> None:
    whole = {"kind": "PodList", "metadata": {"continue": ""}, "items": [DECODED]}
    assert read_api_list(200, whole) == PodList((PARENT,))


def test_one_pod_that_cannot_be_read_does_not_hide_the_others() -> None:
    body = {"kind": "PodList", "items": [{"metadata": "s3cret"}, DECODED, "s3cret"]}
    assert read_api_list(200, body) == PodList(
        (PARENT,),
        (
            "pod 0 of the list of pods: metadata is no object",
            "pod 2 of the list of pods: a pod is an object",
        ),
    )


@pytest.mark.parametrize("ended", [{"terminating": True}, {"phase": "Failed"}])
@pytest.mark.parametrize("order", [1, -1])
def test_of_two_pods_of_one_name_the_living_one_counts(ended: dict[str, Any], order: int) -> None:
    pods = PodList((like(uid="old", **ended), like(uid="new"))[::order])
    found = pods.find(NAME)
    assert found is not None
    assert found.uid == "new"
    assert pods.find(PodName("kube-system", "other")) is None


# --------------------------------------------------------------------------------- a single answer


def status_of(**changes: Any) -> dict[str, Any]:
    details = {"name": NAME.name, "kind": "pods"}
    return {"kind": "Status", "reason": "NotFound", "code": 404, "details": details, **changes}


def test_a_404_of_the_api_server_for_this_very_pod_says_that_it_is_gone() -> None:
    assert read_get(404, status_of(), NAME) == NotFound()


@pytest.mark.parametrize(
    "body",
    [
        None,
        "404 page not found",
        {},
        status_of(kind="Error"),
        status_of(reason="Forbidden"),
        status_of(details=None),
        status_of(details={"name": "other", "kind": "pods"}),
        status_of(details={"name": NAME.name, "kind": "namespaces"}),
    ],
)
def test_any_other_404_says_nothing(body: Any) -> None:
    assert read_get(404, body, NAME) == Failed(
        "the pod was answered with status 404, and not by the API server"
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, DECODED, "the pod was answered with status 503"),
        (200, None, "the answer for the pod is none"),
        (200, {**DECODED, "kind": "PodList"}, "the answer for the pod is none"),
        (200, {**DECODED, "metadata": 7}, "the pod cannot be read: metadata is no object"),
        (
            200,
            {"kind": "Pod", "metadata": {"namespace": "kube-system", "name": "other"}},
            "the answer for the pod is another pod",
        ),
    ],
)
def test_an_answer_that_is_not_this_pod_says_nothing(status: int, body: Any, reason: str) -> None:
    assert read_get(status, body, NAME) == Failed(reason)


def test_a_pod_that_is_answered_is_read() -> None:
    assert read_get(200, DECODED, NAME) == PARENT


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"kind": "Namespace", "metadata": {"uid": "6c1f"}}),
        (200, None),
        (200, {"kind": "Status", "metadata": {"uid": "6c1f"}}),
        (200, {"kind": "Namespace"}),
        (200, {"kind": "Namespace", "metadata": {"uid": ""}}),
        (200, {"kind": "Namespace", "metadata": {"uid": 7}}),
    ],
)
def test_an_answer_that_is_no_namespace_names_no_cluster(status: int, body: Any) -> None:
    assert isinstance(read_namespace_uid(status, body), Failed)


def test_a_cluster_is_named_by_a_namespaces_uid() -> None:
    assert read_namespace_uid(200, {"kind": "Namespace", "metadata": {"uid": "6c1f"}}) == "6c1f"


@pytest.mark.parametrize(
    ("recorded", "found", "same"),
    [
        ("6c1f", "6c1f", True),
        ("6c1f", "a310", False),
        ("", "6c1f", None),
        ("6c1f", "", None),
        ("", "", None),
        ("6c1f", Failed("timed out"), None),
    ],
)
def test_a_cluster_is_the_same_another_or_unknown(
    recorded: str, found: str | Failed, same: bool | None
) -> None:
    assert is_same_cluster(recorded, found) is same


# ----------------------------------------------------------------------------------------------- A


def test_a_parent_that_is_listed_here_is_here() -> None:
    assert seen(PARENT) == ApiSight(Api.HERE, "the API server has it here", pod=PARENT)


def test_a_new_pod_of_the_same_name_is_here() -> None:
    successor = like(uid="a310")
    assert seen(successor).pod == successor


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (like(name=PodName("kube-system", "other")), "the API server does not list it"),
        (like(phase="Succeeded"), "it has ended"),
        (like(phase="Failed"), "it has ended"),
        (like(terminating=True), "it is terminating"),
        (like(node="node2"), "it is on another node"),
        (like(node=""), "it is on another node"),
        (like(marked=False), "it asks for no checkpoint any more"),
    ],
)
def test_what_a_list_shows_as_ended_or_elsewhere_is_gone_and_not_confirmed(
    pod: Pod, reason: str
) -> None:
    assert seen(pod) == ApiSight(Api.GONE, reason)


@pytest.mark.parametrize("pods", [(), (PARENT,)])
def test_another_cluster_says_nothing_of_our_pods(pods: tuple[Pod, ...]) -> None:
    sight = seen(*pods, same_cluster=False, got=NotFound())
    assert sight == ApiSight(Api.UNKNOWN, "the API server is that of another cluster")


def test_a_list_that_failed_is_unknown_with_its_reason() -> None:
    sight = api_sight(NAME, "7f3e", SCOPE, {"kube-system": Failed("timed out")}, got=NotFound())
    assert sight == ApiSight(Api.UNKNOWN, "timed out")


@pytest.mark.parametrize("namespace", ["kube-system", "default"])
def test_a_namespace_that_nobody_lists_is_unknown(namespace: str) -> None:
    lists = {"default": PodList(())}
    sight = api_sight(PodName(namespace, "a"), "", SCOPE, lists)
    assert sight == ApiSight(Api.UNKNOWN, "its namespace is not watched")


def test_what_is_not_in_a_list_with_an_unreadable_pod_may_be_that_pod() -> None:
    lists = {"kube-system": PodList((PARENT,), ("pod 1: odd",))}
    other = PodName("kube-system", "other")
    assert api_sight(other, "", SCOPE, lists, got=NotFound()) == ApiSight(Api.UNKNOWN, "pod 1: odd")
    assert api_sight(NAME, "", SCOPE, lists).value is Api.HERE


# ------------------------------------------------------------------------ A, before something goes


@pytest.mark.parametrize(
    ("got", "confirmed"),
    [
        (NotFound(), True),
        (like(uid="a310", node="node2"), True),
        (like(uid="a310", node=""), True),
        (like(uid="a310", terminating=True), True),
        (like(node="node2"), True),
        (like(phase="Failed"), True),
        (like(phase="Succeeded", terminating=True), True),
        (like(marked=False), True),
        (like(terminating=True), False),
        (like(terminating=True, marked=False), False),
        (Failed("the pod was answered with status 403"), False),
    ],
)
def test_a_pod_goes_when_asking_for_it_says_that_it_will_not_come_back(
    got: Got, confirmed: bool
) -> None:
    sight = seen(got=got, same_cluster=True)
    assert (sight.value, sight.confirmed) == (Api.GONE, confirmed)
    assert sight.reason


@pytest.mark.parametrize("got", [NotFound(), like(node="node2"), like(phase="Failed")])
def test_nothing_goes_before_the_cluster_is_known(got: Got) -> None:
    sight = seen(got=got, same_cluster=None)
    assert (sight.value, sight.confirmed) == (Api.GONE, False)
    assert sight.reason.endswith("whether it is the same cluster is not known")


@pytest.mark.parametrize("uid", ["7f3e", "a310"])
def test_a_pod_that_is_here_after_all_stays(uid: str) -> None:
    sight = seen(got=like(uid=uid), same_cluster=True)
    assert sight == ApiSight(Api.HERE, "the API server has it here", pod=like(uid=uid))


def test_without_a_recorded_uid_none_is_another() -> None:
    lists = {"kube-system": PodList(())}
    got = like(terminating=True)
    assert not api_sight(NAME, "", SCOPE, lists, got=got, same_cluster=True).confirmed


# ----------------------------------------------------------------------------------------------- L


@pytest.mark.parametrize(
    ("pods", "found"),
    [
        ((), None),
        ((PARENT,), PARENT),
        ((like(static=True),), None),
        ((like(checkpoint_of="a"),), None),
        ((like(marked=False),), None),
    ],
)
def test_the_kubelet_lists_a_parent_or_not(pods: tuple[Pod, ...], found: Pod | None) -> None:
    assert find_listed(NAME, PodList(pods)) == found


def test_a_kubelet_that_is_silent_lists_nothing_and_excludes_nothing() -> None:
    assert find_listed(NAME, Failed("401")) == Failed("401")


def test_parents_outside_the_namespaces_are_told_once_each_and_sorted() -> None:
    elsewhere = [like(name=PodName(namespace, "a")) for namespace in ("b", "a", "kube-system")]
    lists: list[PodList | Failed] = [
        PodList(tuple(elsewhere)),
        Failed("401"),
        PodList((*elsewhere, like(marked=False))),
    ]
    assert not_watched(SCOPE, lists) == (PodName("a", "a"), PodName("b", "a"))


TLS = ObjectName("Secret", "tls")
SECRET = {"kind": "Secret", "metadata": {"name": "tls"}, "data": {"ca.crt": "YWJj"}}


def not_found(kind: str, name: str, reason: str = "NotFound") -> dict[str, Any]:
    return {"kind": "Status", "reason": reason, "details": {"kind": kind, "name": name}}


@pytest.mark.parametrize(
    ("status", "decoded", "reason"),
    [
        (403, not_found("secrets", "tls", "Forbidden"), "Secret tls was answered with status 403"),
        (404, None, "Secret tls was answered with status 404, and not by the API server"),
        (
            404,
            not_found("configmaps", "tls"),
            "Secret tls was answered with status 404, and not by the API server",
        ),
        (200, None, "the answer for Secret tls is none"),
        (200, {**SECRET, "kind": "ConfigMap"}, "the answer for Secret tls is none"),
        (200, {**SECRET, "data": {"a": "?"}}, "Secret tls cannot be read: a value is no base64"),
        (200, {**SECRET, "metadata": {"name": "x"}}, "the answer for Secret tls is another object"),
    ],
)
def test_what_is_no_answer_for_a_secret_is_a_reason(status: int, decoded: Any, reason: str) -> None:
    assert read_fetched(status, decoded, TLS) == Failed(reason)


def test_a_secret_is_what_was_asked_for_or_is_not_there() -> None:
    found = read_fetched(200, SECRET, TLS)
    assert isinstance(found, Asset)
    assert found.data == {"ca.crt": b"abc"}
    assert read_fetched(404, not_found("secrets", "tls"), TLS) == NotFound()
    config = ObjectName("ConfigMap", "tls")
    assert read_fetched(404, not_found("configmaps", "tls"), config) == NotFound()
