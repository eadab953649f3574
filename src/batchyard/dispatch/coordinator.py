"""Which shard goes to which worker: batches in motion from written down to ended."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from batchyard.batches.batch import Batch, Shard
from batchyard.batches.result import Outcome
from batchyard.clock import Clock
from batchyard.dispatch.fleet import Fleet, ShardOrder, WorkerHandle
from batchyard.dispatch.patience import patiently
from batchyard.dispatch.planner import plan
from batchyard.dispatch.scheduler import next_shard
from batchyard.dispatch.sweeper import LineFor, refusal, settle_shard
from batchyard.dispatch.worker.attempt import unanswered
from batchyard.errors import StorageFailed
from batchyard.routing import Routing
from batchyard.store.store import Committed, Store
from batchyard.tasks import TaskSet
from batchyard.telemetry import logger

log = logger(__name__)

SHARDS_PER_WORKER_MAX = 64
"""Shards in a worker's hands up to which a batch gets one more before its last is used up."""

BATCHES_PER_WORKER_MAX = 256
"""Shards up to which a batch with nothing to send gets one, so that no batch waits for others."""

SETTLING_MAX = 8
"""Shards settled side by side without asking: each has files open and lines in memory."""

BACKLOG_MIN = 32
CANCEL_GRACE_SECONDS = 10.0
REPLAN_SECONDS = 30.0
LARGE_REQUESTS = 2_000
REHOME_SECONDS = 5.0
"""A worker whose engine is down this long gives its shards to others that serve the model."""


@dataclass(slots=True)
class Motion:
    """A batch under way, as this process knows it. Nothing here is needed after a crash."""

    batch: Batch
    pending: list[int] = field(default_factory=list)  # shard numbers, ascending
    shards: dict[int, Shard] = field(default_factory=dict)
    holder: dict[int, str] = field(default_factory=dict)  # shard number -> worker
    last: dict[str, int] = field(default_factory=dict)  # worker -> its latest shard
    planned: bool = False
    stop: Outcome | None = None

    @property
    def left(self) -> int:
        """Requests without a durable result."""
        return sum(shard.requests - shard.tally.settled for shard in self.shards.values())


