"""The child that holds the model, seen from its parent: started, listened to, restarted."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections import deque
from pathlib import Path

import msgspec

from batchyard.clock import Clock, SystemClock
from batchyard.engines.llama.child import LISTENING, Orders
from batchyard.engines.llama.options import LlamaOptions
from batchyard.errors import Misconfigured, Unavailable

PATIENCE_SECONDS = 5.0
"""How long a call waits for the model to be loaded before it says that it is not yet."""

RESTART_SECONDS = 2.0
"""The least time between two starts, so that a model that kills its process does not spin."""

_COMMAND = (sys.executable, "-c", "from batchyard.engines.llama.child import main; main()")
_WORDS_KEPT = 20


class LlamaProcess:
    """One child. `address` starts it where it is not running; it dies with this process."""

    def __init__(
        self, path: Path, model: str, options: LlamaOptions, clock: Clock | None = None
    ) -> None:
        self.key = secrets.token_urlsafe(32)
        self._orders = Orders(str(path), model, self.key, options)
        self._clock = clock or SystemClock()
        self._child: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[str] | None = None
        self._started_at = float("-inf")
        self._words: deque[str] = deque(maxlen=_WORDS_KEPT)
        self._listener: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's, None while there is none."""
        return self._child.pid if self._child and self._child.returncode is None else None

    async def address(self) -> str:
        """The URL of llama.cpp's server.

        Raises `Unavailable` while the model is being loaded, `Misconfigured` when it cannot be.
        """
        if self._closed:
            raise Unavailable(f"{self._orders.model} was closed")
        if self._starting is None or self._is_lost():
            if self._clock.monotonic() < self._started_at + RESTART_SECONDS:
                raise Unavailable(f"llama.cpp ended; {self._last_words()}", retry_after=1.0)
            self._started_at = self._clock.monotonic()
            self._starting = asyncio.get_running_loop().create_task(self._start())
        ready, _ = await asyncio.wait([self._starting], timeout=PATIENCE_SECONDS)
        if not ready:
            seconds = self._clock.monotonic() - self._started_at
            raise Unavailable(f"llama.cpp is loading {self._orders.model} ({seconds:.0f} s so far)")
        return self._starting.result()

    async def close(self) -> None:
        """End the child. May be called twice."""
        self._closed = True
        for task in (self._starting, self._listener):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Misconfigured):
                    await task
        await self._end()

    def _is_lost(self) -> bool:
        assert self._starting is not None
        if not self._starting.done():
            return False
        return self._child is None or self._child.returncode is not None

    async def _start(self) -> str:
        """Start the child and return once its model is loaded."""
        await self._end()
        self._words.clear()
        pipe = asyncio.subprocess.PIPE
        try:
            self._child = child = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise Unavailable(f"no process for llama.cpp: {error}") from error
        assert child.stdin is not None
        assert child.stdout is not None
        self._listener = asyncio.get_running_loop().create_task(self._listen(child))
        child.stdin.write(msgspec.json.encode(self._orders) + b"\n")
        while line := await child.stdout.readline():
            word, _, address = line.decode("utf-8", "replace").strip().partition(" ")
            if word == LISTENING:
                return address
        await child.wait()
        await self._listener
        raise Misconfigured(f"llama.cpp cannot run {self._orders.path}: {self._last_words()}")

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Keep the child's last words; they say why it ended, if it does."""
        assert child.stderr is not None
        while line := await child.stderr.readline():
            self._words.append(line.decode("utf-8", "replace").strip())

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()

    def _last_words(self) -> str:
        told = [line for line in self._words if line]
        return f"its last words: {' / '.join(told[-3:])}" if told else "it said nothing"
