"""Requests that were made ready elsewhere, through a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchyard.pipeline.prompt import Misfit, ReadyMade
from batchyard.pipeline.source import open_source
from tests.pipeline.run.conftest import Bench
from tests.pipeline.run.doubles import said


async def test_ready_made_requests_are_asked_as_they_are(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    params = [
        {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": f"é {n}"}]}
        for n in range(5)
    ]
    file.write_text(
        "".join(json.dumps({"custom_id": f"mine {n}", "params": p}) + "\n"
                for n, p in enumerate(params))
    )  # fmt: skip
    bench.source = open_source(file)  # type: ignore[assignment]
    bench.task = ReadyMade()  # type: ignore[assignment]
    bench.server.answer = lambda _, asked: said(asked["messages"][0]["content"].upper())
    outcomes = await bench.finish()
    assert [one.answer for one in outcomes] == [{"output": f"É {n}"} for n in range(5)]
    sent = [one["params"] for held in bench.server.held() for one in held.requests]
    assert sent == params


def test_what_is_no_message_does_not_fit() -> None:
    with pytest.raises(Misfit) as told:
        ReadyMade().read(b"{}")
    assert told.value.kind == "api"


def test_a_prompt_in_place_of_ready_made_requests_is_another_task() -> None:
    task = ReadyMade.from_manifest(ReadyMade().as_manifest())
    assert task.difference(ReadyMade()) == []
    assert task.difference(object()) != []
    fields = {"params": {"a": 1}}
    assert task.repaired(task.params_of(fields, position=0), "", "") == b'{"a":1}'
    assert task.key(fields) == task.key({"params": {"a": 1}}) != task.key({"params": {"a": 2}})
