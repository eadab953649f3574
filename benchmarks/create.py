"""A create of the largest size against copying its bytes to a file, and the memory it takes.

The floor reads the same file, writes it into the same file system and syncs it. The client sends
the file with `sendfile`, so that it costs next to nothing itself.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.live.harness.upload import body_bytes, pieces

from benchmarks.measuring import call, median, table
from benchmarks.served import Served, served

RUNS = 7
WEIGHED = 3
REQUESTS, BYTES = 100_000, 256_000_000
BATCHES, SMALL_BYTES = 10, 20_000_000
MODEL = "simulator-1"
ENGINE = "simulator:slots=1,latency=1h"
"""One request is asked and never answered: what is planned costs nothing afterwards."""


@dataclass(frozen=True, slots=True)
class Created:
    """One create. Times in seconds: until it is answered, from there until its first request is
    about to be asked; CPU seconds of all processes until the answer."""

    floor: float
    answered: float
    asked: float
    cpu: float

    @property
    def ratio(self) -> float:
        """How many times the floor."""
        return self.answered / self.floor


@dataclass(frozen=True, slots=True)
class Grown:
    """Bytes of anonymous memory over idle: the most until the answer, and from there until the
    first request is about to be asked."""

    create: int
    plan: int


class Scale:
    """Weighs a process tree again and again, on a thread of its own."""

    def __init__(self, server: Served) -> None:
        self._server, self._enough = server, threading.Event()
        self.idle = self.most = server.anonymous_bytes()
        self._thread = threading.Thread(target=self._weigh)
        self._thread.start()

    def grown(self) -> int:
        """The most since the beginning or the last time asked, over idle; in bytes."""
        most, self.most = self.most, self.idle
        return most - self.idle

    def close(self) -> None:
        self._enough.set()
        self._thread.join()

    def _weigh(self) -> None:
        while not self._enough.wait(0.02):
            self.most = max(self.most, self._server.anonymous_bytes())


def prepared(folder: Path, name: str, requests: int, size: int) -> Path:
    """A create body of `requests` requests and about `size` bytes."""
    path = folder / name
    each = (size - len(b'{"requests":[]}') + 1) // requests - 1
    with path.open("wb") as file:
        file.writelines(pieces(MODEL, requests, each))
    assert path.stat().st_size == body_bytes(requests, each)
    return path


def copied(body: Path, target: Path) -> float:
    """Seconds for `cp` and an fsync."""
    began = time.perf_counter()
    with body.open("rb") as source, target.open("wb", buffering=0) as copy:
        while chunk := source.read(1 << 20):
            copy.write(chunk)
        os.fsync(copy.fileno())
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def posted(url: str, body: Path) -> tuple[float, str]:
    """Seconds until a create is answered, and the id of the batch."""
    parts = urlsplit(url)
    assert parts.hostname
    lines = ["POST /v1/messages/batches HTTP/1.1", f"host: {parts.netloc}", "x-api-key: local"]
    lines += ["anthropic-version: 2023-06-01", "content-type: application/json"]
    lines += [f"content-length: {body.stat().st_size}", "connection: close"]
    began = time.perf_counter()
    with socket.create_connection((parts.hostname, parts.port), 120) as wire:
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        with body.open("rb") as file:
            wire.sendfile(file)
        said = b""
        while chunk := wire.recv(65_536):
            said += chunk
    seconds = time.perf_counter() - began
    head, _, answer = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), said
    return seconds, json.loads(answer)["id"]


def created(server: Served, body: Path) -> Created:
    """A copy, then a create of the same bytes, until its requests may be asked."""
    floor = copied(body, server.data_dir.parent / "copy")
    used = server.cpu_seconds()
    answered, batch_id = posted(server.url, body)
    cpu, began = server.cpu_seconds() - used, time.perf_counter()
    _planned(server, batch_id)
    asked = time.perf_counter() - began
    ended(server.url, batch_id)
    return Created(floor, answered, asked, cpu)


def weighed(server: Served, body: Path) -> Grown:
    """The same, watched; for itself, since weighing a process holds it up."""
    scale = Scale(server)
    try:
        _, batch_id = posted(server.url, body)
        at_create = scale.grown()
        _planned(server, batch_id)
    finally:
        scale.close()
    ended(server.url, batch_id)
    return Grown(at_create, scale.grown())


def _planned(server: Served, batch_id: str) -> None:
    results = server.data_dir / "batches" / batch_id / "results"
    while not results.exists():
        time.sleep(0.002)


def ended(url: str, batch_id: str) -> None:
    """Cancel the batch and see its end, so that the next run has the machine to itself."""
    path = f"/v1/messages/batches/{batch_id}"
    call(url, f"{path}/cancel", method="POST")
    while call(url, path)["processing_status"] != "ended":
        time.sleep(0.1)


def main() -> None:
    """Run in turn, print one table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = prepared(folder, "large.json", REQUESTS, BYTES)
        few = prepared(folder, "small.json", REQUESTS, SMALL_BYTES)
        with served(folder / "data", "--engine", ENGINE) as server:
            posted(server.url, prepared(folder, "warm.json", 200, 100_000))
            time.sleep(1)
            what = f"{REQUESTS:,} requests, {BYTES // 10**6} MB"
            rows.append(_row(what, server, body, RUNS))
            what = f"{BATCHES} batches of {REQUESTS:,} requests, {SMALL_BYTES // 10**6} MB each"
            rows.append(_row(what, server, few, BATCHES))
            server.kill()
    head = ["create", "cp + fsync s", "answered s", "ratio (median of pairs)"]
    head += ["CPU s", "MB over idle", "and until planned", "answer to first request s"]
    print(table("Create over loopback", head, rows))


def _row(what: str, server: Served, body: Path, times: int) -> list[str]:
    runs = list[Created]()
    for number in range(times):
        runs.append(created(server, body))
        print(f"run {number + 1} of {times}: {runs[-1]}", file=sys.stderr)
    grown = [weighed(server, body) for _ in range(WEIGHED)]
    print(*grown, file=sys.stderr)
    ratios = [run.ratio for run in runs]
    return [
        what,
        f"{median([run.floor for run in runs]):.3f}",
        f"{median([run.answered for run in runs]):.3f}",
        f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        f"{median([run.cpu for run in runs]):.2f}",
        f"{max(one.create for one in grown) / 1e6:.0f}",
        f"{max(one.plan for one in grown) / 1e6:.0f}",
        f"{median([run.asked for run in runs]):.2f}",
    ]


if __name__ == "__main__":
    main()
