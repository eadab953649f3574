"""Streams on their way back: the SDK's own accumulator must make the same Message of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pydantic
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.engines.translate import MessageStream, Wanted, message

WANTED = Wanted("asked-for", stop_sequences=("END",))
THINKING = Wanted("asked-for", thinking="shown")
USAGE = {
    "prompt_tokens": 50,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 48},
}
_event: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(RawMessageStreamEvent)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish} | more.pop("choice", {})
    whole = {"id": "c1", "model": "served", "choices": [choice]} | more
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


LAST = chunk(choices=[], usage=USAGE) + b"data: [DONE]\n\n"


def streamed(*chunks: bytes, wanted: Wanted = WANTED) -> list[dict[str, Any]]:
    """The events for an engine's stream."""
    stream = MessageStream(wanted)
    raw = b"".join([*map(stream.feed, chunks), stream.finish()])
    found = []
    for block in raw.decode().split("\n\n")[:-1]:
        name, _, data = block.partition("\ndata: ")
        event = json.loads(data)
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def accumulated(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the SDK makes of the events; each must pass its strict types first."""
    snapshot, buffers = None, dict[int, bytes]()
    for event in events:
        parsed = _event.validate_python(event)
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    found: dict[str, Any] = snapshot.to_dict(mode="json")
    return found


def test_text_goes_out_as_it_comes_in() -> None:
    events = streamed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk(finish="stop"),
        LAST,
    )
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    whole = accumulated(events)
    assert whole["content"] == [{"type": "text", "text": "Hello"}]
    assert (whole["model"], whole["stop_reason"]) == ("served", "end_turn")
    assert whole["usage"]["input_tokens"] == 2
    assert whole["usage"]["cache_read_input_tokens"] == 48
    assert whole["usage"]["output_tokens"] == 7


def test_every_event_leaves_as_soon_as_it_can() -> None:
    stream = MessageStream(WANTED)
    assert b"message_start" in stream.feed(chunk({"role": "assistant"}))
    assert b'"text":"Hi"' in stream.feed(chunk({"content": "Hi"}))
    half = chunk({"content": " there"})
    assert stream.feed(half[:30]) == b""
    assert b'"text":" there"' in stream.feed(half[30:])


def test_thinking_comes_before_text_and_only_for_those_who_asked() -> None:
    chunks = [
        chunk({"reasoning_content": "6 "}),
        chunk({"reasoning": "x 7"}),
        chunk({"content": "42"}),
        chunk(finish="stop"),
    ]
    text = {"type": "text", "text": "42"}
    shown = accumulated(streamed(*chunks, wanted=THINKING))["content"]
    assert shown == [{"type": "thinking", "thinking": "6 x 7", "signature": ""}, text]
    omitted = accumulated(streamed(*chunks, wanted=Wanted("m", thinking="omitted")))["content"]
    assert omitted == [{"type": "thinking", "thinking": "", "signature": ""}, text]
    assert accumulated(streamed(*chunks))["content"] == [text]


def piece(index: int | None, arguments: str, **head: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": head["name"]} if head else {})
    call = {"index": index, "function": function} | ({"id": head["id"]} if head else {})
    return {"tool_calls": [call]}


@pytest.mark.parametrize("interleaved", [False, True])
def test_calls_in_pieces_become_tool_use_blocks(interleaved: bool) -> None:
    pieces = [
        piece(0, "", id="a", name="look"),
        piece(0, '{"at":'),
        piece(0, '"here"}'),
        piece(1, "{", id="b", name="go"),
        piece(1, "}"),
    ]
    order = [0, 3, 1, 4, 2] if interleaved else range(5)
    chunks = [chunk({"content": "hm"}), *(chunk(pieces[number]) for number in order)]
    events = streamed(*chunks, chunk(finish="tool_calls"), LAST)
    whole = accumulated(events)
    assert whole["stop_reason"] == "tool_use"
    assert whole["content"] == [
        {"type": "text", "text": "hm"},
        {"type": "tool_use", "id": "a", "name": "look", "input": {"at": "here"}},
        {"type": "tool_use", "id": "b", "name": "go", "input": {}},
    ]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    pieces = [
        piece(None, "{}", id="a", name="look"),
        piece(None, '{"x"', id="b", name="go"),
        piece(None, ":1}"),
    ]
    whole = accumulated(streamed(*map(chunk, pieces), chunk(finish="stop")))
    assert [(b["id"], b["input"]) for b in whole["content"]] == [("a", {}), ("b", {"x": 1})]
    assert whole["stop_reason"] == "tool_use"


def test_what_is_said_after_a_call_follows_it() -> None:
    whole = accumulated(
        streamed(
            chunk(piece(0, "{}", id="a", name="look")),
            chunk({"content": "\n"}),
            chunk({"content": "done"}),
            chunk(finish="tool_calls"),
        )
    )
    assert [block["type"] for block in whole["content"]] == ["tool_use", "text"]
    assert whole["content"][1]["text"] == "done"


def test_an_empty_answer_has_one_empty_block() -> None:
    whole = accumulated(streamed(chunk({"content": ""}), chunk(finish="length"), LAST))
    assert whole["content"] == [{"type": "text", "text": ""}]
    assert whole["stop_reason"] == "max_tokens"


def test_stop_sequences_and_refusals_are_told_at_the_end() -> None:
    met = streamed(chunk({"content": "x"}), chunk(finish="stop", choice={"stop_reason": "END"}))
    assert accumulated(met)["stop_sequence"] == "END"
    refused = accumulated(
        streamed(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), chunk(finish="stop"))
    )
    assert refused["stop_reason"] == "refusal"
    assert refused["content"] == [{"type": "text", "text": "I won't."}]
    assert refused["stop_details"]["explanation"] == "I won't."


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([chunk({"content": "x"})], "ended before its answer did"),
        ([chunk({"content": "x"}), b"data: [DONE]\n\n"], "ended before its answer did"),
        ([], "ended before its answer did"),
        ([chunk({"content": "x"}), b"data: {oops\n\n"], "not a Chat Completion chunk"),
        ([b'data: {"error":{"message":"out of memory","code":500}}\n\n'], "out of memory"),
        ([b'data: {"error":"out of memory"}\n\n'], "out of memory"),
        ([chunk({"content": "x"}, "abort")], "the engine gave up: finish_reason abort"),
    ],
)
def test_a_stream_that_breaks_off_ends_in_an_error_event(chunks: list[bytes], words: str) -> None:
    events = streamed(*chunks, chunk(finish=None) if len(chunks) > 1 else b"")
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    assert words in events[-1]["error"]["message"]
    assert [event["type"] for event in events].count("error") == 1


def test_a_stream_ends_once_however_often_it_is_told_to() -> None:
    stream = MessageStream(WANTED)
    assert b"event: error" in stream.fail("the line went dead")
    assert stream.fail("again") == b""
    assert stream.feed(chunk({"content": "late"})) == b""
    assert stream.finish() == b""


def test_arguments_sent_as_an_object_are_sent_on_as_text() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "look", "arguments": {"at": "here"}}}
    whole = accumulated(streamed(chunk({"tool_calls": [call]}), chunk(finish="tool_calls")))
    assert whole["content"][0]["input"] == {"at": "here"}


def test_comments_other_fields_and_windows_line_ends_are_no_trouble() -> None:
    raw = b": ping\r\nevent: x\r\nid: 1\r\n" + chunk({"content": "a"}).replace(b"\n", b"\r\n")
    whole = accumulated(streamed(raw, chunk(finish="stop").rstrip(b"\n")))
    assert whole["content"][0]["text"] == "a"


def test_a_line_without_end_is_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchyard.engines.translate import stream

    monkeypatch.setattr(stream, "LINE_BYTES_MAX", 100)
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        MessageStream(WANTED).feed(b"data: " + b"x" * 200)


# -- one law: streaming changes when an answer comes, not what it is -------------------------------

names = st.text("abcdefgh_", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
inputs = st.dictionaries(names, values, max_size=3)
answers = st.fixed_dictionaries(
    {
        "content": st.text(max_size=40),
        "reasoning_content": st.text(max_size=40),
        "tool_calls": st.lists(st.tuples(names, inputs), max_size=3),
    }
)


@settings(max_examples=150, deadline=None)
@given(answers, st.sampled_from([WANTED, THINKING]), st.integers(1, 7), st.data())
def test_a_streamed_answer_is_the_whole_one_in_pieces(
    answer: dict[str, Any], wanted: Wanted, size: int, data: st.DataObject
) -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(of)}}
        for n, (name, of) in enumerate(answer["tool_calls"])
    ]
    said = answer | {"tool_calls": calls}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    whole = {"id": "msg_1", "model": "m", "choices": [choice], "usage": USAGE}

    deltas = []
    for field in ("reasoning_content", "content"):
        words = answer[field]
        deltas += [{field: words[at : at + size]} for at in range(0, len(words), size)]
    for number, call in enumerate(calls):
        text = call["function"]["arguments"]
        deltas.append(piece(number, "", id=call["id"], name=call["function"]["name"]))
        deltas += [piece(number, text[at : at + size]) for at in range(0, len(text), size)]
    raw = b"".join(chunk(delta, id="msg_1", model="m") for delta in deltas)
    raw += chunk(finish="stop", id="msg_1", model="m") + LAST
    cut = data.draw(st.integers(0, len(raw)))

    expected = json.loads(message(json.dumps(whole).encode(), wanted).message)
    assert accumulated(streamed(raw[:cut], raw[cut:], wanted=wanted)) == expected
