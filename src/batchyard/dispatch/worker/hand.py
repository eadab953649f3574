"""What a worker holds: shards with requests still to send, and requests to be sent again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from batchyard.batches.request import Entry
from batchyard.batches.result import Outcome
from batchyard.dispatch.fleet import ShardOrder
from batchyard.dispatch.scheduler import FairShare
from batchyard.dispatch.worker.retry import UNTRIED, Tries
from batchyard.store.taken import Taken

ShardKey = tuple[str, int]


@dataclass(slots=True, eq=False)
class Cursor:
    """A shard in hand. `waiting` are the requests never sent under this fence, in order.

    `open` counts requests without a line; at zero the shard is done with. `stop` is the outcome of
    whatever is not answered, once the batch is canceled or expired; a shard that is `given_back`
    goes to another worker as it is.
    """

    order: ShardOrder
    taken: Taken
    waiting: deque[Entry]
    open: int
    stop: Outcome | None = None
    given_back: bool = False

    @property
    def key(self) -> ShardKey:
        return (self.order.batch.id, self.order.number)


@dataclass(slots=True, eq=False)
class Job:
    """One request and what it has been through."""

    cursor: Cursor
    entry: Entry
    tries: Tries = UNTRIED
    failures: int = 0  # those that may have been its own
    ticket: int = 0
    task: asyncio.Task[None] | None = None


class Hand:
    """Chooses the next request among the shards in hand. No I/O, no clock."""

    def __init__(self) -> None:
        self.share = FairShare()
        self.cursors: dict[ShardKey, Cursor] = {}
        self._sendable: dict[str, deque[Cursor]] = {}
        self._again: deque[Job] = deque()
        self._resting: set[Job] = set()

    def add(self, cursor: Cursor) -> None:
        """A shard was taken."""
        self.cursors[cursor.key] = cursor
        batch = cursor.order.batch
        if cursor.waiting:
            self._sendable.setdefault(batch.id, deque()).append(cursor)
            self.share.enter(batch.id, batch.workspace_id)

    @property
    def untried(self) -> bool:
        """Whether there are requests that were never sent."""
        return bool(self._sendable)

    @property
    def models(self) -> list[str]:
        """The models of the shards in hand, as the engine calls them."""
        return sorted({cursor.order.model.id for cursor in self.cursors.values()})

    def next(self, resting_max: int) -> Job | None:
        """The request to send now: one that was asked before, else by fair share.

        With `resting_max` requests already waiting to be asked again nothing new is started, or an
        engine that refuses everything would be offered the whole batch; but for batches of which
        none is waiting: the misfortune of others is not theirs.
        """
        if self._again:
            return self._again.popleft()
        ready: Collection[str] = self._sendable
        if len(self._resting) >= resting_max:
            ready = set(ready).difference(job.cursor.key[0] for job in self._resting)
        batch_id = self.share.pick(ready)
        if batch_id is None:
            return None
        cursor = self._sendable[batch_id][0]
        entry = cursor.waiting.popleft()
        self.share.charge(batch_id, entry.length / 4 + 16)
        if not cursor.waiting:
            self._exhausted(cursor)
        return Job(cursor, entry)

    def put_first(self, job: Job) -> None:
        """A request goes back to the head of the line."""
        self._again.appendleft(job)

    def rest(self, job: Job) -> None:
        """A request waits for its time; `rested` brings it back."""
        self._resting.add(job)

    def rested(self, job: Job) -> bool:
        """The wait is over; False when the request was withdrawn meanwhile."""
        if job not in self._resting:
            return False
        self._resting.discard(job)
        self._again.append(job)
        return True

    def withdraw(self, cursor: Cursor) -> Iterator[Entry]:
        """Take out every request of a shard that is not in flight."""
        for job in [job for job in (*self._again, *self._resting) if job.cursor is cursor]:
            self._resting.discard(job)
            yield job.entry
        self._again = deque(job for job in self._again if job.cursor is not cursor)
        yield from cursor.waiting
        if cursor.waiting:
            cursor.waiting.clear()
            self._exhausted(cursor)

    def remove(self, cursor: Cursor) -> None:
        """The shard is done with, or somebody else's."""
        self.cursors.pop(cursor.key, None)
        cursor.taken.close()

    def backlog(self) -> dict[str, int]:
        """Requests never sent, by batch."""
        return {
            batch_id: sum(len(cursor.waiting) for cursor in cursors)
            for batch_id, cursors in self._sendable.items()
        }

    def _exhausted(self, cursor: Cursor) -> None:
        batch_id = cursor.order.batch.id
        cursors = self._sendable.get(batch_id)
        if cursors is None:
            return
        if cursor in cursors:
            cursors.remove(cursor)
        if not cursors:
            del self._sendable[batch_id]
            self.share.leave(batch_id)
