"""Short words for these tests: tasks, their params, and messages as a server gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from batchyard.errors import BatchyardError
from batchyard.pipeline.prompt import Task

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
PDF = b"%PDF-1.7\n%fake"


def sent(task: Task, fields: Mapping[str, object], position: int = 0) -> dict[str, Any]:
    """The params of a row, decoded."""
    params: dict[str, Any] = msgspec.json.decode(task.params_of(fields, position=position))
    return params


def spoken(prompt: str, fields: Mapping[str, object], **said: Any) -> Any:
    """The content of the last turn for one row."""
    return sent(Task.make(prompt=prompt, **said), fields)["messages"][-1]["content"]


def message(*blocks: str | dict[str, Any], stop_reason: str = "end_turn") -> bytes:
    """A Message with these blocks; a string is a text block."""
    content = [{"type": "text", "text": one} if isinstance(one, str) else one for one in blocks]
    return msgspec.json.encode(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": stop_reason,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )


def told(caught: pytest.ExceptionInfo[BatchyardError]) -> str:
    """All that a person reads of an error."""
    return f"{caught.value.message}\n{caught.value.fix or ''}"
