"""One engine replica at work: its slots, the request each is given, what became of it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from batchyard.batches.request import Entry
from batchyard.batches.result import Outcome
from batchyard.clock import Clock
from batchyard.dispatch.attempt import Line, attempt, errored, unanswered
from batchyard.dispatch.fleet import Replica, ShardOrder, WorkerStatus
from batchyard.dispatch.hand import Cursor, Hand, Job, ShardKey
from batchyard.dispatch.health import Health, Watch
from batchyard.dispatch.limiter import Limiter
from batchyard.dispatch.retry import Again, GiveUp, Hold, fault_name, judge
from batchyard.engine import Model
from batchyard.errors import EngineError, Overloaded, Rejected, Spent, StorageError, Unavailable
from batchyard.store.store import Store
from batchyard.tasks import TaskSet
from batchyard.telemetry import logger

log = logger(__name__)

RESTING_MIN = 16
"""Requests that may wait to be asked again before nothing new is started, however low the limit."""


class Worker:
    """Keeps its engine as full as the limiter allows with the shards it holds.

    All methods run on one event loop; between two awaits nothing else changes its state.
    `on_change` is called when it has room for more or its engine's state changed, `learn` with the
    models its engine tells, `on_fatal` when the ground gives way and the process has to end.
    """

    def __init__(
        self,
        replica: Replica,
        *,
        store: Store,
        clock: Clock,
        on_change: Callable[[], None],
        learn: Callable[[str, list[Model]], None],
        on_fatal: Callable[[BaseException], None],
        strict_version: bool = False,
        seed: int | None = None,
    ) -> None:
        self.name = replica.name
        self._engine = replica.engine
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._tasks = TaskSet(on_fatal)
        self._strict_version = strict_version
        self._random = random.Random(seed)  # noqa: S311 (jitter, not secrecy)
        self._limiter = Limiter.for_engine(replica.concurrency, replica.slots)
        self._health = Health(clock, since=clock.now())
        self._hand = Hand()
        self._watch = Watch(
            replica.name,
            replica.engine,
            self._health,
            learn=learn,
            try_one=self.pump,
            on_change=on_change,
        )
        self._recovering = False
        self._opening: dict[ShardKey, Outcome | None] = {}  # with the outcome of a recall meanwhile
        self._running: set[Job] = set()
        self._draining = False

    def __repr__(self) -> str:
        return f"<Worker {self.name}: {self._health.state} {len(self._running)}/{self.limit}>"

    @property
    def limit(self) -> int:
        """Requests that may be in flight now: one while the engine is being tried out again."""
        return self._limiter.limit if self._health.up else 1

    # -- what the coordinator asks -------------------------------------------------------------

    def hand(self, order: ShardOrder) -> None:
        self._opening[order.batch.id, order.number] = None
        self._tasks.spawn(self._open(order))

    def recall(self, batch_id: str, outcome: Outcome, grace_seconds: float) -> None:
        for cursor in [c for c in self._hand.cursors.values() if c.key[0] == batch_id]:
            if cursor.stop is None:
                self._stop(cursor, outcome, grace_seconds)
        for key in self._opening:
            if key[0] == batch_id:
                self._opening[key] = outcome

    async def give_back(self) -> list[ShardKey]:
        cursors = [c for c in self._hand.cursors.values() if c.stop is None]
        for cursor in cursors:
            cursor.given_back = True
            for _ in self._hand.withdraw(cursor):
                pass
        slots = [job.task for job in self._running if job.cursor.given_back and job.task]
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)
        await self._store.flush()
        open_cursors = [cursor for cursor in cursors if cursor.key in self._hand.cursors]
        for cursor in open_cursors:
            self._hand.remove(cursor)
        return [cursor.key for cursor in open_cursors]

    def status(self) -> WorkerStatus:
        backlog = self._hand.backlog()
        for batch_id, _ in self._opening:
            backlog[batch_id] = backlog.get(batch_id, 0) + 1_024
        return WorkerStatus(
            self._health.state,
            self._health.reason,
            self._health.since,
            len(self._running),
            self.limit,
            len(self._hand.cursors) + len(self._opening),
            backlog,
        )

    def weigh(self, late: set[str]) -> None:
        """Tell which batches run late; they get a larger share from now on."""
        self._hand.share.weigh(late)

    # -- its own life --------------------------------------------------------------------------

    async def run(self) -> None:
        """Look after the engine for ever."""
        self._recover()
        await self._watch.run()

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait for answers under way, at most `seconds`; let the rest go."""
        self._draining = True
        under_way = [job.task for job in self._running if job.task is not None]
        if under_way and seconds > 0:
            alarm = asyncio.create_task(self._end_after(seconds, under_way))
            await asyncio.gather(*under_way, return_exceptions=True)
            alarm.cancel()
        await self._tasks.end()
        for cursor in list(self._hand.cursors.values()):
            self._hand.remove(cursor)

    async def _end_after(self, seconds: float, slots: list[asyncio.Task[None]]) -> None:
        await self._clock.sleep(seconds)
        for slot in slots:
            slot.cancel()

    def pump(self) -> bool:
        """Start requests while there are slots and something to send; whether any are under way."""
        while (job := self._next()) is not None:
            job.ticket = self._limiter.ticket()
            self._running.add(job)
            job.task = self._tasks.spawn(self._slot(job))
        return bool(self._running)

    # -- requests --------------------------------------------------------------------------------

    def _next(self) -> Job | None:
        if self._draining or len(self._running) >= self.limit:
            return None
        health = self._health
        if not health.up and (health.unreachable or health.seconds_to_probe() > 0):
            return None
        return self._hand.next(max(RESTING_MIN, 2 * self._limiter.limit))

    async def _slot(self, job: Job) -> None:
        """Ask, settle, and go on with the next request: a slot lives as long as there is work."""
        while True:
            try:
                await self._ask(job)
            finally:
                self._running.discard(job)
            if job.cursor.given_back:
                break
            await self._store.room()
            following = self._next()
            if following is None:
                break
            following.ticket = self._limiter.ticket()
            following.task, job = job.task, following
            self._running.add(job)
        self._on_change()

    async def _ask(self, job: Job) -> None:
        cursor = job.cursor
        try:
            params = cursor.taken.params(job.entry)
            line = await attempt(
                self._engine,
                cursor.order,
                job.entry,
                params,
                strict_version=self._strict_version,
            )
        except EngineError as error:
            self._failed(job, error)
        except asyncio.CancelledError:
            self._called_off(job)
        except StorageError:
            raise
        except Exception as error:  # an engine's bug costs one try, not the batch
            log.exception("engine_bug", engine=self.name)
            self._failed(job, Spent(f"{type(error).__name__} in the engine adapter: {error}"))
        else:
            self._answered(job, line)

    def _answered(self, job: Job, line: Line) -> None:
        if line.outcome == "succeeded":
            self._health.answered()
            self._limiter.succeeded(len(self._running))
            self._hand.share.charge(job.cursor.key[0], 2.0 * line.usage.output_tokens)
        self._settle(job.cursor, job.entry, line)

    def _failed(self, job: Job, error: EngineError) -> None:
        jitter = self._random.random()
        job.tries = job.tries.after(fault_name(error), self._health.answers)
        if isinstance(error, Rejected):
            self._health.answered()
        elif _is_load(error):
            self._limiter.pushed_back(job.ticket, len(self._running))
        if isinstance(error, Spent) or (isinstance(error, Unavailable) and error.status):
            self._health.failed(error.message, jitter)
        match judge(error, job.tries, jitter):
            case GiveUp(type=kind, message=message):
                self._settle(job.cursor, job.entry, errored(job.entry, kind, message))
            case Hold(state=state, reason=reason):
                self._health.hold(state, reason, jitter, unreachable=error.status is None)
                self._put_back(job)
            case Again(seconds=seconds):
                self._put_back(job, after=seconds)
        if not self._health.up:
            self._recover()

    def _put_back(self, job: Job, after: float = 0.0) -> None:
        cursor = job.cursor
        if cursor.given_back:
            return
        if cursor.stop is not None:
            self._settle(cursor, job.entry, unanswered(job.entry, cursor.stop))
        elif after > 0:
            self._hand.rest(job)
            self._tasks.spawn(self._rest(job, after))
        else:
            self._hand.put_first(job)

    async def _rest(self, job: Job, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if self._hand.rested(job):
            self.pump()

    def _called_off(self, job: Job) -> None:
        """The call was cut: by a recall the slot survives, by give_back, or because we leave."""
        cursor = job.cursor
        if cursor.stop is None or self._draining:
            if not cursor.given_back:
                raise asyncio.CancelledError
            return
        assert job.task is not None
        job.task.uncancel()
        self._settle(cursor, job.entry, unanswered(job.entry, cursor.stop))

    def _settle(self, cursor: Cursor, entry: Entry, line: Line) -> None:
        self._store.append(cursor.taken, entry, line.outcome, line.bytes)
        cursor.open -= 1
        if cursor.open == 0:
            self._hand.remove(cursor)
            self._on_change()

    # -- shards ----------------------------------------------------------------------------------

    async def _open(self, order: ShardOrder) -> None:
        key = (order.batch.id, order.number)
        taken = await self._store.take(*key)
        outcome = self._opening.pop(key)
        todo = deque(taken.todo)
        if not todo:
            taken.close()
            self._on_change()
            return
        cursor = Cursor(order, taken, todo, len(todo))
        self._hand.add(cursor)
        if outcome is not None:
            self._stop(cursor, outcome, 0.0)
        self.pump()

    def _stop(self, cursor: Cursor, outcome: Outcome, grace_seconds: float) -> None:
        cursor.stop = outcome
        for entry in list(self._hand.withdraw(cursor)):
            self._settle(cursor, entry, unanswered(entry, outcome))
        jobs = [job for job in self._running if job.cursor is cursor]
        if jobs:
            self._tasks.spawn(self._call_off(jobs, grace_seconds))

    async def _call_off(self, jobs: list[Job], grace_seconds: float) -> None:
        await self._clock.sleep(grace_seconds)
        for job in jobs:
            if job in self._running and job.task is not None:
                job.task.cancel()

    # -- tasks -----------------------------------------------------------------------------------

    def _recover(self) -> None:
        if self._recovering or self._draining:
            return
        self._recovering = True
        log.warning("engine_held", engine=self.name, reason=self._health.reason)
        self._on_change()
        self._tasks.spawn(self._recovered())

    async def _recovered(self) -> None:
        try:
            await self._watch.recover()
        finally:
            self._recovering = False
        self.pump()


def _is_load(error: EngineError) -> bool:
    """Whether a failure says that the engine has too much to do."""
    if isinstance(error, Spent):
        return error.timed_out
    return isinstance(error, Overloaded) or error.status == 503
