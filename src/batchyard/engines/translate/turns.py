"""The conversation: system prompt and turns as Chat Completions messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from batchyard.engines.translate.content import JOINT, Part, parts, parts_of, text_of
from batchyard.engines.translate.faults import reject
from batchyard.engines.translate.flavor import Flavor
from batchyard.engines.translate.params import (
    AnyBlock,
    Document,
    Image,
    Params,
    RedactedThinking,
    SearchResult,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)

ChatMessage = dict[str, Any]


def chat_messages(params: Params, flavor: Flavor) -> list[ChatMessage]:
    """`system` and `messages` in the other dialect.

    Turns of one role in a row become one, as the Messages API has it; tool results come before
    whatever else their turn says, since Chat Completions wants them right after the call.
    """
    told: list[ChatMessage] = []
    if not params.messages:
        reject("messages", "at least one message is required")
    system = _plain(params.system or "", "system")
    for number, turn in enumerate(params.messages):
        path = f"messages.{number}"
        if turn.role == "system":
            text = _plain(turn.content, f"{path}.content")
            if told:
                told.append({"role": "system", "content": text})
            else:
                system = JOINT.join(filter(None, [system, text]))
        elif turn.role == "user":
            _add_user(told, turn, path, flavor)
        else:
            _add_assistant(told, turn, path)
    if not told:
        reject("messages", "at least one user message is required")
    for message in told:
        _finish(message)
    return [{"role": "system", "content": system}, *told] if system else told


def prefill_of(messages: Sequence[ChatMessage]) -> str:
    """The text of a trailing assistant turn, which the model is to continue; else empty."""
    last = messages[-1]
    if last["role"] != "assistant":
        return ""
    if calls := last.get("tool_calls"):
        reject("messages", f"no tool_result follows the tool_use {calls[0]['id']}")
    return str(last["content"])


def _plain(content: str | Iterable[AnyBlock], path: str) -> str:
    """Content that may only be text, as one string."""
    if isinstance(content, str):
        return content
    texts = []
    for number, block in enumerate(content):
        if not isinstance(block, Text):
            reject(f"{path}.{number}", f"{_type(block)} blocks are not taken in a system prompt")
        texts.append(block.text)
    return JOINT.join(filter(None, texts))


def _add_user(told: list[ChatMessage], turn: Turn, path: str, flavor: Flavor) -> None:
    said: list[Part] = []
    shown: list[Part] = []
    answered = False
    if isinstance(turn.content, str):
        said = parts(turn.content, path, flavor)
    else:
        for number, block in enumerate(turn.content):
            where = f"{path}.content.{number}"
            match block:
                case ToolResult():
                    answered = True
                    shown += _add_result(told, block, where, flavor)
                case Text() | Image() | Document() | SearchResult():
                    said += parts_of(block, where, flavor)
                case _:
                    reject(where, f"{_type(block)} blocks are not taken in a user message")
    if shown or said:
        _merge(told, {"role": "user", "content": shown + said})
    elif not answered:
        reject(path, "user messages must have non-empty content")


def _add_result(
    told: list[ChatMessage], block: ToolResult, path: str, flavor: Flavor
) -> list[Part]:
    """Add the tool message; return its pictures, which only a user message may carry."""
    content = parts(block.content or "", f"{path}.content", flavor)
    text = text_of(content)
    if block.is_error:
        text = f"Error: {text}" if text else "Error"
    told.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": text})
    pictures = [part for part in content if part["type"] != "text"]
    if not pictures:
        return []
    return [{"type": "text", "text": f"From the result of {block.tool_use_id}:"}, *pictures]


def _add_assistant(told: list[ChatMessage], turn: Turn, path: str) -> None:
    """Text and calls; earlier thinking is left out, as templates of open models do themselves."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    blocks = [Text(turn.content)] if isinstance(turn.content, str) else turn.content
    for number, block in enumerate(blocks):
        match block:
            case Text():
                texts.append(block.text)
            case ToolUse():
                calls.append(_call(block))
            case Thinking() | RedactedThinking():
                pass
            case _:
                reject(
                    f"{path}.content.{number}",
                    f"{_type(block)} blocks are not taken in an assistant message",
                )
    if any(texts) or calls:
        message: ChatMessage = {"role": "assistant", "content": "".join(texts)}
        _merge(told, message | ({"tool_calls": calls} if calls else {}))


def _call(block: ToolUse) -> dict[str, Any]:
    arguments = msgspec.json.encode(block.input).decode()
    return {
        "id": block.id,
        "type": "function",
        "function": {"name": block.name, "arguments": arguments},
    }


def _merge(told: list[ChatMessage], message: ChatMessage) -> None:
    """Add `message`, to the one before it when that has the same role."""
    if not told or told[-1]["role"] != message["role"]:
        told.append(message)
        return
    last = told[-1]
    last["content"] += message["content"]
    if calls := message.get("tool_calls"):
        last["tool_calls"] = [*last.get("tool_calls", ()), *calls]


def _finish(message: ChatMessage) -> None:
    """Parts that are one text become that text: every engine takes a string."""
    content = message["content"]
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        message["content"] = content[0]["text"]


def _type(block: AnyBlock) -> str:
    return str(block.__struct_config__.tag)
