"""Figures per row: counted, guessed or measured, and how far off they may be."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.pipeline.estimate.figure import Figure, mean, relative_error
from batchyard.pipeline.estimate.tokens import input_figure, output_bound, rough_tokens


def call(text: str = "x" * 400, max_tokens: int = 64, **more: object) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps(
        {"model": "m" * 99, "max_tokens": max_tokens, "messages": messages, **more}
    ).encode()


class Counting:
    """Counts by a script; None is a server that does not."""

    def __init__(self, *counts: int | None) -> None:
        self.counts = list(counts)

    async def count_tokens(self, _: bytes) -> int | None:
        return self.counts.pop(0)


async def test_tokens_are_counted_by_a_server_that_can() -> None:
    found = await input_figure(Counting(90, 100, 110), [call()] * 3, 20_000)
    assert (found.value, found.source, found.kind) == (100, "counted by the server", "measured")
    # Three values, a deviation of 10, t = 4.30 at two degrees of freedom: 4.30 * 10 / sqrt(3).
    assert found.error == pytest.approx(0.248, abs=0.001)


@pytest.mark.parametrize("client", [None, Counting(None), Counting(90, None)])
async def test_without_a_count_tokens_are_guessed_from_the_text(client: Counting | None) -> None:
    found = await input_figure(client, [call(), call("x" * 200)], 20_000)
    assert found == Figure(75, "from text length, no sample", "rough")


def test_the_answer_is_bounded_by_max_tokens() -> None:
    found = output_bound([call(max_tokens=100), call(max_tokens=300)])
    assert (found.value, found.kind) == (200, "at most")


def test_all_text_of_a_call_is_guessed_from_and_its_pictures_are_not_read_as_text() -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "A" * 1_000_000}}
    content = [picture, {"type": "text", "text": "y" * 40}]
    params = json.dumps(
        {
            "model": "m",
            "system": "s" * 80,
            "metadata": {"user_id": "z" * 4000},
            "messages": [{"role": "user", "content": content}],
        }
    ).encode()
    assert rough_tokens(params) == 20 + 10 + 1600


# -- how far off ----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40))
def test_a_sample_of_all_rows_is_exact(values: list[int]) -> None:
    assert relative_error(values, len(values)) == 0


def test_one_row_of_many_says_nothing_about_the_others() -> None:
    assert relative_error([7], 2) is None
    assert relative_error([0, 0], 9) is None


def test_the_range_narrows_as_fewer_rows_are_left_to_guess() -> None:
    # A deviation of 10 around 100, t = 4.30, sqrt(3): 24.8 %. Of four rows one is not known: the
    # range is sqrt((4 - 3) / (4 - 1)) of that.
    assert relative_error([90, 100, 110], 10**9) == pytest.approx(0.2483, abs=0.0001)
    assert relative_error([90, 100, 110], 4) == pytest.approx(0.1433, abs=0.0001)


def test_the_range_holds_the_truth_nineteen_times_in_twenty() -> None:
    dice = random.Random(5)
    rows = [dice.gauss(200, 40) for _ in range(2_000)]
    truth, held = mean(rows), 0
    for _ in range(2_000):
        sample = dice.sample(rows, 5)
        error = relative_error(sample, len(rows))
        assert error is not None
        held += abs(mean(sample) - truth) <= error * mean(sample)
    assert 0.93 < held / 2_000 < 0.97
