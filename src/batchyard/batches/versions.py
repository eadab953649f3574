"""What a newer `anthropic-version` no longer allows inside params; asked only in strict mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

WITHOUT_SAMPLING = "2026-10-21"
"""The version that dropped sampling parameters and moved documents and citations."""

_SAMPLING = ("temperature", "top_p", "top_k")


def fault(params: bytes, api_version: str) -> str | None:
    """The field that `api_version` refuses, in the API's words; params were checked before."""
    if api_version < WITHOUT_SAMPLING:
        return None
    request: dict[str, Any] = msgspec.json.decode(params)
    for name in _SAMPLING:
        if request.get(name) is not None:
            return f"{name}: Extra inputs are not permitted"
    for number, message in enumerate(request["messages"]):
        for path, block in _blocks(message.get("content"), f"messages.{number}.content"):
            if words := _block_fault(message["role"], block):
                return f"{path}{words}"
    return None


def _blocks(content: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every block of `content`, also those inside a search result, with its path."""
    for number, block in enumerate(content if isinstance(content, list) else ()):
        if isinstance(block, dict):
            yield f"{path}.{number}", block
            if block.get("type") == "search_result":
                yield from _blocks(block.get("content"), f"{path}.{number}.search_result.content")


def _block_fault(role: str, block: dict[str, Any]) -> str | None:
    if role == "assistant" and block.get("type") == "document":
        return ": document blocks are not permitted in assistant messages"
    if role == "user" and block.get("type") == "text" and block.get("citations"):
        return ".text.citations: Extra inputs are not permitted"
    return None
