"""Cuts: shards cover the order, fit their bounds, and part where the least is shared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.batches.limits import SHARD_BYTES_MAX, SHARD_REQUESTS_MAX
from batchyard.batches.shards import SLACK, Bounds, cut

requests = st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 120)), max_size=120)


def ranges(shared: list[int], sizes: list[int], *bounds: Bounds) -> list[tuple[int, int]]:
    return list(cut(shared, sizes, *bounds))


@given(
    requests=requests,
    bounds=st.builds(Bounds, requests=st.integers(1, 20), bytes=st.integers(1, 300)),
)
def test_shards_cover_the_order_and_fit_their_bounds(
    requests: list[tuple[int, int]], bounds: Bounds
) -> None:
    shared, sizes = [one for one, _ in requests], [two for _, two in requests]
    found = ranges(shared, sizes, bounds)
    assert [place for first, last in found for place in range(first, last)] == list(
        range(len(sizes))
    )
    for first, last in found:
        assert last > first
        assert last - first <= bounds.requests
        assert sum(sizes[first:last]) <= bounds.bytes or last - first == 1


@given(requests=requests, bounds=st.builds(Bounds, requests=st.integers(4, 20)))
def test_no_shard_is_a_crumb(requests: list[tuple[int, int]], bounds: Bounds) -> None:
    shared = [one for one, _ in requests]
    found = ranges(shared, [1] * len(shared), bounds)
    if len(found) > 1:
        assert min(last - first for first, last in found) >= bounds.requests // 4


def test_a_batch_that_fits_is_one_shard() -> None:
    assert ranges([0] * SHARD_REQUESTS_MAX, [10] * SHARD_REQUESTS_MAX) == [(0, SHARD_REQUESTS_MAX)]
    assert ranges([0], [SHARD_BYTES_MAX + 1]) == [(0, 1)]
    assert ranges([], []) == []


def test_a_cut_lies_where_the_least_is_shared() -> None:
    shared = [5_000] * 2_000
    shared[700] = 100
    shared[300] = 0  # too early: a shard would be small for nothing
    assert ranges(shared, [10] * 2_000)[0] == (0, 700)


def test_a_few_shared_bytes_more_are_no_reason_for_a_smaller_shard() -> None:
    shared = [1_000] * 4_000
    shared[600], shared[1_000] = 500, 500 + SLACK
    assert ranges(shared, [10] * 4_000)[0] == (0, 1_000)
    shared[1_000] += 1
    assert ranges(shared, [10] * 4_000)[0] == (0, 600)


def test_equal_requests_fill_their_shards_and_leave_no_crumb() -> None:
    full = SHARD_REQUESTS_MAX
    assert ranges([7] * 3 * full, [10] * 3 * full) == [
        (0, full),
        (full, 2 * full),
        (2 * full, 3 * full),
    ]
    assert ranges([7] * (full + 1), [10] * (full + 1)) == [(0, full - 255), (full - 255, full + 1)]


def test_a_request_larger_than_a_shard_stands_alone_and_splits_nobody_else() -> None:
    sizes = [100] * 5 + [SHARD_BYTES_MAX + 1] + [100] * 5
    assert ranges([9, 9, 9, 0, 9, 9, 9, 9, 0, 9, 9], sizes) == [(0, 5), (5, 6), (6, 11)]
    huge = SHARD_BYTES_MAX + 1
    assert ranges([0, 0], [huge, huge]) == [(0, 1), (1, 2)]


def test_bytes_bound_a_shard_as_requests_do() -> None:
    sizes = [SHARD_BYTES_MAX // 4] * 10
    assert ranges([0] * 10, sizes) == [(0, 4), (4, 8), (8, 10)]
