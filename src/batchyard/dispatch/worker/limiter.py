"""How many requests one engine gets at once: additive increase, multiplicative decrease.

After Chiu and Jain (1989) with a slow start as in TCP. Latency is deliberately no signal: a batch
wants the engine full, and limiters that watch round-trip times hold it at a fraction of its rate.
"""

from __future__ import annotations

AUTO_START = 16
AUTO_MAX = 256
DECREASE = 0.7


class Limiter:
    """A number between 1 and `limit_max` that follows what the engine takes.

    `ticket()` marks a request when it is sent; a push-back is believed once per generation of
    tickets, so a burst of refusals for requests sent together shrinks the limit a single time.
    """

    def __init__(self, start: int, limit_max: int) -> None:
        self.limit = max(1, min(start, limit_max))
        """Requests that may be in flight now."""
        self._limit = float(min(start, limit_max))
        self._max = limit_max
        self._slow_start = True
        self._generation = 0

    @classmethod
    def for_engine(cls, concurrency: int | None, slots: int | None) -> Limiter:
        """A fixed ceiling if one was asked for, else adaptive below what the engine can run.

        An engine that tells its slots gets a few more than that, so that none idles while an
        answer travels.
        """
        if concurrency is not None:
            return cls(concurrency, concurrency)
        if slots is not None:
            ceiling = slots + max(1, slots // 4)
            return cls(ceiling, ceiling)
        return cls(AUTO_START, AUTO_MAX)

    def ticket(self) -> int:
        """The generation a request is sent in."""
        return self._generation

    def succeeded(self, in_flight: int) -> None:
        """An answer came. The limit only grows while it is what holds us back.

        In slow start half the limit in flight is enough, as in Linux TCP: answers come in bursts,
        and the first of a burst has already raised the limit above what is in flight.
        """
        if self._limit >= self._max:
            return
        needed = self._limit / 2 if self._slow_start else self.limit
        if in_flight < needed:
            return
        step = 1.0 if self._slow_start else 1.0 / self._limit
        self._set(min(float(self._max), self._limit + step))

    def pushed_back(self, ticket: int, in_flight: int) -> None:
        """The engine refused for load (429, 503, 529) or let a request time out."""
        if ticket != self._generation:
            return
        self._generation += 1
        self._slow_start = False
        self._set(max(1.0, min(self._limit, float(max(in_flight, 1))) * DECREASE))

    def _set(self, limit: float) -> None:
        self._limit, self.limit = limit, max(1, int(limit))

    def __repr__(self) -> str:
        return f"<Limiter {self.limit}/{self._max}>"
