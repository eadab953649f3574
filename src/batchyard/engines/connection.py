"""One HTTP/1.1 connection to an engine, which always knows how far its exchange has come.

Knowing that is the point: whether a request may be sent again depends on how much of it left this
machine, and cancelling frees the engine only if the socket closes at once. The parser is llhttp
(through httptools), the transport asyncio's.
"""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, Protocol, cast

import httptools

Phase = Literal["unsent", "sent", "answering"]
"""How far an exchange came: the request did not leave whole; it left; the answer had begun."""

_PAUSE_BYTES = 256 * 1024
_JOIN_BYTES = 64 * 1024
_HEAD_BYTES_MAX = 1024 * 1024
_NEVER = math.inf


class Broken(Exception):
    """The exchange ended without a whole answer.

    `phase` says what the engine may have seen, `reused` that the connection had been idle before.
    """

    def __init__(self, reason: str, phase: Phase, *, reused: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.phase: Phase = phase
        self.reused = reused


class Receiver(Protocol):
    """What is told as an answer arrives: `head` first, one of `done` and `broken` last."""

    def head(self, status: int, headers: dict[str, str]) -> None: ...
    def data(self, chunk: bytes) -> None: ...
    def done(self) -> None: ...
    def broken(self, error: Broken) -> None: ...


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; `on_idle` is told when it may carry another."""

    def __init__(self, on_idle: Callable[[Connection], None]) -> None:
        self._on_idle = on_idle
        self._receiver: Receiver | None = None
        self._headers: dict[str, str] = {}
        self._parser = httptools.HttpResponseParser(self)
        self._alarm: asyncio.TimerHandle | None = None
        self._overdue_at = _NEVER
        self._total_seconds = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._answering = self._until_close = False
        self._heard, self._held_up = True, False
        self._exchanges = 0

    # -- what the client does ---------------------------------------------------------------------

    def begin(
        self,
        head: bytes,
        body: bytes,
        receiver: Receiver,
        *,
        total_seconds: float | None,
        idle_seconds: float | None,
    ) -> None:
        """Send a request and have `receiver` told of its answer.

        `total_seconds` bounds the exchange, `idle_seconds` every silence within it (a silence is
        noticed between one and two times that long).
        """
        self._exchanges += 1
        self._receiver = receiver
        self._answering = self._until_close = False
        self._headers, self._head_room, self._in_head = {}, _HEAD_BYTES_MAX, True
        if total_seconds is not None:
            self._limit(total_seconds)
        if idle_seconds is not None:
            self._heard = True
            self._idle_timer = self._loop.call_later(idle_seconds, self._listen, idle_seconds)
        if len(body) <= _JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    @property
    def is_closed(self) -> bool:
        """Whether the loop has heard that the connection is over."""
        return self._transport.is_closing()

    def is_stale(self) -> bool:
        """Whether the engine closed (or spoke) while nobody was asking: the socket is asked."""
        if self._transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def abandon(self, receiver: Receiver) -> None:
        """Close at once if `receiver` still waits here; most engines then stop generating."""
        if self._receiver is receiver:
            self._receiver = None
            self._stop_timers()
            self._transport.abort()

    def end(self, reason: str) -> None:
        """Close at once; whoever waits here is told it broke for that reason."""
        receiver, self._receiver = self._receiver, None
        self._stop_timers()
        self._transport.abort()
        if receiver is not None:
            sent: Phase = "sent" if self._flushed else "unsent"
            phase = "answering" if self._answering else sent
            receiver.broken(Broken(reason, phase, reused=self._exchanges > 1))

    @property
    def _flushed(self) -> bool:
        """Whether all of the request was handed to the kernel. Of a transport that was lost only
        large remains are known, and less counts as sent: it is then not sent again at once."""
        return not self._held_up and self._transport.get_write_buffer_size() == 0

    def hold_back(self, buffered: int) -> None:
        """Stop reading while the reader of a streamed answer is slower than the engine."""
        if self._transport.is_closing():
            return
        if buffered > _PAUSE_BYTES and self._transport.is_reading():
            self._transport.pause_reading()
        elif buffered <= _PAUSE_BYTES and not self._transport.is_reading():
            self._heard = True
            self._transport.resume_reading()

    # -- what the transport says ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", transport)
        # Up to the high mark uvloop keeps what is written until the end of the turn: the requests
        # of a turn leave together, and the engine is woken once for them, not once for each.
        self._transport.set_write_buffer_limits(high=_JOIN_BYTES, low=0)

    def pause_writing(self) -> None:
        self._held_up = True

    def resume_writing(self) -> None:
        self._held_up = False

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self._transport.abort()
            return
        self._heard = self._answering = True
        self._head_room -= len(data)
        if self._in_head and self._head_room < 0:
            self.end("its headers have no end")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.end(f"the answer is not HTTP ({error})")

    def connection_lost(self, error: Exception | None) -> None:
        if self._until_close and error is None:
            self._finish(keep=False)
        else:
            self.end(_words(error, answering=self._answering))

    # -- what the parser finds --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._receiver is None:
            self._transport.abort()
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = _key(name), value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._receiver is None:
            return
        self._in_head = False
        framed = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._until_close = not framed and status not in (204, 304)
        self._receiver.head(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if self._receiver is not None:
            self._receiver.data(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            keep = self._parser.should_keep_alive() and self._flushed and _lasting(self._headers)
            self._finish(keep=keep)

    # -- the end of an exchange -------------------------------------------------------------------

    def _finish(self, *, keep: bool) -> None:
        receiver, self._receiver = self._receiver, None
        self._stop_timers(for_good=not keep)
        if receiver is None:
            return
        if keep and not self._until_close and not self._transport.is_closing():
            if not self._transport.is_reading():
                self._transport.resume_reading()
            self._on_idle(self)
        else:
            self._transport.abort()
        receiver.done()

    def _limit(self, seconds: float) -> None:
        """Have this exchange ended after `seconds`.

        One alarm serves many exchanges: it is left running when one ends, and set anew when it
        rings during a later one. Setting and stopping a timer for each costs as much as a call.
        """
        self._total_seconds = seconds
        self._overdue_at = self._loop.time() + seconds
        if self._alarm is not None and self._alarm.when() > self._overdue_at:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._alarm = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        left = self._overdue_at - self._loop.time()
        if left <= 0:
            self.end(f"no whole answer within {self._total_seconds:g} s")
        elif left < _NEVER:
            self._alarm = self._loop.call_later(left, self._ring)

    def _listen(self, seconds: float) -> None:
        if not self._heard and self._transport.is_reading():
            self.end(f"silent for {seconds:g} s")
            return
        self._heard = False
        self._idle_timer = self._loop.call_later(seconds, self._listen, seconds)

    def _stop_timers(self, *, for_good: bool = True) -> None:
        self._overdue_at = _NEVER
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if for_good and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


@lru_cache(maxsize=512)
def _key(name: bytes) -> str:
    """A header's name as it is looked up; engines send the same few with every answer."""
    return name.decode("latin-1").lower()


def _lasting(headers: dict[str, str]) -> bool:
    """Whether the engine keeps idle connections longer than we do (`Keep-Alive: timeout=N`)."""
    told = headers.get("keep-alive")
    if told is None:
        return True
    for part in told.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "timeout" and value.isdigit():
            return int(value) >= 5
    return True


def _words(error: Exception | None, *, answering: bool) -> str:
    if error is not None:
        return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
    return "closed in the middle of its answer" if answering else "closed without an answer"
