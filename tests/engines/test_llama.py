"""llama.cpp as an engine of our own: a real model, run by a child of this process."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Ask, Forwarded
from batchyard.engines.llama import LlamaEngine, LlamaOptions, options_of
from batchyard.engines.llama import process as llama_process
from batchyard.errors import ConfigurationError, Misconfigured, Rejected, Spent, Unavailable
from tests.tiny_model import tiny_gguf
from tests.tiny_model.corpus import sentences, system_prompt

MODEL = "model"
SMALL = LlamaOptions(slots=2, context=2_048, threads=1, cache_ram=0)


@pytest.fixture
async def engine() -> AsyncIterator[LlamaEngine]:
    async with LlamaEngine(tiny_gguf(), SMALL) as engine:
        yield engine


def ask(text: str = "hello there", **params: Any) -> Ask:
    messages = [{"role": "user", "content": text}]
    whole = {"model": MODEL, "max_tokens": 8, "temperature": 0, "messages": messages, **params}
    return Ask(json.dumps(whole).encode(), MODEL)


async def said(engine: LlamaEngine, text: str = "hello there", **params: Any) -> Message:
    reply = await engine.create_message(ask(text, **params))
    return Message.model_validate_json(reply.message, strict=True)


def text_of(message: Message) -> str:
    return "".join(str(block.to_dict().get("text", "")) for block in message.content)


async def body_of(forwarded: Forwarded) -> bytes:
    return b"".join([chunk async for chunk in forwarded.body])


async def test_a_file_is_enough_for_an_answer(engine: LlamaEngine) -> None:
    (model,) = await engine.models()
    assert (model.id, model.max_input_tokens) == (MODEL, 2_048)
    message = await said(engine)
    assert text_of(message) == " 15eascrine 15 1489U every"
    assert message.stop_reason == "max_tokens"
    assert message.model == MODEL
    assert (message.usage.input_tokens, message.usage.output_tokens) == (18, 8)


async def test_it_answers_alike_whether_alone_or_in_company(engine: LlamaEngine) -> None:
    questions = list(itertools.islice(sentences(5), 24))
    alone = [text_of(await said(engine, question)) for question in questions]
    together = await asyncio.gather(*(said(engine, question) for question in questions))
    assert [text_of(message) for message in together] == alone
    assert len(set(alone)) == len(questions)


async def test_it_says_by_what_it_was_stopped(engine: LlamaEngine) -> None:
    message = await said(engine, max_tokens=40, stop_sequences=["never", "as"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "as")
    assert text_of(message) == " 15e"
    unmet = await said(engine, stop_sequences=["never"])
    assert (unmet.stop_reason, unmet.stop_sequence) == ("max_tokens", None)
    assert text_of(unmet) == " 15eascrine 15 1489U every"


async def test_it_ends_by_itself(engine: LlamaEngine) -> None:
    message = await said(engine, max_tokens=2_000)
    assert message.stop_reason == "end_turn"
    assert 8 < message.usage.output_tokens < 2_000


@pytest.mark.parametrize("stops", [None, ["never"]])
async def test_it_goes_on_from_a_prefill_without_repeating_it(
    engine: LlamaEngine, stops: list[str] | None
) -> None:
    turns = [
        {"role": "user", "content": "hello there"},
        {"role": "assistant", "content": " 15eas"},
    ]
    message = await said(engine, messages=turns, stop_sequences=stops)
    assert text_of(message).startswith("crine 15 1489U every")


async def test_a_schema_is_kept_to(engine: LlamaEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["good", "bad"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    shape = {"format": {"type": "json_schema", "schema": schema}}
    message = await said(engine, max_tokens=60, output_config=shape, stop_sequences=["never"])
    assert json.loads(text_of(message))["label"] in ("good", "bad")


async def test_tools_and_their_history_reach_the_prompt(engine: LlamaEngine) -> None:
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "river"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "It flows."}
    turns = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    bare = await said(engine, "Look.")
    told = await said(engine, messages=turns, tools=tools)
    assert told.usage.input_tokens > bare.usage.input_tokens + 60


async def test_live_calls_are_streamed_and_counted(engine: LlamaEngine) -> None:
    whole = text_of(await said(engine))
    counted = await engine.forward("count_tokens", ask())
    assert json.loads(await body_of(counted)) == {"input_tokens": 18}
    streamed = await body_of(await engine.forward("messages", ask(stream=True)))
    lines = [line for line in streamed.decode().splitlines() if "text_delta" in line]
    deltas = [json.loads(line.removeprefix("data: "))["delta"] for line in lines]
    assert "".join(delta["text"] for delta in deltas) == whole


async def test_what_the_model_cannot_take_is_the_requests_own_fault(engine: LlamaEngine) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    with pytest.raises(Rejected, match="does not read images"):
        await said(engine, messages=[{"role": "user", "content": [image]}])
    with pytest.raises(Rejected, match="exceeds the available context size"):
        await said(engine, "hello there " * 1_000)
    with pytest.raises(Rejected, match="exceeds the available context size"):
        await said(engine, "hello there " * 1_000, stop_sequences=["x"])
    assert text_of(await said(engine))


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


# -- its process -----------------------------------------------------------------------------------


async def test_a_child_that_dies_is_replaced(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await said(engine)
    child = engine._process._child
    assert child is not None
    child.kill()
    with pytest.raises((Spent, Unavailable)):
        await said(engine)
    await child.wait()
    with pytest.raises(Unavailable, match=r"llama\.cpp ended"):
        await engine.models()
    monkeypatch.setattr(llama_process, "RESTART_SECONDS", 0.0)
    assert text_of(await said(engine)) == text_of(first)
    assert engine._process.pid not in (child.pid, None)


async def test_nothing_is_left_when_it_is_closed() -> None:
    engine = LlamaEngine(tiny_gguf(), SMALL)
    await engine.models()
    child = engine._process.pid
    assert child is not None
    await engine.close()
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    with pytest.raises(Unavailable, match="was closed"):
        await engine.models()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches a process as Linux can")
def test_no_child_outlives_a_parent_that_was_killed() -> None:
    script = f"""
