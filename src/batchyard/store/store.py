"""The façade: every verb by which other rooms remember things, and what is durable after it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from batchyard.batches.batch import Batch, NewBatch, Shard
from batchyard.batches.limits import Limits
from batchyard.batches.request import Entry
from batchyard.batches.result import Outcome
from batchyard.clock import Clock
from batchyard.errors import Damaged, StorageFailed
from batchyard.store import recovery
from batchyard.store.body import Body
from batchyard.store.catalog import batches, reports, retention, shards
from batchyard.store.catalog.batches import BatchPage
from batchyard.store.catalog.database import Catalog
from batchyard.store.catalog.reports import EngineReport
from batchyard.store.committer import Committed, Committer
from batchyard.store.keeping import Keeper, ShardPlan
from batchyard.store.keys import Keys
from batchyard.store.lock import make_private_folder
from batchyard.store.results import Results, check_readable
from batchyard.store.runner import Runner
from batchyard.store.segments.files import FileSystem, LocalSegments, told
from batchyard.store.spool import Spool
from batchyard.store.taken import Tail, Taken
from batchyard.tasks import settled

__all__ = [
    "BatchPage",
    "Body",
    "Committed",
    "EngineReport",
    "Entry",
    "Results",
    "ShardPlan",
    "Spool",
    "Store",
    "Taken",
    "open_store",
]

T = TypeVar("T")
_SHORT_AT_ONCE, _LONG_AT_ONCE, _READS_AT_ONCE = 8, 4, 4


class Store:
    """The only meeting place of api and dispatch; each process opens its own.

    Coroutines unless marked sync. A write is on stable storage when its method returns; if it
    raises, nothing happened, except that after StorageFailed nobody knows: the process must exit
    and recover (see `on_fatal`). A cancelled call still ends what it began before it gives way.
    """

    def __init__(self, keeper: Keeper, clock: Clock, runner: Runner | None = None) -> None:
        self._keeper, self._clock = keeper, clock
        self._catalog, self._segments = keeper.catalog, keeper.segments
        self._committer = Committer(keeper.catalog, clock, runner)
        self._tails: weakref.WeakValueDictionary[tuple[str, int], Tail]
        self._tails = weakref.WeakValueDictionary()
        # Long acts have threads of their own, so that no short one ever waits for them.
        self._threads = ThreadPoolExecutor(_SHORT_AT_ONCE, "batchyard-store")
        self._movers = ThreadPoolExecutor(_LONG_AT_ONCE, "batchyard-move")
        self._readers = ThreadPoolExecutor(_READS_AT_ONCE, "batchyard-read")
        self._fatal: Callable[[StorageFailed], None] | None = None
        self.keys = Keys(keeper.catalog, clock)

    # -- api --------------------------------------------------------------------------------------

    def spool(self) -> Spool:
        """Sync. A place for a body to arrive; raises DiskFull, StorageFailed."""
        return self._keeper.spool()

    async def write_back(self, spool: Spool) -> None:
        """What the spool holds is on stable storage, while more of the body arrives. Raises
        DiskFull, StorageFailed; ValueError once the spool was closed."""
        await self._move(spool.sync)

    async def create(self, spool: Spool, new: NewBatch, limits: Limits) -> Batch:
        """Write a batch down. The spool is used up, unless it raises: then it is the caller's.

        A repeat (idempotency key, or an SDK's retry with the same body) returns the batch made
        before. Raises RateLimited when the workspace has its maximum in process, InvalidRequest
        for an idempotency key used with another body, DiskFull.
        """
        now = self._clock.now()
        return await self._move(lambda: self._keeper.create(spool, new, limits, now))

    async def batch(self, workspace_id: str, batch_id: str) -> Batch:
        """One batch, read inline. Raises NotFound."""
        return batches.look(self._catalog, workspace_id, batch_id)

    async def batches(
        self, workspace_id: str, *, limit: int, after_id: str | None, before_id: str | None
    ) -> BatchPage:
        """A page of the workspace's batches, newest first.

        Raises InvalidRequest for a limit outside 1…1000, both cursors, or one that is no id;
        NotFound for a cursor that was never an id of this workspace. Deleted batches still page.
        """
        return await self._read(
            lambda connection: batches.page(
                connection, workspace_id, limit=limit, after_id=after_id, before_id=before_id
            )
        )

    async def cancel(self, workspace_id: str, batch_id: str) -> Batch:
        """From in_progress to canceling; in any other state nothing changes. Raises NotFound."""
        now = self._clock.now()
        return await self._write(lambda tx: batches.cancel(tx, workspace_id, batch_id, now))

    async def delete(self, workspace_id: str, batch_id: str) -> None:
        """Gone for everybody; then its bytes are removed. Raises InvalidRequest unless ended."""
        now = self._clock.now()
        await self._write(lambda tx: retention.bury(tx, workspace_id, batch_id, now))
        await self._move(lambda: self._keeper.sweep(batch_id))

    async def results(self, workspace_id: str, batch_id: str) -> Results:
        """The results of an ended batch. Raises NotFound before the end and once archived."""
        batch = batches.look(self._catalog, workspace_id, batch_id)
        check_readable(batch)
        found = await self.shards(batch_id)
        if sum(shard.tally.settled for shard in found) != batch.requests:
            check_readable(batches.look(self._catalog, workspace_id, batch_id))
            raise Damaged(f"the catalog does not know all results of {batch_id}")
        return Results(batch_id, found, self._segments, self._readers)

    async def engine_reports(self) -> list[EngineReport]:
        """What `report_engines` last said, by name."""
        return await self._read(reports.read)

    # -- dispatch ---------------------------------------------------------------------------------

    async def unfinished(self) -> list[Batch]:
        """Every workspace's batches that have not ended, oldest first."""
        return await self._read(batches.unfinished)

    async def body(self, batch_id: str) -> Body:
        """The body of a batch that is not planned yet; close it. Raises Damaged if it is gone."""
        path = self._segments.body(batch_id)
        if not path.exists():
            raise Damaged(f"the body of {batch_id} is gone ({path})")
        return Body(path)

    async def plan(self, batch_id: str, body: Body, plans: Iterable[ShardPlan]) -> list[Shard]:
        """Write the request segments, then the shards' rows, then remove the body.

        `plans` is consumed in a thread; together they must hold every request once. Repeatable
        after a crash at any point; a batch planned before keeps its plan.
        """
        return await self._move(lambda: self._keeper.plan(batch_id, body, plans))

    async def shards(self, batch_id: str) -> list[Shard]:
        """In execution order; empty before the plan and after archive or delete."""
        return await self._read(lambda connection: shards.of_batch(connection, batch_id))

    async def take(self, batch_id: str, number: int) -> Taken:
        """Hand a shard to a worker under a new fence: nobody else's results of it count any more.

        What older segments hold is recovered, synced, counted (it may even end the batch: then
        listeners are told) and skipped in `todo`. Close what is taken. Raises NotFound, Damaged,
        Fenced when another process took it at the same time.
        """
        key = (batch_id, number)
        if key in self._tails:  # lines of an earlier holder here need not be lost
            await self._committer.flush()
        now, release = self._clock.now, self._committer.release
        taken, marked = await self._do(
            self._threads,
            lambda: recovery.take(self._catalog, self._segments, key, now, release),
            abandoned=lambda result: result[0].close(),
        )
        self._tails[key] = taken.tail
        if taken.shard.tally.settled:
            self._committer.tell(Committed({key: taken.shard.tally}, marked.ended))
        return taken

    def append(self, taken: Taken, entry: Entry, outcome: Outcome, line: bytes) -> bool:
        """Sync, microseconds: hand one result line to the committer. The first line of a request
        wins; False, and nothing done, for another one or when the shard is lost."""
        return self._committer.append(taken.tail, entry.custom_id, outcome, line)

    @property
    def crowded(self) -> bool:
        """Whether so many bytes wait to be committed that one should wait for `room`."""
        return self._committer.crowded

    async def room(self) -> None:
        """Wait while too many bytes wait to be committed (disk slow or full)."""
        await self._committer.room()

    def on_committed(self, listener: Callable[[Committed], None]) -> None:
        """Sync. `listener` is called on the event loop after every group commit of this process."""
        self._committer.listen(listener)

    def on_fatal(self, callback: Callable[[StorageFailed], None]) -> None:
        """Sync. `callback` must end the process: what is on the disk is not known any more."""
        self._fatal = callback
        self._committer.on_fatal(callback)

    @property
    def disk_full(self) -> bool:
        """Whether result lines wait for space; they go on by themselves within a second of it."""
        return self._committer.disk_full

    async def flush(self) -> None:
        """Every line handed in before is durable and counted when it returns."""
        await self._committer.flush()

    async def due_for_archive(self) -> list[str]:
        """Ended batches whose results have had their time (29 days from creation)."""
        now = self._clock.now()
        return await self._read(lambda connection: retention.due_for_archive(connection, now))

    async def archive(self, batch_id: str) -> None:
        """Set archived_at, then remove the bytes; the batch and its counts stay. Repeatable."""
        now = self._clock.now()
        if await self._write(lambda tx: retention.archive(tx, batch_id, now)):
            await self._move(lambda: self._keeper.sweep(batch_id))

    async def prune(self) -> None:
        """Remove what crashes left: bytes without a live batch, abandoned spools. Safe at any time,
        also while other processes create."""
        await self._move(self._keeper.prune)

    async def report_engines(self, engines: Sequence[EngineReport]) -> None:
        """Make these all that is known of engines."""
        now = self._clock.now()
        await self._write(lambda tx: reports.replace(tx, engines, now))

    async def close(self) -> None:
        """Commit what was handed in (unless the disk is full) and let go. May be called twice."""
        await self._committer.close()
        for threads in (self._movers, self._threads, self._readers):
            await asyncio.to_thread(threads.shutdown)
        self._catalog.close()

    # -- threads ----------------------------------------------------------------------------------

    async def _read(self, question: Callable[[sa.Connection], T]) -> T:
        def ask() -> T:
            with self._catalog.read() as connection:
                return question(connection)

        return await self._do(self._threads, ask)

    async def _write(self, change: Callable[[sa.Connection], T]) -> T:
        def act() -> T:
            with self._catalog.write() as connection:
                return change(connection)

        return await self._do(self._threads, act)

    async def _move(self, act: Callable[[], T]) -> T:
        return await self._do(self._movers, act)

    async def _do(
        self, threads: Executor, act: Callable[[], T], abandoned: Callable[[T], None] | None = None
    ) -> T:
        """Run `act` in a thread. A caller who is cancelled still waits for its end, so nobody
        pulls away what it works on; its result is then given to `abandoned`."""
        future = asyncio.get_running_loop().run_in_executor(threads, act)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await settled(future)
            if abandoned is not None and future.exception() is None:
                abandoned(future.result())
            raise
        except StorageFailed as error:
            if self._fatal is not None:
                self._fatal(error)
            raise


def open_store(data_dir: Path, clock: Clock, *, file_system: FileSystem | None = None) -> Store:
    """Open, creating or migrating, the store in `data_dir`. Blocks.

    Several processes may open one directory. Raises SchemaMismatch (nothing was changed) or
    StorageFailed. `file_system` is for tests that break or forget files.
    """
    files = file_system or FileSystem()
    folder, spools = data_dir / "batches", data_dir / "spool"
    with told(f"use the data directory {data_dir}"):
        for path in (data_dir, folder, spools):
            make_private_folder(path)
        files.sync_folder(data_dir)
    catalog = Catalog(data_dir / "batchyard.db")
    return Store(Keeper(catalog, LocalSegments(folder, files), spools, files), clock)
