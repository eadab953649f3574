"""Requests with stop sequences, for which llama.cpp's own Messages door is the better one.

Of its answers in Chat Completions none says which stop string was met; those in Messages do. That
door takes chat messages whose content is plain text as they are, so the request stays the one that
was translated. Its own habits are put right: `end_turn` beside a stop sequence, the prefill said
again, ids of another kind. It knows nothing of response formats: those go the usual way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard import ids, wire
from batchyard.engine import Reply, Usage
from batchyard.engines.translate import ChatRequest, Wanted

PATH = "/v1/messages"

_AS_THEY_ARE = ("model", "messages", "max_tokens", "temperature", "top_p", "top_k")
_UNKNOWN_THERE = frozenset({"response_format", "reasoning_effort", "chat_template_kwargs"})


def has_better_door(request: ChatRequest) -> bool:
    """Whether the Messages door answers this request and tells the stop sequence."""
    fields = request.fields
    if not request.wanted.stop_sequences or _UNKNOWN_THERE & fields.keys():
        return False
    return "tools" not in fields and all(_is_plain(message) for message in fields["messages"])


def body_of(request: ChatRequest) -> bytes:
    """The request as that door takes it."""
    body = {name: request.fields[name] for name in _AS_THEY_ARE if name in request.fields}
    body["stop_sequences"] = list(request.wanted.stop_sequences)
    return msgspec.json.encode(body)


def reply_of(answer: bytes, wanted: Wanted) -> Reply:
    """The Message in its answer, put right. Raises `wire.NotAMessage`."""
    message, numbers = wire.checked_message(answer)
    told: dict[str, Any] = msgspec.json.decode(message)
    told["id"] = ids.message_id()
    if told.get("stop_sequence") is not None:
        told["stop_reason"] = "stop_sequence"
    texts = [block["text"] for block in told["content"] if block.get("type") == "text"]
    text = "".join(texts).removeprefix(wanted.prefill)
    told["content"] = [{"type": "text", "text": text}]
    cached = numbers.cache_read_input_tokens or 0
    told["usage"] = {
        "input_tokens": numbers.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": numbers.output_tokens,
        "service_tier": "standard",
    }
    usage = Usage(numbers.input_tokens, numbers.output_tokens, cached)
    return Reply(msgspec.json.encode(told), usage)


def _is_plain(message: dict[str, Any]) -> bool:
    return isinstance(message["content"], str) and message["role"] != "tool"
