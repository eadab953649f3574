"""The dispatch process as one thing that starts, runs and stops: coordinator, workers, sweeper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from batchyard.clock import SECOND, Clock
from batchyard.dispatch.coordinator import Coordinator
from batchyard.dispatch.fleet import Fleet
from batchyard.dispatch.patience import patiently
from batchyard.dispatch.scheduler import running_late
from batchyard.dispatch.sweeper import Sweeper
from batchyard.events import POLL_SECONDS
from batchyard.routing import Routing
from batchyard.store.store import EngineReport, Store
from batchyard.tasks import TaskSet
from batchyard.telemetry import logger

log = logger(__name__)

REPORT_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 10.0
"""How often engines are reported on that have nothing new: the api takes 30 s of silence ill."""

DEADLINE_SECONDS = 60.0


class Service:
    """Runs until `stop`. `changed` is set by whoever hears that something happened.

    `reports` describes the engines for the catalog; `on_fatal` is told when the process must end:
    after a failed write nothing held in memory can be trusted any more.
    """

    def __init__(
        self,
        *,
        store: Store,
        fleet: Fleet,
        routing: Routing,
        clock: Clock,
        changed: asyncio.Event,
        reports: Callable[[], list[EngineReport]],
        on_fatal: Callable[[BaseException], None],
        strict_version: bool = False,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._changed = changed
        self._reports = reports
        self._tasks = TaskSet(on_fatal)
        self._feeding = False
        self._coordinator = Coordinator(
            store=store,
            fleet=fleet,
            routing=routing,
            clock=clock,
            tasks=self._tasks,
            on_change=self.feed_soon,
            strict_version=strict_version,
        )

    def feed_soon(self) -> None:
        """Have shards handed out at the end of this turn of the loop, once however often asked."""
        if not self._feeding:
            self._feeding = True
            asyncio.get_running_loop().call_soon(self._feed)

    async def start(self) -> None:
        """Recover and begin; returns once the first look at the catalog is done."""
        await self._fleet.start()
        await self._coordinator.step()
        self._tasks.spawn(self._move())
        self._tasks.spawn(self._tick())
        self._tasks.spawn(self._report())
        self._tasks.spawn(self._mind_deadlines())
        self._tasks.spawn(Sweeper(self._store, self._clock).run())

    async def stop(self, drain_seconds: float) -> None:
        """Send nothing more, let answers under way arrive, write them down, let go."""
        log.info("draining", seconds=drain_seconds)
        await self._fleet.drain(drain_seconds)
        await self._tasks.end()
        if not self._store.disk_full:  # what waits for space is asked for again after the start
            await self._store.flush()
        await self._fleet.close()

    def _feed(self) -> None:
        self._feeding = False
        self._coordinator.feed()

    async def _move(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._coordinator.step()

    async def _tick(self) -> None:
        """Losing a hint costs one of these."""
        while True:
            await self._clock.sleep(POLL_SECONDS)
            await self._coordinator.rehome()
            self._changed.set()

    async def _report(self) -> None:
        """What has changed at once, and now and then also that nothing has: silence is a sign."""
        last: list[EngineReport] = []
        quiet_since = 0.0
        while True:
            reports, now = self._reports(), self._clock.monotonic()
            if reports != last or now - quiet_since >= SIGN_OF_LIFE_SECONDS:
                await patiently(self._clock, partial(self._store.report_engines, reports))
                last, quiet_since = reports, now
            await self._clock.sleep(REPORT_SECONDS)

    async def _mind_deadlines(self) -> None:
        settled = self._coordinator.settled()
        while True:
            await self._clock.sleep(DEADLINE_SECONDS)
            done = self._coordinator.settled() - settled
            settled += done
            left = [
                (motion.batch.id, motion.batch.expires_at / SECOND, motion.left)
                for motion in self._coordinator.motions()
            ]
            late = running_late(left, self._clock.now() / SECOND, done / DEADLINE_SECONDS)
            for worker in self._fleet.workers():
                worker.weigh(late)
