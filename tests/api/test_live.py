"""Live calls: passed to an engine as they are, every way it can fail told in the right status."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from batchyard import wire
from batchyard.api.context import Compat, Live
from batchyard.batches.limits import Limits
from batchyard.engine import Ask, Forwarded, Model, Operation
from batchyard.errors import (
    EngineError,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)
from batchyard.routing import Routing
from batchyard.store.store import EngineReport
from tests.api.asgi import exchange
from tests.api.conftest import Server

PARAMS = {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]}


class Scripted:
    """An engine that remembers what it was asked and does what the test says."""

    def __init__(self, answer: Callable[[Ask], Forwarded] | EngineError | None = None) -> None:
        self.asked: list[tuple[Operation, Ask]] = []
        self.closed = 0
        self._answer = answer

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        self.asked.append((operation, ask))
        if isinstance(self._answer, EngineError):
            raise self._answer
        if self._answer is not None:
            return self._answer(ask)
        return self.says(200, b'{"type":"message","model":"tiny"}')

    def says(
        self, status: int, *chunks: bytes, kind: str = "application/json", **headers: str
    ) -> Forwarded:
        async def body() -> AsyncIterator[bytes]:
            try:
                for chunk in chunks:
                    yield chunk
            finally:
                self.closed += 1

        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Forwarded(status, kind, body(), named)


def live(engines: dict[str, Any], **routing: Any) -> Live:
    """Engines that each serve the model `tiny`."""
    table = Routing(engines, **routing)
    for name in engines:
        table.learn(name, [Model("tiny")])
    return Live(engines, table)


async def call(server: Server, engine: Any, **options: Any) -> httpx2.Response:
    path = options.pop("path", "/v1/messages")
    changes = options.pop("changes", {})
    async with server.other(live=live({"e": engine}), **changes) as client:
        return await client.post(path, **({"json": PARAMS} | options))


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


@pytest.mark.parametrize(
    ("error", "status", "type", "retry"),
    [
        (
            Rejected("messages: no", type="invalid_request_error"),
            400,
            "invalid_request_error",
            None,
        ),
        (Rejected("cannot count", type="not_found_error"), 404, "not_found_error", None),
        (Overloaded("busy", status=429, retry_after=1.2), 429, "rate_limit_error", "2"),
        (Overloaded("busy", status=529), 529, "overloaded_error", "5"),
        (Overloaded("busy", status=503, retry_after=1e9), 529, "overloaded_error", "3600"),
        (Unavailable("refused"), 503, "api_error", "5"),
        (Unavailable("bad gateway", status=502), 503, "api_error", "5"),
        (Unavailable("too slow", status=504, retry_after=0), 504, "timeout_error", "5"),
        (Spent("torn"), 502, "api_error", None),
        (Misconfigured("wrong key", status=401), 503, "api_error", None),
    ],
)
async def test_what_an_engine_raises_has_its_status(
    server: Server, error: EngineError, status: int, type: str, retry: str | None
) -> None:
    answer = await call(server, Scripted(error))
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == type
    assert error.message in answer.json()["error"]["message"]
    assert answer.headers.get("retry-after") == retry
    if isinstance(error, Misconfigured):
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (400, "invalid_request_error", 400),
        (429, "rate_limit_error", 429),
        (500, "api_error", 500),
        (529, "overloaded_error", 529),
        (401, "authentication_error", 503),
        (302, "x", 503),
    ],
)
async def test_an_engines_error_keeps_its_words_under_our_id(
    server: Server, status: int, kind: str, told: int
) -> None:
    body = wire.error_envelope(kind, "its own words", "req_theirs")
    engine = Scripted(lambda _: engine.says(status, body, retry_after="7", set_cookie="a=b"))
    answer = await call(server, engine)
    assert answer.status_code == told
    assert "req_theirs" not in answer.text
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert "set-cookie" not in answer.headers
    if told == status:
        assert answer.json()["error"]["type"] == kind
        assert answer.json()["error"]["message"] == "its own words"
        assert answer.headers["retry-after"] == "7"
    else:
        assert answer.json()["error"]["type"] == "api_error"
    assert engine.closed == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":"x"}', b"\xff", b"x" * (2 << 20)])
async def test_an_error_without_an_envelope_gets_one(server: Server, body: bytes) -> None:
    engine = Scripted(lambda _: engine.says(500, body))
    answer = await call(server, engine)
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "type": "api_error",
        "message": "HTTP 500",
        "details": {"error_code": "engine_error"},
    }


async def test_an_engine_that_is_down_passes_the_call_to_the_next(server: Server) -> None:
    down, up = Scripted(Unavailable("refused")), Scripted()
    async with server.other(live=live({"a": down, "b": up})) as client:
        assert (await client.post("/v1/messages", json=PARAMS)).status_code == 200
    assert len(down.asked) == len(up.asked) == 1


async def test_an_engine_that_answered_is_the_only_one_asked(server: Server) -> None:
    """A 5xx may have cost something: nothing is computed twice for one call."""
    broken, idle = Scripted(Unavailable("HTTP 500", status=500)), Scripted()
    async with server.other(live=live({"a": broken, "b": idle})) as client:
        assert (await client.post("/v1/messages", json=PARAMS)).status_code == 503
    assert idle.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The request body is not valid JSON: …"),
        (b'{"model": "tiny"', "The request body is not valid JSON: …"),
        (b'{"model": "tiny"} x', "The request body is not valid JSON: …"),
        (b'{"model": "tiny", "x": "\xff"}', "The request body is not valid JSON: invalid UTF-8…"),
        (b"[" * 100_000, "…"),
        (b'{"model": "tiny", "x": "\\ud800"}', "The request body is not valid JSON: …"),
        (b"[]", "The request body must be a JSON object."),
        (b"{}", "model: Field required"),
        (b'{"model": 5}', "model: Input should be a valid string"),
    ],
)
async def test_a_bad_body_never_reaches_an_engine(
    server: Server, content: bytes, message: str
) -> None:
    engine = Scripted()
    answer = await call(server, engine, json=None, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message.removesuffix("…"))
    assert engine.asked == []


async def test_bodies_may_be_gzip_under_the_same_limit(server: Server) -> None:
    engine = Scripted()
    plain = json.dumps(PARAMS | {"system": "x" * 500}).encode()
    packed = {"content-encoding": "gzip"}
    limits = {"limits": Limits(live_body_bytes_max=len(plain))}

    async def post(content: bytes, headers: dict[str, str]) -> httpx2.Response:
        return await call(
            server, engine, json=None, content=content, headers=headers, changes=limits
        )

    assert (await post(gzip.compress(plain), packed)).status_code == 200
    assert (await post(gzip.compress(plain[:40]) + gzip.compress(plain[40:]), packed)).is_success
    assert [ask.params for _, ask in engine.asked] == [plain, plain]
    assert (await post(plain + b" ", {})).status_code == 413
    assert (await post(gzip.compress(plain + b" " * 10_000), packed)).status_code == 413
    torn = await post(gzip.compress(plain)[:-5], packed)
    assert torn.json()["error"]["details"]["error_code"] == "request_body_encoding_invalid"
    odd = await post(plain, {"content-encoding": "br"})
    assert odd.json()["error"]["details"]["error_code"] == "request_body_encoding_unsupported"
    assert len(engine.asked) == 2


async def test_a_model_nobody_serves_is_404_with_the_nearest_name(server: Server) -> None:
    answer = await call(server, Scripted(), json=PARAMS | {"model": "tinny"})
    assert answer.status_code == 404
    assert answer.json()["error"]["details"]["error_code"] == "unknown_model"
    assert "Did you mean tiny?" in answer.json()["error"]["message"]


async def test_an_engine_that_has_not_told_its_models_is_waited_for(server: Server) -> None:
    table = Live({"e": Scripted()}, Routing(["e"]))
    async with server.other(live=table) as client:
        answer = await client.post("/v1/messages", json=PARAMS)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "Waiting for e" in answer.json()["error"]["message"]


async def test_models_are_learned_from_the_reports_once_a_second(server: Server) -> None:
    engine = Scripted()

    async def report(*models: str) -> None:
        served = tuple(Model(name) for name in models)
        state = EngineReport("e", "messages", "http://e", "up", "", 0, 0, 1, served, 0)
        await server.store.report_engines([state])

    async with server.other(live=Live({"e": engine}, Routing(["e"]))) as client:
        await report("old")
        assert (await client.get("/v1/models/old")).status_code == 200
        await report("new")
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
