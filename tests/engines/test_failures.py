"""What a refusal means: every status, every shape of error body seen in the wild, every hint."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchyard.clock import SECOND
from batchyard.engines.failures import classify, error_type, read, retry_after
from batchyard.errors import (
    EngineError,
    ErrorType,
    Misconfigured,
    Overloaded,
    Rejected,
    Unavailable,
)

NOON = 1_760_000_000


def envelope(kind: str, message: str, **details: str) -> bytes:
    error: dict[str, object] = {"type": kind, "message": message}
    if details:
        error["details"] = details
    return json.dumps({"type": "error", "error": error}).encode()


def chat_error(message: str, kind: str, code: object) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


# -- which class ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 406, 410, 411, 413, 414, 415, 418, 422, 424, 431, 451])
def test_a_fault_of_the_request_is_rejected(status: int) -> None:
    error = classify(status, {}, envelope("invalid_request_error", "max_tokens: too many"))
    assert isinstance(error, Rejected)
    assert (error.type, error.status) == ("invalid_request_error", status)
    assert error.message == "max_tokens: too many"


@pytest.mark.parametrize("status", [401, 402, 403, 407])
def test_a_fault_of_the_operator_pauses_the_engine(status: int) -> None:
    error = classify(status, {}, envelope("authentication_error", "API key is invalid."))
    assert isinstance(error, Misconfigured)
    assert error.message == f"API key is invalid. (HTTP {status})"


@pytest.mark.parametrize("status", [408, 409, 425, 499, 500, 501, 502, 503, 504, 599])
def test_what_may_pass_is_unavailable(status: int) -> None:
    error = classify(status, {}, b"oops")
    assert isinstance(error, Unavailable)
    assert (error.status, error.retry_after) == (status, None)


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), (None, None)])
def test_too_much_is_overloaded(status: int, header: str | None, seconds: float | None) -> None:
    headers = {"retry-after": header} if header else {}
    error = classify(status, headers, envelope("rate_limit_error", "slow down"))
    assert isinstance(error, Overloaded)
    assert (error.retry_after, error.status) == (seconds, status)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"retry-after": "3"}, b"down for maintenance"),
        ({}, envelope("Service Unavailable", "The request queue is full (256).")),
        ({}, envelope("overloaded_error", "Overloaded")),
        ({}, b"Too many requests in flight"),
        ({}, b"upstream capacity exceeded"),
    ],
)
def test_a_503_that_speaks_of_a_limit_is_overloaded(headers: dict[str, str], body: bytes) -> None:
    assert isinstance(classify(503, headers, body), Overloaded)


@pytest.mark.parametrize("body", [b"", b"Loading model", b"<h1>503</h1>", b"cb_worker_dead"])
def test_any_other_503_is_unavailable(body: bytes) -> None:
    assert isinstance(classify(503, {}, body), Unavailable)


def test_an_overloaded_error_is_one_whatever_its_5xx() -> None:
    assert isinstance(classify(500, {}, envelope("overloaded_error", "busy")), Overloaded)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, envelope("rate_limit_error", "x", error_code="enforced_spend_limit_reached")),
        (400, envelope("invalid_request_error", "x", error_code="organization_on_hold")),
        (429, chat_error("You exceeded your quota", "insufficient_quota", "insufficient_quota")),
        (400, envelope("invalid_request_error", "Your credit balance is too low to go on.")),
        (400, envelope("api_error", "You have reached your specified API usage limits.")),
        (400, envelope("billing_error", "no card")),
    ],
)  # fmt: skip
def test_money_is_the_operators_fault_under_any_status(status: int, body: bytes) -> None:
    assert isinstance(classify(status, {"retry-after": "1"}, body), Misconfigured)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"detail":"Not Found"}',
        b"404 page not found\n",
        b"<html><head><title>404 Not Found</title></head></html>",
        b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
        b'{"detail":"Method Not Allowed"}',
    ],
)
def test_a_path_that_is_not_there_is_the_operators_fault(body: bytes) -> None:
    assert isinstance(classify(404, {}, body), Misconfigured)
    assert isinstance(classify(405, {}, body), Misconfigured)


@pytest.mark.parametrize(
    "body",
    [
        envelope("not_found_error", "model: claude-9"),
        envelope("NotFoundError", "The model `m` does not exist."),
        chat_error("The model `m` does not exist.", "NotFoundError", 404),
        b'{"error":"model \\"m\\" not found, try pulling it first"}',
    ],
)
def test_a_model_that_is_not_there_is_the_requests_fault(body: bytes) -> None:
    error = classify(404, {}, body)
    assert isinstance(error, Rejected)
    assert error.type == "not_found_error"


def test_a_redirect_is_never_followed_and_says_where_to() -> None:
    error = classify(308, {"location": "https://new.example/v1"}, b"")
    assert isinstance(error, Misconfigured)
    assert "https://new.example/v1" in error.message
    assert isinstance(classify(304, {}, b""), Unavailable)


# -- which of the nine types ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said", "type"),
    [
        (413, "request_too_large", "invalid_request_error"),
        (400, "BadRequestError", "invalid_request_error"),
        (400, "exceed_context_size_error", "invalid_request_error"),
        (404, "NotFoundError", "not_found_error"),
        (400, "model_not_found", "not_found_error"),
        (400, "not_found_error", "not_found_error"),
        (409, "conflict_error", "invalid_request_error"),
        (422, "", "invalid_request_error"),
        (400, "permission_error", "permission_error"),
    ],
)
def test_the_engines_own_type_is_kept_where_lines_may_carry_it(
    status: int, said: str, type: str
) -> None:
    assert error_type(status, said) == type


@given(st.integers(400, 499), st.text(max_size=30))
def test_no_other_type_ever_reaches_a_line(status: int, said: str) -> None:
    assert error_type(status, said) in get_args(ErrorType)


# -- the engine's own words -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (envelope("api_error", "said so"), "said so"),
        (chat_error("said so", "Bad Request", 400), "said so"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"detail":"said so"}', "said so"),
        (b'{"detail":[{"loc":["body","messages",0,"role"],"msg":"Field required"}]}',
         "messages.0.role: Field required"),
        (b'{"detail":["one","two"]}', "one; two"),
        (b'{"detail":[{"loc":5,"msg":"odd"},{"loc":null}]}', "odd; "),
        (b'{"message":"said so","type":"x"}', "said so"),
        (b'{"error":{"reason":"odd"}}', '{"reason":"odd"}'),
        (b'"said so"', "said so"),
        (b"  said\n so ", "said so"),
        (b"<html><style>b{}</style><script>x()</script><b>Bad</b> gateway</html>", "Bad gateway"),
        (b"\xff\xfe broken", "�� broken"),
        (b"[1]", ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_words_are_found_in_every_shape(body: bytes, words: str) -> None:
    assert read(body).words == words


def test_many_faults_are_told_as_five_and_a_count() -> None:
    detail = [{"loc": ["body", "messages", i], "msg": "wrong"} for i in range(9)]
    words = read(json.dumps({"detail": detail}).encode()).words
    assert words.startswith("messages.0: wrong; messages.1: wrong")
    assert words.endswith("(and 4 more)")


def test_long_words_are_cut() -> None:
    assert len(read(b"x" * 5_000).words) == 200
    assert len(read(envelope("api_error", "x" * 5_000)).words) == 2_000


def test_silence_is_put_in_words() -> None:
    assert classify(500, {}, b"").message == "HTTP 500 without a word"


@given(st.integers(300, 599), st.binary(max_size=200))
def test_no_body_is_beyond_understanding(status: int, body: bytes) -> None:
    assert isinstance(classify(status, {}, body), EngineError)


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "detail", "message", "type", "loc"]), inner)
    ),
    max_leaves=8,
)


@given(st.integers(300, 599), _json)
@example(422, {"detail": [{"loc": None, "msg": "wrong"}, {"loc": 7}]})
def test_no_json_is_beyond_understanding(status: int, value: object) -> None:
    assert isinstance(classify(status, {}, json.dumps(value).encode()), EngineError)


def test_deep_nesting_is_text_like_any_other() -> None:
    assert read(b"[" * 100_000).words == "[" * 200


# -- when to come back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "86400"}, 3600.0),
        ({"retry-after": "1e99"}, 3600.0),
        ({"retry-after": "inf"}, 3600.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOON + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOON - 30, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(NOON + 10**7, usegmt=True)}, 3600.0),
        ({"retry-after": "Wed, 99 Foo 2026 00:00:00 GMT"}, None),
    ],
)
def test_both_forms_of_retry_after_are_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOON * SECOND) == seconds


def test_a_date_is_measured_by_the_engines_own_clock() -> None:
    ahead = NOON + 86_400
    headers = {
        "date": formatdate(ahead, usegmt=True),
        "retry-after": formatdate(ahead + 30, usegmt=True),
    }
    assert retry_after(headers, now=NOON * SECOND) == 30.0


@given(st.text(max_size=40))
def test_a_hint_is_a_wait_of_at_most_an_hour_or_none(text: str) -> None:
    seconds = retry_after({"retry-after": text}, now=NOON * SECOND)
    assert seconds is None or 0 <= seconds <= 3600
