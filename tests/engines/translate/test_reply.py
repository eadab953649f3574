"""Answers on their way back: every one is a Message the official SDK's strict types accept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Usage
from batchyard.engines.translate import NotACompletion, Wanted, message
from batchyard.engines.translate.reply import NO_ANSWER, STOP_REASONS

WANTED = Wanted("asked-for", stop_sequences=("END",))
TOKENS = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}


def completion(said: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A Chat Completion; `choice` goes into its choice, the rest beside it."""
    choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
    choice |= more.pop("choice", {})
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [choice],
        "usage": TOKENS,
    }
    return whole | more


def told(whole: dict[str, Any], wanted: Wanted = WANTED) -> dict[str, Any]:
    """The Message, after the SDK's strict type has had a look at it."""
    raw = message(json.dumps(whole).encode(), wanted).message
    assert b"\n" not in raw
    Message.model_validate_json(raw, strict=True)
    found: dict[str, Any] = json.loads(raw)
    return found


def call(arguments: Any, name: str = "look", id: str | None = "call_1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_plain_answer_is_a_plain_message() -> None:
    found = told(completion({"content": "Hello!"}))
    assert found.pop("id").startswith("msg_01")
    assert found == {
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": [{"type": "text", "text": "Hello!"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 50,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 7,
            "service_tier": "standard",
        },
    }


def test_an_id_that_is_a_messages_is_kept_and_the_models_name_is_never_made_up() -> None:
    found = told(completion({"content": "x"}, id="msg_engine", model=None))
    assert (found["id"], found["model"]) == ("msg_engine", "asked-for")


@pytest.mark.parametrize(("finish", "reason"), STOP_REASONS.items())
def test_every_finish_reason_has_its_stop_reason(finish: str, reason: str) -> None:
    assert told(completion({"content": "x"}, finish))["stop_reason"] == reason


@pytest.mark.parametrize("finish", [None, "repetition"])
def test_a_finish_reason_we_never_met_is_an_end(finish: str | None) -> None:
    assert told(completion({"content": "x"}, finish))["stop_reason"] == "end_turn"


@pytest.mark.parametrize("finish", sorted(NO_ANSWER))
def test_an_engine_that_gave_up_has_not_answered(finish: str) -> None:
    with pytest.raises(NotACompletion, match="gave up"):
        message(json.dumps(completion({"content": "x"}, finish)).encode(), WANTED)


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
@pytest.mark.parametrize(
    ("met", "finish", "expected"),
    [
        ("END", "stop", ("stop_sequence", "END")),
        ("</s>", "stop", ("end_turn", None)),
        (151645, "stop", ("end_turn", None)),
        (None, "stop", ("end_turn", None)),
        ("END", "length", ("max_tokens", None)),
    ],
)
def test_the_stop_sequence_is_told_where_the_engine_tells_it(
    field: str, met: Any, finish: str, expected: tuple[str, str | None]
) -> None:
    found = told(completion({"content": "x"}, finish, choice={field: met}))
    assert (found["stop_reason"], found["stop_sequence"]) == expected


@pytest.mark.parametrize("finish", ["stop", "tool_calls", None])
def test_a_call_is_a_tool_use_whatever_the_engine_calls_its_end(finish: str | None) -> None:
    calls = [call('{"at": "here", "n": 12345678901234567890123}'), call("{}", "go", None)]
    found = told(completion({"content": "let me see", "tool_calls": calls}, finish))
    assert found["stop_reason"] == "tool_use"
    text, first, second = found["content"]
    assert text == {"type": "text", "text": "let me see"}
    assert first == {
        "type": "tool_use",
        "id": "call_1",
        "name": "look",
        "input": {"at": "here", "n": 12345678901234567890123},
    }
    assert second["id"].startswith("toolu_01")
    assert (second["name"], second["input"]) == ("go", {})


