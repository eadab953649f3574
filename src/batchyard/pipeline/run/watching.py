"""Watching: how batches of a run are at their server, and their results once they have ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batchyard.client.watching import ENGINES_EVERY, LOOK_SECONDS, LOOK_SECONDS_ELSEWHERE
from batchyard.errors import NotFound, Refused, ServerUnreachable
from batchyard.pipeline.run.collecting.results import NotOurs, fetch, is_there
from batchyard.pipeline.run.contract import ServerLike
from batchyard.pipeline.run.patience import Patience
from batchyard.pipeline.run.progress import Meter
from batchyard.pipeline.run.sending.likeness import prefix
from batchyard.pipeline.run.store import Batch, RunStore
from batchyard.wire import MessageBatch, RequestCounts


class Watch:
    """Looks at batches of a run; what it sees goes to `meter`, a server's absence to `away`."""

    def __init__(
        self, store: RunStore, server: ServerLike, meter: Meter, away: Callable[[str], object]
    ) -> None:
        self._store, self._server, self._meter = store, server, meter
        self._clock = server.clock
        self.patience = Patience(self._clock, away)
        self._looks = 0
        self._ours: bool | None = None

    @property
    def pause(self) -> float:
        """Seconds between two looks: servers of another make ask for more."""
        return LOOK_SECONDS if self._ours else LOOK_SECONDS_ELSEWHERE

    def expect(self, batch: Batch) -> None:
        """The batch is on the server, or may be; nothing was seen of it yet."""
        self._meter.saw(batch.seq, RequestCounts(batch.requests, 0, 0, 0, 0))

    async def meet(self) -> None:
        """First contact; raises what it raises when there is no server."""
        if self._ours is None:
            self._ours = await self.patience.through(self._server.liveness) is not None

    async def look(self, batch: Batch) -> None:
        """Look once; what has ended is written down. Raises `NotFound` when the server does not
        know the batch any more."""
        assert batch.batch_id is not None
        try:
            found = await self._retrieved(batch.batch_id)
        except NotFound:
            if batch.certain:
                raise
            self._reject(batch)
            return
        self._meter.saw(batch.seq, found.request_counts)
        if found.processing_status == "ended":
            self._store.ended(batch.seq)

    async def look_at_engines(self) -> None:
        """Now and then, and whenever nothing moves; servers of another make do not tell."""
        self._looks += 1
        stalled = self._meter.stalled(self._clock.monotonic())
        if not self._ours or (self._looks % ENGINES_EVERY != 1 and not stalled):
            return
        try:
            readiness = await self._server.readiness()
        except (Refused, ServerUnreachable):
            return
        if readiness is not None:
            self._meter.engines(readiness.engines)

    async def fetch(self, batch: Batch, path: Path) -> bool:
        """Have the results of an ended batch at `path`.

        False when they are not ours: the batch was only taken for one of the run. Raises
        `NotFound` when the server does not have them any more.
        """
        if is_there(path):
            return True
        assert batch.batch_id is not None
        expected = "" if batch.certain else prefix(self._store.manifest.tag, batch.seq)
        try:
            found = await self._retrieved(batch.batch_id)
            await fetch(self._server, found, path, expected, self.patience)
        except NotOurs:
            self._reject(batch)
            return False
        except NotFound:
            if batch.certain:
                raise
            self._reject(batch)
            return False
        return True

    async def _retrieved(self, batch_id: str) -> MessageBatch:
        return await self.patience.through(lambda: self._server.retrieve(batch_id))

    def _reject(self, batch: Batch) -> None:
        """It was only taken for ours: the true one is looked for."""
        self._store.reject(batch)
        self._meter.gone(batch.seq)
