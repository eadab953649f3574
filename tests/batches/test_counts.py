"""Counts of a batch: they always sum to its size."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from batchyard.batches.batch import Batch, Shard
from batchyard.batches.result import OUTCOMES, Outcome, Tally

counts = st.integers(0, 1_000)
tallies = st.builds(Tally, counts, counts, counts, counts)
BATCH = Batch(
    id="msgbatch_x",
    workspace_id="w",
    processing_status="in_progress",
    requests=0,
    tally=Tally(),
    created_at=0,
    expires_at=0,
)


@given(tally=tallies, outcome=st.sampled_from(OUTCOMES), more=counts)
def test_a_result_more_is_one_count_more(tally: Tally, outcome: Outcome, more: int) -> None:
    grown = tally.plus(outcome, more)
    assert grown.settled == tally.settled + more
    assert getattr(grown, outcome) == getattr(tally, outcome) + more


@given(one=tallies, other=tallies, left=counts)
def test_what_is_not_settled_is_processing(one: Tally, other: Tally, left: int) -> None:
    both = one + other
    assert both.settled == one.settled + other.settled
    batch = replace(BATCH, tally=both, requests=both.settled + left)
    assert batch.processing == left
    shard = Shard("msgbatch_x", 0, "m", batch.requests, both)
    assert shard.done is (left == 0)