import asyncio
from pathlib import Path
from batchyard.engines.llama import LlamaEngine

async def main():
    engine = LlamaEngine(Path({str(tiny_gguf())!r}))
    await engine.models()
    print(engine._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    gone, _, _ = select.select([child], [], [], 20)
    os.close(child)
    assert gone


async def test_while_the_model_is_loaded_calls_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_process, "PATIENCE_SECONDS", 0.0)
    async with LlamaEngine(tiny_gguf(), SMALL) as engine:
        with pytest.raises(Unavailable, match=r"llama\.cpp is loading model \(0 s so far\)"):
            await engine.models()


async def test_its_door_wants_the_key_that_only_we_know(engine: LlamaEngine) -> None:
    from batchyard.engines.openai import ChatEngine

    await engine.models()
    stranger = ChatEngine(await engine._process.address())
    with pytest.raises(Misconfigured):
        await stranger.create_message(ask())
    await stranger.close()


# -- configuration ---------------------------------------------------------------------------------


def test_options_are_read_as_they_are_written() -> None:
    written = {
        "slots": "8",
        "context": "4096",
        "threads": "2",
        "cache_ram": "0",
        "gpu_layers": "99",
    }
    assert options_of(written) == LlamaOptions(8, 4_096, 2, 0, 99)
    assert options_of({}) == LlamaOptions()


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (
            {"speed": "1"},
            "unknown option speed; known: slots, context, threads, cache_ram, gpu_layers",
        ),
        ({"slots": "0"}, "slots=0; it takes a number from 1"),
        ({"context": "many"}, "context=many; it takes a number from 64"),
        ({"threads": "-1"}, "threads=-1; it takes a number from 0"),
    ],
)
def test_options_that_cannot_be_are_told(pairs: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options_of(pairs)
    assert why in caught.value.message


def test_a_file_that_is_no_model_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("not a model")
    with pytest.raises(ConfigurationError, match=r"notes\.gguf is not a GGUF model"):
        LlamaEngine(tmp_path / "notes.gguf")
    with pytest.raises(ConfigurationError, match="cannot read"):
        LlamaEngine(tmp_path / "missing.gguf")


async def test_a_model_that_cannot_be_loaded_is_the_operators_fault(tmp_path: Path) -> None:
    (tmp_path / "torn.gguf").write_bytes(tiny_gguf().read_bytes()[:10_000])
    async with LlamaEngine(tmp_path / "torn.gguf", SMALL) as engine:
        with pytest.raises(Misconfigured, match=r"cannot run .*torn\.gguf: its last words: .*load"):
            await engine.models()


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as caught:
        LlamaEngine(tiny_gguf())
    assert caught.value.fix == "pip install 'batchyard[llama]'"
