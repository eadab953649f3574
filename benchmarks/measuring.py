"""What every benchmark shares: a server as a process, paired runs, medians, one table."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def batchyard(*flags: str) -> Iterator[str]:
    """A server on a free loopback port with an empty data directory; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data, Path(data, "server.log").open("w") as log:
        command = [sys.executable, "-m", "batchyard", "serve", f"--port={port}"]
        process = subprocess.Popen(
            [*command, f"--data-dir={data}/store", *flags],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(url, process)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("the server did not start")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server was not ready within 30 s")


def call(url: str, path: str, body: object = None, method: str | None = None) -> Any:
    """One JSON exchange with the server."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, method=method)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.loads(answer.read())


def run_batch(url: str, requests: Sequence[dict[str, Any]]) -> tuple[float, dict[str, int]]:
    """Create a batch and wait for its end: seconds from create to `ended`, and its counts."""
    began = time.perf_counter()
    batch = call(url, "/v1/messages/batches", {"requests": list(requests)})
    while batch["processing_status"] != "ended":
        time.sleep(0.02)
        batch = call(url, f"/v1/messages/batches/{batch['id']}")
    return time.perf_counter() - began, batch["request_counts"]


def machine() -> str:
    """The machine in a few words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table under a title with date and machine."""
    lines = [f"### {title}", "", f"{time.strftime('%Y-%m-%d')} · {machine()}", ""]
    lines.append("| " + " | ".join(head) + " |")
    lines.append("|" + "---|" * len(head))
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
