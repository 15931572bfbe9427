"""The grammar of keys, against the kubelet's own answers."""

from __future__ import annotations

import json
import re
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkpointkit.errors import InvalidKeyError
from checkpointkit.keys import MAX_KEY_BYTES, check_key, is_key

# What the kubelet (its ValidateKey, called for real) said to each of these.
KUBELET = json.loads((Path(__file__).parent / "data" / "kubelet-keys.json").read_text("utf-8"))

# The kubelet's expression as it stands in its source, after the byte count.
GO = r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
KEYS = st.builds(
    "".join,
    st.one_of(
        st.tuples(st.sampled_from(LETTERS)),
        st.tuples(
            st.sampled_from(LETTERS),
            st.text(LETTERS + "-_.", max_size=248),
            st.sampled_from(LETTERS),
        ),
    ),
)


class Color(StrEnum):
    RED = "red"
    BAD = "-red"


class Old(str, Enum):  # noqa: UP042 - this older way has another `str`
    RED = "red"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"

    def __repr__(self) -> str:
        return "LOUD"


def refused(key: object) -> InvalidKeyError:
    with pytest.raises(InvalidKeyError) as caught:
        check_key(key)
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize("row", KUBELET, ids=lambda row: ascii(row["key"])[:20])
def test_a_key_is_what_the_kubelet_takes_for_one(row: dict[str, Any]) -> None:
    if row["valid"]:
        assert check_key(row["key"]) == row["key"]
    else:
        assert refused(row["key"]).key.startswith(repr(row["key"])[:77])


def test_the_kubelet_s_table_has_keys_of_both_sorts() -> None:
    assert {row["valid"] for row in KUBELET} == {True, False}
    assert len(KUBELET) > 30


@pytest.mark.parametrize("key", ["a\n", "a\n\n", "\na", "a\r", "a\r\n", "a\x00", "a\u2028"])
def test_the_whole_text_has_to_match_also_a_last_newline(key: str) -> None:
    """Python's `$` lets a last newline pass, Go's does not: the same expression is not enough."""
    assert bool(re.match(GO, key)) is (key == "a\n")
    refused(key)


@pytest.mark.parametrize("length", [1, 2, 249, 250])
def test_up_to_250_bytes(length: int) -> None:
    assert MAX_KEY_BYTES == 250
    assert check_key("k" * length) == "k" * length


@pytest.mark.parametrize("length", [0, 251, 252, 1000])
def test_not_more_than_250_bytes(length: int) -> None:
    refused("k" * length)


@pytest.mark.parametrize("middle", ["-", "_", ".", "-._", "A", "9"])
def test_signs_stand_in_the_middle_alone(middle: str) -> None:
    assert check_key(f"a{middle}b") == f"a{middle}b"
    if not middle.isalnum():
        for key in (f"{middle}a", f"a{middle}", middle):
            refused(key)


@pytest.mark.parametrize(
    "key", ["é", "aéb", "日", "\u0663", "a\u0663b", "\uff41", "\u212a", "\u017f", "a\u0301b"]
)
def test_letters_and_digits_are_those_of_ascii(key: str) -> None:
    refused(key)


@given(KEYS)
def test_every_text_of_the_grammar_is_a_key(key: str) -> None:
    assert check_key(key) == key
    assert re.search(GO, key)


@given(st.text() | st.from_regex(GO) | st.text(LETTERS[:3] + "-._/\n ", max_size=6))
@example("a\n")
@example("..")
def test_any_text_is_a_key_exactly_if_the_kubelet_s_rule_says_so(text: str) -> None:
    valid = len(text.encode("utf-8", "surrogatepass")) <= 250 and bool(
        re.search(GO.replace("$", r"\Z"), text)
    )
    assert bool(is_key(text)) is valid
    if valid:
        assert check_key(text) == text
    else:
        refused(text)


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.lists(st.text(), max_size=2)
    | st.builds(object)
    | st.just(str)
)
@example(b"a")
@example(["a"])
def test_what_is_no_text_is_no_key(value: object) -> None:
    assert refused(value).key == f"a {type(value).__name__}"


def test_an_object_s_own_text_is_not_shown() -> None:
    class Talkative:
        def __repr__(self) -> str:
            return "secret"

    assert "secret" not in str(refused(Talkative()))


@given(st.text(min_size=200) | st.builds(lambda n: "\U0010ffff" * n, st.integers(1, 2000)))
def test_a_message_stays_short_whatever_the_key(key: str) -> None:
    if is_key(key):
        return
    error = refused(key)
    assert len(error.key) <= 80
    assert len(str(error)) < 220
    assert str(error).isascii() or str(error).isprintable()


def test_a_long_name_of_a_class_is_cut_too() -> None:
    error = refused(type("C" * 1000, (), {})())
    assert error.key == "a " + "C" * 75 + "..."


@pytest.mark.parametrize("key", [Color.RED, Old.RED, Shouting("red")])
def test_a_member_of_an_enum_of_texts_is_the_key_that_it_is_equal_to(key: str) -> None:
    plain = check_key(key)
    assert type(plain) is str
    assert plain == "red"
    assert f"{plain}" == "red"


def test_an_enum_s_member_with_a_wrong_value_is_refused() -> None:
    assert "-red" in refused(Color.BAD).key
