"""What is asked, for people: a row as it would be sent, and how two tasks differ."""

from __future__ import annotations

from difflib import unified_diff

import msgspec

from batchyard.pipeline.prompt.asked import Asked
from batchyard.pipeline.prompt.body import Body, rendered
from batchyard.pipeline.row import Fields

_INDENT = "  "


def row_text(asked: Asked, body: Body, fields: Fields, position: int = 0) -> str:
    """One row in plain text: system, turns, media by name, then the params."""
    names = body.bound(fields)
    parts: list[str] = []
    for turn in [body.system, *body.turns] if body.system else body.turns:
        media = [f"[{one.kind}: {item}]" for one in turn.media for item in one.shown(fields)]
        text = rendered(turn, names, position + 1)
        parts.append("\n".join([turn.role, *(_indented(one) for one in (*media, text))]))
    parts.append("\n".join(["params", *(_indented(line) for line in _params(asked))]))
    return "\n".join(parts)


def difference(one: Asked, other: Asked) -> list[str]:
    """The lines of a unified diff from `one` to `other`, without its head; [] for none."""
    lines = unified_diff(_lines(one), _lines(other), n=1, lineterm="")
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def _lines(asked: Asked) -> list[str]:
    """All that a key depends on, a line for each thing that can change."""
    lines = _params(asked)
    spoken = [("system", asked.system)] if asked.system is not None else []
    for role, text in [*spoken, *asked.turns]:
        lines += [f"{role}:", *_indented(text).split("\n")]
    if asked.schema is not None:
        lines += ["schema:", *_indented(_pretty(asked.schema)).split("\n")]
    if asked.tools is not None:
        lines += ["tools:", *_indented(_pretty(asked.tools)).split("\n")]
    return lines


def _params(asked: Asked) -> list[str]:
    said: dict[str, object] = {"model": asked.model, "max_tokens": asked.max_tokens}
    said |= asked.params
    said |= {
        "tool_choice": asked.tool_choice,
        "images": ", ".join(asked.images),
        "documents": ", ".join(asked.documents),
        "schema": _kind_of_schema(asked),
    }
    return [f"{name}: {_value(value)}" for name, value in said.items() if value not in (None, "")]


def _kind_of_schema(asked: Asked) -> str:
    if asked.schema is None:
        return ""
    return "as a tool" if asked.as_tool else "as structured output"


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _indented(text: str) -> str:
    return _INDENT + text.replace("\n", "\n" + _INDENT)
