"""A create body on its way in: spooled while it arrives, unpacked, checked; never in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

from starlette.requests import Request

from batchyard.api.bodies.arrival import Arrival
from batchyard.api.bodies.unpack import Unpack, too_large
from batchyard.batches import envelope
from batchyard.batches.limits import Limits
from batchyard.errors import BatchyardError
from batchyard.store.spool import Spool
from batchyard.store.store import Store

INLINE_BYTES_MAX = 64 * 1024
"""A body up to this size is checked at once: sooner done than handed to a thread."""

ARRIVING_BYTES = 1024 * 1024
"""A body is worked on while it arrives once it is larger than this."""


async def receive(call: Request, store: Store, limits: Limits) -> tuple[Spool, int]:
    """The body of a create call in a spool, and the number of its requests.

    The spool is the caller's to keep or discard. When this raises, nothing is left of the body:
    `RequestTooLarge`, `InvalidRequest` with the path of the field, `DiskFull`, or what the stream
    raises when the client goes away. Other calls are answered meanwhile: bytes are only copied
    here, unpacking and checking happen in a thread, that of a large body while it arrives: the
    first fault found ends its reception.
    """
    stream = call.stream()
    try:
        return await _received(call, stream, store, limits)
    except BatchyardError:
        await _hear_out(call, stream, limits.body_bytes_max)
        raise


async def _received(
    call: Request, stream: AsyncIterator[bytes], store: Store, limits: Limits
) -> tuple[Spool, int]:
    headers = call.headers
    unpack = Unpack(", ".join(headers.getlist("content-encoding")), limits.body_bytes_max)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limits.body_bytes_max:
        raise too_large(limits.body_bytes_max, unpacked=False)
    with ExitStack() as failed:
        spool = store.spool()
        failed.callback(spool.discard)
        arrival: Arrival | None = None
        async for chunk in stream:
            if unpack.plain:
                _keep(spool, unpack.pieces(chunk))
            else:
                await asyncio.to_thread(_keep, spool, unpack.pieces(chunk))
            if arrival is not None:
                arrival.go_on()
            elif spool.size > ARRIVING_BYTES:
                arrival = Arrival(spool, store, limits)
        _keep(spool, unpack.rest())
        requests = await (arrival.end() if arrival else _checked(spool, limits))
        failed.pop_all()
    return spool, requests


async def _hear_out(call: Request, stream: AsyncIterator[bytes], bytes_max: int) -> None:
    """Take in, and forget, what is still sent by a client that wants the connection closed.

    To close it before would reset it, and a client that is still sending might never see why. On a
    connection that stays open this is the server's own business, after the answer; who expects a
    word before the body has not sent it.
    """
    headers = call.headers
    last = (
        call.scope.get("http_version") == "1.0" or headers.get("connection", "").lower() == "close"
    )
    if not last or "expect" in headers:
        return
    async for chunk in stream:
        bytes_max -= len(chunk)
        if bytes_max < 0:
            return


def _keep(spool: Spool, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        spool.write(piece)


async def _checked(spool: Spool, limits: Limits) -> int:
    """The number of requests; raises `InvalidRequest` for the first fault of the envelope."""
    if spool.size <= INLINE_BYTES_MAX:
        return envelope.check(spool.read, limits.requests_max)
    return await asyncio.to_thread(envelope.check, spool.read, limits.requests_max)
