"""One client connection of the scripted upstream: HTTP/1.1 in, and every way of answering out."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from tests.upstreams import dialects

if TYPE_CHECKING:
    from tests.upstreams.scripted import Scripted


@dataclass(slots=True, eq=False)
class Exchange:
    """One request as it was received. Times are `time.monotonic` seconds.

    `status` is None while unanswered and stays None when no answer was sent; `gone` says that the
    client hung up before its answer was complete. `marker` is what the request calls itself.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    started: float
    marker: str = ""
    attempt: int = 1
    fault: str = ""
    status: int | None = None
    ended: float | None = None
    gone: bool = False
    echo: dialects.Echo | None = field(default=None, repr=False)


class Connection(asyncio.Protocol):
    """Parses requests off a socket and carries out what the script says about each."""

    def __init__(self, upstream: Scripted, number: int) -> None:
        self._upstream = upstream
        self._number = number
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._open: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._more: list[bytes] = []
        self._flood = 0

    # -- bytes in ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._upstream.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._upstream.connections.discard(self)
        if self._timer:
            self._timer.cancel()
        if self._open:
            self._close(self._open, None, gone=True)
        self._upstream.look()

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        path = self._url.decode("latin-1")
        body = b"".join(self._body)
        self._open = self._upstream.arrived(self._number, method, path, self._headers, body)
        self._upstream.respond(self, self._open)

    # -- answers out ------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        return self._open is None

    def send(self, data: bytes) -> None:
        """Raw bytes, whatever they are."""
        self.transport.write(data)

    def answer(
        self,
        exchange: Exchange,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        """A whole answer; the connection stays open."""
        extra = b"".join(
            b"%b: %b\r\n" % (k.encode(), v.encode()) for k, v in (headers or {}).items()
        )
        self.send(
            b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n"
            % (status, _phrase(status), content_type.encode(), len(body), extra)
            + body
        )
        self._close(exchange, status)

    def echo_body(self, exchange: Exchange) -> bytes:
        """The answer a good upstream gives."""
        assert exchange.echo is not None
        return dialects.DIALECTS[exchange.path.partition("?")[0]][0](exchange.echo)

    def echo(self, exchange: Exchange, *, content_type: str = "application/json") -> None:
        """Answer as a good upstream does, streaming when it was asked to stream."""
        if exchange.echo is not None and exchange.echo.stream:
            events = dialects.DIALECTS[exchange.path.partition("?")[0]][1](exchange.echo)
            self._stream_events(exchange, events)
        else:
            self.answer(exchange, 200, self.echo_body(exchange), content_type=content_type)

    def reset(self, exchange: Exchange, *, status: int | None = None) -> None:
        """RST: what a killed process or an impatient middlebox sends."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close(exchange, status)
        self._loop.call_soon(self.transport.abort)

    def hang_up(self, exchange: Exchange, *, status: int | None = None) -> None:
        """FIN once everything sent so far is out."""
        self._close(exchange, status)
        self.transport.close()

    def keep_waiting(self, exchange: Exchange) -> None:
        """Nothing more; the client decides when it is over."""

    def trickle(self, exchange: Exchange, seconds_per_byte: float) -> None:
        """A good answer in pieces of one byte."""
        whole = self.echo_body(exchange)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.send(head % len(whole))
        self._drip(exchange, [whole[i : i + 1] for i in range(len(whole))], seconds_per_byte)

    def flood(self, exchange: Exchange, size: int) -> None:
        """A 200 with `size` bytes of JSON string, no faster than the client reads."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.send(head % size)
        self._flood = size
        self.resume_writing()

    def resume_writing(self) -> None:
        while self._flood and self._open and not self.transport.is_closing():
            piece = min(self._flood, 1 << 16)
            self._flood -= piece
            self.send(b"x" * piece)
            if not self._flood:
                self._close(self._open, 200)
            if self.transport.get_write_buffer_size() > 1 << 16:
                return

    def _stream_events(self, exchange: Exchange, events: list[bytes]) -> None:
        self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
        self._drip(exchange, [*chunks, b"0\r\n\r\n"], self._upstream.event_seconds)

    def _drip(self, exchange: Exchange, pieces: list[bytes], seconds: float) -> None:
        if not seconds:
            self.send(b"".join(pieces))
            self._close(exchange, 200)
            return
        self.send(pieces[0])
        if len(pieces) == 1:
            self._close(exchange, 200)
            return
        self._timer = self._loop.call_later(seconds, self._drip, exchange, pieces[1:], seconds)

    def _close(self, exchange: Exchange, status: int | None, *, gone: bool = False) -> None:
        self._open = None
        self._upstream.finished(exchange, status, gone=gone)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
