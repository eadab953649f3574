"""News between processes: a datagram that says "look again". Losing one costs a poll interval."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

POLL_SECONDS = 1.0
"""How long a listener waits at most before it looks without having been told."""


class Notifier:
    """Tells the dispatch process that the catalog has changed. Never blocks, never fails."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def notify(self, what: str) -> None:
        """Send `what` (a word or an id) as a hint; a missing or full listener is ignored."""
        with contextlib.suppress(OSError):
            self._socket.sendto(what.encode()[:512], self._path)

    def close(self) -> None:
        self._socket.close()


class Listener:
    """The receiving end, on a Unix socket in the data directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._news = asyncio.Event()
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Bind and start reading on the running loop. A stale socket file is replaced."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(os.fspath(self._path))
        self._path.chmod(0o600)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def wake(self) -> None:
        """Pretend news came: for callers in the same process."""
        self._news.set()

    async def wait(self) -> None:
        """Return when something was told since the last call."""
        await self._news.wait()
        self._news.clear()

    def close(self) -> None:
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _read(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(512):
                self._news.set()
