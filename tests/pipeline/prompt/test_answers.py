"""What a model said, as columns; and what is said to it when that does not fit."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.pipeline.prompt import Misfit, Reading, Task
from tests.pipeline.prompt.asking import message, sent

SHORT = "sentiment: positive|negative, note str?"
TOOLS = [{"name": "look_up", "input_schema": {"type": "object"}}]
GOOD = '{"sentiment":"positive","note":"é"}'
ANSWER = {"sentiment": "positive", "note": "é"}


def labelling(**said: object) -> Task:
    return Task.make(prompt="{{ a }}", schema=SHORT, **said)  # type: ignore[arg-type]


def misfit(task: Task, data: bytes) -> Misfit:
    with pytest.raises(Misfit) as caught:
        task.read(data)
    return caught.value


def test_without_a_schema_the_text_is_the_output() -> None:
    task = Task.make(prompt="{{ a }}")
    assert task.answer_columns == ("output",)
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    reading = task.read(message(thinking, "one, ", "two"))
    assert reading.answer == {"output": "one, two"}
    assert reading.raw == "one, two"
    assert task.read(message(stop_reason="max_tokens")).answer == {"output": ""}


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n{GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here it is:\n```JSON\r\n{GOOD}\n```\nAnything else?",
        f"The answer is {GOOD}.",
        f"Of {{a}} and {{b}}:\n```json\n{GOOD}\n```\nnot {{c}}",
    ],
)
def test_json_is_found_in_the_text(text: str) -> None:
    reading = labelling().read(message(text))
    assert reading.answer == ANSWER
    assert reading.raw == text


def test_a_column_that_an_answer_leaves_out_is_empty() -> None:
    assert labelling().read(message('{"sentiment":"negative"}')).answer == {
        "sentiment": "negative",
        "note": None,
    }


def test_a_schema_without_properties_gives_its_object_as_output() -> None:
    task = Task.make(prompt="{{ a }}", schema={"type": "object"})
    assert task.answer_columns == ("output",)
    assert task.read(message('{"x":1}')).answer == {"output": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I cannot say", "the answer is not JSON"),
        ("", "the answer is not JSON"),
        ('{"sentiment":"secret"}', "sentiment must be one of positive, negative"),
        ('["secret"]', "the answer must be of type object"),
        ('{"sentiment":"positive","secret":1}', "has properties that the schema does not allow"),
        ("[" * 100_000, "the answer is not JSON"),
    ],
)
def test_what_does_not_fit_is_told_with_its_text(text: str, why: str) -> None:
    found = misfit(labelling(), message(text))
    assert found.kind == "schema"
    assert why in found.message
    assert "secret" not in found.message
    assert found.raw == text


def test_an_answer_cut_at_max_tokens_says_how_to_raise_it() -> None:
    cut = message('{"sentiment":"posi', stop_reason="max_tokens")
    found = misfit(labelling(max_tokens=256), cut)
    assert found.kind == "schema_truncated"
    assert "max_tokens (256) before the JSON closed" in found.message
    assert "--max-tokens 512" in found.message
    whole = message(GOOD, stop_reason="max_tokens")
    assert labelling(max_tokens=256).read(whole).answer == ANSWER
    closed = message('{"sentiment":"other"}', stop_reason="max_tokens")
    assert misfit(labelling(), closed).kind == "schema"


def test_a_refusal_is_called_one() -> None:
    found = misfit(labelling(), message("I will not.", stop_reason="refusal"))
    assert (found.kind, "refused" in found.message) == ("schema", True)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"content":5}', b"\xff", b"[" * 100_000])
def test_what_is_no_message_is_the_apis_fault(data: bytes) -> None:
    assert misfit(labelling(), data).kind == "api"


@given(st.text(), st.sampled_from(["end_turn", "max_tokens", "refusal", "tool_use"]))
def test_any_text_is_an_answer_or_a_misfit(text: str, stop_reason: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    reading: Reading | None = None
    raw = ""
    try:
        reading = labelling().read(message(text, stop_reason=stop_reason))
    except Misfit as error:
        raw = error.raw
    if reading is None:
        assert raw == text
    else:
        assert reading.answer.keys() == {"sentiment", "note"}


def test_a_schema_as_a_tool_forces_it_and_reads_its_input() -> None:
    task = labelling(as_tool=True)
    params = sent(task, {"a": "x"})
    assert params["tool_choice"] == {"type": "tool", "name": "answer"}
    assert params["tools"][0]["input_schema"]["properties"].keys() == {"sentiment", "note"}
    assert "output_config" not in params
    call = {"type": "tool_use", "id": "t", "name": "answer", "input": ANSWER}
    reading = task.read(message("Well. ", call, stop_reason="tool_use"))
    assert reading.answer == ANSWER
    assert msgspec.json.decode(reading.raw) == ANSWER
    assert task.answer_columns == ("sentiment", "note")
    assert task.read(message(GOOD)).answer == ANSWER
    cut = {"type": "tool_use", "id": "t", "name": "answer", "input": {}}
    assert misfit(task, message(cut, stop_reason="max_tokens")).kind == "schema_truncated"
    assert misfit(task, message(cut, stop_reason="tool_use")).kind == "schema"


def test_a_schema_is_sent_beside_other_settings_of_the_output() -> None:
    params = sent(labelling(params={"output_config": {"effort": "low"}}), {"a": "x"})
    assert params["output_config"]["effort"] == "low"
    assert params["output_config"]["format"]["type"] == "json_schema"


def test_calls_of_the_users_tools_are_a_column_of_json() -> None:
    task = Task.make(prompt="{{ a }}", tools=TOOLS)
    assert task.answer_columns == ("output", "tool_calls")
    call = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"q": [1]}}
    answer = task.read(message("Let me see.", call, stop_reason="tool_use")).answer
    assert answer["output"] == "Let me see."
    calls = answer["tool_calls"]
    assert isinstance(calls, str)
    assert msgspec.json.decode(calls) == [{"id": "t1", "name": "look_up", "input": {"q": [1]}}]
    assert task.read(message("No.")).answer == {"output": "No.", "tool_calls": None}


def test_a_call_where_json_was_asked_for_is_told() -> None:
    task = labelling(tools=TOOLS)
    assert task.answer_columns == ("sentiment", "note", "tool_calls")
    call = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {}}
    found = misfit(task, message(call, stop_reason="tool_use"))
    assert "called the tool look_up" in found.message


def test_asking_again_shows_the_answer_and_what_was_wrong() -> None:
    task = labelling(system="S")
    params = task.params_of({"a": "x"}, position=0)
    again = msgspec.json.decode(task.repaired(params, ' {"a":1} ', "sentiment is missing"))
    before = msgspec.json.decode(params)
    assert again["messages"][:-2] == before.pop("messages")
    assert again["messages"][-2] == {"role": "assistant", "content": ' {"a":1}'}
    assert again["messages"][-1]["role"] == "user"
    assert "sentiment is missing" in again["messages"][-1]["content"]
    assert {name: value for name, value in again.items() if name != "messages"} == before


def test_asking_again_after_silence_puts_no_words_into_the_models_mouth() -> None:
    task = labelling()
    silent = msgspec.json.decode(task.repaired(task.params_of({"a": "x"}, position=0), " ", "w"))
    assert [turn["role"] for turn in silent["messages"]] == ["user", "user"]
