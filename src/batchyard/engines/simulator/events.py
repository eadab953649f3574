"""A finished Message as the events of a stream, in the order and shape of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

_PIECE = 24


def events(message: dict[str, Any]) -> Iterator[bytes]:
    """Server-sent events that add up to `message`."""
    usage = message["usage"]
    opened = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    opened["usage"] = {**usage, "output_tokens": 1}
    yield _event({"type": "message_start", "message": opened})
    for index, block in enumerate(message["content"]):
        start, pieces = _opened(block)
        yield _event({"type": "content_block_start", "index": index, "content_block": start})
        for piece in pieces:
            yield _event({"type": "content_block_delta", "index": index, "delta": piece})
        yield _event({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    counted = {"output_tokens": usage["output_tokens"]}
    yield _event({"type": "message_delta", "delta": ended, "usage": counted})
    yield _event({"type": "message_stop"})


def _opened(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    if block["type"] == "tool_use":
        whole = msgspec.json.encode(block["input"]).decode()
        pieces = [{"type": "input_json_delta", "partial_json": part} for part in _cut(whole)]
        return {**block, "input": {}}, pieces
    pieces = [{"type": "text_delta", "text": part} for part in _cut(block["text"])]
    return {**block, "text": ""}, pieces


def _cut(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _event(value: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), msgspec.json.encode(value))
