"""A held clock, an engine that follows a script, and a house over both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchyard.clock import ManualClock
from tests.dispatch.harness import House, ScriptedEngine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(clock: ManualClock) -> ScriptedEngine:
    return ScriptedEngine(clock)


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock, engine: ScriptedEngine) -> AsyncIterator[House]:
    house = House(tmp_path / "data", clock, m=engine)
    await house.start()
    yield house
    if house.service is not None:
        await house.stop()
