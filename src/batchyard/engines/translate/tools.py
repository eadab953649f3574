"""Tools and the choice among them, as Chat Completions functions."""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard.engines.translate.faults import decoded, hosted_only, reject
from batchyard.engines.translate.flavor import Flavor
from batchyard.engines.translate.params import Params, Tool, ToolChoice

CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""`tool_choice.type` → `tool_choice`; the type `tool` names its function instead."""

_tool = msgspec.json.Decoder(Tool)


class _Typed(msgspec.Struct):
    type: Any = None


_typed = msgspec.json.Decoder(_Typed)


def tool_fields(params: Params, flavor: Flavor) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls`, as far as they were asked for."""
    tools = [_custom(raw, number) for number, raw in enumerate(params.tools or ())]
    fields: dict[str, Any] = {}
    choice = params.tool_choice
    if choice is not None and choice.type == "tool":
        tools, fields["tool_choice"] = _named(choice, tools, flavor)
    elif choice is not None and choice.type == "any" and not tools:
        reject("tool_choice", "a tool must be used, but no tools are provided")
    elif choice is not None and tools:
        fields["tool_choice"] = CHOICES[choice.type]
    if not tools:
        return {}
    if choice is not None and choice.disable_parallel_tool_use:
        fields["parallel_tool_calls"] = False
    return {"tools": [_function(tool) for tool in tools]} | fields


def _custom(raw: msgspec.Raw, number: int) -> Tool:
    """One tool of the caller's own. Raises `Rejected` for those the hosted API would run."""
    path = f"tools.{number}"
    kind = decoded(_typed, raw, path).type
    if kind not in (None, "custom"):
        reject(path, hosted_only(f"built-in tools such as {kind}"))
    tool = decoded(_tool, raw, f"{path}.custom")
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        reject(f"{path}.custom.allowed_callers", hosted_only("tools called by other tools"))
    return tool


def _named(choice: ToolChoice, tools: list[Tool], flavor: Flavor) -> tuple[list[Tool], Any]:
    """The tools to offer and the choice, when one tool must be used."""
    wanted = [tool for tool in tools if tool.name == choice.name]
    if not wanted:
        reject("tool_choice", f"Tool '{choice.name}' not found in provided tools")
    if flavor.names_tool:
        return tools, {"type": "function", "function": {"name": choice.name}}
    # "Use one of these" with only one of them on offer says the same.
    return wanted, "required"


def _function(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if description := _description(tool):
        function["description"] = description
    function["parameters"] = tool.input_schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _description(tool: Tool) -> str:
    """The description, examples of the input below it: a function has no field for those."""
    examples = [msgspec.json.encode(example).decode() for example in tool.input_examples or ()]
    told = [tool.description, "Examples of its input:" if examples else None, *examples]
    return "\n".join(filter(None, told))
