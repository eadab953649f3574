"""The parent of processes that die on purpose: it traces them and hears what they were told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crash.acts import MESSAGE_BYTES
from tests.crash.tracing import Strace

_WAIT_SECONDS = 60.0


@dataclass
class Fate:
    """What became of one act: what the store had told, the exit status, the calls that were made to
    fail, and the one before which death came."""

    told: list[dict[str, Any]] = field(default_factory=list)
    status: int = 0
    injected: list[str] = field(default_factory=list)
    died_at: str = ""

    @property
    def killed(self) -> bool:
        return self.status == -9

    def heard(self, name: str) -> list[Any]:
        """Every value told under a name, in order."""
        return [news[name] for news in self.told if name in news]


class Nursery:
    """`with Nursery() as nursery: nursery.act("create", folder, "fsync", "signal=KILL:when=3")`."""

    def __enter__(self) -> Self:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_WAIT_SECONDS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.acts", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )
        theirs.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def act(self, act: str, folder: Path, calls: str, inject: str, *, close: bool = True) -> Fate:
        """Do one act on the store in `folder` under strace, and close the store unless told not
        to; returns when the process is gone."""
        self._say({"act": act, "folder": os.fspath(folder), "close": close})
        ready = self._hear()
        fate = Fate()
        with Strace(ready["ready"], calls, inject) as tracer:
            self._say({})
            while "exit" not in (news := self._hear()):
                fate.told.append(news)
        fate.status, fate.injected, fate.died_at = news["exit"], tracer.injected, tracer.died_at
        return fate

    def _say(self, order: dict[str, Any]) -> None:
        self._channel.send(json.dumps(order).encode())

    def _hear(self) -> dict[str, Any]:
        news = self._channel.recv(MESSAGE_BYTES)
        assert news, "the nursery has died"
        heard: dict[str, Any] = json.loads(news)
        return heard
