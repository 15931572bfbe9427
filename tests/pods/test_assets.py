"""Secrets and config maps as they come from the API: values, or a reason that quotes none."""

from __future__ import annotations

from typing import Any

import pytest

from checkpointkit.pods.assets import Asset, AssetFile, AssetSet, Roots, digest_of, read_asset
from checkpointkit.pods.references import ObjectName

SECRET = "s3cret"


def test_a_secret_is_decoded_and_a_config_map_keeps_its_binary_data_apart() -> None:
    metadata = {"name": "a", "uid": "7f3e", "resourceVersion": "12"}
    assert read_asset({"metadata": metadata, "data": {"k": "YQA="}}, "Secret") == Asset(
        ObjectName("Secret", "a"), {"k": b"a\0"}, uid="7f3e", resource_version="12"
    )
    found = read_asset(
        {"metadata": metadata, "data": {"k": "ü"}, "binaryData": {"b": "/w=="}, "immutable": True},
        "ConfigMap",
    )
    assert found.data == {"k": "ü".encode(), "b": b"\xff"}
    assert found.binary == {"b"}
    assert found.immutable


def test_a_secret_has_no_binary_data() -> None:
    read = read_asset({"metadata": {"name": "a"}, "data": None, "binaryData": {"b": 1}}, "Secret")
    assert read.data == {}


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ([SECRET], "a Secret is an object with metadata"),
        ({"data": {}}, "a Secret is an object with metadata"),
        ({"metadata": {}}, "metadata.name is no DNS subdomain"),
        ({"metadata": {"name": "../../etc"}}, "metadata.name is no DNS subdomain"),
        ({"metadata": {"name": 1}}, "metadata.name is no text"),
        ({"metadata": {"name": "a", "uid": 1}}, "metadata.uid is no text"),
        ({"metadata": {"name": "a"}, "immutable": "yes"}, "immutable is no boolean"),
        ({"metadata": {"name": "a"}, "data": [SECRET]}, "data is no object"),
        ({"metadata": {"name": "a"}, "data": {"k": 1}}, "data has a value that is no text"),
        ({"metadata": {"name": "a"}, "data": {"k": SECRET}}, "a value is no base64"),
        ({"metadata": {"name": "a"}, "data": {"k": "ü"}}, "a value is no base64"),
        (
            {"metadata": {"name": "a"}, "data": {"../k": "YQ=="}},
            "data has a key that is no name of a file",
        ),
        (
            {"metadata": {"name": "a"}, "data": {"..data": "YQ=="}},
            "data has a key that is no name of a file",
        ),
    ],
)
def test_garbage_is_refused_by_field_and_never_quoted(asset: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^{reason}$") as caught:
        read_asset(asset, "Secret")
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None


def test_no_repr_shows_what_is_in_a_secret() -> None:
    data = SECRET.encode()
    asset = Asset(ObjectName("Secret", "a"), {"k": data})
    files = AssetSet("secrets", "a/b/c", (AssetFile("k", data, 0o644),))
    assert SECRET not in repr(asset) + repr(files)


def test_the_two_roots_can_be_set() -> None:
    roots = Roots("/s", "/c")
    assert roots.place(AssetSet("secrets", "a/b/c", ())) == "/s/a/b/c"
    assert roots.place(AssetSet("configmaps", "a/b/c", ())) == "/c/a/b/c"


def test_whatever_differs_in_a_set_gives_another_digest_and_its_place_does_not() -> None:
    one, two = AssetFile("a", b"12", 0o644), AssetFile("b", b"3", 0o644)
    sets = [
        AssetSet("secrets", "a/b/c", ()),
        AssetSet("secrets", "a/b/c", (one,)),
        AssetSet("secrets", "a/b/c", (one, two)),
        AssetSet("secrets", "a/b/c", (one, AssetFile("b", b"3", 0o640))),
        AssetSet("secrets", "a/b/c", (AssetFile("a", b"1", 0o644), AssetFile("b", b"23", 0o644))),
        AssetSet("secrets", "a/b/c", (AssetFile("a", b"121 644 1\nb3", 0o644),)),
        AssetSet("secrets", "a/b/c", (AssetFile("\ud800", b"", 0o644),)),
        AssetSet("secrets", "a/b/c", (one,), mode=0o2755),
        AssetSet("secrets", "a/b/c", (one,), gid=1000),
    ]
    assert len({digest_of(each) for each in sets}) == len(sets)
    elsewhere = AssetSet("configmaps", "d/e/f", (two, one))
    assert digest_of(elsewhere) == digest_of(sets[2])
