"""What is done to a large body while it still arrives: checked, and sent on its way to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from batchyard.batches import envelope
from batchyard.batches.limits import Limits
from batchyard.store.spool import Spool
from batchyard.store.store import Store

T = TypeVar("T")

CHECK_BYTES = 1024 * 1024
"""A step of the check begins when so much has arrived since the last: a thread costs a little."""

FLUSH_BYTES = 16 * 1024 * 1024
"""Bytes are sent to the disk when there are so many: the last sync then has little left to do."""


class Arrival:
    """The work on one spooled body, at most a step of each kind at a time, in threads.

    No thread ever waits for the client: a step ends where the text ends. It may be given up at any
    moment, by discarding the spool.
    """

    def __init__(self, spool: Spool, store: Store, limits: Limits) -> None:
        self._spool, self._store = spool, store
        self._complete = False
        self._check = envelope.checking(spool.read, self._there, limits.requests_max)
        self._step: asyncio.Future[int | None] | None = None
        self._flush: asyncio.Future[None] | None = None
        self._checked = self._flushed = 0

    def go_on(self) -> None:
        """Begin what is due. Raises what the last step found: `InvalidRequest`, a storage fault."""
        if _over(self._step) and self._spool.size - self._checked >= CHECK_BYTES:
            self._begin_step()
        if _over(self._flush) and self._spool.size - self._flushed >= FLUSH_BYTES:
            self._begin_flush()

    async def end(self) -> int:
        """The number of requests, now that all has arrived and is on stable storage.

        Raises `InvalidRequest` for the first fault of the envelope, or a storage fault.
        """
        if self._flush is not None:
            await self._flush  # a sync that fails tells so once, and not the one after it
        flush = self._begin_flush()
        if self._step is not None:
            await self._step
        self._complete = True
        requests = await self._begin_step()
        assert requests is not None
        await flush
        return requests

    def _there(self, upto: int) -> bool:
        return self._complete or upto <= self._spool.size

    def _begin_step(self) -> asyncio.Future[int | None]:
        self._checked = self._spool.size
        self._step = _begun(asyncio.to_thread(self._advance))
        return self._step

    def _begin_flush(self) -> asyncio.Future[None]:
        self._flushed = self._spool.size
        self._flush = _begun(self._store.write_back(self._spool))
        return self._flush

    def _advance(self) -> int | None:
        """One step of the check; the number of requests when it was the last."""
        try:
            next(self._check)
        except StopIteration as ended:
            return int(ended.value)
        return None


def _begun(act: Awaitable[T]) -> asyncio.Future[T]:
    """`act`, begun; what becomes of it is of no interest once the body was given up."""
    future = asyncio.ensure_future(act)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _over(future: asyncio.Future[T] | None) -> bool:
    """Whether nothing is under way; raises what the last act raised."""
    if future is None:
        return True
    if not future.done():
        return False
    future.result()
    return True
