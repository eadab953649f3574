"""The fields of a Chat Completions body as Messages params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchyard.pipeline.source.chat.shapes import (
    Body,
    Choice,
    Line,
    Tool,
    reject,
    shaped,
)
from batchyard.pipeline.source.chat.turns import system_and_messages

URL = "/v1/chat/completions"
MAX_TOKENS = 4_096
"""Where the body names no limit: Messages params must, Chat Completions need not."""

CHOICES = {"auto": "auto", "required": "any", "none": "none"}
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "stream": (False,),
    "seed": (),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
}
"""What can be asked for only with these values, or null."""


def messages_params(line: Mapping[str, object]) -> dict[str, object]:
    """The Messages params of a line of an OpenAI batch. Raises `Untranslatable`."""
    request: Line = shaped(line, "", Line)
    if request.url.rstrip("/") != URL:
        reject("url", f'only "{URL}" can be translated, not "{request.url[:80]}"')
    if request.method.upper() != "POST":
        reject("method", f'only "POST" can be translated, not "{request.method[:20]}"')
    body: Body = shaped(request.body, "body", Body)
    _refuse_without_counterpart(body)
    system, messages = system_and_messages(body.messages)
    params: dict[str, object] = {"model": body.model, "max_tokens": _max_tokens(body)}
    if system:
        params["system"] = system
    params["messages"] = messages
    return params | _sampling(body) | _tools(body) | _output(body)


def _refuse_without_counterpart(body: Body) -> None:
    for name, allowed in _NEUTRAL.items():
        value = getattr(body, name)
        if value is not None and value not in allowed:
            only = f"; only {allowed[0]!r} can be asked for".replace("'", '"') if allowed else ""
            reject(f"body.{name}", f"Messages params have no such field{only.lower()}")


def _max_tokens(body: Body) -> int:
    """The newer of the two names wins, as it does where both are known."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit: int | None = getattr(body, name)
        if limit is not None:
            if limit < 1:
                reject(f"body.{name}", "must be greater than or equal to 1")
            return limit
    return MAX_TOKENS


def _sampling(body: Body) -> dict[str, object]:
    fields = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop_sequences": [body.stop] if isinstance(body.stop, str) else body.stop or None,
        "metadata": {"user_id": body.user} if body.user is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tools(body: Body) -> dict[str, object]:
    if not body.tools:
        if body.tool_choice == "required" or isinstance(body.tool_choice, Choice):
            reject("body.tool_choice", "a tool must be used, but no tools are provided")
        return {}
    fields: dict[str, object] = {"tools": [_tool(tool) for tool in body.tools]}
    choice: dict[str, object] = {}
    if isinstance(body.tool_choice, Choice):
        choice = {"type": "tool", "name": body.tool_choice.function.name}
    elif body.tool_choice is not None:
        choice = {"type": CHOICES[body.tool_choice]}
    if body.parallel_tool_calls is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return fields | ({"tool_choice": choice} if choice else {})


def _tool(tool: Tool) -> dict[str, object]:
    function = tool.function
    fields: dict[str, object] = {"name": function.name}
    if function.description is not None:
        fields["description"] = function.description
    fields["input_schema"] = function.parameters or {"type": "object", "properties": {}}
    if function.strict is not None:
        fields["strict"] = function.strict
    return fields


def _output(body: Body) -> dict[str, object]:
    """What the answer must look like, and how hard to think about it."""
    fields: dict[str, object] = {}
    config: dict[str, Any] = {}
    wanted = body.response_format
    if wanted is not None and wanted.type == "json_object":
        reject("body.response_format", "JSON without a schema cannot be asked for; give a schema")
    if wanted is not None and wanted.type == "json_schema":
        if wanted.json_schema is None:
            reject("body.response_format.json_schema", "Field required")
        config["format"] = {"type": "json_schema", "schema": wanted.json_schema.schema}
    if body.reasoning_effort == "none":
        fields["thinking"] = {"type": "disabled"}
    elif body.reasoning_effort is not None:
        config["effort"] = EFFORTS[body.reasoning_effort]
    return fields | ({"output_config": config} if config else {})
