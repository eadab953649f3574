"""A value that fits a JSON schema, chosen by the hash of a text."""

from __future__ import annotations

import hashlib
from typing import Any

DEPTH_MAX = 12


def value_for(schema: dict[str, Any], text: str) -> Any:
    """A value that fits `schema`: the same for the same text, others for others."""
    return _Chooser(schema, text).value(schema, "$", 0)


class _Chooser:
    def __init__(self, root: dict[str, Any], text: str) -> None:
        self._root = root
        self._text = text.encode("utf-8", "surrogatepass")

    def value(self, schema: Any, path: str, depth: int) -> Any:
        """A value for the place `path`."""
        if not isinstance(schema, dict):
            return None
        schema = self._followed(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][self._number(path) % len(schema["enum"])]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                choices = schema[word]
                pick = -1 if depth > DEPTH_MAX else self._number(path) % len(choices)
                return self.value(choices[pick], path, depth + 1)
        if "allOf" in schema:
            schema = self._merged(schema)
        return self._typed(schema, path, depth)

    def _typed(self, schema: dict[str, Any], path: str, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[self._number(path) % len(kind)]
        if kind == "object":
            wanted = schema.get("properties", {})
            if depth > DEPTH_MAX:
                wanted = {
                    name: wanted[name] for name in schema.get("required", []) if name in wanted
                }
            return {
                name: self.value(part, f"{path}.{name}", depth + 1) for name, part in wanted.items()
            }
        if kind == "array":
            least = schema.get("minItems", 0 if depth > DEPTH_MAX else 1)
            most = max(least, min(schema.get("maxItems", 3), 3))
            length = least + self._number(path) % (most - least + 1)
            return [
                self.value(schema.get("items", {}), f"{path}.{at}", depth + 1)
                for at in range(length)
            ]
        if kind == "boolean":
            return self._number(path) % 2 == 0
        if kind == "null":
            return None
        return self._figure(schema, path, kind) if kind != "string" else self._words(schema, path)

    def _figure(self, schema: dict[str, Any], path: str, kind: str) -> int | float:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
        if kind == "integer":
            return int(low) + self._number(path) % (int(high) - int(low) + 1)
        return float(low + (high - low) * (self._number(path) % 1000) / 1000)

    def _words(self, schema: dict[str, Any], path: str) -> str:
        shapes = {"date": "2026-01-{:02d}", "date-time": "2026-01-{:02d}T00:00:00Z"}
        if shape := shapes.get(schema.get("format", "")):
            return shape.format(1 + self._number(path) % 28)
        text = f"text {self._number(path) % 1_000_000:06d}"
        text += "x" * (schema.get("minLength", 0) - len(text))
        return text[: schema.get("maxLength", len(text))]

    def _followed(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            found: Any = self._root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            schema = found
        return schema

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {"properties": {}}
        for part in [*map(self._followed, schema["allOf"]), schema]:
            merged["properties"].update(part.get("properties", {}))
            merged.update({k: v for k, v in part.items() if k not in ("allOf", "properties")})
        return merged

    def _number(self, path: str) -> int:
        digest = hashlib.blake2b(self._text + path.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")
