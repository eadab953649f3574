"""Which batch of a server may be the one that we sent without hearing of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from batchyard.clock import SECOND
from batchyard.pipeline.run.contract import ServerLike
from batchyard.pipeline.run.store import Batch
from batchyard.wire import MessageBatch

SKEW_SECONDS = 600
"""How far the server's clock may be behind ours."""


async def alike(server: ServerLike, batch: Batch, known: Collection[str]) -> MessageBatch | None:
    """The oldest batch on the server that has as many requests, was created since ours was sent,
    and is not among `known`; None when there is none."""
    assert batch.sent_at is not None, "what was never sent is not looked for"
    since = batch.sent_at / SECOND - SKEW_SECONDS
    oldest: MessageBatch | None = None
    async for found in server.list():
        if datetime.fromisoformat(found.created_at).timestamp() < since:
            break
        counts = found.request_counts
        total = counts.processing + counts.succeeded + counts.errored
        total += counts.canceled + counts.expired
        if total == batch.requests and found.id not in known:
            oldest = found
    return oldest


def prefix(tag: str, seq: int) -> str:
    """What the custom_ids of a batch begin with; the row's position follows."""
    return f"{tag}-{seq}-"
