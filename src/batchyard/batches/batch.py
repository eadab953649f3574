"""A batch as every room knows it: identity, state, counts and its few moments in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from batchyard.batches.result import Tally
from batchyard.clock import Microseconds

ProcessingStatus = Literal["in_progress", "canceling", "ended"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One Message Batch. Times are microseconds since the epoch (`clock.Microseconds`).

    `planned` says whether the body has been ordered and cut into shards. `tally` is a summary of
    the result segments: never ahead of what is durable, possibly a moment behind.
    """

    id: str
    workspace_id: str
    processing_status: ProcessingStatus
    requests: int
    tally: Tally
    created_at: Microseconds
    expires_at: Microseconds
    ended_at: Microseconds | None = None
    cancel_initiated_at: Microseconds | None = None
    archived_at: Microseconds | None = None
    api_version: str = "2023-06-01"
    betas: tuple[str, ...] = ()
    planned: bool = False

    @property
    def processing(self) -> int:
        """Requests without a result yet; the five counts of the API always sum to `requests`."""
        return self.requests - self.tally.settled


class Segment(NamedTuple):
    """One owner's result segment: its first `size` bytes count, and `checksum` is theirs.

    A segment written before there were checksums has None.
    """

    fence: int
    size: int
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous piece of a batch's execution order; all its requests name the same model.

    `segments` are its result segments of which anything counts, in order of fence.
    """

    batch_id: str
    number: int
    model: str
    requests: int
    tally: Tally
    fence: int = 0
    segments: tuple[Segment, ...] = ()

    @property
    def done(self) -> bool:
        return self.tally.settled == self.requests


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What a checked create call asks to be written down."""

    workspace_id: str
    requests: int
    body_sha256: str
    api_version: str = "2023-06-01"
    betas: tuple[str, ...] = ()
    key_id: str | None = None
    user_profile_id: str | None = None
    idempotency_key: str | None = None
    sdk_retry: bool = False
