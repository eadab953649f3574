"""Ctrl-C: once it stops a run in good order, twice it ends it at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchyard.clock import Clock

AGAIN_SECONDS = 2.0
"""A second Ctrl-C within this long means: now. A later one is taken for impatience."""


@contextmanager
def interrupts(clock: Clock, stop: Callable[[], None], quit: Callable[[], None]) -> Iterator[None]:
    """For the length of the context signals call `stop`, and `quit` when they come twice.

    `quit` is called before the task that opened the context is canceled.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    last: float | None = None

    def interrupted() -> None:
        nonlocal last
        now = clock.monotonic()
        if last is not None and now - last <= AGAIN_SECONDS:
            quit()
            task.cancel()
        else:
            stop()
        last = now

    # SIGTERM is how a machine that shuts down, or a scheduler, says the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
