"""The other server as a process of its own, which can be killed and started again."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.pipeline.another_server.ledger import NAME, Asked, read_ledger, times_asked

ROOT = Path(__file__).parents[3]


class Process:
    """A server in a child process. Options are those of the command line, without `--`:
    `faults` is a dict, flags are True, `key` and `model` are lists."""

    def __init__(self, state: Path, **options: Any) -> None:
        self.state = state
        self._options = options
        self._child: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it, on the port it had before if it had one; returns when it listens."""
        port = urlsplit(self.url).port or self._options.pop("port", 0)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.another_server", "--state", str(self.state),
             "--port", str(port), *_arguments(self._options)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert self._child.stdout is not None
        self.url = json.loads(self._child.stdout.readline())["url"]

    def kill(self) -> None:
        """`kill -9`."""
        assert self._child is not None
        self._child.kill()
        self._gone()

    def stop(self) -> None:
        """SIGTERM, if it runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._gone()

    def turn(self, **faults: Any) -> dict[str, Any]:
        """Turn switches of `Faults` while it runs; returns how all of them stand."""
        return self._control("faults", faults)

    def heal(self) -> None:
        """Nothing fails from now on."""
        self.turn(healed=True)

    def advance(self, seconds: float) -> None:
        """Have it believe that so much time has gone by."""
        self._control("advance", {"seconds": seconds})

    def go_away(self, seconds: float) -> None:
        """Refuse connections for so long."""
        self._control("away", {"seconds": seconds})

    def asked(self) -> list[Asked]:
        """Every request it was asked so far."""
        return list(read_ledger(self.state / NAME))

    def times_asked(self) -> Counter[str]:
        """How often each row was asked in batches."""
        return times_asked(self.state / NAME)

    def _control(self, what: str, told: dict[str, Any]) -> dict[str, Any]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", f"/control/{what}", json.dumps(told))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer

    def _gone(self) -> None:
        assert self._child is not None
        assert self._child.stdout is not None
        self._child.wait(30)
        self._child.stdout.close()


@contextlib.contextmanager
def started(state: Path, **options: Any) -> Iterator[Process]:
    """A running `Process`, stopped at the end."""
    process = Process(state, **options)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def _arguments(options: dict[str, Any]) -> Sequence[str]:
    words: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, dict):
            words += [flag, json.dumps(value)]
        elif isinstance(value, list):
            words += [word for one in value for word in (flag, str(one))]
        else:
            words += [flag, str(value)]
    return words
