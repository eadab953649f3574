"""What is asked, as plain data: what a run remembers of its task, and nothing that is compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt import options
from batchyard.pipeline.prompt.schema import given

ROLES = ("user", "assistant")
ANSWER_TOOL = "answer"
"""The tool that a schema is sent as, where an engine has no structured output."""

MAX_TOKENS = 1024
"""How long an answer may get where nobody says it."""


class Said(TypedDict, total=False):
    """What a person can say about a task. All may be left out but one of `prompt` and `turns`.

    `turns` come before `prompt`, which is the last user turn. `images` and `documents` name
    columns; `folder` is where their paths start from. `tools` is a list or a JSON file. `constant`
    allows a task that uses no column at all.
    """

    prompt: str | None
    model: str | None
    system: str | None
    turns: Sequence[tuple[str, str]]
    schema: object
    as_tool: bool
    params: Mapping[str, object]
    images: Sequence[str]
    documents: Sequence[str]
    tools: object
    tool_choice: object
    cache_prefix: bool
    max_tokens: int
    constant: bool
    folder: str | Path


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task in plain JSON: all texts by content. `turns` end with the prompt."""

    model: str | None
    max_tokens: int
    system: str | None
    turns: list[tuple[str, str]]
    images: list[str]
    documents: list[str]
    schema: dict[str, Any] | None
    as_tool: bool
    tools: list[dict[str, Any]] | None
    tool_choice: dict[str, Any] | None
    params: dict[str, Any]
    cache_prefix: bool
    constant: bool
    folder: str


def asked(said: Said) -> Asked:
    """What `said` comes to; raises `BadPrompt`, and `TypeError` for a word that is not known."""
    if unknown := sorted(said.keys() - Said.__annotations__.keys()):
        raise TypeError(f"a task has no {unknown[0]!r}; it has {', '.join(Said.__annotations__)}")
    params = options.checked(said.get("params") or {})
    tools = options.tools_of(_once("tools", said.get("tools"), params.pop("tools", None)))
    choice = _once("tool_choice", said.get("tool_choice"), params.pop("tool_choice", None))
    max_tokens = params.pop("max_tokens", said.get("max_tokens", MAX_TOKENS))
    schema = said.get("schema")
    as_tool = bool(said.get("as_tool", False))
    answer = Asked(
        model=said.get("model"),
        max_tokens=options.tokens(max_tokens),
        system=said.get("system"),
        turns=_turns(said.get("prompt"), said.get("turns") or ()),
        images=_names(said.get("images") or ()),
        documents=_names(said.get("documents") or ()),
        schema=None if schema is None else given.json_schema(schema),
        as_tool=as_tool,
        tools=tools,
        tool_choice=options.choice_of(choice, tools),
        params=params,
        cache_prefix=bool(said.get("cache_prefix", False)),
        constant=bool(said.get("constant", False)),
        folder=str(Path(said.get("folder") or ".").absolute()),
    )
    _check_schema(answer)
    try:
        msgspec.json.encode(answer)
    except UnicodeEncodeError as error:
        raise BadPrompt(
            "the prompt, the model or the schema holds a lone surrogate, which is no valid text; "
            "nothing was sent",
            fix="save the text as UTF-8",
        ) from error
    return answer


def asked_of(manifest: Mapping[str, Any]) -> Asked:
    """What a manifest says; raises `BadPrompt` where it is none."""
    try:
        return msgspec.convert(dict(manifest), Asked)
    except msgspec.ValidationError as error:
        raise BadPrompt(f"the run's manifest does not say what was asked: {error}") from error


def _once(name: str, one: object, other: object) -> object:
    if one is not None and other is not None:
        raise BadPrompt(f"{name} is said twice, also as a parameter; nothing was sent")
    return other if one is None else one


def _names(columns: Sequence[str]) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)


def _turns(prompt: str | None, turns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """All turns, the prompt last; the first is the user's and no role speaks twice in a row."""
    every = [(role, text) for role, text in turns]
    if prompt is not None:
        every.append(("user", prompt))
    if not every:
        raise BadPrompt(
            "there is no prompt; nothing was sent", fix="--prompt 'Classify this: {{ column }}'"
        )
    for number, (role, text) in enumerate(every, 1):
        if role not in ROLES:
            raise BadPrompt(
                f"turn {number} is of {role!r}, and turns are of user or assistant",
                fix="what the model should know beforehand is said by system (--system)",
            )
        if role != ROLES[(number - 1) % 2]:
            raise BadPrompt(
                f"turn {number} is of {role} again: user and assistant take turns, user first, "
                "and the prompt is the user's last",
            )
        if not text.strip():
            raise BadPrompt(f"turn {number} is empty; nothing was sent")
    return every


def _check_schema(asked: Asked) -> None:
    """A schema is asked for in one place only."""
    if asked.schema is None:
        if asked.as_tool:
            raise BadPrompt("as_tool needs a schema to make a tool of; nothing was sent")
        return
    if asked.turns[-1][0] == "assistant":
        raise BadPrompt(
            "the last turn is the assistant's, so the model would write only the end of the JSON "
            "that the schema asks for; nothing was sent",
            fix="leave that turn out: the schema says already what the answer looks like",
        )
    output = asked.params.get("output_config")
    if isinstance(output, dict) and output.get("format") is not None:
        raise BadPrompt("the answer's format is said twice: by schema and by output_config.format")
    if asked.as_tool and asked.tool_choice is not None:
        raise BadPrompt("tool_choice is said twice: a schema as a tool forces that tool")
