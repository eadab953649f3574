"""What can be said beside the prompt: Messages parameters, tools, which tool to choose."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from batchyard.errors import BadPrompt

PARAMETERS = frozenset({
    "billing_policy", "cache_control", "compaction", "container", "context_management",
    "diagnostics", "inference_geo", "max_tokens", "mcp_servers", "metadata", "output_config",
    "service_tier", "stop_sequences", "temperature", "thinking", "tool_choice", "tools", "top_k",
    "top_p", "user_profile_id",
})  # fmt: skip
"""The parameters of a Messages request that a batch takes and that the prompt does not say."""

_SAID_ELSEWHERE = {
    "messages": "messages are made from the prompt and its turns",
    "system": "the system prompt is said by system (--system), and may use columns there",
    "model": "the model is said by model (--model)",
    "stream": "a batch does not stream",
}


def checked(params: Mapping[str, object]) -> dict[str, Any]:
    """The parameters by name; raises `BadPrompt` for one that is unknown, said twice, no JSON."""
    for name in params:
        if name in _SAID_ELSEWHERE:
            raise BadPrompt(
                f"the parameter {name} cannot be set: {_SAID_ELSEWHERE[name]}; nothing was sent"
            )
        if name not in PARAMETERS:
            raise _unknown(name)
    try:
        plain = msgspec.json.decode(msgspec.json.encode(dict(params)))
    except (TypeError, ValueError) as error:
        raise BadPrompt(f"a parameter is not JSON: {error}; nothing was sent") from error
    return {name: plain[name] for name in sorted(plain)}


def tokens(count: object) -> int:
    """`max_tokens` as a whole number from 1; raises `BadPrompt`."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadPrompt(
            f"max_tokens is {count!r}, and must be a whole number from 1; nothing was sent",
            fix="max_tokens=1024 (--max-tokens 1024)",
        )
    return count


def tools_of(given: object) -> list[dict[str, Any]] | None:
    """The tools of a list or of a JSON file; raises `BadPrompt`."""
    if given is None:
        return None
    place = "tools"
    if isinstance(given, (str, Path)):
        place = f"the tools file {given}"
        try:
            given = msgspec.json.decode(Path(given).read_bytes())
        except OSError as error:
            raise BadPrompt(
                f"{place} cannot be read: {error.strerror}; nothing was sent"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadPrompt(f"{place} is not JSON: {error}; nothing was sent") from error
    else:
        given = _plain(given, place)
    if not isinstance(given, list) or not given:
        raise BadPrompt(f"{place}: not a list of tools; nothing was sent", fix=_TOOL)
    for number, tool in enumerate(given):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise BadPrompt(f"{place}: tool {number} has no name; nothing was sent", fix=_TOOL)
        if not isinstance(tool.get("input_schema", {}), dict):
            raise BadPrompt(
                f"{place}: the input_schema of tool {number} is not an object; nothing was sent",
                fix=_TOOL,
            )
    return given


_TOOL = '[{"name": "look_up", "description": "…", "input_schema": {"type": "object", …}}]'


def choice_of(given: object, tools: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """`tool_choice` from its object, from auto, any or none, or from a tool's name."""
    if given is None:
        return None
    if tools is None:
        raise BadPrompt(
            "tool_choice is set and there are no tools; nothing was sent",
            fix="give the tools too (--tools FILE.json)",
        )
    if isinstance(given, Mapping):
        return dict(_plain(given, "tool_choice"))
    if given in ("auto", "any", "none"):
        return {"type": given}
    names = [tool["name"] for tool in tools]
    if given in names:
        return {"type": "tool", "name": given}
    known = ", ".join(["auto", "any", "none", *names])
    raise BadPrompt(
        f"tool_choice is {given!r}, and there is no such tool; nothing was sent",
        fix=f"one of {known}",
    )


def _plain(value: object, place: str) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError) as error:
        raise BadPrompt(f"{place}: not JSON: {error}; nothing was sent") from error


def _unknown(name: str) -> BadPrompt:
    nearest = get_close_matches(name, PARAMETERS, 1)
    return BadPrompt(
        f"there is no parameter {name!r}; nothing was sent",
        fix=f"did you mean {nearest[0]}?" if nearest else "one of " + ", ".join(sorted(PARAMETERS)),
    )
