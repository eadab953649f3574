"""The Chat Completions engine against an upstream that does as it is told."""

from __future__ import annotations

import asyncio
import json

import pytest
from anthropic.types import Message

from batchyard.engines.openai import ChatEngine
from batchyard.engines.translate import FLAVORS
from batchyard.errors import (
    EngineError,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)
from tests.engines.chat import CHAT, ask, body_of, listed
from tests.upstreams import faults
from tests.upstreams.scripted import Scripted


async def test_an_answer_comes_back_as_a_message(chat_engine: ChatEngine) -> None:
    reply = await chat_engine.create_message(ask("Grüße, 世界\u2028!"))
    message = Message.model_validate_json(reply.message, strict=True)
    assert message.content[0].to_dict() == {"type": "text", "text": "Grüße, 世界\u2028!"}
    assert (message.model, message.stop_reason) == ("echo-1", "end_turn")
    assert reply.usage.input_tokens > 0


async def test_the_request_carries_key_trace_and_priority(chat_upstream: Scripted) -> None:
    chat_upstream.key = "sk-1"
    engine = ChatEngine(f"{chat_upstream.url}/v1/", api_key="sk-1")
    await engine.create_message(ask(trace="batch:row-7"))
    await engine.create_message(ask(priority="high"))
    low, high = (exchange.headers for exchange in chat_upstream.exchanges)
    assert low["authorization"] == "Bearer sk-1"
    assert low["x-request-id"] == "batch:row-7"
    assert int(low["x-vllm-priority"]) > int(high["x-vllm-priority"])
    assert "x-request-id" not in high
    await engine.close()


# -- which engine it is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "field"),
    [("vllm", "max_tokens"), ("openai", "max_completion_tokens"), (None, "max_tokens")],
)
async def test_the_engine_is_known_by_its_model_list(owner: str | None, field: str) -> None:
    async with Scripted(paths=CHAT, pages=listed(owned_by=owner)) as upstream:
        engine = ChatEngine(upstream.url)
        await engine.create_message(ask())
        await engine.create_message(ask())
        assert field in json.loads(upstream.exchanges[-1].body)
        assert [exchange.path for exchange in upstream.others] == ["/v1/models"]
        await engine.close()


async def test_a_flavor_that_is_given_is_not_asked_for(chat_upstream: Scripted) -> None:
    engine = ChatEngine(chat_upstream.url, flavor=FLAVORS["openai"])
    await engine.create_message(ask())
    assert "max_completion_tokens" in json.loads(chat_upstream.exchanges[0].body)
    assert not chat_upstream.others
    await engine.close()


async def test_models_are_told_with_their_limits() -> None:
    pages: dict[str, tuple[int, object]] = {
        "/v1/models": (
            200,
            {
                "data": [
                    {"id": "a", "created": 1_700_000_000, "max_model_len": 4096},
                    {
                        "id": "b",
                        "meta": {"n_ctx": 2048, "n_ctx_train": 8192},
                        "owned_by": "llamacpp",
                    },
                    {"id": "c", "created": None, "owned_by": "library"},
                ]
            },
        )
    }
    async with Scripted(paths=CHAT, pages=pages) as upstream:
        engine = ChatEngine(upstream.url)
        models = await engine.models()
        told = [(model.id, model.max_input_tokens, model.max_tokens) for model in models]
        assert told == [("a", 4096, 4096), ("b", 2048, 2048), ("c", None, None)]
        assert models[0].created_at == 1_700_000_000_000_000
        await engine.close()


async def test_a_server_without_a_model_list_takes_any_name() -> None:
    async with Scripted(paths=CHAT, pages={"/v1/models": (404, {})}) as upstream:
        engine = ChatEngine(upstream.url)
        assert await engine.models() == []
        assert (await engine.create_message(ask("hi"))).message
        await engine.close()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"object":"list"}'])
async def test_a_page_that_is_no_model_list_means_the_wrong_address(body: bytes) -> None:
    async with Scripted(paths=CHAT, pages={"/v1/models": (200, body)}) as upstream:
        engine = ChatEngine(upstream.url)
        with pytest.raises(Misconfigured, match="is this an engine's address"):
            await engine.models()
        await engine.close()


