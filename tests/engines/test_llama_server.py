"""llama.cpp's HTTP server as an upstream, in both dialects: the same model must say the same."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Ask, Engine
from batchyard.engines.anthropic import MessagesEngine
from batchyard.engines.openai import ChatEngine
from batchyard.errors import Rejected
from tests.tiny_model.corpus import sentences, system_prompt
from tests.tiny_model.serve import LlamaServer, serving

DIALECTS = {"messages": MessagesEngine, "chat": ChatEngine}


@pytest.fixture(params=DIALECTS)
async def engine(
    request: pytest.FixtureRequest, llama_server: LlamaServer
) -> AsyncIterator[Engine]:
    engine = DIALECTS[request.param](llama_server.url)
    yield engine
    await engine.close()


def ask(text: str, **params: Any) -> Ask:
    messages = [{"role": "user", "content": text}]
    whole = {"model": "tiny", "max_tokens": 8, "temperature": 0, "messages": messages, **params}
    return Ask(json.dumps(whole).encode(), "tiny")


async def said(engine: Engine, text: str, **params: Any) -> str:
    reply = await engine.create_message(ask(text, **params))
    message = Message.model_validate_json(reply.message)
    return "".join(str(block.to_dict().get("text", "")) for block in message.content)


async def test_both_dialects_give_the_models_own_words(engine: Engine) -> None:
    assert await said(engine, "hello there") == " 15eascrine 15 1489U every"


async def test_both_dialects_say_the_same_to_many_at_once(llama_server: LlamaServer) -> None:
    questions = list(itertools.islice(sentences(9), 40))
    answers = []
    for dialect in DIALECTS.values():
        engine = dialect(llama_server.url)
        told = await asyncio.gather(*(said(engine, q, system="Be brief.") for q in questions))
        answers.append(told)
        await engine.close()
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == len(questions)


async def test_the_model_list_tells_name_and_context(engine: Engine) -> None:
    (model,) = await engine.models()
    assert (model.id, model.max_input_tokens) == ("tiny", 4_096)


async def test_tokens_are_counted_alike(engine: Engine) -> None:
    forwarded = await engine.forward("count_tokens", ask("hello there"))
    body = b"".join([chunk async for chunk in forwarded.body])
    assert json.loads(body) == {"input_tokens": 18}


async def test_a_prompt_beyond_the_context_is_the_requests_own_fault(engine: Engine) -> None:
    with pytest.raises(Rejected, match="exceeds the available context size"):
        await said(engine, "hello there " * 2_000)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_prompts_in_prefix_order_are_read_from_the_cache(dialect: str) -> None:
    """Told by the answers, and by the server's own counters."""
    with serving(slots=1) as upstream:
        engine = DIALECTS[dialect](upstream.url)
        read = total = 0
        for group, number in itertools.product(range(8), range(16)):
            asked = ask(f"Item {number}.", system=system_prompt(group), max_tokens=2)
            usage = (await engine.create_message(asked)).usage
            read += usage.cache_read_input_tokens
            total += usage.cache_read_input_tokens + usage.input_tokens
        await engine.close()
        counters = upstream.counters()
    assert read / total >= 0.9
    counted = counters["prompt_tokens_cached_total"]
    assert counted / (counted + counters["prompt_tokens_total"]) == pytest.approx(read / total)
