"""Ctrl-C: once it stops a run in good order, twice it ends it at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchyard.clock import Clock

AGAIN_SECONDS = 2.0
"""A second Ctrl-C within this long means: now. A later one is taken for impatience."""


class Stops:
    """What signals do to the work of a verb, from its first step to its last.

    `stop` is what asks the work to stop in good order, for as long as there is something to; else
    it is canceled. `quit` is called first when it must end at once, which `quitted` tells.
    """

    def __init__(self, clock: Clock) -> None:
        self.stop: Callable[[], None] | None = None
        self.quit: Callable[[], None] | None = None
        self.stopped = self.quitted = False
        self._clock = clock
        self._last: float | None = None

    @contextmanager
    def heard(self) -> Iterator[None]:
        """For the length of the context signals mean the task that opened it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # SIGTERM is how a machine that shuts down, or a scheduler, says the same.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signaled, task)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _signaled(self, task: asyncio.Task[object]) -> None:
        now, last = self._clock.monotonic(), self._last
        self._last = now
        if last is not None and now - last <= AGAIN_SECONDS:
            self.quitted = True
            if self.quit is not None:
                self.quit()
            task.cancel()
        elif self.stop is None:
            self.stopped = True
            task.cancel()
        elif not self.stopped:
            self.stopped = True
            self.stop()
