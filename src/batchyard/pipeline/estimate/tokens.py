"""Tokens of rows that nobody has answered: counted by the server, or guessed from the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from batchyard.pipeline.estimate.figure import Figure, mean, relative_error

CHARACTERS_PER_TOKEN = 4
PICTURE_TOKENS = 1_600
"""What a picture of the largest useful size takes; a document counts as one per page, unseen."""

_TEXT = {"messages", "system", "tools", "output_config"}


class Counter(Protocol):
    """What counting needs of a client."""

    async def count_tokens(self, params: bytes, /) -> int | None: ...


async def input_figure(client: Counter | None, calls: Sequence[bytes], rows: int) -> Figure:
    """Input tokens per row, from the params of a few of `rows`: as the server counts them, else
    from the length of their text. `calls` holds at least one."""
    if client is not None:
        counted = []
        for params in calls:
            count = await client.count_tokens(params)
            if count is None:
                break
            counted.append(count)
        if len(counted) == len(calls):
            error = relative_error(counted, rows)
            return Figure(mean(counted), "counted by the server", error=error)
    guessed = mean([rough_tokens(params) for params in calls])
    return Figure(guessed, "from text length, no sample", "rough")


def output_bound(calls: Sequence[bytes]) -> Figure:
    """Output tokens per row that `max_tokens` allows: nothing is known before a row has run."""
    allowed = [msgspec.json.decode(params, type=_Call).max_tokens for params in calls]
    return Figure(mean(allowed), "max_tokens, no sample", "at most")


def rough_tokens(params: bytes) -> float:
    """Tokens of a call by the rule of thumb for English; other languages take more."""
    call = msgspec.json.decode(params)
    return sum(_tokens(value) for key, value in call.items() if key in _TEXT)


def _tokens(value: Any) -> float:
    if isinstance(value, str):
        return len(value) / CHARACTERS_PER_TOKEN
    if isinstance(value, list):
        return sum(_tokens(one) for one in value)
    if not isinstance(value, dict):
        return 0
    if value.get("type") in ("image", "document") and "source" in value:
        return PICTURE_TOKENS
    return sum(_tokens(one) for key, one in value.items() if key not in ("type", "role"))


class _Call(msgspec.Struct):
    max_tokens: int
