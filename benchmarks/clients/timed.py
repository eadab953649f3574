"""What every client shares: its arguments, its stop watch, its answer."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def arguments() -> tuple[str, list[bytes], int]:
    """`URL BODIES CONNECTIONS`: where to ask, a file with one body a line, how many at once."""
    return sys.argv[1], Path(sys.argv[2]).read_bytes().splitlines(), int(sys.argv[3])


class Timed:
    """Wall and processor seconds of a block, children included once they have ended."""

    seconds = cpu = 0.0

    def __enter__(self) -> Timed:
        self._began, self._used = time.perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._began, _cpu() - self._used


def told(timed: Timed) -> None:
    """Say it to whoever started this."""
    print(json.dumps({"seconds": timed.seconds, "cpu": timed.cpu}), flush=True)


def _cpu() -> float:
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)
