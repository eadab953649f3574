"""Planning a batch: the next rows that wait, their requests on disk, then a line in `rows.db`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batchyard.clock import Clock
from batchyard.errors import RunChanged
from batchyard.pipeline.run.contract import Allowance, SourceLike, TaskLike
from batchyard.pipeline.run.sending.body import Writer
from batchyard.pipeline.run.sending.reading import Reading
from batchyard.pipeline.run.store import Batch, Options, RunStore
from batchyard.pipeline.run.store.store import planned

SLICE_ROWS = 1_000
"""After so many rows others get their turn, and a cancel is heard."""


class Planner:
    """Makes batches of the rows that wait, in the input's order."""

    def __init__(
        self,
        store: RunStore,
        source: SourceLike,
        task: TaskLike,
        *,
        options: Options,
        place: str,
        allowance: Allowance,
        clock: Clock,
    ) -> None:
        self._store, self._source, self._task = store, source, task
        self._options, self._place, self._allowance = options, place, allowance
        self._clock = clock
        self._reading = Reading(source)

    async def next(self, breathe: Callable[[], Awaitable[None]]) -> Batch:
        """The next batch, durable and surely not sent; some row must wait.

        Raises `CapReached` when the caps allow no row, `RunChanged` when the input is another now,
        `BadInput` when a row cannot be asked about any more. Nothing is changed then.
        """
        store = self._store
        check_input(store, self._source)
        seq = store.next_seq()
        writer = Writer(store.body_path(seq), self._options.batch_size, self._options.body_bytes)
        try:
            await self._fill(writer, f"{store.manifest.tag}-{seq}-", breathe)
            sizes = writer.written.sizes
            # Where not even one row is allowed, asking for one is what tells why.
            allowed = max(1, self._allowance.fitting(sizes))
            rows = min(allowed, len(sizes))
            body_bytes = sum(sizes[:rows])
            self._allowance.reserve(seq, rows, body_bytes)
            written = writer.keep(rows)
        except BaseException:
            writer.close()
            store.body_path(seq).unlink(missing_ok=True)
            raise
        batch = planned(
            seq, store.run, self._place, self._clock.now(),
            requests=rows, body_bytes=written.size, task=store.totals.task,
            first=written.positions[0], last=written.positions[-1],
        )  # fmt: skip
        store.plan(batch)
        return batch

    async def _fill(
        self, writer: Writer, prefix: str, breathe: Callable[[], Awaitable[None]]
    ) -> None:
        task, reading = self._task, self._reading
        for count, row in enumerate(self._store.waiting(), 1):
            params = task.params_of(reading.at(row.position), position=row.position)
            if row.repairs:
                params = task.repaired(params, row.raw, row.why)
            if not writer.add(row.position, f"{prefix}{row.position}", params) or writer.full:
                return
            if count % SLICE_ROWS == 0:
                await breathe()


def check_input(store: RunStore, source: SourceLike) -> None:
    """Raise `RunChanged` where the input is not the one that the run began with."""
    then, now = store.manifest.input.sha256, source.fingerprint()
    if then != now:
        raise RunChanged(
            f"{source.name} has changed since {store.run} began: it was {_short(then)}, it is "
            f"{_short(now)}; nothing more was sent, {store.totals.succeeded:,} answers are in "
            f"{store.path}",
            fix="put the file back as it was\nor: --new begins a fresh run",
        )


def _short(fingerprint: str) -> str:
    return fingerprint.removeprefix("sha256:")[:12]
