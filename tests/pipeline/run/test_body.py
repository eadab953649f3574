"""The body of a create call on disk."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.errors import RunChanged
from batchyard.pipeline.run.sending.body import Kept, Writer
from batchyard.pipeline.run.sending.reading import Reading
from tests.pipeline.run.doubles import Rows


@given(st.lists(st.text(), min_size=1, max_size=30), st.integers(1, 30), st.integers(20, 400))
def test_a_body_is_json_of_exactly_the_rows_that_were_allowed(
    texts: list[str], allowed: int, bytes_max: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batches" / "1.json"
        writer = Writer(path, 20, bytes_max)
        for position, text in enumerate(texts):
            if not writer.add(position, f"T-1-{position}", json.dumps({"t": text}).encode()):
                break
            if writer.full:
                break
        there = len(writer.written.positions)
        written = writer.keep(min(allowed, there))
        data = path.read_bytes()
    requests = json.loads(data)["requests"]
    assert [one["params"]["t"] for one in requests] == texts[: min(allowed, there)]
    assert [one["custom_id"] for one in requests] == [f"T-1-{n}" for n in written.positions]
    assert len(data) == written.size
    assert there <= 20
    assert there == 1 or written.size <= bytes_max


async def test_a_kept_body_is_read_from_its_beginning_each_time_it_is_sent(
    tmp_path: Path,
) -> None:
    (tmp_path / "1.json").write_bytes(b"x" * 600_000)
    body = Kept(tmp_path / "1.json", 600_000).body()
    for _ in range(2):
        assert sum([len(chunk) async for chunk in body.chunks()]) == body.size == 600_000


@given(st.lists(st.integers(0, 9), max_size=20))
def test_rows_are_found_at_any_position_in_any_order(positions: list[int]) -> None:
    reading = Reading(Rows(*[str(number) for number in range(10)]))
    assert [reading.at(one) for one in positions] == [{"text": str(one)} for one in positions]


def test_rows_in_ascending_order_are_read_in_one_pass() -> None:
    source = Rows(*[str(number) for number in range(10)])
    opened: list[int] = []
    rows = source.rows
    source.rows = lambda first=0: opened.append(first) or rows(first)  # type: ignore[func-returns-value, method-assign]
    reading = Reading(source)
    for position in (2, 2, 3, 7):
        reading.at(position)
    assert opened == [2]


def test_an_input_that_ends_early_is_told() -> None:
    with pytest.raises(RunChanged, match="rows ends after 3 rows"):
        Reading(Rows("a", "b", "c")).at(3)
