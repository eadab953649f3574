"""An engine whose dialect is not known yet, because nothing answered when the server started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from batchyard.engine import Ask, Engine, Forwarded, Model, Operation, Reply


class Undecided:
    """Finds out at the first call that gets an answer, and is that engine from then on.

    `decide` raises `Unavailable` as long as nothing answers, so work waits as for any engine that
    is down.
    """

    def __init__(self, decide: Callable[[], Awaitable[Engine]]) -> None:
        self._decide = decide
        self._engine: Engine | None = None
        self._deciding = asyncio.Lock()

    async def create_message(self, ask: Ask) -> Reply:
        return await (await self._decided()).create_message(ask)

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        return await (await self._decided()).forward(operation, ask)

    async def models(self) -> Sequence[Model]:
        return await (await self._decided()).models()

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()

    async def _decided(self) -> Engine:
        async with self._deciding:
            if self._engine is None:
                self._engine = await self._decide()
            return self._engine
