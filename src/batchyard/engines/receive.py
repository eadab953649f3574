"""Two ways to take an answer off a connection: whole, up to a size, or piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

import msgspec

from batchyard.engines.connection import Broken, Connection
from batchyard.errors import Spent


class Answer(msgspec.Struct, frozen=True):
    """A whole answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Whole:
    """Collects an answer of at most `bytes_max` bytes into the future `answer`."""

    def __init__(self, connection: Connection, bytes_max: int) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._room = self._bytes_max = bytes_max
        self._chunks: list[bytes] = []

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers

    def data(self, chunk: bytes) -> None:
        self._room -= len(chunk)
        if self._room >= 0:
            self._chunks.append(chunk)
        else:
            limit = f"{self._bytes_max / (1024 * 1024):g} MiB"
            self._connection.end(f"its answer is larger than {limit}")

    def done(self) -> None:
        if not self.answer.done():
            body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self.answer.set_result(Answer(self._status, self._headers, body))

    def broken(self, error: Broken) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Streamed:
    """An answer as it arrives: an async iterator of bytes that must be exhausted or closed.

    Reading slower than the engine speaks slows the engine down. Iterating raises `Spent` when the
    answer breaks off. `on_over` is told once when the connection is no longer needed.
    """

    def __init__(self, place: str, connection: Connection, on_over: Callable[[], None]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._place = place
        self._connection = connection
        self._on_over = on_over
        self._chunks: deque[bytes] = deque()
        self.buffered = 0
        self._over = False
        self._error: Broken | None = None
        self._news: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks and not self._over:
            self._news = asyncio.get_running_loop().create_future()
            try:
                await self._news
            except asyncio.CancelledError:
                await self.aclose()
                raise
        if self._chunks:
            chunk = self._chunks.popleft()
            self.buffered -= len(chunk)
            if not self._over:
                self._connection.hold_back(self.buffered)
            return chunk
        if self._error is not None:
            raise Spent(f"{self._place}: {self._error.reason}") from self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop; an answer still arriving is cut by closing its connection. May be called twice."""
        self._chunks.clear()
        if not self._over:
            self._connection.abandon(self)
            self._end()

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers
        if not self.begun.done():
            self.begun.set_result(None)

    def data(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.buffered += len(chunk)
        self._connection.hold_back(self.buffered)
        self._tell()

    def done(self) -> None:
        self._end()

    def broken(self, error: Broken) -> None:
        self._error = error
        if not self.begun.done():
            self.begun.set_exception(error)
        self._end()

    def _end(self) -> None:
        self._over = True
        self._on_over()
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
