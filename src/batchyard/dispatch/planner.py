"""The first act on a batch: order its requests by shared beginnings and cut them into shards."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Iterator
from typing import TypeAlias

from batchyard.batches.batch import Batch, Shard
from batchyard.batches.limits import SHARD_REQUESTS_MAX
from batchyard.batches.order import Outline, prefix_order
from batchyard.batches.shards import Bounds, cut
from batchyard.errors import Damaged
from batchyard.store.body import Body
from batchyard.store.store import ShardPlan, Store

PARTS_PER_REPLICA = 8
"""Shards a replica should find in a batch, so that the quick ones can do more of them."""

PART_REQUESTS_MIN = 32
"""Smaller shards are not made for the sake of balance: each cut costs a shared beginning."""


async def plan(store: Store, batch: Batch, *, replicas: int = 1) -> list[Shard]:
    """Order, cut and write down the shards of `batch`; they are durable when this returns.

    With several `replicas` to share them, shards of a batch that is not large are smaller, or some
    would have nothing to do. What a plan that a crash cut short has left is overwritten. The work
    is done in threads; memory is flat but for some hundred bytes a request. Raises `Damaged` when
    the body no longer holds what was accepted.
    """
    bounds = _bounds(batch.requests, replicas)
    body = await store.body(batch.id)
    try:
        outline, order = await asyncio.to_thread(_ordered, body)
        if len(outline) != batch.requests:
            found = f"{len(outline)} requests where {batch.requests} were accepted"
            raise Damaged(f"the body of {batch.id} holds {found}")
        return await store.plan(batch.id, body, _shards(outline, order, bounds))
    finally:
        body.close()


_Order: TypeAlias = "list[tuple[str, array[int], array[int]]]"
"""Model by model: its name, its requests in prefix order, what each shares with the one before."""


def _ordered(body: Body) -> tuple[Outline, _Order]:
    outline = Outline(body.read)
    for entry in body.entries():
        outline.add(entry, body.params(entry))
    order = [
        (model, *prefix_order(requests, outline.read_key)) for model, requests in outline.by_model()
    ]
    return outline, order


def _bounds(requests: int, replicas: int) -> Bounds:
    if replicas <= 1:
        return Bounds()
    share = math.ceil(requests / (PARTS_PER_REPLICA * replicas))
    return Bounds(requests=min(SHARD_REQUESTS_MAX, max(PART_REQUESTS_MIN, share)))


def _shards(outline: Outline, order: _Order, bounds: Bounds) -> Iterator[ShardPlan]:
    """The shards in execution order; entries exist only while their shard is looked at."""
    for model, requests, shared in order:
        sizes = array("Q", map(outline.line_size, requests))
        for first, last in cut(shared, sizes, bounds):
            yield ShardPlan(model, [outline.entry(number) for number in requests[first:last]])
