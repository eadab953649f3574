"""Create bodies as they really arrive: chunked, gzip'd, announced too large, cut off, forged."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import HEADERS, Calls, body_of, requests
from tests.live.harness.serving import Server
from tests.live.harness.sockets import connected, head, raw
from tests.live.harness.waiting import eventually

pytestmark = pytest.mark.timeout(120)

CREATE = "/v1/messages/batches"


@pytest.fixture(scope="module")
def shared(serve_module: Serve) -> Server:
    return serve_module("--engine", "simulator:latency=1ms")


@pytest.fixture
def calls(shared: Server) -> Iterator[Calls]:
    calls = Calls(shared.url)
    yield calls
    calls.close()


# -- size and encoding -----------------------------------------------------------------------------


def test_a_body_announced_too_large_is_refused_before_it_is_sent(shared: Server) -> None:
    said = raw(shared, head("POST", CREATE, "content-length: 269484033"))
    top, _, body = said.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 413"), said
    assert json.loads(body)["error"]["type"] == "request_too_large"
    assert json.loads(body)["request_id"].encode() in top


def test_an_sdk_that_goes_on_sending_still_reads_the_early_413(calls: Calls) -> None:
    """The answer comes at once; the server must not reset a client that is still writing."""
    connection = calls.connect()
    connection.putrequest("POST", CREATE)
    for name, value in HEADERS.items():
        connection.putheader(name, value)
    connection.putheader("content-length", str(269_484_033))
    connection.endheaders()
    for _ in range(24):
        connection.send(b" " * 1_000_000)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"]["type"] == "request_too_large"
    connection.close()


@pytest.mark.parametrize("connection_header", ["close", "keep-alive"])
def test_a_client_that_goes_on_sending_still_reads_why_its_body_was_refused(
    calls: Calls, connection_header: str
) -> None:
    """The fault is at the start of thirty megabytes, and found long before they are all sent."""
    body = body_of(requests(3)).replace(b'"custom_id"', b'"customer_id"', 1)
    connection = calls.connect()
    connection.putrequest("POST", CREATE)
    for name, value in {**HEADERS, "connection": connection_header}.items():
        connection.putheader(name, value)
    connection.putheader("content-length", str(len(body) + 30_000_000))
    connection.endheaders()
    connection.send(body)
    for _ in range(30):
        connection.send(b" " * 1_000_000)
    response = connection.getresponse()
    assert response.status == 400
    assert "requests.0.customer_id" in json.loads(response.read())["error"]["message"]
    if connection_header == "keep-alive":
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
    connection.close()


def test_a_chunked_create_is_taken(calls: Calls) -> None:
    connection = calls.connect()
    body = body_of(requests(50))
    pieces = (body[start : start + 700] for start in range(0, len(body), 700))
    connection.request("POST", CREATE, pieces, HEADERS, encode_chunked=True)
    response = connection.getresponse()
    batch = json.loads(response.read())
    connection.close()
    assert response.status == 200, batch
    assert calls.ended(batch["id"])["request_counts"]["succeeded"] == 50


def test_a_gzipped_create_is_taken(calls: Calls) -> None:
    body = gzip.compress(body_of(requests(200)))
    batch = calls.create(body, {"content-encoding": "gzip"})
    assert batch["request_counts"]["processing"] == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (gzip.compress(b" " * 269_000_000, 1), "gzip", 413, "request_too_large"),
        (b"no gzip at all", "gzip", 400, "request_body_encoding_invalid"),
        (gzip.compress(body_of(requests(3)))[:-9], "gzip", 400, "request_body_encoding_invalid"),
        (b"{}", "br", 400, "request_body_encoding_unsupported"),
    ],
    ids=["bomb", "not gzip", "cut", "brotli"],
)
def test_an_encoding_that_cannot_be_taken_is_refused(
    calls: Calls, body: bytes, encoding: str, status: int, code: str
) -> None:
    before = len(calls.batches())
    answer = calls.ask("POST", CREATE, body, {"content-encoding": encoding})
    assert answer.error[0] == status
    assert code in (answer.json["error"].get("details", {}).get("error_code"), answer.error[1])
    assert len(calls.batches()) == before


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl on the PATH")
def test_curl_with_expect_100_continue_creates_a_batch(shared: Server, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(body_of(requests(30, prefix="c" * 20)))
    command = ["curl", "-sS", "-v", "-H", "Expect: 100-continue", "-H", "x-api-key: k"]
    command += ["--data-binary", f"@{body}", shared.url + CREATE]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert b"HTTP/1.1 100 Continue" in done.stderr
    assert json.loads(done.stdout)["request_counts"]["processing"] == 30


def test_an_expectation_on_a_body_too_large_is_refused_without_continue(shared: Server) -> None:
    said = raw(shared, head("POST", CREATE, "content-length: 269484033", "expect: 100-continue"))
    assert said.startswith(b"HTTP/1.1 413"), said[:200]


# -- framing ---------------------------------------------------------------------------------------

SMUGGLED = b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        head("POST", CREATE, "content-length: 5", "transfer-encoding: chunked") + b"0\r\n\r\n",
        head("POST", CREATE, "content-length: 5", "content-length: 6") + b"hello!",
        head("POST", CREATE, "content-length: -1"),
        head("POST", CREATE, "content-length: 1e3"),
        head("POST", CREATE, "transfer-encoding: chunked") + b"zz\r\nhello\r\n0\r\n\r\n",
        head("GET", "/livez", "x: a\x00b"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "negative", "float", "bad chunk", "nul", "tls",
         "connect"],
)  # fmt: skip
def test_bad_framing_gets_one_refusal_and_no_second_answer(shared: Server, sent: bytes) -> None:
    said = raw(shared, sent + SMUGGLED, seconds=5)
    assert said.count(b"HTTP/1.1 ") <= 1, said
    assert b"HTTP/1.1 200" not in said, said
    assert shared.calls.ask("GET", "/livez").status == 200


def test_a_body_that_stops_half_way_leaves_nothing(shared: Server, calls: Calls) -> None:
    before = len(calls.batches())
    body = body_of(requests(2_000))
    with connected(shared) as wire:
        wire.sendall(head("POST", CREATE, f"content-length: {len(body)}") + body[: len(body) // 2])
        spool = shared.data_dir / "spool"
        eventually(lambda: list(spool.iterdir()), within=5, what="the body to be spooled")
    eventually(lambda: not list(spool.iterdir()), within=5, what="the spool to be empty")
    assert len(calls.batches()) == before


def test_a_hundred_dribbling_creates_leave_polls_fast(shared: Server, calls: Calls) -> None:
    batch = calls.create(requests(1))
    slow = [connected(shared) for _ in range(100)]
    try:
        for wire in slow:
            wire.sendall(head("POST", CREATE, "content-length: 100000") + b'{"requests":[')
        waits = []
        for turn in range(200):
            slow[turn % 100].sendall(b" ")
            started = time.monotonic()
            calls.batch(batch["id"])
            waits.append(time.monotonic() - started)
        assert sorted(waits)[197] < 1.0
    finally:
        for wire in slow:
            wire.close()
