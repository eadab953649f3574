"""Tools and tool choice in the other dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.engines.translate import FLAVORS, chat_request
from batchyard.errors import Rejected

HOSTED = "need the hosted API; this engine speaks Chat Completions, which has none"
LOOK = {"name": "look", "description": "Look around.", "input_schema": {"type": "object", "a": 1}}
GO = {"type": "custom", "name": "go", "input_schema": {"type": "object"}}


def fields(tools: Any, choice: Any = None, flavor: str = "generic") -> dict[str, Any]:
    params: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hello"}],
        "tools": tools,
        "tool_choice": choice,
    }
    body = json.loads(chat_request(json.dumps(params).encode(), FLAVORS[flavor]).body())
    return {name: body[name] for name in body if "tool" in name}


def function(**of: Any) -> dict[str, Any]:
    return {"type": "function", "function": of}


def test_tools_become_functions() -> None:
    assert fields([LOOK, GO]) == {
        "tools": [
            function(
                name="look", description="Look around.", parameters={"type": "object", "a": 1}
            ),
            function(name="go", parameters={"type": "object"}),
        ]
    }


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_no_fields(tools: Any) -> None:
    assert fields(tools, {"type": "auto", "disable_parallel_tool_use": True}) == {}


def test_what_a_function_has_no_field_for_is_told_or_dropped() -> None:
    tool = {
        **LOOK,
        "strict": True,
        "input_examples": [{"far": 1}, {"far": 2}],
        "allowed_callers": ["direct"],
        "cache_control": {"type": "ephemeral"},
        "defer_loading": True,
        "eager_input_streaming": True,
    }
    (made,) = fields([tool])["tools"]
    assert made == function(
        name="look",
        description='Look around.\nExamples of its input:\n{"far":1}\n{"far":2}',
        parameters={"type": "object", "a": 1},
        strict=True,
    )


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "go"}, function(name="go")),
    ],
)
def test_the_choice_has_a_twin(choice: dict[str, Any], said: Any) -> None:
    found = fields([LOOK, GO], choice)
    assert found["tool_choice"] == said
    assert len(found["tools"]) == 2


def test_a_forced_tool_is_the_only_one_on_offer_where_a_choice_cannot_name_it() -> None:
    found = fields([LOOK, GO], {"type": "tool", "name": "go"}, "llama.cpp")
    assert found == {
        "tools": [function(name="go", parameters={"type": "object"})],
        "tool_choice": "required",
    }


@pytest.mark.parametrize("kind", ["auto", "any"])
def test_one_tool_at_a_time_can_be_asked_for(kind: str) -> None:
    found = fields([LOOK], {"type": kind, "disable_parallel_tool_use": True})
    assert found["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in fields([LOOK], {"type": kind})


@pytest.mark.parametrize(
    ("tools", "choice", "why"),
    [
        (
            [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
            None,
            f"tools.0: built-in tools such as web_search_20250305 {HOSTED}",
        ),
        (
            [LOOK, {"type": "bash_20250124", "name": "bash"}],
            None,
            f"tools.1: built-in tools such as bash_20250124 {HOSTED}",
        ),
        (
            [{**LOOK, "allowed_callers": ["code_execution_20260120"]}],
            None,
            f"tools.0.custom.allowed_callers: tools called by other tools {HOSTED}",
        ),
        ([{**LOOK, "colour": 1}], None, "tools.0.custom.colour: Extra inputs are not permitted"),
        ([{"name": "x"}], None, "tools.0.custom.input_schema: Field required"),
        (
            [{"name": "x", "input_schema": 5}],
            None,
            "tools.0.custom.input_schema: Expected `object`, got `int`",
        ),
        ([5], None, "tools.0: Expected `object`, got `int`"),
        (
            [LOOK],
            {"type": "tool", "name": "fly"},
            "tool_choice: Tool 'fly' not found in provided tools",
        ),
        (
            None,
            {"type": "tool", "name": "fly"},
            "tool_choice: Tool 'fly' not found in provided tools",
        ),
        (None, {"type": "any"}, "tool_choice: a tool must be used, but no tools are provided"),
        ([LOOK], {"type": "some"}, "tool_choice.type: Invalid enum value 'some'"),
    ],
)
def test_tools_that_cannot_be_had_are_refused_by_their_path(
    tools: Any, choice: Any, why: str
) -> None:
    with pytest.raises(Rejected) as caught:
        fields(tools, choice)
    assert caught.value.message == why
