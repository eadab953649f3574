"""Where the order of a batch is cut into shards: where the least of a shared beginning is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchyard.batches.limits import SHARD_BYTES_MAX, SHARD_REQUESTS_MAX

SLACK = 64
"""Shared bytes too few to care: about one block of sixteen tokens, the unit that engines cache."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one shard holds. A single larger request is a shard of its own."""

    requests: int = SHARD_REQUESTS_MAX
    bytes: int = SHARD_BYTES_MAX


def cut(
    shared: Sequence[int], sizes: Sequence[int], bounds: Bounds = Bounds()
) -> Iterator[tuple[int, int]]:
    """Ranges (first, last + 1) of places that follow one another and cover the whole order.

    `shared[place]` are the bytes that a request's key has in common with the one before, and
    `sizes[place]` those the request takes up. A cut is made in the latter half of what would fit,
    where the least is shared and there as late as can be, and not so late that a crumb is left.
    """
    place = 0
    while place < len(sizes):
        end = _end(place, shared, sizes, bounds)
        yield place, end
        place = end


def _end(place: int, shared: Sequence[int], sizes: Sequence[int], bounds: Bounds) -> int:
    full = _full(place, sizes, bounds)
    if full == len(sizes) or sizes[full] > bounds.bytes:
        return full
    room = full - place
    low = place + max(1, room // 2)
    high = min(full, _stretch_end(full, room // 4, sizes, bounds) - room // 4)
    enough = min(shared[low : high + 1]) + SLACK
    return next(at for at in range(high, low - 1, -1) if shared[at] <= enough)


def _full(place: int, sizes: Sequence[int], bounds: Bounds) -> int:
    """Where a shard that begins at `place` ends if it takes all it can; at least one request."""
    end, total = place + 1, sizes[place]
    while end < min(len(sizes), place + bounds.requests):
        total += sizes[end]
        if total > bounds.bytes:
            break
        end += 1
    return end


def _stretch_end(place: int, reach: int, sizes: Sequence[int], bounds: Bounds) -> int:
    """The next place where a shard must end anyway, `place + reach` when that is further away."""
    last = min(place + reach, len(sizes))
    return next((at for at in range(place, last) if sizes[at] > bounds.bytes), last)
