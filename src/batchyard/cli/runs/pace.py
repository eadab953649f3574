"""From counts to views: how fast rows and tokens go by, and when the last row may be done."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from batchyard.cli.progress import LONG_SECONDS, Rate, Speed, percent
from batchyard.cli.runs.sight import State, View


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that have ended so far, well or not, and the tokens of all their attempts."""

    succeeded: int
    failed: int
    input_tokens: int = 0
    output_tokens: int = 0


class Pace:
    """Turns counts into views. What was done before the first ones does not count as speed."""

    def __init__(self, run: str, total: int) -> None:
        self._run, self._total = run, total
        self._speed = Speed()
        self._sent, self._got = Rate(LONG_SECONDS), Rate(LONG_SECONDS)
        self._last: tuple[float, Counts] | None = None

    def see(
        self,
        now: float,
        counts: Counts,
        state: State,
        reason: str = "",
        spent: Decimal | None = None,
    ) -> View:
        """The view at `now`, in monotonic seconds."""
        done = counts.succeeded + counts.failed
        self._speed.see(now, done)
        tokens = self._tokens(now, counts)
        left = max(0, self._total - done)
        return View(
            run=self._run,
            state=state,
            reason=reason,
            total=self._total,
            succeeded=counts.succeeded,
            failed=counts.failed,
            percent=percent(done, self._total, ended=state == "ended" and not left),
            elapsed=self._speed.elapsed,
            rate=self._speed.per_second,
            tokens=tokens,
            eta=self._speed.eta(left) if state == "running" and not reason else None,
            spent=spent,
        )

    def _tokens(self, now: float, counts: Counts) -> tuple[float, float] | None:
        if self._last is not None:
            before, then = self._last
            self._sent.add(max(0, counts.input_tokens - then.input_tokens), now - before)
            self._got.add(max(0, counts.output_tokens - then.output_tokens), now - before)
        self._last = (now, counts)
        pair = self._sent.per_second, self._got.per_second
        return pair if any(pair) else None
