"""Fixtures shared by the engines' tests."""

from collections.abc import AsyncIterator

import pytest

from batchyard.engines.http import HttpClient
from tests.engines.chat import chat_engine, chat_upstream
from tests.engines.llamas import llama
from tests.tiny_model.serve import llama_server
from tests.upstreams.scripted import Scripted

__all__ = ["chat_engine", "chat_upstream", "llama", "llama_server"]


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    """An upstream that does what a test tells it."""
    async with Scripted() as scripted:
        yield scripted


@pytest.fixture
async def client(upstream: Scripted) -> AsyncIterator[HttpClient]:
    """A way to it, with little patience."""
    async with HttpClient(upstream.url, total_seconds=0.3, idle_seconds=0.1) as client:
        yield client
