"""The contract for bytes: named, append-only files of a batch, wherever they are kept.

Names within a batch are `body`, `requests/<shard>.jsonl` and `results/<shard>.<fence>.jsonl`. Every
method blocks and may be called from any thread; every one may be called again after a crash at any
point. Raises `DiskFull` (try again later), `StorageFailed` (the outcome is unknown: exit) and,
where something that should be there is not, `Damaged`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

BODY = "body"


def requests_name(shard: int) -> str:
    return f"requests/{shard}.jsonl"


def results_name(shard: int, fence: int) -> str:
    return f"results/{shard}.{fence}.jsonl"


class Reader(Protocol):
    """A segment open for reading."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer only at the end of the segment."""
        ...

    def glance(self, offset: int, length: int) -> bytes | None:
        """What `read` would return if no disk and no network must be waited for, else None.

        The exception among these methods: for the event loop, because it never blocks.
        """
        ...

    def close(self) -> None: ...


class Appender(Protocol):
    """A result segment open for writing, by one owner."""

    def put(self, data: bytes, offset: int) -> None:
        """Make `data` the segment's bytes from `offset` on; durable when it returns.

        `offset` is where the last successful `put` ended, so a `put` that failed is repeated at the
        same place, and whatever a crash leaves behind is a prefix of what was meant, possibly with
        damage after the last durable byte.
        """
        ...

    def close(self) -> None: ...


class Segments(Protocol):
    """Where the bytes of batches are kept. A batch begins with `adopt`, and ends with `remove`."""

    def adopt(self, batch_id: str, spooled: Path) -> None:
        """Make a spooled file, already synced, the batch's body; durable with its name when it
        returns. The file is gone from where it was."""
        ...

    def body(self, batch_id: str) -> Path:
        """Where the body can be read, as a local file."""
        ...

    def write(self, batch_id: str, segments: Iterable[tuple[str, Iterable[bytes]]]) -> None:
        """Write whole segments, (name, pieces); all durable with their names when it returns."""
        ...

    def append(self, batch_id: str, name: str) -> Appender:
        """A new, empty segment; its name is durable when it returns."""
        ...

    def read(self, batch_id: str, name: str) -> Reader:
        """Raises Damaged when there is no such segment."""
        ...

    def seal(self, batch_id: str, name: str, size: int) -> None:
        """Make the first `size` bytes durable and drop what follows them."""
        ...

    def remove(self, batch_id: str, name: str | None = None) -> None:
        """Remove a segment, or all of the batch. Removing what is not there is fine."""
        ...

    def batches(self) -> list[str]:
        """Ids of the batches of which anything is kept, in no order."""
        ...
