"""The only place that reads a clock: wall time to write down, monotonic time to wait by."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime
from typing import Protocol

Microseconds = int
"""Wall time as whole microseconds since 1970-01-01 UTC: what the catalog stores."""

SECOND: Microseconds = 1_000_000

CALENDAR_ENDS = 253_402_300_800
"""Seconds from 1970 to the year 10000, which no calendar here has."""


class Clock(Protocol):
    """Time as the rest of the house sees it."""

    def now(self) -> Microseconds:
        """Wall time. May jump, in both directions: never used to measure a wait."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow. The zero is arbitrary."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of monotonic time; after one turn if not positive."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Microseconds:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until it is told to move; tests hold it.

    Sleepers wake in order of their deadline while `advance` runs, each given turns of the event
    loop to act before the next wakes, so a simulated day takes as long as its work, not its waits.
    """

    def __init__(self, now: Microseconds = 1_760_000_000 * SECOND) -> None:
        self._wall = now
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> Microseconds:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), wake))
        await wake

    def jump(self, seconds: float) -> None:
        """Move wall time only, as an operator or NTP does; nobody wakes."""
        self._wall += round(seconds * SECOND)

    async def advance(self, seconds: float, *, turns: int = 20) -> None:
        """Move both clocks on by `seconds`, waking sleepers on the way."""
        target = self._monotonic + seconds
        await _turns(turns)
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, wake = heapq.heappop(self._sleepers)
            self._step(due)
            if not wake.done():
                wake.set_result(None)
            await _turns(turns)
        self._step(target)
        await _turns(turns)

    def wake_next(self, within: float) -> None:
        """Move both clocks on to the next sleeper and wake it, or by `within` seconds when there
        is none to wake before. It gets its turn once the loop is given back."""
        due = self.next_wake()
        if due is None or due > within:
            self._step(self._monotonic + within)
            return
        moment, _, wake = heapq.heappop(self._sleepers)
        self._step(moment)
        wake.set_result(None)

    def next_wake(self) -> float | None:
        """Seconds until the next sleeper wakes, None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] - self._monotonic if self._sleepers else None

    def _step(self, monotonic: float) -> None:
        elapsed = max(0.0, monotonic - self._monotonic)
        self._monotonic += elapsed
        self._wall += round(elapsed * SECOND)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def rfc3339(moment: Microseconds) -> str:
    """`2025-01-29T14:25:40.141141+00:00`: UTC with six fraction digits, as hosted."""
    stamp = datetime.fromtimestamp(moment // SECOND, UTC).replace(microsecond=moment % SECOND)
    return stamp.isoformat(timespec="microseconds")
