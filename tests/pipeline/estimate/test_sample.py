"""A few rows really run: which, what becomes of each, and what happens when the server will not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard import errors
from batchyard.clock import ManualClock
from batchyard.pipeline.estimate.sample import Sample, picked, spread, take_sample
from batchyard.pipeline.row import Fields, Outcome

# -- which rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "sample", "positions"),
    [
        (20_000, 5, [0, 5000, 10_000, 14_999, 19_999]),
        (6, 5, [0, 1, 2, 4, 5]),
        (5, 5, [0, 1, 2, 3, 4]),
        (3, 5, [0, 1, 2]),
        (9, 1, [4]),
        (9, 0, []),
        (0, 5, []),
    ],
)
def test_rows_are_taken_at_even_distances(rows: int, sample: int, positions: list[int]) -> None:
    assert spread(rows, sample) == positions


@given(st.integers(0, 10**9), st.integers(0, 50))
def test_a_sample_has_the_size_asked_for_and_no_row_twice(rows: int, sample: int) -> None:
    positions = spread(rows, sample)
    assert len(set(positions)) == len(positions) == min(rows, sample)
    assert positions == sorted(positions)
    assert all(0 <= position < rows for position in positions)


def test_picking_reads_no_further_than_the_last_row_wanted() -> None:
    read = []

    def rows() -> Any:
        for number in range(100):
            read.append(number)
            yield {"n": number}

    assert picked(rows(), [0, 3, 7]) == [(0, {"n": 0}), (3, {"n": 3}), (7, {"n": 7})]
    assert len(read) <= 9
    assert picked(iter([{"n": 0}]), [0, 5]) == [(0, {"n": 0})]


# -- what becomes of them -------------------------------------------------------------------------

Answering = Callable[[bytes], Awaitable[bytes]]


@dataclass
class Server:
    """Answers each call after one second, all of them at the same time, or raises."""

    faults: Mapping[str, Exception] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    asked: list[str] = field(default_factory=list)

    async def message(self, params: bytes) -> bytes:
        text = json.loads(params)["text"]
        self.asked.append(text)
        if fault := self.faults.get(text):
            raise fault
        await self.clock.sleep(1)
        return json.dumps(
            {"content": [{"type": "text", "text": text.upper()}], "usage": {"output_tokens": 3}}
        ).encode()


class Task:
    """Asks a row for the capitals of its text."""

    def params_of(self, fields: Fields, *, position: int) -> bytes:
        if fields["text"] == "nan":
            raise errors.BadInput(f"row {position}: no text")
        return json.dumps({"text": fields["text"]}).encode()


def judge(position: int, line: bytes) -> Outcome:
    result = json.loads(line)
    if result["type"] == "errored":
        error = result["error"]["error"]
        return Outcome(position, "errored", error_type=error["type"], error=error["message"])
    message = result["message"]
    return Outcome(
        position,
        "succeeded",
        raw=message["content"][0]["text"],
        output_tokens=message["usage"]["output_tokens"],
    )


ROWS: list[tuple[int, Fields]] = [(0, {"text": "a"}), (4, {"text": "b"}), (9, {"text": "c"})]


async def sampled(server: Server, kept: list[Outcome]) -> Sample:
    taking = asyncio.ensure_future(take_sample(server, Task(), ROWS, judge=judge, keep=kept.append))
    await server.clock.advance(2)
    return await taking


async def test_every_row_is_asked_once_all_at_the_same_time() -> None:
    server, kept = Server(), list[Outcome]()
    sample = await sampled(server, kept)
    assert sorted(server.asked) == ["a", "b", "c"]
    assert [(one.position, one.raw) for one in sample.outcomes] == [(0, "A"), (4, "B"), (9, "C")]
    assert sorted(kept, key=lambda one: one.position) == list(sample.outcomes)
    assert (sample.asked, sample.valid, sample.trouble) == (3, 3, None)
    assert sample.latencies == (1, 1, 1)
    assert sample.seconds == 1


async def test_a_row_refused_for_its_own_fault_has_that_as_its_outcome() -> None:
    fault = errors.InvalidRequest("prompt is too long")
    kept = list[Outcome]()
    sample = await sampled(Server({"b": fault}), kept)
    assert sample.outcomes[1] == Outcome(
        4, "errored", error_type="invalid_request_error", error="prompt is too long"
    )
    assert len(kept) == 3
    assert (sample.valid, len(sample.answered), sample.trouble) == (2, 2, None)


BUSY = [
    errors.Overload("Busy."),
    errors.RateLimited("Busy."),
    errors.ServiceUnavailable("Busy."),
    errors.ServerUnreachable("Busy."),
]


@pytest.mark.parametrize("fault", BUSY)
async def test_a_row_without_an_answer_is_still_to_be_asked(fault: Exception) -> None:
    kept = list[Outcome]()
    sample = await sampled(Server({"b": fault}), kept)
    assert [one.position for one in sample.outcomes] == [0, 9]
    assert sample.trouble == "the server did not answer: Busy."
    assert len(kept) == 2


async def test_a_server_without_live_calls_gives_no_sample_and_the_sample_says_so() -> None:
    fault = errors.NotFound("There is nothing at /v1/messages.")
    kept = list[Outcome]()
    sample = await sampled(Server(dict.fromkeys("abc", fault)), kept)
    assert sample.outcomes == () == tuple(kept)
    assert sample.trouble == "the server has no live calls: There is nothing at /v1/messages."


@pytest.mark.parametrize(
    "fault",
    [
        errors.AuthenticationFailed("Bad key."),
        errors.PermissionDenied("No."),
        errors.NotFound("x is not served here.", code="unknown_model"),
    ],
)
async def test_what_is_wrong_with_every_row_is_raised_once_paid_answers_are_kept(
    fault: errors.BatchyardError,
) -> None:
    kept = list[Outcome]()
    with pytest.raises(type(fault)):
        await sampled(Server({"a": fault}), kept)
    assert [one.position for one in kept] == [4, 9]


async def test_a_row_that_cannot_be_asked_is_found_before_anything_is_sent() -> None:
    server = Server()
    rows = [*ROWS, (11, {"text": "nan"})]
    with pytest.raises(errors.BadInput, match="row 11"):
        await take_sample(server, Task(), rows, judge=judge, keep=lambda _: None)
    assert server.asked == []
