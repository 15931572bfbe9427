"""The envelope: canonical payloads, sealing, and whatever else may stand in a file."""

from __future__ import annotations

import json
import re
import sys
import traceback
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkpointkit.envelope import (
    ENVELOPE_VERSION,
    HEADER_LIMIT,
    MAX_DEPTH,
    Header,
    decode_payload,
    encode_payload,
    make_header,
    open_envelope,
    open_header,
    seal_envelope,
    timestamp,
)
from checkpointkit.errors import (
    CorruptCheckpointError,
    EncodeError,
    EnvelopeVersionError,
    StructureError,
)
from checkpointkit.keys import check_key

SECRET = "s3cret-t0ken"
GOLDEN = Path(__file__).parent / "data" / "envelope-1.txt"

# ------------------------------------------------------------------------------------- helpers

texts = st.text(st.characters(codec="utf-8"), max_size=8)
# What canonical JSON has trouble with: quotes, escapes, brackets and colons inside of texts.
nasty = st.text(st.sampled_from('"\\[]{}:, \n\x00\x7fé\U0001f600/\u2028a'), max_size=8)
names = texts | nasty
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | names
)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
payloads = st.dictionaries(names, plain, max_size=5)
# Eight objects or more, with texts that need no escape: their names are counted another way.
unescaped = st.text(st.sampled_from(':,{}[] é"'.replace('"', "")), max_size=4)
many_objects = st.dictionaries(
    unescaped,
    st.lists(st.dictionaries(unescaped, unescaped, max_size=3), min_size=8, max_size=12),
    min_size=1,
    max_size=2,
)


