"""How long a poll waits while a batch of the largest size is created, planned and asked."""

from __future__ import annotations

import http.client
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.create import BYTES, REQUESTS, posted, prepared
from benchmarks.measuring import call, median, table
from benchmarks.polls import SDK
from benchmarks.served import Served, served

RUNS = 5
EVERY = 0.004
"""Seconds between the polls of the one poller."""

PHASE_SECONDS = 3.0
"""How long the idle server and the dispatch of a batch are watched."""

PHASES = ("idle", "create", "plan", "dispatch")


class Poller(threading.Thread):
    """Polls a batch on a connection and a thread of its own; `phase` is what goes on beside it."""

    def __init__(self, url: str, batch_id: str) -> None:
        super().__init__()
        self.phase = "idle"
        self.waits: dict[str, list[float]] = {phase: [] for phase in PHASES}
        self.enough = threading.Event()
        parts = urlsplit(url)
        assert parts.hostname
        self._path = f"/v1/messages/batches/{batch_id}"
        self._headers = dict(line.split(": ", 1) for line in SDK.splitlines())
        self._wire = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)

    def run(self) -> None:
        due = time.perf_counter()
        while not self.enough.is_set():
            phase, began = self.phase, time.perf_counter()
            self._wire.request("GET", self._path, headers=self._headers)
            answer = self._wire.getresponse()
            answer.read()
            self.waits[phase].append(time.perf_counter() - began)
            assert answer.status == 200
            due = max(due + EVERY, time.perf_counter() - EVERY)
            time.sleep(max(0.0, due - time.perf_counter()))
        self._wire.close()


def watched(server: Served, body: Path, other: str) -> tuple[dict[str, list[float]], float]:
    """Seconds that polls waited, phase by phase, and requests asked a second meanwhile."""
    poller = Poller(server.url, other)
    poller.start()
    try:
        time.sleep(PHASE_SECONDS)
        poller.phase = "create"
        _, batch_id = posted(server.url, body)
        poller.phase = "plan"
        results = server.data_dir / "batches" / batch_id / "results"
        while not results.exists():
            time.sleep(0.002)
        poller.phase, began = "dispatch", time.perf_counter()
        time.sleep(PHASE_SECONDS)
        lines = sum(path.read_bytes().count(b"\n") for path in results.iterdir())
        rate = lines / (time.perf_counter() - began)
    finally:
        poller.enough.set()
        poller.join()
    call(server.url, f"/v1/messages/batches/{batch_id}/cancel", method="POST")
    while call(server.url, f"/v1/messages/batches/{batch_id}")["processing_status"] != "ended":
        time.sleep(0.05)
    return poller.waits, rate


def main() -> None:
    """Run in turn, print one table."""
    runs, rates = list[dict[str, list[float]]](), list[float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = prepared(folder, "large.json", REQUESTS, BYTES)
        few = prepared(folder, "few.json", 200, 100_000)
        with served(folder / "data", "--engine", "simulator:slots=256") as server:
            _, other = posted(server.url, few)
            for number in range(RUNS):
                waits, rate = watched(server, body, other)
                runs.append(waits)
                rates.append(rate)
                found = {phase: f"{_percentile(waits[phase], 99):.1f}" for phase in PHASES}
                print(f"run {number + 1} of {RUNS}: {found}, {rate:,.0f}/s", file=sys.stderr)
            server.kill()
    rows = [
        [
            phase,
            sum(len(run[phase]) for run in runs),
            *(f"{median([_percentile(run[phase], at) for run in runs]):.1f}" for at in (50, 99)),
            f"{max(max(run[phase]) for run in runs) * 1e3:.1f}",
        ]
        for phase in PHASES
    ]
    title = f"A poller at {1 / EVERY:.0f}/s beside {REQUESTS:,} requests, {BYTES // 10**6} MB"
    title += f", asked at {median(rates):,.0f}/s"
    print(table(title, ["meanwhile", "polls", "p50 ms", "p99 ms", "max ms"], rows))


def _percentile(waits: list[float], percent: int) -> float:
    """In milliseconds."""
    return sorted(waits)[len(waits) * percent // 100] * 1e3


if __name__ == "__main__":
    main()
