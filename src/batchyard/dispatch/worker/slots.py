"""The requests one engine has in flight: each is asked, and what became of it is acted on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from batchyard.batches.request import Entry
from batchyard.dispatch.worker.attempt import Line, attempt, errored, unanswered
from batchyard.dispatch.worker.hand import Cursor, Hand, Job
from batchyard.dispatch.worker.health import Health
from batchyard.dispatch.worker.limiter import Limiter
from batchyard.dispatch.worker.retry import (
    Again,
    GiveUp,
    Hold,
    Luck,
    fault_name,
    is_nobodys,
    judge,
    may_be_its_own,
)
from batchyard.engine import Engine
from batchyard.errors import (
    Damaged,
    EngineError,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)
from batchyard.store.store import Store
from batchyard.tasks import TaskSet
from batchyard.telemetry import logger

log = logger(__name__)

RESTING_MIN = 16
"""Requests that may wait to be asked again before nothing new is started, however low the limit."""


class Slots:
    """Keeps an engine as full as its limiter allows with requests from the hand.

    `on_idle` is called when a slot finds nothing to do or a shard is done with, `on_trouble` when
    the engine is not up, `on_doubt` after a failure when nobody else is there to do better;
    `serves` tells whether the engine still has the model of a shard, None when it does not say.
    """

    def __init__(
        self,
        engine: Engine,
        hand: Hand,
        *,
        store: Store,
        health: Health,
        limiter: Limiter,
        tasks: TaskSet,
        strict_version: bool,
        seed: int | None,
    ) -> None:
        self._engine = engine
        self._hand = hand
        self._store = store
        self._clock = health.clock
        self._health = health
        self._limiter = limiter
        self._tasks = tasks
        self._strict_version = strict_version
        self._random = random.Random(seed)  # noqa: S311 (jitter, not secrecy)
        self._running: set[Job] = set()
        self._luck = Luck()
        self._failed_at = float("-inf")
        self._draining = False
        self.on_idle: Callable[[], None] = _nobody
        self.on_trouble: Callable[[], None] = _nobody
        self.on_doubt: Callable[[], None] = _nobody
        self.serves: Callable[[Cursor], Awaitable[bool | None]] = _nobody_knows

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once while the engine is up."""
        return self._limiter.limit

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered."""
        return len(self._running)

    def pump(self) -> None:
        """Start requests while there are slots and something to send."""
        while (job := self._next()) is not None:
            job.ticket = self._limiter.ticket()
            self._running.add(job)
            job.task = self._tasks.spawn(self._slot(job))

    async def drain(self, seconds: float) -> None:
        """Start nothing more; wait for answers under way, at most `seconds`."""
        self._draining = True
        slots = [job.task for job in self._running if job.task is not None]
        if slots and seconds > 0:
            alarm = asyncio.create_task(self._end_after(seconds, slots))
            await asyncio.gather(*slots, return_exceptions=True)
            alarm.cancel()

    async def let_go(self) -> None:
        """Cut every call whose shard was given back; returns when they are gone."""
        slots = [job.task for job in self._running if job.cursor.given_back and job.task]
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)

    def call_off(self, cursor: Cursor, grace_seconds: float) -> None:
        """Cut the calls of a stopped shard that are still under way after `grace_seconds`."""
        jobs = [job for job in self._running if job.cursor is cursor]
        if jobs:
            self._tasks.spawn(self._call_off(jobs, grace_seconds))

    def settle(self, cursor: Cursor, entry: Entry, line: Line) -> None:
        """Write down the outcome of one request; done with the shard when it was the last."""
        self._store.append(cursor.taken, entry, line.outcome, line.bytes)
        cursor.open -= 1
        if cursor.open == 0:
            self._hand.remove(cursor)
            self.on_idle()

    # -- one request -----------------------------------------------------------------------------

    def _next(self) -> Job | None:
        limit = self._limiter.limit
        if self._draining or not self._health.up or len(self._running) >= limit:
            return None
        return self._hand.next(2 * limit if 2 * limit > RESTING_MIN else RESTING_MIN)

    async def _slot(self, job: Job) -> None:
        """Ask, settle, and go on with the next request: a slot lives as long as there is work."""
        while True:
            try:
                await self._ask(job)
            finally:
                self._running.discard(job)
            if job.cursor.given_back:
                break
            if self._store.crowded:
                await self._store.room()
            following = self._next()
            if following is None:
                break
            following.ticket = self._limiter.ticket()
            following.task, job = job.task, following
            self._running.add(job)
        self.on_idle()

    async def _ask(self, job: Job) -> None:
        cursor = job.cursor
        try:
            params = cursor.taken.params(job.entry)
            line = await attempt(
                self._engine, cursor.order, job.entry, params, strict_version=self._strict_version
            )
        except Rejected as error:
            await self._rejected(job, error)
        except EngineError as error:
            self._failed(job, error)
        except asyncio.CancelledError:
            self._called_off(job)
        except Damaged as error:
            self.settle(cursor, job.entry, errored(job.entry, "api_error", error.message))
        else:
            self._answered(job, line)

    async def _rejected(self, job: Job, error: Rejected) -> None:
        """The engine wants nothing of this request, or nothing more of its model.

        "Not found" is believed of what a request names itself. The model we named, from the
        engine's own list: if that has changed, the request is as good as before, and the shard
        has to go elsewhere.
        """
        if error.type != "not_found_error":
            self._failed(job, error)
            return
        try:
            serves = await self.serves(job.cursor)
        except asyncio.CancelledError:
            self._called_off(job)
        else:
            if serves is None:
                self._failed(job, Unavailable(error.message, status=error.status or 404))
            elif serves and not job.cursor.given_back:
                self._failed(job, error)
            else:
                self._put_back(job)

    def _answered(self, job: Job, line: Line) -> None:
        if line.outcome == "succeeded":
            self._health.answered()
            self._luck.succeeded(job.failures)
            self._limiter.succeeded(len(self._running))
            self._hand.share.charge(job.cursor.key[0], 2.0 * line.usage.output_tokens)
        self.settle(job.cursor, job.entry, line)

    def _failed(self, job: Job, error: EngineError) -> None:
        jitter = self._random.random()
        self._count(job, error, jitter)
        match judge(error, job.tries, jitter, self._luck.rate):
            case GiveUp(type=kind, message=message):
                self.settle(job.cursor, job.entry, errored(job.entry, kind, message))
            case Hold(state=state, reason=reason):
                self._health.hold(state, reason, jitter, unreachable=error.status is None)
                self._put_back(job)
            case Again(seconds=seconds):
                self._put_back(job, after=seconds)
        if not self._health.up:
            self.on_trouble()
        elif may_be_its_own(error) and len(self._running) == 1 and not self._hand.untried:
            self.on_doubt()

    def _count(self, job: Job, error: EngineError, jitter: float) -> None:
        """Book a failure to everything it tells something about."""
        if not is_nobodys(error):
            together = isinstance(error, Spent) and self._in_company()
            job.tries = job.tries.after(fault_name(error), self._health.proofs, in_company=together)
        if isinstance(error, Rejected):
            self._health.answered()
        elif _is_load(error):
            self._limiter.pushed_back(job.ticket, len(self._running))
        if may_be_its_own(error):
            job.failures += 1
            self._failed_at = self._clock.monotonic()
            self._health.failed(error.message, jitter)

    def _in_company(self) -> bool:
        """Whether others are in flight beside a request that fails, or failed a moment ago."""
        return len(self._running) > 1 or self._clock.monotonic() < self._failed_at + 1.0

    def _put_back(self, job: Job, after: float = 0.0) -> None:
        cursor = job.cursor
        if cursor.given_back:
            return
        if cursor.stop is not None:
            self.settle(cursor, job.entry, unanswered(job.entry, cursor.stop))
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
        assert job.task is not None
        if not job.task.cancelling():
            self._failed(job, Spent("the engine adapter called the request off by itself"))
            return
        if cursor.stop is None or self._draining:
            if not cursor.given_back:
                raise asyncio.CancelledError
            return
        job.task.uncancel()
        self.settle(cursor, job.entry, unanswered(job.entry, cursor.stop))

    async def _call_off(self, jobs: list[Job], grace_seconds: float) -> None:
        await self._clock.sleep(grace_seconds)
        for job in jobs:
            if job in self._running and job.task is not None:
                job.task.cancel()

    async def _end_after(self, seconds: float, slots: list[asyncio.Task[None]]) -> None:
        await self._clock.sleep(seconds)
        for slot in slots:
            slot.cancel()


def _nobody() -> None:
    """Until somebody wants to be told."""


async def _nobody_knows(cursor: Cursor) -> bool | None:
    return None


def _is_load(error: EngineError) -> bool:
    """Whether a failure says that the engine has too much to do."""
    if isinstance(error, Spent):
        return error.timed_out
    return isinstance(error, Overloaded) or error.status == 503
