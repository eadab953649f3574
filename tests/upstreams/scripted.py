"""A fast HTTP server on loopback that speaks both dialects, records all, and fails on demand.

In process:  `async with Scripted() as upstream: ... upstream.url, upstream.exchanges`
On its own:  `python -m tests.upstreams.scripted --port 0` prints `listening http://127.0.0.1:P`;
`GET /-/exchanges` gives what it saw as JSON lines, `GET /-/stats` the sums, `POST /-/settings`
(a JSON object) changes `latency`, `limit`, `fault`, `every`, `poison`, and `{"clear": true}`
forgets the record.

A request may carry its own orders in its text: `marker=ROW-17` names it in the record, and
`fault=status:500x2` (any spelling `faults.parse_fault` knows) makes its first two tries fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Self

import msgspec

from tests.upstreams import control, dialects, faults
from tests.upstreams.connection import Connection, Exchange
from tests.upstreams.faults import Fault

_MARKER = re.compile(rb"marker=([A-Za-z0-9_-]+)")
_ORDER = re.compile(
    rb"fault=([a-z-]+(?::[0-9.]+)?(?:,retry-after=[0-9.]+)?(?:x[0-9]+)?)(?![A-Za-z0-9])"
)


class Scripted:
    """The upstream. Without settings it echoes: the answer's text is that of the last message.

    `script` holds faults for the next requests, first come first served (`faults.ok()` for none);
    `decide` may choose a fault per exchange; `every` n-th request gets `fault`. `limit` answers 429
    above so many at once. A request whose body contains `poison` always gets a 500. `latency` is in
    seconds. Only generating calls count in `exchanges` and obey any of this.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        models: Sequence[str] = ("echo-1",),
        paths: Sequence[str] = ("/v1/messages", "/v1/chat/completions"),
        pages: dict[str, tuple[int, object]] | None = None,
        key: str | None = None,
        **settings: Any,
    ) -> None:
        self.port = port
        self.models = list(models)
        self.paths = frozenset(paths)
        self.pages = dict(pages or {})
        self.key = key
        self.exchanges: list[Exchange] = []
        self.others: list[Exchange] = []
        self.script: deque[Fault] = deque()
        self.decide: Callable[[Exchange], Fault | None] | None = None
        self.latency = 0.0
        self.event_seconds = 0.0
        self.limit = 0
        self.limit_retry_after: str | None = None
        self.fault: Fault | None = None
        self.every = 0
        self.poison = b""
        self.keep_bodies = True
        self.tls: ssl.SSLContext | None = None
        self.in_flight = 0
        self.peak = 0
        self.accepted = 0
        self.connections: set[Connection] = set()
        self._tries: Counter[object] = Counter()
        self._held: list[Callable[[], None]] | None = None
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._server: asyncio.Server | None = None
        self.set(**settings)

    def set(self, **settings: Any) -> None:
        """Change any setting by name; faults may be given as text, poison as str."""
        for name, value in settings.items():
            if not hasattr(self, name) or name.startswith("_"):
                raise AttributeError(name)
            if name == "fault" and isinstance(value, str):
                value = faults.parse_fault(value)  # noqa: PLW2901
            if name == "poison" and isinstance(value, str):
                value = value.encode()  # noqa: PLW2901
            setattr(self, name, value)

    # -- being there, or not ----------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen, on the same port as before if it was up before."""

        def connect() -> Connection:
            self.accepted += 1
            return Connection(self, self.accepted)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            connect, "127.0.0.1", self.port, backlog=4096, reuse_address=True, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections and drop those there are; `up` brings it back."""
        if self._server:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def close_idle(self) -> None:
        """Close kept-alive connections nobody is using, as engines do after a few seconds."""
        for connection in list(self.connections):
            if connection.idle:
                connection.transport.close()
        await self.until(lambda upstream: not any(c.idle for c in upstream.connections))

    # -- holding and watching ---------------------------------------------------------------------

    def hold(self) -> None:
        """Take requests and answer none until `release`."""
        self._held = []

    def release(self) -> None:
        """Answer everything held, in order of arrival, and hold no more."""
        held, self._held = self._held or [], None
        for answer in held:
            answer()

    async def until(self, condition: Callable[[Scripted], bool]) -> None:
        """Return when `condition` holds; it is looked at on every arrival, answer and hang-up."""
        if condition(self):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append((lambda: condition(self), waiter))
        await waiter

    async def seen(self, count: int) -> None:
        """Return when `count` generating requests have arrived."""
        await self.until(lambda upstream: len(upstream.exchanges) >= count)

    def attempts(self, marker: str) -> list[Exchange]:
        """Every try of the request that calls itself `marker`, in order."""
        return [exchange for exchange in self.exchanges if exchange.marker == marker]

    # -- called by connections --------------------------------------------------------------------

    def arrived(
        self, connection: int, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> Exchange:
        exchange = Exchange(
            len(self.exchanges), connection, method, path, headers, body, time.monotonic()
        )
        if path.partition("?")[0] not in self.paths or method != "POST":
            self.others.append(exchange)
            return exchange
        marker = _MARKER.search(body)
        exchange.marker = marker[1].decode() if marker else ""
        identity = exchange.marker or hash(body)
        self._tries[identity] += 1
        exchange.attempt = self._tries[identity]
        self.exchanges.append(exchange)
        self.in_flight += 1
        self.peak = max(self.peak, min(self.in_flight, self.limit or self.in_flight))
        self.look()
        return exchange

    def finished(self, exchange: Exchange, status: int | None, *, gone: bool) -> None:
        exchange.status, exchange.ended, exchange.gone = status, time.monotonic(), gone
        exchange.echo = None
        if exchange.path.partition("?")[0] in self.paths and exchange.method == "POST":
            self.in_flight -= 1
            if not self.keep_bodies:
                exchange.body = b""
            self.look()

    def respond(self, connection: Connection, exchange: Exchange) -> None:
        """Carry out the script for one request."""
        path = exchange.path.partition("?")[0]
        if path.startswith("/-/"):
            return control.obey(self, connection, exchange, path)
        if self.key and self.key not in (
            exchange.headers.get("x-api-key"),
            exchange.headers.get("authorization", "").removeprefix("Bearer "),
        ):
            return faults.status(401).act(connection, exchange)
        if path not in self.paths or exchange.method != "POST":
            return self._page(connection, exchange, path)
        try:
            exchange.echo = dialects.Echo(exchange.body)
        except (msgspec.DecodeError, RecursionError):
            refused = dialects.refusal("invalid_request_error", "The body is not a request.")
            return connection.answer(exchange, 400, refused)
        if exchange.echo.is_empty:
            refused = dialects.refusal("invalid_request_error", "messages: Field required")
            return connection.answer(exchange, 400, refused)
        fault = self._choose(exchange)
        exchange.fault = fault.name if fault else ""
        act = fault.act if fault else Connection.echo
        if self._held is not None:
            self._held.append(lambda: act(connection, exchange))
            return None
        if self.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, self._act_late, act, connection, exchange)
            return None
        return act(connection, exchange)

    def _act_late(self, act: Callable[..., None], connection: Connection, to: Exchange) -> None:
        if to.ended is None:
            act(connection, to)

    def _choose(self, exchange: Exchange) -> Fault | None:
        if self.limit and self.in_flight > self.limit:
            return faults.status(429, retry_after=self.limit_retry_after)
        if self.poison and self.poison in exchange.body:
            return faults.status(500)
        if b"fault=" in exchange.body and (order := _ORDER.search(exchange.body)):
            return faults.parse_fault(order[1].decode()).on(exchange.attempt)
        if self.script:
            return self.script.popleft()
        if self.decide and (fault := self.decide(exchange)):
            return fault.on(exchange.attempt)
        if self.fault and (not self.every or exchange.number % self.every == self.every - 1):
            return self.fault.on(exchange.attempt)
        return None

    def _page(self, connection: Connection, exchange: Exchange, path: str) -> None:
        if page := self.pages.get(exchange.path, self.pages.get(path)):
            status, value = page
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            return connection.answer(exchange, status, body)
        if path == "/v1/models":
            listed = [{"id": name, "object": "model", "type": "model"} for name in self.models]
            return connection.answer(exchange, 200, json.dumps({"data": listed}).encode())
        if path == "/v1/messages/count_tokens" and "/v1/messages" in self.paths:
            counted = {"input_tokens": max(1, len(exchange.body) // 4)}
            return connection.answer(exchange, 200, json.dumps(counted).encode())
        return connection.answer(exchange, 404, b'{"detail":"Not Found"}')

    def clear(self) -> None:
        """Forget what was seen; settings stay."""
        self.exchanges.clear()
        self.others.clear()
        self._tries.clear()
        self.peak = self.in_flight

    def look(self) -> None:
        for watcher in list(self._watchers):
            condition, waiter = watcher
            if waiter.done() or condition():
                self._watchers.remove(watcher)
                if not waiter.done():
                    waiter.set_result(None)


async def _serve(options: argparse.Namespace) -> None:
    upstream = Scripted(port=options.port, models=options.model or ["echo-1"])
    upstream.set(latency=options.latency, limit=options.limit, every=options.every)
    upstream.set(fault=options.fault, poison=options.poison, keep_bodies=options.keep_bodies)
    async with upstream:
        print(f"listening {upstream.url}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", action="append")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--limit", type=int, default=0, help="429 above so many at once")
    parser.add_argument("--fault", help="as faults.parse_fault reads it")
    parser.add_argument("--every", type=int, default=0, help="only every n-th request fails")
    parser.add_argument("--poison", default="", help="text that always earns a 500")
    parser.add_argument("--keep-bodies", action="store_true")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
