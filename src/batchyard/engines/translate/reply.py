"""A Chat Completion as a Message: the answer's way back."""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard import ids, wire
from batchyard.engine import Reply, Usage, tokens
from batchyard.engines.translate.completion import (
    Call,
    Choice,
    Completion,
    Function,
    PromptDetails,
    Said,
    Tokens,
    stop_met,
)
from batchyard.engines.translate.request import Wanted

STOP_REASONS = {
    "stop": "end_turn",
    "eos": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""`finish_reason` → `stop_reason`; one that is not here says `end_turn`."""

NO_ANSWER = frozenset({"abort", "error"})
"""`finish_reason`s of an engine that gave up: what it said until then is not an answer."""

RAW_ARGUMENTS = "_raw"
"""The key under which tool arguments stand, as text, that are not a JSON object."""

_completion = msgspec.json.Decoder(Completion)
_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NotACompletion(ValueError):
    """A 200 whose body is no Chat Completion with an answer in it."""


def message(body: bytes, wanted: Wanted) -> Reply:
    """The Message for a Chat Completion. Raises `NotACompletion`."""
    completion = _decoded(body)
    if not completion.choices or completion.choices[0].message is None:
        raise NotACompletion("no choices in the answer")
    choice = completion.choices[0]
    if choice.finish_reason in NO_ANSWER:
        raise NotACompletion(f"the engine gave up: finish_reason {choice.finish_reason}")
    said = choice.message
    assert said is not None
    stop_reason, stop_sequence = ending(choice, wanted, called=bool(said.tool_calls))
    refused = said.refusal or choice.finish_reason == "content_filter"
    counted = completion.usage or Tokens()
    told = {
        "id": message_id(completion.id),
        "type": "message",
        "role": "assistant",
        "model": completion.model or wanted.model,
        "content": _content(said, wanted),
        "stop_reason": "refusal" if refused else stop_reason,
        "stop_sequence": None if refused else stop_sequence,
        "stop_details": refusal(said.refusal) if refused else None,
        "usage": usage_fields(counted) | {"service_tier": "standard"},
    }
    return Reply(wire.one_line(msgspec.json.encode(told)), usage(counted))


def ending(choice: Choice, wanted: Wanted, *, called: bool) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`. A call is a call, also where the engine says `stop`."""
    reason = STOP_REASONS.get(choice.finish_reason or "stop", "end_turn")
    if reason == "end_turn" and called:
        return "tool_use", None
    met = stop_met(choice, wanted.stop_sequences)
    if reason == "end_turn" and met is not None:
        return "stop_sequence", met
    return reason, None


def refusal(explanation: str | None) -> dict[str, str | None]:
    """`stop_details` of an answer that was refused."""
    return {"type": "refusal", "category": None, "explanation": explanation}


def message_id(given: str | None) -> str:
    """The engine's id when it is a message's, else a new one."""
    return given if given and given.startswith("msg_") else ids.message_id()


def usage(told: Tokens) -> Usage:
    """Token counts that do not overlap: Chat Completions count cached tokens as prompt tokens."""
    details = told.prompt_tokens_details or PromptDetails()
    read, written = tokens(details.cached_tokens), tokens(details.created_cache_tokens)
    return Usage(
        input_tokens=max(0, tokens(told.prompt_tokens) - read - written),
        output_tokens=tokens(told.completion_tokens),
        cache_read_input_tokens=read,
        cache_creation_input_tokens=written,
    )


def usage_fields(told: Tokens) -> dict[str, Any]:
    """The `usage` object of a Message, but for its service tier."""
    counted = usage(told)
    fields: dict[str, Any] = {
        "input_tokens": counted.input_tokens,
        "cache_creation_input_tokens": counted.cache_creation_input_tokens,
        "cache_read_input_tokens": counted.cache_read_input_tokens,
        "output_tokens": counted.output_tokens,
    }
    details = told.completion_tokens_details
    if details is not None and details.reasoning_tokens is not None:
        fields["output_tokens_details"] = {"thinking_tokens": tokens(details.reasoning_tokens)}
    return fields


def tool_use_id(given: str | None) -> str:
    """The engine's id of a call, which it will want back with the result, else a new one."""
    return given or ids.tool_use_id()


def _decoded(body: bytes) -> Completion:
    """`body` in its shape; text that is not valid UTF-8 is mended first."""
    try:
        return _completion.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return _completion.decode(wire.mended(body))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotACompletion(f"not a Chat Completion: {error}") from error


def _content(said: Said, wanted: Wanted) -> list[dict[str, Any]]:
    """The blocks. There is always one: callers read `content[0]`."""
    blocks: list[dict[str, Any]] = []
    if said.thought and wanted.thinking != "unasked":
        thought = said.thought if wanted.thinking == "shown" else ""
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    text = (said.text or said.refusal or "").removeprefix(wanted.prefill)
    calls = said.tool_calls or []
    if text or not (blocks or calls):
        blocks.append({"type": "text", "text": text})
    return blocks + [_tool_use(call) for call in calls]


def _tool_use(call: Call) -> dict[str, Any]:
    function = call.function or Function()
    return {
        "type": "tool_use",
        "id": tool_use_id(call.id),
        "name": function.name or "",
        "input": _input(function.arguments),
    }


def _input(arguments: str | dict[str, msgspec.Raw] | None) -> dict[str, Any]:
    """The arguments as an object, each value's bytes kept; broken ones as text, nothing lost."""
    if not isinstance(arguments, str):
        return arguments or {}
    if not arguments.strip():
        return {}
    try:
        return _arguments.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return {RAW_ARGUMENTS: arguments}
