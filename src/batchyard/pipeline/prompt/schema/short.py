"""The short form of a schema: `sentiment: positive|negative|mixed, reason str, note str?`.

Fields are separated by commas, or by line ends where there are several lines. A field is
`name type - description`, a colon may follow the name, the type is `str` where it is left out:

- `str`, `int`, `float`, `bool`, and `list[…]` of them or of choices;
- `positive|negative|mixed`, one of these texts; `1|2|3`, one of these whole numbers;
- with `?` behind it the field may be null or left out; all others are required.

Nothing but these fields is allowed in an answer. What this cannot say, JSON Schema can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from batchyard.errors import BadPrompt

_TYPES = {
    "str": "string", "string": "string", "text": "string",
    "int": "integer", "integer": "integer",
    "float": "number", "number": "number",
    "bool": "boolean", "boolean": "boolean",
}  # fmt: skip

_SUGGESTED = ("str", "int", "float", "bool", "list[str]")
_NAME = re.compile(r"\s*([^\W\d][\w-]*)\s*(:?)\s*")
_LIST = re.compile(r"(?:list|array)\s*\[(.*)\]", re.DOTALL)
_WHOLE = re.compile(r"-?\d+")
_FIX = "name type, name a|b|c, … with str, int, float, bool, list[…] and ? for what may be missing"


def schema_of(text: str) -> dict[str, Any]:
    """The JSON Schema that `text` stands for; raises `BadPrompt` that points at the fault."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for start, field in _fields(text):
        name, schema, optional = _field(text, start, field)
        if name in properties:
            raise _unreadable(text, start, len(field), f"{name} is there twice")
        properties[name] = schema
        if not optional:
            required.append(name)
    if not properties:
        raise _unreadable(text, 0, 0, "there is no field in it")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _fields(text: str) -> Iterator[tuple[int, str]]:
    """The fields of `text` and where each begins."""
    ends = {"\n"} if "\n" in text.strip() else {",", "\n"}
    start = depth = 0
    for at, letter in enumerate([*text, "\n"]):
        depth += (letter == "[") - (letter == "]")
        if letter in ends and (depth <= 0 or letter == "\n"):
            field = text[start:at].rstrip().removesuffix(",").rstrip()
            if field.strip():
                yield start + len(field) - len(field.lstrip()), field.strip()
            elif letter == "," or text[start:at].strip():
                raise _unreadable(text, at, 1, "a field is missing before this comma")
            start = at + 1


def _field(text: str, start: int, field: str) -> tuple[str, dict[str, Any], bool]:
    """(name, schema, optional) of one field."""
    told, _, description = field.partition(" - ")
    match = _NAME.match(told)
    if match is None:
        raise _unreadable(text, start, len(told), f"{told!r} does not begin with a name")
    name, kind = match[1], told[match.end() :].strip()
    at = start + match.end()
    apart = match[2] or told[match.end(1) :].strip() in ("", "?") or told[match.end(1)].isspace()
    if not apart:
        raise _unreadable(
            text, start, len(told), f"{told!r} does not begin with a name and a space"
        )
    if not kind and match[2]:
        raise _unreadable(text, start, len(told), f"there is no type after {name}:")
    optional = kind.endswith("?")
    schema = _kind(text, at, kind.removesuffix("?").rstrip() or "str")
    if optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if description.strip():
        schema["description"] = description.strip()
    return name, schema, optional


def _kind(text: str, at: int, kind: str) -> dict[str, Any]:
    """The schema of a type."""
    if match := _LIST.fullmatch(kind):
        inner = match[1]
        if not inner.strip():
            raise _unreadable(text, at, len(kind), "a list of what?")
        offset = at + match.start(1) + len(inner) - len(inner.lstrip())
        return {"type": "array", "items": _kind(text, offset, inner.strip())}
    if kind in ("list", "array"):
        return {"type": "array", "items": {"type": "string"}}
    if "|" in kind:
        return _choice(text, at, kind)
    if kind in _TYPES:
        return {"type": _TYPES[kind]}
    nearest = get_close_matches(kind, _SUGGESTED, 1, 0.5)
    hint = f"; did you mean {nearest[0]}?" if nearest else "; a choice is written a|b|c"
    raise _unreadable(text, at, len(kind), f"there is no type {kind!r}{hint}")


def _choice(text: str, at: int, kind: str) -> dict[str, Any]:
    choices = [one.strip() for one in kind.split("|")]
    if not all(choices):
        raise _unreadable(text, at, len(kind), "a choice is empty")
    if len(set(choices)) < len(choices):
        raise _unreadable(text, at, len(kind), "a choice is there twice")
    if all(_WHOLE.fullmatch(one) for one in choices):
        return {"type": "integer", "enum": [int(one) for one in choices]}
    return {"type": "string", "enum": choices}


def _unreadable(text: str, at: int, length: int, why: str) -> BadPrompt:
    """The line of the fault with a mark under it."""
    begin = text.rfind("\n", 0, at) + 1
    line = text[begin:].split("\n", 1)[0]
    mark = " " * (at - begin) + "^" * max(1, min(length, len(line) - (at - begin)))
    return BadPrompt(f"the schema cannot be read: {why}\n  {line}\n  {mark}", fix=_FIX)
