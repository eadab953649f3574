"""A `batchyard serve` process tree under test: started, watched, killed, stopped, always by pid."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.live.harness.calls import Calls
from tests.live.harness.waiting import eventually

_MARK = "TESTED_BATCHYARD"
START_SECONDS = 30.0
PROGRAM = str(Path(sys.executable).with_name("batchyard"))


_ports_given: set[int] = set()


def free_port() -> int:
    """A loopback port nobody listens on, below the range outgoing connections are given.

    Never one given before, nor one that another worker of this run is given: a server that is
    dead for a moment finds its port free when it starts again.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    while True:
        port = random.randrange(18_000 + worker, 30_000, 8)
        if port in _ports_given:
            continue
        _ports_given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """One data directory and the server on it; may be stopped and started again on its port.

    Every process of the tree carries a mark in its environment, so `pids` also finds orphans.
    """

    def __init__(
        self,
        directory: Path,
        *flags: str,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.data_dir = data_dir or directory / "data"
        self.log = directory / "serve.log"
        self.flags = flags
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.mark = uuid.uuid4().hex
        self.process: subprocess.Popen[bytes] | None = None
        self._env = dict(env or {})
        self._calls: Calls | None = None
        self._seen: set[int] = set()

    # -- starting and stopping -----------------------------------------------------------------

    def launch(self, *flags: str) -> Server:
        """Start the process and return at once."""
        assert self.process is None or self.process.poll() is not None, "already running"
        command = [PROGRAM, "serve", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.flags, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment({**self._env, _MARK: self.mark}),
                start_new_session=True,
            )
        return self

    def start(self) -> Server:
        """Start the process and return when it accepts work."""
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self, within: float = START_SECONDS) -> None:
        """Return when `/readyz` says 200; fails at once when the supervisor has exited."""

        def ready() -> bool:
            process = self.process
            if process is None or process.poll() is not None:
                raise RuntimeError(
                    f"the server exited: {process and process.returncode}\n{self.tail()}"
                )
            probe = Calls(self.url, timeout=5)
            try:
                return probe.ask("GET", "/readyz").status == 200
            finally:
                probe.close()

        eventually(ready, within=within, what=f"{self.url} to be ready\n{self.tail()}")

    def stop(self, within: float = 30.0) -> int:
        """SIGTERM, wait, and return the exit status; nothing of the tree is left afterwards."""
        process = self.process
        if process is None:
            return 0
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"SIGTERM did not end the server\n{self.tail()}") from None
        self.wait_gone()
        return status

    def discard(self) -> None:
        """Leave nothing running, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            with suppress(AssertionError):
                self.stop()
        self.kill_all()
        if self._calls is not None:
            self._calls.close()

    # -- killing --------------------------------------------------------------------------------

    def kill_all(self) -> None:
        """`kill -9` to every process of the tree, as fast as one loop can."""
        if self.process is not None:
            self.process.kill()
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)
        self.wait_gone()

    def kill(self, role: str) -> int:
        """`kill -9` the `api` or `dispatch` process; returns its pid once it is dead."""
        pid = self.pid(role)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid), within=10, every=0.002, what=f"{role} to be dead")
        return pid

    def kill_supervisor(self) -> None:
        """`kill -9` the supervisor alone; returns when its children are gone too."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)
        self.wait_gone()

    def wait_gone(self, within: float = 5.0) -> None:
        """Return when nothing of the tree is alive: no orphans."""
        eventually(lambda: not self.pids(), within=within, what="the whole tree to be gone")

    # -- looking --------------------------------------------------------------------------------

    @property
    def calls(self) -> Calls:
        """One shared connection for the test's own thread."""
        if self._calls is None:
            self._calls = Calls(self.url)
        return self._calls

    def pids(self) -> list[int]:
        """Every living process that carries our mark, reparented ones too.

        One that is leaving has lost its environment already, so those seen before are looked at.
        """
        mark = f"{_MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                environ = (entry / "environ").read_bytes()
                if mark in environ:
                    self._seen.add(int(entry.name))
                elif environ:
                    self._seen.discard(int(entry.name))  # the number of another process by now
        self._seen = {pid for pid in self._seen if alive(pid)}
        return sorted(self._seen)

    def pid(self, role: str, *, other_than: int = 0) -> int:
        """The pid of the `supervisor`, `api` or `dispatch`, waited for while it restarts."""

        def look() -> int:
            pid = self.roles().get(role, 0)
            return pid if pid != other_than else 0

        return eventually(look, within=15, what=f"a {role} process\n{self.tail()}")

    def roles(self) -> dict[str, int]:
        """`supervisor`, `api` and `dispatch` as pids, as far as they are alive."""
        assert self.process is not None
        found = {}
        for pid in self.pids():
            if pid == self.process.pid:
                found["supervisor"] = pid
                continue
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split()
                for role in ("api", "dispatch"):
                    if role in words:
                        found[role] = pid
        return found

    def anonymous_bytes(self) -> int:
        """Private anonymous memory of the whole tree."""
        return sum(_anonymous_bytes(pid) for pid in self.pids())

    def tail(self, lines: int = 60) -> str:
        """The end of what the server printed."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs, or has threads that are still leaving with its files and locks.

    A zombie nobody has waited for yet does not: it holds nothing any more.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the variables that would steer a server or an SDK."""
    prefixes = ("BATCHYARD_", "ANTHROPIC_", "OPENAI_", "COV_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


def _anonymous_bytes(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in rollup.splitlines()[1:] if ":" in line)
    return int(fields["Anonymous"].split()[0]) * 1024