def canonical(payload: Any) -> bytes:
    """Return canonical JSON as the documentation defines it."""
    return json.dumps(
        payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def same(first: Any, second: Any) -> bool:
    """Compare plain data by type, too: `1 == 1.0 == True`, and `-0.0 == 0.0`."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second) if isinstance(first, float) else bool(first == second)


def shuffled(value: Any, rank: int) -> Any:
    """Return equal data whose objects were filled in another order."""
    if isinstance(value, list):
        return [shuffled(item, rank) for item in value]
    if not isinstance(value, dict):
        return value
    items = sorted(value, key=lambda name: sha256(f"{rank}{name!r}".encode()).digest())
    return {name: shuffled(value[name], rank) for name in items}


def header_for(payload: bytes, **fields: Any) -> Header:
    values: dict[str, Any] = {
        "key": "node-a",
        "kind": "example.com/pods",
        "schema_version": 3,
        "fingerprint": "fp1:00112233445566778899aabbccddeeff",
        "generation": 7,
        "created_at": "2026-01-02T03:04:05.000006Z",
        "previous": None,
        "payload": payload,
    }
    return make_header(**values | fields)


def sealed(payload: bytes = b'{"n":1}', **fields: Any) -> bytes:
    return seal_envelope(header_for(payload, **fields), payload)[0]


def by_hand(line_2: bytes, payload: bytes = b"", version: int = 1) -> bytes:
    """Return an envelope whose first line fits any second line."""
    digest = sha256(b"checkpointkit/%d\n%b" % (version, line_2)).hexdigest()
    return b"checkpointkit/%d sha256:%b\n%b%b" % (version, digest.encode(), line_2, payload)


def line_2(**fields: Any) -> bytes:
    """Return a canonical second line with some fields replaced, or left out for `...`."""
    header = header_for(b'{"n":1}')._asdict() | fields
    return canonical({name: value for name, value in header.items() if value is not ...}) + b"\n"


def corrupt(data: bytes, key: str = "node-a", generation: int | None = None) -> str:
    with pytest.raises(CorruptCheckpointError) as caught:
        open_envelope(data, key, generation)
    assert caught.value.key == key
    assert caught.value.__context__ is None
    return caught.value.reason


def not_decoded(data: bytes) -> str:
    with pytest.raises(CorruptCheckpointError) as caught:
        decode_payload(data, "a", 3)
    assert (caught.value.key, caught.value.generation) == ("a", 3)
    assert caught.value.__context__ is None  # a ValueError of the parser would quote the text
    return caught.value.reason


def not_encoded(payload: Any) -> str:
    with pytest.raises(EncodeError) as caught:
        encode_payload(payload)
    assert caught.value.key is None
    assert caught.value.__context__ is None
    (problem,) = caught.value.problems
    return problem


NO_OBJECT = "the payload is no JSON object of this format"
TOO_DEEP = "nested more than 200 deep"


# ------------------------------------------------------------------------------ the payload's way


@given(payloads | many_objects, st.integers(0, 9))
@example({"a": [{"addr": ":8080"}] * 8}, 0)
@example({":": [{":": ":"}] * 8}, 0)
@example({"a": ['":', "\\", '\\":']}, 0)
def test_equal_payloads_give_equal_bytes_that_decode_to_them(
    payload: dict[str, Any], rank: int
) -> None:
    data = encode_payload(payload)
    assert data == canonical(payload)
    assert encode_payload(shuffled(payload, rank)) == data
    decoded = decode_payload(data, "a", 1)
    assert same(decoded, payload)
    assert encode_payload(decoded) == data


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        ({}, b"{}"),
        ({"b": 1, "a": [True, None]}, b'{"a":[true,null],"b":1}'),
        ({"Z": 0, "a": 0, "é": 0, "\U0001f600": 0, "\uff41": 0}, None),
        ({"a": 'é"\\\n\x00\x7f/\u2028'}, b'{"a":"\xc3\xa9\\"\\\\\\n\\u0000\x7f/\xe2\x80\xa8"}'),
        ({"a": 0.1, "b": 1e300, "c": -0.0, "d": 1.0}, b'{"a":0.1,"b":1e+300,"c":-0.0,"d":1.0}'),
        ({"a": 2**64, "b": -(2**63)}, b'{"a":18446744073709551616,"b":-9223372036854775808}'),
    ],
)
def test_canonical_bytes_are_these(payload: dict[str, Any], data: bytes | None) -> None:
    if data is None:  # names stand in the order of their code points
        data = b'{"Z":0,"a":0,"\xc3\xa9":0,"\xef\xbd\x81":0,"\xf0\x9f\x98\x80":0}'
    assert encode_payload(payload) == data
    assert same(decode_payload(data, "a", 1), payload)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "no canonical JSON (ValueError)"),
        (float("inf"), "no canonical JSON (ValueError)"),
        (float("-inf"), "no canonical JSON (ValueError)"),
        (10**5000, "no canonical JSON (ValueError)"),
        (b"bytes", "no canonical JSON (TypeError)"),
        ({1, 2}, "no canonical JSON (TypeError)"),
        (object(), "no canonical JSON (TypeError)"),
        ({"a": 1, 2: 3}, "no canonical JSON (TypeError)"),
        ({(): 1}, "no canonical JSON (TypeError)"),
        ("\ud800", "a text holds a lone surrogate, which UTF-8 cannot carry"),
        ({"\udfff": 1}, "a text holds a lone surrogate, which UTF-8 cannot carry"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form_is_refused(value: Any, problem: str) -> None:
    assert not_encoded({"a": [value]}) == problem


def test_data_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert not_encoded({"a": loop}) == "no canonical JSON (ValueError)"


def nested(depth: int, leaf: Any = 0) -> dict[str, Any]:
    """Return a payload of this depth: lists and objects in turn."""
    value = leaf
    for level in range(depth - 1):
        value = [value] if level % 2 else {"x": value}
    return {"a": value}


BRACKETS = ["[" * 300, "]" * 300, '"' + "[" * 300, '\\"[' * 300, '\\\\"{' * 300, "[{" * 300 + "\\"]


@pytest.mark.parametrize("leaf", [0, *BRACKETS], ids=lambda leaf: ascii(leaf)[:8])
def test_a_payload_may_be_200_deep_and_no_deeper(leaf: Any) -> None:
    assert MAX_DEPTH == 200
    payload = nested(200, leaf)
    data = encode_payload(payload)
    assert decode_payload(data, "a", 1) == payload
    assert not_encoded(nested(201, leaf)) == TOO_DEEP
    assert not_decoded(canonical(nested(201, leaf))) == TOO_DEEP


@pytest.mark.parametrize("text", BRACKETS, ids=lambda leaf: ascii(leaf)[:8])
def test_brackets_in_texts_and_side_by_side_are_no_depth(text: str) -> None:
    payload = {text: [text, [], {}] * 300, "b": [[[]]] * 300}
    assert decode_payload(encode_payload(payload), "a", 1) == payload


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_very_deep_payload_is_refused_without_a_crash(depth: int) -> None:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    assert not_encoded({"a": value}) == TOO_DEEP
    while value:  # taken apart by hand, lest its end should recurse
        (value,) = value
    assert not_decoded(b'{"a":' + b"[" * depth + b"]" * depth + b"}") == TOO_DEEP
    assert not_decoded(b"[" * depth) == TOO_DEEP


def test_the_depth_of_long_texts_full_of_escapes_is_found_in_linear_time() -> None:
    """A quadratic scan would take hours here."""
    text = '\\"' * 500_000
    payload = {"a": text, "b": [[]] * 300}
    assert decode_payload(encode_payload(payload), "a", 1) == payload
    assert not_decoded(b"[" * 201 + b'"' + text.encode()) == TOO_DEEP
    assert not_decoded(b"[" * 4_000_000) == TOO_DEEP


# ------------------------------------------------------------------- payloads of other programs

FILLER = b'"x":[{},{},{},{},{},{},{},{},{}]'


@pytest.mark.parametrize("filler", [b'"x":0', FILLER, b'"x":"\\n"', FILLER + b',"y":"\\n"'])
@pytest.mark.parametrize(
    "twice",
    [
        b'"a":1,"a":2',
        b'"a":1,"a":1',
        b'"b":{"a":1,"a":2}',
        b'"b":[{"a":1,"a":2}]',
        b'"a":1,"\\u0061":2',
        b'"a":1,"a":2,"b" :3',
        b'"a":1,"a":2,"b"\n:3',
        b'"a":1,"a":2,"b"\t:3,"c":":"',
        b'"a":":","a":2',
    ],
)
def test_a_name_that_stands_twice_is_refused(twice: bytes, filler: bytes) -> None:
    """The standard library's parser would keep the last value and say nothing."""
    assert not_decoded(b"{" + twice + b"," + filler + b"}") == NO_OBJECT
    assert not_decoded(b"{" + filler + b"," + twice + b"}") == NO_OBJECT


@pytest.mark.parametrize("filler", [b'"x":0', FILLER, FILLER + b',"y":"\\n"'])
@pytest.mark.parametrize(
    "valid",
    [b'"b":1,"a":2', b'"a" :1', b'"a": 1', b'"a":\n1', b'"a":"\\u0061"', b'"a":1e2', b'"a":":b"'],
)
def test_valid_json_of_another_form_is_read(valid: bytes, filler: bytes) -> None:
    """The digests fit, so it is what was saved; a person with a script may have saved it."""
    data = b"{" + valid + b"," + filler + b"}"
    assert decode_payload(data, "a", 1) == json.loads(data)


@pytest.mark.parametrize("filler", [b"0", b"[{},{},{},{},{},{},{},{},{}]"])
@pytest.mark.parametrize(
    "value", [b"NaN", b"Infinity", b"-Infinity", b"9" * 5000, b"01", b"+1", b".5", b"'a'", b"[1,]"]
)
def test_what_is_no_json_is_refused(value: bytes, filler: bytes) -> None:
    assert not_decoded(b'{"a":' + value + b',"x":' + filler + b"}") == NO_OBJECT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"[]",
        b"null",
        b'"a"',
        b"1",
        b"{",
        b"{}}",
        b"{}\n",
        b" {}",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\n"}',
        b'{"a":"\\\n"}',
        "{}".encode("utf-16"),
        b"\x00\x00",
    ],
)
def test_a_payload_is_one_json_object_and_nothing_else(data: bytes) -> None:
    assert not_decoded(data) == NO_OBJECT


