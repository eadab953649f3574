"""HTTP/1.1 as the api process takes it: one reading of every request, and errors in the envelope.

uvicorn and llhttp refuse bad framing. What they let pass and others read differently is refused
here: a request without a single host, in absolute form or of version 0.9, a head without an end.
An offer to upgrade is declined as RFC 9110 wants, by answering the request: the JDK's HTTP client
makes one with its first request, whose body llhttp would take for another protocol's.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from batchyard import ids, wire

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers; what clients send has a few hundred bytes."""

_VERSIONS = ("1.0", "1.1")
_OFFER = (b"connection", b"upgrade", b"http2-settings")


class _NotTaken(Exception):
    """A request whose head is refused; raised to stop the parser."""


class StrictProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head = self._in_body = self._declining = False
        self._head_bytes = 0
        self._fault = ""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserError as error:
                self._refuse(self._fault or f"it is not HTTP ({error})")
            except httptools.HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
                self._read_again()
                continue
            self._weigh(len(rest))
            return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if fault := _fault(method, self.url, version, self.headers):
            self._fault = fault
            raise _NotTaken
        if self.parser.should_upgrade():
            self._declining = True
            return
        super().on_headers_complete()
        self._in_body = True

    def on_message_complete(self) -> None:
        if not self._declining:
            self._in_body = False
            super().on_message_complete()

    def _read_again(self) -> None:
        """Have a head read without the offer in it; its body, if any, is still to come."""
        self._declining = False
        kept = [b"%b: %b\r\n" % field for field in self.headers if field[0] not in _OFFER]
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self.parser.get_method(), self.url, b"".join(kept))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _weigh(self, arrived: int) -> None:
        """Refuse a head that has no end."""
        if self._in_head:
            self._head_bytes += arrived
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(
                    f"its head is larger than {HEAD_BYTES_MAX} bytes",
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                )

    def _refuse(self, fault: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        """Answer once and close; close alone where an answer has begun or another comes first."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not None and (cycle.response_started if self._in_body else _busy(cycle)):
            self.transport.close()
            return
        request_id = ids.request_id()
        message = f"The request was not understood: {fault}."
        body = wire.error_envelope("invalid_request_error", message, request_id, "invalid_request")
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nrequest-id: {request_id}\r\n"
            "x-should-retry: false\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _busy(cycle: RequestResponseCycle) -> bool:
    return not cycle.response_complete


def _fault(method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> str:
    """What is wrong with a head that the parser took; empty for one that is taken."""
    if version not in _VERSIONS:
        return "it is of no version of HTTP that is spoken here"
    if method == b"CONNECT" or not target.startswith(b"/"):
        return "its target is not a path; this server is no proxy"
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (version == "1.1" and not hosts):
        return "it does not have exactly one host header"
    return ""
