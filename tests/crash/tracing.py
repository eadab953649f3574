"""strace on a running process: it dies, or its disk fails, at exactly the N-th file operation."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

CHANGES = (
    "openat", "?mkdir,mkdirat", "?rename,renameat,renameat2", "?unlink,unlinkat", "?rmdir",
    "write", "pwrite64", "ftruncate", "fsync", "fdatasync",
)  # fmt: skip
"""Every call by which our programs change files or make a change durable; strace counts each kind
for itself. A question mark: not on every processor. `openat` may only read: a death there is one
point more, not one less."""

IN_SERVERS = tuple(name for name in CHANGES if name != "write")
"""The same where `write` also serves the event loop and the log."""

WRITES = ("write", "pwrite64")
SYNCS = ("fsync", "fdatasync")

_INSTALL_SECONDS = 120
_ATTACH_SECONDS = 20
_LEAVE_SECONDS = 2


class Strace:
    """`with Strace(pid, "fsync", "signal=KILL:when=7"):` while inside, the process is under strace.

    `inject` is what strace(1) says of `-e inject`; `when` counts each call of `calls`, in each
    thread, for itself. Threads and children there are later are traced too. Afterwards `died_at`
    is the call before which the process was killed.
    """

    def __init__(self, pid: int, calls: str, inject: str) -> None:
        self._pid = pid
        self._log = Path(tempfile.mkstemp(prefix="strace-")[1])
        self._command = [
            str(shutil.which("strace")), "-f", "-y", "-ttt", "-p", str(pid), "-o", str(self._log),
            "-e", f"trace={calls}", "-e", f"inject={calls}:{inject}",
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._tracer = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        late = threading.Timer(_ATTACH_SECONDS, self._tracer.kill)
        late.start()
        assert self._tracer.stderr is not None
        said = ""
        for line in self._tracer.stderr:
            said += line
            if f"Process {self._pid} attached" in line:
                late.cancel()
                return self
        late.cancel()
        self._tracer.wait()
        raise AssertionError(f"strace did not attach to {self._pid}: {said}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the process go on without strace, if it still lives.

        A tracer that waits for a thread which was killed at birth waits for ever: it is ended, and
        with it what is left of the process.
        """
        self._tracer.terminate()
        try:
            self._tracer.communicate(timeout=_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._tracer.kill()
            self._tracer.communicate()
        self.log = self._log.read_text(errors="replace")
        self._log.unlink()

    @property
    def injected(self) -> list[str]:
        """The calls that were made to fail, with the paths of their files."""
        return [line for line in self.log.splitlines() if line.endswith("(INJECTED)")]

    @property
    def died_at(self) -> str:
        """The last call there was, for a person to read."""
        calls = [line for line in self.log.splitlines() if "(" in line]
        return calls[-1][:120] if calls else "nothing"

    @property
    def died(self) -> float | None:
        """When the process was killed, in seconds of `time.monotonic`; None when it was not."""
        deaths = [line.split() for line in self.log.splitlines() if "+++ killed by" in line]
        if not deaths:
            return None
        return min(float(words[1]) for words in deaths) - time.time() + time.monotonic()


@functools.cache
def missing() -> str:
    """Why processes cannot be traced here; empty when they can. Installs strace where it may."""
    if not sys.platform.startswith("linux"):
        return "crash points need strace, which only Linux has"
    if shutil.which("strace") is None:
        _install()
    if shutil.which("strace") is None:
        return "crash points need strace: `apt-get install strace` (as root the tests try it)"
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            with Strace(sleeper.pid, "fsync", "signal=KILL"):
                return ""
        except AssertionError as error:
            return f"crash points need ptrace, which is not permitted here: {error}"
        finally:
            sleeper.kill()


def _install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "-y", "install", "strace"]):
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=_INSTALL_SECONDS, check=False)


@pytest.fixture(scope="session")
def strace() -> None:
    """Skips with a plain message where processes cannot be traced."""
    if missing():
        pytest.skip(missing())