@given(
    st.binary(max_size=80)
    | st.text('{}[]":,\\ \n0ae-.tNu', max_size=40).map(str.encode)
    | st.lists(
        st.sampled_from(["{", "}", "[", "]", '"', ":", ",", "\\", '"a":', "{}", "1", " ", ":8"]),
        max_size=60,
    ).map(lambda parts: "".join(parts).encode())
)
def test_arbitrary_payloads_decode_as_json_does_or_are_refused(data: bytes) -> None:
    reason = None
    decoded: object = None
    try:
        decoded = decode_payload(data, "a", 3)
    except CorruptCheckpointError as error:
        reason = error.reason
    if reason is None:
        assert decoded == json.loads(data)
    else:
        assert reason in {NO_OBJECT, TOO_DEEP}


def test_no_error_tells_what_is_in_a_payload() -> None:
    shown = []
    for value in (float("nan"), "\ud800", {1: 2, SECRET: 3}, object()):
        with pytest.raises(EncodeError) as encode:
            encode_payload({SECRET: [SECRET, value]})
        shown += [*traceback.format_exception(encode.value), repr(encode.value)]
    for text in ('{"%s":', '{"%s":1,"%s":1}', '{"%s":"\xff"}', '["%s"]', '{"a":%s}'):
        data = text.replace("%s", SECRET).encode("latin-1")
        with pytest.raises(CorruptCheckpointError) as decode:
            decode_payload(data, "a", 1)
        shown += [*traceback.format_exception(decode.value), repr(decode.value)]
    assert SECRET not in "".join(shown)


