"""The envelope of a create call: every fault by its message; nothing else is a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.batches import envelope, jsontext
from batchyard.batches.request import Entry
from batchyard.errors import InvalidRequest

REQUEST = b'{"custom_id":"a","params":{"m":1}}'
BODY = b'{"requests":[' + REQUEST + b"]}"
NOT_JSON = "The request body is not valid JSON: "


def reader(body: bytes) -> jsontext.Read:
    return lambda offset, size: body[offset : offset + size]


def refusal(body: bytes, requests_max: int = 100_000) -> str:
    with pytest.raises(InvalidRequest) as refused:
        envelope.check(reader(body), requests_max)
    return refused.value.message


def listed(body: bytes) -> list[Entry]:
    return list(envelope.entries(reader(body)))


def of(*requests: object) -> bytes:
    return json.dumps({"requests": list(requests)}).encode()


def asked(custom_id: str, **params: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "params": params}


# -- what is refused, and how ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"params": {}}, "requests.1.custom_id: Field required"),
        ({"custom_id": "b"}, "requests.1.params: Field required"),
        ({}, "requests.1.custom_id: Field required"),
        (asked("b" * 65), "requests.1.custom_id: String should have at most 64 characters"),
        (asked("b" * 1_000_000), "requests.1.custom_id: String should have at most 64 characters"),
        (asked(""), "requests.1.custom_id: String should have at least 1 character"),
        (
            asked("a b"),
            "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            asked("b\n"),
            "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            asked("../é"),
            "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        ({"custom_id": 5, "params": {}}, "requests.1.custom_id: Input should be a valid string"),
        ({"custom_id": None, "params": {}}, "requests.1.custom_id: Input should be a valid string"),
        ({"custom_id": "b", "params": 5}, "requests.1.params: Input should be an object"),
        ({"custom_id": "b", "params": None}, "requests.1.params: Input should be an object"),
        ({"custom_id": "b", "params": []}, "requests.1.params: Input should be an object"),
        ({"custom_id": "b", "params": {}, "x": 1}, "requests.1.x: Extra inputs are not permitted"),
        ({"x" * 200: 1}, f"requests.1.{'x' * 100}: Extra inputs are not permitted"),
        (5, "requests.1: Input should be an object"),
        (None, "requests.1: Input should be an object"),
        ([asked("b")], "requests.1: Input should be an object"),
        (
            asked("a"),
            "requests: custom_id's must be unique within a batch. Duplicate custom_id found: a",
        ),
    ],
)
def test_a_faulty_entry_is_refused_by_its_path(request_: object, message: str) -> None:
    assert refusal(of(asked("a"), request_)) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "requests: Field required"),
        (b'{"betas":1}', "betas: Extra inputs are not permitted"),
        (b'{"requests":5}', "requests: Input should be a valid list"),
        (b'{"requests":{}}', "requests: Input should be a valid list"),
        (b'{"requests":null}', "requests: Input should be a valid list"),
        (
            b'{"requests":[]}',
            "requests: List should have at least 1 item after validation, not 0",
        ),
        (BODY[:-1] + b',"x":1}', "x: Extra inputs are not permitted"),
        (BODY[:-1] + b',"requests":[]}', "requests: Field given more than once"),
        (b"[]", 'The request body should be an object: {"requests": [...]}'),
        (b'"text"', 'The request body should be an object: {"requests": [...]}'),
        (b"5", 'The request body should be an object: {"requests": [...]}'),
        (b"[" + b"1," * 50_000, 'The request body should be an object: {"requests": [...]}'),
    ],
)
def test_a_body_of_another_shape_is_refused(body: bytes, message: str) -> None:
    assert refusal(body) == message


_HALF_PAIR = "half of a surrogate pair (\\ud800 to \\udfff) stands alone in a string"
_WIDE = "it is UTF-16 or UTF-32; JSON is sent as UTF-8"


def _with(value: bytes) -> bytes:
    return BODY.replace(b"1", value)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "it is empty (byte 0)"),
        (b" \n", "it is empty (byte 0)"),
        (b"nonsense", "invalid character (byte 1)"),
        (b"nul", "the text ends too early (byte 3)"),
        (b"[1,", "the text ends too early (byte 3)"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"{", "the text ends too early (byte 1)"),
        (b'{"' + b"k" * 100_000, "expected a quoted name (byte 1)"),
        (b"{5", "expected a quoted name (byte 1)"),
        (b'{"\\x":1}', "invalid escape character in string (byte 1)"),
        (b'{"requests"', "the text ends too early (byte 11)"),
        (b'{"requests" []}', "expected ':' (byte 12)"),
        (b'{"requests":tru}', "invalid character (byte 13)"),
        (b'{"requests":', "the text ends too early (byte 12)"),
        (b'{"requests":[,]}', "invalid character (byte 13)"),
        (b'{"requests":[,' + REQUEST + b"," + REQUEST + b"]}", "invalid character (byte 13)"),
        (BODY[:-1], "the text ends too early (byte 48)"),
        (BODY[:-2], "the text ends too early (byte 47)"),
        (BODY[:-4] + b" ", "the text ends too early (byte 46)"),
        (BODY + b"x", "there is more after its end (byte 49)"),
        (BODY + BODY, "there is more after its end (byte 49)"),
        (BODY[:-1] + b",}", "expected a quoted name (byte 49)"),
        (BODY[:-2] + b",]}", "trailing comma in array (byte 48)"),
        (BODY[:-2] + b" 5]}", "expected ',' or ']' (byte 48)"),
        (b"\xef\xbb\xbf" + BODY, "it starts with a byte order mark (byte 0)"),
        (BODY.decode().encode("utf-16"), f"{_WIDE} (byte 0)"),
        (BODY.decode().encode("utf-16-be"), f"{_WIDE} (byte 0)"),
        (BODY.decode().encode("utf-32-le"), f"{_WIDE} (byte 0)"),
        (BODY.decode().encode("utf-32-be"), f"{_WIDE} (byte 0)"),
        (_with(b'"\xff"'), "invalid UTF-8 (byte 45)"),
        (_with(b'"\xe2\x82"'), "invalid UTF-8 (byte 45)"),
        (_with(b'"\xed\xa0\x80"'), "invalid UTF-8 (byte 45)"),
        (_with(b"\x00"), "invalid character (byte 44)"),
        (_with(b'"\n"'), "invalid character (byte 45)"),
        (_with(b"NaN"), "invalid character (byte 44)"),
        (_with(b"-Infinity"), "invalid character (byte 45)"),
        (_with(b'"\\ud800"'), f"{_HALF_PAIR} (byte 51)"),
        (_with(b'"\\udc00 and on it goes"'), f"{_HALF_PAIR} (byte 51)"),
        (_with(b'"\\ud800\\u0041"'), f"{_HALF_PAIR} (byte 57)"),
        (_with(b"[" * 200_000), "it is nested too deeply"),
        (_with(b"[" * 200_000 + b"]" * 200_000), "it is nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_the_place(body: bytes, fault: str) -> None:
    assert refusal(body) == NOT_JSON + fault


@pytest.mark.parametrize(
    "value",
    [
        b'"\\u0000"',
        b"1e400",
        b"9" * 5_000,
        b'"' + b"x" * 5_000_000 + b'"',
        b'{"k":1,"k":2}',
        b'"\\ud83d\\ude00"',
        "\u2028".join(['"', '"']).encode(),
        b"[" * 500 + b"]" * 500,
    ],
    ids=["nul", "1e400", "digits", "5 MB", "doubled", "pair", "u2028", "500 deep"],
)
def test_odd_but_valid_json_is_taken_as_it_is(value: bytes) -> None:
    body = _with(value)
    assert envelope.check(reader(body), 10) == 1
    [entry] = listed(body)
    assert body[entry.offset : entry.offset + entry.length] == b'{"m":' + value + b"}"


def test_more_requests_than_allowed_are_counted_and_refused() -> None:
    body = of(*(asked(f"r{number}") for number in range(11)))
    assert envelope.check(reader(body), 11) == 11
    rule = "List should have at most 10 items after validation, not 11"
    assert refusal(body, 10) == f"requests: {rule}"


def test_a_million_keys_in_one_object_are_no_reason_to_refuse() -> None:
    keys = b",".join(b'"k%d":1' % number for number in range(1_000_000))
    assert envelope.check(reader(_with(b"{" + keys + b"}")), 1) == 1


# -- uniqueness ------------------------------------------------------------------------------------


def test_equal_hashes_alone_are_no_offence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "hash", len, raising=False)
    assert envelope.check(reader(of(asked("aa"), asked("bb"), asked("c"))), 10) == 3
    assert refusal(of(asked("aa"), asked("bb"), asked("c"), asked("bb"))).endswith("found: bb")


def test_the_first_repetition_in_reading_order_is_the_one_named() -> None:
    names = ["p", "q", "r", "q", "p"]
    assert refusal(of(*(asked(name) for name in names))).endswith("found: q")


# -- numbers without an end ------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [10_001, 12_289, 100_000, 1_000_000])
@pytest.mark.parametrize("before", [0, 1, 4_000, 300_000])
def test_a_number_of_more_than_10_000_digits_is_refused_by_its_place(
    digits: int, before: int
) -> None:
    body = _with(b'"' + b"7" * before + b'",' + b'"n":-' + b"9" * digits)
    place = body.index(b'"n":-') + 5
    assert refusal(body) == f"{NOT_JSON}a number has more than 10000 digits (byte {place})"


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 10_000,
        b'"' + b"9" * 1_000_000 + b'"',
        b'"\\"' + b"9" * 1_000_000 + b'\\""',
        b"[" + b",".join([b"9" * 9_000] * 50) + b"]",
        b"0." + b"1" * 9_999,
        b'"' + b"1234567890abcdef" * 100_000 + b'"',
    ],
    ids=["10,000", "text", "quotes", "many", "decimals", "hex"],
)
def test_many_digits_that_are_no_such_number_are_taken(value: bytes) -> None:
    assert envelope.check(reader(_with(value)), 1) == 1


def test_digits_in_a_text_that_a_window_cuts_are_taken() -> None:
    body = of(*(asked(f"r{number}", text="9" * 70_000) for number in range(40)))
    assert envelope.check(reader(body), 100) == 40
