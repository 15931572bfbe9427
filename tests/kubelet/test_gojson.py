"""JSON as Go reads and writes it: the rules, beyond the files that were judged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.kubelet import gojson
from checkpointkit.kubelet.goencode import encode, quoted
from checkpointkit.kubelet.gojson import GoSyntaxError, RawNumber, Scanner, parse
from checkpointkit.kubelet.gotext import quote
from checkpointkit.kubelet.gotypes import MapOf, Number, Text
from checkpointkit.kubelet.places import parse_with_places


def slowly(data: bytes) -> Any:
    return Scanner(data.decode("utf-8", "surrogateescape")).document()


def outcome(work: Any, data: bytes) -> Any:
    try:
        return work(data)
    except GoSyntaxError as error:
        return str(error), error.offset


# Fragments of JSON, so that most of what is drawn is nearly JSON.
NEARLY = st.lists(
    st.sampled_from(
        [
            *'{}[]:,"\\ \t\n-+.eE0123456789u',
            *("null", "true", "false", '"a":', "\\ud83d", "\\ude00"),
            *(
                "\\n",
                "\\u0041",
                "é",
                "😀",
                "\x00",
                "\x7f",
                "-0",
                "1e5",
                "NaN",
                "Infinity",
                "\ufeff",
            ),
        ]
    ).map(str.encode)
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)


@settings(max_examples=400)
@given(NEARLY)
def test_the_quick_way_and_the_scanner_agree(data: bytes) -> None:
    assert outcome(parse, data) == outcome(slowly, data)


@settings(max_examples=200)
@given(NEARLY)
def test_a_parser_that_knows_places_reads_the_same(data: bytes) -> None:
    found, placed = outcome(parse, data), outcome(parse_with_places, data)
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], int):
        assert isinstance(placed, tuple)  # it refuses, too; the words and the place are the other's
    else:
        assert placed == found


@settings(max_examples=100)
@given(DOCUMENTS)
def test_what_json_writes_is_read(document: Any) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return {key: plain(each) for key, each in value}
        return [plain(each) for each in value] if isinstance(value, list) else value

    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    expected = json.loads(text)
    assert plain(slowly(text)) == expected
    assert plain(parse(text)) == expected


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":1', "unexpected end of JSON input"),
        (b'"abc', "unexpected end of JSON input"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"{1}", "invalid character '1' looking for beginning of object key string"),
        (b'{"a"}', "invalid character '}' after object key"),
        (b'{"a":1 2}', "invalid character '2' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"1 2", "invalid character '2' after top-level value"),
        (b"01", "invalid character '1' after top-level value"),
        (b"-", "invalid character ' ' in numeric literal"),
        (b"-a", "invalid character 'a' in numeric literal"),
        (b"1.", "invalid character ' ' after decimal point in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1e", "invalid character ' ' in exponent of numeric literal"),
        (b"1e+x", "invalid character 'x' in exponent of numeric literal"),
        (b"1.5.", "invalid character '.' after top-level value"),
        (b"1e5e", "invalid character 'e' after top-level value"),
        (b"tru", "invalid character ' ' in literal true (expecting 'e')"),
        (b"falsy", "invalid character 'y' in literal false (expecting 'e')"),
        (b"nulL", "invalid character 'L' in literal null (expecting 'l')"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\', "invalid character ' ' in string escape code"),
        (b'"\\u12', "invalid character ' ' in \\u hexadecimal character escape"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b'"\x01"', "invalid character '\\x01' in string literal"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"'", "invalid character '\\'' looking for beginning of value"),
        (b"\xff", "invalid character 'ÿ' looking for beginning of value"),
        (b"\x85", "invalid character '\\u0085' looking for beginning of value"),
        (b"\\", "invalid character '\\\\' looking for beginning of value"),
    ],
)
def test_what_is_no_json_is_refused_in_gos_words(data: bytes, says: str) -> None:
    with pytest.raises(GoSyntaxError) as caught:
        parse(data)
    assert str(caught.value) == says


def test_as_deep_as_go_and_no_deeper() -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        parse((opening * 9_999 + "[]" + closing * 9_999).encode())
        with pytest.raises(GoSyntaxError, match="exceeded max depth"):
            parse((opening * 10_000 + "[]" + closing * 10_000).encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\\ud83d\\ude00", "😀"),
        (b"\\ud83d", "\ufffd"),
        (b"\\ude00\\ud83d", "\ufffd\ufffd"),
        (b"\\ud83d\\ud83d\\ude00", "\ufffd😀"),
        (b"\\ud83d\\u0041", "\ufffdA"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xe2\x82", "\ufffd\ufffd"),
        (b"\xc0\x80", "\ufffd\ufffd"),
        (b'\\/\\b\\f\\n\\r\\t\\"\\\\', '/\b\f\n\r\t"\\'),
    ],
)
def test_what_is_no_text_becomes_the_replacement_character(text: bytes, said: str) -> None:
    assert parse(b'"' + text + b'"') == said


def test_numbers_keep_the_form_that_decides() -> None:
    long = b"9" * 5000
    found = parse(b"[-0, 1, 1.0, 1e0, " + long + b"]")
    assert found == [
        RawNumber("-0"),
        1,
        RawNumber("1.0"),
        RawNumber("1e0"),
        RawNumber(long.decode()),
    ]
    assert hash(found[0]) == hash(RawNumber("-0"))
    assert repr(found[2]) == "1.0"


def test_go_escapes_what_html_and_javascript_trip_over() -> None:
    assert quoted("<>&\u2028\u2029\x7f\x00é\b\f") == (
        '"\\u003c\\u003e\\u0026\\u2028\\u2029\x7f\\u0000é\\b\\f"'
    )
    kind = MapOf("map[int]string", Text(), Number("int", signed=True))
    assert encode(kind, {"10": "b", "9": "a", "-1": "c"}) == '{"-1":"c","10":"b","9":"a"}'


def test_texts_are_quoted_as_go_quotes_them() -> None:
    assert quote('a"\\\x07\x0b\x00\x7f\u2028\U000e0001é') == (
        '"a\\"\\\\\\a\\v\\x00\\x7f\\u2028\\U000e0001é"'
    )


def test_the_quick_way_is_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(text: str) -> Any:
        raise AssertionError

    monkeypatch.setattr(gojson, "Scanner", never)
    assert parse('{"é": [1, "\\n"]}'.encode()) == (("é", [1, "\n"]),)
