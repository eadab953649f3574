"""A gigabyte of results, read by one fast reader and by sixteen slow ones.

Beside two bare servers of the same bytes in one file: `sendfile` in a thread, which is the most
that this machine can do, and Starlette's `FileResponse` on uvicorn, which is what people write.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from batchyard.batches.batch import NewBatch
from batchyard.batches.limits import Limits
from batchyard.clock import SystemClock
from batchyard.dispatch.planner import plan
from batchyard.store.keys import DEFAULT_WORKSPACE
from batchyard.store.store import Store, open_store
from batchyard.wire import succeeded_line
from benchmarks.measuring import median, table
from benchmarks.served import Served, scratch, served

RUNS = 5
REQUESTS, MESSAGE_BYTES = 100_000, 10_600
READERS, READER_BYTES_A_SECOND, READING_SECONDS = 16, 2_000_000, 8.0

SENDFILE = """
import socket, sys, threading
path, listener = sys.argv[1], socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def serve(connection):
    with connection, open(path, "rb") as file:
        connection.recv(65536)
        size = file.seek(0, 2)
        file.seek(0)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n" % size)
        connection.sendfile(file)
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""

FILE_RESPONSE = """
import socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda _: FileResponse(sys.argv[1]))])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, lifespan="off",
                        log_level="error")
uvicorn.Server(config).run([listener])
"""


async def fill(data_dir: Path) -> str:
    """Store an ended batch with a gigabyte of results; its id."""
    store = open_store(data_dir, SystemClock())
    spool = store.spool()
    spool.write(b'{"requests":[')
    params = '{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}'
    for number in range(REQUESTS):
        entry = f'{{"custom_id":"r{number}","params":{params}}}'
        spool.write((", " if number else "").encode() + entry.encode())
    spool.write(b"]}")
    new = NewBatch(DEFAULT_WORKSPACE, REQUESTS, spool.sha256())
    batch = await store.create(spool, new, Limits())
    for shard in await plan(store, batch):
        await _answer(store, batch.id, shard.number)
    await store.close()
    return batch.id


async def _answer(store: Store, batch_id: str, number: int) -> None:
    message = b'{"type":"message","text":"%b","usage":{}}' % (b"words " * (MESSAGE_BYTES // 6))
    taken = await store.take(batch_id, number)
    for entry in taken.todo:
        store.append(taken, entry, "succeeded", succeeded_line(entry.custom_id, message))
    await store.flush()
    taken.close()


def joined(data_dir: Path, batch_id: str, target: Path) -> Path:
    """The results as one file."""
    with target.open("wb") as out:
        for segment in sorted((data_dir / "batches" / batch_id / "results").iterdir()):
            out.write(segment.read_bytes())
    return target


@contextmanager
def bare(program: str, path: Path) -> Iterator[str]:
    """A bare server of one file; its URL."""
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def _ask(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    ask = f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nconnection: close\r\n\r\n"
    connection.sendall(ask.encode())
    return connection


def download(url: str) -> tuple[int, float]:
    """Read everything as fast as it comes: bytes, seconds."""
    buffer, read, began = bytearray(1 << 20), 0, time.perf_counter()
    with _ask(url) as connection:
        while got := connection.recv_into(buffer):
            read += got
    return read, time.perf_counter() - began


def read_slowly(url: str, until: float) -> None:
    """Read at the pace of a slow reader, then hang up."""
    with _ask(url) as connection:
        began, read = time.perf_counter(), 0
        while time.perf_counter() < until:
            read += len(connection.recv(65_536))
            ahead = read / READER_BYTES_A_SECOND - (time.perf_counter() - began)
            time.sleep(max(0.0, ahead))


def slow_readers(server: Served, url: str) -> float:
    """Bytes by which the server's anonymous memory grows at most while slow readers read."""
    before = server.anonymous_bytes()
    until = time.perf_counter() + READING_SECONDS
    readers = [threading.Thread(target=read_slowly, args=(url, until)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    most = 0
    while time.perf_counter() < until:
        time.sleep(0.25)
        most = max(most, server.anonymous_bytes() - before)
    for reader in readers:
        reader.join()
    return most


def main() -> None:
    """Run in turn, print one table."""
    rates: dict[str, list[float]] = {"sendfile": [], "FileResponse": [], "Batchyard": []}
    with scratch() as folder, ExitStack() as stack:
        data_dir = folder / "store"
        batch_id = asyncio.run(fill(data_dir))
        path = joined(data_dir, batch_id, folder / "file")
        server = stack.enter_context(served(data_dir, "--engine", "simulator"))
        ours = f"{server.url}/v1/messages/batches/{batch_id}/results"
        urls = {
            "sendfile": stack.enter_context(bare(SENDFILE, path)),
            "FileResponse": stack.enter_context(bare(FILE_RESPONSE, path)),
            "Batchyard": ours,
        }
        growth = slow_readers(server, ours)
        cpu = 0.0
        for number in range(RUNS):
            for name, url in urls.items():
                before = server.cpu_seconds()
                read, seconds = download(url)
                assert read > path.stat().st_size, name
                rates[name].append(read / seconds / 1e6)
                cpu += server.cpu_seconds() - before
            print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        size = path.stat().st_size
    floor = rates["sendfile"]
    rows = [
        [
            name,
            f"{median(found):,.0f}",
            f"{median([rate / best for rate, best in zip(found, floor, strict=True)]):.2f}",
        ]
        for name, found in rates.items()
    ]
    title = f"Results of {size / 1e9:.2f} GB over loopback"
    print(table(title, ["server", "MB/s (median)", "of sendfile (median of pairs)"], rows))
    print(f"Batchyard: {size * RUNS / 1e6 / max(cpu, 0.01):,.0f} MB per second of processor time.")
    print(f"{READERS} readers at 2 MB/s: +{growth / 1e6:.1f} MB of anonymous memory at most.")


if __name__ == "__main__":
    main()
