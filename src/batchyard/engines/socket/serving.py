"""The side that has the engines: takes calls on a Unix socket and passes them on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from batchyard.engine import Ask, Engine
from batchyard.engines.socket.wire import (
    LINE_BYTES_MAX,
    Call,
    Refusal,
    Told,
    Wire,
    call_of,
    refusal_of,
)
from batchyard.errors import EngineError, Unavailable
from batchyard.telemetry import logger

log = logger(__name__)


@asynccontextmanager
async def serve_engines(path: Path, engines: Mapping[str, Engine]) -> AsyncIterator[None]:
    """Offer `engines` by name on a Unix socket at `path` (mode 0600) while the block runs.

    A stale socket file is replaced. Calls still running at the end are cancelled.
    """
    calls: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        calls.add(task)
        try:
            await _serve(Wire(reader, writer), engines)
        finally:
            calls.discard(task)
            writer.close()

    _remove(path)
    server = await asyncio.start_unix_server(serve, path, limit=LINE_BYTES_MAX)
    path.chmod(0o600)  # noqa: ASYNC240 (a local file, a microsecond)
    try:
        yield
    finally:
        server.close()
        running = list(calls)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _serve(wire: Wire, engines: Mapping[str, Engine]) -> None:
    """One call, given up as soon as the other side hangs up."""
    try:
        call = call_of(await wire.line())
        params = await wire.exactly(call.length)
    except (OSError, EOFError):
        return
    answering = asyncio.ensure_future(_answer(wire, call, params, engines))
    gone = asyncio.ensure_future(wire.hung_up())
    try:
        await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError, EngineError):
            await answering


async def _answer(wire: Wire, call: Call, params: bytes, engines: Mapping[str, Engine]) -> None:
    body: AsyncIterator[bytes] | None = None
    try:
        told, body = await _asked(call, params, engines)
    except EngineError as error:
        told = Told(refusal=refusal_of(error))
    except Exception:
        log.exception("engine_call_failed", engine=call.engine)
        told = Told(refusal=Refusal("Unavailable", "the engine failed; see the log", 500))
    try:
        await wire.send(msgspec.json.encode(told) + b"\n")
        if body is not None:
            async for chunk in body:
                if chunk:
                    await wire.send_frame(chunk)
            await wire.send_frame(b"")
    finally:
        aclose = getattr(body, "aclose", None)
        if aclose is not None:
            await aclose()


async def _asked(
    call: Call, params: bytes, engines: Mapping[str, Engine]
) -> tuple[Told, AsyncIterator[bytes] | None]:
    engine = engines.get(call.engine)
    if engine is None:
        raise Unavailable(f"the dispatch process has no engine called {call.engine}")
    ask = Ask(params, call.model, call.trace, call.api_version, call.betas, call.priority)
    match call.verb:
        case "models":
            return Told(models=list(await engine.models())), None
        case "create":
            reply = await engine.create_message(ask)
            return Told(usage=reply.usage), _single(reply.message)
        case operation:
            forwarded = await engine.forward(operation, ask)
            head = Told(
                status=forwarded.status,
                content_type=forwarded.content_type,
                headers=forwarded.headers,
            )
            return head, forwarded.body


async def _single(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk
