"""The result lines of an ended batch as a stream: bytes copied, never read into one piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from batchyard.batches.batch import Batch, Shard
from batchyard.batches.lifecycle import results_readable
from batchyard.clock import SECOND, rfc3339
from batchyard.errors import Damaged, NotFound
from batchyard.store.segments import checksum
from batchyard.store.segments.contract import Reader, Segments, results_name

CHUNK_BYTES_MAX = 384 * 1024
"""Large enough that a download is copying and little else; small, since each slow reader has up to
three of them in memory: one being read, one being sent, one its socket waits for."""


class Results:
    """The lines of one batch. `size` is their length in bytes, known before the first is read."""

    def __init__(
        self, batch_id: str, shards: Sequence[Shard], segments: Segments, threads: Executor
    ) -> None:
        self._batch_id, self._shards = batch_id, shards
        self._segments, self._threads = segments, threads
        self.size = sum(segment.size for shard in shards for segment in shard.segments)

    async def chunks(self, first: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `first` up to `end` (the size, if None) in pieces of at most 384 KiB.

        What lies in memory is copied at once, the rest read in a thread; between two pieces the
        loop has a turn. Either all bytes come or it raises: `Damaged` when the batch was deleted or
        archived meanwhile, or its bytes are lost or changed; of a segment that is not as it was
        written nothing comes at all. It never ends short, so neither may who sends it on. May be
        called more than once; close it (`aclose`) if it is not exhausted.
        """
        ahead: deque[Stretch] = deque()
        try:
            for stretch in self._stretches(first, self.size if end is None else end):
                # A segment is looked through in a thread while the one before it is sent.
                ahead.append(stretch.begin(self._threads))
                if len(ahead) > 1:
                    async for piece in _sent(ahead):
                        yield piece
            if ahead:
                async for piece in _sent(ahead):
                    yield piece
        finally:
            for stretch in ahead:
                stretch.close()

    def _stretches(self, first: int, end: int) -> Iterator[Stretch]:
        """The stretches that hold everything between `first` and `end`."""
        begin = 0
        for shard in self._shards:
            for segment in shard.segments:
                offset, stop = max(0, first - begin), min(segment.size, end - begin)
                if offset < stop:
                    name = f"{results_name(shard.number, segment.fence)} of {self._batch_id}"
                    args = (self._segments, self._batch_id, shard.number, segment)
                    yield Stretch(name, offset, stop, partial(checksum.opened, *args))
                begin += segment.size


class Stretch:
    """The bytes of one segment from `offset` up to `stop`, while they are being sent."""

    def __init__(self, name: str, offset: int, stop: int, opened: Callable[[], Reader]) -> None:
        self._name, self._offset, self._stop, self._opened = name, offset, stop, opened

    def begin(self, threads: Executor) -> Stretch:
        """Have it opened, and looked through, in a thread."""
        self._threads = threads
        self._opening = asyncio.get_running_loop().run_in_executor(threads, self._opened)
        self._work: asyncio.Future[Any] = self._opening
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its bytes. Raises Damaged."""
        # Shielded: when we are cancelled the thread must finish before the file can be closed.
        segment = await asyncio.shield(self._opening)
        loop = asyncio.get_running_loop()
        while self._offset < self._stop:
            length = min(CHUNK_BYTES_MAX, self._stop - self._offset)
            piece = segment.glance(self._offset, length)
            if piece is None:
                self._work = loop.run_in_executor(self._threads, segment.read, self._offset, length)
                piece = await asyncio.shield(self._work)
            if not piece:
                raise Damaged(f"{self._name} ends at byte {self._offset} of {self._stop}")
            self._offset += len(piece)
            yield piece
            # A socket that takes all it is offered, or is gone, never makes us wait.
            await asyncio.sleep(0)

    def close(self) -> None:
        """Let go of the file, once no thread works on it."""
        if self._work.done():
            self._close()
        else:
            self._work.add_done_callback(lambda _: self._close())

    def _close(self) -> None:
        # Exceptions are looked at, so that asyncio does not complain of them.
        self._work.exception()
        if self._opening.exception() is None:
            self._opening.result().close()


async def _sent(ahead: deque[Stretch]) -> AsyncIterator[bytes]:
    """The first stretch, which is then closed."""
    async for piece in ahead[0].pieces():
        yield piece
    ahead.popleft().close()


def check_readable(batch: Batch) -> None:
    """Raises NotFound, in the API's own words, while or when there are no results."""
    if batch.archived_at is not None:
        days = (batch.archived_at - batch.created_at) // (24 * 3600 * SECOND)
        raise NotFound(
            f"Results of {batch.id} were deleted on {rfc3339(batch.archived_at)[:10]}, {days} days "
            "after creation. The batch and its counts are kept. [results_expired]",
            code="results_expired",
            should_retry=False,
        )
    if not results_readable(batch):
        raise NotFound(
            f"Message Batch {batch.id} has no available results.",
            code="results_not_ready",
            should_retry=False,
        )
