"""Batches come and go: at birth and plan bytes before rows, at the end rows before bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchyard import ids
from batchyard.batches.batch import Batch, NewBatch, Shard
from batchyard.batches.limits import Limits
from batchyard.batches.request import Entry
from batchyard.batches.result import Tally
from batchyard.clock import Microseconds
from batchyard.errors import DiskFull, StorageError
from batchyard.store import spool
from batchyard.store.body import Body
from batchyard.store.catalog import batches, retention, shards
from batchyard.store.catalog.database import Catalog
from batchyard.store.segments.contract import BODY, Segments, requests_name
from batchyard.store.segments.files import FileSystem
from batchyard.store.spool import Spool
from batchyard.store.taken import request_line
from batchyard.telemetry import logger

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard about to be written: entries of the body, in execution order, of one model."""

    model: str
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Keeper:
    """The acts that touch both rows and bytes. Every method blocks: call it in a thread."""

    catalog: Catalog
    segments: Segments
    spools: Path
    files: FileSystem  # of the spools

    def spool(self) -> Spool:
        return Spool(self.spools, self.files)

    def create(self, body: Spool, new: NewBatch, limits: Limits, now: Microseconds) -> Batch:
        """The body is synced, named, and only then a row says so; a crash before leaves a folder
        that `prune` removes. The folder is made inside the transaction, so that whoever holds the
        catalog's lock and sees a folder without a row may remove it."""
        body.sync()
        with self._swept_if_full() as adopted, self.catalog.write() as connection:
            if (first := batches.repeat_of(connection, new, now, limits)) is not None:
                body.discard()
                return first
            batches.check_room(connection, new.workspace_id, limits)
            # The mint is seeded here, under the lock: ids sort by birth across processes too.
            batch_id = ids.batch_id(ids.IdMint(batches.newest_id(connection)), now)
            adopted.append(batch_id)
            self.segments.adopt(batch_id, body.path)
            batch = batches.insert(connection, batch_id, new, now, limits)
        body.close()
        return batch

    @contextmanager
    def _swept_if_full(self) -> Iterator[list[str]]:
        """Remove the bytes of a create for which there was no room. After any other failure they
        stay until the next start: only then is it known whether the row is there."""
        adopted: list[str] = []
        try:
            yield adopted
        except DiskFull:
            for batch_id in adopted:
                self.sweep(batch_id)
            raise

    def plan(self, batch_id: str, body: Body, plans: Iterable[ShardPlan]) -> list[Shard]:
        """Request segments, then rows, then the body is removed. A crash before the rows leaves
        segments that the next plan overwrites; after them, a body that `prune` removes."""
        with self.catalog.read() as connection:
            if known := shards.of_batch(connection, batch_id):
                return known
        planned: list[Shard] = []
        self.segments.write(batch_id, _request_segments(batch_id, body, plans, planned))
        with self.catalog.write() as connection:
            if not shards.plan(connection, batch_id, planned):
                return shards.of_batch(connection, batch_id)
        self.sweep(batch_id, BODY)
        return planned

    def sweep(self, batch_id: str, name: str | None = None) -> None:
        """Remove bytes of a batch that nobody needs any more. What cannot be removed now is tried
        again by `prune`; it harms nobody meanwhile."""
        try:
            self.segments.remove(batch_id, name)
        except StorageError as error:
            _log.warning("bytes_not_removed", batch=batch_id, reason=error.message)

    def prune(self) -> None:
        """Remove what crashes left behind."""
        spool.remove_abandoned(self.spools)
        folders = self.segments.batches()
        with self.catalog.read() as connection:
            live = retention.with_bytes(connection)
        for batch_id in folders:
            if batch_id not in live:
                self._remove_orphan(batch_id)
            elif live[batch_id]:
                self.sweep(batch_id, BODY)

    def _remove_orphan(self, batch_id: str) -> None:
        with self.catalog.write() as connection:  # a create under way has the lock until its row
            if batch_id not in retention.with_bytes(connection):
                self.sweep(batch_id)


def _request_segments(
    batch_id: str, body: Body, plans: Iterable[ShardPlan], planned: list[Shard]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The segments of a plan, lazily; `planned` fills up as they are written."""
    for number, plan in enumerate(plans):
        planned.append(Shard(batch_id, number, plan.model, len(plan.entries), Tally()))
        pieces = (request_line(entry.custom_id, body.params(entry)) for entry in plan.entries)
        yield requests_name(number), pieces
