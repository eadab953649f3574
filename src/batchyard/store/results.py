"""The result lines of an ended batch as a stream: bytes copied, never read into one piece."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import Executor

from batchyard.batches.batch import Batch, Segment, Shard
from batchyard.batches.lifecycle import results_readable
from batchyard.clock import SECOND, rfc3339
from batchyard.errors import Damaged, NotFound
from batchyard.store.segments import checksum
from batchyard.store.segments.contract import Segments, results_name

CHUNK_BYTES_MAX = 1024 * 1024


class Results:
    """The lines of one batch. `size` is their length in bytes, known before the first is read."""

    def __init__(
        self, batch_id: str, shards: Sequence[Shard], segments: Segments, threads: Executor
    ) -> None:
        self._batch_id, self._shards = batch_id, shards
        self._segments, self._threads = segments, threads
        self.size = sum(segment.size for shard in shards for segment in shard.segments)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Every line once, in chunks of at most 1 MiB, read in a thread as they are asked for.

        Either `size` bytes come or it raises: `Damaged` when the batch was deleted or archived
        meanwhile, or its bytes are lost or changed; of a segment that is not as it was written
        nothing comes at all. It never ends short, so neither may who sends it on. May be called
        more than once; close it (`aclose`) if it is not exhausted.
        """
        loop = asyncio.get_running_loop()
        pieces = self._pieces()
        reading: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                reading = loop.run_in_executor(self._threads, next, pieces, None)
                # The thread may still be reading when we are cancelled: it must finish before the
                # generator, and with it the open file, can be closed.
                piece = await asyncio.shield(reading)
                if piece is None:
                    return
                yield piece
        finally:
            if reading is None or reading.done():
                pieces.close()
            else:
                reading.add_done_callback(lambda done: _close(done, pieces))

    def _pieces(self) -> Generator[bytes, None, None]:
        for shard in self._shards:
            for segment in shard.segments:
                if segment.size:
                    yield from self._segment(shard.number, segment)

    def _segment(self, shard: int, counted: Segment) -> Iterator[bytes]:
        opened = checksum.opened(self._segments, self._batch_id, shard, counted)
        with contextlib.closing(opened) as segment:
            offset, size = 0, counted.size
            while offset < size:
                piece = segment.read(offset, min(CHUNK_BYTES_MAX, size - offset))
                if not piece:
                    name = results_name(shard, counted.fence)
                    raise Damaged(f"{name} of {self._batch_id} ends at byte {offset} of {size}")
                offset += len(piece)
                yield piece


def _close(done: asyncio.Future[bytes | None], pieces: Generator[bytes, None, None]) -> None:
    done.exception()  # looked at, so that asyncio does not complain of it
    pieces.close()


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
