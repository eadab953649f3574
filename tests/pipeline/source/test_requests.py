"""Batches made ready elsewhere: Message Batches lines as they are, OpenAI's translated."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.pipeline.source.chat import Untranslatable, messages_params
from tests.pipeline.source.test_delimited import opened, refused

USER = {"role": "user", "content": "Hi"}
PDF = "data:application/pdf;base64,QQ=="
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def chat(**body: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [USER], **body}
    return {"custom_id": "r", "method": "POST", "url": "/v1/chat/completions", "body": body}


def params(**body: Any) -> dict[str, Any]:
    return messages_params(chat(**body))


def turns(*messages: dict[str, Any]) -> Any:
    return params(messages=list(messages))["messages"]


def test_ready_made_requests_are_taken_as_they_are(tmp_path: Path) -> None:
    lines = (
        '{"custom_id": "a", "params": {"model": "m", "x": [1]}}\n\n{"params": {}, "custom_id": "b"}'
    )
    source = opened(tmp_path, lines, "in.jsonl")
    assert (source.format, source.columns) == ("requests", ())
    rows = [
        {"custom_id": "a", "params": {"model": "m", "x": [1]}},
        {"custom_id": "b", "params": {}},
    ]
    assert list(source.rows()) == rows
    assert list(source.rows(1)) == rows[1:]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"params": {}}', "custom_id is missing"),
        ('{"custom_id": 7, "params": {}}', "custom_id is not a text"),
        ('{"custom_id": "b"}', "params is missing"),
        ('{"custom_id": "b", "params": []}', "params is not an object"),
        ('{"custom_id": "b", "params": {}, "m": 1}', 'unknown field "m"'),
        ('{"custom_id": "a", "params": {}}', 'custom_id "a" was used in line 1 already'),
    ],
)
def test_a_fault_of_a_request_is_told_when_the_file_is_opened(
    tmp_path: Path, line: str, words: str
) -> None:
    content = '{"custom_id": "a", "params": {}}\n' + line
    assert f":2: {words}" in refused(tmp_path, content, "in.jsonl").message


def test_openai_lines_become_messages_params(tmp_path: Path) -> None:
    line = chat(
        messages=[{"role": "system", "content": "Be brief."}, USER],
        max_completion_tokens=99,
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        stop="END",
        user="u-1",
        n=1,
        stream=False,
        seed=None,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": WEATHER}},
    )
    source = opened(tmp_path, json.dumps(line), "in.jsonl")
    assert (source.format, source.columns) == ("openai", ())
    assert list(source.rows()) == [
        {
            "custom_id": "r",
            "params": {
                "model": "m",
                "max_tokens": 99,
                "system": "Be brief.",
                "messages": [USER],
                "temperature": 0.5,
                "top_p": 0.9,
                "stop_sequences": ["END"],
                "metadata": {"user_id": "u-1"},
                "output_config": {
                    "format": {"type": "json_schema", "schema": WEATHER},
                    "effort": "low",
                },
            },
        }
    ]


def test_a_limit_that_is_not_there_is_put_there_since_messages_params_must_have_one() -> None:
    assert params() == {"model": "m", "max_tokens": 4_096, "messages": [USER]}


def test_tools_and_the_choice_among_them_are_translated() -> None:
    function = {"name": "weather", "description": "d", "parameters": WEATHER, "strict": True}
    tools = [{"type": "function", "function": function}, {"function": {"name": "now"}}]
    assert params(tools=tools)["tools"] == [
        {"name": "weather", "description": "d", "input_schema": WEATHER, "strict": True},
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    ]
    named = {"type": "function", "function": {"name": "now"}}
    choices = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
    for asked, choice in choices.items():
        assert params(tools=tools, tool_choice=asked)["tool_choice"] == choice
    assert params(tools=tools, tool_choice=named)["tool_choice"] == {"type": "tool", "name": "now"}
    assert params(tools=tools, parallel_tool_calls=False)["tool_choice"] == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    assert "tool_choice" not in params(tool_choice="auto")


def test_calls_and_their_results_become_blocks_side_by_side() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    assert turns(
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": ""}]},
        {"role": "user", "content": "go on"},
    ) == [
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "2"},
                {"type": "text", "text": "go on"},
            ],
        },
    ]


def test_pictures_and_documents_become_blocks() -> None:
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/jpg;base64,QUJD"},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="},
        },
    ]
    [turn] = turns({"role": "user", "content": parts})
    assert turn["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"},
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            "title": "a.pdf",
        },
    ]


def test_system_messages_join_at_the_front_and_stay_where_they_are_later() -> None:
    first = {"role": "system", "content": [{"type": "text", "text": "a"}]}
    developer = {"role": "developer", "content": "b"}
    late = {"role": "system", "content": "c"}
    translated = params(messages=[first, developer, USER, late, USER])
    assert translated["system"] == "a\nb"
    assert translated["messages"] == [USER, late, USER]


def test_messages_of_one_role_in_a_row_become_one_turn_and_refusals_are_text() -> None:
    answer = {"role": "assistant", "content": "a", "refusal": "no", "reasoning_content": "hm"}
    assert turns(USER, USER, answer) == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}] * 2},
        {"role": "assistant", "content": [{"type": "text", "text": text} for text in ("a", "no")]},
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"n": 2}, "body.n: Messages params have no such field; only 1 can be asked for"),
        ({"stream": True}, "body.stream: Messages params have no such field; only false"),
        ({"seed": 1}, "body.seed: Messages params have no such field"),
        ({"logprobs": True}, "body.logprobs: "),
        ({"presence_penalty": 0.5}, "body.presence_penalty: "),
        ({"modalities": ["audio"]}, "body.modalities: "),
        ({"functions": []}, "body.functions: Messages params have no such field"),
        ({"web_search_options": {}}, "body.web_search_options: "),
        ({"max_tokens": 0}, "body.max_tokens: must be greater"),
        ({"max_tokens": "9"}, "body.max_tokens: Expected `int | null`, got `str`"),
        ({"model": None}, "body.model: Expected `str`, got `null`"),
        (
            {"response_format": {"type": "json_object"}},
            "body.response_format: JSON without",
        ),
        ({"response_format": {"type": "json_schema"}}, "body.response_format.json_schema: Field"),
        ({"tool_choice": "required"}, "body.tool_choice: a tool must be used"),
        ({"tools": [{"type": "custom"}]}, "body.tools.0"),
        ({"messages": []}, "body.messages: at least one user message"),
        (
            {"messages": [{"role": "function", "content": "x"}]},
            "body.messages.0.role: Invalid",
        ),
        ({"messages": [{"role": "user"}]}, "body.messages.0.content: Field required"),
        ({"messages": [{**USER, "name": "Al"}]}, "body.messages.0.name: Messages params have no"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_its_path(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        params(**body)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio", "input_audio": {}}, "body.messages.0.content.0: Messages params"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,"}},
            "a data: URL must",
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/png,QQ"}}, "a data: URL must"),
        (
            {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
            "neither an http",
        ),
        ({"type": "file", "file": {"file_id": "f"}}, "content.0.file: only files that stand in"),
        ({"type": "video"}, "Invalid value 'video'"),
    ],
)
def test_a_part_that_has_no_counterpart_is_refused(part: dict[str, Any], words: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        turns({"role": "user", "content": [part]})
    assert words in str(caught.value)


def test_arguments_that_are_no_object_are_refused() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "[1]"}}
    with pytest.raises(Untranslatable, match=r"messages\.1\.tool_calls\.0\.function\.arguments"):
        turns(USER, {"role": "assistant", "tool_calls": [call]})


def test_a_line_for_another_service_is_told_by_its_number(tmp_path: Path) -> None:
    lines = [chat(), {**chat(), "custom_id": "s", "url": "/v1/embeddings"}]
    fault = refused(tmp_path, "\n".join(map(json.dumps, lines)), "in.jsonl")
    assert ':2: url: only "/v1/chat/completions" can be translated' in fault.message
    fault = refused(tmp_path, json.dumps({**chat(), "method": "GET"}), "in.jsonl")
    assert ':1: method: only "POST"' in fault.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["user", "text", "data:", ""]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "function"]), inner)
    ),
    max_leaves=6,
)
FIELDS = ["messages", "tools", "tool_choice", "response_format", "stop", "n", "max_tokens", "user"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
@settings(deadline=None)
def test_any_body_is_translated_or_refused(body: dict[str, Any]) -> None:
    # Any other exception is a failure.
    with suppress(Untranslatable):
        assert {"model", "max_tokens", "messages"} <= params(**body).keys()
