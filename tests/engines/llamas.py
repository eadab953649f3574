"""A `llama:` engine on the tiny model, and what its tests ask it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic.types import Message

from batchyard.engine import Ask
from batchyard.engines.llama import LlamaEngine, LlamaOptions
from tests.tiny_model import tiny_gguf

MODEL = "model"
SMALL = LlamaOptions(slots=2, context=2_048, threads=1, cache_ram=0)


@pytest.fixture
async def llama() -> AsyncIterator[LlamaEngine]:
    async with LlamaEngine(tiny_gguf(), SMALL) as engine:
        yield engine


def ask(text: str = "hello there", **params: Any) -> Ask:
    messages = [{"role": "user", "content": text}]
    whole = {"model": MODEL, "max_tokens": 8, "temperature": 0, "messages": messages, **params}
    return Ask(json.dumps(whole).encode(), MODEL)


async def said(engine: LlamaEngine, text: str = "hello there", **params: Any) -> Message:
    reply = await engine.create_message(ask(text, **params))
    return Message.model_validate_json(reply.message, strict=True)


def text_of(message: Message) -> str:
    return "".join(str(block.to_dict().get("text", "")) for block in message.content)
