"""Pace: how fast things get done, when the rest of them may be, and why nothing moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchyard.client.readiness import EngineState

LONG_SECONDS, SHORT_SECONDS = 300.0, 30.0
"""How far back the two rates look: the first for the estimate, the second for its range."""

ENOUGH_COMPLETIONS, ENOUGH_SECONDS = 30, 60.0
"""Before either is reached, an estimate would be a guess."""

STALLED_SECONDS = 10.0
"""With one engine down, this long without a result means that the batch waits for that engine."""


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until the last result, and the range they probably lie in."""

    seconds: float
    low: float
    high: float


class Rate:
    """Results per second, what is `horizon` seconds ago counting for a third of what is now."""

    def __init__(self, horizon: float) -> None:
        self._horizon = horizon
        self._results = self._seconds = 0.0

    def add(self, results: int, seconds: float) -> None:
        """Account for `results` in the last `seconds`."""
        fade = math.exp(-seconds / self._horizon)
        self._results = self._results * fade + results
        self._seconds = self._seconds * fade + seconds

    @property
    def per_second(self) -> float:
        return self._results / self._seconds if self._seconds > 0 else 0.0


class Speed:
    """How fast things get done, from looks at how many are. The first look starts the clock."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._last: tuple[float, int] | None = None
        self._long, self._short = Rate(LONG_SECONDS), Rate(SHORT_SECONDS)
        self.completions = 0
        self.moved = self.elapsed = 0.0

    def see(self, now: float, done: int) -> None:
        """Account for `done` things at `now`, in monotonic seconds."""
        if self._last is None or self._started is None:
            self._started = self.moved = now
        else:
            before, then = self._last
            gained = max(0, done - then)
            self.completions += gained
            self._long.add(gained, now - before)
            self._short.add(gained, now - before)
            if gained:
                self.moved = now
        self._last = (now, done)
        self.elapsed = now - self._started

    @property
    def per_second(self) -> float | None:
        """The usual speed; None before anything was done."""
        return self._long.per_second if self.completions else None

    def eta(self, left: int) -> Eta | None:
        """When the `left` ones may be done; None while that would be a guess."""
        if self.completions < ENOUGH_COMPLETIONS and self.elapsed < ENOUGH_SECONDS:
            return None
        usual, lately = self._long.per_second, self._short.per_second
        if usual <= 0:
            return None
        # Counting n things that come at random leaves an error of the square root of n.
        doubt = min(0.5, 1 / math.sqrt(max(1, self.completions)))
        slow = max(min(usual, lately), usual / 4) * (1 - doubt)
        fast = min(max(usual, lately), usual * 4) * (1 + doubt)
        return Eta(left / usual, left / fast, left / slow)


def percent(done: int, total: int, *, ended: bool) -> int:
    """Rounded down; 100 only when the results can be fetched."""
    if ended:
        return 100
    return min(99, 100 * done // total) if total else 0


def standstill(engines: Sequence[EngineState], *, stalled: bool) -> str:
    """Why nothing can run, "" when something can. One engine down explains only a standstill."""
    down = [engine for engine in engines if engine.state != "up"]
    if not down or (len(down) < len(engines) and not stalled):
        return ""
    return "; ".join(f"{engine.name}: {engine.reason or engine.state}" for engine in down)
