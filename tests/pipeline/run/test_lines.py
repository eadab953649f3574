"""Lines of results: kinds of failure, tokens, and text that is hard to keep."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.pipeline.run.collecting.kinds import kind_of
from batchyard.pipeline.run.collecting.lines import Verdict, decoded
from tests.pipeline.run.doubles import Ask, said

TOO_LONG = (
    "prompt is too long: 208310 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000, decrease input",
    "This model's maximum context length is 32768 tokens. However, you requested 41020 tokens.",
    "The decoder prompt (length 41020) is longer than the maximum model length of 32768.",
    "Input length (41020) exceeds model's maximum context length (32768).",
    "the request exceeds the available context size. try increasing the context size",
    "the request exceeds the available context size (4096 tokens), try increasing it",
    "request (5012 tokens) exceeds the available context size (4096 tokens)",
    "input is too large to process. increase the physical batch size",
    "The input (41020 tokens) is longer than the model's context length (32768 tokens).",
    "the input length exceeds the context length",
    "Prompt is 41 020 tokens; qwen3 takes 32 768 including max_tokens 1 024. [prompt_too_long]",
)

NOT_TOO_LONG = (
    "messages: this one is never answered",
    "max_tokens: 300000 > 128000, which is the maximum allowed number of output tokens",
    "Overloaded",
    "the tool result has no context",
    "",
)


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_by_every_engines_words(message: str) -> None:
    assert kind_of("invalid_request_error", message) == "too_long"


@pytest.mark.parametrize("message", NOT_TOO_LONG)
def test_other_failures_keep_the_type_of_the_api(message: str) -> None:
    assert kind_of("invalid_request_error", message) == "invalid_request"
    assert kind_of("overloaded_error", message) == "overloaded"
    assert kind_of("request_too_large", message) == "request_too_large"
    assert kind_of("", message) == "api"


def settled(result: dict[str, Any], **more: Any) -> Any:
    text = json.dumps({"custom_id": "A-1-7", "result": result}).encode()
    line = decoded(text)
    assert line is not None
    verdict = Verdict(Ask(), more.pop("repair", 1), stale=more.pop("stale", False))
    return verdict.settled(line, 7, more.pop("repairs", 0))


def test_cached_tokens_count_as_tokens_in() -> None:
    result = said("fine")
    result["message"]["usage"] |= {
        "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000
    }  # fmt: skip
    assert settled(result).input_tokens == 1103


@pytest.mark.parametrize("usage", [{}, {"cache_read_input_tokens": None}, None, "many"])
def test_an_answer_with_strange_usage_is_still_an_answer(usage: Any) -> None:
    result = said("fine")
    result["message"]["usage"] = usage
    row = settled(result)
    assert (row.status, row.answer, row.input_tokens) == ("succeeded", '{"output":"fine"}', 0)


def test_an_error_without_any_detail_is_an_error_of_the_api() -> None:
    for result in ({"type": "errored"}, {"type": "errored", "error": {"type": "error"}}):
        row = settled(result)
        assert (row.status, row.error_type) == ("errored", "api")


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"<html>", b"{}", b"null", b'{"custom_id": 7, "result": {"type": "expired"}}',
     b'{"custom_id": "A-1-7", "result": {"type": "odd"}}', b'{"custom_id": "A-1-7", "resu',
     b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_result_is_told_from_one(text: bytes) -> None:
    assert decoded(text) is None


@given(st.text(), st.integers(0, 5), st.integers(0, 5))
def test_an_answer_is_kept_or_asked_again_or_told_and_its_text_is_never_changed(
    text: str, repair: int, repairs: int
) -> None:
    row = settled(said(text), repair=repair, repairs=repairs)
    assert row.raw == text
    if not text.startswith("bad"):
        assert row.status == "succeeded"
        assert json.loads(row.answer) == {"output": text}
    else:
        assert row.status == ("waiting" if repairs < repair else "errored")
        assert row.repairs == repairs + (repairs < repair)
