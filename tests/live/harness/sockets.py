"""Bytes straight onto a socket, for what no HTTP client would send."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from tests.live.harness.calls import HEADERS
from tests.live.harness.serving import Server


def connected(server: Server, seconds: float = 10) -> socket.socket:
    """A fresh connection to the server, the caller's to close."""
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=seconds)


def raw(server: Server, sent: bytes, *, seconds: float = 10) -> bytes:
    """Everything the server says to these bytes until it closes or falls silent."""
    said = b""
    with connected(server, seconds) as wire:
        try:
            wire.sendall(sent)
            while chunk := wire.recv(65536):
                said += chunk
                wire.settimeout(0.5)
        except (TimeoutError, ConnectionError):
            pass
    return said


def head(method: str, path: str, *lines: str) -> bytes:
    """A request line and headers as they go over the wire, the empty line included."""
    named = [f"{name}: {value}" for name, value in HEADERS.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: h", *named, *lines, "", ""]).encode()
