"""What a person may give as a schema, and what a server may give as the answer to it."""

from __future__ import annotations

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt import Misfit, Task
from batchyard.pipeline.prompt.schema.fit import Fit
from batchyard.pipeline.prompt.schema.given import json_schema, properties

_TASK = Task.make(prompt="{{ a }}", schema="kind: a|b, score int, tags list[str], note str?")


def check_schema(data: bytes) -> None:
    """Any text is a schema of an object, or is refused with a message; it names no file here."""
    text = data.decode("utf-8", "surrogateescape")
    if text.strip().endswith(".json") or ":" in text.replace(": ", ""):
        return
    try:
        schema = json_schema(text)
        fit = Fit(schema)
    except BadPrompt:
        return
    assert all(isinstance(name, str) for name in properties(schema))
    fit.fault({})


def check_reading(data: bytes) -> None:
    """Any bytes are an answer with every column, or a misfit of a known kind."""
    kind = ""
    try:
        reading = _TASK.read(data)
    except Misfit as misfit:
        kind = misfit.kind
    if kind:
        assert kind in ("schema", "schema_truncated", "api")
        return
    assert tuple(reading.answer) == _TASK.answer_columns
    assert reading.answer["kind"] in ("a", "b")
