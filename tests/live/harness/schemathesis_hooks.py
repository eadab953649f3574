"""What schemathesis has to know about this API that the OpenAPI document cannot say."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

MODEL = "simulator-1"
PARTIAL = 206
NO_LINE = {"custom_id": "-", "result": {"type": "canceled"}}


@schemathesis.deserializer("application/x-jsonl")
def result_lines(_: Any, response: Any) -> Any:
    """The first of the lines, each of which must be one object; the schema is that of a line.

    A part that a `Range` named may begin within a line: there only whole lines are looked at.
    """
    if response.status_code == PARTIAL:
        whole = [line for line in response.content.split(b"\n")[1:-1] if line]
        return json.loads(whole[0]) if whole else NO_LINE
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