# --------------------------------------------------------------------------------- seal and open


@given(
    payloads,
    st.from_regex(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,248}[A-Za-z0-9])?", fullmatch=True),
    st.text([chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"\\'], min_size=1, max_size=253),
    st.integers(1, 10**18 - 1),
    st.integers(1, 10**18 - 1),
    st.datetimes(timezones=st.just(UTC)),
    st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
)
def test_what_is_sealed_opens_as_it_was(
    payload: dict[str, Any],
    key: str,
    kind: str,
    generation: int,
    version: int,
    moment: datetime,
    previous: str | None,
) -> None:
    data = encode_payload(payload)
    header = header_for(
        data,
        key=check_key(key),
        kind=kind,
        generation=generation,
        schema_version=version,
        created_at=timestamp(moment),
        previous=previous,
    )
    stored, digest = seal_envelope(header, data)
    for asked in (None, generation):
        envelope = open_envelope(stored, key, asked)
        assert envelope == (header, data, digest, len(stored))
    assert [type(field) for field in envelope.header] == [type(field) for field in header]
    assert datetime.fromisoformat(header.created_at) == moment

    first, second, rest = stored.split(b"\n", 2)
    assert rest == data
    assert first == b"checkpointkit/%d sha256:%b" % (ENVELOPE_VERSION, digest.encode())
    assert second == canonical(header._asdict())  # filled in by hand, and canonical all the same
    assert sha256(b"checkpointkit/1\n" + second + b"\n").hexdigest() == digest
    assert len(first) + len(second) + 2 <= HEADER_LIMIT
    assert open_header(stored[:HEADER_LIMIT], key) == (header, digest, len(stored) - len(data))


def test_the_header_can_be_read_without_the_payload() -> None:
    stored = sealed(b'{"n":"' + b"x" * 10_000 + b'"}')
    header, _, start = open_header(stored[:HEADER_LIMIT], "node-a", 7)
    assert (header.payload_size, start) == (10_008, len(stored) - 10_008)
    assert open_header(stored[:start], "node-a")[0] == header


def test_the_golden_envelope_stays_readable_for_ever() -> None:
    """Bytes of release 0.1: whatever changes, they open, and the same state gives them again."""
    stored = GOLDEN.read_bytes()
    envelope = open_envelope(stored, "node-a", 2)
    assert envelope.header == Header(
        created_at="2026-01-02T03:04:05.000006Z",
        fingerprint="fp1:5e838a1f4bcfd3c155de52df5199a0dd",
        generation=2,
        key="node-a",
        kind="example.com/pod-devices",
        payload_sha256="092b0c99bc95e9efd5b949ad28ed9f9c5499248f8d433519639442db63521095",
        payload_size=105,
        previous="0" * 64,
        schema_version=3,
    )
    assert decode_payload(envelope.payload, "node-a", 2) == {
        "boot_id": None,
        "devices": {"gpu": ["0", "1"], 'näme "q" \\': [":8080", "\n"]},
        "pod_uid": "7f3e",
        "ratio": 0.1,
    }
    assert seal_envelope(envelope.header, envelope.payload)[0] == stored
    assert len(stored) == envelope.size


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000000Z"),
        (
            datetime(2026, 1, 1, 23, 30, tzinfo=timezone(-timedelta(hours=5, minutes=30))),
            "2026-01-02T05:00:00.000000Z",
        ),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_moment_is_stored_in_utc_with_microseconds(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text
    assert open_envelope(sealed(created_at=text), "node-a").header.created_at == text


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        timestamp(datetime(2026, 1, 2))


# -------------------------------------------------------------------------------------------- rot


@pytest.mark.parametrize("fields", [{}, {"previous": "ab" * 32}], ids=["first save", "later save"])
def test_every_flipped_bit_is_corruption(fields: dict[str, Any]) -> None:
    stored = sealed(b'{"n":[1,2,{"a":"b"}]}', **fields)
    for offset in range(len(stored)):
        for bit in range(8):
            bad = bytearray(stored)
            bad[offset] ^= 1 << bit
            corrupt(bytes(bad))


def test_every_truncation_is_corruption() -> None:
    stored = sealed()
    reasons = {corrupt(stored[:length]) for length in range(len(stored))}
    assert "it is empty" in reasons
    assert "the header is cut short" in reasons
    assert "the payload has 0 bytes, not 7" in reasons


@given(st.binary(min_size=1, max_size=20))
@example(b"\n")
@example(b"\x00")
@example(b" ")
def test_appended_bytes_are_corruption(more: bytes) -> None:
    assert corrupt(sealed() + more) == f"the payload has {7 + len(more)} bytes, not 7"


@given(st.data())
def test_any_damage_to_a_stretch_is_corruption(data: st.DataObject) -> None:
    stored = sealed(b'{"n":[1,2,{"a":"b"}]}')
    start = data.draw(st.integers(0, len(stored)))
    end = data.draw(st.integers(start, len(stored)))
    other = data.draw(
        st.binary(max_size=40) | st.just(bytes(end - start)) | st.just(stored[start:end] * 2)
    )
    bad = stored[:start] + other + stored[end:]
    if bad != stored:
        corrupt(bad)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\x00", "it begins with NUL bytes"),
        (bytes(HEADER_LIMIT), "it begins with NUL bytes"),
        (bytes(HEADER_LIMIT) + sealed(), "it begins with NUL bytes"),
        (b"\x00" + sealed(), "line 1 is no envelope's"),
        (b"{}", "line 1 is no envelope's"),
        (b"\xef\xbb\xbf" + sealed(), "line 1 is no envelope's"),
        (sealed().replace(b"\n", b"\r\n"), "line 1 is no envelope's"),
        (sealed().replace(b"checkpointkit/1", b"checkpointkit/01"), "line 1 is no envelope's"),
        (sealed().replace(b"checkpointkit/1", b"checkpointkit/0"), "line 1 is no envelope's"),
        (sealed().replace(b"checkpointkit/1", b"checkpointkit/+1"), "line 1 is no envelope's"),
        (sealed()[:88], "the header is cut short"),
        (sealed()[:120], "the header is cut short"),
        (sealed()[:88] + b"x" * HEADER_LIMIT + b"\n", "the header is cut short"),
        (sealed().replace(b"node-a", b"node-b"), "the header does not match its digest"),
        (sealed().replace(b'{"n":1}', b'{"n":2}'), "the payload does not match its digest"),
        (sealed()[:-1], "the payload has 6 bytes, not 7"),
    ],
)
def test_the_reason_says_what_is_wrong(data: bytes, reason: str) -> None:
    assert corrupt(data) == reason


