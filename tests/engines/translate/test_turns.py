"""The conversation in the other dialect: roles, order, merging, content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.engines.translate import FLAVORS, chat_request
from batchyard.errors import Rejected

GENERIC = FLAVORS["generic"]
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
IMAGE = {"type": "image", "source": PNG}
TYPES = "image/jpeg, image/png, image/gif, image/webp, not 'image/tiff'"
HOSTED = "need the hosted API; this engine speaks Chat Completions, which has none"
PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}


def told(*turns: Any, flavor: str = "generic", **more: Any) -> list[dict[str, Any]]:
    """The chat messages for turns written as (role, content)."""
    messages = [{"role": role, "content": content} for role, content in turns]
    params = {"model": "m", "max_tokens": 9, "messages": messages, **more}
    request = chat_request(json.dumps(params).encode(), FLAVORS[flavor])
    body: dict[str, Any] = json.loads(request.body())
    found: list[dict[str, Any]] = body["messages"]
    return found


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def use(id: str, name: str = "look", **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def result(id: str, content: Any = None, **more: Any) -> dict[str, Any]:
    given = {} if content is None else {"content": content}
    return {"type": "tool_result", "tool_use_id": id, **given, **more}


def call(id: str, arguments: str, name: str = "look") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_plain_question_stays_a_plain_string() -> None:
    assert told(("user", "hello")) == [{"role": "user", "content": "hello"}]


def test_one_text_block_is_the_same_as_a_string() -> None:
    block = text("hello", cache_control={"type": "ephemeral"})
    assert told(("user", [block])) == [{"role": "user", "content": "hello"}]


def test_several_blocks_become_parts_in_their_order() -> None:
    parts = told(("user", [text("a"), IMAGE, text(""), text("b")]))[0]["content"]
    assert parts == [text("a"), PART, text("b")]


def test_images_by_url_go_as_they_are() -> None:
    url = "https://example.com/cat.png?x=1"
    block = {"type": "image", "source": {"type": "url", "url": url}}
    assert told(("user", [block]))[0]["content"] == [
        {"type": "image_url", "image_url": {"url": url}}
    ]


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("be kind", "be kind"),
        ([text("be kind")], "be kind"),
        ([text("be"), text(""), text("kind", cache_control=None)], "be\nkind"),
    ],
)
def test_the_system_prompt_comes_first_as_one_string(system: Any, said: str) -> None:
    messages = told(("user", "hi"), system=system)
    assert messages[0] == {"role": "system", "content": said}


@pytest.mark.parametrize("system", ["", None, [], [text("")]])
def test_an_empty_system_prompt_is_no_message(system: Any) -> None:
    assert [m["role"] for m in told(("user", "hi"), system=system)] == ["user"]


def test_system_turns_at_the_front_join_the_system_prompt_and_later_ones_stay_in_place() -> None:
    messages = told(
        ("system", "b"), ("user", "hi"), ("system", [text("c")]), ("user", "so?"), system="a"
    )
    assert [(m["role"], m["content"]) for m in messages] == [
        ("system", "a\nb"),
        ("user", "hi"),
        ("system", "c"),
        ("user", "so?"),
    ]


def test_turns_of_one_role_in_a_row_become_one() -> None:
    messages = told(
        ("user", "a"),
        ("user", [IMAGE]),
        ("assistant", "x"),
        ("assistant", [text("y")]),
        ("user", "b"),
    )
    assert messages == [
        {"role": "user", "content": [text("a"), PART]},
        {"role": "assistant", "content": "xy"},
        {"role": "user", "content": "b"},
    ]


def test_tool_use_and_its_result_become_a_call_and_a_tool_message() -> None:
    messages = told(
        ("user", "q"),
        ("assistant", [text("let me see"), use("t1", at="here"), use("t2")]),
        ("user", [result("t1", "found"), result("t2", [text("a"), text("b")])]),
    )
    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [call("t1", '{"at":"here"}'), call("t2", "{}")],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "found"},
        {"role": "tool", "tool_call_id": "t2", "content": "a\nb"},
    ]


def test_results_come_before_what_else_their_turn_says() -> None:
    messages = told(("assistant", [use("t1")]), ("user", [text("and now?"), result("t1", "r")]))
    assert [m["role"] for m in messages] == ["assistant", "tool", "user"]
    assert messages[2]["content"] == "and now?"


def test_pictures_in_a_result_follow_in_a_user_message_that_says_whose_they_are() -> None:
    turn = [result("t1", [text("look"), IMAGE]), result("t2", [IMAGE]), text("which?")]
    messages = told(("assistant", [use("t1"), use("t2")]), ("user", turn))
    assert messages[1:] == [
        {"role": "tool", "tool_call_id": "t1", "content": "look"},
        {"role": "tool", "tool_call_id": "t2", "content": ""},
        {
            "role": "user",
            "content": [
                text("From the result of t1:"),
                PART,
                text("From the result of t2:"),
                PART,
                text("which?"),
            ],
        },
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("no such file", "Error: no such file"), ([text("gone")], "Error: gone"), (None, "Error")],
)
def test_a_failed_tool_says_so_in_words(content: Any, said: str) -> None:
    messages = told(("assistant", [use("t1")]), ("user", [result("t1", content, is_error=True)]))
    assert messages[1]["content"] == said


def test_a_result_without_content_is_empty_text() -> None:
    messages = told(("assistant", [use("t1")]), ("user", [result("t1")]))
    assert messages[1] == {"role": "tool", "tool_call_id": "t1", "content": ""}


def test_arguments_keep_every_digit_and_the_order_of_their_keys() -> None:
    big = '{"z":12345678901234567890123,"a":0.10000000000000000555,"m":{"y":1,"b":[]}}'
    params = (
        '{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use",'
        f'"id":"t","name":"n","input":{big}}}]}},'
        '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]}'
    )
    body = json.loads(chat_request(params.encode(), GENERIC).body())
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == big


def test_earlier_thinking_is_left_out_and_a_turn_of_nothing_else_vanishes() -> None:
    thought = {"type": "thinking", "thinking": "hmm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "x"}
    messages = told(
        ("user", "a"),
        ("assistant", [thought, hidden]),
        ("user", "b"),
        ("assistant", [thought, text("c")]),
        ("user", "d"),
    )
    assert [(m["role"], m["content"]) for m in messages] == [
        ("user", [text("a"), text("b")]),
        ("assistant", "c"),
        ("user", "d"),
    ]


def test_search_results_become_tagged_text() -> None:
    block = {
        "type": "search_result",
        "source": "https://example.com",
        "title": "Cats",
        "content": [text("They purr."), text("They sleep.")],
        "citations": {"enabled": True},
    }
    assert told(("user", [block]))[0]["content"] == (
        "<search_result>\n<source>https://example.com</source>\n<title>Cats</title>\n"
        "<content>\nThey purr.\nThey sleep.\n</content>\n</search_result>"
    )


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([], "messages: at least one message is required"),
        ([("user", "")], "messages.0: user messages must have non-empty content"),
        ([("user", [text("")])], "messages.0: user messages must have non-empty content"),
        ([("assistant", "")], "messages: at least one user message is required"),
        (
            [("user", "a"), ("assistant", [IMAGE])],
            "messages.1.content.0: image blocks are not taken in an assistant message",
        ),
        (
            [("user", [text("a"), use("t1")])],
            "messages.0.content.1: tool_use blocks are not taken in a user message",
        ),
        (
            [("system", [IMAGE]), ("user", "a")],
            "messages.0.content.0: image blocks are not taken in a system prompt",
        ),
        (
            [("user", "a"), ("assistant", [use("t9")])],
            "messages: no tool_result follows the tool_use t9",
        ),
        (
            [("user", [{"type": "image", "source": {"type": "file", "file_id": "f"}}])],
            f"messages.0.content.0.source: files {HOSTED}",
        ),
        (
            [("user", [{"type": "image", "source": {**PNG, "media_type": "image/tiff"}}])],
            f"messages.0.content.0.source.media_type: Input should be one of {TYPES}",
        ),
        (
            [("user", [{"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}])],
            f"messages.0.content.0: `server_tool_use` blocks {HOSTED}",
        ),
        (
            [("user", [{"type": "hologram"}])],
            "messages.0.content.0.type: Invalid value 'hologram'",
        ),
        (
            [("user", [result("t", [{"type": "tool_reference", "tool_name": "x"}])])],
            f"messages.0.content.0.content.0: `tool_reference` blocks {HOSTED}",
        ),
    ],
)
def test_what_the_other_dialect_cannot_say_is_refused_by_its_path(turns: Any, why: str) -> None:
    with pytest.raises(Rejected) as caught:
        told(*turns)
    assert caught.value.message == why
    assert caught.value.type == "invalid_request_error"


def test_a_model_without_eyes_is_not_shown_images() -> None:
    from dataclasses import replace

    params = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [IMAGE]}]}
    with pytest.raises(Rejected, match=r"messages\.0\.content\.0: this model does not read images"):
        chat_request(json.dumps(params).encode(), replace(GENERIC, images=False))


def test_a_trailing_assistant_turn_is_continued_where_the_engine_can() -> None:
    params = {
        "model": "m",
        "max_tokens": 1,
        "messages": [
            {"role": "user", "content": "count"},
            {"role": "assistant", "content": "one, "},
        ],
    }
    raw = json.dumps(params).encode()
    vllm = chat_request(raw, FLAVORS["vllm"])
    assert vllm.fields["continue_final_message"] is True
    assert vllm.fields["add_generation_prompt"] is False
    assert vllm.wanted.prefill == ""
    assert chat_request(raw, FLAVORS["llama.cpp"]).wanted.prefill == "one, "
    with pytest.raises(Rejected, match=r"messages\.1: openai cannot continue an assistant turn"):
        chat_request(raw, FLAVORS["openai"])
