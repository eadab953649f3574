"""Connections to an engine: kept, replaced, let go, and closed when nobody waits any more."""

from __future__ import annotations

import asyncio

import pytest

from batchyard.engines.http import HttpClient
from batchyard.errors import Spent
from tests.engines.raw import BODY, JSON, PATH, answering, listening, request_of
from tests.upstreams import faults
from tests.upstreams.faults import Fault
from tests.upstreams.scripted import Scripted

# -- connections that were kept --------------------------------------------------------------------


async def test_a_connection_closed_while_idle_is_replaced_without_a_word(
    client: HttpClient, upstream: Scripted
) -> None:
    await client.post(PATH, JSON, BODY)
    await upstream.close_idle()
    assert (await client.post(PATH, JSON, BODY)).status == 200
    assert len(upstream.exchanges) == 2
    assert upstream.accepted == 2


async def test_a_kept_connection_that_dies_under_half_a_request_is_replaced_once() -> None:
    """The engine reads one request and closes when the next, a large one, has only begun."""
    large = b"x" * 8_000_000
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(0)
        number = len(seen)
        seen[number - 1] = len(await request_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        if number == 1:
            await reader.readexactly(10)
            writer.transport.abort()

    async with listening(serve) as url, HttpClient(url) as client:
        await client.post(PATH, JSON, BODY)
        assert (await client.post(PATH, JSON, large)).body == b"ok"
        assert len(seen) == 2
        assert seen[1] > len(large)


async def test_a_fresh_connection_that_dies_under_a_request_is_not_replaced() -> None:
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(len(await reader.readexactly(10)))
        writer.transport.abort()

    async with listening(serve) as url, HttpClient(url) as client:
        with pytest.raises(Spent):
            await client.post(PATH, JSON, b"x" * 8_000_000)
    assert len(seen) == 1


async def test_an_early_refusal_of_a_large_body_is_heard_and_the_connection_let_go() -> None:
    answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    held = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await held.wait()

    async with listening(serve) as url, HttpClient(url) as client:
        assert (await client.post(PATH, JSON, b"x" * 8_000_000)).status == 413
        assert not client.kept
        held.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nKeep-Alive: timeout=2, max=9\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ],
    ids=["close", "short-lived", "http-1.0", "more-than-asked"],
)
async def test_a_connection_that_will_not_last_is_not_kept(answer: bytes) -> None:
    async with listening(answering(answer)) as url, HttpClient(url) as client:
        assert (await client.post(PATH, JSON, BODY)).body == b"ok"
        assert (await client.post(PATH, JSON, BODY)).body == b"ok"


async def test_idle_connections_are_let_go_before_engines_close_them(
    upstream: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchyard.engines.http.POOL_IDLE_SECONDS", 0.1)
    async with HttpClient(upstream.url) as client:
        await client.post(PATH, JSON, BODY)
        assert client.kept == 1
        await upstream.until(lambda seen: not seen.connections)
        assert client.kept == 0


# -- ending early ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.hang(), faults.stall()], ids=lambda fault: fault.name)
async def test_cancelling_closes_the_connection_at_once(upstream: Scripted, fault: Fault) -> None:
    async with HttpClient(upstream.url) as client:
        upstream.script.append(fault)
        asking = asyncio.create_task(client.post(PATH, JSON, BODY))
        await upstream.seen(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(2):
            await upstream.until(lambda seen: seen.exchanges[0].gone)


async def test_cancelling_late_does_not_hurt_who_got_the_connection_next(
    upstream: Scripted,
) -> None:
    async with HttpClient(upstream.url) as client:
        upstream.hold()
        first = asyncio.create_task(client.post(PATH, JSON, BODY))
        await upstream.seen(1)
        upstream.release()
        while not client.kept:
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(client.post(PATH, JSON, BODY))
        assert (await second).status == 200
        await asyncio.gather(first, return_exceptions=True)


async def test_closing_ends_calls_in_flight(upstream: Scripted) -> None:
    client = HttpClient(upstream.url)
    upstream.script.append(faults.hang())
    asking = asyncio.create_task(client.post(PATH, JSON, BODY))
    await upstream.seen(1)
    await client.close()
    with pytest.raises(Spent, match="closed on our side"):
        await asking
    await client.close()
