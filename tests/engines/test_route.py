"""Getting there: certificates, proxies, and loopback that never sees one."""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from batchyard.engines import route
from batchyard.engines.http import HttpClient
from batchyard.engines.route import Route, full_head
from batchyard.errors import ConfigurationError, Unavailable
from tests.engines.raw import BODY, JSON, PATH, Serve, answering, listening, request_of

TLS = Path(__file__).parent / "tls"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_REFUSED = f"[Errno {errno.ECONNREFUSED}]"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy and no certificates but those a test asks for."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    route._tls.cache_clear()
    yield
    route._tls.cache_clear()


@pytest.fixture
def secure() -> ssl.SSLContext:
    return certified("")


def certified(whose: str) -> ssl.SSLContext:
    """A server's side of TLS with one of the certificates kept for these tests."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / f"{whose}certificate.pem", TLS / f"{whose}key.pem")
    return context


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))


# -- certificates ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
async def test_a_trusted_certificate_is_accepted(secure: ssl.SSLContext) -> None:
    async with listening(answering(OK, OK), secure) as url, HttpClient(url) as client:
        for _ in range(2):
            assert (await client.post(PATH, JSON, BODY)).body == b"ok"
        assert client.kept == 1


async def test_a_certificate_nobody_vouches_for_is_refused(secure: ssl.SSLContext) -> None:
    async with listening(answering(OK), secure) as url, HttpClient(url) as client:
        with pytest.raises(Unavailable, match=r"certificate is not trusted.*self-signed") as caught:
            await client.post(PATH, JSON, BODY)
    assert caught.value.status is None


async def test_a_certificate_for_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "elsewhere-certificate.pem"))
    elsewhere = certified("elsewhere-")
    async with listening(answering(OK), elsewhere) as url, HttpClient(url) as client:
        with pytest.raises(Unavailable, match=r"certificate is not trusted.*mismatch"):
            await client.post(PATH, JSON, BODY)


async def test_a_server_that_speaks_no_tls_is_unavailable() -> None:
    async with (
        listening(answering(OK)) as url,
        HttpClient(url.replace("http:", "https:"), connect_seconds=1) as client,
    ):
        with pytest.raises(Unavailable):
            await client.post(PATH, JSON, BODY)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionResetError(), "TLS failed (connection reset during the handshake)"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "connection refused"),
        (
            OSError(f"Multiple exceptions: {_REFUSED} Connect call failed, {_REFUSED} again"),
            "connection refused",
        ),
        (OSError("something else"), "something else"),
        (socket.gaierror(-2, "Name not known"), "its name cannot be resolved (Name not known)"),
        (ssl.SSLError(1, "[SSL] wrong version"), "TLS failed ([SSL] wrong version)"),
        (UnicodeError("label too long"), "label too long"),
        (OSError(), "OSError"),
    ],
)
def test_why_no_connection_came_about_is_told_in_plain_words(
    error: OSError | UnicodeError, words: str
) -> None:
    """The first is all that uvloop tells of a server that speaks no TLS."""
    assert route.reason(error) == words


# -- proxies --------------------------------------------------------------------------------------


def noting(seen: list[bytes], answer: bytes = OK) -> Serve:
    """A proxy that answers itself and notes what it was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_of(reader))
        writer.write(answer)
        await writer.drain()

    return serve


def tunnelling(seen: list[bytes], target: str) -> Serve:
    """A proxy that connects every tunnel to `target`."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_of(reader))
        place = urlsplit(target)
        to_reader, to_writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))
        finally:
            to_writer.close()

    return serve


async def test_a_proxy_is_asked_for_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    async with listening(noting(seen)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("http://", "http://me:p%40ss@"))
        async with HttpClient("http://engine.example:8000/base/v1") as client:
            assert (await client.post(PATH, JSON, BODY)).status == 200
    assert seen[0].startswith(b"POST http://engine.example:8000/base/v1/messages HTTP/1.1\r\n")
    assert b"\r\nhost: engine.example:8000\r\n" in seen[0]
    pair = base64.b64encode(b"me:p@ss")
    assert b"\r\nproxy-authorization: Basic " + pair + b"\r\n" in seen[0]
    assert seen[0].endswith(BODY)


@pytest.mark.usefixtures("trusted")
async def test_tls_goes_through_a_tunnel_and_the_proxy_sees_none_of_it(
    secure: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    async with (
        listening(answering(OK, OK), secure) as engine,
        listening(tunnelling(seen, engine)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        async with HttpClient("https://engine.example") as client:
            for _ in range(2):
                assert (await client.post(PATH, JSON, BODY)).body == b"ok"
    (opened,) = seen
    assert opened.startswith(b"CONNECT engine.example:443 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy refused.*407"),
        (b"", "the proxy hung up"),
    ],
)
async def test_a_proxy_that_refuses_a_tunnel_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str
) -> None:
    async with listening(noting([], answer)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy)
        async with HttpClient("https://engine.example") as client:
            with pytest.raises(Unavailable, match=words):
                await client.post(PATH, JSON, BODY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_never_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in PROXY_VARIABLES[:3]:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        listening(answering(OK)) as url,
        HttpClient(url.replace("127.0.0.1", host)) as client,
    ):
        assert (await client.post(PATH, JSON, BODY)).status == 200


async def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    async with listening(noting(seen)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "other.invalid,.engine.invalid")
        async with HttpClient("http://one.engine.invalid") as client:
            with pytest.raises(Unavailable, match="cannot be resolved"):
                await client.post(PATH, JSON, BODY)
    assert seen == []


def test_a_proxy_of_another_kind_is_refused_when_the_engine_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ConfigurationError, match="socks5") as caught:
        HttpClient("http://engine.example")
    assert "NO_PROXY=engine.example" in (caught.value.fix or "")


# -- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://engine:8000", "POST /v1/messages HTTP/1.1", "engine:8000"),
        ("http://engine/v1/", "POST /v1/messages HTTP/1.1", "engine"),
        ("https://engine/a/b", "POST /a/b/v1/messages HTTP/1.1", "engine"),
        ("http://[::1]:80", "POST /v1/messages HTTP/1.1", "[::1]:80"),
        ("http://user:secret@engine", "POST /v1/messages HTTP/1.1", "engine"),
    ],
)
def test_a_head_names_path_and_host(url: str, line: str, host: str) -> None:
    head = full_head(Route(url).opening("POST", PATH, {"x": "1"}), 5).decode()
    assert head == f"{line}\r\nhost: {host}\r\nx: 1\r\ncontent-length: 5\r\n\r\n"
    assert "secret" not in Route(url).shown


def test_a_head_is_latin_1_whatever_is_put_in() -> None:
    opening = Route("http://engine").opening("GET", "/", {"x": "ü€\r\nevil: 1\0"})
    assert opening == b"GET / HTTP/1.1\r\nhost: engine\r\nx: \xfc?  evil: 1 \r\n"
    head = full_head(b"POST / HTTP/1.1\r\n", 5, trace="ü€\r\nevil: 1\0")
    assert b"\r\nx-request-id: \xfc?  evil: 1 \r\ncontent-length: 5\r\n\r\n" in head