class Coordinator:
    """Moves every unfinished batch on. Runs on one loop; only awaits the store."""

    def __init__(
        self,
        *,
        store: Store,
        fleet: Fleet,
        routing: Routing,
        clock: Clock,
        tasks: TaskSet,
        on_change: Callable[[], None],
        strict_version: bool = False,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._routing = routing
        self._clock = clock
        self._tasks = tasks
        self._on_change = on_change
        self._strict_version = strict_version
        self._motions: dict[str, Motion] = {}
        self._settled = 0
        self._down_since: dict[str, float] = {}  # by worker, in monotonic time
        self._large, self._small = asyncio.Semaphore(1), asyncio.Semaphore(4)
        self._settling = asyncio.Semaphore(SETTLING_MAX)
        store.on_committed(self._committed)

    def motions(self) -> list[Motion]:
        """The batches in motion, oldest first."""
        return list(self._motions.values())

    def settled(self) -> int:
        """Requests that got their result since the start."""
        return self._settled

    async def step(self) -> None:
        """Look at the catalog and at the clock, then keep the workers busy. May be called often."""
        unfinished = await patiently(self._clock, self._store.unfinished)
        for batch in unfinished:
            self._notice(batch)
        # One may have ended after it was looked up: seen again here, nothing would remove it.
        for ended in self._motions.keys() - {batch.id for batch in unfinished}:
            del self._motions[ended]
        for motion in self.motions():
            self._tend(motion)
        self.feed()

    def feed(self) -> None:
        """Hand pending shards to workers with room. Cheap: no I/O, called at every change."""
        for worker in self._fleet.workers():
            self._fill(worker)

    # -- batches -------------------------------------------------------------------------------

    def _notice(self, batch: Batch) -> None:
        motion = self._motions.get(batch.id)
        if motion is None:
            motion = self._motions[batch.id] = Motion(batch)
            self._tasks.spawn(self._prepare(motion))
        if batch.processing_status == "canceling":
            self._stop(motion, "canceled", CANCEL_GRACE_SECONDS)

    def _tend(self, motion: Motion) -> None:
        """Expire it when its time has come; settle the shards nobody is going to serve."""
        if self._clock.now() >= motion.batch.expires_at:
            self._stop(motion, "expired", 0.0)
        if motion.stop is not None:
            self._settle_pending(motion)
        else:
            self._refuse_unserved(motion)

    def _stop(self, motion: Motion, outcome: Outcome, grace_seconds: float) -> None:
        if motion.stop is not None:
            return
        motion.stop = outcome
        log.info("batch_stopping", batch=motion.batch.id, outcome=outcome)
        for worker in self._fleet.workers():
            worker.recall(motion.batch.id, outcome, grace_seconds)

    async def _prepare(self, motion: Motion) -> None:
        """Plan the batch unless that was done before, and learn what is left of it.

        Large batches are planned one at a time, small ones pass them by. A batch that cannot be
        planned must not take the others down: it is looked at again later.
        """
        batch = motion.batch
        try:
            shards = await patiently(self._clock, lambda: self._planned(batch))
        except StorageFailed:
            raise
        except Exception:
            log.exception("plan_failed", batch=batch.id)
            await self._clock.sleep(REPLAN_SECONDS)
            self._motions.pop(batch.id, None)
            return
        motion.shards = {shard.number: shard for shard in shards if not shard.done}
        motion.pending = sorted(motion.shards)
        motion.planned = True
        log.info("batch_in_motion", batch=batch.id, requests=batch.requests, shards=len(shards))
        self._tend(motion)
        self._on_change()

    async def _planned(self, batch: Batch) -> list[Shard]:
        if batch.planned:
            return await self._store.shards(batch.id)
        async with self._large if batch.requests > LARGE_REQUESTS else self._small:
            return await plan(self._store, batch, replicas=len(self._fleet.workers()))

    def _committed(self, committed: Committed) -> None:
        for (batch_id, number), tally in committed.settled.items():
            motion = self._motions.get(batch_id)
            shard = motion.shards.get(number) if motion else None
            if motion is None or shard is None:
                continue
            self._settled += max(0, tally.settled - shard.tally.settled)
            motion.shards[number] = replace(shard, tally=tally)
            if tally.settled == shard.requests:
                motion.shards.pop(number)
                motion.holder.pop(number, None)
        for batch_id in committed.ended:
            self._motions.pop(batch_id, None)
            log.info("batch_ended", batch=batch_id)

    # -- shards --------------------------------------------------------------------------------

    def _settle_pending(self, motion: Motion) -> None:
        outcome = motion.stop
        assert outcome is not None
        for number in self._claim_all(motion, lambda _: True):
            self._settle_soon(motion, number, lambda entry, _: unanswered(entry, outcome))

    def _refuse_unserved(self, motion: Motion) -> None:
        if self._routing.pending():
            return
        unserved = {
            model
            for model in {motion.shards[number].model for number in motion.pending}
            if self._routing.resolve(model) is None
        }
        for number in self._claim_all(motion, lambda shard: shard.model in unserved):
            line_for = refusal(
                self._routing.unknown_model_message(motion.shards[number].model),
                strict_version=self._strict_version,
                api_version=motion.batch.api_version,
            )
            self._settle_soon(motion, number, line_for)

    def _claim_all(self, motion: Motion, wanted: Callable[[Shard], bool]) -> list[int]:
        claimed = [number for number in motion.pending if wanted(motion.shards[number])]
        motion.holder.update(dict.fromkeys(claimed, ""))
        left = set(motion.pending).difference(claimed)
        motion.pending = [number for number in motion.pending if number in left]
        return claimed

    def _settle_soon(self, motion: Motion, number: int, line_for: LineFor) -> None:
        self._tasks.spawn(self._settle((motion.batch.id, number), line_for))

    async def _settle(self, shard: tuple[str, int], line_for: LineFor) -> None:
        async with self._settling:
            await settle_shard(self._store, self._clock, shard, line_for)

    def _fill(self, worker: WorkerHandle) -> None:
        status = worker.status()
        if status.state != "up":
            return
        shards = status.shards
        enough = max(BACKLOG_MIN, 2 * status.limit)
        for motion in self._motions.values():
            backlog = status.backlog.get(motion.batch.id, 0)
            most = SHARDS_PER_WORKER_MAX if backlog else BATCHES_PER_WORKER_MAX
            if motion.stop is None and backlog < enough and shards < most:
                shards += self._hand_one(worker, motion)

    def _hand_one(self, worker: WorkerHandle, motion: Motion) -> int:
        if (number := self._choose(worker.name, motion)) is None:
            return 0
        del motion.pending[bisect.bisect_left(motion.pending, number)]
        motion.holder[number] = worker.name
        motion.last[worker.name] = number
        requested = motion.shards[number].model
        route = self._routing.resolve(requested)
        assert route is not None
        worker.hand(ShardOrder(motion.batch, number, requested, route.model))
        return 1

    def _choose(self, worker: str, motion: Motion) -> int | None:
        """A pending shard for it. The one after its last is found without looking at the others."""
        last = motion.last.get(worker)
        if last is not None:
            place = bisect.bisect_left(motion.pending, last + 1)
            found = motion.pending[place : place + 1] == [last + 1]
            if found and self._serves(worker, motion.shards[last + 1].model):
                return last + 1
        models = {motion.shards[number].model for number in motion.pending}
        served = {model for model in models if self._serves(worker, model)}
        wanted = [number for number in motion.pending if motion.shards[number].model in served]
        return next_shard(wanted, last, motion.holder) if wanted else None

    def _serves(self, worker: str, model: str) -> bool:
        route = self._routing.resolve(model)
        return route is not None and worker in route.engines

    async def rehome(self) -> None:
        """Take shards from workers whose engine is down where another could go on with them, and
        those whose model an engine serves no more, since their requests may go elsewhere now."""
        workers, now = self._fleet.workers(), self._clock.monotonic()
        for worker in workers:
            if worker.status().astray:
                await self._take_back(worker, astray_only=True)
        up = {worker.name for worker in workers if worker.status().state == "up"}
        down = [worker for worker in workers if worker.name not in up]
        self._down_since = {worker.name: self._down_since.get(worker.name, now) for worker in down}
        for worker in down:
            long_enough = now - self._down_since[worker.name] >= REHOME_SECONDS
            if worker.status().shards and long_enough and self._others_serve(worker.name, up):
                await self._take_back(worker)

    async def _take_back(self, worker: WorkerHandle, *, astray_only: bool = False) -> None:
        for batch_id, number in await worker.give_back(astray_only=astray_only):
            self._returned(batch_id, number)
        self._on_change()

    def _others_serve(self, name: str, healthy: set[str]) -> bool:
        for motion in self._motions.values():
            for number, holder in motion.holder.items():
                if holder != name or number not in motion.shards:
                    continue
                route = self._routing.resolve(motion.shards[number].model)
                if route is not None and healthy.intersection(route.engines):
                    return True
        return False

    def _returned(self, batch_id: str, number: int) -> None:
        motion = self._motions.get(batch_id)
        if motion is None or number not in motion.shards:
            return
        motion.holder.pop(number, None)
        bisect.insort(motion.pending, number)
