"""Dispatch against the fastest bare client loop on the same upstream: at once, and after 50 ms.

The loop sends prepared bodies over 256 connections, looks at no answer and keeps none. Batchyard
checks every request, renders and syncs every result; its rate counts from the first call the
upstream saw to the end of the batch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.installed import interpreter
from benchmarks.measuring import call, median, table
from benchmarks.served import Served, served

RUNS = 5
CONNECTIONS = 256
CLIENTS = Path(__file__).with_name("clients")
_WORDS = "".join(f"word{number} " for number in range(230))[:1_850]


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over all requests: per second, CPU µs per request, calls under way on average."""

    rate: float
    cpu: float
    busy: float


def params(number: int) -> dict[str, Any]:
    """A request of 2 KB."""
    messages = [{"role": "user", "content": f"{number} {_WORDS}"}]
    return {"model": "m", "max_tokens": 64, "messages": messages}


@contextmanager
def upstream(latency: float) -> Iterator[str]:
    """An upstream process; its URL."""
    command = [sys.executable, "-m", "benchmarks.upstream", f"--latency={latency}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def by_client(name: str, url: str, bodies: Path, connections: int = CONNECTIONS) -> Run:
    """All bodies through one of the `clients`."""
    call(url, "/stats", method="DELETE")
    command = [interpreter(CLIENTS / f"{name}.py"), CLIENTS / f"{name}.py"]
    out = subprocess.check_output([*command, url, bodies, str(connections)])
    told, stats = json.loads(out.splitlines()[-1]), call(url, "/stats")
    return Run(stats["calls"] / told["seconds"], told["cpu"] / stats["calls"] * 1e6, stats["busy"])


def by_batch(server: Served, url: str, requests: int) -> Run:
    """As many requests as one batch. It is asked for seldom: the bare loop is left alone too."""
    entries = [{"custom_id": f"r{n}", "params": params(n)} for n in range(requests)]
    call(url, "/stats", method="DELETE")
    used = server.cpu_seconds()
    batch = call(server.url, "/v1/messages/batches", {"requests": entries})
    while batch["processing_status"] != "ended":
        time.sleep(0.25)
        batch = call(server.url, f"/v1/messages/batches/{batch['id']}")
    cpu = (server.cpu_seconds() - used) / requests * 1e6
    stats = call(url, "/stats")
    assert batch["request_counts"]["succeeded"] == requests == stats["calls"], batch
    # What passes between the last call and the end is ours; planning comes before the first.
    ended = datetime.fromisoformat(batch["ended_at"]).timestamp()
    first = time.time() - (time.perf_counter() - stats["first"])
    return Run(requests / max(stats["seconds"], ended - first), cpu, stats["busy"])


def compared(latency: float, requests: int) -> tuple[list[Run], list[Run]]:
    """`RUNS` pairs: the bare loop, then the batch."""
    with tempfile.TemporaryDirectory() as name, upstream(latency) as url:
        bodies = Path(name, "bodies")
        bodies.write_text("\n".join(json.dumps(params(n)) for n in range(requests)))
        flags = ("--engine", f"anthropic+{url};concurrency={CONNECTIONS}")
        with served(Path(name, "data"), *flags) as server:
            bare, ours = list[Run](), list[Run]()
            by_batch(server, url, 2_000)
            for number in range(RUNS):
                bare.append(by_client("bare", url, bodies))
                ours.append(by_batch(server, url, requests))
                print(f"run {number + 1} of {RUNS}: {bare[-1]} {ours[-1]}", file=sys.stderr)
    return bare, ours


def main() -> None:
    """Run in turn, print one table."""
    rows = []
    for words, latency, requests in (("at once", 0.0, 100_000), ("after 50 ms", 0.05, 20_000)):
        bare, ours = compared(latency, requests)
        ratios = [our.rate / their.rate for their, our in zip(bare, ours, strict=True)]
        for name, runs in ((f"bare loop, {words}", bare), (f"Batchyard, {words}", ours)):
            rows.append(
                [
                    name,
                    f"{median([run.rate for run in runs]):,.0f}",
                    f"{median([run.cpu for run in runs]):.0f}",
                    f"{median([run.busy for run in runs]):.0f}" if latency else "",
                ]
            )
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        rows.append(["ratio of pairs (min-max)", f"{median(ratios):.2f} ({spread})", "", ""])
    head = ["path", "requests/s", "CPU µs per request", f"of {CONNECTIONS} slots busy"]
    print(table("Dispatch of 2 KB requests, results durable", head, rows))


if __name__ == "__main__":
    main()
