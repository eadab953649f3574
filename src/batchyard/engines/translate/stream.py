"""A streamed Chat Completion as Messages events: server-sent events in, server-sent events out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from batchyard import wire
from batchyard.engines.translate.completion import (
    Call,
    Choice,
    Chunk,
    Function,
    Said,
    Tokens,
)
from batchyard.engines.translate.reply import (
    NO_ANSWER,
    ending,
    message_id,
    refusal,
    tool_use_id,
    usage_fields,
)
from batchyard.engines.translate.request import Wanted

Kind = Literal["text", "thinking"]

LINE_BYTES_MAX = 32 * 1024 * 1024
"""The longest line taken from an engine."""

_chunk = msgspec.json.Decoder(Chunk)


class MessageStream:
    """One streamed answer. Feed it bytes as they come, then `finish` it; both return bytes to send.

    Text and thinking go out as they arrive, and so does the first tool call. Chat Completions may
    interleave what comes after that, Messages blocks may not, so it is held back until the end.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._lines = EventLines()
        self._tokens = Tokens()
        self._ended: Choice | None = None
        self._refused: str | None = None
        self._started = self._done = False
        self._index = 0
        self._open: Kind | Literal["tool_use"] | None = None
        self._calls: dict[int, Call] = {}
        self._late: list[tuple[Kind, str]] = []

    def feed(self, data: bytes) -> bytes:
        """Events for the next bytes of the engine's answer."""
        return b"".join(self._chunk(line) for line in self._lines.feed(data))

    def finish(self) -> bytes:
        """The last events: the end of the message, or an `error` where the answer broke off."""
        unended = self.feed(b"\n")
        if self._done:
            return unended
        self._done = True
        if self._ended is None:
            return unended + _error("the engine's stream ended before its answer did")
        if self._ended.finish_reason in NO_ANSWER:
            return unended + _error(_gave_up(self._ended.finish_reason))
        last = [unended, self._rest(), self._message_delta(), event({"type": "message_stop"})]
        return b"".join(last)

    def fail(self, why: str) -> bytes:
        """The last event of an answer that cannot go on."""
        if self._done:
            return b""
        self._done = True
        return _error(why)

    def _chunk(self, line: bytes) -> bytes:
        if self._done or line == b"[DONE]":
            return b""
        try:
            chunk = _chunk.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self._done = True
            return _error("the engine's stream holds something that is not a Chat Completion chunk")
        if chunk.error is not None:
            self._done = True
            return _error(_words(chunk.error))
        self._tokens = chunk.usage or self._tokens
        out = b"" if self._started else self._message_start(chunk)
        if chunk.choices:
            choice = chunk.choices[0]
            out += self._said(choice.delta or choice.message or Said())
            if choice.finish_reason is not None:
                self._ended = choice
        return out

    # -- blocks ------------------------------------------------------------------------------------

    def _said(self, said: Said) -> bytes:
        out = b""
        if said.thought and self._wanted.thinking != "unasked":
            out += self._piece("thinking", said.thought)
        if said.refusal:
            self._refused = (self._refused or "") + said.refusal
        if text := said.text or said.refusal:
            out += self._piece("text", text)
        for call in said.tool_calls or ():
            out += self._called(call)
        return out

    def _piece(self, kind: Kind, text: str) -> bytes:
        """A piece of text or thinking, its block opened first where it is not."""
        if self._open == "tool_use":
            self._late.append((kind, text))
            return b""
        out = b""
        if self._open != kind:
            empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}[kind]
            out = self._close() + self._begin({"type": kind, **empty}, kind)
        if kind == "thinking" and self._wanted.thinking == "omitted":
            return out
        return out + self._delta({"type": f"{kind}_delta", kind: text})

    def _called(self, piece: Call) -> bytes:
        """A piece of a tool call: sent on when it is the first call's, else kept."""
        new = max(self._calls, default=-1) + bool(piece.id or not self._calls)
        index = new if piece.index is None else piece.index
        function = piece.function or Function()
        arguments = _text(function.arguments)
        if call := self._calls.get(index):
            assert call.function is not None
            call.function.arguments = f"{call.function.arguments}{arguments}"
        else:
            call = Call(Function(function.name or "", arguments), tool_use_id(piece.id))
            self._calls[index] = call
        if call is not next(iter(self._calls.values())):
            return b""
        begun = b"" if self._open == "tool_use" else self._close() + self._begin_call(call)
        return begun + self._arguments(arguments)

    def _rest(self) -> bytes:
        """What was held back, and one block at least: callers read `content[0]`."""
        out = b"" if self._started else self._message_start(Chunk())
        out += self._close()
        late, self._late = self._late, []
        for kind, text in late:
            if text.strip():
                out += self._piece(kind, text)
        for call in list(self._calls.values())[1:]:
            assert call.function is not None
            out += self._close() + self._begin_call(call)
            out += self._arguments(_text(call.function.arguments))
        if self._index == 0 and self._open is None:
            out += self._begin({"type": "text", "text": ""}, "text")
        return out + self._close()

    def _begin_call(self, call: Call) -> bytes:
        name = call.function.name if call.function else ""
        block: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": name, "input": {}}
        return self._begin(block, "tool_use")

    def _arguments(self, text: str) -> bytes:
        return self._delta({"type": "input_json_delta", "partial_json": text}) if text else b""

    def _begin(self, block: dict[str, Any], kind: Kind | Literal["tool_use"]) -> bytes:
        self._open = kind
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return event(start)

    def _delta(self, delta: dict[str, str]) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._index += 1
        return event({"type": "content_block_stop", "index": self._index - 1})

    # -- the message around them -------------------------------------------------------------------

    def _message_start(self, chunk: Chunk) -> bytes:
        """Most engines count only at the end, so the counts here are what is known by now."""
        self._started = True
        message: dict[str, Any] = {
            "id": message_id(chunk.id),
            "type": "message",
            "role": "assistant",
            "model": chunk.model or self._wanted.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_fields(self._tokens) | {"service_tier": "standard"},
        }
        return event({"type": "message_start", "message": message})

    def _message_delta(self) -> bytes:
        assert self._ended is not None
        reason, sequence = ending(self._ended, self._wanted, called=bool(self._calls))
        delta: dict[str, Any] = {"stop_reason": reason, "stop_sequence": sequence}
        if self._refused or reason == "refusal":
            delta = {
                "stop_reason": "refusal",
                "stop_sequence": None,
                "stop_details": refusal(self._refused),
            }
        usage = usage_fields(self._tokens)
        return event({"type": "message_delta", "delta": delta, "usage": usage})


def _text(arguments: str | dict[str, msgspec.Raw] | None) -> str:
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return arguments or ""


def _gave_up(finish_reason: str | None) -> str:
    return f"the engine gave up: finish_reason {finish_reason}"


def _error(message: str) -> bytes:
    return event({"type": "error", "error": {"type": "api_error", "message": message}})


def _words(error: Any) -> str:
    """What the engine said went wrong, in whichever shape."""
    words = error.get("message") if isinstance(error, dict) else error
    return str(words)[:2_000]


# -- server-sent events, as the WHATWG HTML standard has them --------------------------------------


class EventLines:
    """Cuts bytes, however they arrive, into the data of one event after another.

    One data line is one event: no engine spreads its JSON over several.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events completed by `data`; comments and other fields are skipped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise ValueError(f"a line of a stream is longer than {LINE_BYTES_MAX} bytes")
        return [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]


def event(payload: dict[str, Any]) -> bytes:
    """One event, named by the payload's type."""
    name = str(payload["type"]).encode()
    return b"event: %b\ndata: %b\n\n" % (name, wire.encode(payload))
