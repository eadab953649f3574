"""How far a batch is, how fast it goes and when it may be done: pure, from snapshots alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from batchyard.client import Snapshot
from batchyard.client.pace import STALLED_SECONDS, Eta, Speed, percent, standstill
from batchyard.wire import MessageBatch

State = Literal[
    "queued", "running", "waiting for engine", "finalising", "canceling", "ended", "not answering"
]


@dataclass(frozen=True, slots=True)
class View:
    """A batch as it is shown. `rate` (results per second) and `eta` are None while unknown."""

    batch: MessageBatch
    state: State
    reason: str
    total: int
    succeeded: int
    errored: int
    canceled: int
    expired: int
    left: int
    percent: int
    elapsed: float
    rate: float | None = None
    eta: Eta | None = None

    @property
    def failed(self) -> int:
        return self.errored + self.canceled + self.expired


class Progress:
    """Turns snapshots into views. What was done before the first one does not count as speed."""

    def __init__(self) -> None:
        self._speed = Speed()

    def see(self, snapshot: Snapshot) -> View:
        """The view of the next snapshot."""
        counts = snapshot.batch.request_counts
        done = counts.succeeded + counts.errored + counts.canceled + counts.expired
        total = done + counts.processing
        speed = self._speed
        speed.see(snapshot.moment, done)
        state, reason = self._state(snapshot, done)
        moving = state in ("running", "canceling")
        return View(
            batch=snapshot.batch,
            state=state,
            reason=reason,
            total=total,
            succeeded=counts.succeeded,
            errored=counts.errored,
            canceled=counts.canceled,
            expired=counts.expired,
            left=counts.processing,
            percent=percent(done, total, ended=state == "ended"),
            elapsed=speed.elapsed,
            rate=speed.per_second,
            eta=speed.eta(counts.processing) if moving else None,
        )

    def _state(self, snapshot: Snapshot, done: int) -> tuple[State, str]:
        status = snapshot.batch.processing_status
        if status == "ended":
            return "ended", ""
        if snapshot.trouble:
            return "not answering", snapshot.trouble
        if status == "canceling":
            return "canceling", ""
        if snapshot.batch.request_counts.processing == 0:
            return "finalising", ""
        engines = snapshot.engines
        if engines is None:
            return "running", ""
        stalled = snapshot.moment - self._speed.moved >= STALLED_SECONDS
        if reason := standstill(engines, stalled=stalled):
            return "waiting for engine", reason
        if done == 0 and not any(engine.in_flight for engine in engines):
            return "queued", ""
        return "running", ""
