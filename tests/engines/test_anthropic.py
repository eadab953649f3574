"""The Messages engine against an upstream that does as it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Ask, Forwarded
from batchyard.engines.anthropic import MessagesEngine
from batchyard.engines.http import HttpClient
from batchyard.errors import (
    EngineError,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)
from tests.upstreams import faults
from tests.upstreams.faults import Fault
from tests.upstreams.scripted import Scripted

MESSAGES = ("/v1/messages",)


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    async with Scripted(paths=MESSAGES) as scripted:
        yield scripted


@pytest.fixture
async def engine(upstream: Scripted) -> AsyncIterator[MessagesEngine]:
    async with MessagesEngine(upstream.url) as engine:
        yield engine


def ask(text: str = "hello", **changes: Any) -> Ask:
    options = {
        name: changes.pop(name) for name in ("trace", "priority", "betas") if name in changes
    }
    messages = [{"role": "user", "content": text}]
    whole = {"model": "echo-1", "max_tokens": 9, "messages": messages, **changes}
    return Ask(json.dumps(whole, ensure_ascii=False).encode(), "echo-1", **options)


async def body_of(forwarded: Forwarded) -> bytes:
    return b"".join([chunk async for chunk in forwarded.body])


# -- one message ----------------------------------------------------------------------------------


async def test_params_reach_the_engine_byte_for_byte(
    engine: MessagesEngine, upstream: Scripted
) -> None:
    params = (
        b'{ "max_tokens":12345678901234567890, "x":1.10,\t"model":"echo-1",'
        b'"messages" :[{"role":"user","content":"\\u0041"}], "x":2 }'
    )
    await engine.create_message(Ask(params, "echo-1"))
    assert upstream.exchanges[0].body == params


async def test_the_message_comes_back_as_the_engine_wrote_it(
    engine: MessagesEngine, upstream: Scripted
) -> None:
    message = (
        b'{"type":"message", "content":[{"type":"text","text":"\\u00e9 \\ud83d\\ude00"}],'
        b'"usage":{"input_tokens":3,"output_tokens":2,"x":1.0e2},"odd":12345678901234567890}'
    )
    upstream.script.append(faults.status(200, body=b" " + message.replace(b", ", b",\r\n")))
    reply = await engine.create_message(ask())
    assert reply.message == message.replace(b", ", b",  ")


async def test_an_answer_satisfies_the_official_types(engine: MessagesEngine) -> None:
    reply = await engine.create_message(ask("Grüße, 世界\u2028\u0000!"))
    message = Message.model_validate_json(reply.message, strict=True)
    assert message.content[0].to_dict() == {"type": "text", "text": "Grüße, 世界\u2028\u0000!"}


async def test_usage_is_read_with_its_three_kinds_of_input(
    engine: MessagesEngine, upstream: Scripted
) -> None:
    usage = {
        "input_tokens": 5,
        "output_tokens": 7,
        "cache_read_input_tokens": 11,
        "cache_creation_input_tokens": None,
    }
    body = json.dumps({"type": "message", "content": [], "usage": usage}).encode()
    upstream.script.append(faults.status(200, body=body))
    read = (await engine.create_message(ask())).usage
    assert (read.input_tokens, read.output_tokens) == (5, 7)
    assert (read.cache_read_input_tokens, read.cache_creation_input_tokens) == (11, 0)


async def test_a_message_under_a_wrong_content_type_is_a_message(
    engine: MessagesEngine, upstream: Scripted
) -> None:
    upstream.script.append(faults.wrong_content_type())
    assert b'"text":"hello"' in (await engine.create_message(ask())).message


@pytest.mark.parametrize(
    "fault",
    [
        faults.garbage(),
        faults.html(),
        faults.status(200, body=b""),
        faults.status(204, body=b""),
        faults.status(200, body=b'{"type":"error","error":{"type":"api_error","message":"x"}}'),
        faults.status(200, body=b'{"object":"chat.completion","choices":[]}'),
        faults.status(200, body=b"[" * 100_000),
        faults.reset(),
        faults.fin(),
        faults.truncated(),
        faults.unfinished_chunks(),
        faults.reset_after_headers(),
        faults.huge(40),
        faults.not_http(),
        faults.hang(),
        faults.trickle(),
    ],
    ids=lambda fault: fault.name,
)
async def test_a_200_without_a_message_may_have_been_paid_for(
    upstream: Scripted, fault: Fault
) -> None:
    http = HttpClient(upstream.url, total_seconds=0.5)
    async with MessagesEngine(upstream.url, http=http) as engine:
        upstream.script.append(fault)
        with pytest.raises(Spent):
            await engine.create_message(ask())
        assert len(upstream.exchanges) == 1
        assert (await engine.create_message(ask())).usage.output_tokens


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.status(400), Rejected),
        (faults.status(413), Rejected),
        (faults.status(422), Rejected),
        (faults.status(401), Misconfigured),
        (faults.status(403), Misconfigured),
        (faults.redirect(), Misconfigured),
        (faults.status(408), Unavailable),
        (faults.status(429, retry_after="2"), Overloaded),
        (faults.status(529), Overloaded),
        (faults.status(500), Unavailable),
        (faults.status(503), Unavailable),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else value.__name__,
)
async def test_a_refusal_is_told_by_its_class(
    engine: MessagesEngine, upstream: Scripted, fault: Fault, kind: type[EngineError]
) -> None:
    upstream.script.append(fault)
    with pytest.raises(kind):
        await engine.create_message(ask())


# -- headers --------------------------------------------------------------------------------------


async def test_an_engine_is_told_key_trace_and_priority(upstream: Scripted) -> None:
    upstream.key = "sk-1"
    async with MessagesEngine(upstream.url, api_key="sk-1") as engine:
        await engine.create_message(ask(trace="msgbatch_1:row-7"))
        await engine.create_message(ask(priority="high"))
    low, high = (exchange.headers for exchange in upstream.exchanges)
    assert low["authorization"] == "Bearer sk-1"
    assert low["x-api-key"] == "sk-1"
    assert low["x-request-id"] == "msgbatch_1:row-7"
    assert low["content-type"] == "application/json"
    assert low["anthropic-version"] == "2023-06-01"
    assert int(low["x-vllm-priority"]) > int(high["x-vllm-priority"])


async def test_the_hosted_api_is_told_key_version_and_betas_and_nothing_of_ours(
    upstream: Scripted,
) -> None:
    async with MessagesEngine(upstream.url, api_key="sk-1", hosted=True) as engine:
        await engine.create_message(ask(betas=("one-2026", "two-2026"), trace="t"))
    headers = upstream.exchanges[0].headers
    assert headers["x-api-key"] == "sk-1"
    assert headers["anthropic-beta"] == "one-2026,two-2026"
    assert "authorization" not in headers
    assert "x-vllm-priority" not in headers


async def test_without_a_key_none_is_sent(engine: MessagesEngine, upstream: Scripted) -> None:
    await engine.create_message(ask())
    assert not {"x-api-key", "authorization"} & set(upstream.exchanges[0].headers)


# -- live calls -----------------------------------------------------------------------------------


async def test_a_live_message_passes_as_it_is(engine: MessagesEngine) -> None:
    forwarded = await engine.forward("messages", ask())
    assert (forwarded.status, forwarded.content_type) == (200, "application/json")
    assert b'"text":"hello"' in await body_of(forwarded)


async def test_a_live_stream_passes_event_by_event(
    engine: MessagesEngine, upstream: Scripted
) -> None:
    upstream.event_seconds = 0.001
    forwarded = await engine.forward("messages", ask(stream=True))
    assert forwarded.content_type == "text/event-stream"
    body = await body_of(forwarded)
    assert body.startswith(b"event: message_start\n")
    assert body.endswith(b'data: {"type":"message_stop"}\n\n')


async def test_counting_tokens_passes_too(engine: MessagesEngine) -> None:
    forwarded = await engine.forward("count_tokens", ask())
    assert json.loads(await body_of(forwarded))["input_tokens"] > 0


async def test_an_engine_that_cannot_count_says_so() -> None:
    async with Scripted(paths=()) as bare, MessagesEngine(bare.url) as engine:
        with pytest.raises(Rejected, match="has no /v1/messages/count_tokens") as caught:
            await engine.forward("count_tokens", ask())
    assert caught.value.type == "not_found_error"


@pytest.mark.parametrize(
    ("fault", "status", "type"),
    [
        (faults.status(400), 400, "invalid_request_error"),
        (faults.status(413), 413, "request_too_large"),
        (faults.status(401, body=b'{"error":"Unauthorized"}'), 401, "authentication_error"),
        (faults.status(429, retry_after="3"), 429, "rate_limit_error"),
        (faults.status(529), 529, "overloaded_error"),
        (faults.status(500, body=b"<h1>Oops</h1>", content_type="text/html"), 500, "api_error"),
        (faults.status(504, body=b"late"), 504, "timeout_error"),
        (faults.status(422, body=b'{"detail":"wrong"}'), 422, "invalid_request_error"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
async def test_a_live_refusal_comes_in_the_one_envelope(
    engine: MessagesEngine, upstream: Scripted, fault: Fault, status: int, type: str
) -> None:
    upstream.script.append(fault)
    forwarded = await engine.forward("messages", ask())
    assert (forwarded.status, forwarded.content_type) == (status, "application/json")
    envelope = json.loads(await body_of(forwarded))
    assert envelope["type"] == "error"
    assert envelope["error"]["type"] == type
    assert envelope["error"]["message"]
    assert forwarded.headers.get("retry-after") == ("3" if status == 429 else None)


# -- models ---------------------------------------------------------------------------------------


async def test_models_are_asked_of_the_engine(upstream: Scripted) -> None:
    upstream.models = ["one", "two"]
    async with MessagesEngine(upstream.url) as engine:
        assert [model.id for model in await engine.models()] == ["one", "two"]


async def test_no_list_of_models_means_any_name(upstream: Scripted) -> None:
    upstream.pages["/v1/models"] = (404, {"detail": "Not Found"})
    async with MessagesEngine(upstream.url) as engine:
        assert await engine.models() == []


async def test_models_fail_like_messages(upstream: Scripted) -> None:
    async with MessagesEngine(upstream.url) as engine:
        upstream.key = "sk-1"
        with pytest.raises(Misconfigured):
            await engine.models()
        await upstream.down()
        with pytest.raises(Unavailable):
            await engine.models()
