"""Params judged as the documentation says: when the request is run, never at create."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.pipeline.another_server.errors import Unfit

KNOWN = {
    "model", "max_tokens", "messages", "system", "stop_sequences", "stream", "temperature", "top_p",
    "top_k", "tools", "tool_choice", "thinking", "output_config", "cache_control", "metadata",
    "service_tier", "inference_geo", "container", "diagnostics", "user_profile_id",
}  # fmt: skip
SAMPLING = {"temperature": 1, "top_p": 1, "top_k": float("inf")}
NEWER = "2026-10-21"
OUTPUT_TOKENS_MAX = 64_000
_ROLES = ("user", "assistant", "system")
_BLOCKS = {
    "text": "text", "image": "source", "document": "source", "search_result": "content",
    "thinking": "thinking", "redacted_thinking": "data", "tool_use": "id",
    "tool_result": "tool_use_id",
}  # fmt: skip


def check(
    params: dict[str, Any], *, version: str, models: Sequence[str], batch: bool = True
) -> None:
    """Raise `Unfit` for the first thing that is wrong, in the documentation's words."""
    for name in params:
        if name not in KNOWN:
            raise Unfit(f"{name}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        if name not in params:
            raise Unfit(f"{name}: Field required")
    if batch and params.get("stream"):
        raise Unfit("`stream=True` is not supported in the Message Batches API")
    _model(params["model"], models)
    _max_tokens(params["max_tokens"], params["model"], least=1 if batch else 0)
    _sampling(params, version)
    _messages(params["messages"])
    _content("system", params.get("system", "x"))
    _tools(params)
    _output_config(params.get("output_config"))


def _model(model: object, models: Sequence[str]) -> None:
    if not isinstance(model, str):
        raise Unfit("model: Input should be a valid string")
    if model not in models:
        raise Unfit(f"model: {model}", "not_found_error")


def _max_tokens(value: object, model: str, least: int) -> None:
    if type(value) is not int:
        raise Unfit("max_tokens: Input should be a valid integer")
    if value < least:
        raise Unfit(f"max_tokens: must be greater than or equal to {least}")
    if value > OUTPUT_TOKENS_MAX:
        raise Unfit(
            f"max_tokens: {value} > {OUTPUT_TOKENS_MAX}, which is the maximum allowed number of "
            f"output tokens for {model}"
        )


def _sampling(params: dict[str, Any], version: str) -> None:
    for name, most in SAMPLING.items():
        if name not in params:
            continue
        if version == NEWER:
            raise Unfit(f"{name}: Extra inputs are not permitted")
        value = params[name]
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise Unfit(f"{name}: Input should be between 0 and {most}")


def _messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise Unfit("messages: Input should be a valid list")
    if not messages:
        raise Unfit("messages: at least one message is required")
    for number, message in enumerate(messages):
        path = f"messages.{number}"
        if not isinstance(message, dict):
            raise Unfit(f"{path}: Input should be an object")
        for name in message:
            if name not in ("role", "content"):
                raise Unfit(f"{path}.{name}: Extra inputs are not permitted")
        if message.get("role") not in _ROLES:
            raise Unfit(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
        if "content" not in message:
            raise Unfit(f"{path}.content: Field required")
        _content(f"{path}.content", message["content"])


def _content(path: str, content: object) -> None:
    if isinstance(content, str):
        if not content:
            raise Unfit(f"{path}: String should have at least 1 character")
        return
    if not isinstance(content, list) or not content:
        raise Unfit(f"{path}: Input should be a valid string or a list of blocks")
    for number, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in _BLOCKS:
            raise Unfit(f"{path}.{number}.type: Input should be one of {sorted(_BLOCKS)}")
        if not block.get(_BLOCKS[kind]):
            raise Unfit(f"{path}.{number}.{kind}.{_BLOCKS[kind]}: Field required")


def _tools(params: dict[str, Any]) -> None:
    tools = params.get("tools", [])
    if not isinstance(tools, list):
        raise Unfit("tools: Input should be a valid list")
    for number, tool in enumerate(tools):
        if tool.get("type", "custom") == "custom" and "input_schema" not in tool:
            raise Unfit(f"tools.{number}.custom.input_schema: Field required")
    choice = params.get("tool_choice") or {}
    if choice.get("type") == "tool" and choice.get("name") not in [tool["name"] for tool in tools]:
        raise Unfit(f"Tool '{choice.get('name')}' not found in provided tools")


def _output_config(config: object) -> None:
    if config is None:
        return
    if not isinstance(config, dict):
        raise Unfit("output_config: Input should be an object")
    for name in config:
        if name not in ("effort", "format"):
            raise Unfit(f"output_config.{name}: Extra inputs are not permitted")
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise Unfit("output_config.format.type: Input should be 'json_schema'")
    if not isinstance(form.get("schema"), dict):
        raise Unfit("output_config.format.schema: Field required")
