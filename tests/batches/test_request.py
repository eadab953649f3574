"""What is judged inside params, by its exact words, and what is left to the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.batches.request import (
    MESSAGES_MAX,
    Entry,
    Fault,
    check,
    model_of,
    wanted_max_tokens,
)

HELLO = [{"role": "user", "content": "Hello"}]
GOOD: dict[str, Any] = {"model": "tiny", "max_tokens": 64, "messages": HELLO}
NEWER = "2026-10-21"


def params(**changes: Any) -> bytes:
    """Good params with `changes`; `...` leaves a field out."""
    fields = {**GOOD, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def fault(body: bytes, **how: Any) -> str | None:
    found = check(body, **how)
    assert found is None or found.type == "invalid_request_error"
    return found.message if found else None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": ...}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": {}}, "messages: Input should be a valid list"),
        ({"messages": "Hello"}, "messages: Input should be a valid list"),
        ({"messages": [5]}, "messages.0: Input should be an object"),
        ({"messages": [*HELLO, {"content": "x"}]}, "messages.1.role: Field required"),
        ({"messages": [*HELLO, {"role": "user"}]}, "messages.1.content: Field required"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        (
            {"messages": [{"role": 5, "content": "x"}]},
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            "messages.0.content: Input should be a valid string or a list of blocks",
        ),
        (
            {"messages": [{"role": "user", "content": {"type": "text"}}]},
            "messages.0.content: Input should be a valid string or a list of blocks",
        ),
        ({"system": 5}, "system: Input should be a valid string or a list of blocks"),
        ({"model": ...}, "model: Field required"),
        ({"model": 5}, "model: Input should be a valid string"),
        ({"model": ""}, "model: String should have at least 1 character"),
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({"max_tokens": -3}, "max_tokens: must be greater than or equal to 1"),
        ({"max_tokens": "64"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
        ({"stream": True}, "`stream=True` is not supported in the Message Batches API"),
        ({"stream": "no"}, "stream: Input should be a valid boolean"),
        ({"speed": "fast"}, "`speed=fast` is not supported in the Message Batches API"),
        ({"store": True}, "`store` is not supported in the Message Batches API"),
        ({"thread": {"id": "t"}}, "`thread` is not supported in the Message Batches API"),
        ({"threads": []}, "`threads` is not supported in the Message Batches API"),
        (
            {"previous_thread_event_id": "e"},
            "`previous_thread_event_id` is not supported in the Message Batches API",
        ),
        ({"cache_hint": "x"}, "`cache_hint` is not supported in the Message Batches API"),
        ({"context_hint": {}}, "`context_hint` is not supported in the Message Batches API"),
        ({"fallbacks": ["m"]}, "`fallbacks` is not supported in the Message Batches API"),
        (
            {"research_preview_2026_02": "active"},
            "`research_preview_2026_02=active` is not supported in the Message Batches API",
        ),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": ["x"]}, "tools.0: Input should be an object"),
        ({"tools": [{"name": 5}]}, "tools.0.name: Input should be a valid string"),
        ({"tool_choice": "auto"}, "tool_choice: Input should be an object"),
        ({"tool_choice": {}}, "tool_choice.type: Field required"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
        (
            {"tool_choice": {"type": "tool", "name": "x"}},
            "Tool 'x' not found in provided tools",
        ),
        (
            {"tool_choice": {"type": "tool", "name": "x"}, "tools": [{"name": "y"}]},
            "Tool 'x' not found in provided tools",
        ),
        ({"stop_sequences": "END"}, "stop_sequences: Input should be a valid list"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences.1: Input should be a valid string"),
        ({"metadata": "me"}, "metadata: Input should be an object"),
        (
            {"metadata": {"user_id": "u" * 257}},
            "metadata.user_id: String should have at most 256 characters",
        ),
    ],
)
def test_a_fault_in_params_is_told_in_the_words_of_the_api(
    changes: dict[str, Any], message: str
) -> None:
    assert fault(params(**changes)) == message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stream": False},
        {"stream": None},
        {"max_tokens": 9_999_999},
        {"max_tokens": 64.0},
        {"temperature": 0.1, "top_p": 2, "top_k": 5},
        {"service_tier": "auto", "inference_geo": "eu", "speed": "standard"},
        {"store": False, "fallbacks": None, "thread": None},
        {"research_preview_2026_02": "off"},
        {"system": "Be brief."},
        {"system": [{"type": "text", "text": "Be brief."}]},
        {"system": None, "tools": None, "tool_choice": None, "metadata": None},
        {"tools": [{"name": "x"}], "tool_choice": {"type": "tool", "name": "x"}},
        {"tools": [{"type": "browser_toolset_20260801"}], "tool_choice": {"type": "any"}},
        {
            "tools": [{"type": "browser_toolset_20260801"}],
            "tool_choice": {"type": "tool", "name": "click"},
        },
        {
            "mcp_servers": [{"url": "https://mcp.test"}],
            "tool_choice": {"type": "tool", "name": "remote"},
        },
        {"messages": [{"role": "system", "content": "x"}, *HELLO]},
        {"messages": [{"content": [{"type": "text", "text": "x"}], "role": "user"}]},
        {"messages": [*HELLO, {"role": "assistant", "content": "Prefill"}]},
        {"metadata": {"user_id": "u" * 256, "other": 1}},
        {"metadata": {"user_id": None}},
        {"cache_control": {"type": "ephemeral"}, "fallback_credit_token": "t"},
        {"some_field_of_next_year": {"deep": [1]}},
    ],
)
def test_what_an_engine_may_take_is_left_to_the_engine(changes: dict[str, Any]) -> None:
    assert check(params(**changes)) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "params: Input should be an object"),
        (b'{"max_tokens":', "params: not valid JSON: Input data was truncated"),
        (params(max_tokens=777).replace(b"777", b"1e400"), "max_tokens: Input should be a valid "),
        (params(max_tokens=777).replace(b"777", b"7" * 5_000), "max_tokens: Input should be a "),
        (params(x=777).replace(b"777", b"[" * 9_000 + b"]" * 9_000), "params: nested too deeply"),
    ],
    ids=["list", "cut", "infinite", "5000 digits", "deep"],
)
def test_hostile_params_are_a_fault_and_no_crash(body: bytes, message: str) -> None:
    found = fault(body)
    assert found is not None
    assert found.startswith(message)


def test_too_many_messages_are_counted() -> None:
    messages = HELLO * (MESSAGES_MAX + 1)
    rule = f"List should have at most {MESSAGES_MAX} items after validation, not {MESSAGES_MAX + 1}"
    assert fault(params(messages=messages)) == f"messages: {rule}"


def test_a_fault_is_a_value() -> None:
    assert check(b"{}") == Fault("invalid_request_error", "max_tokens: Field required")
    assert Entry("a", 1, 2) == Entry(custom_id="a", offset=1, length=2)


# -- strict versions -------------------------------------------------------------------------------

_CITED = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
_NO_CITATIONS = ".text.citations: Extra inputs are not permitted"
_DROPPED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 0}, "temperature: Extra inputs are not permitted"),
    ({"top_p": 0.5}, "top_p: Extra inputs are not permitted"),
    ({"top_k": 5}, "top_k: Extra inputs are not permitted"),
    (
        {"messages": [*HELLO, {"role": "assistant", "content": [{"type": "document"}]}]},
        "messages.1.content.0: document blocks are not permitted in assistant messages",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, _CITED]}]},
        f"messages.0.content.1{_NO_CITATIONS}",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "search_result", "content": [_CITED]}]}
            ]
        },
        f"messages.0.content.0.search_result.content.0{_NO_CITATIONS}",
    ),
]


@pytest.mark.parametrize(("changes", "message"), _DROPPED)
def test_strictly_a_version_takes_only_what_it_has(changes: dict[str, Any], message: str) -> None:
    body = params(**changes)
    assert fault(body, api_version=NEWER, strict_version=True) == message
    assert check(body, api_version=NEWER) is None
    assert check(body, api_version="2023-06-01", strict_version=True) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": None},
        {"messages": [{"role": "user", "content": [{"type": "document"}, 5, "text"]}]},
        {"messages": [{"role": "assistant", "content": [_CITED]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "", "citations": []}]}
            ]
        },
    ],
)
def test_strictly_the_rest_is_as_before(changes: dict[str, Any]) -> None:
    assert check(params(**changes), api_version=NEWER, strict_version=True) is None


# -- readings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"a"}', "a"),
        ('{"x":[1],"model":"é/\\u0062"}'.encode(), "é/b"),
        (b"{}", ""),
        (b'{"model":5}', ""),
        (b'{"model":null}', ""),
        (b"[]", ""),
        (b'{"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}", ""),
    ],
)
def test_the_model_is_read_as_asked_for(body: bytes, model: str) -> None:
    assert model_of(body) == model


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"max_tokens":5}', 5),
        (b'{"max_tokens":5.0}', 5),
        (b'{"max_tokens":5.5}', None),
        (b'{"max_tokens":"5"}', None),
        (b"{}", None),
        (b'{"max_tokens":1e400}', None),
        (b'{"max_tokens":5,"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}", None),
    ],
)
def test_the_wanted_length_is_a_number_or_unknown(body: bytes, wanted: int | None) -> None:
    assert wanted_max_tokens(body) == wanted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_FIELDS = [*GOOD, "stream", "system", "tools", "tool_choice", "metadata", "speed", "stop_sequences"]


@given(
    changes=st.dictionaries(st.sampled_from(_FIELDS), json_values, max_size=4), strict=st.booleans()
)
def test_no_params_at_all_make_the_check_fail(changes: dict[str, Any], strict: bool) -> None:
    try:
        body = json.dumps({**GOOD, **changes}).encode()
        body.decode().encode()
    except UnicodeEncodeError:
        return
    found = check(body, api_version=NEWER, strict_version=strict)
    assert found is None or found.message
    assert isinstance(model_of(body), str)
