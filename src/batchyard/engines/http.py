"""The way to an engine over HTTP: pooled connections, time limits, sizes, and what a failure means.

Failures are told apart by what happened, not by whose exception it was: `Unavailable` when the
request surely did not reach the engine, `Spent` when it may have been computed. Redirects are
never followed, cookies never kept, and loopback is never asked through a proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Self

from batchyard.engines.connection import Broken, Connection
from batchyard.engines.receive import Answer, Streamed, Whole
from batchyard.engines.route import Route, full_head, reason
from batchyard.errors import Spent, Unavailable

__all__ = ["Answer", "Headers", "HttpClient", "Streamed", "full_head"]

ANSWER_BYTES_MAX = 32 * 1024 * 1024
TOTAL_SECONDS = 600.0
CONNECT_SECONDS = 10.0
POOL_IDLE_SECONDS = 4.0
"""Engines close idle connections after 5 s; we let go of them first."""

Headers = Mapping[str, str]


class HttpClient:
    """Talks to one base URL. Use within one event loop; calls may run concurrently.

    `total_seconds` bounds a `post` or `get` from first to last byte; `idle_seconds` bounds each
    silence of a streamed answer, which has no total.
    """

    def __init__(
        self,
        base_url: str,
        *,
        total_seconds: float = TOTAL_SECONDS,
        idle_seconds: float = TOTAL_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        self._route = Route(base_url)
        self._total_seconds = total_seconds
        self._idle_seconds = idle_seconds
        self._connect_seconds = connect_seconds
        self._answer_bytes_max = answer_bytes_max
        self._warm: list[Connection] = []
        self._cooling = False
        self._idle: list[Connection] = []
        self._resting: list[Connection] = []
        self._busy: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def base_url(self) -> str:
        """Where it talks to, without credentials and without a trailing `/v1`."""
        return self._route.shown

    @property
    def kept(self) -> int:
        """Idle connections that wait to be used again."""
        return len(self._warm) + len(self._idle) + len(self._resting)

    async def post(
        self, path: str, headers: Headers, body: bytes, *, total_seconds: float | None = None
    ) -> Answer:
        """Send `body` and return the whole answer, whatever its status.

        Raises `Unavailable` (status None) when nothing can have been computed, `Spent` otherwise.
        Cancelling closes the connection.
        """
        head = full_head(self.opening(path, headers), len(body))
        return await self.exchange(head, body, total_seconds)

    def opening(self, path: str, headers: Headers) -> bytes:
        """The beginning of a `POST`, for those who send many that begin alike: see `exchange`."""
        return self._route.opening("POST", path, headers)

    async def exchange(
        self, head: bytes, body: bytes, total_seconds: float | None = None
    ) -> Answer:
        """Like `post`, with a head put together by the caller, its empty line included."""
        limit = total_seconds or self._total_seconds
        try:
            return await self._whole(self._kept() or await self._connect(), head, body, limit)
        except Broken as error:
            if not _never_left(error):
                raise Spent(f"{self.base_url}: {error.reason}") from error
        try:
            return await self._whole(await self._connect(), head, body, limit)
        except Broken as error:
            raise Spent(f"{self.base_url}: {error.reason}") from error

    async def get(
        self, path: str, headers: Headers | None = None, *, total_seconds: float | None = None
    ) -> Answer:
        """Like `post`; raises `Unavailable` alone, since looking at something spends nothing."""
        head = self._route.opening("GET", path, headers or {}) + b"\r\n"
        try:
            return await self.exchange(head, b"", total_seconds)
        except Spent as error:
            raise Unavailable(error.message) from error

    async def stream(self, path: str, headers: Headers, body: bytes) -> Streamed:
        """Send `body` and return as soon as status and headers are there. Raises like `post`."""
        head = full_head(self.opening(path, headers), len(body))
        try:
            try:
                return await self._streamed(self._kept() or await self._connect(), head, body)
            except Broken as error:
                if not _never_left(error):
                    raise
            return await self._streamed(await self._connect(), head, body)
        except Broken as error:
            raise Spent(f"{self.base_url}: {error.reason}") from error

    async def close(self) -> None:
        """Close every connection, also those in use. May be called twice."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in [*self._warm, *self._idle, *self._resting, *self._busy]:
            connection.end("closed on our side")
        self._warm, self._idle, self._resting, self._busy = [], [], [], set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- exchanges --------------------------------------------------------------------------------

    async def _whole(
        self, connection: Connection, head: bytes, body: bytes, total_seconds: float
    ) -> Answer:
        whole = Whole(connection, self._answer_bytes_max)
        connection.begin(head, body, whole, total_seconds=total_seconds, idle_seconds=None)
        try:
            return await whole.answer
        except BaseException:
            connection.abandon(whole)
            raise
        finally:
            self._busy.discard(connection)

    async def _streamed(self, connection: Connection, head: bytes, body: bytes) -> Streamed:
        streamed = Streamed(self.base_url, connection, lambda: self._busy.discard(connection))
        connection.begin(head, body, streamed, total_seconds=None, idle_seconds=self._idle_seconds)
        try:
            await streamed.begun
        except BaseException:
            await streamed.aclose()
            raise
        return streamed

    # -- connections ------------------------------------------------------------------------------

    def _kept(self) -> Connection | None:
        """An idle connection that is still good."""
        while self._warm:
            connection = self._warm.pop()
            if not connection.is_closed:
                self._busy.add(connection)
                return connection
        for pool in (self._idle, self._resting):
            while pool:
                connection = pool.pop()
                if not connection.is_stale():
                    self._busy.add(connection)
                    return connection
                connection.end("stale")
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await self._route.connect(self._rest)
        except TimeoutError as error:
            waited = f"no connection within {self._connect_seconds:g} s"
            raise Unavailable(f"{self.base_url}: {waited}") from error
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"{self.base_url}: {reason(error)}") from error
        self._busy.add(connection)
        return connection

    def _rest(self, connection: Connection) -> None:
        """Keep a connection that has done its work.

        Under load the next request takes it in the same turn of the loop. Until the loop has
        looked at its sockets again there is no point in asking this one whether it is still open,
        and asking costs as much as everything else about a connection.
        """
        self._busy.discard(connection)
        self._warm.append(connection)
        if not self._cooling:
            self._cooling = True
            asyncio.get_running_loop().call_soon(self._cool, 1)

    def _cool(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._cool, turns - 1)
            return
        self._cooling = False
        self._idle += self._warm
        self._warm = []
        if self._idle and self._sweep is None:
            self._arm()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(POOL_IDLE_SECONDS / 2, self._let_go)

    def _let_go(self) -> None:
        """Close what has rested for a whole round; what has not gets one more."""
        for connection in self._resting:
            connection.end("idle")
        self._resting, self._idle = self._idle, []
        self._sweep = None
        if self._resting:
            self._arm()


def _never_left(error: Broken) -> bool:
    """Whether a kept-alive connection died under a request that had not left this machine whole:
    no engine can have begun to compute it, so it is sent once more, on a fresh connection."""
    return error.phase == "unsent" and error.reused
