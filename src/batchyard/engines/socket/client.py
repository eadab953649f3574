"""The side that asks: an engine whose answers come from another process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from batchyard.engine import Ask, Forwarded, Model, Operation, Reply, Usage
from batchyard.engines.socket.wire import LINE_BYTES_MAX, Call, Told, Verb, Wire, revived, told_of
from batchyard.errors import Spent, Unavailable

CONNECT_SECONDS = 5.0


class SocketEngine:
    """The engine called `name` in the process that serves the socket at `path`.

    Beside what the engine itself raises, every call raises `Unavailable` when that process is away
    and `Spent` when it goes away meanwhile.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path

    def __repr__(self) -> str:
        return f"<SocketEngine {self.name}>"

    async def create_message(self, ask: Ask) -> Reply:
        """As `Engine` says."""
        wire, told = await self._open("create", ask)
        message = b"".join([frame async for frame in _Frames(wire, self.name)])
        return Reply(message, told.usage or Usage())

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        """As `Engine` says."""
        wire, told = await self._open(operation, ask)
        body = _Frames(wire, self.name)
        return Forwarded(told.status, told.content_type, body, told.headers)

    async def models(self) -> Sequence[Model]:
        """As `Engine` says."""
        wire, told = await self._open("models", Ask(b"", ""))
        wire.abort()
        return told.models or []

    async def close(self) -> None:
        """Nothing to release: every call has a connection of its own."""

    async def _open(self, verb: Verb, ask: Ask) -> tuple[Wire, Told]:
        """A call made and its first line read; whoever gets the wire hangs up."""
        call = Call(
            engine=self.name,
            verb=verb,
            model=ask.model,
            trace=ask.trace,
            api_version=ask.api_version,
            betas=ask.betas,
            priority=ask.priority,
            length=len(ask.params),
        )
        wire = await self._connect()
        try:
            await wire.send(msgspec.json.encode(call) + b"\n" + ask.params)
            told = told_of(await wire.line())
        except (OSError, EOFError) as error:
            wire.abort()
            raise _hung_up(self.name) from error
        except BaseException:
            wire.abort()
            raise
        if told.refusal is not None:
            wire.abort()
            raise revived(told.refusal)
        return wire, told

    async def _connect(self) -> Wire:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return Wire(*await asyncio.open_unix_connection(self._path, limit=LINE_BYTES_MAX))
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"the dispatch process, where {self.name} lives, is away") from error


class _Frames:
    """The body of an answer as it arrives; hangs up when exhausted or closed."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            frame = await self._wire.frame()
        except (OSError, EOFError) as error:
            self._wire.abort()
            raise _hung_up(self._name) from error
        except BaseException:
            self._wire.abort()
            raise
        if not frame:
            self._wire.abort()
            raise StopAsyncIteration
        return frame

    async def aclose(self) -> None:
        self._wire.abort()


def _hung_up(name: str) -> Spent:
    return Spent(f"the dispatch process went away while {name} was asked")
