"""Whose turn it is: fairness, locality, lateness, and which shard comes next."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from batchyard.dispatch.scheduler import (
    LATE_WEIGHT,
    QUANTUM_TOKENS,
    FairShare,
    next_shard,
    running_late,
)


def serve(share: FairShare, ready: list[str], requests: int, tokens: float) -> dict[str, int]:
    served: dict[str, int] = dict.fromkeys(ready, 0)
    for _ in range(requests):
        batch = share.pick(ready)
        assert batch is not None
        served[batch] += 1
        share.charge(batch, tokens)
    return served


def test_a_newcomer_is_next_however_long_others_have_been_served() -> None:
    share = FairShare()
    share.enter("old", "w")
    serve(share, ["old"], 1_000, 100.0)
    share.enter("new", "w")
    assert share.pick(["old", "new"]) == "new"


def test_a_newcomer_of_another_workspace_is_next_too() -> None:
    share = FairShare()
    share.enter("a-old", "busy")
    serve(share, ["a-old"], 1_000, 100.0)
    share.enter("z-new", "quiet")
    assert share.pick(["a-old", "z-new"]) == "z-new"


def test_a_batch_keeps_the_engine_for_a_quantum_so_that_prefixes_stay_together() -> None:
    share = FairShare()
    share.enter("a", "w")
    share.enter("b", "w")
    turns = []
    for _ in range(100):
        batch = share.pick(["a", "b"])
        assert batch is not None
        turns.append(batch)
        share.charge(batch, QUANTUM_TOKENS / 10)
    switches = sum(left != right for left, right in itertools.pairwise(turns))
    assert switches <= 10


def test_two_workspaces_share_alike_though_one_has_ten_times_the_batches() -> None:
    share = FairShare()
    many = [f"m{index}" for index in range(10)]
    for batch in many:
        share.enter(batch, "many")
    share.enter("one", "single")
    served = serve(share, [*many, "one"], 4_000, 1_000.0)
    assert abs(served["one"] - 2_000) <= 40
    assert all(abs(served[batch] - 200) <= 25 for batch in many)


def test_a_returning_workspace_has_no_claim_on_the_time_it_was_away() -> None:
    share = FairShare()
    share.enter("a", "first")
    share.enter("b", "second")
    share.leave("b")
    serve(share, ["a"], 1_000, 1_000.0)
    share.enter("b", "second")
    served = serve(share, ["a", "b"], 1_000, 1_000.0)
    assert abs(served["a"] - served["b"]) <= 50


def test_a_late_batch_gets_its_larger_share_and_starves_nobody() -> None:
    share = FairShare()
    share.enter("late", "w")
    share.enter("calm", "w")
    share.weigh({"late"})
    served = serve(share, ["late", "calm"], 5_000, 1_000.0)
    assert abs(served["late"] / served["calm"] - LATE_WEIGHT) < 0.3


def test_nothing_ready_means_nobody() -> None:
    assert FairShare().pick([]) is None


def test_what_fits_before_its_deadline_is_not_late() -> None:
    batches = [("soon", 100.0, 50), ("later", 1_000.0, 500)]
    assert running_late(batches, 0.0, 1.0) == set()


def test_work_due_before_a_missed_deadline_is_late_with_it() -> None:
    batches = [("fine", 10_000.0, 5), ("soon", 100.0, 50), ("squeezed", 110.0, 60)]
    assert running_late(batches, 0.0, 1.0) == {"soon", "squeezed"}


def test_without_a_known_rate_nothing_is_called_late() -> None:
    assert running_late([("a", 1.0, 10**6)], 0.0, 0.0) == set()


def test_a_worker_goes_on_with_the_shard_after_its_last() -> None:
    assert next_shard([3, 4, 9], last=3, held={1}) == 4


def test_a_first_worker_starts_at_the_front() -> None:
    assert next_shard([0, 1, 2, 3], last=None, held=set()) == 0


def test_a_second_worker_starts_in_the_middle_of_what_the_first_walks_into() -> None:
    assert next_shard([1, 2, 3, 4], last=None, held={0}) == 3


def test_a_run_nobody_walks_into_is_taken_from_its_front() -> None:
    assert next_shard([1, 2, 3, 7, 8], last=None, held={0}) == 7


@given(
    pending=st.sets(st.integers(0, 200), min_size=1),
    held=st.sets(st.integers(0, 200)),
    last=st.none() | st.integers(0, 200),
)
def test_the_next_shard_is_always_a_pending_one(
    pending: set[int], held: set[int], last: int | None
) -> None:
    assert next_shard(sorted(pending), last, held - pending) in pending
