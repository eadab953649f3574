"""A fresh room for every test; whatever the test leaves open is closed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.store.room import Room


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path / "data")
    yield opened
    await opened.store.close()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: the hundreds of lives of a crash test sync a lot, and
    what a disk would have kept is worked out by `MortalFileSystem`, not by the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Without the coloured tracebacks of an unconfigured logger: they take half a second each."""
    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.configure(**before)
