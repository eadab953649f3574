"""A schema as people give it (short form, JSON Schema, a file, a class) as one JSON Schema."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt.schema import short

_CLASS = re.compile(r"([^\W\d][\w.]*):([^\W\d]\w*)")
_SHORT_TYPES = {"str", "int", "float", "bool", "string", "text", "integer", "number", "boolean"}
_SHORT_TYPES |= {"list", "array"}
_FORMS = (
    "a short form ('sentiment: positive|negative, reason str'), a JSON Schema (as a dict or in a "
    "*.json file), or a pydantic class (also as 'package.module:Class')"
)


def json_schema(given: object) -> dict[str, Any]:
    """The JSON Schema of an object that `given` stands for; raises `BadPrompt`.

    A class gives the schema that it generates, closed: its objects allow no further properties,
    which structured outputs require and the class would ignore.
    """
    if isinstance(given, str):
        schema = _of_text(given)
    elif isinstance(given, Path):
        schema = _of_file(given)
    elif isinstance(given, Mapping):
        schema = _plain(given)
    else:
        schema = _of_class(given)
    _check_object(schema)
    return schema


def properties(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the top level's properties, in order."""
    return tuple(_top(schema).get("properties", ()))


def _of_text(text: str) -> dict[str, Any]:
    stripped = text.strip()
    if stripped.startswith("{"):
        return _decoded(stripped.encode("utf-8", "replace"), "the schema")
    if stripped.endswith(".json"):
        return _of_file(Path(stripped))
    match = _CLASS.fullmatch(stripped)
    if match and match[2] not in _SHORT_TYPES:
        return _of_class(_imported(match[1], match[2]))
    return short.schema_of(text)


def _of_file(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadPrompt(
            f"the schema {path} cannot be read: {error.strerror}; nothing was sent",
            fix=f"a schema is {_FORMS}",
        ) from error
    return _decoded(data, f"the schema {path}")


def _decoded(data: bytes, place: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadPrompt(f"{place} is not JSON: {error}; nothing was sent") from error
    if not isinstance(value, dict):
        raise BadPrompt(f"{place} is JSON, but not an object; nothing was sent", fix=_EXPECTED)
    return value


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that is JSON and nothing else."""
    try:
        return _decoded(msgspec.json.encode(dict(schema)), "the schema")
    except (TypeError, ValueError) as error:
        raise BadPrompt(f"the schema is not JSON: {error}; nothing was sent") from error


def _imported(module: str, name: str) -> object:
    """`name` of `module`, which may lie in the current folder."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadPrompt(
            f"the schema {module}:{name} cannot be imported: {error}; nothing was sent",
            fix=f"a schema is {_FORMS}",
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))


def _of_class(given: object) -> dict[str, Any]:
    make = getattr(given, "model_json_schema", None)
    if not callable(make):
        kind = given.__name__ if isinstance(given, type) else type(given).__name__
        raise BadPrompt(
            f"the schema is a {kind}, which has no JSON Schema; nothing was sent",
            fix=f"a schema is {_FORMS}",
        )
    schema: dict[str, Any] = _plain(make())
    _close(schema)
    return schema


def _close(schema: object) -> None:
    """Forbid what is not listed, in every object of a generated schema."""
    if isinstance(schema, list):
        for one in schema:
            _close(one)
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for one in schema.values():
            _close(one)


_EXPECTED = '{"type": "object", "properties": {…}}: one property for each column of the answer'


def _check_object(schema: dict[str, Any]) -> None:
    top = _top(schema)
    if top.get("type") != "object" and "properties" not in top:
        raise BadPrompt(
            f"the schema describes {_described(top)}, not an object; nothing was sent",
            fix=_EXPECTED,
        )
    if not isinstance(top.get("properties", {}), dict):
        raise BadPrompt("the schema's properties are not an object; nothing was sent")


def _described(top: Mapping[str, Any]) -> str:
    kind = top.get("type")
    if isinstance(kind, str):
        return f"a value of type {kind}"
    return "several types" if kind else "no type"


def _top(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the top level, where it is only referred to (`$ref: #/$defs/Name`)."""
    seen: Mapping[str, Any] = schema
    for _ in range(8):
        reference = seen.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = schema
        for part in reference[2:].split("/"):
            found = found.get(part, {}) if isinstance(found, dict) else {}
        seen = found if isinstance(found, dict) else {}
    return seen