def test_the_digest_of_line_1_is_lowercase_hex_alone() -> None:
    stored = sealed()
    digest = stored[23:87]
    assert digest.upper() != digest
    assert corrupt(stored.replace(digest, digest.upper())) == "line 1 is no envelope's"


def test_a_swapped_header_of_another_good_envelope_is_corruption() -> None:
    one, other = sealed(b'{"n":1}'), sealed(b'{"n":2}')
    assert corrupt(one[:-7] + other[-7:]) == "the payload does not match its digest"
    assert corrupt(one[:88] + other[88:]) == "the header does not match its digest"


# --------------------------------------------------------------------------- the order of checks


@pytest.mark.parametrize("digit", b"23456789")
def test_a_flipped_version_digit_is_rot_and_no_newer_format(digit: int) -> None:
    stored = bytearray(sealed())
    stored[14] = digit
    assert corrupt(bytes(stored)) == "the header does not match its digest"


@pytest.mark.parametrize("version", [2, 10, 999_999_999])
@pytest.mark.parametrize("second", [b"\n", b"anything \xff\x00 at all\n", line_2()])
def test_a_newer_envelope_with_a_right_digest_is_refused_by_its_version(
    version: int, second: bytes
) -> None:
    stored = by_hand(second, b"and \xff whatever follows", version)
    for read in (open_envelope, open_header):
        with pytest.raises(EnvelopeVersionError) as caught:
            read(stored, "node-a", 7)
        assert vars(caught.value) == {"key": "node-a", "stored": version, "supported": 1}
    rotten = stored[: stored.index(b"\n") + 1] + b"!" + second
    assert corrupt(rotten) == "the header does not match its digest"


