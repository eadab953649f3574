"""A worker: one engine replica, the shards it was handed, and the slots that answer them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from batchyard.batches.limits import SHARD_REQUESTS_MAX
from batchyard.batches.result import Outcome
from batchyard.clock import Clock
from batchyard.dispatch.fleet import Replica, ShardOrder, WorkerStatus
from batchyard.dispatch.patience import patiently
from batchyard.dispatch.worker.attempt import unanswered
from batchyard.dispatch.worker.control import Control
from batchyard.dispatch.worker.hand import Cursor, Hand, ShardKey
from batchyard.dispatch.worker.health import Health, Watch
from batchyard.dispatch.worker.limiter import Limiter
from batchyard.dispatch.worker.slots import Slots
from batchyard.engine import Model
from batchyard.errors import Damaged, Fenced
from batchyard.store.store import Store
from batchyard.tasks import TaskSet
from batchyard.telemetry import logger

log = logger(__name__)


class Worker:
    """Takes shards from the store, keeps them in hand until settled, and minds its engine.

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
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._tasks = TaskSet(on_fatal)
        self._health = Health(clock, since=clock.now())
        self._hand = Hand()
        self._opening: dict[ShardKey, Outcome | None] = {}  # with the outcome of a recall meanwhile
        self._slots = Slots(
            replica.engine,
            self._hand,
            store=store,
            health=self._health,
            limiter=Limiter.for_engine(replica.concurrency, replica.slots),
            tasks=self._tasks,
            strict_version=strict_version,
            seed=seed,
        )
        self._slots.on_idle = on_change
        self._slots.on_trouble = self._recover
        self._slots.on_doubt = self._doubt
        self._control = Control(
            replica.engine, self._hand, self._health, self._tasks, on_trouble=self._recover
        )
        self._slots.serves = self._serves
        self._learn = learn
        self._served: list[Model] = []
        self._watch = Watch(
            replica.name,
            replica.engine,
            self._health,
            learn=self._learned,
            control=self._control.ask,
            on_change=on_change,
        )
        self._recovering = False
        self._draining = False

    def __repr__(self) -> str:
        slots = self._slots
        return f"<Worker {self.name}: {self._health.state} {slots.in_flight}/{slots.limit}>"

    # -- what the coordinator asks -------------------------------------------------------------

    def hand(self, order: ShardOrder) -> None:
        if self._draining:  # the shard waits for the next start
            return
        self._opening[order.batch.id, order.number] = None
        self._tasks.spawn(self._open(order))

    def recall(self, batch_id: str, outcome: Outcome, grace_seconds: float) -> None:
        for cursor in [c for c in self._hand.cursors.values() if c.key[0] == batch_id]:
            if cursor.stop is None:
                self._stop(cursor, outcome, grace_seconds)
        for key in self._opening:
            if key[0] == batch_id:
                self._opening[key] = outcome

    async def give_back(self, *, astray_only: bool = False) -> list[ShardKey]:
        cursors = [c for c in self._hand.cursors.values() if c.given_back or c.stop is None]
        if astray_only:
            cursors = [c for c in cursors if c.given_back]
        for cursor in cursors:
            self._set_aside(cursor)
        await self._slots.let_go()
        await self._store.flush()
        given = [cursor for cursor in cursors if cursor.key in self._hand.cursors]
        for cursor in given:
            self._hand.remove(cursor)
        return [cursor.key for cursor in given]

    def status(self) -> WorkerStatus:
        backlog = self._hand.backlog()
        for batch_id, _ in self._opening:
            backlog[batch_id] = backlog.get(batch_id, 0) + SHARD_REQUESTS_MAX
        return WorkerStatus(
            self._health.state,
            self._health.reason,
            self._health.since,
            self._slots.in_flight,
            self._slots.limit,
            len(self._hand.cursors) + len(self._opening),
            backlog,
            astray=sum(cursor.given_back for cursor in self._hand.cursors.values()),
        )

    def weigh(self, late: set[str]) -> None:
        self._hand.share.weigh(late)

    # -- its own life --------------------------------------------------------------------------

    async def run(self) -> None:
        """Look after the engine for ever."""
        self._recover()
        await self._watch.run()

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait for answers under way, at most `seconds`; let the rest go."""
        self._draining = True
        await self._slots.drain(seconds)
        await self._tasks.end()
        for cursor in list(self._hand.cursors.values()):
            self._hand.remove(cursor)

    # -- shards --------------------------------------------------------------------------------

    async def _open(self, order: ShardOrder) -> None:
        key = (order.batch.id, order.number)
        try:
            taken = await patiently(self._clock, lambda: self._store.take(*key))
        except (Damaged, Fenced):
            # The shard is somebody else's, or unreadable: either way the others must go on.
            log.exception("shard_not_taken", batch=key[0], shard=key[1])
            return
        finally:
            outcome = self._opening.pop(key)
        todo = deque(taken.todo)
        if not todo:
            taken.close()
            self._on_change()
            return
        cursor = Cursor(order, taken, todo, len(todo))
        self._hand.add(cursor)
        if outcome is None and self._is_astray(cursor):
            self._set_aside(cursor)
        if outcome is not None:
            self._stop(cursor, outcome, 0.0)
        self._slots.pump()
        self._on_change()  # a small shard may leave slots free

    def _stop(self, cursor: Cursor, outcome: Outcome, grace_seconds: float) -> None:
        cursor.stop = outcome
        for entry in list(self._hand.withdraw(cursor)):
            self._slots.settle(cursor, entry, unanswered(entry, outcome))
        self._slots.call_off(cursor, grace_seconds)

    def _set_aside(self, cursor: Cursor) -> None:
        """Send nothing more of a shard: it is going back to the coordinator as it is."""
        cursor.given_back = True
        for _ in self._hand.withdraw(cursor):
            pass

    # -- the engine ----------------------------------------------------------------------------

    def _learned(self, name: str, models: list[Model]) -> None:
        """An engine that came back with another model would refuse every request for the old one,
        and not one of them is at fault."""
        self._served = models
        self._learn(name, models)
        for cursor in list(self._hand.cursors.values()):
            if cursor.stop is None and not cursor.given_back and self._is_astray(cursor):
                self._set_aside(cursor)

    def _is_astray(self, cursor: Cursor) -> bool:
        wanted = cursor.order.model.id
        return bool(self._served) and not any(model.covers(wanted) for model in self._served)

    async def _serves(self, cursor: Cursor) -> bool | None:
        """Whether the engine lists the model of a shard, asked anew; None when it does not say."""
        return not self._is_astray(cursor) if await self._watch.look_again() else None

    def _recover(self) -> None:
        if self._recovering or self._draining:
            return
        self._recovering = True
        if self._health.state != "starting":
            log.warning("engine_held", engine=self.name, reason=self._health.reason)
        self._on_change()
        self._tasks.spawn(self._recovered())

    async def _recovered(self) -> None:
        try:
            await self._watch.recover()
        finally:
            self._recovering = False
        self._slots.pump()

    def _doubt(self) -> None:
        """Is it the engine or the request? Found out beside the request's wait for its next try."""
        if not self._draining:
            self._control.ask()
