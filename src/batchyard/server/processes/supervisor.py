"""The supervisor: keeps both halves of the server alive and ends them in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence

from batchyard.server.processes.kept import REFUSED, KeptProcess
from batchyard.telemetry import logger

log = logger(__name__)

API_DRAIN_SECONDS = 5.0
"""How long answers of the api process that are under way may take once dispatch has drained."""

MARGIN_SECONDS = 2.0
"""What a process gets beyond its drain time for writing down and closing."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Runs its processes until a signal or a refusal; they are ended in the order given.

    Nothing it holds is needed to recover: `kill -9` closes the pipes its children read, and they
    leave at once.
    """

    def __init__(
        self,
        processes: Sequence[KeptProcess],
        *,
        drain_seconds: float,
        until_stdin_ends: bool = False,
    ) -> None:
        self._processes = list(processes)
        self._until_stdin_ends = until_stdin_ends
        self._drain_seconds = drain_seconds
        self._asked = asyncio.Event()
        self._now = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Start everything, call `on_ready` once all run, and return the exit status at the end."""
        self._listen_to_signals()
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(process.keep()) for process in self._processes]
            announcing = group.create_task(self._announce(on_ready))
            asked = group.create_task(self._asked.wait())
            await asyncio.wait([*kept, asked], return_when=asyncio.FIRST_COMPLETED)
            gave_up = [task.result() for task in kept if task.done()]
            announcing.cancel()
            hurried = group.create_task(self._hurry())
            await self._end()
            hurried.cancel()
            asked.cancel()
        if self._asked.is_set():
            return 0
        return REFUSED if REFUSED in gave_up else 1

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        for process in self._processes:
            await process.ready.wait()
        on_ready()

    async def _end(self) -> None:
        """Dispatch first: while it drains, the api still takes and answers calls."""
        for process in self._processes:
            seconds = self._drain_seconds if process.role == "dispatch" else API_DRAIN_SECONDS
            await process.end(seconds + MARGIN_SECONDS)

    async def _hurry(self) -> None:
        await self._now.wait()
        log.warning("stopping now: asked twice")
        for process in self._processes:
            process.kill()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop)
        if self._until_stdin_ends:
            threading.Thread(target=self._wait_for_stdin, args=(loop,), daemon=True).start()

    def _wait_for_stdin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whoever started us holds the other end, so it closes even when they are killed.

        A thread, because a loop cannot wait for a file or /dev/null.
        """
        while os.read(0, 4096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop has ended before us
            loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        """Stop without draining: nobody waits for the answers, and the next start may be near."""
        self._asked.set()
        self._now.set()

    def _stop(self) -> None:
        if self._asked.is_set():
            self._now.set()
        self._asked.set()
