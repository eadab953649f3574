"""Answers an echo gives: pure functions from a request body to the bytes of a reply."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec

_ids = itertools.count(1)
_JSON = msgspec.json


class _Turn(msgspec.Struct):
    role: str
    content: msgspec.Raw


class _Asked(msgspec.Struct):
    model: str = "echo-1"
    messages: list[_Turn] = []
    stream: bool | None = False


_asked = _JSON.Decoder(_Asked)


class Echo:
    """One request understood: the text it will be answered with, as a JSON string literal.

    The text is the content of the last message: byte for byte when that is a plain string, its
    text blocks joined when it is a list of blocks.
    """

    def __init__(self, body: bytes) -> None:
        asked = _asked.decode(body)
        self.model = asked.model
        self.stream = bool(asked.stream)
        self.is_empty = not asked.messages
        self.text = _text(bytes(asked.messages[-1].content)) if asked.messages else b'""'
        self.input_tokens = max(1, len(body) // 4)
        self.output_tokens = max(1, len(self.text) // 4)


def _text(content: bytes) -> bytes:
    if content.startswith(b'"'):
        return content
    blocks = _JSON.decode(content)
    return _JSON.encode("".join(block.get("text", "") for block in blocks or ()))


def message(echo: Echo) -> bytes:
    """A Message object."""
    return (
        b'{"id":"msg_echo%d","type":"message","role":"assistant","model":%b,'
        b'"content":[{"type":"text","text":%b}],"stop_reason":"end_turn","stop_sequence":null,'
        b'"usage":{"input_tokens":%d,"output_tokens":%d}}'
    ) % (
        next(_ids),
        _JSON.encode(echo.model),
        echo.text,
        echo.input_tokens,
        echo.output_tokens,
    )


def completion(echo: Echo) -> bytes:
    """A chat.completion object."""
    return (
        b'{"id":"chatcmpl-echo%d","object":"chat.completion","created":1760000000,"model":%b,'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":%b},"logprobs":null,'
        b'"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,'
        b'"total_tokens":%d}}'
    ) % (
        next(_ids),
        _JSON.encode(echo.model),
        echo.text,
        echo.input_tokens,
        echo.output_tokens,
        echo.input_tokens + echo.output_tokens,
    )


def message_events(echo: Echo) -> list[bytes]:
    """The server-sent events of a streamed Message, one element an event."""
    head = {
        "id": f"msg_echo{next(_ids)}",
        "type": "message",
        "role": "assistant",
        "model": echo.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": echo.input_tokens, "output_tokens": 1},
    }
    text = _JSON.decode(echo.text)
    block = {"type": "content_block_start", "index": 0, "content_block": _block("text", "")}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": _block("text_delta", piece)}
        for piece in _pieces(text)
    ]
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": echo.output_tokens},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}, block, *deltas]
    events += [{"type": "content_block_stop", "index": 0}, end, {"type": "message_stop"}]
    return [b"event: %b\ndata: %b\n\n" % (e["type"].encode(), _JSON.encode(e)) for e in events]


def completion_events(echo: Echo) -> list[bytes]:
    """The server-sent events of a streamed chat completion, `[DONE]` included."""
    base = {
        "id": f"chatcmpl-echo{next(_ids)}",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": echo.model,
    }
    usage = {
        "prompt_tokens": echo.input_tokens,
        "completion_tokens": echo.output_tokens,
        "total_tokens": echo.input_tokens + echo.output_tokens,
    }

    def chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": piece}) for piece in _pieces(_JSON.decode(echo.text))]
    chunks += [chunk({}, "stop"), {**base, "choices": [], "usage": usage}]
    return [b"data: %b\n\n" % _JSON.encode(c) for c in chunks] + [b"data: [DONE]\n\n"]


def _block(type: str, text: str) -> dict[str, str]:
    return {"type": type, "text": text}


def _pieces(text: str, size: int = 12) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def refusal(type: str, text: str) -> bytes:
    """An error envelope of the Messages API."""
    return _JSON.encode({"type": "error", "error": {"type": type, "message": text}})


def chat_refusal(type: str, text: str, code: int) -> bytes:
    """An error object as Chat Completions servers shape it."""
    error = {"message": text, "type": type, "param": None, "code": code}
    return _JSON.encode({"error": error})


Render = Callable[[Echo], bytes]
RenderEvents = Callable[[Echo], list[bytes]]

DIALECTS: dict[str, tuple[Render, RenderEvents]] = {
    "/v1/messages": (message, message_events),
    "/v1/chat/completions": (completion, completion_events),
}
