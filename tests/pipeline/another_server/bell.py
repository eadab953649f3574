"""A bell that wakes whoever waits for news, so that nobody has to look again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Bell:
    """Rung when a switch is turned, a batch canceled, or time has moved."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, seconds: float | None) -> None:
        """Until it rings; at the longest `seconds`, None for as long as it takes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)

    async def sleep(self, seconds: float, goes_on: Callable[[], bool] = lambda: True) -> None:
        """So many seconds, less when a ring finds that `goes_on` no longer says so."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while goes_on() and (left := due - loop.time()) > 0:
            await self.wait(left)
