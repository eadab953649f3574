"""A Messages request as a Chat Completions request, and what its answer must look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from batchyard.engines.translate.faults import decoded, hosted_only, reject
from batchyard.engines.translate.flavor import Flavor
from batchyard.engines.translate.params import HOSTED_ONLY, JsonFormat, Params
from batchyard.engines.translate.tools import tool_fields
from batchyard.engines.translate.turns import chat_messages, prefill_of

Effort = Literal["low", "medium", "high", "xhigh", "max"]

EFFORTS: Mapping[Effort, str] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""`output_config.effort` → `reasoning_effort`; engines differ on anything above high."""

BUDGETS: Sequence[tuple[int, Effort]] = ((4_096, "low"), (16_384, "medium"))
"""`thinking.budget_tokens` below these → `reasoning_effort`; from the last on: high."""

_params = msgspec.json.Decoder(Params)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller's answer must look like, whatever the engine sends.

    `thinking` says whether the model's reasoning is to be told, told as an empty block, or left
    out because nobody asked for it. `prefill` is text the engine may repeat at the front.
    """

    model: str
    stop_sequences: tuple[str, ...] = ()
    thinking: Literal["unasked", "omitted", "shown"] = "unasked"
    prefill: str = ""
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The fields of a Chat Completions body, and what is wanted of the answer."""

    fields: dict[str, Any]
    wanted: Wanted

    def body(self, *, stream: bool = False) -> bytes:
        """The JSON to send. A streamed answer ends with its usage."""
        if not stream:
            return msgspec.json.encode(self.fields)
        streaming = {"stream": True, "stream_options": {"include_usage": True}}
        return msgspec.json.encode(self.fields | streaming)

    def unlimited(self) -> ChatRequest:
        """The same without an output limit: the engine's own, the rest of the context."""
        limits = ("max_tokens", "max_completion_tokens")
        kept = {name: value for name, value in self.fields.items() if name not in limits}
        return replace(self, fields=kept)


def chat_request(params: bytes, flavor: Flavor, *, counting: bool = False) -> ChatRequest:
    """The Chat Completions request that means what `params` mean.

    `counting` is for counting tokens: nothing will be generated, so `max_tokens` may be missing.
    Raises `Rejected`, with the path of the field, for what the other dialect cannot express.
    """
    asked = decoded(_params, params)
    _refuse_hosted_only(asked)
    messages = chat_messages(asked, flavor)
    fields: dict[str, Any] = {"model": asked.model, "messages": messages}
    if not counting:
        fields[flavor.tokens_field] = _max_tokens(asked)
    fields |= _sampling(asked, flavor)
    fields |= tool_fields(asked, flavor)
    fields |= _reasoning(asked, flavor)
    fields |= _format(asked)
    prefill = prefill_of(messages)
    if prefill:
        fields |= _continuing(asked, flavor)
    wanted = Wanted(
        model=asked.model,
        stop_sequences=tuple(asked.stop_sequences or ()),
        thinking=_thinking_wanted(asked),
        prefill=prefill if flavor.repeats_prefill else "",
        stream=bool(asked.stream),
    )
    return ChatRequest(fields, wanted)


def _refuse_hosted_only(asked: Params) -> None:
    for name in HOSTED_ONLY:
        if getattr(asked, name):
            reject(name, hosted_only(f"requests with {name}"))
    if asked.speed == "fast":
        reject("speed", hosted_only("fast requests"))


def _max_tokens(asked: Params) -> int:
    if asked.max_tokens is None:
        reject("max_tokens", "Field required")
    if asked.max_tokens < 1:
        reject("max_tokens", "must be greater than or equal to 1")
    return asked.max_tokens


def _sampling(asked: Params, flavor: Flavor) -> dict[str, Any]:
    if asked.top_k is not None and not flavor.top_k:
        reject("top_k", f"{flavor.name} has no such setting; leave it out or use top_p")
    fields = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": asked.stop_sequences or None,
        "user": asked.metadata.user_id if asked.metadata else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _reasoning(asked: Params, flavor: Flavor) -> dict[str, Any]:
    """What turns reasoning on, off, up and down; nothing when the request is silent about it."""
    fields: dict[str, Any] = {}
    thinking = asked.thinking
    effort = asked.output_config.effort if asked.output_config else None
    if thinking is not None and flavor.thinking_switch:
        switch = {"enable_thinking": thinking.type != "disabled"}
        fields["chat_template_kwargs"] = switch
    if thinking is not None and thinking.type == "disabled" and flavor.effort_none:
        return fields | {"reasoning_effort": "none"}
    if thinking is not None and thinking.budget_tokens and thinking.type == "enabled":
        if flavor.thinking_budget:
            fields["thinking_budget_tokens"] = thinking.budget_tokens
        effort = effort or _effort_for(thinking.budget_tokens)
    if effort is not None:
        fields["reasoning_effort"] = EFFORTS[effort]
    return fields


def _effort_for(budget_tokens: int) -> Effort:
    return next((effort for below, effort in BUDGETS if budget_tokens < below), "high")


def _thinking_wanted(asked: Params) -> Literal["unasked", "omitted", "shown"]:
    if asked.thinking is None or asked.thinking.type == "disabled":
        return "unasked"
    return "omitted" if asked.thinking.display == "omitted" else "shown"


def _format(asked: Params) -> dict[str, Any]:
    wanted: JsonFormat | None = asked.output_format
    if asked.output_config and asked.output_config.format:
        wanted = asked.output_config.format
    if wanted is None:
        return {}
    schema = {"name": "output", "schema": wanted.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _continuing(asked: Params, flavor: Flavor) -> dict[str, Any]:
    if not flavor.prefill:
        reject(
            f"messages.{len(asked.messages) - 1}",
            f"{flavor.name} cannot continue an assistant turn; the last message must be a user's",
        )
    return dict(flavor.continues or {})
