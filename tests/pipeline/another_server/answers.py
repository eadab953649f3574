"""Answers of the other server: a pure function of what was asked."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.pipeline.another_server.schema import value_for

CHARACTERS_PER_TOKEN = 4


def message(params: dict[str, Any], *, tier: str = "batch", misfit: bool = False) -> dict[str, Any]:
    """The Message that answers `params`; a `misfit` says something that is no JSON."""
    prompt = prompt_of(params)
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
    content, stop = _content(params, prompt, misfit=misfit)
    text = content.get("text")
    tokens = tokens_of(text if text is not None else json.dumps(content["input"]))
    if tokens > params["max_tokens"]:
        tokens, stop = params["max_tokens"], "max_tokens"
        if text is not None:
            content = {"type": "text", "text": text[: tokens * CHARACTERS_PER_TOKEN]}
    return {
        "id": f"msg_01{digest[:22]}",
        "type": "message",
        "role": "assistant",
        "model": params["model"],
        "content": [content] if params["max_tokens"] else [],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": input_tokens(params),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": tokens,
            "service_tier": tier,
            "inference_geo": "not_available",
        },
    }


def text_for(prompt: str) -> str:
    """What a prompt without a schema is answered with."""
    return f"answer {hashlib.sha256(prompt.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def prompt_of(params: dict[str, Any]) -> str:
    """The text of the last user turn."""
    turns = [turn for turn in params["messages"] if turn["role"] == "user"]
    return _text(turns[-1]["content"]) if turns else ""


def input_tokens(params: dict[str, Any]) -> int:
    """Tokens of everything that is asked, four characters each."""
    parts = [_text(params.get("system") or "")]
    parts += [_text(turn["content"]) for turn in params["messages"]]
    return sum(map(tokens_of, parts))


def tokens_of(text: str) -> int:
    """Four characters a token, the last one begun."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _content(params: dict[str, Any], prompt: str, *, misfit: bool) -> tuple[dict[str, Any], str]:
    """The block that is said, and why the model stopped."""
    choice = params.get("tool_choice") or {}
    if choice.get("type") in ("tool", "any") and not misfit:
        tools = params["tools"]
        tool = next((one for one in tools if one["name"] == choice.get("name")), tools[0])
        made = value_for(tool["input_schema"], prompt)
        digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        block = {"id": f"toolu_01{digest[:22]}", "name": tool["name"], "input": made}
        return {"type": "tool_use", **block}, "tool_use"
    form = (params.get("output_config") or {}).get("format")
    if form is not None and not misfit:
        text = json.dumps(value_for(form["schema"], prompt), ensure_ascii=False)
        return {"type": "text", "text": text}, "end_turn"
    return {"type": "text", "text": text_for(prompt)}, "end_turn"


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    assert isinstance(content, list)
    return "\n".join(block.get("text", "") for block in content if block["type"] == "text")
