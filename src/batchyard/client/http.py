"""HTTP to one server: deadlines, retries of what may be repeated, faults as typed errors.

Through httpx2, imported by the verbs that ask a server: certificates and proxies as users expect,
an early answer is read while a body is being sent, and a body cut short is an error.
"""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal, Self

import httpx2

from batchyard import __version__
from batchyard.client.answer import Answer
from batchyard.clock import Clock
from batchyard.errors import (
    BatchyardError,
    NotThisApi,
    Overload,
    RateLimited,
    Refused,
    ServerUnreachable,
    ServiceUnavailable,
)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
STALL_SECONDS = 300.0
"""Longest silence while a body is on its way, in either direction, or is being worked on."""

ATTEMPTS_MAX = 4
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.25, 4.0
WAIT_SECONDS_MAX = 20
"""A server that asks for a longer wait than this is not waited for: the user is told."""

Repeat = Literal["always", "if refused", "never"]
"""When a call may be sent again: "if refused" means if the server surely has not acted on it."""

_REFUSES = (429, 503, 529)


@dataclass(frozen=True, slots=True)
class Body:
    """`size` bytes to send; `chunks()` starts from the beginning each time it is called."""

    chunks: Callable[[], AsyncIterator[bytes]]
    size: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call of the API, which may be sent more than once."""

    method: str
    path: str
    repeat: Repeat = "always"
    query: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """A body on its way: the place of its first byte in the whole, and the pieces."""

    first: int
    pieces: AsyncIterator[bytes]


class Lost(ServerUnreachable):
    """The call was sent and no answer came: the server may have acted on it."""


class Http:
    """Connections to the server at `base`, each call carrying `key`.

    Redirects are not followed: the key would go to a host that nobody named.
    """

    def __init__(self, base: str, key: str | None, clock: Clock) -> None:
        self.base = base.rstrip("/")
        self._clock = clock
        headers = {
            "anthropic-version": "2023-06-01",
            # Lengths are promised for the bytes as they lie; no encoding may hide them.
            "accept-encoding": "identity",
            "user-agent": f"batchyard/{__version__}",
        }
        if key:
            headers["x-api-key"] = key
        self._wire = httpx2.AsyncClient(
            headers=headers,
            # Reading the system's certificates takes longer than all of a loopback call.
            verify=self.base.startswith("https:"),
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._wire.aclose()

    async def ask(self, exchange: Exchange) -> Answer:
        """The 200 that answers `exchange`, asked again where that is safe; else a typed error."""
        attempt = 0
        while True:
            attempt += 1
            failure: BatchyardError | None
            try:
                answer = await self.once(exchange)
                failure = answer.error()
                uncertain = answer.status not in _REFUSES
            except ServerUnreachable as error:
                failure = error
                uncertain = isinstance(error, Lost)
            if failure is None:
                return answer
            if exchange.repeat == "never" or (uncertain and exchange.repeat != "always"):
                raise failure
            jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
            wait = retry_seconds(failure, attempt, jitter)
            if wait is None:
                raise failure
            await self._clock.sleep(wait)

    async def once(self, exchange: Exchange) -> Answer:
        """Whatever status answers; raises `ServerUnreachable`, or `Lost` when it was sent."""
        silence = ANSWER_SECONDS if exchange.body is None else STALL_SECONDS
        with self._faults():
            response = await self._wire.send(self._request(exchange, silence))
        return self._answer(exchange, response)

    @asynccontextmanager
    async def stream(self, path: str, first: int = 0, tag: str = "") -> AsyncIterator[Download]:
        """The body of a GET piece by piece, at the reader's pace: from byte `first` on where the
        server has ranges and what `tag` names, else from the beginning.

        Raises `ServerUnreachable` when it breaks off, so an end without an error is its end.
        """
        headers = {"range": f"bytes={first}-", "if-range": f'"{tag}"'} if first else {}
        exchange = Exchange("GET", path, headers=headers)
        with self._faults():
            response = await self._wire.send(self._request(exchange, STALL_SECONDS), stream=True)
            try:
                if response.status_code not in (200, 206):
                    await response.aread()
                    error = self._answer(exchange, response).error()
                    assert error is not None
                    raise error
                yield Download(_first_byte(response, first), response.aiter_raw())
            finally:
                await response.aclose()

    def _request(self, exchange: Exchange, silence: float) -> httpx2.Request:
        headers, content = dict(exchange.headers), None
        if exchange.body is not None:
            headers["content-length"] = str(exchange.body.size)
            content = exchange.body.chunks()
        return self._wire.build_request(
            exchange.method,
            self.base + exchange.path,
            params=exchange.query or None,
            headers=headers,
            content=content,
            timeout=httpx2.Timeout(silence, connect=CONNECT_SECONDS),
        )

    def _answer(self, exchange: Exchange, response: httpx2.Response) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.content, self.base + exchange.path)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Faults of the network as ours."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise ServerUnreachable(
                f"cannot reach {self.base}: {_reason(error)}",
                fix="start one with `batchyard serve`, or name another with --server",
            ) from error
        except httpx2.TimeoutException as error:
            raise Lost(f"{self.base} fell silent", fix=_TRY_AGAIN) from error
        except httpx2.TransportError as error:
            raise Lost(
                f"the connection to {self.base} broke: {_reason(error)}", fix=_TRY_AGAIN
            ) from error


def _first_byte(response: httpx2.Response, asked: int) -> int:
    """Where the body begins. Raises `NotThisApi` for another part than was asked for."""
    if response.status_code == 200:
        return 0
    told = response.headers.get("content-range", "")
    if not asked or not told.startswith(f"bytes {asked}-"):
        raise NotThisApi(
            f'asked for the bytes from {asked:,} on, the server sent "{told[:60]}"',
            fix="a proxy in between may answer in its place; `batchyard doctor` tells more",
        )
    return asked


_TRY_AGAIN = "try again; `batchyard doctor` tells more"


def retry_seconds(failure: BatchyardError, attempt: int, jitter: float) -> float | None:
    """How long to wait before attempt + 1, None when it would not help or take too long.

    `jitter` in [0, 1) spreads the waits of many clients over the whole interval.
    """
    if attempt >= ATTEMPTS_MAX:
        return None
    asked = None
    if isinstance(failure, Refused):
        temporary = isinstance(failure, (RateLimited, ServiceUnavailable, Overload))
        if not (temporary if failure.should_retry is None else failure.should_retry):
            return None
        asked = failure.retry_after
    elif not isinstance(failure, ServerUnreachable):
        return None
    backoff = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** (attempt - 1)) * jitter
    if asked is None:
        return backoff
    return asked + backoff if asked <= WAIT_SECONDS_MAX else None


def _reason(error: Exception) -> str:
    """What the system said, without the numbers and addresses around it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {getattr(cause, 'verify_message', None) or cause.reason}"
        if isinstance(cause, OSError) and cause.errno is not None:
            # Name resolution has numbers of its own, below zero; asyncio rewrites the others' text.
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