async def test_a_model_that_does_not_see_is_not_sent_images() -> None:
    seeing = {"input_modalities": ["text"]}
    async with Scripted(paths=CHAT, pages=listed(architecture=seeing)) as upstream:
        engine = ChatEngine(upstream.url)
        image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
        with pytest.raises(Rejected, match="does not read images"):
            await engine.create_message(ask(messages=[{"role": "user", "content": [image]}]))
        assert not upstream.exchanges
        await engine.close()


# -- what can go wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.status(400), Rejected),
        (faults.status(401), Misconfigured),
        (faults.status(404, body=b'{"error":{"message":"no model x","code":404}}'), Rejected),
        (faults.status(429, retry_after="3"), Overloaded),
        (faults.status(500), Unavailable),
        (faults.status(503), Unavailable),
        (faults.status(529), Overloaded),
        (faults.reset(), Spent),
        (faults.fin(), Spent),
        (faults.truncated(), Spent),
        (faults.garbage(), Spent),
        (faults.html(), Spent),
        (faults.status_200("empty", b"", "application/json"), Spent),
        (faults.status_200("error", b'{"error":{"message":"x"}}', "application/json"), Spent),
        (faults.redirect(), Misconfigured),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_every_failure_says_what_to_do_next(
    chat_upstream: Scripted, chat_engine: ChatEngine, fault: faults.Fault, error: type[EngineError]
) -> None:
    chat_upstream.script.append(fault)
    with pytest.raises(error):
        await chat_engine.create_message(ask())
    assert len(chat_upstream.exchanges) == 1
    assert (await chat_engine.create_message(ask("again"))).message


async def test_what_cannot_be_translated_is_never_sent(
    chat_upstream: Scripted, chat_engine: ChatEngine
) -> None:
    with pytest.raises(Rejected, match="logit_bias: Extra inputs are not permitted"):
        await chat_engine.create_message(ask(logit_bias={}))
    assert not chat_upstream.exchanges


async def test_a_lost_engine_is_unavailable_without_a_status(chat_upstream: Scripted) -> None:
    engine = ChatEngine(chat_upstream.url, flavor=FLAVORS["generic"])
    await chat_upstream.down()
    for asking in (engine.create_message(ask()), engine.forward("messages", ask())):
        with pytest.raises(Unavailable) as caught:
            await asking
        assert caught.value.status is None
    await engine.close()


async def test_an_output_limit_beyond_the_context_is_left_to_the_engine() -> None:
    words = (
        "This model's maximum context length is 4096 tokens. However, you requested 4096 output "
        "tokens and your prompt contains at least 36 input tokens."
    )
    refusal = json.dumps({"error": {"message": words, "type": "BadRequestError", "code": 400}})
    async with Scripted(paths=CHAT, pages=listed(owned_by="vllm")) as upstream:
        upstream.decide = lambda exchange: (
            faults.status(400, body=refusal.encode()) if b"max_tokens" in exchange.body else None
        )
        engine = ChatEngine(upstream.url)
        reply = await engine.create_message(ask("long story", max_tokens=4096))
        assert b"long story" in reply.message
        streamed = await engine.forward("messages", ask("long story", stream=True))
        assert b"message_stop" in await body_of(streamed)
        upstream.decide = lambda _: faults.status(400, body=refusal.encode())
        with pytest.raises(Rejected, match="maximum context length"):
            await engine.create_message(ask("too long itself"))
        assert len(upstream.exchanges) == 6
        await engine.close()


async def test_cancelling_a_call_hangs_up(chat_upstream: Scripted, chat_engine: ChatEngine) -> None:
    chat_upstream.hold()
    call = asyncio.create_task(chat_engine.create_message(ask()))
    await chat_upstream.seen(1)
    call.cancel()
    await chat_upstream.until(lambda seen: seen.exchanges[0].gone)
    assert (await asyncio.gather(call, return_exceptions=True))[
        0
    ].__class__ is asyncio.CancelledError
