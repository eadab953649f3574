"""The supervisor: keeps both halves of the server alive and ends them in the right order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence

from batchyard.server.keeper import REFUSED, Keeper
from batchyard.telemetry import logger

log = logger(__name__)

API_DRAIN_SECONDS = 5.0
"""How long answers of the api process that are under way may take once dispatch has drained."""

MARGIN_SECONDS = 2.0
"""What a process gets beyond its drain time for writing down and closing."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Runs its keepers until a signal or a refusal; they are ended in the order given.

    Nothing it holds is needed to recover: `kill -9` closes the pipes its children read, and they
    leave at once.
    """

    def __init__(self, keepers: Sequence[Keeper], *, drain_seconds: float) -> None:
        self._keepers = list(keepers)
        self._drain_seconds = drain_seconds
        self._asked = asyncio.Event()
        self._now = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Start everything, call `on_ready` once all run, and return the exit status at the end."""
        self._listen_to_signals()
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(keeper.keep()) for keeper in self._keepers]
            announcing = group.create_task(self._announce(on_ready))
            asked = group.create_task(self._asked.wait())
            await asyncio.wait([*kept, asked], return_when=asyncio.FIRST_COMPLETED)
            announcing.cancel()
            hurried = group.create_task(self._hurry())
            await self._end()
            hurried.cancel()
            asked.cancel()
        return 0 if self._asked.is_set() else REFUSED

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        for keeper in self._keepers:
            await keeper.ready.wait()
        on_ready()

    async def _end(self) -> None:
        """Dispatch first: while it drains, the api still takes and answers calls."""
        for keeper in self._keepers:
            seconds = self._drain_seconds if keeper.role == "dispatch" else API_DRAIN_SECONDS
            await keeper.end(seconds + MARGIN_SECONDS)

    async def _hurry(self) -> None:
        await self._now.wait()
        log.warning("stopping now: asked twice")
        for keeper in self._keepers:
            keeper.kill()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        if self._asked.is_set():
            self._now.set()
        self._asked.set()
