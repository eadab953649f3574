"""Patience with a server that is away: it is asked again until it has been away for too long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from batchyard.client.watching import PATIENCE_SECONDS
from batchyard.clock import Clock
from batchyard.errors import Overload, RateLimited, ServerUnreachable, ServiceUnavailable

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 10.0

T = TypeVar("T")

BUSY = (RateLimited, Overload)
"""The server is there and has surely not acted."""

AWAY = (ServerUnreachable, ServiceUnavailable)
"""The server is not there, or not able; a call that was sent may have been acted upon."""


class Patience:
    """Knows when the server was last there. `tell` hears why nothing moves."""

    def __init__(self, clock: Clock, tell: Callable[[str], object]) -> None:
        self._clock, self._tell = clock, tell
        self._seen: float | None = None
        self._pause = FIRST_SECONDS

    async def through(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call returns in the end.

        A server that was never there is not waited for, nor one that has been away for
        `PATIENCE_SECONDS`: then what the call raised is raised.
        """
        while True:
            try:
                result = await call()
            except BUSY as error:
                self.there()
                self._tell(error.message)
                await self._clock.sleep(error.retry_after or LONGEST_SECONDS)
            except AWAY as error:
                await self.bear(error)
            else:
                self.there()
                return result

    def there(self) -> None:
        """The server has answered."""
        self._seen = self._clock.monotonic()
        self._pause = FIRST_SECONDS

    async def bear(self, error: ServerUnreachable | ServiceUnavailable) -> None:
        """Say so and wait a little, or raise the error when that was done for too long."""
        now = self._clock.monotonic()
        if self._seen is None or now - self._seen > PATIENCE_SECONDS:
            raise error
        self._tell(f"{error.message}; next try in {self._pause:.0f} s")
        await self._clock.sleep(self._pause)
        self._pause = min(LONGEST_SECONDS, 2 * self._pause)
