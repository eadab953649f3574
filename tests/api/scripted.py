"""An engine for live calls that does what the test says, and a server that has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from batchyard.api.context import Live
from batchyard.engine import Ask, Forwarded, Model, Operation
from batchyard.errors import EngineError
from batchyard.routing import Routing
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
