"""A batch of one request on an engine that answers at once: from create to `ended`.

The floor is what must be durable on the way, done bare: a body, a row, a plan, a fence, a result
line and its count are seven files' syncs and six SQLite commits, one after the other.
"""

from __future__ import annotations

import http.client
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.measuring import median, table
from benchmarks.served import scratch, served

RUNS = 5
BATCHES = 40
POLL_SECONDS = 0.001
PAUSE_SECONDS = 0.1
"""Between batches that come one at a time; those back to back meet the window of the commit."""

COMMITS = 5
"""Of the row, the plan, the fence, and the result; and the one that SQLite adds now and then."""

SYNCED_FILES = 3
"""The body, the requests, the results; each with its folder, of which two are new."""

BODY = json.dumps(
    {
        "requests": [
            {
                "custom_id": "a",
                "params": {
                    "model": "simulator-1",
                    "max_tokens": 4,
                    "messages": [{"role": "user", "content": "Hi"}],
                },
            }
        ]
    }
).encode()


class Caller:
    """One connection, as an SDK keeps it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, str]:
        self._connection.request(method, path, body, {"content-type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        assert isinstance(answer, dict)
        return answer

    def batch(self) -> float:
        """Milliseconds from the first byte of the create to the first sight of `ended`."""
        began = time.perf_counter()
        batch = self.call("POST", "/v1/messages/batches", BODY)
        path = f"/v1/messages/batches/{batch['id']}"
        while batch["processing_status"] != "ended":
            time.sleep(POLL_SECONDS)
            batch = self.call("GET", path)
        return (time.perf_counter() - began) * 1e3


class Floor:
    """The same durable steps without a server."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._number = folder, 0
        self._catalog = sqlite3.connect(folder / "catalog", isolation_level=None)
        self._catalog.execute("PRAGMA journal_mode=WAL")
        self._catalog.execute("PRAGMA synchronous=FULL")
        self._catalog.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, words TEXT)")

    def batch(self) -> float:
        """Milliseconds of files, folders and rows made durable one after the other."""
        began = time.perf_counter()
        self._number += 1
        home = self._folder / str(self._number)
        home.mkdir()
        for name in ("body", "requests", "results"):
            place = home if name == "body" else home / name
            place.mkdir(exist_ok=True)
            with (place / f"{name}.jsonl").open("wb") as file:
                file.write(BODY)
                file.flush()
                os.fdatasync(file.fileno())
            for folder in (place, place.parent):
                _sync_folder(folder)
        for _ in range(COMMITS):
            self._catalog.execute("INSERT INTO rows (words) VALUES (?)", ("x" * 300,))
        return (time.perf_counter() - began) * 1e3


def paused(batch: Callable[[], float]) -> float:
    """The milliseconds of a batch that comes after a pause."""
    time.sleep(PAUSE_SECONDS)
    return batch()


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def at(runs: list[list[float]], percent: int) -> float:
    """The percentile of a run, in the middle of the runs; each is sorted."""
    return median([run[len(run) * percent // 100] for run in runs])


def times(runs: list[list[float]], others: list[list[float]]) -> float:
    """How many times the p50 of the others, in the middle of the pairs."""
    middle = BATCHES // 2
    return median([a[middle] / b[middle] for a, b in zip(runs, others, strict=True)])


def main() -> None:
    """Run in turn, print one table."""
    bare, alone, close = list[list[float]](), list[list[float]](), list[list[float]]()
    with scratch() as folder:
        floor = Floor(folder / "floor")
        with served(folder / "store", "--engine", "simulator") as server:
            caller = Caller(server.url)
            caller.batch()
            for number in range(RUNS):
                bare.append(sorted(floor.batch() for _ in range(BATCHES)))
                alone.append(sorted(paused(caller.batch) for _ in range(BATCHES)))
                close.append(sorted(caller.batch() for _ in range(BATCHES)))
                print(f"run {number + 1} of {RUNS}", file=sys.stderr)
    rows = [
        [name, f"{at(runs, 50):.1f}", f"{at(runs, 90):.1f}", f"{times(runs, bare):.1f}"]
        for name, runs in (
            ("its durable steps, bare", bare),
            ("Batchyard, one at a time", alone),
            ("Batchyard, back to back", close),
        )
    ]
    title = f"A batch of one request, from create to ended ({BATCHES} a run)"
    print(table(title, ["path", "p50 ms", "p90 ms", "p50 ratio (median of pairs)"], rows))


if __name__ == "__main__":
    main()
