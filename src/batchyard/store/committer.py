"""Group commit: result lines become durable bytes, then counts, then news, in that order.

Round by round, in a thread of its own (see `runner`). A round takes every line handed in since the
last one, writes each open segment once and syncs the segments side by side, then moves the counts
in one catalog transaction, then tells the event loop. The first line after a pause is committed at
once; under load a round begins at most every `WINDOW_SECONDS`, so that many lines share one sync.

A full disk stops nothing but progress: lines are held, in memory, and tried again every second.
Any other error of a write or sync means that nobody knows what is on the disk: the committer never
works again, and `on_fatal` is called so that the process exits and recovers from what it can read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchyard.batches.result import Outcome, Tally
from batchyard.clock import Clock
from batchyard.errors import DiskFull, StorageError, StorageFailed
from batchyard.store.catalog import shards
from batchyard.store.catalog.database import Catalog
from batchyard.store.runner import Pause, Runner, ThreadRunner
from batchyard.store.taken import Tail
from batchyard.telemetry import logger

WINDOW_SECONDS = 0.05
RETRY_SECONDS = 1.0
QUEUE_BYTES_MAX = 16 * 1024 * 1024

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Committed:
    """What one group commit made durable and counted, told to listeners on the event loop.

    `settled` maps (batch id, shard number) to the shard's whole tally, now durable; `ended` names
    the batches that ended in this commit. `lost` are (batch id, shard number, fence) whose fence
    had passed: another worker has the shard, and what was written under this fence counts no more.
    """

    settled: dict[tuple[str, int], Tally]
    ended: tuple[str, ...] = ()
    lost: tuple[tuple[str, int, int], ...] = ()


class Committer:
    """The rounds, their queue, and those who wait for them."""

    def __init__(self, catalog: Catalog, clock: Clock, runner: Runner | None = None) -> None:
        self._catalog, self._clock = catalog, clock
        self._runner = runner or ThreadRunner()
        self._changed = self._runner.changed
        self._lock = self._runner.lock  # guards what both threads touch:
        self._dirty: dict[Tail, None] = {}  # tails with lines, or released
        self._queued_bytes = self._handed_in = self._clean = 0
        self._urgent = self._closing = False
        self._dead: StorageFailed | None = None
        self.disk_full = self._stalled = False
        # The rounds' own:
        self._held: dict[Tail, None] = {}  # not durable yet
        self._uncounted: dict[Tail, int] = {}  # durable; bytes not counted yet
        # The event loop's own:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[Committed], None]] = []
        self._fatal: Callable[[StorageFailed], None] | None = None
        self._news = asyncio.Event()

    # -- on the event loop ------------------------------------------------------------------------

    def listen(self, listener: Callable[[Committed], None]) -> None:
        self._listeners.append(listener)

    def on_fatal(self, callback: Callable[[StorageFailed], None]) -> None:
        self._fatal = callback

    def append(self, tail: Tail, custom_id: str, outcome: Outcome, line: bytes) -> bool:
        """Hand in the one line of a request; False when it has one already or the shard is lost."""
        if self._loop is None:
            self._start()
        with self._lock:
            self._check_alive()
            if not tail.take(custom_id, outcome, line):
                return False
            self._queued_bytes += len(line)
            self._handed_in += 1
            self._put_on_list(tail)
        return True

    def release(self, tail: Tail) -> None:
        """Close the segment as soon as its lines are committed. May be called twice."""
        with self._changed:
            if tail.released:
                return
            tail.released = True
            self._put_on_list(tail)
            started = self._loop is not None
        if not started:
            self._close_released([tail])

    @property
    def crowded(self) -> bool:
        """Whether more than `QUEUE_BYTES_MAX` are not committed, or never will be."""
        return self._queued_bytes > QUEUE_BYTES_MAX or self._dead is not None

    async def room(self) -> None:
        """Wait while more than `QUEUE_BYTES_MAX` are not committed."""
        while self._queued_bytes > QUEUE_BYTES_MAX:
            self._check_alive()
            await self._news.wait()
        self._check_alive()

    async def flush(self) -> None:
        """Wait until every line handed in before is durable and counted (or its shard lost)."""
        with self._changed:
            goal = self._handed_in
            self._urgent = True
            self._changed.notify()
        while self._clean < goal:
            self._check_alive()
            await self._news.wait()
        self._check_alive()

    async def close(self) -> None:
        """Commit what was handed in, unless the disk is full, and stop. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await self._runner.end()

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._runner.start(self._rounds())

    def _put_on_list(self, tail: Tail) -> None:
        if not self._dirty:
            self._changed.notify()
        self._dirty[tail] = None

    def _check_alive(self) -> None:
        if self._dead is not None:
            raise StorageFailed(self._dead.message) from self._dead

    def tell(self, news: Committed | None) -> None:
        """Wake those who wait, and tell the listeners if there is something to tell."""
        self._news.set()
        self._news.clear()
        if news is not None:
            for listener in self._listeners:
                listener(news)

    # -- in the thread ----------------------------------------------------------------------------

    def _rounds(self) -> Iterator[Pause]:
        """All that is ever done here, until `close` or a fault; between the rounds it pauses."""
        try:
            closing = False
            while not closing:
                yield Pause(self._has_work)
                closing = self._closing
                began = self._clock.monotonic()
                self._round()
                yield self._rest(self._clock.monotonic() - began)
        except Exception as error:  # noqa: BLE001 the edge of a thread: nobody else would hear it
            self._die(error)

    def _has_work(self) -> bool:
        return bool(self._held or self._uncounted or self._dirty or self._closing)

    def _round(self) -> None:
        with self._changed:
            dirty, self._dirty, self._urgent = list(self._dirty), {}, False
            handed_in = self._handed_in
            for tail in dirty:
                tail.hold()
                if tail.held:
                    self._held[tail] = None
        news, full = None, self._write()
        try:
            news = self._count() if self._uncounted else None
        except StorageFailed:
            raise
        except StorageError as error:  # a full disk, or a lock kept too long: try again
            full = error
        self._close_released(dirty)
        self._note(full)
        if not self._held and not self._uncounted:
            self._clean = handed_in
        self._call_soon(self.tell, news)

    def _rest(self, worked_seconds: float) -> Pause:
        """After a round: to let lines gather, or a full disk be emptied."""
        if self._held or self._uncounted:
            return Pause(lambda: self._closing, RETRY_SECONDS)
        rest = max(0.0, WINDOW_SECONDS - worked_seconds)
        return Pause(lambda: self._urgent or self._closing, rest)

    def _write(self) -> StorageError | None:
        """Make what is held durable, the segments side by side; the error of those left held."""
        full: StorageError | None = None
        work = list(self._held)
        run = map if len(work) == 1 else self._runner.side_by_side
        for tail, done in zip(work, run(_put, work), strict=True):
            if isinstance(done, StorageError):
                full = done
            else:
                del self._held[tail]
                self._uncounted[tail] = self._uncounted.get(tail, 0) + done
        return full

    def _count(self) -> Committed:
        """Move the counts to what is durable, in one transaction."""
        tails = list(self._uncounted)
        with self._catalog.write() as connection:
            marked = shards.mark(connection, [tail.mark() for tail in tails], self._clock.now())
        settled, lost = {}, []
        with self._changed:
            for tail in tails:
                self._queued_bytes -= self._uncounted[tail]
                mark = (tail.batch_id, tail.number, tail.fence)
                if mark in marked.lost:
                    self._queued_bytes -= tail.lose()
                    self._held.pop(tail, None)
                    lost.append(mark)
                else:
                    settled[tail.batch_id, tail.number] = tail.tally
        self._uncounted = {}
        if lost:
            _log.warning("shards_lost", shards=lost)
        return Committed(settled, marked.ended, tuple(lost))

    def _close_released(self, tails: list[Tail]) -> None:
        for tail in tails:
            if not tail.released or tail.appender is None:
                continue
            if tail.held or tail.lines:
                with self._changed:
                    self._dirty[tail] = None  # look again after the next round
            else:
                tail.appender.close()

    def _note(self, error: StorageError | None) -> None:
        """Tell the operator when lines begin to wait, and when they go on."""
        if error is not None and not self._stalled:
            _log.error("results_wait", held_bytes=self._queued_bytes, reason=error.message)
        elif error is None and self._stalled:
            _log.info("results_go_on")
        self._stalled = error is not None
        self.disk_full = isinstance(error, DiskFull)

    def _die(self, error: Exception) -> None:
        """Nothing is acknowledged from here on; whoever waits is told why."""
        failed = error if isinstance(error, StorageFailed) else StorageFailed(repr(error))
        _log.error("storage_failed", reason=failed.message, exc_info=error)
        self._dead = failed
        self._call_soon(self.tell, None)
        if self._fatal is not None:
            self._call_soon(self._fatal, failed)

    def _call_soon(self, act: Callable[..., None], argument: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(act, argument)


def _put(tail: Tail) -> int | DiskFull:
    """The bytes now durable, or why they are still held; raises StorageFailed."""
    try:
        return tail.put()
    except DiskFull as error:
        return error
