"""Answers taken piece by piece, as a live call passes them on."""

from __future__ import annotations

import asyncio

import pytest

from batchyard.engines.http import HttpClient
from batchyard.errors import Spent
from tests.engines.raw import BODY, JSON, PATH
from tests.upstreams import faults
from tests.upstreams.faults import Fault
from tests.upstreams.scripted import Scripted

# -- answers as they arrive ------------------------------------------------------------------------


async def test_a_streamed_answer_passes_byte_for_byte(
    client: HttpClient, upstream: Scripted
) -> None:
    whole = await client.post(PATH, JSON, BODY.replace(b"{", b'{"stream":true,', 1))
    streamed = await client.stream(PATH, JSON, BODY.replace(b"{", b'{"stream":true,', 1))
    assert streamed.headers["content-type"] == "text/event-stream"
    body = b"".join([chunk async for chunk in streamed])
    assert body.count(b"event: ") == whole.body.count(b"event: ") > 5
    assert client.kept == 1


async def test_a_streamed_answer_starts_before_it_ends(upstream: Scripted) -> None:
    upstream.event_seconds = 0.02
    async with HttpClient(upstream.url) as client:
        streamed = await client.stream(PATH, JSON, BODY.replace(b"{", b'{"stream":true,', 1))
        assert b"message_start" in await anext(streamed)
        assert upstream.exchanges[0].ended is None
        await streamed.aclose()
        await upstream.until(lambda seen: seen.exchanges[0].gone)
        await streamed.aclose()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.stall(), r"silent for 0\.1 s"),
        (faults.truncated(), "closed in the middle"),
        (faults.reset_after_headers(), "connection reset"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
async def test_a_streamed_answer_that_breaks_off_says_so(
    client: HttpClient, upstream: Scripted, fault: Fault, words: str
) -> None:
    upstream.script.append(fault)
    streamed = await client.stream(PATH, JSON, BODY)
    assert streamed.status == 200
    with pytest.raises(Spent, match=words):
        async for _ in streamed:
            pass


async def test_a_stream_that_never_starts_is_given_up_after_a_silence(
    client: HttpClient, upstream: Scripted
) -> None:
    upstream.script.append(faults.hang())
    with pytest.raises(Spent, match=r"silent for 0\.1 s"):
        await client.stream(PATH, JSON, BODY)


async def test_a_slow_reader_slows_the_engine_down_and_is_not_taken_for_a_silence(
    upstream: Scripted,
) -> None:
    upstream.script.append(faults.huge(64))
    async with HttpClient(upstream.url, idle_seconds=0.05) as client:
        streamed = await client.stream(PATH, JSON, BODY)
        size = len(await anext(streamed))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await upstream.until(lambda seen: seen.exchanges[0].ended is not None)
        assert streamed.buffered < 1 << 20
        async for chunk in streamed:
            size += len(chunk)
    assert size == 64 << 20


async def test_cancelling_a_reader_closes_the_connection(upstream: Scripted) -> None:
    upstream.script.append(faults.stall(0))
    async with HttpClient(upstream.url) as client:
        streamed = await client.stream(PATH, JSON, BODY)
        reading = asyncio.create_task(anext(streamed))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await upstream.until(lambda seen: seen.exchanges[0].gone)
