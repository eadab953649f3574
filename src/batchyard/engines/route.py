"""How to get to a base URL: the address, TLS, a proxy in between, and the head of each request."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

from batchyard.engines.connection import Connection
from batchyard.errors import ConfigurationError

Idle = Callable[[Connection], None]
_CLEAN = str.maketrans({"\r": " ", "\n": " ", "\0": " "})


class Route:
    """The way to `base_url`. A trailing `/v1` is dropped, since every path names it itself.

    Proxies come from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), never
    for loopback; certificates from the system or `SSL_CERT_FILE`. Raises `ConfigurationError` for
    a proxy that is not an `http://` one.
    """

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url.rstrip("/").removesuffix("/v1").rstrip("/"))
        self._secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._secure else 80)
        authority = url.netloc.rpartition("@")[2]
        self.shown = f"{url.scheme}://{authority}{url.path}"
        self._proxy = _proxy_for(url)
        self._authority = authority
        self._target = f"http://{authority}{url.path}" if self._absolute else url.path
        self._extra = _authorization(self._proxy) if self._absolute else ""

    @property
    def _absolute(self) -> bool:
        """Whether requests name the whole URL, as one asks a proxy for plain HTTP."""
        return self._proxy is not None and not self._secure

    def opening(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """Request line and headers, without what differs from one request to the next."""
        lines = [f"{method} {self._target}{path} HTTP/1.1", f"host: {self._authority}"]
        lines += [f"{name}: {value}".translate(_CLEAN) for name, value in headers.items()]
        return ("\r\n".join(lines) + self._extra + "\r\n").encode("latin-1", "replace")

    async def connect(self, on_idle: Idle) -> Connection:
        """A fresh connection. Raises `OSError` (TLS and DNS included); nothing was asked yet."""
        loop = asyncio.get_running_loop()
        secure = _tls() if self._secure else None
        if self._proxy is not None and secure is not None:
            return await self._tunnel(self._proxy, secure, on_idle)
        host, port = self._host, self._port
        if self._proxy is not None:
            host, port = self._proxy.hostname or "", self._proxy.port or 80
        _, connection = await loop.create_connection(
            lambda: Connection(on_idle), host, port, ssl=secure
        )
        return connection

    async def _tunnel(
        self, proxy: SplitResult, secure: ssl.SSLContext, on_idle: Idle
    ) -> Connection:
        loop = asyncio.get_running_loop()
        transport, opening = await loop.create_connection(
            lambda: _Opening(self._host), proxy.hostname or "", proxy.port or 80
        )
        try:
            place = f"{self._host}:{self._port}"
            asked = f"CONNECT {place} HTTP/1.1\r\nhost: {place}{_authorization(proxy)}\r\n\r\n"
            transport.write(asked.encode("latin-1", "replace"))
            await opening.opened
            connection = Connection(on_idle)
            upgraded = await loop.start_tls(
                transport, connection, secure, server_hostname=self._host
            )
        except BaseException:
            transport.abort()
            raise
        assert upgraded is not None
        connection.connection_made(upgraded)
        return connection


def full_head(opening: bytes, length: int, trace: str = "") -> bytes:
    """The head of a request with a body of `length` bytes. `trace` goes into `x-request-id`."""
    if not trace:
        return b"%bcontent-length: %d\r\n\r\n" % (opening, length)
    if not trace.isprintable():
        trace = trace.translate(_CLEAN)
    told = trace.encode("latin-1", "replace")
    return b"%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (opening, told, length)


class _Opening(asyncio.Protocol):
    """The first answer of a proxy: `opened` ends well once it agreed to a tunnel."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._seen = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        line, _, _ = self._seen.partition(b"\r\n")
        if self.opened.done() or (b"\r\n\r\n" not in self._seen and len(self._seen) < 16384):
            return
        if line.split(b" ")[1:2] == [b"200"]:
            self.opened.set_result(None)
        else:
            words = line.decode("latin-1")[:200]
            self.opened.set_exception(OSError(f"the proxy refused {self._host}: {words}"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or OSError("the proxy hung up"))


def reason(error: OSError | UnicodeError) -> str:
    """Why no connection came about, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'reason', None) or error.strerror or error})"
    if isinstance(error, ConnectionResetError) and not error.args:
        return "TLS failed (connection reset during the handshake)"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror})"
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"  # asyncio and uvloop raise it without its number
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    # A name with several addresses fails with all of their errors in one sentence.
    numbers = dict.fromkeys(re.findall(r"\[Errno (\d+)\]", str(error)))
    told = ", ".join(os.strerror(int(number)).lower() for number in numbers)
    return told or str(error) or type(error).__name__


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _proxy_for(url: SplitResult) -> SplitResult | None:
    host = url.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found:
        return None
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.scheme != "http":
        raise ConfigurationError(
            f"the proxy for {host} is a {proxy.scheme}:// one; only http:// proxies are supported",
            fix=f"set NO_PROXY={host}, or name an http:// proxy",
        )
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _authorization(proxy: SplitResult | None) -> str:
    if proxy is None or not proxy.username:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"\r\nproxy-authorization: Basic {base64.b64encode(pair.encode()).decode()}"
