"""What every engine must do: one message or one error that says what next, live calls, models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Ask, Engine, Forwarded
from batchyard.engines.anthropic import MessagesEngine
from batchyard.engines.llama import LlamaEngine
from batchyard.engines.openai import ChatEngine
from batchyard.engines.simulator import Simulator
from batchyard.engines.socket import SocketEngine, serve_engines
from batchyard.errors import EngineError, Misconfigured, Rejected, Spent, Unavailable
from tests.tiny_model import tiny_gguf
from tests.tiny_model.serve import LlamaServer, llama_server
from tests.upstreams.scripted import Scripted

__all__ = ["llama_server"]

Makes = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def simulated(_: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    yield Simulator()


@asynccontextmanager
async def simulated_elsewhere(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    path: Path = request.getfixturevalue("tmp_path") / "engines.sock"
    async with serve_engines(path, {"sim": Simulator()}):
        yield SocketEngine(path, "sim")


@asynccontextmanager
async def messages(_: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    async with Scripted(paths=("/v1/messages",)) as upstream:
        yield MessagesEngine(upstream.url)


@asynccontextmanager
async def llama_in_messages(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    server: LlamaServer = request.getfixturevalue("llama_server")
    yield MessagesEngine(server.url)


@asynccontextmanager
async def chat(_: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    async with Scripted(paths=("/v1/chat/completions",)) as upstream:
        yield ChatEngine(upstream.url)


@asynccontextmanager
async def llama_in_chat(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    server: LlamaServer = request.getfixturevalue("llama_server")
    yield ChatEngine(server.url)


@asynccontextmanager
async def llama(_: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    yield LlamaEngine(tiny_gguf())


ENGINES: list[Makes] = [
    simulated,
    simulated_elsewhere,
    messages,
    chat,
    llama_in_messages,
    llama_in_chat,
    llama,
]


@pytest.fixture(params=ENGINES, ids=lambda makes: makes.__name__)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    async with request.param(request) as engine:
        yield engine
        await engine.close()


async def ask(engine: Engine, text: str = "hello there", **changes: Any) -> Ask:
    """A request for a model the engine serves."""
    model = (await engine.models())[0].id
    turns = [{"role": "user", "content": text}]
    whole = {"model": model, "max_tokens": 16, "messages": turns, **changes}
    params = {name: value for name, value in whole.items() if value is not None}
    return Ask(json.dumps(params).encode(), model, trace="contract:1")


async def body_of(forwarded: Forwarded) -> bytes:
    return b"".join([chunk async for chunk in forwarded.body])


# -- one message ----------------------------------------------------------------------------------


async def test_an_answer_is_one_message_on_one_line(engine: Engine) -> None:
    reply = await engine.create_message(await ask(engine))
    assert b"\n" not in reply.message
    assert b"\r" not in reply.message
    message = json.loads(reply.message.decode())
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["stop_reason"]
    Message.model_validate(message)


async def test_usage_counts_what_the_message_says(engine: Engine) -> None:
    reply = await engine.create_message(await ask(engine))
    counted = json.loads(reply.message)["usage"]
    assert reply.usage.output_tokens == counted["output_tokens"] > 0
    assert reply.usage.input_tokens == counted["input_tokens"]
    total = reply.usage.input_tokens + reply.usage.cache_read_input_tokens
    assert total + reply.usage.cache_creation_input_tokens > 0


@pytest.mark.parametrize("text", ["Grüße, 世界 🌍", '\u2028\u0000\x7f"\\\r\n', "\ud800", " "])
async def test_text_of_any_kind_gets_a_message_or_a_refusal(engine: Engine, text: str) -> None:
    with suppress(EngineError):
        reply = await engine.create_message(await ask(engine, text))
        json.loads(reply.message.decode())


async def test_calls_at_once_are_all_answered(engine: Engine) -> None:
    asks = [await ask(engine, f"number {number}", max_tokens=4) for number in range(30)]
    replies = await asyncio.gather(*(engine.create_message(one) for one in asks))
    assert all(json.loads(reply.message)["type"] == "message" for reply in replies)


async def test_a_call_that_was_cancelled_leaves_the_engine_well(engine: Engine) -> None:
    one = await ask(engine, max_tokens=1000)
    calls = [asyncio.create_task(engine.create_message(one)) for _ in range(8)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*calls, return_exceptions=True)
        assert (await engine.create_message(await ask(engine))).message


async def test_what_is_no_request_is_an_error_of_the_tree(engine: Engine) -> None:
    with pytest.raises((Rejected, Unavailable)) as caught:
        await engine.create_message(await ask(engine, messages=None))
    assert caught.value.message


# -- live calls -----------------------------------------------------------------------------------


async def test_a_live_call_is_answered_with_a_message(engine: Engine) -> None:
    forwarded = await engine.forward("messages", await ask(engine))
    assert forwarded.status == 200
    assert forwarded.content_type.startswith("application/json")
    Message.model_validate(json.loads(await body_of(forwarded)))


async def test_a_live_stream_is_made_of_the_events_of_the_api(engine: Engine) -> None:
    forwarded = await engine.forward("messages", await ask(engine, stream=True))
    assert forwarded.content_type.startswith("text/event-stream")
    lines = (await body_of(forwarded)).decode().splitlines()
    events = [json.loads(line[6:])["type"] for line in lines if line.startswith("data: ")]
    named = [line[7:] for line in lines if line.startswith("event: ")]
    assert named == events
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert events[-2] == "message_delta"
    assert events.count("content_block_start") == events.count("content_block_stop") > 0


async def test_a_live_stream_can_be_dropped(engine: Engine) -> None:
    forwarded = await engine.forward("messages", await ask(engine, stream=True, max_tokens=500))
    await anext(aiter(forwarded.body))
    await forwarded.body.aclose()  # type: ignore[attr-defined]
    assert (await engine.create_message(await ask(engine))).message


async def test_a_live_refusal_is_told_in_the_envelope_or_raised(engine: Engine) -> None:
    """An engine that answered has its status; one that was not even asked has none."""
    try:
        forwarded = await engine.forward("messages", await ask(engine, messages=None))
    except Rejected:
        return
    envelope = json.loads(await body_of(forwarded))
    assert forwarded.status >= 400
    assert envelope["type"] == "error"
    assert envelope["error"]["message"]


async def test_tokens_are_counted_or_the_call_refused(engine: Engine) -> None:
    with suppress(Rejected):
        forwarded = await engine.forward("count_tokens", await ask(engine))
        assert json.loads(await body_of(forwarded))["input_tokens"] > 0


# -- models and the end ---------------------------------------------------------------------------


async def test_models_have_names(engine: Engine) -> None:
    served = await engine.models()
    assert all(model.id for model in served)
    assert len({model.id for model in served}) == len(served) > 0


async def test_closing_twice_is_no_error_and_calls_after_it_do_not_hang(engine: Engine) -> None:
    one = await ask(engine)
    await engine.close()
    await engine.close()
    async with asyncio.timeout(5):
        with suppress(Unavailable, Spent, Misconfigured):
            await engine.create_message(one)
