"""Everything about a request that is not its conversation: limits, sampling, reasoning, formats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.engines.translate import FLAVORS, ChatRequest, chat_request
from batchyard.engines.translate import params as shapes
from batchyard.engines.translate.request import BUDGETS, EFFORTS
from batchyard.errors import Rejected

HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"z": {"type": "integer"}, "a": {}}}
HOSTED = "need the hosted API; this engine speaks Chat Completions, which has none"


def asked(flavor: str = "generic", **params: Any) -> ChatRequest:
    whole = {"model": "m", "max_tokens": 9, "messages": HELLO, **params}
    return chat_request(json.dumps(whole).encode(), FLAVORS[flavor])


def extra(flavor: str = "generic", **params: Any) -> dict[str, Any]:
    """The fields beyond those of the plainest request."""
    body: dict[str, Any] = json.loads(asked(flavor, **params).body())
    plain = {"model": "m", "max_tokens": 9, "messages": HELLO}
    return {name: value for name, value in body.items() if plain.get(name) != value}


def test_the_plainest_request_has_the_fewest_fields() -> None:
    body = json.loads(asked().body())
    assert body == {"model": "m", "messages": HELLO, "max_tokens": 9}


def test_newer_servers_name_the_output_limit_otherwise() -> None:
    body = json.loads(asked("openai").body())
    assert body == {"model": "m", "messages": HELLO, "max_completion_tokens": 9}


def test_a_streamed_request_asks_for_its_usage() -> None:
    body = json.loads(asked().body(stream=True))
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize("flavor", ["generic", "openai"])
def test_an_output_limit_can_be_left_to_the_engine(flavor: str) -> None:
    body = json.loads(asked(flavor).unlimited().body())
    assert body == {"model": "m", "messages": HELLO}


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "top_p": 0.9}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"temperature": None, "top_p": None, "top_k": None}, {}),
        ({"stop_sequences": ["END", "\n\n"]}, {"stop": ["END", "\n\n"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"metadata": {}}, {}),
        ({"stream": False}, {}),
    ],
)
def test_sampling_stops_and_users_have_their_twins(
    params: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert extra(**params) == fields


def test_top_k_is_refused_where_there_is_no_such_setting() -> None:
    with pytest.raises(Rejected, match="top_k: openai has no such setting"):
        asked("openai", top_k=5)


@pytest.mark.parametrize("name", shapes.IGNORED)
def test_fields_that_change_nothing_here_are_taken(name: str) -> None:
    given: Any = "standard" if name == "speed" else {"any": ["thing"]}
    assert extra(**{name: given}) == {}


@pytest.mark.parametrize("name", shapes.HOSTED_ONLY)
def test_fields_that_only_the_hosted_api_can_obey_are_refused_unless_empty(name: str) -> None:
    assert extra(**{name: None}) == {}
    with pytest.raises(Rejected) as caught:
        asked(**{name: {"some": "thing"}})
    assert caught.value.message == f"{name}: requests with {name} {HOSTED}"


def test_fast_requests_are_refused() -> None:
    with pytest.raises(Rejected, match="speed: fast requests need the hosted API"):
        asked(speed="fast")


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_a_json_schema_becomes_a_response_format_with_its_bytes_kept(where: str) -> None:
    shape = {"type": "json_schema", "schema": SCHEMA}
    given = {"format": shape} if where == "output_config" else shape
    fields = extra(**{where: given})
    wanted = {"name": "output", "schema": SCHEMA, "strict": True}
    assert fields == {"response_format": {"type": "json_schema", "json_schema": wanted}}
    assert b'{"z": {"type": "integer"}, "a": {}}' in asked(**{where: given}).body()


# -- reasoning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effort", "said"), EFFORTS.items())
def test_effort_has_a_twin(effort: str, said: str) -> None:
    assert extra(output_config={"effort": effort}) == {"reasoning_effort": said}


@pytest.mark.parametrize(
    ("flavor", "thinking", "fields"),
    [
        ("generic", {"type": "adaptive"}, {}),
        ("generic", {"type": "disabled"}, {}),
        ("generic", {"type": "enabled", "budget_tokens": 1024}, {"reasoning_effort": "low"}),
        ("vllm", {"type": "adaptive"}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("vllm", {"type": "between_tools"}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("vllm", {"type": "disabled"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("sglang", {"type": "disabled"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("ollama", {"type": "disabled"}, {"reasoning_effort": "none"}),
        ("openai", {"type": "disabled"}, {}),
        (
            "llama.cpp",
            {"type": "enabled", "budget_tokens": 20_000},
            {
                "chat_template_kwargs": {"enable_thinking": True},
                "thinking_budget_tokens": 20_000,
                "reasoning_effort": "high",
            },
        ),
    ],
)
def test_thinking_is_turned_on_and_off_as_each_engine_has_it(
    flavor: str, thinking: dict[str, Any], fields: dict[str, Any]
) -> None:
    limit = {"max_completion_tokens": 9} if flavor == "openai" else {}
    assert extra(flavor, thinking=thinking) == fields | limit


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(below - 1, effort) for below, effort in BUDGETS] + [(BUDGETS[-1][0], "high")],
)
def test_a_thinking_budget_is_an_effort(budget: int, effort: str) -> None:
    fields = extra(thinking={"type": "enabled", "budget_tokens": budget})
    assert fields == {"reasoning_effort": effort}


def test_an_effort_that_was_asked_for_wins_over_a_budget() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    fields = extra(thinking=thinking, output_config={"effort": "max"})
    assert fields == {"reasoning_effort": "high"}


@pytest.mark.parametrize(
    ("thinking", "wanted"),
    [
        (None, "unasked"),
        ({"type": "disabled"}, "unasked"),
        ({"type": "adaptive"}, "shown"),
        ({"type": "enabled", "budget_tokens": 2000, "display": "summarized"}, "shown"),
        ({"type": "adaptive", "display": "omitted"}, "omitted"),
    ],
)
def test_thinking_is_told_only_to_those_who_asked(thinking: Any, wanted: str) -> None:
    assert asked(thinking=thinking).wanted.thinking == wanted


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"logit_bias": {}}, "logit_bias: Extra inputs are not permitted"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({"max_tokens": "9"}, "max_tokens: Expected `int | null`, got `str`"),
        ({"model": 5}, "model: Expected `str`, got `int`"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences.1: Expected `str`, got `int`"),
        ({"thinking": {"type": "enabled", "x": 1}}, "thinking.x: Extra inputs are not permitted"),
        ({"thinking": {}}, "thinking.type: Field required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "hue": 1}]}]},
            "messages.0.content.0.hue: Extra inputs are not permitted",
        ),
        (
            {"messages": [{"role": "user", "content": "a", "name": "b"}]},
            "messages.0.name: Extra inputs are not permitted",
        ),
        (
            {"messages": [{"role": "robot", "content": ""}]},
            "messages.0.role: Invalid enum value 'robot'",
        ),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": "hi"}, "messages: Expected `array`, got `str`"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort: Invalid enum value 'huge'"),
    ],
)
def test_a_fault_is_told_by_the_path_of_its_field(params: dict[str, Any], why: str) -> None:
    with pytest.raises(Rejected) as caught:
        asked(**params)
    assert caught.value.message == why
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"model":"m"}', "messages: Field required"),
        (b"[]", "Expected `object`, got `array`"),
        (b"", "not valid JSON text"),
        (b'{"model":', "not valid JSON text"),
        (b'{"model":"m","messages":[],"temperature":1e400}', "temperature: Number out of range"),
        (
            b'{"model":"m","messages":[],"diagnostics":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
            "nested",
        ),
    ],
)
def test_what_is_no_request_at_all_is_refused_in_words(raw: bytes, why: str) -> None:
    with pytest.raises(Rejected) as caught:
        chat_request(raw, FLAVORS["generic"])
    assert why in caught.value.message


def test_lone_surrogates_and_broken_utf8_are_mended_not_refused() -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a\\ud800b\xff"}]}'
    body = json.loads(chat_request(raw, FLAVORS["generic"]).body())
    assert body["messages"][0]["content"] == "a\ufffdb\ufffd"


def test_counting_needs_no_output_limit() -> None:
    raw = json.dumps({"model": "m", "messages": HELLO}).encode()
    request = chat_request(raw, FLAVORS["generic"], counting=True)
    assert json.loads(request.body()) == {"model": "m", "messages": HELLO}
