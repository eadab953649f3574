"""The scripted upstream does as it is told: other suites rest on that."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.engines.http import Answer, HttpClient
from batchyard.errors import Spent
from tests.upstreams import faults
from tests.upstreams.scripted import Scripted

JSON = {"content-type": "application/json"}


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    async with Scripted() as scripted:
        yield scripted


@pytest.fixture
async def client(upstream: Scripted) -> AsyncIterator[HttpClient]:
    async with HttpClient(upstream.url, total_seconds=5) as client:
        yield client


async def asked(client: HttpClient, text: str, path: str = "/v1/messages", **more: Any) -> Answer:
    turns = [{"role": "user", "content": text}]
    body = json.dumps({"model": "echo-1", "messages": turns, **more}, ensure_ascii=False)
    return await client.post(path, JSON, body.encode())


async def test_it_echoes_exactly_in_both_dialects(client: HttpClient) -> None:
    text = 'Grüße "quoted" \\ \u2028 世界 🌍'
    message = json.loads((await asked(client, text)).body)
    assert message["content"] == [{"type": "text", "text": text}]
    chat = json.loads((await asked(client, text, "/v1/chat/completions")).body)
    assert chat["choices"][0]["message"]["content"] == text


async def test_it_records_what_it_saw_under_the_name_a_request_gave_itself(
    client: HttpClient, upstream: Scripted
) -> None:
    await asked(client, "marker=row-7 hello")
    (seen,) = upstream.attempts("row-7")
    assert (seen.status, seen.attempt, seen.gone, seen.path) == (200, 1, False, "/v1/messages")
    assert seen.ended is not None
    assert seen.started <= seen.ended
    assert b"marker=row-7" in seen.body


async def test_a_script_is_followed_once_and_in_order(
    client: HttpClient, upstream: Scripted
) -> None:
    upstream.script += [faults.status(500), faults.ok(), faults.status(429)]
    statuses = [(await asked(client, "x")).status for _ in range(4)]
    assert statuses == [500, 200, 429, 200]


async def test_a_request_can_carry_its_own_orders(client: HttpClient) -> None:
    statuses = [(await asked(client, "marker=a fault=status:503x2")).status for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert (await asked(client, "marker=b fault=status:503x2")).status == 503


@pytest.mark.parametrize("order", ["resetx1", "fin", "hangx1", "trickle:5x1", "truncatedx3"])
async def test_every_order_reads_the_same_in_a_request_as_in_a_script(
    client: HttpClient, upstream: Scripted, order: str
) -> None:
    fault = faults.parse_fault(order)
    calling = asyncio.create_task(asked(client, f"fault={order} and more"))
    await upstream.seen(1)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert upstream.exchanges[0].fault == fault.name


async def test_poison_fails_whoever_carries_it_every_time(
    client: HttpClient, upstream: Scripted
) -> None:
    upstream.set(poison="hemlock")
    statuses = [(await asked(client, text)).status for text in ("hemlock", "tea", "hemlock")]
    assert statuses == [500, 200, 500]


async def test_every_nth_request_fails(client: HttpClient, upstream: Scripted) -> None:
    upstream.set(fault="status:500", every=3)
    statuses = [(await asked(client, str(number))).status for number in range(6)]
    assert statuses == [200, 200, 500, 200, 200, 500]


async def test_one_too_many_gets_a_429(client: HttpClient, upstream: Scripted) -> None:
    upstream.set(limit=2, limit_retry_after="3")
    upstream.hold()
    calls = [asyncio.create_task(asked(client, str(number))) for number in range(2)]
    await upstream.seen(2)
    third = asyncio.create_task(asked(client, "third"))
    await upstream.seen(3)
    upstream.release()
    assert (await third).status == 429
    assert (await third).headers["retry-after"] == "3"
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200]
    assert upstream.peak == 2


async def test_it_goes_and_comes_back_on_the_same_port(upstream: Scripted) -> None:
    port = upstream.port
    async with HttpClient(upstream.url) as client:
        upstream.script.append(faults.hang())
        waiting = asyncio.create_task(asked(client, "x"))
        await upstream.seen(1)
        await upstream.down()
        with pytest.raises(Spent):
            await waiting
        await upstream.up()
        assert upstream.port == port
        assert (await asked(client, "x")).status == 200


async def test_a_stream_takes_its_time(client: HttpClient, upstream: Scripted) -> None:
    upstream.event_seconds = 0.001
    for path, end in (("/v1/messages", b"message_stop"), ("/v1/chat/completions", b"[DONE]")):
        answer = await asked(client, "word " * 20, path, stream=True)
        assert answer.headers["content-type"] == "text/event-stream"
        assert end in answer.body[-60:]


async def test_other_paths_are_pages_or_missing(client: HttpClient, upstream: Scripted) -> None:
    upstream.pages["/version"] = (200, {"version": "1"})
    assert json.loads((await client.get("/version")).body) == {"version": "1"}
    assert (await client.get("/health")).status == 404
    assert upstream.exchanges == []


@pytest.mark.parametrize("text", ["status", "unknown", "trickle:fast", "reset x2", ""])
def test_an_order_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        faults.parse_fault(text)


async def test_it_runs_on_its_own_and_tells_what_it_saw() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.upstreams.scripted", "--fault", "status:418", "--every", "2"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        async with HttpClient(url) as client:
            statuses = [(await asked(client, f"marker=m{n}")).status for n in range(2)]
            assert statuses == [200, 418]
            lines = (await client.get("/-/exchanges")).body.splitlines()
            assert [json.loads(line)["marker"] for line in lines] == ["m0", "m1"]
            await client.post("/-/settings", JSON, b'{"clear":true,"every":1}')
            assert (await asked(client, "x")).status == 418
            stats = json.loads((await client.get("/-/stats")).body)
            assert (stats["requests"], stats["by_status"]) == (1, {"418": 1})
    finally:
        process.terminate()
        process.communicate()
