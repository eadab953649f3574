"""A child process of the server: `python -m batchyard.server.processes.child api|dispatch`."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine

import uvloop

from batchyard.errors import ConfigurationError, SchemaMismatch, StorageError
from batchyard.server.processes.errand import Errand
from batchyard.server.processes.kept import REFUSED
from batchyard.telemetry import configure_logging

Work = Callable[[Errand, Callable[..., None]], Coroutine[None, None, int]]


def main(role: str) -> int:
    """Run the errand on the first line of standard input; returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work = _work(role)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 0  # the supervisor died while it spoke
    errand = Errand.read(line)
    threading.Thread(target=_leave_with_the_supervisor, daemon=True).start()
    configure_logging(errand.settings.log_level, process=errand.role)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin it has
    _collect_rarely()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work(errand, _say))
    except (ConfigurationError, StorageError) as error:
        _say(error=error.message, fix=error.fix)
        return REFUSED if isinstance(error, ConfigurationError | SchemaMismatch) else 1


def _work(role: str) -> Work:
    """What a child of that role does. Each loads the rooms it needs and no others."""
    if role == "api":
        from batchyard.server.processes.api import run_api

        return run_api
    from batchyard.server.processes.dispatch import run_dispatch

    return run_dispatch


def _collect_rarely() -> None:
    """Have the garbage collector look at ten thousand new objects instead of seven hundred.

    Every request makes and frees a few dozen objects that no collector needs to see, so with the
    default it runs hundreds of times a second, for 8 % of the time, and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _leave_with_the_supervisor() -> None:
    """End the process when standard input ends: the supervisor is gone, and so is our lock.

    At once and without clean-up: whoever starts next recovers from what is on disk.
    """
    while os.read(0, 4096):
        pass
    os._exit(0)


def _say(**news: object) -> None:
    """Tell the supervisor, once, that work is accepted or why it never will be.

    Afterwards standard output is the log's.
    """
    with os.fdopen(os.dup(1), "w") as out:
        out.write(json.dumps(news) + "\n")
    os.dup2(2, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
