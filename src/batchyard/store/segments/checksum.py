"""The checksum of a result segment: grown line by line, looked at before a line is believed again.

It lies in the shard's row beside the size it belongs to, so the segment holds nothing but what
clients read. CRC-32 notices every flipped bit and every burst of up to 32; it is no protection
against somebody who can write to the data directory.
"""

from __future__ import annotations

import contextlib
import zlib

from batchyard.batches.batch import Segment
from batchyard.errors import Damaged
from batchyard.store.segments.contract import Reader, Segments, results_name
from batchyard.telemetry import logger

_WINDOW = 256 * 1024

_log = logger(__name__)


def grown(checksum: int, data: bytes) -> int:
    """The checksum of what `checksum` belongs to, followed by `data`."""
    return zlib.crc32(data, checksum)


def read(segment: Reader, size: int, start: int = 0, checksum: int = 0) -> tuple[int, int]:
    """How many of the first `size` bytes are there, and their checksum; `checksum` is that of the
    first `start`."""
    while start < size and (window := segment.read(start, min(_WINDOW, size - start))):
        start, checksum = start + len(window), grown(checksum, window)
    return start, checksum


def opened(segments: Segments, batch_id: str, shard: int, segment: Segment) -> Reader:
    """A result segment whose bytes are those that were written; close it.

    Raises `Damaged`, and logs it for the operator, when a byte of what counts has changed. Reads
    all of it, so nothing wrong is ever passed on; blocks, so call it in a thread.
    """
    name = results_name(shard, segment.fence)
    with contextlib.ExitStack() as failed:
        reader = segments.read(batch_id, name)
        failed.callback(reader.close)
        end, found = read(reader, segment.size)
        if end < segment.size:
            raise Damaged(f"{name} of {batch_id} ends at byte {end} of {segment.size}")
        if segment.checksum not in (None, found):
            _log.error(
                "result_segment_damaged",
                batch=batch_id,
                segment=name,
                durable_bytes=segment.size,
                checksum=found,
                checksum_recorded=segment.checksum,
            )
            raise Damaged(f"{name} of {batch_id} is damaged: its bytes have changed on the disk")
        failed.pop_all()
    return reader
