"""HTTP as two readers might read it differently: refused once, the connection closed after it."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import Answer, body_of, requests
from tests.live.harness.serving import Server
from tests.live.harness.sockets import connected

pytestmark = pytest.mark.timeout(120)

CREATE = "/v1/messages/batches"
GOOD = body_of(requests(1))
LENGTH = f"content-length: {len(GOOD)}"
CHUNKED = "transfer-encoding: chunked"
END = b"0\r\n\r\n"
SMUGGLED = b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n"
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


def post(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"POST {CREATE} HTTP/1.1", "host: h", *lines, "", ""]).encode() + body


def get(*lines: str, first: str = "GET /livez HTTP/1.1", host: str = "host: h") -> bytes:
    named = [first, *([host] if host else []), *lines]
    return "\r\n".join([*named, "", ""]).encode("latin-1")


REFUSED: dict[str, bytes] = {
    "length and chunked": post("content-length: 5", CHUNKED, body=END),
    "chunked and length": post(CHUNKED, "content-length: 5", body=END),
    "two lengths": post("content-length: 5", "content-length: 6", body=b"hello!"),
    "one length twice": post(LENGTH, LENGTH, body=GOOD),
    "a list of lengths": post(f"{LENGTH}, {len(GOOD)}", body=GOOD),
    "negative length": post("content-length: -1"),
    "signed length": post(f"content-length: +{len(GOOD)}", body=GOOD),
    "hexadecimal length": post("content-length: 0x5", body=b"hello"),
    "length as a float": post("content-length: 1e3"),
    "length with a blank": post("content-length: 1 2", body=GOOD),
    "length of 65 bits": post("content-length: 18446744073709551616"),
    "length without digits": post("content-length:", body=GOOD),
    "length in words": post("content-length: five"),
    "coding gzip": post("transfer-encoding: gzip", body=GOOD),
    "coding identity": post("transfer-encoding: identity", body=GOOD),
    "chunked twice": post(f"{CHUNKED}, chunked", body=END),
    "chunked not last": post(f"{CHUNKED}, identity", body=END),
    "two codings": post(CHUNKED, "transfer-encoding: identity", body=END),
    "chunked misspelt": post("transfer-encoding: xchunked", body=END),
    "chunked behind a control": post("transfer-encoding: \x0bchunked", body=END),
    "chunked with a blank before the colon": post("transfer-encoding : chunked", body=END),
    "chunk size no number": post(CHUNKED, body=b"zz\r\nhello\r\n" + END),
    "chunk size negative": post(CHUNKED, body=b"-5\r\nhello\r\n" + END),
    "chunk size with 0x": post(CHUNKED, body=b"0x5\r\nhello\r\n" + END),
    "chunk size of 68 bits": post(CHUNKED, body=b"fffffffffffffffff\r\nhello\r\n" + END),
    "chunk size missing": post(CHUNKED, body=b"\r\nhello\r\n" + END),
    "chunk longer than said": post(CHUNKED, body=b"3\r\nhello\r\n" + END),
    "chunk with bare line feeds": post(CHUNKED, body=b"5\nhello\n0\n\n"),
    "chunk extension with a line feed": post(CHUNKED, body=b"5;a\nb\r\nhello\r\n" + END),
    "folded header": get("x: a", "  b"),
    "header folded by a tab": get("x: a", "\tb"),
    "NUL in a value": get("x: a\x00b"),
    "NUL in a name": get("x\x00y: a"),
    "bare carriage return in a value": get("x: a\rb: c"),
    "blank in a name": get("x y: a"),
    "blank before the colon": get("x : a"),
    "no colon": get("nonsense"),
    "no name": get(": a"),
    "bare line feeds": b"GET /livez HTTP/1.1\nhost: h\n\n",
    "bare carriage returns": b"GET /livez HTTP/1.1\rhost: h\r\r",
    "absolute form": get(first="GET http://other.example/livez HTTP/1.1"),
    "absolute form of ours": get(first="GET http://h/livez HTTP/1.1"),
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
    "CONNECT to a path": get(first="CONNECT /livez HTTP/1.1"),
    "asterisk": get(first="OPTIONS * HTTP/1.1"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/9.9": get(first="GET /livez HTTP/9.9"),
    "http in small letters": get(first="GET /livez http/1.1"),
    "no target": get(first="GET  HTTP/1.1"),
    "NUL in the target": get(first="GET /li\x00vez HTTP/1.1"),
    "eight bits in the target": get(first="GET /\xff\xfe HTTP/1.1"),
    "blank in the target": get(first="GET /a b HTTP/1.1"),
    "unknown method": get(first="BREW /livez HTTP/1.1"),
    "no host": get(host=""),
    "two hosts": get("host: other"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a header of 300 KB": get("x: " + "y" * 300_000),
    "a target of 300 KB": get(first=f"GET /{'y' * 300_000} HTTP/1.1"),
}


@pytest.fixture(scope="module")
def shared(serve_module: Serve) -> Server:
    return serve_module("--engine", "simulator:latency=1ms")


def exchange(server: Server, *pieces: bytes) -> tuple[list[Answer], bool]:
    """Every answer to these pieces, and whether the server closed the connection after them."""
    said, closed = b"", False
    with connected(server, 5) as wire:
        try:
            for piece in pieces:
                wire.sendall(piece)
            while chunk := wire.recv(65536):
                said += chunk
                wire.settimeout(1)
            closed = True
        except TimeoutError:
            pass
        except ConnectionError:
            closed = True
    return answers(said), closed


def answers(said: bytes) -> list[Answer]:
    """The answers in what was said, which holds nothing else."""
    found, at = [], 0
    while at < len(said):
        head = _HEAD.match(said, at)
        assert head, said[at : at + 200]
        fields = dict(line.split(b": ", 1) for line in head[2].split(b"\r\n")[:-1])
        headers = {name.decode().lower(): value.decode() for name, value in fields.items()}
        end = head.end() + int(headers.get("content-length", "0"))
        found.append(Answer(int(head[1]), headers, said[head.end() : end]))
        at = end
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_once_and_the_connection_closed(shared: Server, name: str) -> None:
    found, closed = exchange(shared, REFUSED[name] + SMUGGLED)
    assert closed
    assert len(found) == 1, found
    status, kind, message = found[0].error
    assert status in (400, 431, 501)
    assert kind == "invalid_request_error"
    assert message.startswith("The request was not understood: ")
    assert found[0].headers["connection"] == "close"


def test_nothing_came_of_them_and_the_server_lives(shared: Server) -> None:
    assert shared.calls.batches() == []
    assert shared.calls.ask("GET", "/livez").status == 200
    assert list((shared.data_dir / "spool").iterdir()) == []


def test_a_call_answered_early_gets_no_second_answer_for_its_broken_rest(shared: Server) -> None:
    lines = "\r\n".join(["POST /nothing/here HTTP/1.1", "host: h", CHUNKED, "", ""]).encode()
    with connected(shared) as wire:
        wire.sendall(lines)
        said = b""
        while not said.endswith(b"}"):
            said += wire.recv(65536)
        assert [answer.status for answer in answers(said)] == [404]
        wire.sendall(b"zz\r\n" + SMUGGLED)
        wire.settimeout(2)
        assert rest(wire) == b""


def test_nonsense_behind_a_call_under_way_cuts_it_and_answers_nothing(shared: Server) -> None:
    """The answer to the first was not out: a second one in its place would be taken for it."""
    found, closed = exchange(shared, get() * 2 + b"\x00nonsense\r\n\r\n")
    assert closed
    assert all(answer.status == 200 for answer in found)


def rest(wire: socket.socket) -> bytes:
    said = b""
    try:
        while chunk := wire.recv(65536):
            said += chunk
    except ConnectionError:
        pass
    return said


# -- what must be taken ----------------------------------------------------------------------------

OFFER = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB")


@pytest.mark.parametrize("cut", [0, 60, -20])
@pytest.mark.parametrize("framed", [True, False])
def test_an_offer_to_upgrade_is_declined_and_its_body_kept(
    shared: Server, cut: int, framed: bool
) -> None:
    """The JDK's client makes one with its first call, and curl with `--http2`."""
    chunks = b"%x\r\n%b\r\n" % (len(GOOD), GOOD) + END
    sent = post(LENGTH, *OFFER, body=GOOD) if framed else post(CHUNKED, *OFFER, body=chunks)
    found, closed = exchange(shared, sent[:cut], sent[cut:] + SMUGGLED)
    assert not closed
    assert [answer.status for answer in found] == [200, 200]
    assert found[0].json["request_counts"]["processing"] == 1


