"""What a model answered, as the columns of a row, or why it is no answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from batchyard.pipeline.prompt.asked import ANSWER_TOOL, Asked
from batchyard.pipeline.prompt.schema import given
from batchyard.pipeline.prompt.schema.fit import Fit

TEXT_COLUMN, CALLS_COLUMN = "output", "tool_calls"

_NOT_JSON = "the answer is not JSON"
_FENCE = re.compile(r"```(?:json)?[ \t]*\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer that fits: its columns, and the text the model gave."""

    answer: dict[str, object]
    raw: str


class Misfit(Exception):
    """An answer that is none: `kind` is `schema`, `schema_truncated` or `api`, `raw` its text."""

    def __init__(self, kind: str, message: str, raw: str) -> None:
        super().__init__(message)
        self.kind, self.message, self.raw = kind, message, raw


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct, gc=False):
    content: list[_Block]
    stop_reason: str | None = None


_message = msgspec.json.Decoder(_Message).decode
_json = msgspec.json.Decoder().decode


class Answers:
    """Reads messages by one schema. `columns` are those of every answer, in order.

    Without a schema the text is the column `output`; a schema without properties puts its object
    there. With tools of the user's, `tool_calls` holds the calls as a JSON list, null for none.
    """

    def __init__(self, asked: Asked) -> None:
        """Compile the schema; raises `BadPrompt`."""
        self._max_tokens = asked.max_tokens
        self._as_tool = asked.as_tool
        self._calls = asked.tools is not None
        self._fit = Fit(asked.schema) if asked.schema is not None else None
        self._properties = given.properties(asked.schema) if asked.schema is not None else ()
        calls = (CALLS_COLUMN,) if self._calls else ()
        self.columns = (*(self._properties or (TEXT_COLUMN,)), *calls)

    def read(self, message: bytes) -> Reading:
        """The answer in `message`, the JSON of a Message; raises `Misfit`."""
        try:
            decoded = _message(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Misfit("api", f"the answer is not a Message: {error}", "") from error
        blocks = decoded.content
        if len(blocks) == 1 and blocks[0].type == "text":
            text = blocks[0].text
        else:
            text = "".join([block.text for block in blocks if block.type == "text"])
        if self._fit is None:
            answer: dict[str, object] = {TEXT_COLUMN: text}
            raw = text
        else:
            raw = self._said(blocks) or text if self._as_tool else text
            answer = self._fitting(raw, decoded, self._fit)
        if self._calls:
            answer[CALLS_COLUMN] = _calls(blocks)
        return Reading(answer, raw)

    def _said(self, blocks: list[_Block]) -> str:
        """The input of the call that the answer was asked to be."""
        return next((bytes(one.input).decode() for one in blocks if _is_call(one, ANSWER_TOOL)), "")

    def _fitting(self, raw: str, message: _Message, fit: Fit) -> dict[str, object]:
        fault = _NOT_JSON
        for value in _values(raw):
            found = fit.fault(value)
            if found is None:
                return self._columns_of(value)
            fault = found
        # Engines close the input of a call that was cut, so that it is JSON with something missing.
        if message.stop_reason == "max_tokens" and (fault == _NOT_JSON or self._as_tool):
            raise Misfit("schema_truncated", self._truncated(), raw)
        raise Misfit("schema", _blamed(fault, message), raw)

    def _columns_of(self, value: Any) -> dict[str, object]:
        if not self._properties:
            return {TEXT_COLUMN: value}
        return {name: value.get(name) for name in self._properties}

    def _truncated(self) -> str:
        return (
            f"Answer stopped at max_tokens ({self._max_tokens}) before the JSON closed. Raise it: "
            f"batchyard retry --only schema_truncated --max-tokens {2 * self._max_tokens}. "
            "[schema_truncated]"
        )


def _values(raw: str) -> Iterator[object]:
    """JSON in the text: all of it, then what is fenced, then what stands between braces."""
    try:
        value = _json(raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        yield from _buried(raw)
    else:
        yield value


def _buried(raw: str) -> Iterator[object]:
    pieces = [match[1] for match in _FENCE.finditer(raw)]
    begin, end = raw.find("{"), raw.rfind("}")
    if 0 <= begin < end:
        pieces.append(raw[begin : end + 1])
    for piece in pieces:
        try:
            value = _json(piece)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            continue
        yield value


def _blamed(fault: str, message: _Message) -> str:
    """The fault with the reason for it, where the message gives one."""
    if message.stop_reason == "refusal":
        return "the model refused to answer (stop_reason refusal)"
    called = [block.name for block in message.content if block.type == "tool_use"]
    if message.stop_reason == "tool_use" and called and called != [ANSWER_TOOL]:
        return f"the model called the tool {called[0]} instead of answering"
    return fault


def _is_call(block: _Block, name: str) -> bool:
    return block.type == "tool_use" and block.name == name


def _calls(blocks: list[_Block]) -> str | None:
    calls = [
        {"id": one.id, "name": one.name, "input": one.input}
        for one in blocks
        if one.type == "tool_use" and one.name != ANSWER_TOOL
    ]
    return msgspec.json.encode(calls).decode() if calls else None


# -- asking again ---------------------------------------------------------------------------------

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def repaired(params: bytes, raw: str, why: str) -> bytes:
    """`params` that ask again: the answer `raw`, then what was wrong with it (`why`)."""
    fields = _object(params)
    turns: list[object] = [*_list(fields["messages"])]
    if raw.strip():
        turns.append({"role": "assistant", "content": raw.rstrip()})
    turns.append({"role": "user", "content": _again(why)})
    fields["messages"] = msgspec.Raw(_encode(turns))
    return _encode(fields)


def _again(why: str) -> str:
    return (
        f"That answer does not fit the format: {why}. Answer again with the corrected JSON object "
        "only, without any other text."
    )
