"""What a request costs, and how much memory the server has, as its history grows to a million.

The same small batches are run when the server has seen a thousand requests, ten thousand, a hundred
thousand and a million: nothing may depend on how much has gone before.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from dataclasses import dataclass

from benchmarks.measuring import call, median, table
from benchmarks.served import Served, scratch, served

RUNS = 5
MILESTONES = (1_000, 10_000, 100_000, 1_000_000)
MEASURED, FILLING = 2_000, 100_000
REST_SECONDS = 1.0


def body(requests: int) -> bytes:
    """A create body of short requests."""
    params = {
        "model": "simulator-1",
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "Good or bad? It broke on the first day."}],
    }
    entries = [{"custom_id": f"r{number}", "params": params} for number in range(requests)]
    return json.dumps({"requests": entries}).encode()


def run(url: str, sent: bytes) -> float:
    """Create a batch and wait for its end; seconds."""
    began = time.perf_counter()
    request = urllib.request.Request(f"{url}/v1/messages/batches", sent)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=600) as answer:
        batch = json.loads(answer.read())
    while batch["processing_status"] != "ended":
        time.sleep(0.01)
        batch = call(url, f"/v1/messages/batches/{batch['id']}")
    return time.perf_counter() - began


@dataclass
class Figures:
    """At one milestone: seconds and processor seconds of a small batch, and memory at rest."""

    seen: int
    seconds: float
    cpu: float
    memory: int


def at_milestone(server: Served, seen: int, sent: bytes) -> Figures:
    """Run the measured batches."""
    began = server.cpu_seconds()
    seconds = [run(server.url, sent) for _ in range(RUNS)]
    cpu = (server.cpu_seconds() - began) / RUNS
    time.sleep(REST_SECONDS)
    return Figures(seen, median(seconds), cpu, server.anonymous_bytes())


def main() -> None:
    """Grow, print one table."""
    small, found, seen = body(MEASURED), list[Figures](), 0
    with (
        scratch() as folder,
        served(folder / "store", "--engine", "simulator") as server,
    ):
        for milestone in MILESTONES:
            while seen < milestone:
                size = min(FILLING, milestone - seen)
                run(server.url, body(size))
                seen += size
            found.append(at_milestone(server, seen, small))
            seen += RUNS * MEASURED
            print(f"{found[-1]}", file=sys.stderr)
    first = found[0]
    rows = [
        [
            f"{one.seen:,}",
            f"{one.seconds / MEASURED * 1e6:.0f}",
            f"{one.cpu / MEASURED * 1e6:.0f}",
            f"{one.cpu / first.cpu:.2f}",
            f"{one.memory / 1e6:.0f}",
        ]
        for one in found
    ]
    title = f"Growth: {RUNS} batches of {MEASURED:,} after so many requests"
    head = ["requests before", "µs a request", "CPU µs a request", "of the first", "MB at rest"]
    print(table(title, head, rows))


if __name__ == "__main__":
    main()
