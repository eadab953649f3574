"""Polls a second of one api process, beside a bare uvicorn that says a constant."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.measuring import batchyard, call, median, run_batch, table

RUNS = 5
POLLS = 10_000
CONNECTIONS = 64

FLOOR = """
import asyncio, sys, uvicorn
async def app(scope, receive, send):
    start = {"type": "http.response.start", "status": 200}
    await send({**start, "headers": [(b"content-length", b"400")]})
    await send({"type": "http.response.body", "body": b"x" * 400})
uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False,
            lifespan="off", log_level="error")
"""

SDK = """Accept-Encoding: gzip, deflate
Connection: keep-alive
x-stainless-timeout: NOT_GIVEN
x-stainless-retry-count: 0
x-stainless-read-timeout: 600
Accept: application/json
User-Agent: Anthropic/Python 2.10.0
X-Stainless-Lang: python
X-Stainless-Package-Version: 2.10.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.11.7
Authorization: Bearer local
X-Stainless-Async: false
anthropic-version: 2026-10-21"""
"""What the Python SDK sends with a poll."""


class Poller(asyncio.Protocol):
    """One connection: the next poll as soon as the last one is answered."""

    def __init__(self, request: bytes, left: list[int], waits: list[float]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._request, self._left, self._waits = request, left, waits
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length):
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self._read = b""
        self._waits.append(time.perf_counter() - self._asked)
        self._ask()

    def _ask(self) -> None:
        if self._left[0] == 0:
            self._transport.close()
            self.done.set_result(None)
            return
        self._left[0] -= 1
        self._asked = time.perf_counter()
        self._transport.write(self._request)


async def polls(url: str, path: str) -> tuple[float, float]:
    """Polls a second, and the 99th percentile of the wait in milliseconds."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", *SDK.splitlines()]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    left, waits = [POLLS], list[float]()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    pollers = [
        (await loop.create_connection(lambda: Poller(request, left, waits), host, port))[1]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(poller.done for poller in pollers))
    return POLLS / (time.perf_counter() - began), sorted(waits)[POLLS * 99 // 100] * 1e3


@contextmanager
def floor() -> Iterator[str]:
    """The bare server; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", FLOOR, str(port)])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Run in turn, print one table."""
    bare, ours = list[tuple[float, float]](), list[tuple[float, float]]()
    request = {
        "model": "simulator",
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    with floor() as plain, batchyard("--engine", "simulator") as url:
        run_batch(url, [{"custom_id": "a", "params": request}])
        batch_id = _only_batch(url)
        for number in range(RUNS):
            bare.append(asyncio.run(polls(plain, "/")))
            ours.append(asyncio.run(polls(url, f"/v1/messages/batches/{batch_id}")))
            print(f"run {number + 1} of {RUNS}", file=sys.stderr)
    ratios = [ours_[0] / bare_[0] for bare_, ours_ in zip(bare, ours, strict=True)]
    rows = [
        [
            name,
            f"{median([run[0] for run in runs]):,.0f}",
            f"{median([run[1] for run in runs]):.1f}",
        ]
        for name, runs in (("bare uvicorn", bare), ("Batchyard", ours))
    ]
    rows.append(["ratio (median of pairs)", f"{median(ratios):.2f}", ""])
    title = f"Polls of a batch ({CONNECTIONS} connections, {POLLS:,} polls a run)"
    print(table(title, ["server", "polls/s", "p99 ms"], rows))


def _only_batch(url: str) -> str:
    batch_id: str = call(url, "/v1/messages/batches")["data"][0]["id"]
    return batch_id


if __name__ == "__main__":
    main()
