"""llama.cpp as an engine of our own: what a real model answers."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator

import pytest

from batchyard.engines.llama import LlamaEngine, LlamaOptions
from batchyard.errors import Rejected
from tests.engines.chat import body_of
from tests.engines.llamas import MODEL, ask, said, text_of
from tests.tiny_model import tiny_gguf
from tests.tiny_model.corpus import sentences, system_prompt


async def test_a_file_is_enough_for_an_answer(llama: LlamaEngine) -> None:
    (model,) = await llama.models()
    assert (model.id, model.max_input_tokens) == (MODEL, 2_048)
    message = await said(llama)
    assert text_of(message) == " 15eascrine 15 1489U every"
    assert message.stop_reason == "max_tokens"
    assert message.model == MODEL
    assert (message.usage.input_tokens, message.usage.output_tokens) == (18, 8)


async def test_it_answers_alike_whether_alone_or_in_company(llama: LlamaEngine) -> None:
    questions = list(itertools.islice(sentences(5), 24))
    alone = [text_of(await said(llama, question)) for question in questions]
    together = await asyncio.gather(*(said(llama, question) for question in questions))
    assert [text_of(message) for message in together] == alone
    assert len(set(alone)) == len(questions)


async def test_it_says_by_what_it_was_stopped(llama: LlamaEngine) -> None:
    message = await said(llama, max_tokens=40, stop_sequences=["never", "as"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "as")
    assert text_of(message) == " 15e"
    unmet = await said(llama, stop_sequences=["never"])
    assert (unmet.stop_reason, unmet.stop_sequence) == ("max_tokens", None)
    assert text_of(unmet) == " 15eascrine 15 1489U every"


async def test_it_ends_by_itself(llama: LlamaEngine) -> None:
    message = await said(llama, max_tokens=2_000)
    assert message.stop_reason == "end_turn"
    assert 8 < message.usage.output_tokens < 2_000


@pytest.mark.parametrize("stops", [None, ["never"]])
async def test_it_goes_on_from_a_prefill_without_repeating_it(
    llama: LlamaEngine, stops: list[str] | None
) -> None:
    turns = [
        {"role": "user", "content": "hello there"},
        {"role": "assistant", "content": " 15eas"},
    ]
    message = await said(llama, messages=turns, stop_sequences=stops)
    assert text_of(message).startswith("crine 15 1489U every")


async def test_a_schema_is_kept_to(llama: LlamaEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["good", "bad"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    shape = {"format": {"type": "json_schema", "schema": schema}}
    message = await said(llama, max_tokens=60, output_config=shape, stop_sequences=["never"])
    assert json.loads(text_of(message))["label"] in ("good", "bad")


async def test_tools_and_their_history_reach_the_prompt(llama: LlamaEngine) -> None:
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "river"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "It flows."}
    turns = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    bare = await said(llama, "Look.")
    told = await said(llama, messages=turns, tools=tools)
    assert told.usage.input_tokens > bare.usage.input_tokens + 60


async def test_live_calls_are_streamed_and_counted(llama: LlamaEngine) -> None:
    whole = text_of(await said(llama))
    counted = await llama.forward("count_tokens", ask())
    assert json.loads(await body_of(counted)) == {"input_tokens": 18}
    streamed = await body_of(await llama.forward("messages", ask(stream=True)))
    lines = [line for line in streamed.decode().splitlines() if "text_delta" in line]
    deltas = [json.loads(line.removeprefix("data: "))["delta"] for line in lines]
    assert "".join(delta["text"] for delta in deltas) == whole


async def test_a_live_call_does_not_wait_for_the_batch_work_before_it() -> None:
    options = LlamaOptions(slots=1, context=2_048, threads=1, cache_ram=0)
    async with LlamaEngine(tiny_gguf(), options) as engine:
        await engine.models()
        work = [
            asyncio.create_task(said(engine, f"Number {n}.", max_tokens=300)) for n in range(20)
        ]
        await asyncio.sleep(0)
        await body_of(await engine.forward("messages", ask(max_tokens=1)))
        assert sum(task.done() for task in work) < 10
        await asyncio.gather(*work)


async def test_what_the_model_cannot_take_is_the_requests_own_fault(llama: LlamaEngine) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    with pytest.raises(Rejected, match="does not read images"):
        await said(llama, messages=[{"role": "user", "content": [image]}])
    with pytest.raises(Rejected, match="exceeds the available context size"):
        await said(llama, "hello there " * 1_000)
    with pytest.raises(Rejected, match="exceeds the available context size"):
        await said(llama, "hello there " * 1_000, stop_sequences=["x"])
    assert text_of(await said(llama))


# -- prefixes --------------------------------------------------------------------------------------


async def cached_share(engine: LlamaEngine, order: Iterator[tuple[int, int]]) -> float:
    """The share of prompt tokens that were read from the cache, as the answers tell it."""
    read = total = 0
    for group, number in order:
        reply = await engine.create_message(
            ask(f"Item {number}.", system=system_prompt(group), max_tokens=2)
        )
        read += reply.usage.cache_read_input_tokens
        total += reply.usage.cache_read_input_tokens + reply.usage.input_tokens
    return read / total


async def test_prompts_in_prefix_order_are_read_from_the_cache() -> None:
    options = LlamaOptions(slots=1, context=2_048, threads=1, cache_ram=0)
    async with LlamaEngine(tiny_gguf(), options) as engine:
        interleaved = ((group, number) for number in range(3) for group in range(8))
        assert await cached_share(engine, interleaved) < 0.1
        grouped = ((group, number) for group in range(8) for number in range(16))
        assert await cached_share(engine, grouped) >= 0.9