def test_an_envelope_version_of_ten_digits_is_no_envelope() -> None:
    assert corrupt(by_hand(line_2(), version=10**9)) == "line 1 is no envelope's"


def test_the_key_is_compared_before_the_generation_and_both_before_the_payload() -> None:
    stored = sealed() + b"more"
    assert corrupt(stored, "node-b", 8) == "it holds the checkpoint 'node-a'"
    assert corrupt(stored, "node-a", 8) == "it holds generation 7"
    assert corrupt(stored, "node-a", 7) == "the payload has 11 bytes, not 7"
    same_size = sealed()[:-1] + b"!"
    assert corrupt(same_size, "node-a", 7) == "the payload does not match its digest"


def test_the_generation_is_told_as_soon_as_the_header_vouches_for_it() -> None:
    with pytest.raises(CorruptCheckpointError) as caught:
        open_envelope(sealed()[:-1], "node-a")
    assert caught.value.generation == 7
    with pytest.raises(CorruptCheckpointError) as caught:
        open_envelope(sealed().replace(b'"generation":7', b'"generation":8'), "node-a")
    assert caught.value.generation is None
    with pytest.raises(CorruptCheckpointError) as caught:
        open_envelope(b"", "node-a", 5)
    assert caught.value.generation == 5


def test_a_wrong_digest_wins_over_a_wrong_key() -> None:
    bad = sealed().replace(b'"generation":7', b'"generation":8')
    assert corrupt(bad, "node-b") == "the header does not match its digest"


# --------------------------------------------------------------------------- the header's grammar

FORM = "the header is none of this format"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"generation": 10**18 - 1}, None),
        ({"generation": 10**18}, FORM),
        ({"generation": 0}, FORM),
        ({"generation": -1}, FORM),
        ({"generation": 1.0}, FORM),
        ({"generation": "7"}, FORM),
        ({"generation": True}, FORM),
        ({"generation": ...}, FORM),
        ({"schema_version": 10**18 - 1}, None),
        ({"schema_version": 10**18}, FORM),
        ({"schema_version": 0}, FORM),
        ({"payload_size": 0}, FORM),
        ({"payload_size": None}, FORM),
        ({"kind": "k" * 255}, None),
        ({"kind": "k" * 256}, FORM),
        ({"kind": ""}, FORM),
        ({"kind": 'quo"te'}, FORM),
        ({"kind": "back\\slash"}, FORM),
        ({"kind": "kïnd"}, FORM),
        ({"kind": "tab\t"}, FORM),
        ({"kind": "with space ~ !#[]"}, None),
        ({"fingerprint": "fp2:" + "x" * 251}, None),
        ({"fingerprint": "fp2:" + "x" * 252}, FORM),
        ({"fingerprint": ""}, FORM),
        ({"previous": "0" * 64}, None),
        ({"previous": "0" * 63}, FORM),
        ({"previous": "A" * 64}, FORM),
        ({"previous": ""}, FORM),
        ({"previous": ...}, FORM),
        ({"payload_sha256": "0" * 63 + "g"}, FORM),
        ({"created_at": "2026-01-02T03:04:05Z"}, FORM),
        ({"created_at": "2026-01-02T03:04:05.000006+00:00"}, FORM),
        ({"created_at": "2026-02-31T29:00:00.000000Z"}, None),
        ({"created_at": None}, FORM),
        ({"extra": 1}, FORM),
        ({"zzz": 1}, FORM),
    ],
)
def test_the_header_has_exactly_its_fields(fields: dict[str, Any], reason: str | None) -> None:
    stored = by_hand(line_2(**fields), b'{"n":1}')
    if reason is None:
        header = open_envelope(stored, "node-a").header
        assert {name: getattr(header, name) for name in fields} == fields
    else:
        assert corrupt(stored) == reason


