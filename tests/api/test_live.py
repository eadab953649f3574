"""Live calls: passed to an engine as they are, and its answer back as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batchyard import wire
from batchyard.api.context import Compat, Live
from batchyard.clock import ManualClock
from batchyard.engine import Ask, Forwarded, Model, Operation
from batchyard.errors import (
    Unavailable,
)
from batchyard.routing import Routing
from batchyard.store.store import EngineReport
from tests.api.asgi import exchange
from tests.api.conftest import Server
from tests.api.scripted import PARAMS, Scripted, call, live


async def test_what_was_sent_arrives_and_what_came_back_is_returned(server: Server) -> None:
    engine = Scripted()
    sent = b'{ "model" : "tiny",\n "max_tokens": 12345678901234567890, "x": [1e400, "\\u0000"] }'
    answer = await call(
        server,
        engine,
        json=None,
        content=sent,
        headers={"anthropic-version": "2026-10-21", "anthropic-beta": "a, b"},
    )
    assert answer.content == b'{"type":"message","model":"tiny"}'
    assert answer.headers["content-type"] == "application/json"
    ((operation, ask),) = engine.asked
    assert operation == "messages"
    assert ask.params == sent
    assert (ask.model, ask.priority) == ("tiny", "high")
    assert (ask.api_version, ask.betas) == ("2026-10-21", ("a", "b"))
    assert ask.trace == answer.headers["request-id"]
    assert engine.closed == 1


async def test_an_alias_is_replaced_and_the_truth_comes_back(server: Server) -> None:
    engine = Scripted()
    async with server.other(live=live({"e": engine}, aliases={"house": "tiny"})) as client:
        for name in ("house", "claude-opus-5-5"):
            answer = await client.post("/v1/messages", json=PARAMS | {"model": name})
            assert answer.json()["model"] == "tiny"
    for _, ask in engine.asked:
        assert json.loads(ask.params) == PARAMS
        assert ask.model == "tiny"


async def test_tokens_are_counted_by_the_engine(server: Server) -> None:
    engine = Scripted(lambda _: engine.says(200, wire.encode(wire.TokenCount(7))))
    answer = await call(server, engine, path="/v1/messages/count_tokens")
    assert answer.json() == {"input_tokens": 7}
    assert engine.asked[0][0] == "count_tokens"


async def test_a_stream_is_passed_on_piece_by_piece(server: Server) -> None:
    pieces = (b"event: message_start\ndata: {}\n\n", b"event: message_stop\ndata: {}\n\n")
    engine = Scripted(lambda _: engine.says(200, *pieces, kind="text/event-stream; charset=utf-8"))
    app = server.app(live=live({"e": engine}))
    body = json.dumps(PARAMS | {"stream": True}).encode()
    done = await exchange(app, "POST", "/v1/messages", chunks=[body])
    assert done.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [message["body"] for message in done.sent[1:3]] == list(pieces)
    assert done.complete
    assert engine.closed == 1


async def test_a_stream_that_breaks_is_cut_not_ended(server: Server) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield b"event: message_start\n\n"
        raise Unavailable("reset by peer")

    engine = Scripted(lambda _: Forwarded(200, "text/event-stream", torn()))
    app = server.app(live=live({"e": engine}))
    done = await exchange(app, "POST", "/v1/messages", chunks=[json.dumps(PARAMS).encode()])
    assert done.raised is not None
    assert not done.complete


async def test_hanging_up_before_the_answer_cancels_the_engine(server: Server) -> None:
    started, stopped, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(Scripted):
        async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            raise AssertionError

    app = server.app(live=live({"e": Slow()}))
    body = [json.dumps(PARAMS).encode()]
    call = asyncio.create_task(exchange(app, "POST", "/v1/messages", chunks=body, hang_up=gone))
    await started.wait()
    gone.set()
    done = await call
    assert stopped.is_set()
    assert done.sent == []
    assert done.raised is None


async def test_hanging_up_in_mid_stream_closes_the_engines_answer(server: Server) -> None:
    first, gone, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"event: ping\n\n"
            first.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    engine = Scripted(lambda _: Forwarded(200, "text/event-stream", endless()))
    app = server.app(live=live({"e": engine}))
    body = [json.dumps(PARAMS).encode()]
    call = asyncio.create_task(exchange(app, "POST", "/v1/messages", chunks=body, hang_up=gone))
    await first.wait()
    gone.set()
    done = await call
    assert closed.is_set()
    assert not done.complete


async def test_a_model_nobody_serves_is_404_with_the_nearest_name(server: Server) -> None:
    answer = await call(server, Scripted(), json=PARAMS | {"model": "tinny"})
    assert answer.status_code == 404
    assert answer.json()["error"]["details"]["error_code"] == "unknown_model"
    assert "Did you mean tiny?" in answer.json()["error"]["message"]


async def report(server: Server, *models: str, state: str = "up") -> None:
    served = tuple(Model(name) for name in models)
    engine = EngineReport("e", "messages", "http://e", state, "", 0, 0, 1, served, 0)
    await server.store.report_engines([engine])


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models/tiny"])
async def test_the_first_words_of_an_engine_are_waited_for(server: Server, path: str) -> None:
    method = "POST" if path == "/v1/messages" else "GET"
    async with server.other(live=Live({"e": Scripted()}, Routing(["e"]))) as client:
        asked = asyncio.create_task(client.request(method, path, json=PARAMS))
        await server.clock.advance(0.5)
        await report(server, state="starting")
        await server.clock.advance(0.5)
        assert not asked.done()
        await report(server, "tiny")
        await _until(server.clock, asked)
        assert (await asked).status_code == 200


async def test_they_are_waited_for_two_seconds_at_most(server: Server) -> None:
    async with server.other(live=Live({"e": Scripted()}, Routing(["e"]))) as client:
        asked = asyncio.create_task(client.post("/v1/messages", json=PARAMS))
        began = server.clock.monotonic()
        await _until(server.clock, asked)
        assert 2 <= server.clock.monotonic() - began < 3
    answer = asked.result()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "Waiting for e" in answer.json()["error"]["message"]


async def test_an_engine_that_is_down_is_not_waited_for(server: Server) -> None:
    await report(server, state="waiting")
    async with server.other(live=Live({"e": Scripted()}, Routing(["e"]))) as client:
        assert (await client.post("/v1/messages", json=PARAMS)).status_code == 503
        assert (await client.get("/v1/models")).json()["data"] == []


async def _until(clock: ManualClock, done: asyncio.Task[Any]) -> None:
    """Move on to each sleeper in turn, and never while somebody is at work instead."""
    while not done.done():
        if clock.next_wake() is None:
            await asyncio.sleep(0)
        else:
            clock.wake_next(within=1)


async def test_models_are_learned_from_the_reports_once_a_second(server: Server) -> None:
    async with server.other(live=Live({"e": Scripted()}, Routing(["e"]))) as client:
        await report(server, "old")
        assert (await client.get("/v1/models/old")).status_code == 200
        await report(server, "new")
        assert (await client.get("/v1/models/new")).json()["type"] == "error"
        await server.clock.advance(1)
        assert (await client.get("/v1/models/new")).json()["type"] == "model"


async def test_strict_versions_refuse_sampling_in_live_calls(server: Server) -> None:
    engine = Scripted()
    newest = {"anthropic-version": "2026-10-21"}
    body = PARAMS | {"temperature": 0}
    strict = {"compat": Compat(strict_version=True)}
    assert (await call(server, engine, json=body, headers=newest)).status_code == 200
    assert (await call(server, engine, json=body, changes=strict)).status_code == 200
    answer = await call(server, engine, json=body, headers=newest, changes=strict)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "temperature: Extra inputs are not permitted"
