"""The harvest of one batch: its results fetched, taken to their rows, and settled with the caps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batchyard.errors import NotFound
from batchyard.pipeline.run.collecting.collector import SHOWN_MAX, Collector, Taken
from batchyard.pipeline.run.collecting.lines import Verdict
from batchyard.pipeline.run.contract import Allowance, TaskLike
from batchyard.pipeline.run.progress import Meter
from batchyard.pipeline.run.store import Batch, RunStore
from batchyard.pipeline.run.watching import Watch


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collect brought: rows that ended, and rows that wait to be asked again.

    `unknown` holds the first custom_ids of lines that belong to no row of their batch.
    """

    rows: int = 0
    again: int = 0
    unknown: tuple[str, ...] = ()

    def __add__(self, other: Collected) -> Collected:
        unknown = (self.unknown + other.unknown)[:SHOWN_MAX]
        return Collected(self.rows + other.rows, self.again + other.again, unknown)


class Harvest:
    """Brings in batches that have ended. `breathe` is called between transactions."""

    def __init__(
        self,
        store: RunStore,
        task: TaskLike,
        watch: Watch,
        meter: Meter,
        allowance: Allowance,
        *,
        repair: int,
        breathe: Callable[[], Awaitable[None]],
    ) -> None:
        self._store, self._task = store, task
        self._watch, self._meter, self._allowance = watch, meter, allowance
        self._repair, self._breathe = repair, breathe

    async def take(self, batch: Batch) -> Collected:
        """Keep the answers of an ended batch; nothing where it turns out not to be ours."""
        path = self._store.results_path(batch.seq)
        try:
            if not await self._watch.fetch(batch, path):
                return Collected()
        except NotFound:
            return self.lose(batch)

        async def breathe(taken: Taken) -> None:
            self._meter.took(batch.seq, taken.rows + taken.again, taken.failed)
            await self._breathe()

        return self.settle_up(batch, await self._collector(batch).take(path, breathe))

    def lose(self, batch: Batch) -> Collected:
        """The server does not have the batch any more: its rows have failed."""
        why = f"{batch.server} does not know {batch.batch_id} any more"
        return self.settle_up(batch, self._collector(batch).close(why, "lost"))

    def settle_up(self, batch: Batch, taken: Taken) -> Collected:
        """The batch has nothing more to give, and takes no more."""
        self._meter.gone(batch.seq)
        self._allowance.settle(
            batch.seq,
            rows=taken.rows,
            answers=taken.succeeded,
            input_tokens=taken.input_tokens,
            output_tokens=taken.output_tokens,
        )
        return Collected(taken.rows, taken.again, tuple(taken.unknown))

    def _collector(self, batch: Batch) -> Collector:
        stale = batch.task != self._store.totals.task
        return Collector(self._store, batch, Verdict(self._task, self._repair, stale=stale))
