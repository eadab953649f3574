"""Live calls through the Chat Completions engine: whole, streamed, refused, counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engines.http import HttpClient
from batchyard.engines.openai import ChatEngine
from batchyard.engines.translate import FLAVORS
from batchyard.errors import Rejected
from tests.engines.chat import CHAT, ask, body_of, listed
from tests.upstreams import faults
from tests.upstreams.scripted import Scripted


async def test_a_live_call_gets_the_message(chat_engine: ChatEngine) -> None:
    forwarded = await chat_engine.forward("messages", ask("hi", priority="high"))
    assert (forwarded.status, forwarded.content_type) == (200, "application/json")
    assert Message.model_validate_json(await body_of(forwarded)).content


async def test_a_streamed_call_gets_events(chat_engine: ChatEngine) -> None:
    forwarded = await chat_engine.forward("messages", ask("words that take a while", stream=True))
    assert forwarded.content_type == "text/event-stream"
    body = (await body_of(forwarded)).decode()
    lines = [line for line in body.splitlines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == "words that take a while"
    assert events[-2]["usage"]["output_tokens"] > 0


async def test_a_refusal_of_the_engine_comes_in_the_envelope(
    chat_upstream: Scripted, chat_engine: ChatEngine
) -> None:
    for stream in (False, True):
        chat_upstream.script.append(faults.status(429, retry_after="3"))
        forwarded = await chat_engine.forward("messages", ask(stream=stream))
        assert forwarded.status == 429
        assert forwarded.headers["retry-after"] == "3"
        envelope = json.loads(await body_of(forwarded))
        assert envelope["type"] == "error"
        assert envelope["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("fault", [faults.truncated(), faults.stall()], ids=["cut", "stalled"])
async def test_a_stream_that_breaks_off_says_so_as_its_last_event(
    chat_upstream: Scripted, fault: faults.Fault
) -> None:
    engine = ChatEngine(
        chat_upstream.url,
        http=HttpClient(chat_upstream.url, idle_seconds=0.05),
        flavor=FLAVORS["generic"],
    )
    chat_upstream.script.append(fault)
    forwarded = await engine.forward("messages", ask("x" * 200, stream=True))
    last = (await body_of(forwarded)).decode().rstrip().split("\n\n")[-1]
    assert last.startswith("event: error\n")
    await engine.close()


async def test_a_stream_nobody_reads_any_more_hangs_up(chat_upstream: Scripted) -> None:
    engine = ChatEngine(chat_upstream.url, flavor=FLAVORS["generic"])
    chat_upstream.script.append(faults.stall())
    forwarded = await engine.forward("messages", ask("x" * 200, stream=True))
    await forwarded.body.aclose()  # type: ignore[attr-defined]
    await chat_upstream.until(lambda seen: seen.exchanges[0].gone)
    assert await body_of(forwarded) == b""
    await engine.close()


@pytest.mark.parametrize(
    ("owner", "path", "answer"),
    [
        ("vllm", "/tokenize", {"count": 41, "max_model_len": 4096, "tokens": [1, 2]}),
        ("llamacpp", "/v1/chat/completions/input_tokens", {"input_tokens": 41}),
    ],
)
async def test_tokens_are_counted_where_the_engine_counts(
    owner: str, path: str, answer: dict[str, Any]
) -> None:
    pages = listed(owned_by=owner) | {path: (200, answer)}
    async with Scripted(paths=CHAT, pages=pages) as upstream:
        engine = ChatEngine(upstream.url)
        counted = await engine.forward("count_tokens", ask("hello", max_tokens=None))
        assert json.loads(await body_of(counted)) == {"input_tokens": 41}
        sent = json.loads(upstream.others[-1].body)
        assert sent == {"model": "echo-1", "messages": [{"role": "user", "content": "hello"}]}
        await engine.close()


async def test_an_engine_that_cannot_count_says_so(chat_engine: ChatEngine) -> None:
    with pytest.raises(Rejected, match="no way to count the tokens") as caught:
        await chat_engine.forward("count_tokens", ask())
    assert caught.value.type == "not_found_error"