@pytest.mark.parametrize(
    "second",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        line_2().replace(b":", b": "),
        line_2().replace(b"}\n", b"} \n"),
        line_2().replace(b"}\n", b',"schema_version":3}\n'),
        line_2().replace(b'"node-a"', b'"node-\\u0061"'),
        line_2()[:-2] + b"\n",
        b" " + line_2(),
        line_2().replace(b'"generation":7', b'"generation":07'),
    ],
)
def test_a_header_that_is_not_canonical_is_none(second: bytes) -> None:
    assert corrupt(by_hand(second, b'{"n":1}')) == FORM


def test_the_longest_header_fits_its_limit() -> None:
    stored = sealed(
        key="k" * 250,
        kind="k" * 255,
        fingerprint="f" * 255,
        generation=10**18 - 1,
        schema_version=10**18 - 1,
        previous="f" * 64,
    )
    _, _, start = open_header(stored[:HEADER_LIMIT], "k" * 250)
    assert start < HEADER_LIMIT // 2


# ------------------------------------------------------------------------------- arbitrary bytes

KNOWN = re.compile(
    "it is empty|it begins with NUL bytes|line 1 is no envelope's|the header is cut short"
    "|the header does not match its digest|the header is none of this format"
    "|it holds the checkpoint '.*'|it holds generation [0-9]+"
    "|the payload has [0-9]+ bytes, not [0-9]+|the payload does not match its digest"
)


@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda data: b"checkpointkit/1 sha256:" + data)
    | st.binary(max_size=100).map(lambda data: sealed()[:88] + data)
    | st.binary(max_size=100).map(lambda data: by_hand(data.replace(b"\n", b"") + b"\n", data))
    | st.tuples(st.binary(max_size=50), st.integers(2, 10**9)).map(
        lambda both: by_hand(both[0].replace(b"\n", b"") + b"\n", both[0], both[1])
    ),
    st.none() | st.integers(1, 9),
)
def test_arbitrary_bytes_give_documented_errors_alone(data: bytes, generation: int | None) -> None:
    with pytest.raises((CorruptCheckpointError, EnvelopeVersionError)) as caught:
        open_envelope(data, "node-a", generation)  # bytes that nobody sealed
    error = caught.value
    assert error.__context__ is None
    if isinstance(error, EnvelopeVersionError):
        assert data.startswith(b"checkpointkit/%d " % error.stored)
    else:
        assert isinstance(error, CorruptCheckpointError)
        assert error.key == "node-a"
        assert KNOWN.fullmatch(error.reason)
        assert error.generation == generation


@given(st.binary(max_size=200))
def test_arbitrary_payloads_with_right_digests_come_out_as_they_are(payload: bytes) -> None:
    if not payload:
        assert corrupt(sealed(payload)) == FORM  # no state is empty
    else:
        assert open_envelope(sealed(payload), "node-a").payload == payload


def test_a_stack_that_is_used_up_is_said_to_be_and_is_no_corruption() -> None:
    payload: dict[str, Any] = {}
    for _ in range(180):
        payload = {"a": payload}
    data = encode_payload(payload)

    def deep(frames: int) -> object:
        return deep(frames - 1) if frames else decode_payload(data, "a", 1)

    assert deep(1) == payload
    with pytest.raises(StructureError, match="nested too deeply"):
        deep(sys.getrecursionlimit() - 120)
