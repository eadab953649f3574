"""A fresh room for every test; whatever the test leaves open is closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.room import Room


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path / "data")
    yield opened
    await opened.store.close()
