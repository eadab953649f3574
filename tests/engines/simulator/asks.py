"""Asks for the simulator's tests."""

from __future__ import annotations

import json
from typing import Any

from batchyard.clock import Clock
from batchyard.engine import Ask
from batchyard.engines.simulator import Simulator


def ask(text: str = "Tell me about the lighthouse.", **changes: Any) -> Ask:
    """A request with one user turn; `None` removes a field."""
    priority = changes.pop("priority", "low")
    messages = [{"role": "user", "content": text}]
    whole = {"model": "simulator-1", "max_tokens": 1024, "messages": messages, **changes}
    params = {name: value for name, value in whole.items() if value is not None}
    return Ask(json.dumps(params).encode(), params.get("model", "simulator-1"), priority=priority)


async def message(simulator: Simulator, asked: Ask) -> dict[str, Any]:
    """The decoded message of an answer."""
    decoded: dict[str, Any] = json.loads((await simulator.create_message(asked)).message)
    return decoded


async def text(simulator: Simulator, asked: Ask) -> str:
    """The text of an answer of one block."""
    (block,) = (await message(simulator, asked))["content"]
    return str(block["text"])


def simulator(clock: Clock | None = None, **options: str) -> Simulator:
    """One with `options` as people write them."""
    return Simulator.from_options(options, clock=clock)
