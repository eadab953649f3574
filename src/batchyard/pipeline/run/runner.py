"""The runner: takes a run through its steps, each of which can also be taken alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from batchyard.errors import CapReached, NotFound, Refused, RunChanged
from batchyard.pipeline.row import Outcome
from batchyard.pipeline.run import preparing
from batchyard.pipeline.run.collecting.collector import Taken
from batchyard.pipeline.run.collecting.harvest import Collected, Harvest
from batchyard.pipeline.run.contract import Allowance, ServerLike, SourceLike, TaskLike, Unlimited
from batchyard.pipeline.run.progress import Meter, Progress, State
from batchyard.pipeline.run.sending.delivery import Delivery, Later
from batchyard.pipeline.run.sending.planning import Planner, check_input
from batchyard.pipeline.run.store import Batch, Options, RunStore
from batchyard.pipeline.run.watching import Watch


class Runner:
    """Runs `store` against one server, at which its batches are known by `place`.

    `place` is the server's address if not given; a server of the run's own, whose address
    changes, needs a name that stays. Cancelling any step loses nothing: what was sent goes on at
    the server, and the next runner picks it up.
    """

    def __init__(
        self,
        store: RunStore,
        source: SourceLike,
        task: TaskLike,
        server: ServerLike,
        *,
        options: Options | None = None,
        place: str | None = None,
        allowance: Allowance | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self._store, self._source, self._task = store, source, task
        self._options = options or store.manifest.options
        self._place = place or server.server
        self._allowance = allowance or Unlimited()
        self._on_progress = on_progress
        self._clock = server.clock
        self._meter = Meter(store.run)
        self._watch = Watch(store, server, self._meter, self._away)
        self._delivery = Delivery(store, server, self._watch.patience)
        self._planner = Planner(
            store, source, task, options=self._options, place=self._place,
            allowance=self._allowance, clock=self._clock,
        )  # fmt: skip
        self._harvest = Harvest(
            store, task, self._watch, self._meter, self._allowance,
            repair=self._options.repair, breathe=self._breathe,
        )  # fmt: skip
        self._state: State = "preparing"
        self._attended = False
        self._capped: CapReached | None = None
        self._resume_at, self._busy = 0.0, ""

    async def prepare(
        self, *, only_missing: bool = False, kinds: Collection[str] | None = None
    ) -> int:
        """Check and write down every row; nothing is sent. Returns how many wait to be asked.

        On a run that was begun: raises `RunChanged` when the input or the task are others than it
        began with. With `only_missing` rows that have an answer keep it, those that wait and those
        that failed (with one of `kinds`) are asked the new task. Raises `BadInput`, `BadPrompt`.
        """
        store, source, task = self._store, self._source, self._task
        self._say("preparing")
        if only_missing:
            check_input(store, source)
        else:
            preparing.check_unchanged(store, source, task)
        if not store.totals.prepared:
            await preparing.enter(store, source, task, self._breathe)
        if only_missing:
            await preparing.ask_otherwise(store, source, task, kinds, self._breathe)
        return store.totals.waiting

    async def submit(self) -> int:
        """Send batches until no row waits or enough are in process; returns how many were sent.

        A server that is busy is waited for. Raises `CapReached` before a batch that the caps do
        not allow, `Refused` for one that the server does not take; its rows wait then.
        """
        before = len(self._on_server())
        while True:
            try:
                await self._fill()
            except Later as later:
                self._say("waiting for server", later.reason)
                await self._clock.sleep(later.seconds)
            else:
                return len(self._on_server()) - before

    async def wait(self) -> None:
        """Until every batch on the server has ended.

        Raises `ServerUnreachable` when the server has been away for too long.
        """
        await self._attend()
        while True:
            await self._look()
            if all(batch.state == "ended" for batch in self._on_server()):
                return
            await self._clock.sleep(self._pause)

    async def collect(self) -> Collected:
        """Keep the answers of all batches that have ended."""
        await self._attend()
        collected = Collected()
        for batch in self._on_server():
            if batch.state == "ended":
                self._say("collecting")
                collected += await self._harvest.take(batch)
        return collected

    async def run(self) -> None:
        """Submit, wait and collect until every row has ended.

        Raises `CapReached` when the caps allow no further batch and all that were sent are here.
        """
        await self._attend()
        while True:
            await self._look()
            if await self.collect() != Collected():
                # What was set aside for those batches is free again.
                self._capped = None
            await self._fill_or_wait()
            if not self._store.unfinished():
                if self._capped is not None:
                    raise self._capped
                if not self._store.totals.waiting:
                    break
            await self._clock.sleep(self._pause)
        self._say("done")

    def failed(self, kinds: Collection[str] | None = None) -> Iterator[Outcome]:
        """What became of each row that failed, in order of position."""
        return self._store.failed(kinds)

    def retry(self, kinds: Collection[str] | None = None) -> int:
        """Rows that failed with one of the kinds, None for all, wait again; returns how many."""
        return self._store.retry(kinds)

    def forsake(self) -> int:
        """Rows of batches at other servers wait again, though they may be answered there;
        returns how many."""
        before = self._store.totals.waiting
        for batch in self._store.unfinished():
            if batch.server != self._place:
                self._store.forsake(batch)
        return self._store.totals.waiting - before

    # -- the parts of a step ----------------------------------------------------------------------

    async def _attend(self) -> None:
        """Take over what an earlier runner has left."""
        if self._attended:
            return
        for batch in self._store.unfinished():
            if batch.state == "planned":
                self._store.withdraw(batch)
            elif batch.server != self._place:
                raise self._elsewhere()
            else:
                self._allowance.hold(batch.seq, batch.requests, batch.body_bytes)
                self._watch.expect(batch)
        await self._watch.meet()
        self._attended = True

    def _elsewhere(self) -> RunChanged:
        away = [one for one in self._store.unfinished() if one.server != self._place]
        rows = sum(one.requests for one in away)
        return RunChanged(
            f"{len(away)} batches of {self._store.run} with {rows:,} rows are at "
            f"{away[0].server}, and their answers are not here; rows now go to {self._place}. "
            "Nothing was sent",
            fix=f"go on at {away[0].server} until they are here",
        )

    def _on_server(self) -> list[Batch]:
        return [one for one in self._store.unfinished() if one.state in ("created", "ended")]

    async def _fill(self) -> None:
        """Send what may be sent now; raises `Later` and `CapReached` when there would be more."""
        await self._attend()
        for batch in self._store.unfinished():
            if batch.state in ("planned", "sending"):
                await self._deliver(batch)
        while self._store.totals.waiting and self._running() < self._options.in_process_max:
            self._say("submitting")
            await self._deliver(await self._planner.next(self._breathe))

    async def _fill_or_wait(self) -> None:
        """Send what may be sent, unless the server or the caps have said that it is too early."""
        if self._capped is not None:
            return
        try:
            if self._clock.monotonic() >= self._resume_at:
                await self._fill()
        except CapReached as reached:
            self._capped = reached
        except Later as later:
            self._resume_at = self._clock.monotonic() + later.seconds
            self._busy = later.reason
        if self._clock.monotonic() < self._resume_at and not self._on_server():
            self._say("waiting for server", self._busy)

    @property
    def _pause(self) -> float:
        asked = self._options.look_seconds
        return self._watch.pause if asked is None else asked

    def _running(self) -> int:
        return sum(batch.state != "ended" for batch in self._store.unfinished())

    async def _deliver(self, batch: Batch) -> None:
        try:
            await self._delivery.deliver(batch)
        except Refused:
            if batch.seq not in {one.seq for one in self._store.unfinished()}:
                self._harvest.settle_up(batch, Taken())
            raise
        self._watch.expect(batch)
        self._say("submitting")

    async def _look(self) -> None:
        """One look at every batch on the server."""
        for batch in self._store.unfinished():
            if batch.state == "created":
                try:
                    await self._watch.look(batch)
                except NotFound:
                    self._harvest.lose(batch)
        await self._watch.look_at_engines()
        self._say("running")

    async def _breathe(self) -> None:
        """Others get their turn, and a cancel is heard."""
        self._say(self._state)
        await self._clock.sleep(0)

    def _away(self, reason: str) -> None:
        self._say("waiting for server", reason)

    def _say(self, state: State, reason: str = "") -> None:
        if state != "waiting for server":
            self._state = state
        progress = self._meter.see(self._clock.monotonic(), self._store.totals, state, reason)
        if self._on_progress is not None:
            self._on_progress(progress)
