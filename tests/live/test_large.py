"""One batch at every limit, 100,000 requests in 256 MB, and what it costs everybody else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import HEADERS, Calls, requests
from tests.live.harness.serving import Server, clean_environment
from tests.live.harness.waiting import eventually
from tests.live.sdk.installed import ROOT

pytestmark = pytest.mark.timeout(300)

REQUESTS, BYTES = 100_000, 268_435_456
MB = 1_000_000
READERS = 16


@dataclass
class Large:
    """What was measured, phase by phase. Memory in bytes over idle, times in seconds."""

    server: Server
    batch: dict[str, Any]
    create_seconds: float
    polls: list[float] = field(default_factory=list)
    grown_at_create: int = 0
    grown_at_plan: int = 0
    small_started: float = 0.0
    small_ended: float = 0.0
    grown_at_read: int = 0
    polls_at_read: list[float] = field(default_factory=list)
    result_bytes: int = 0
    lines: int = 0


class Meter:
    """Polls one batch and weighs the server's processes, on one thread, until told enough."""

    def __init__(self, server: Server, batch_id: str) -> None:
        self._server = server
        self._calls = Calls(server.url)
        self._batch_id = batch_id
        self._turn = 0
        self.idle = server.anonymous_bytes()
        self.most = self.idle
        self.waits: list[float] = []

    def look(self) -> dict[str, Any]:
        """One poll, timed, and every tenth time the weight."""
        started = time.monotonic()
        batch: dict[str, Any] = self._calls.batch(self._batch_id)
        self.waits.append(time.monotonic() - started)
        self._turn += 1
        if self._turn % 10 == 0:
            self.most = max(self.most, self._server.anonymous_bytes())
        time.sleep(0.002)
        return batch

    def watch(self, batch_id: str) -> None:
        self._batch_id = batch_id

    def close(self) -> None:
        self._calls.close()

    @property
    def grown(self) -> int:
        return self.most - self.idle


@pytest.fixture(scope="module")
def large(serve_module: Serve) -> Large:
    server = serve_module("--engine", "simulator:latency=1ms")
    warm = server.calls.create(requests(200))
    server.calls.ended(warm["id"])
    meter = Meter(server, warm["id"])

    command = [sys.executable, "-m", "tests.live.harness.upload"]
    command += [server.url, "simulator-1", str(REQUESTS), str(BYTES)]
    uploading = subprocess.Popen(
        command, cwd=ROOT, env=clean_environment({}), stdout=subprocess.PIPE, text=True
    )
    while uploading.poll() is None:
        meter.look()
    said, _ = uploading.communicate(timeout=5)
    told = json.loads(said)
    found = Large(server, told["batch"], told["seconds"], grown_at_create=meter.grown)

    meter.watch(found.batch["id"])
    eventually(lambda: meter.look()["request_counts"]["succeeded"] > 0, within=60, every=0)
    _run_beside(found, server.calls)
    deadline = time.monotonic() + 150
    while meter.look()["processing_status"] != "ended":
        assert time.monotonic() < deadline, "the large batch did not end"
    found.grown_at_plan, found.polls = meter.grown, meter.waits
    meter.close()
    _read_slowly(found, Meter(server, found.batch["id"]))
    return found


def _run_beside(found: Large, calls: Calls) -> None:
    """Five requests created while a hundred thousand run."""
    started = time.monotonic()
    small = calls.create(requests(5, prefix="small"))["id"]
    eventually(lambda: calls.batch(small)["request_counts"]["succeeded"] > 0, within=30, every=0.01)
    found.small_started = time.monotonic() - started
    calls.ended(small, within=30)
    found.small_ended = time.monotonic() - started
    running = calls.batch(found.batch["id"])
    assert running["processing_status"] == "in_progress", "nothing was running beside it"


def _read_slowly(found: Large, meter: Meter) -> None:
    """Sixteen readers that take a little now and then; one of them reads to the end."""
    readers = [_reader(found) for _ in range(READERS)]
    try:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            for reader in readers[1:]:
                reader.recv(16_384)
            meter.look()
        found.grown_at_read, found.polls_at_read = meter.grown, meter.waits
        for reader in readers[1:]:
            reader.close()
        body = _rest(readers[0])
    finally:
        meter.close()
        for reader in readers:
            reader.close()
    found.result_bytes, found.lines = len(body), body.count(b"\n")


def _reader(found: Large) -> socket.socket:
    parts = urlsplit(found.server.url)
    reader = socket.create_connection((parts.hostname, parts.port), timeout=30)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    path = f"/v1/messages/batches/{found.batch['id']}/results"
    named = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    reader.sendall(f"GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{named}\r\n".encode())
    return reader


def _rest(reader: socket.socket) -> bytes:
    held = bytearray()
    while chunk := reader.recv(1 << 20):
        held += chunk
    head, _, body = bytes(held).partition(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    assert len(body) == int(length.split(b":")[1])
    return body


def percentile(waits: list[float], share: float) -> float:
    return sorted(waits)[int(len(waits) * share)]


def test_it_is_taken_whole(large: Large) -> None:
    assert large.batch["request_counts"]["processing"] == REQUESTS
    assert large.create_seconds < 60


def test_memory_stays_flat_while_it_arrives_is_planned_and_runs(large: Large) -> None:
    assert large.grown_at_create < 100 * MB, f"{large.grown_at_create / MB:.0f} MB at create"
    assert large.grown_at_plan < 100 * MB, f"{large.grown_at_plan / MB:.0f} MB at plan and run"


def test_other_calls_are_answered_meanwhile(large: Large) -> None:
    assert len(large.polls) > 300
    assert percentile(large.polls, 0.99) < 0.05, percentile(large.polls, 0.99)


def test_a_small_batch_beside_it_starts_within_two_seconds(large: Large) -> None:
    assert large.small_started < 2.0
    assert large.small_ended < 4.0


def test_every_request_ends_in_one_line(large: Large) -> None:
    ended = large.server.calls.batch(large.batch["id"])
    assert ended["request_counts"]["succeeded"] == REQUESTS
    assert large.lines == REQUESTS


def test_results_are_streamed_at_the_readers_pace(large: Large) -> None:
    assert large.grown_at_read < 64 * MB, f"{large.grown_at_read / MB:.0f} MB for {READERS} readers"
    assert percentile(large.polls_at_read, 0.99) < 0.05
