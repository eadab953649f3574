"""What can go wrong with an upstream: each fault is one small act on a connection.

A fault is named in Python (`status(429, retry_after="1")`) or, across processes, as text:
`status:429`, `reset`, `hang`, `trickle:5`; `status:500x2` happens to the first two tries only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests.upstreams import dialects

if TYPE_CHECKING:
    from tests.upstreams.connection import Connection, Exchange

Act = Callable[["Connection", "Exchange"], None]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. `times` limits it to the first tries of a request; 0 = every try."""

    name: str
    act: Act
    times: int = 0

    def on(self, attempt: int) -> Fault | None:
        """Itself, if it happens to a request's try number `attempt` (from 1)."""
        return self if not self.times or attempt <= self.times else None


def ok() -> Fault:
    """No fault: the echo."""
    return Fault("ok", lambda connection, exchange: connection.echo(exchange))


def status(
    code: int,
    *,
    body: bytes | None = None,
    retry_after: str | None = None,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Fault:
    """Any status with any body; by default the Messages error envelope of that status."""
    sent = dict(headers or {})
    if retry_after is not None:
        sent["retry-after"] = retry_after
    kind = _TYPES.get(code, "api_error" if code >= 500 else "invalid_request_error")
    payload = dialects.refusal(kind, f"scripted {code}") if body is None else body
    return Fault(
        f"status:{code}",
        lambda connection, exchange: connection.answer(
            exchange, code, payload, content_type=content_type, headers=sent
        ),
    )


def retry_after_date(seconds: float, code: int = 429, *, now: float) -> Fault:
    """A status whose `retry-after` is an HTTP date `seconds` after `now` (epoch seconds)."""
    return status(code, retry_after=formatdate(now + seconds, usegmt=True))


def reset() -> Fault:
    """RST after the whole request was read, before a byte was answered."""
    return Fault("reset", lambda connection, exchange: connection.reset(exchange))


def fin() -> Fault:
    """Close politely after the request was read, without an answer."""
    return Fault("fin", lambda connection, exchange: connection.hang_up(exchange))


def hang() -> Fault:
    """Never answer; the exchange ends when the client hangs up."""
    return Fault("hang", lambda connection, exchange: connection.keep_waiting(exchange))


def reset_after_headers() -> Fault:
    """RST when the status line and headers of a 200 are out."""

    def act(connection: Connection, exchange: Exchange) -> None:
        connection.send(_head(200, 100))
        connection.reset(exchange, status=200)

    return Fault("reset-after-headers", act)


def truncated(share: float = 0.5) -> Fault:
    """Part of a good answer under a content-length that promises all of it, then FIN."""

    def act(connection: Connection, exchange: Exchange) -> None:
        whole = connection.echo_body(exchange)
        connection.send(_head(200, len(whole)) + whole[: int(len(whole) * share)])
        connection.hang_up(exchange, status=200)

    return Fault("truncated", act)


def unfinished_chunks() -> Fault:
    """A chunked 200 that ends without its last chunk."""

    def act(connection: Connection, exchange: Exchange) -> None:
        whole = connection.echo_body(exchange)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        head += b"transfer-encoding: chunked\r\n\r\n"
        connection.send(head + b"%x\r\n%b\r\n" % (len(whole), whole))
        connection.hang_up(exchange, status=200)

    return Fault("unfinished-chunks", act)


def trickle(bytes_per_second: float = 20) -> Fault:
    """A good answer, one byte at a time."""
    return Fault(
        f"trickle:{bytes_per_second}",
        lambda connection, exchange: connection.trickle(exchange, 1 / bytes_per_second),
    )


def stall(share: float = 0.5) -> Fault:
    """Headers and part of a good answer, then silence on an open connection."""

    def act(connection: Connection, exchange: Exchange) -> None:
        whole = connection.echo_body(exchange)
        connection.send(_head(200, len(whole)) + whole[: int(len(whole) * share)])
        connection.keep_waiting(exchange)

    return Fault("stall", act)


def garbage() -> Fault:
    """A 200 that calls itself JSON and is not."""
    return status_200("garbage", b'{"id":"msg_1","content":[{]', "application/json")


def html() -> Fault:
    """The page of a proxy in the way."""
    return status_200("html", b"<html><body>Sign in to the network</body></html>", "text/html")


def not_http() -> Fault:
    """Bytes that are no HTTP at all, then FIN."""

    def act(connection: Connection, exchange: Exchange) -> None:
        connection.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        connection.hang_up(exchange)

    return Fault("not-http", act)


def wrong_content_type() -> Fault:
    """A good answer called text/plain."""
    return Fault(
        "wrong-content-type",
        lambda connection, exchange: connection.echo(exchange, content_type="text/plain"),
    )


def status_200(name: str, body: bytes, content_type: str) -> Fault:
    """A 200 with `body`, whatever it is."""
    return Fault(
        name,
        lambda connection, exchange: connection.answer(
            exchange, 200, body, content_type=content_type
        ),
    )


def huge(megabytes: int = 64) -> Fault:
    """A 200 of that many megabytes; sent as fast as the client reads."""
    return Fault(
        f"huge:{megabytes}",
        lambda connection, exchange: connection.flood(exchange, megabytes << 20),
    )


def redirect(location: str = "http://127.0.0.1:9/elsewhere", code: int = 307) -> Fault:
    """A redirect, which nobody should follow with a prompt in hand."""
    return Fault(
        "redirect",
        lambda connection, exchange: connection.answer(
            exchange, code, b"", headers={"location": location}
        ),
    )


def _head(code: int, length: int) -> bytes:
    return b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
        code,
        length,
    )


_BY_NAME: dict[str, Callable[[], Fault]] = {
    "ok": ok,
    "reset": reset,
    "fin": fin,
    "hang": hang,
    "reset-after-headers": reset_after_headers,
    "truncated": truncated,
    "unfinished-chunks": unfinished_chunks,
    "stall": stall,
    "garbage": garbage,
    "html": html,
    "not-http": not_http,
    "wrong-content-type": wrong_content_type,
    "redirect": redirect,
}
_SPELLING = re.compile(r"([a-z-]+)(?::([0-9.]+))?(?:,retry-after=([0-9.]+))?(?:x([0-9]+))?\Z")


def parse_fault(text: str) -> Fault:
    """`name[:number][,retry-after=S][xTIMES]` as a `Fault`."""
    match = _SPELLING.match(text)
    if not match:
        raise ValueError(f"no such fault: {json.dumps(text)}")
    name, number, retry_after, times = match.groups()
    if name == "status":
        fault = status(int(number), retry_after=retry_after)
    elif name == "trickle":
        fault = trickle(float(number or 20))
    elif name == "huge":
        fault = huge(int(number or 64))
    elif name in _BY_NAME:
        fault = _BY_NAME[name]()
    else:
        raise ValueError(f"no such fault: {name}")
    return Fault(fault.name, fault.act, int(times or 0))
