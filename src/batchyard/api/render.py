"""What we remember, in the shapes strangers see: batches, pages, streams of result lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from batchyard import wire
from batchyard.batches.batch import Batch
from batchyard.clock import rfc3339


def message_batch(
    batch: Batch, origin: str, *, documented_counts: bool = False
) -> wire.MessageBatch:
    """The MessageBatch object of `batch` for a client that reaches us at `origin`."""
    ended = batch.processing_status == "ended"
    readable = ended and batch.archived_at is None
    return wire.MessageBatch(
        id=batch.id,
        type="message_batch",
        processing_status=batch.processing_status,
        request_counts=_counts(batch, hidden=documented_counts and not ended),
        ended_at=_moment(batch.ended_at),
        created_at=rfc3339(batch.created_at),
        expires_at=rfc3339(batch.expires_at),
        archived_at=_moment(batch.archived_at),
        cancel_initiated_at=_moment(batch.cancel_initiated_at),
        results_url=f"{origin}/v1/messages/batches/{batch.id}/results" if readable else None,
    )


def page(objects: list[Any], *, has_more: bool) -> wire.Page:
    """A page around `objects`, each with an `id`."""
    return wire.Page(
        data=objects,
        has_more=has_more,
        first_id=objects[0].id if objects else None,
        last_id=objects[-1].id if objects else None,
    )


class Json(Response):
    """A 200 with a value as compact JSON. Its headers are written out: polls are frequent."""

    def __init__(self, value: object, *headers: tuple[bytes, bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.body = wire.encode(value)
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
            *headers,
        ]


class Stream(StreamingResponse):
    """A body passed on piece by piece at the reader's pace, its source closed whatever happens."""

    def __init__(
        self,
        body: AsyncGenerator[bytes],
        *,
        status: int = 200,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(body, status, headers, media_type)
        self._body = body

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._body):
            await super().stream_response(send)


class CutShort(Exception):
    """A body ended before all its bytes were there; raised so that the connection is aborted."""


async def whole(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes]:
    """`chunks` unchanged; raises `CutShort` instead of ending when they are not `size` bytes."""
    sent = 0
    try:
        async for chunk in chunks:
            sent += len(chunk)
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    if sent != size:
        raise CutShort(f"{sent} of {size} bytes")


def _counts(batch: Batch, *, hidden: bool) -> wire.RequestCounts:
    if hidden:
        return wire.RequestCounts(batch.requests, 0, 0, 0, 0)
    tally = batch.tally
    return wire.RequestCounts(
        processing=batch.processing,
        succeeded=tally.succeeded,
        errored=tally.errored,
        canceled=tally.canceled,
        expired=tally.expired,
    )


def _moment(moment: int | None) -> str | None:
    return None if moment is None else rfc3339(moment)
