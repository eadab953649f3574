"""A server on a data directory of the caller's: started, killed, and watched as a process tree."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Served:
    """The processes of one `batchyard serve` on `data_dir`, at `url`."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.data_dir, self.url = data_dir, f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "batchyard", "serve", f"--port={port}"]
        with Path(f"{data_dir}.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, f"--data-dir={data_dir}", *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when `/readyz` says so, looked at every 5 ms."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise SystemExit(f"the server did not start: {self.data_dir}.log")
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                return
            time.sleep(0.005)
        raise SystemExit("the server was not ready within a minute")

    def processes(self) -> list[int]:
        """The supervisor and its children."""
        return [self._process.pid, *_children(self._process.pid)]

    def anonymous_bytes(self) -> int:
        """Memory of the whole tree that no file stands behind."""
        return sum(_anonymous(pid) for pid in self.processes())

    def cpu_seconds(self) -> float:
        """Processor time of the whole tree."""
        return sum(_cpu(pid) for pid in self.processes())

    def kill(self) -> None:
        """`kill -9` to every process."""
        pids = self.processes()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.005)

    def stop(self) -> None:
        """Ask it to finish."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk this tree lies on, for as long as it is needed."""
    cache = Path(".cache").absolute()
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        yield Path(folder)


@contextmanager
def served(data_dir: Path, *flags: str) -> Iterator[Served]:
    """A server that is ready, and stopped at the end."""
    server = Served(data_dir, *flags)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _anonymous(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
