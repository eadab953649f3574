"""The façade: every verb by which other rooms remember things, and what is durable after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchyard.batches.batch import Batch, NewBatch, Shard
from batchyard.batches.limits import Limits
from batchyard.batches.result import Outcome, Tally
from batchyard.clock import Clock, Microseconds
from batchyard.engine import Model

# ---- CONTRACT SKETCH (types move to their own files when implemented; names and meaning stay) ----


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a create body or of a request segment: where its `params` lie."""

    custom_id: str
    offset: int  # of the params object, in bytes from the start of the file
    length: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard about to be written: entries of the body, in execution order, of one model."""

    model: str
    entries: Sequence[Entry]


class Body:
    """A create body on disk: `entries()` in order of arrival, `params(entry)` by pread."""

    def entries(self) -> Iterator[Entry]: ...
    def params(self, entry: Entry) -> bytes: ...
    def close(self) -> None: ...


class Taken:
    """A shard in a worker's hands, under one fence.

    `todo` are the requests without a counted result, in execution order; `tally` what older
    segments already settled. `params(entry)` reads one request (bytes, compact, one line).
    """

    shard: Shard  # with the new fence
    todo: Sequence[Entry]

    def params(self, entry: Entry) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What the dispatch process last said of an engine; read by the api process."""

    name: str
    kind: str  # simulator | messages | chat | anthropic | llama
    url: str  # without credentials; "" for engines inside the process
    state: str  # starting | up | waiting | paused
    reason: str  # why it is not up, in plain words; "" when up
    since: Microseconds
    in_flight: int
    limit: int
    models: tuple[Model, ...] = ()
    updated_at: Microseconds = 0


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of batches, newest first."""

    data: list[Batch]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """What one group commit made durable, told to the listener on the event loop."""

    settled: dict[tuple[str, int], Tally]  # (batch id, shard number) -> tally now durable
    ended: tuple[str, ...] = field(default=())  # batches that ended in this commit


class Spool:
    """A body arriving: bytes go to a temporary file; nothing is promised until `Store.create`."""

    size: int
    path: Path

    def write(self, chunk: bytes) -> None: ...
    def sha256(self) -> str: ...
    def discard(self) -> None: ...


class Results:
    """The result lines of an ended batch: `size` bytes, streamed in chunks of at most 1 MiB."""

    size: int

    def chunks(self) -> AsyncIterator[bytes]: ...


class Store:
    """The only meeting place of api and dispatch. All methods are coroutines unless marked sync."""

    # -- api ---------------------------------------------------------------------------------
    def spool(self) -> Spool: ...  # sync; raises DiskFull

    async def create(self, spool: Spool, new: NewBatch, limits: Limits) -> Batch:
        """Durable when it returns, or nothing happened. A repeat (idempotency key, SDK retry with
        the same body) returns the batch made before. Raises RateLimited when the workspace has
        its maximum in process, InvalidRequest for a reused key with another body, DiskFull."""

    async def batch(self, workspace_id: str, batch_id: str) -> Batch: ...  # NotFound
    async def batches(
        self, workspace_id: str, *, limit: int, after_id: str | None, before_id: str | None
    ) -> BatchPage: ...
    async def cancel(self, workspace_id: str, batch_id: str) -> Batch: ...  # durable; idempotent
    async def delete(
        self, workspace_id: str, batch_id: str
    ) -> None: ...  # InvalidRequest unless ended
    async def results(self, workspace_id: str, batch_id: str) -> Results: ...  # NotFound before end
    async def engine_reports(self) -> list[EngineReport]: ...

    # -- dispatch ----------------------------------------------------------------------------
    async def unfinished(self) -> list[Batch]: ...  # not ended, oldest first
    async def body(self, batch_id: str) -> Body: ...
    async def plan(self, batch_id: str, body: Body, shards: Iterable[ShardPlan]) -> list[Shard]:
        """Write request segments (fsync), then shard rows and `planned` in one transaction, then
        remove the body. Repeatable after a crash at any point. `shards` is consumed in a thread."""

    async def shards(self, batch_id: str) -> list[Shard]: ...
    async def take(self, batch_id: str, number: int) -> Taken:
        """Bump the fence: recover older segments (cut torn tails, fsync), write into the row up to
        which byte each counts, open a new segment. Durable when it returns."""

    def append(self, taken: Taken, entry: Entry, outcome: Outcome, line: bytes) -> None:
        """Sync, never blocks: hand one result line to the committer. Never call twice for a request."""

    async def room(self) -> None:
        """Wait while too many bytes wait to be committed (disk slow or full)."""

    def on_committed(self, listener: Callable[[Committed], None]) -> None: ...  # sync
    async def flush(self) -> None: ...  # all appended lines durable and counted
    async def due_for_archive(self) -> list[str]: ...  # batches past created_at + 29 d
    async def archive(self, batch_id: str) -> None: ...  # archived_at set, then bytes removed
    async def prune(self) -> None: ...  # remove folders and spools without a live row
    async def report_engines(self, reports: Sequence[EngineReport]) -> None: ...
    async def close(self) -> None: ...


def open_store(data_dir: Path, clock: Clock) -> Store:
    """Open (creating or migrating) the store in `data_dir`; raises SchemaMismatch, StorageFailed."""
    raise NotImplementedError
