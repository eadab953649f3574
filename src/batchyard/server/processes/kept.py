"""One child process: started, told its errand, started again when it dies, ended when asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from batchyard.clock import Clock
from batchyard.server.processes.errand import Errand
from batchyard.telemetry import logger

log = logger(__name__)

REFUSED = 2
"""Exit status of a child that will never run like this: it has said why and is not restarted."""

RESTART_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Wait before the first, second, … restart in a row; the last one stays."""

FAILED_STARTS_MAX = 3
"""A child that ends by itself so often without ever having been ready is given up."""

HEALTHY_SECONDS = 30.0
"""A child that lived so long has shown that it can: the next restart is immediate again."""


_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "4194304"}
"""Bytes, for glibc's allocator: pieces of bodies are taken from what was freed before, not asked of
the kernel and given back each time, which would cost a create more than its bytes' copying does."""


class KeptProcess:
    """Keeps one child alive.

    `ready` is set when the child has said so for the first time, with its `news`; `complaint` is
    what it last said instead: `error` and `fix`, in words.
    """

    def __init__(self, errand: Errand, *, pass_fds: Sequence[int], clock: Clock) -> None:
        self.role = errand.role
        self.ready = asyncio.Event()
        self.news: dict[str, Any] = {}
        self.complaint: dict[str, str | None] = {}
        self._errand = errand.line()
        self._pass_fds = tuple(pass_fds)
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        self._gone = asyncio.Event()

    async def keep(self) -> int:
        """Run until `end`, or until the child refuses or never comes up: its last status."""
        deaths = failed_starts = 0
        try:
            while True:
                started = self._clock.monotonic()
                status = await self._run_once()
                # A negative status is a signal from outside: nothing the child did.
                failed_starts += status > 0 and not self.ready.is_set()
                given_up = status == REFUSED or failed_starts >= FAILED_STARTS_MAX
                if self._ending.is_set() or given_up:
                    return status
                if self._clock.monotonic() - started > HEALTHY_SECONDS:
                    deaths = 0
                wait = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)]
                deaths += 1
                log.error("process died", role=self.role, status=status, restart_in_seconds=wait)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), wait)
                    return status
        finally:
            self._gone.set()

    async def end(self, seconds: float) -> None:
        """Ask the child to finish; kill it when it has not after `seconds`. Starts no other."""
        self._ending.set()
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            log.warning("process killed: it did not finish in time", role=self.role)
            self.kill()
            await self._gone.wait()

    def kill(self) -> None:
        """End the child now. What it has acknowledged is on disk already."""
        self._ending.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run_once(self) -> int:
        # -P keeps the current folder off the child's import path; a session of its own keeps the
        # terminal's Ctrl-C away from it: only the supervisor decides who stops when.
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "batchyard.server.processes.child", self.role,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self._pass_fds,
            env={**_ALLOCATION, **os.environ},
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        if self._ending.is_set():
            self._signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            process.stdin.write(self._errand)
            await process.stdin.drain()
        news = _understood(await process.stdout.readline())
        if "error" in news:
            self.complaint = news
        elif news:
            self.news = news
            self.ready.set()
        return await process.wait()


def _understood(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
