"""What schemathesis has to know about this API that the OpenAPI document cannot say."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

MODEL = "simulator-1"


@schemathesis.deserializer("application/x-jsonl")
def result_lines(_: Any, response: Any) -> Any:
    """The first of the lines, each of which must be one object; the schema is that of a line."""
    assert response.content.endswith(b"\n")
    lines = [json.loads(line) for line in response.content[:-1].split(b"\n")]
    assert all(set(line) == {"custom_id", "result"} for line in lines)
    return lines[0]


@schemathesis.deserializer("text/html")
def page(_: Any, response: Any) -> Any:
    """A page as text."""
    return response.content.decode()


@schemathesis.hook
def map_body(_: Any, body: Any) -> Any:
    """Live calls ask for a model that is served, or all that they would ever see is a 404."""
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        return {**body, "model": MODEL}
    return body
