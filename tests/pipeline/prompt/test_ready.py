"""Ready-made requests: sent as they are, read as text, told apart by their params."""

from __future__ import annotations

import json

import pytest

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt import ReadyMade, Task, task_from

ROW = {"custom_id": "a", "params": {"model": "m", "max_tokens": 5, "messages": []}}
MESSAGE = json.dumps({"content": [{"type": "text", "text": "Hi"}]}).encode()


def test_params_are_sent_as_they_are_and_answers_read_as_text() -> None:
    task = ReadyMade()
    assert json.loads(task.params_of(ROW, position=0)) == ROW["params"]
    assert task.read(MESSAGE).answer == {"output": "Hi"}
    assert task.answer_columns == ("output",)


def test_the_key_is_of_the_params_alone() -> None:
    task = ReadyMade()
    turned = {"params": dict(reversed(list(ROW["params"].items()))), "custom_id": "b"}  # type: ignore[attr-defined]
    assert task.key(ROW) == task.key(turned)
    assert task.key(ROW) != task.key({"params": {"model": "other"}})
    assert len(task.key(ROW)) == 16


def test_a_manifest_tells_which_kind_of_task_it_holds() -> None:
    assert isinstance(task_from(ReadyMade().as_manifest()), ReadyMade)
    task = Task.make(prompt="{{ a }}")
    assert isinstance(task_from(task.as_manifest()), Task)
    assert ReadyMade().difference(ReadyMade()) == []
    assert ReadyMade().difference(task) != []


def test_what_rows_say_themselves_cannot_be_changed() -> None:
    assert isinstance(ReadyMade().changed(model="other"), ReadyMade)
    with pytest.raises(BadPrompt, match="their own max_tokens"):
        ReadyMade().changed(max_tokens=5)
