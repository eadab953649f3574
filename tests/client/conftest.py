"""A scripted server, and a clock whose waits take no time but are remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from batchyard.client import Client
from batchyard.clock import ManualClock
from tests.client.stub import Stub, stub


class QuickClock(ManualClock):
    """Every sleep ends at once; `waits` says how long it would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self.advance(seconds, turns=1)


@pytest.fixture
def server() -> Iterator[Stub]:
    with stub() as found:
        yield found


@pytest.fixture
def clock() -> QuickClock:
    return QuickClock()


@pytest.fixture
async def client(server: Stub, clock: QuickClock) -> AsyncIterator[Client]:
    async with Client(server.url, key="sk-secret", clock=clock) as found:
        yield found
