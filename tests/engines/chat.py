"""A Chat Completions engine before a scripted upstream, and what its tests ask it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batchyard.engine import Ask, Forwarded
from batchyard.engines.openai import ChatEngine
from tests.upstreams.scripted import Scripted

CHAT = ("/v1/chat/completions",)


@pytest.fixture
async def chat_upstream() -> AsyncIterator[Scripted]:
    async with Scripted(paths=CHAT) as scripted:
        yield scripted


@pytest.fixture
async def chat_engine(chat_upstream: Scripted) -> AsyncIterator[ChatEngine]:
    engine = ChatEngine(chat_upstream.url)
    yield engine
    await engine.close()


def ask(text: str = "hello", **params: Any) -> Ask:
    options = {name: params.pop(name) for name in ("trace", "priority") if name in params}
    messages = [{"role": "user", "content": text}]
    whole = {"model": "echo-1", "max_tokens": 9, "messages": messages, **params}
    return Ask(json.dumps(whole).encode(), "echo-1", **options)


async def body_of(forwarded: Forwarded) -> bytes:
    return b"".join([chunk async for chunk in forwarded.body])


def listed(**entry: Any) -> dict[str, tuple[int, object]]:
    return {"/v1/models": (200, {"data": [{"id": "echo-1", **entry}]})}
