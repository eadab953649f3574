"""What the other server refuses at once, what it says, and what it writes down."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fastjsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.another_server import Process, row_of, started
from tests.pipeline.another_server.answers import message
from tests.pipeline.another_server.envelope import entries
from tests.pipeline.another_server.errors import Refusal
from tests.pipeline.another_server.schema import value_for

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
PARAMS = {
    "model": "claude-haiku-4-5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "x"}],
}
GOOD = {"custom_id": "a", "params": PARAMS}


def refused(value: object) -> str:
    with pytest.raises(Refusal) as caught:
        entries(value if isinstance(value, bytes) else json.dumps(value).encode())
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The request body is not valid JSON"),
        (b'{"requests": NaN}', "The request body is not valid JSON"),
        (b"\xff", "The request body is not valid JSON"),
        ({}, "requests: Field required"),
        ({"requests": []}, "requests: List should have at least 1 item"),
        ({"requests": [GOOD], "metadata": {}}, "metadata: Extra inputs are not permitted"),
        ({"requests": [{**GOOD, "x": 1}]}, "requests.0.x: Extra inputs are not permitted"),
        ({"requests": [{"params": {}}]}, "requests.0.custom_id: Field required"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [{**GOOD, "custom_id": "a" * 65}]}, "at most 64 characters"),
        ({"requests": [{**GOOD, "custom_id": "a b"}]}, "should match pattern"),
        ({"requests": [{**GOOD, "custom_id": "a\n"}]}, "should match pattern"),
        ({"requests": [{**GOOD, "custom_id": ""}]}, "at least 1 character"),
        ({"requests": [{**GOOD, "custom_id": 7}]}, "should be a valid string"),
        ({"requests": [GOOD, GOOD]}, "Duplicate custom_id found: a"),
        ({"requests": [GOOD] * 100_001}, "at most 100000 items after validation, not 100001"),
    ],
)
def test_a_wrong_envelope_is_refused_as_a_whole(body: object, message: str) -> None:
    assert message in refused(body)


def test_params_are_not_looked_at_when_a_batch_is_made() -> None:
    assert entries(json.dumps({"requests": [{"custom_id": "a", "params": {}}]}).encode())


SCALARS = st.one_of(
    st.builds(lambda words: {"enum": words}, st.lists(st.text(max_size=5), min_size=1, max_size=4)),
    st.just({"type": "string", "maxLength": 4}),
    st.just({"type": "string", "minLength": 30}),
    st.just({"type": "integer", "minimum": 1, "maximum": 5}),
    st.just({"type": "number", "minimum": 0, "maximum": 1}),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.just({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    st.just({"const": 7}),
    st.just({"$ref": "#/$defs/Leaf"}),
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item, "minItems": 2}, inner),
        st.builds(
            lambda parts: {
                "type": "object", "properties": parts, "required": list(parts),
                "additionalProperties": False,
            },
            st.dictionaries(st.text(max_size=4), inner, max_size=4),
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@given(SCHEMAS, st.text())
def test_answers_fit_the_schema_they_were_asked_for(schema: dict[str, Any], prompt: str) -> None:
    whole = {**schema, "$defs": {"Leaf": {"type": "string", "enum": ["a", "b"]}}}
    made = value_for(whole, prompt)
    fastjsonschema.validate(whole, made)
    assert made == value_for(whole, prompt)


def test_an_answer_that_is_too_long_stops_where_it_must() -> None:
    said = message({**PARAMS, "max_tokens": 2})
    assert (said["stop_reason"], said["usage"]["output_tokens"]) == ("max_tokens", 2)
    assert len(said["content"][0]["text"]) == 8


def test_a_forced_tool_is_used() -> None:
    tool = {"name": "t", "input_schema": {"type": "object", "properties": {"n": {"const": 1}}}}
    choice = {"type": "tool", "name": "t"}
    said = message({**PARAMS, "max_tokens": 99, "tools": [tool], "tool_choice": choice})
    assert said["stop_reason"] == "tool_use"
    assert said["content"][0]["input"] == {"n": 1}


def test_a_row_keeps_its_name_through_the_batches_of_a_run() -> None:
    assert row_of("abcd-1-77") == row_of("abcd-12-77") == "abcd-77"
    assert row_of("abcd-1-77") != row_of("efgh-1-77")
    assert row_of("alone") == "alone"


def ask(server: Process, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
        assert answer["type"] == "error"
        assert answer["request_id"] == response.headers["request-id"]
    connection.close()
    return response.status, answer


CREATE = json.dumps({"requests": [GOOD]}).encode()
NAMED = {name.replace("-", "_"): value for name, value in HEADERS.items()}


def test_calls_out_of_order_are_refused_in_the_envelope(tmp_path: Path) -> None:
    root = "/v1/messages/batches"
    with started(tmp_path) as server:
        assert ask(server, "GET", root)[0] == 401
        assert ask(server, "GET", root, x_api_key="k")[0] == 400
        assert ask(server, "GET", root, x_api_key="k", anthropic_version="2020-01-01")[0] == 400
        assert ask(server, "GET", f"{root}?limit=0", **NAMED)[0] == 400
        assert ask(server, "GET", f"{root}?limit=1001", **NAMED)[0] == 400
        assert ask(server, "GET", f"{root}?after_id=a&before_id=b", **NAMED)[0] == 400
        assert ask(server, "GET", f"{root}?beta=true&limit=1000", **NAMED)[0] == 200
        assert ask(server, "GET", f"{root}/msgbatch_01none", **NAMED)[0] == 404
        assert ask(server, "GET", "/livez", **NAMED)[0] == 404
        assert ask(server, "PUT", root, CREATE, **NAMED)[0] == 404
        gzip = {**NAMED, "content_encoding": "gzip"}
        status, answer = ask(server, "POST", root, CREATE, **gzip)
        assert (status, answer["error"]["details"]["error_code"]) == (
            400, "request_body_encoding_unsupported",
        )  # fmt: skip
        newest = {"authorization": "bearer k", "anthropic_version": "2026-10-21"}
        assert ask(server, "POST", root, CREATE, **newest)[0] == 200


def test_what_it_was_asked_outlives_a_kill_and_batches_go_on(tmp_path: Path) -> None:
    root = "/v1/messages/batches"
    with started(tmp_path, faults={"held": True}) as server:
        url = server.url
        _, batch = ask(server, "POST", root, CREATE, **NAMED)
        server.kill()
        assert server.times_asked() == {"a": 1}
        server.start()
        assert server.url == url
        _, found = ask(server, "GET", root, **NAMED)
        assert [one["id"] for one in found["data"]] == [batch["id"]]
        server.turn(held=False)
        while ask(server, "GET", f"{root}/{batch['id']}", **NAMED)[1]["ended_at"] is None:
            pass
        ask(server, "POST", root, CREATE, **NAMED)
        assert [asked.ask for asked in server.asked()] == [1, 2]


def test_many_requests_are_answered_soon(tmp_path: Path) -> None:
    """Nothing is timed; the suite's own limit is the bound."""
    many = [{**GOOD, "custom_id": f"run-1-{number}"} for number in range(20_000)]
    with started(tmp_path) as server:
        body = json.dumps({"requests": many}).encode()
        _, batch = ask(server, "POST", "/v1/messages/batches", body, **NAMED)
        path = f"/v1/messages/batches/{batch['id']}"
        while (shown := ask(server, "GET", path, **NAMED)[1])["ended_at"] is None:
            pass
        assert shown["request_counts"]["succeeded"] == 20_000
