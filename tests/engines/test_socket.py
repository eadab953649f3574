"""Engines of another process: what passes over the socket, and what hanging up does."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchyard.engine import Ask, Forwarded, Model, Operation, Reply, Usage
from batchyard.engines.simulator import Simulator
from batchyard.engines.socket import SocketEngine, serve_engines
from batchyard.errors import (
    EngineError,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)

ASK = Ask(
    b'{"max_tokens":64,"messages":[{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"}]}',
    "simulator-1",
    trace="t-1",
    api_version="2026-10-21",
    betas=("one", "two"),
    priority="high",
)


class Stub:
    """An engine that does what it is told and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.error: Exception | None = None
        self.chunks: list[bytes] = []
        self.endless = False
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def create_message(self, ask: Ask) -> Reply:
        self.asked.append(ask)
        if self.error:
            raise self.error
        if self.endless:
            await self._wait()
        return Reply(b'{"type":"message"}', Usage(1, 2, 3, 4))

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        self.asked.append(ask)
        if self.error:
            raise self.error
        return Forwarded(200, f"text/{operation}", self._body(), {"retry-after": "3"})

    async def models(self) -> Sequence[Model]:
        return [Model("m", 4096, 512, 7)]

    async def close(self) -> None: ...

    async def _body(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.endless:
            await self._wait()

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engines.sock"


@pytest.fixture
async def engine(path: Path, stub: Stub) -> AsyncIterator[SocketEngine]:
    async with serve_engines(path, {"stub": stub}):
        yield SocketEngine(path, "stub")


async def test_an_ask_arrives_whole_and_a_reply_comes_back_whole(
    engine: SocketEngine, stub: Stub
) -> None:
    reply = await engine.create_message(ASK)
    assert stub.asked == [ASK]
    assert reply == Reply(b'{"type":"message"}', Usage(1, 2, 3, 4))


async def test_models_come_with_their_limits(engine: SocketEngine) -> None:
    assert await engine.models() == [Model("m", 4096, 512, 7)]


async def test_a_body_of_any_size_passes_piece_by_piece(engine: SocketEngine, stub: Stub) -> None:
    stub.chunks = [b"a", b"", b"\n\0", b"x" * 3_000_000]
    forwarded = await engine.forward("count_tokens", ASK)
    assert (forwarded.status, forwarded.content_type) == (200, "text/count_tokens")
    assert forwarded.headers == {"retry-after": "3"}
    assert [chunk async for chunk in forwarded.body] == [b"a", b"\n\0", b"x" * 3_000_000]


@pytest.mark.parametrize(
    "error",
    [
        Rejected("no", type="not_found_error", status=404),
        Overloaded("full", retry_after=2.5, status=429),
        Unavailable("away", retry_after=1.0, status=503),
        Unavailable("gone"),
        Spent("lost", status=200),
        Misconfigured("key", status=401),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_arrives_as_it_was_raised(
    engine: SocketEngine, stub: Stub, error: EngineError
) -> None:
    stub.error = error
    calls: list[Any] = [engine.create_message(ASK), engine.forward("messages", ASK)]
    for call in calls:
        with pytest.raises(type(error)) as caught:
            await call
        assert vars(caught.value) == vars(error)


async def test_a_mistake_of_ours_is_an_engine_that_failed(engine: SocketEngine, stub: Stub) -> None:
    stub.error = RuntimeError("bug")
    with pytest.raises(Unavailable, match="see the log") as caught:
        await engine.create_message(ASK)
    assert caught.value.status == 500


async def test_a_name_nobody_has_is_unavailable(path: Path, engine: SocketEngine) -> None:
    with pytest.raises(Unavailable, match="no engine called other"):
        await SocketEngine(path, "other").create_message(ASK)


async def test_hanging_up_cancels_the_call(engine: SocketEngine, stub: Stub) -> None:
    stub.endless = True
    asking = asyncio.create_task(engine.create_message(ASK))
    await stub.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(stub.ended.wait(), 2)


async def test_closing_a_body_cancels_what_makes_it(engine: SocketEngine, stub: Stub) -> None:
    stub.chunks, stub.endless = [b"first"], True
    body = (await engine.forward("messages", ASK)).body
    assert await anext(body) == b"first"
    await body.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(stub.ended.wait(), 2)


async def test_a_process_that_goes_away_leaves_a_call_spent(path: Path, stub: Stub) -> None:
    stub.endless = True
    engine = SocketEngine(path, "stub")
    async with serve_engines(path, {"stub": stub}):
        asking = asyncio.create_task(engine.create_message(ASK))
        await stub.begun.wait()
    with pytest.raises(Spent, match="went away while stub was asked"):
        await asking


async def test_a_body_that_breaks_off_says_so(path: Path, stub: Stub) -> None:
    stub.chunks, stub.endless = [b"first"], True
    async with serve_engines(path, {"stub": stub}):
        body = (await SocketEngine(path, "stub").forward("messages", ASK)).body
        assert await anext(body) == b"first"
        await stub.begun.wait()
    with pytest.raises(Spent):
        await anext(body)


async def test_a_process_that_is_not_there_is_unavailable(path: Path) -> None:
    with pytest.raises(Unavailable, match="where stub lives, is away") as caught:
        await SocketEngine(path, "stub").models()
    assert caught.value.status is None


async def test_the_socket_is_for_its_owner_alone_and_replaces_a_stale_one(
    path: Path, stub: Stub
) -> None:
    path.write_text("stale")
    async with serve_engines(path, {"stub": stub}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


async def test_a_stranger_who_talks_nonsense_is_hung_up_on(path: Path, stub: Stub) -> None:
    async with serve_engines(path, {"stub": stub}):
        calls = (b'{"engine":"stub"}', b'{"engine":"\xff","verb":"create"}', b"[" * 5_000)
        endless = b'{"engine":"stub","verb":"create","length":-1}\n'
        lines = [call + b"\n" for call in calls]
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", *lines, endless, b"x" * 3_000_000):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(nonsense)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
            writer.close()
    assert stub.asked == []


async def test_a_simulator_answers_the_same_through_a_socket(path: Path) -> None:
    simulator = Simulator()
    async with serve_engines(path, {"sim": simulator}):
        far = SocketEngine(path, "sim")
        forwarded = await far.forward("messages", ASK)
        body = json.loads(b"".join([chunk async for chunk in forwarded.body]))
        assert (
            body["content"] == json.loads((await simulator.create_message(ASK)).message)["content"]
        )
