"""A start after `kill -9` with ten million requests unfinished, beside reading their logs once.

A hundred batches of 100,000, planned by the real planner; of half the shards half the results are
there. One batch is planned and its request segments are linked into the others, which is why the
disk holds them once. The engine is one that answers at once and notes when it was first asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from batchyard.batches.batch import NewBatch, Shard
from batchyard.batches.limits import Limits
from batchyard.batches.result import Tally
from batchyard.clock import SystemClock
from batchyard.dispatch.planner import plan
from batchyard.ids import IdMint, batch_id
from batchyard.store.catalog import batches, shards
from batchyard.store.catalog.database import Catalog
from batchyard.store.segments.contract import results_name
from batchyard.store.store import open_store
from benchmarks.measuring import median, table
from benchmarks.served import Served, scratch

RUNS = 5
BATCHES, REQUESTS = 100, 100_000
PROMPT = "Is this review of a product good or bad? Say one word. " * 12
RESUMED_SECONDS = 2.0

LIMITS = Limits(batches_in_process_max=BATCHES)
MESSAGE = json.dumps(
    {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Good, I would say, and well worth the price."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 180, "output_tokens": 12},
    }
).encode()
MODELS = json.dumps({"data": [{"id": "m", "type": "model"}], "has_more": False}).encode()


# -- the data directory ---------------------------------------------------------------------------


async def first_batch(data_dir: Path) -> tuple[str, list[Shard]]:
    """Create and plan one batch as the server does."""
    store = open_store(data_dir, SystemClock())
    spool = store.spool()
    spool.write(b'{"requests":[')
    for number in range(REQUESTS):
        params = {
            "model": "m",
            "max_tokens": 64,
            "messages": [{"role": "user", "content": f"{PROMPT}Number {number}."}],
        }
        entry = json.dumps({"custom_id": f"r{number}", "params": params})
        spool.write((", " if number else "").encode() + entry.encode())
    spool.write(b"]}")
    new = NewBatch("default", REQUESTS, spool.sha256())
    batch = await store.create(spool, new, LIMITS)
    planned = await plan(store, batch)
    await store.close()
    return batch.id, planned


def half_settle(home: Path, planned: list[Shard]) -> dict[int, int]:
    """Write half the results of every second shard; the bytes of each by shard number."""
    (home / "results").mkdir(exist_ok=True)
    sizes = {}
    for shard in planned[::2]:
        with (home / f"requests/{shard.number}.jsonl").open("rb") as requests:
            heads = [next(requests).partition(b',"params"')[0] for _ in range(shard.requests // 2)]
        result = b',"result":{"type":"succeeded","message":%b}}\n' % MESSAGE
        lines = b"".join(head + result for head in heads)
        (home / results_name(shard.number, 1)).write_bytes(lines)
        sizes[shard.number] = len(lines)
    return sizes


def write_rows(catalog: Catalog, which: str, planned: list[Shard], sizes: dict[int, int]) -> None:
    """The marks of a batch's half-settled shards."""
    with catalog.write() as connection:
        for shard in planned:
            if shard.number in sizes:
                shards.raise_fence(connection, which, shard.number)
        marks = [
            shards.Mark(which, s.number, 1, Tally(s.requests // 2), ((1, sizes[s.number]),))
            for s in planned
            if s.number in sizes
        ]
        shards.mark(connection, marks, SystemClock().now())


def copy_batch(catalog: Catalog, home: Path, planned: list[Shard]) -> str:
    """One more batch like the one at `home`; its id."""
    now = SystemClock().now()
    with catalog.write() as connection:
        which = batch_id(IdMint(batches.newest_id(connection)), now)
        batches.insert(connection, which, NewBatch("default", REQUESTS, which), now, LIMITS)
        shards.plan(connection, which, planned_as(which, planned))
    copied = home.with_name(which)
    shutil.copytree(home / "requests", copied / "requests", copy_function=os.link)
    shutil.copytree(home / "results", copied / "results")
    return which


def planned_as(which: str, planned: list[Shard]) -> list[Shard]:
    """The shards of a plan as another batch's."""
    return [Shard(which, s.number, s.model, s.requests, Tally()) for s in planned]


def build(data_dir: Path) -> None:
    """The whole directory."""
    first, planned = asyncio.run(first_batch(data_dir))
    home = data_dir / "batches" / first
    sizes = half_settle(home, planned)
    with closing(Catalog(data_dir / "batchyard.db")) as catalog:
        write_rows(catalog, first, planned, sizes)
        for _ in range(BATCHES - 1):
            write_rows(catalog, copy_batch(catalog, home, planned), planned, sizes)
    os.sync()


def read_logs(data_dir: Path) -> float:
    """Seconds to read every result log once, a mebibyte at a time."""
    began = time.perf_counter()
    for path in data_dir.glob("batches/*/results/*"):
        with path.open("rb", buffering=0) as log:
            while log.read(1 << 20):
                pass
    return time.perf_counter() - began


# -- the engine -----------------------------------------------------------------------------------


class Upstream(asyncio.Protocol):
    """A connection of an engine that answers at once; `asked` are the moments of the calls."""

    asked: queue.SimpleQueue[float] = queue.SimpleQueue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, whole, body = self._read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not whole or len(body) < int(length or 0):
            return
        self._read = b""
        if b"Is this review" in body:
            self.asked.put(time.perf_counter())
        answer = MESSAGE if head.startswith(b"POST") else MODELS
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(answer), answer)
        )


