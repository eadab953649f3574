"""How far a run is: rows done, speed, tokens, what is left, and why nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from batchyard.client.pace import STALLED_SECONDS, Eta, Speed, percent, standstill
from batchyard.client.readiness import EngineState
from batchyard.pipeline.run.store import Totals
from batchyard.wire import RequestCounts

State = Literal[
    "preparing",
    "submitting",
    "running",
    "waiting for engine",
    "waiting for server",
    "finalising",
    "collecting",
    "writing",
    "done",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at one moment. Rows that were done before this session count as done from the start.

    `in_process` is the number of batches on the server. `rate` (rows per second), `input_rate`
    and `output_rate` (tokens per second) and `eta` are None while unknown; tokens are those of
    rows whose answers are here. `reason` says why nothing moves, "" when something does.
    """

    run: str
    state: State
    reason: str
    total: int
    succeeded: int
    failed: int
    in_process: int
    elapsed: float
    input_tokens: int
    output_tokens: int
    rate: float | None = None
    input_rate: float | None = None
    output_rate: float | None = None
    eta: Eta | None = None

    @property
    def left(self) -> int:
        return self.total - self.succeeded - self.failed

    @property
    def percent(self) -> int:
        """Rounded down; 100 only when the answers can be had."""
        done = self.succeeded + self.failed
        return percent(done, self.total, ended=self.state in ("writing", "done"))


class Meter:
    """Turns totals and the counts of running batches into `Progress`."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._speed = Speed()
        self._live: dict[int, RequestCounts] = {}
        self._seen: dict[int, RequestCounts] = {}
        self._engines: tuple[EngineState, ...] = ()

    def saw(self, batch: int, counts: RequestCounts) -> None:
        """What the server counts of a batch whose answers are not all here."""
        self._live[batch] = self._seen[batch] = counts

    def took(self, batch: int, rows: int, failed: int) -> None:
        """So many of its rows have come by now, so many of them failed: they are in the totals,
        and not on the server any more."""
        seen = self._seen.get(batch)
        if seen is not None:
            all_bad = seen.errored + seen.canceled + seen.expired
            bad = max(0, all_bad - failed)
            good = max(0, seen.succeeded + all_bad - rows - bad)
            self._live[batch] = RequestCounts(seen.processing, good, bad, 0, 0)

    def gone(self, batch: int) -> None:
        """The batch has no answers left that are not here."""
        self._live.pop(batch, None)
        self._seen.pop(batch, None)

    def engines(self, engines: Sequence[EngineState]) -> None:
        """How the engines are, where the server tells."""
        self._engines = tuple(engines)

    def stalled(self, now: float) -> bool:
        """Whether nothing has moved for a while."""
        return now - self._speed.moved >= STALLED_SECONDS

    def see(self, now: float, totals: Totals, state: State, reason: str = "") -> Progress:
        """The run at `now`, in monotonic seconds. `running` may turn out to be another state."""
        live = self._live.values()
        succeeded = totals.succeeded + sum(one.succeeded for one in live)
        failed = totals.failed + sum(one.errored + one.canceled + one.expired for one in live)
        speed = self._speed
        speed.see(now, succeeded + failed)
        if state == "running":
            state, reason = self._state(now, totals)
        rate = speed.per_second
        moving = state in ("submitting", "running", "collecting")
        ended = totals.succeeded + totals.failed
        left = totals.rows - succeeded - failed
        return Progress(
            run=self._run,
            state=state,
            reason=reason,
            total=totals.rows,
            succeeded=succeeded,
            failed=failed,
            in_process=len(live),
            elapsed=speed.elapsed,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            rate=rate,
            input_rate=_tokens(rate, totals.input_tokens, ended),
            output_rate=_tokens(rate, totals.output_tokens, ended),
            eta=speed.eta(left) if moving and left else None,
        )

    def _state(self, now: float, totals: Totals) -> tuple[State, str]:
        if not totals.waiting and not any(one.processing for one in self._live.values()):
            return "finalising", ""
        if reason := standstill(self._engines, stalled=self.stalled(now)):
            return "waiting for engine", reason
        return "running", ""


def _tokens(rate: float | None, tokens: int, rows: int) -> float | None:
    """Tokens per second: answers come batch by batch, so the speed of rows is the better clock."""
    return rate * tokens / rows if rate is not None and rows and tokens else None
