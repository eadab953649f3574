"""Values that follow a JSON schema and sound like the prompt they answer."""

from __future__ import annotations

import math
import random
import re
from typing import Any

from batchyard.engines.simulator.sense import lean, pick

_DEPTH_MAX = 12
_MERGES_MAX = 5
_VALUES_MAX = 2_000
"""A schema that refers to itself twice doubles at every level; past this many values only what is
required is filled in, past twice as many nothing is."""

_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:26:53Z",
    "time": "09:26:53Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "6f1c2a4e-8d3b-4c5a-9e7f-0a1b2c3d4e5f",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}
_RATING = re.compile(r"star|rating|score|sentiment|polarity", re.IGNORECASE)


class Filler:
    """Makes one value after another for a request with `text`, its telling `words` and a seed."""

    def __init__(self, root: dict[str, Any], text: str, words: list[str], seed: int) -> None:
        self._root = root
        self._text = text
        self._words = words or ["something"]
        self._made = 0
        self._random = random.Random(seed)  # noqa: S311 (reproducible, not secret)

    def value(self, schema: Any = None, name: str = "", depth: int = 0) -> Any:
        """A value for `schema` (the root by default), found under the property `name`."""
        self._made += 1
        if depth > 3 * _DEPTH_MAX or self._made > 2 * _VALUES_MAX:
            return None
        schema = self._resolved(self._root if schema is None else schema)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return pick(schema["enum"], self._text, self._random)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.value(schema[key][0], name, depth + 1)
        return self._of_kind(self._kind(schema), schema, name, depth)

    def _of_kind(self, kind: str, schema: dict[str, Any], name: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return self._number(schema, name, whole=kind == "integer")
            case "boolean":
                return lean(self._text) > 0 or (
                    not lean(self._text) and self._random.random() < 0.5
                )
            case "null":
                return None
        return self._string(schema, name)

    def _resolved(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """`schema` with its reference followed and its `allOf` merged."""
        for _ in range(_DEPTH_MAX):
            if not isinstance(schema, dict):
                return {}
            if not isinstance(schema.get("$ref"), str):
                break
            target: Any = self._root
            for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                target = target.get(step) if isinstance(target, dict) and step else target
            schema = target
        merged = dict(schema)
        for part in _list(schema.get("allOf")) if depth < _MERGES_MAX else ():
            found = self._resolved(part, depth + 1)
            merged = {**found, **merged, **_joined(found, merged)}
        return merged

    def _kind(self, schema: dict[str, Any]) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if isinstance(kind, str):
            return kind
        return "object" if schema.get("properties") else "array" if "items" in schema else "string"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = _dict(schema.get("properties"))
        names = list(properties)
        if depth >= _DEPTH_MAX or self._made > _VALUES_MAX:
            names = [name for name in names if name in _list(schema.get("required"))]
        if depth >= 2 * _DEPTH_MAX:
            return {}
        return {name: self.value(properties[name], name, depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = _int(schema.get("minItems"), 0)
        most = _int(schema.get("maxItems"), max(least, 3))
        count = least if depth >= _DEPTH_MAX else min(most, max(least, self._random.randint(1, 3)))
        return [self.value(schema.get("items") or {}, name, depth + 1) for _ in range(count)]

    def _number(self, schema: dict[str, Any], name: str, *, whole: bool) -> int | float:
        low = _bound(schema, "minimum", "exclusiveMinimum", step=1 if whole else 0.01)
        high = _bound(schema, "maximum", "exclusiveMaximum", step=-1 if whole else -0.01)
        if low is None:
            low = min(0.0, high) if high is not None else 0.0
        high = max(low, high if high is not None else low + 10)
        share = self._random.random()
        if _RATING.search(name) and lean(self._text):
            share = 0.8 + share / 5 if lean(self._text) > 0 else share / 5
        value = low + share * (high - low)
        multiple = schema.get("multipleOf")
        if isinstance(multiple, (int, float)) and multiple > 0:
            value = math.floor(value / multiple) * multiple
            value = value if value >= low else value + multiple
        return round(value) if whole else round(value, 2)

    def _string(self, schema: dict[str, Any], name: str) -> str:
        fixed = _FORMATS.get(str(schema.get("format")))
        if fixed is not None:
            return fixed
        count = 6 if re.search(r"reason|summary|explan|descri|text|answer|why", name, re.I) else 2
        text = " ".join(self._random.choice(self._words) for _ in range(count))
        least, most = _int(schema.get("minLength"), 0), _int(schema.get("maxLength"), 400)
        while len(text) < least:
            text += " " + self._random.choice(self._words)
        return text[:most]


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`properties` and `required` of two merged schemas."""
    return {
        "properties": {**_dict(one.get("properties")), **_dict(other.get("properties"))},
        "required": [*_list(one.get("required")), *_list(other.get("required"))],
    }


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and value >= 0 else default


def _bound(schema: dict[str, Any], inclusive: str, exclusive: str, *, step: float) -> float | None:
    if isinstance(schema.get(inclusive), (int, float)):
        return float(schema[inclusive])
    if isinstance(schema.get(exclusive), (int, float)):
        return float(schema[exclusive]) + step
    return None