@contextmanager
def upstream() -> Iterator[str]:
    """The engine in a thread; its URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Upstream, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# -- the runs -------------------------------------------------------------------------------------


def start(data_dir: Path, engine: str) -> tuple[float, float, float, int]:
    """Start, let it work a little, kill it: seconds and processor seconds until ready, seconds
    until the first call, and calls in the two seconds after it."""
    while not Upstream.asked.empty():
        Upstream.asked.get()
    began = time.perf_counter()
    server = Served(data_dir, f"--engine=anthropic+{engine}")
    try:
        server.wait_ready()
        ready, cpu = time.perf_counter() - began, server.cpu_seconds()
        first = Upstream.asked.get(timeout=60)
        time.sleep(max(0.0, first + RESUMED_SECONDS - time.perf_counter()))
        asked = Upstream.asked.qsize()
    finally:
        server.kill()
    return ready, cpu, first - began, asked


def main() -> None:
    """Run in turn, print one table."""
    floors, starts = list[float](), list[tuple[float, float, float, int]]()
    with scratch() as folder, upstream() as engine:
        data_dir = folder / "store"
        began = time.perf_counter()
        build(data_dir)
        print(f"built in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        read_logs(data_dir)
        start(data_dir, engine)  # and killed: what is measured are starts after a kill
        for number in range(RUNS):
            floors.append(read_logs(data_dir))
            starts.append(start(data_dir, engine))
            print(f"run {number + 1} of {RUNS}: {starts[-1]}", file=sys.stderr)
    ratios = [ready / floor for floor, (ready, *_) in zip(floors, starts, strict=True)]
    title = f"A start after kill -9 with {BATCHES} batches of {REQUESTS:,} unfinished"
    rows = [
        ["their result logs read once", f"{median(floors):.2f}", ""],
        ["ready", f"{median([ready for ready, *_ in starts]):.2f}", f"{median(ratios):.1f}"],
        ["of that, processor time", f"{median([cpu for _, cpu, *_ in starts]):.2f}", ""],
        ["the engine is asked again", f"{median([first for _, _, first, _ in starts]):.2f}", ""],
    ]
    print(table(title, ["", "seconds (median)", "ratio (median of pairs)"], rows))
    rate = median([asked / RESUMED_SECONDS for *_, asked in starts])
    print(f"Calls a second in the first {RESUMED_SECONDS:g} s after the first: {rate:,.0f}")


if __name__ == "__main__":
    main()
