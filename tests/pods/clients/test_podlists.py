"""Lists of pods that are cut before they are parsed: what comes out is what parsing gives."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import PodList, read_api_list, read_kubelet_list
from checkpointkit.pods.clients.podlists import PodLists, cut
from tests.pods.clients.servers import as_json, pod_list

LETTERS = st.text("ab\"\\{}[],:'é \n", max_size=8) | st.just('},{"metadata":{')
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=8,
)
PODS = st.lists(
    st.builds(
        lambda name, spec: {"metadata": {"name": name, "namespace": "prod"}, "spec": spec},
        st.sampled_from("abc") | TREES,
        st.dictionaries(st.sampled_from(["metadata", "volumes", "x"]), TREES, max_size=2),
    )
    | TREES,
    max_size=4,
)
HEAD = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['


def whole(body: bytes, read: Any = read_kubelet_list) -> PodList | Failed | None:
    """Return what comes of a body that is parsed as it is; None if it cannot be."""
    try:
        answer: PodList | Failed = read(200, json.loads(body))
    except (ValueError, RecursionError):
        return None
    return answer


def content(answer: PodList) -> list[Any]:
    return [(pod, dict(pod.decoded)) for pod in answer.pods]


@settings(max_examples=50)
@given(PODS)
@example([{"metadata": {"a": [{"b": 1}, {"metadata": {"c": 2}}]}}])
@example([[{}], {"metadata": {}}])
def test_a_list_that_is_cut_is_the_list(pods: list[Any]) -> None:
    body = as_json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
    page = PodLists(read_kubelet_list).page(0, body)
    parsed = whole(body)
    assert isinstance(page, tuple)
    assert isinstance(parsed, PodList)
    # The same pod twice, to the byte, is there once.
    assert list(map(str, dict.fromkeys(map(str, content(page[1]))))) == list(
        dict.fromkeys(map(str, content(parsed)))
    )


@given(st.lists(st.sampled_from([b'{"metadata":{', b"},", b"}", b"{", b'"', b"[", b"]", b"1"])))
@example([b'{"metadata":{', b"}", b"},", b'{"metadata":{', b"}", b"}"])
def test_what_is_no_json_is_no_list_wherever_it_is_cut(pieces: list[bytes]) -> None:
    body = HEAD + b"".join(pieces) + b"]}"
    page = PodLists(read_kubelet_list).page(0, body)
    parsed = whole(body)
    assert isinstance(page, Failed) is not isinstance(parsed, PodList)
    if isinstance(page, tuple) and isinstance(parsed, PodList):
        assert {str(pod) for pod in page[1].pods} == {str(pod) for pod in parsed.pods}


@settings(max_examples=30)
@given(st.lists(PODS, min_size=1, max_size=5))
def test_what_was_read_before_makes_no_difference(lists: list[list[Any]]) -> None:
    one = PodLists(read_kubelet_list)
    for pods in lists:
        spaces = len(pods) % 2  # some are written in another way
        body = (
            as_json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
            if spaces
            else json.dumps({"kind": "PodList", "items": pods}).encode()
        )
        again, fresh = one.page(0, body), PodLists(read_kubelet_list).page(0, body)
        assert isinstance(again, tuple)
        assert isinstance(fresh, tuple)
        assert sorted(map(str, content(again[1]))) == sorted(map(str, content(fresh[1])))
        assert one.page(0, body) == again
        assert one.page(0, body)[1] is again[1]  # type: ignore[index]


def test_the_newest_resource_version_of_a_cluster_changes_nothing() -> None:
    lists = PodLists(read_api_list)
    first = lists.page(0, as_json(pod_list("a", "b", resourceVersion="7")))
    second = lists.page(0, as_json(pod_list("b", "a", resourceVersion="8")))
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert first[1] is second[1]


def test_a_list_written_in_another_way_is_read_too_and_remembered() -> None:
    lists = PodLists(read_api_list)
    body = json.dumps(pod_list("a", "b", **{"continue": "abc"}), indent=1).encode()
    assert cut(body) is None
    first = lists.page(0, body)
    assert isinstance(first, tuple)
    assert first[0] == "abc"
    assert lists.page(0, body) == first
    compact = lists.page(0, as_json(pod_list("a", "b")))
    assert isinstance(compact, tuple)
    assert compact[0] == ""
    assert [pod.name for pod in compact[1].pods] == [pod.name for pod in first[1].pods]


def test_an_empty_list_is_empty_whatever_was_read_before() -> None:
    lists = PodLists(read_api_list)
    assert isinstance(lists.page(0, json.dumps(pod_list("a")).encode()), tuple)
    assert lists.page(0, as_json(pod_list())) == ("", PodList(()))


@pytest.mark.parametrize("indent", [None, 1])
def test_where_a_list_goes_on_must_be_told_in_words(indent: int | None) -> None:
    for token in (5, ["abc"], {"a": 1}, True):
        lists = PodLists(read_api_list)
        whole_list = pod_list("a")
        assert isinstance(lists.page(0, as_json(whole_list)), tuple)
        whole_list["metadata"]["continue"] = token
        body = json.dumps(whole_list, indent=indent, separators=(",", ":")).encode()
        goes_on = Failed("the list of pods goes on, and its other pages are missing")
        assert lists.page(0, body) == goes_on


def test_the_metadata_of_a_list_ends_where_json_ends_it() -> None:
    for metadata in (b'{"a":"}', b'{"a":1,}', b"{1}", b'{"a":{}}'):
        body = b'{"kind":"PodList","apiVersion":"v1","metadata":' + metadata + b',"items":[]}'
        assert cut(body) is None
    assert cut(HEAD + b"]") is None
    empty = cut(HEAD + b"]}\n")
    assert empty is not None
    assert empty.pods == ()


def test_two_bodies_that_mean_something_else_are_never_taken_for_one() -> None:
    # The pod is nothing but a list in itself: what is a pod here is a body there.
    lists = PodLists(read_kubelet_list)
    body = as_json(pod_list("a"))
    inside = HEAD + body.strip() + b"]}"
    assert whole(inside) is not None
    assert isinstance(lists.page(0, inside), tuple)
    page = lists.page(0, json.dumps(pod_list("a")).encode())
    assert isinstance(page, tuple)
    assert [pod.name.name for pod in page[1].pods] == ["a"]


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=4), min_size=1, max_size=4))
def test_pages_are_joined_and_the_same_pages_are_the_same_list(pages: list[list[str]]) -> None:
    lists = PodLists(read_api_list)
    shuffle = random.Random(1).shuffle
    joined = []
    for _ in range(2):
        read = []
        for number, names in enumerate(pages):
            shuffle(names)
            page = lists.page(number, as_json(pod_list(*names)))
            assert isinstance(page, tuple)
            read.append(page[1])
        joined.append(lists.join(read))
    assert joined[0] is joined[1]
    assert {pod.name.name for pod in joined[0].pods} == {name for page in pages for name in page}


def test_what_cannot_be_read_on_a_page_is_told_of_the_whole() -> None:
    lists = PodLists(read_api_list)
    good, bad = pod_list("a"), pod_list("b")
    bad["items"][0]["metadata"]["name"] = "../b"
    pages = [lists.page(number, as_json(page)) for number, page in enumerate((good, bad))]
    joined = lists.join([page[1] for page in pages if isinstance(page, tuple)])
    assert [pod.name.name for pod in joined.pods] == ["a"]
    why = "pod 0 of the list of pods: the name is no DNS subdomain"
    assert joined.unreadable == (why,)