def test_many_offers_on_one_connection_are_each_answered(shared: Server) -> None:
    found, closed = exchange(shared, get(*OFFER) * 1_500)
    assert not closed
    assert [answer.status for answer in found] == [200] * 1_500


def test_an_offer_of_websockets_is_answered_as_a_plain_call(shared: Server) -> None:
    found, _ = exchange(shared, get("connection: upgrade", "upgrade: websocket") + SMUGGLED)
    assert [answer.status for answer in found] == [200, 200]


@pytest.mark.parametrize(
    "sent",
    [
        get(first="GET /livez HTTP/1.0", host=""),
        get(first="HEAD /livez HTTP/1.0"),
        b"\r\n\r\n" + get(),
        post("connection: close", CHUNKED, body=b"%x;x=y\r\n%b\r\n" % (len(GOOD), GOOD) + END),
        post("connection: close", CHUNKED, body=b"%04X\r\n%b\r\n0\r\nx: y\r\n\r\n"
             % (len(GOOD), GOOD)),
        get("x: " + "y" * 30_000),
    ],
    ids=["HTTP/1.0", "HEAD", "blank lines", "extension", "trailer", "30 KB"],
)  # fmt: skip
def test_what_is_merely_unusual_is_taken(shared: Server, sent: bytes) -> None:
    found, _ = exchange(shared, sent)
    assert [answer.status for answer in found] == [200], found


def test_a_head_without_an_end_costs_no_memory(shared: Server) -> None:
    before = shared.anonymous_bytes()
    with connected(shared) as wire:
        wire.sendall(b"GET /livez HTTP/1.1\r\nhost: h\r\nx: ")
        with suppress(ConnectionError):
            for _ in range(500):
                wire.sendall(b"y" * 100_000)
            pytest.fail("fifty megabytes of one header were taken")
    assert shared.anonymous_bytes() - before < 20_000_000
    assert json.loads(shared.calls.ask("GET", "/openapi.json").body)["openapi"]
