"""The params of a row: turns, system, parameters, tools, and the mark on what all rows share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchyard.batches.request import check
from batchyard.errors import BadInput, BadPrompt
from batchyard.pipeline.prompt import Task
from tests.pipeline.prompt.asking import PNG, sent, told

MARK = {"type": "ephemeral"}
TOOL = {"name": "look_up", "description": "d", "input_schema": {"type": "object"}}


def test_a_row_becomes_the_params_of_a_message() -> None:
    task = Task.make(
        prompt="{{ a }}?", model="m", system="You know {{ b }}.", params={"temperature": 0}
    )
    params = task.params_of({"a": 'x"\n', "b": "é"}, position=0)
    assert check(params) is None
    assert msgspec.json.decode(params) == {
        "model": "m",
        "max_tokens": 1024,
        "temperature": 0,
        "system": "You know é.",
        "messages": [{"role": "user", "content": 'x"\n?'}],
    }


def test_without_a_model_there_is_none_in_the_params_until_it_is_said() -> None:
    task = Task.make(prompt="{{ a }}")
    assert "model" not in sent(task, {"a": "x"})
    changed = task.changed(model="m", max_tokens=512)
    assert sent(changed, {"a": "x"})["model"] == "m"
    assert sent(changed, {"a": "x"})["max_tokens"] == 512
    assert changed.key({"a": "x"}) != task.key({"a": "x"})


def test_turns_come_before_the_prompt_and_are_templates_too() -> None:
    turns = [("user", "Good?"), ("assistant", "like {{ b }}")]
    messages = sent(Task.make(prompt="{{ a }}", turns=turns), {"a": "x", "b": "y"})["messages"]
    assert messages == [
        {"role": "user", "content": "Good?"},
        {"role": "assistant", "content": "like y"},
        {"role": "user", "content": "x"},
    ]


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"prompt": "{{ a }}", "turns": [("user", "x")]}, "turn 2 is of user again"),
        ({"turns": [("assistant", "{{ a }}")]}, "turn 1 is of assistant again"),
        ({"turns": [("system", "{{ a }}")]}, "--system"),
        ({"turns": [("user", " ")]}, "turn 1 is empty"),
        ({}, "there is no prompt"),
        ({"prompt": "{{ a }}", "system": " {# nothing #} "}, "has no text"),
        ({"prompt": "{{ a }}", "system": "{{ 1 / 0 }}"}, "ZeroDivisionError"),
    ],
)
def test_turns_that_no_engine_takes_are_refused(said: dict[str, Any], word: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(**said)
    assert word in told(caught)


def test_a_turn_of_several_is_named_by_its_number() -> None:
    task = Task.make(turns=[("user", "{{ a }}"), ("assistant", "x")], prompt="{{ b.c }}")
    with pytest.raises(BadInput, match=r"turn 3 \(user\)"):
        task.params_of({"a": "x", "b": {}}, position=0)
    with pytest.raises(BadInput, match=r"turn 1 \(user\) is empty"):
        task.params_of({"a": "", "b": {"c": "x"}}, position=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"temprature": 0}, ["no parameter 'temprature'", "did you mean temperature?"]),
        ({"zzz": 0}, ["no parameter 'zzz'", "one of ", "top_p"]),
        ({"messages": []}, ["prompt"]),
        ({"system": "x"}, ["--system"]),
        ({"model": "x"}, ["--model"]),
        ({"stream": True}, ["does not stream"]),
        ({"max_tokens": 0}, ["max_tokens is 0"]),
        ({"max_tokens": "5"}, ["max_tokens is '5'"]),
        ({"metadata": {"x": object()}}, ["not JSON"]),
        ({"tool_choice": "auto"}, ["there are no tools"]),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(params: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(prompt="{{ a }}", params=params)
    assert [word for word in words if word not in told(caught)] == []


def test_max_tokens_may_be_said_as_a_parameter() -> None:
    task = Task.make(prompt="{{ a }}", params={"max_tokens": 7})
    assert task.max_tokens == sent(task, {"a": "x"})["max_tokens"] == 7


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"schema": "a", "params": {"output_config": {"format": {"type": "json_schema"}}}},
         "said twice"),
        ({"schema": "a", "as_tool": True, "tools": [TOOL], "tool_choice": "auto"}, "said twice"),
        ({"as_tool": True}, "needs a schema"),
        ({"schema": "b", "prompt": None, "turns": [("user", "{{ a }}"), ("assistant", "{")]},
         "only the end of the JSON"),
        ({"tools": [TOOL], "params": {"tools": [TOOL]}}, "said twice"),
    ],
)  # fmt: skip
def test_what_is_said_twice_is_refused(said: dict[str, Any], word: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(**{"prompt": "{{ a }}", **said})
    assert word in told(caught)


def test_a_word_that_make_does_not_know_is_no_silent_default() -> None:
    with pytest.raises(TypeError, match="'promt'"):
        Task.make(promt="{{ a }}")  # type: ignore[call-arg]


def test_a_turn_of_the_assistants_at_the_end_begins_the_answer() -> None:
    task = Task.make(turns=[("user", "{{ a }}"), ("assistant", "It is")])
    assert sent(task, {"a": "x"})["messages"][-1] == {"role": "assistant", "content": "It is"}


def test_tools_come_from_a_list_or_a_file_and_one_can_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps([TOOL]))
    for tools in ([TOOL], file, str(file)):
        params = sent(Task.make(prompt="{{ a }}", tools=tools, tool_choice="look_up"), {"a": "x"})
        assert params["tools"] == [TOOL]
        assert params["tool_choice"] == {"type": "tool", "name": "look_up"}
    chosen = Task.make(prompt="{{ a }}", tools=[TOOL], tool_choice={"type": "any"})
    assert sent(chosen, {"a": "x"})["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("{}", "not a list"),
        ("[]", "not a list"),
        ('[{"name": "a"}, {}]', "tool 1 has no name"),
        ('[{"name": "a", "input_schema": []}]', "input_schema of tool 0"),
    ],
)
def test_a_tools_file_that_is_none_is_refused(tmp_path: Path, text: str | None, word: str) -> None:
    file = tmp_path / "tools.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadPrompt) as caught:
        Task.make(prompt="{{ a }}", tools=file)
    assert word in told(caught)
    assert "tools.json" in told(caught)


def test_a_tool_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(prompt="{{ a }}", tools=[TOOL], tool_choice="look")
    assert "one of auto, any, none, look_up" in told(caught)


# -- the shared part ------------------------------------------------------------------------------


def marks(params: dict[str, Any]) -> int:
    return json.dumps(params).count("cache_control")


def test_the_beginning_of_the_prompt_is_marked_up_to_the_first_column() -> None:
    task = Task.make(prompt="Classify: {{ a }} now", system="S", tools=[TOOL], cache_prefix=True)
    params = sent(task, {"a": "x"})
    assert params["messages"][0]["content"] == [
        {"type": "text", "text": "Classify: ", "cache_control": MARK},
        {"type": "text", "text": "x now"},
    ]
    assert params["system"] == "S"
    assert marks(params) == 1


def test_the_system_is_marked_where_the_prompt_begins_with_a_column() -> None:
    params = sent(Task.make(prompt="{{ a }}", system="S", cache_prefix=True), {"a": "x"})
    assert params["system"] == [{"type": "text", "text": "S", "cache_control": MARK}]
    assert marks(params) == 1


def test_a_system_with_columns_ends_the_shared_part() -> None:
    task = Task.make(prompt="Static {{ a }}", system="For {{ b }}", cache_prefix=True)
    params = sent(task, {"a": "x", "b": "y"})
    assert params["system"] == [
        {"type": "text", "text": "For ", "cache_control": MARK},
        {"type": "text", "text": "y"},
    ]
    assert params["messages"][0]["content"] == "Static x"
    assert sent(task, {"a": "x"})["system"] == params["system"][:1]


def test_tools_are_marked_where_nothing_else_is_shared() -> None:
    task = Task.make(prompt="{{ a }}", tools=[TOOL], cache_prefix=True)
    assert sent(task, {"a": "x"})["tools"] == [{**TOOL, "cache_control": MARK}]
    as_tool = Task.make(prompt="{{ a }}", schema="b", as_tool=True, cache_prefix=True)
    assert sent(as_tool, {"a": "x"})["tools"][0]["cache_control"] == MARK


def test_turns_that_are_the_same_in_every_row_are_shared_too() -> None:
    turns = [("user", "Good?"), ("assistant", "yes")]
    params = sent(Task.make(prompt="{{ a }}", turns=turns, cache_prefix=True), {"a": "x"})
    assert params["messages"][1]["content"] == [
        {"type": "text", "text": "yes", "cache_control": MARK}
    ]
    assert marks(params) == 1


def test_the_shared_beginning_stands_before_an_image(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(PNG)
    task = Task.make(prompt="Look: {{ a }}", images=["p"], folder=tmp_path, cache_prefix=True)
    blocks = sent(task, {"a": "x", "p": "x.png"})["messages"][0]["content"]
    assert [(block["type"], "cache_control" in block) for block in blocks] == [
        ("text", True),
        ("image", False),
        ("text", False),
    ]


def test_nothing_is_marked_where_nothing_is_shared() -> None:
    for prompt in ("{{ a }} end", " {{ a }}"):
        params = sent(Task.make(prompt=prompt, cache_prefix=True), {"a": "x"})
        assert isinstance(params["messages"][0]["content"], str)
        assert marks(params) == 0


def test_a_beginning_before_a_condition_is_shared_too() -> None:
    task = Task.make(prompt="Rules.{% if a %} {{ a }}{% endif %}", cache_prefix=True)
    assert [block["text"] for block in sent(task, {"a": "x"})["messages"][0]["content"]] == [
        "Rules.",
        " x",
    ]
    assert [block["text"] for block in sent(task, {})["messages"][0]["content"]] == ["Rules."]
