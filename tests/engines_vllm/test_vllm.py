"""vLLM itself behind both dialects: the same words, its own counts, its own way of refusing."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Ask, Engine
from batchyard.engines.anthropic import MessagesEngine
from batchyard.engines.openai import ChatEngine
from batchyard.errors import Rejected
from tests.engines_vllm.serve import CONTEXT, VllmServer, serving
from tests.tiny_model.corpus import sentences, system_prompt

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif("TEST_ENGINES" not in os.environ, reason="needs vLLM: `make test-engines`"),
]
DIALECTS = {"messages": MessagesEngine, "chat": ChatEngine}


@pytest.fixture(scope="module")
def vllm() -> Iterator[VllmServer]:
    with serving() as server:
        yield server


@pytest.fixture(params=DIALECTS)
async def engine(request: pytest.FixtureRequest, vllm: VllmServer) -> AsyncIterator[Engine]:
    engine = DIALECTS[request.param](vllm.url)
    yield engine
    await engine.close()


@pytest.fixture
async def chat(vllm: VllmServer) -> AsyncIterator[ChatEngine]:
    engine = ChatEngine(vllm.url)
    yield engine
    await engine.close()


def ask(text: str = "hello there", **params: Any) -> Ask:
    messages = [{"role": "user", "content": text}]
    whole = {"model": "tiny", "max_tokens": 8, "temperature": 0, "messages": messages, **params}
    return Ask(json.dumps(whole).encode(), "tiny")


async def said(engine: Engine, text: str = "hello there", **params: Any) -> Message:
    return Message.model_validate_json((await engine.create_message(ask(text, **params))).message)


def text_of(message: Message) -> str:
    return "".join(str(block.to_dict().get("text", "")) for block in message.content)


async def test_both_dialects_give_the_models_own_words(engine: Engine) -> None:
    message = await said(engine)
    assert text_of(message) == " 15eascrine 15 1489U every"
    assert message.stop_reason == "max_tokens"


async def test_a_small_batch_says_the_same_in_both_dialects(vllm: VllmServer) -> None:
    questions = list(itertools.islice(sentences(9), 60))
    answers = []
    for dialect in DIALECTS.values():
        engine = dialect(vllm.url)
        told = await asyncio.gather(*(said(engine, q, system="Be brief.") for q in questions))
        answers.append([text_of(message) for message in told])
        await engine.close()
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == len(questions)


async def test_the_stop_sequence_that_was_met_is_told(engine: Engine) -> None:
    message = await said(engine, max_tokens=40, stop_sequences=["never", "as"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "as")
    assert text_of(message) == " 15e"


async def test_tokens_are_counted_alike(engine: Engine) -> None:
    forwarded = await engine.forward("count_tokens", ask())
    body = b"".join([chunk async for chunk in forwarded.body])
    assert json.loads(body)["input_tokens"] == (await said(engine)).usage.input_tokens


async def test_the_most_that_may_be_asked_for_is_told_and_taken(engine: Engine) -> None:
    (model,) = await engine.models()
    assert (model.max_input_tokens, model.max_tokens) == (CONTEXT, CONTEXT)
    assert (await said(engine, max_tokens=CONTEXT)).stop_reason == "end_turn"


async def test_a_streamed_answer_is_the_whole_one(engine: Engine) -> None:
    forwarded = await engine.forward("messages", ask(stream=True))
    body = b"".join([chunk async for chunk in forwarded.body]).decode()
    lines = [line for line in body.splitlines() if "text_delta" in line]
    deltas = [json.loads(line.removeprefix("data: "))["delta"] for line in lines]
    assert "".join(delta["text"] for delta in deltas) == text_of(await said(engine))


async def test_a_prompt_beyond_the_context_is_the_requests_own_fault(engine: Engine) -> None:
    with pytest.raises(Rejected, match="maximum context length"):
        await said(engine, "hello there " * 2_000)


async def test_prompts_in_prefix_order_are_read_from_the_cache(vllm: VllmServer) -> None:
    """Eight prompts, room for five: told by the answers, in both dialects."""
    for dialect in DIALECTS.values():
        vllm.forget()
        engine = dialect(vllm.url)
        read = total = 0
        for group in range(8):
            asks = [ask(f"Item {n}.", system=system_prompt(group), max_tokens=2) for n in range(16)]
            first, *rest = asks
            replies = [await engine.create_message(first)]
            replies += await asyncio.gather(*map(engine.create_message, rest))
            read += sum(reply.usage.cache_read_input_tokens for reply in replies)
            total += sum(
                usage.cache_read_input_tokens
                + usage.cache_creation_input_tokens
                + usage.input_tokens
                for usage in (reply.usage for reply in replies)
            )
        await engine.close()
        assert read / total >= 0.8
    assert vllm.cached_share() > 0.5


# -- what only the translation is about ------------------------------------------------------------


async def test_an_output_limit_beyond_the_context_is_no_error(chat: ChatEngine) -> None:
    message = await said(chat, max_tokens=128_000)
    assert message.stop_reason == "end_turn"
    assert text_of(message).startswith(" 15eascrine")


async def test_it_goes_on_from_a_prefill(chat: ChatEngine) -> None:
    turns = [
        {"role": "user", "content": "hello there"},
        {"role": "assistant", "content": " 15eas"},
    ]
    assert text_of(await said(chat, messages=turns)).startswith("crine 15 1489U every")


async def test_a_schema_is_kept_to(chat: ChatEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["good", "bad"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    shape = {"format": {"type": "json_schema", "schema": schema}}
    message = await said(chat, max_tokens=60, output_config=shape)
    assert json.loads(text_of(message))["label"] in ("good", "bad")


@pytest.mark.parametrize("kind", ["any", "tool"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_tool_is_used(chat: ChatEngine, kind: str, stream: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"way": {"enum": ["left", "right"]}},
        "required": ["way"],
        "additionalProperties": False,
    }
    choice = {"type": kind} | ({"name": "turn"} if kind == "tool" else {})
    asked = {"max_tokens": 200, "tools": [{"name": "turn", "input_schema": schema}]}
    if stream:
        forwarded = await chat.forward("messages", ask(tool_choice=choice, stream=True, **asked))
        body = b"".join([chunk async for chunk in forwarded.body])
        assert b'"stop_reason":"tool_use"' in body
        assert b'"name":"turn"' in body
        return
    message = await said(chat, tool_choice=choice, **asked)
    (use,) = [block.to_dict() for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert use["name"] == "turn"
    # Noise for weights, and a grammar that lets it say a number: kept as text, nothing lost.
    assert use["input"].get("way") in ("left", "right") or use["input"]["_raw"]