@pytest.mark.parametrize(
    ("arguments", "input"),
    [
        ("", {}),
        (None, {}),
        ('{"a":\n1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1', {"_raw": '{"a": 1'}),
        ("[1]", {"_raw": "[1]"}),
        ("look here", {"_raw": "look here"}),
    ],
)
def test_arguments_become_an_object_and_broken_ones_lose_nothing(
    arguments: Any, input: dict[str, Any]
) -> None:
    found = told(completion({"content": None, "tool_calls": [call(arguments)]}, "length"))
    assert found["content"][0]["input"] == input
    assert found["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    ("thinking", "blocks"),
    [
        ("unasked", [{"type": "text", "text": "42"}]),
        (
            "omitted",
            [
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "text", "text": "42"},
            ],
        ),
        (
            "shown",
            [
                {"type": "thinking", "thinking": "6 x 7", "signature": ""},
                {"type": "text", "text": "42"},
            ],
        ),
    ],
)
def test_reasoning_is_a_thinking_block_for_those_who_asked(
    field: str, thinking: Any, blocks: list[dict[str, str]]
) -> None:
    wanted = Wanted("m", thinking=thinking)
    found = told(completion({"content": "42", field: "6 x 7"}), wanted)
    assert found["content"] == blocks


@pytest.mark.parametrize("content", ["", None, []])
def test_an_empty_answer_has_one_empty_block(content: Any) -> None:
    assert told(completion({"content": content}))["content"] == [{"type": "text", "text": ""}]


def test_content_in_parts_is_put_together() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"text": "b"}]
    assert told(completion({"content": parts}))["content"] == [{"type": "text", "text": "ab"}]


@pytest.mark.parametrize(
    ("said", "finish", "text", "words"),
    [
        ({"content": None, "refusal": "I won't."}, "stop", "I won't.", "I won't."),
        ({"content": "So far"}, "content_filter", "So far", None),
    ],
)
def test_a_refusal_is_a_message_that_says_so(
    said: dict[str, Any], finish: str, text: str, words: str | None
) -> None:
    found = told(completion(said, finish))
    assert found["stop_reason"] == "refusal"
    assert found["stop_details"] == {"type": "refusal", "category": None, "explanation": words}
    assert found["content"] == [{"type": "text", "text": text}]


def test_tokens_read_from_the_cache_are_not_counted_twice() -> None:
    usage = TOKENS | {
        "prompt_tokens_details": {"cached_tokens": 40, "created_cache_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    whole = completion({"content": "x"}, usage=usage)
    assert message(json.dumps(whole).encode(), WANTED).usage == Usage(2, 7, 40, 8)
    assert told(whole)["usage"] == {
        "input_tokens": 2,
        "cache_creation_input_tokens": 8,
        "cache_read_input_tokens": 40,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "service_tier": "standard",
    }


@pytest.mark.parametrize("usage", [None, {}, TOKENS | {"prompt_tokens_details": None}])
def test_an_engine_that_does_not_count_is_no_reason_to_fail(usage: Any) -> None:
    assert told(completion({"content": "x"}, usage=usage))["usage"]["output_tokens"] in (0, 7)


def test_a_prefill_that_the_engine_repeats_is_said_once() -> None:
    wanted = Wanted("m", prefill="one, ")
    assert told(completion({"content": "one, two"}), wanted)["content"][0]["text"] == "two"
    assert told(completion({"content": "two"}), wanted)["content"][0]["text"] == "two"


def test_text_no_json_may_hold_is_mended() -> None:
    raw = json.dumps(completion({"content": "MARK"})).encode().replace(b"MARK", b"a\\ud800b\xff")
    found = Message.model_validate_json(message(raw, WANTED).message)
    assert found.content[0].to_dict()["text"] == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"<html>",
        b"[" * 50_000,
        b'{"choices":[]}',
        b'{"choices":[{"index":0}]}',
        b'{"error":{"message":"no"}}',
        b'{"id":"x","type":"message","content":[]}',
    ],
)
def test_a_200_that_is_no_answer_is_not_taken_for_one(raw: bytes) -> None:
    with pytest.raises(NotACompletion):
        message(raw, WANTED)


def test_token_counts_that_cannot_be_are_brought_into_range() -> None:
    usage = {"prompt_tokens": -3, "completion_tokens": 10**400}
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    counted = message(json.dumps(body).encode(), Wanted("m")).usage
    assert (counted.input_tokens, counted.output_tokens) == (0, 2**53)
