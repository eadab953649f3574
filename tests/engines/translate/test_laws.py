"""Laws of translation: what holds for every request, however it was put together."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.engines.translate import FLAVORS, NotACompletion, Wanted, chat_request, message
from batchyard.errors import Rejected

words = st.text(min_size=1, max_size=12)
texts = st.builds(lambda text: {"type": "text", "text": text}, words)
images = st.just({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})
documents = st.builds(
    lambda text: {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
    },
    words,
)
user_turns = st.builds(
    lambda content: {"role": "user", "content": content},
    words | st.lists(texts | images | documents, min_size=1, max_size=3),
)
thoughts = st.just({"type": "thinking", "thinking": "hm", "signature": ""})
assistant_turns = st.builds(
    lambda content: {"role": "assistant", "content": content},
    words | st.lists(texts | thoughts, min_size=1, max_size=3),
)


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A tool call and its result, as two turns."""
    ids = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True))
    uses = [{"type": "tool_use", "id": f"t{n}", "name": "look", "input": {"n": n}} for n in ids]
    results = [
        {
            "type": "tool_result",
            "tool_use_id": f"t{n}",
            "content": draw(words | st.lists(images, max_size=1)),
        }
        for n in ids
    ]
    said = draw(st.lists(texts, max_size=1))
    return [{"role": "assistant", "content": uses}, {"role": "user", "content": results + said}]


conversations = st.lists(
    user_turns.map(lambda turn: [turn]) | assistant_turns.map(lambda turn: [turn]) | exchanges(),
    min_size=1,
    max_size=6,
).map(lambda groups: [{"role": "user", "content": "start"}, *itertools.chain(*groups)])


def request(**params: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 1, **params}).encode()


@settings(max_examples=150, deadline=None)
@given(conversations, st.sampled_from(["generic", "vllm", "llama.cpp"]))
def test_the_conversation_reads_as_every_chat_template_wants_it(
    turns: list[dict[str, Any]], flavor: str
) -> None:
    body = chat_request(request(messages=turns), FLAVORS[flavor]).body()
    told = json.loads(body)["messages"]
    pending: set[str] = set()
    for before, after in itertools.pairwise([{"role": "none"}, *told]):
        assert after["role"] == "tool" or after["role"] != before["role"]
        if after["role"] == "tool":
            assert before["role"] in ("tool", "assistant")
            pending.remove(after["tool_call_id"])
        else:
            assert not pending
        pending |= {call["id"] for call in after.get("tool_calls", ())}
    said = [
        block["text"]
        for turn in turns
        for block in turn["content"]
        if isinstance(block, dict) and block["type"] == "text"
    ]
    said += [turn["content"] for turn in turns if isinstance(turn["content"], str)]
    whole = json.loads(body)
    for text in said:
        assert json.dumps(text)[1:-1] in json.dumps(whole)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "role", "source", "name", "id", "input"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
FIELDS = [
    "model",
    "messages",
    "system",
    "max_tokens",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "metadata",
    "stop_sequences",
    "temperature",
]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), anything), st.sampled_from(sorted(FLAVORS)))
def test_any_params_are_translated_or_refused_never_a_crash(
    params: dict[str, Any], flavor: str
) -> None:
    whole = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]}
    try:
        body = chat_request(json.dumps(whole | params).encode(), FLAVORS[flavor]).body()
    except Rejected:
        return
    assert {"model", "messages"} <= json.loads(body).keys()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_message_or_none_never_a_crash(body: bytes) -> None:
    with pytest.raises(NotACompletion):
        message(body, Wanted("m"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_text_of_any_kind_arrives_and_comes_back_as_it_was(text: str) -> None:
    turns = [{"role": "user", "content": "x" + text}]
    body = json.loads(chat_request(request(messages=turns), FLAVORS["generic"]).body())
    assert body["messages"] == turns
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    raw = message(json.dumps({"choices": [choice]}).encode(), Wanted("m")).message
    assert json.loads(raw)["content"][0]["text"] == text
    assert b"\n" not in raw
