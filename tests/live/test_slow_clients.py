"""Clients that dribble, clients that hardly read, bodies that swell: nobody else waits for them."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import Calls, body_of, request, requests
from tests.live.harness.serving import Server
from tests.live.harness.sockets import connected, head
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = pytest.mark.timeout(180)

CREATE = "/v1/messages/batches"
UPLOADS, DOWNLOADS, SECONDS = 300, 30, 6
MB = 1_000_000
GROWN_MAX = 150 * MB  # thirty whole results would be 780


@pytest.fixture(scope="module")
def shared(serve_module: Serve) -> Iterator[Server]:
    with Upstream(keep_bodies=False) as upstream:
        yield serve_module("--engine", f"anthropic+{upstream.url}")


@pytest.fixture(scope="module")
def large(shared: Server) -> str:
    """An ended batch whose results are 26 MB."""
    entries = [request(f"big-{n}", "x" * MB, model="echo-1") for n in range(26)]
    batch: str = shared.calls.create(entries)["id"]
    shared.calls.ended(batch, within=90)
    return batch


class Polling:
    """Times polls of one batch, and weighs the server now and then."""

    def __init__(self, server: Server, batch_id: str) -> None:
        self._server, self._batch_id = server, batch_id
        self._calls = Calls(server.url)
        self.waits: list[float] = []
        self.idle = self.most = server.anonymous_bytes()

    def during(self, seconds: float, act: Callable[[int], object]) -> None:
        """Poll for so long, or until `act(turn)`, done between two polls, returns something."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not act(len(self.waits)):
            started = time.monotonic()
            self._calls.batch(self._batch_id)
            self.waits.append(time.monotonic() - started)
            if len(self.waits) % 50 == 0:
                self.most = max(self.most, self._server.anonymous_bytes())
        self._calls.close()

    @property
    def p99(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.99)]

    @property
    def grown(self) -> int:
        return self.most - self.idle


def test_300_dribbling_creates_and_30_slow_readers_hold_up_nobody(
    shared: Server, large: str
) -> None:
    polling = Polling(shared, large)
    writers = [connected(shared) for _ in range(UPLOADS)]
    readers = [_reader(shared, large) for _ in range(DOWNLOADS)]
    try:
        for writer in writers:
            writer.sendall(head("POST", CREATE, "content-length: 100000") + b'{"requests":[')

        def act(turn: int) -> None:
            writers[turn % UPLOADS].sendall(b" ")
            readers[1 + turn % (DOWNLOADS - 1)].recv(16_384)

        polling.during(SECONDS, act)
        assert len(list((shared.data_dir / "spool").iterdir())) >= UPLOADS
        assert _size_of_the_rest(readers[0]) > 26 * MB
    finally:
        for wire in (*writers, *readers):
            wire.close()
    assert len(polling.waits) > 100
    assert polling.p99 < 1.0, polling.p99
    assert polling.grown < GROWN_MAX, f"{polling.grown / MB:.0f} MB"
    eventually(lambda: not list((shared.data_dir / "spool").iterdir()), within=20,
               what="the spool to be empty")  # fmt: skip
    assert [batch["id"] for batch in shared.calls.batches()] == [large]


def _reader(server: Server, batch_id: str) -> socket.socket:
    wire = connected(server, 30)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    wire.sendall(head("GET", f"{CREATE}/{batch_id}/results", "connection: close"))
    return wire


def _size_of_the_rest(reader: socket.socket) -> int:
    """Bytes of the body, which must be as many as were announced."""
    said = bytearray()
    while chunk := reader.recv(1 << 20):
        said += chunk
    top, _, body = bytes(said).partition(b"\r\n\r\n")
    lengths = [line for line in top.split(b"\r\n") if line.startswith(b"content-length: ")]
    assert len(body) == int(lengths[0].split()[1])
    return len(body)


# -- bodies that swell -----------------------------------------------------------------------------

GIGABYTE = 1 << 30


def bomb() -> bytes:
    """A gigabyte of zeros in one gzip member of a megabyte: one packed block, over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * (GIGABYTE >> 24) + packer.flush()


def bomb_of_members() -> bytes:
    """A gigabyte of zeros in 64 members."""
    return gzip.compress(bytes(1 << 24), 9) * (GIGABYTE >> 24)


GOOD = body_of(requests(3, model="echo-1"))

SWELLING: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "bomb": (bomb, "gzip", 413),
    "bomb of members": (bomb_of_members, "gzip", 413),
    "bomb of deflate": (lambda: bomb()[10:], "deflate", 413),
    "bomb in a bomb": (lambda: gzip.compress(bomb()), "gzip", 400),
    "packed twice and said so": (lambda: gzip.compress(bomb()), "gzip, gzip", 400),
    "cut bomb": (lambda: bomb()[:10_000], "gzip", 400),
    "cut": (lambda: gzip.compress(GOOD)[:-3], "gzip", 400),
    "cut in its head": (lambda: gzip.compress(GOOD)[:6], "gzip", 400),
    "garbage behind": (lambda: gzip.compress(GOOD) + b"garbage", "gzip", 400),
    "garbage behind deflate": (lambda: zlib.compress(GOOD) + b"x", "deflate", 400),
    "wrong checksum": (lambda: gzip.compress(GOOD)[:-8] + bytes(8), "gzip", 400),
    "fifty thousand empty members": (lambda: gzip.compress(b"") * 50_000, "gzip", 400),
    "two members": (lambda: gzip.compress(GOOD[:40]) + gzip.compress(GOOD[40:]), "gzip", 200),
}


@pytest.mark.parametrize("name", SWELLING)
def test_a_body_that_swells_is_refused_in_flat_memory(
    shared: Server, large: str, name: str
) -> None:
    make, encoding, status = SWELLING[name]
    before, body = len(shared.calls.batches()), make()
    polling = Polling(shared, large)
    with connected(shared, 30) as wire:
        lines = f"content-encoding: {encoding}", f"content-length: {len(body)}"
        wire.sendall(head("POST", CREATE, *lines) + body)
        wire.setblocking(False)
        said = b""

        def answer(_: int) -> bytes:
            nonlocal said
            with suppress(BlockingIOError):
                said = wire.recv(65_536)
            return said

        polling.during(15, answer)
    assert said.startswith(b"HTTP/1.1 %d" % status), said
    assert polling.grown < GROWN_MAX / 2, f"{polling.grown / MB:.0f} MB"
    assert max(polling.waits, default=0) < 1.0
    assert len(shared.calls.batches()) == before + (status == 200)
    assert list((shared.data_dir / "spool").iterdir()) == []


def test_a_bomb_in_a_live_call_is_refused_as_well(shared: Server) -> None:
    answer = shared.calls.ask("POST", "/v1/messages", bomb(), {"content-encoding": "gzip"})
    assert answer.error[:2] == (413, "request_too_large")
