"""A create body on disk: which requests it holds, and the params of each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from batchyard.batches import envelope
from batchyard.batches.request import Entry
from batchyard.errors import Damaged, InvalidRequest, StorageFailed
from batchyard.store.segments.files import told

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class Body:
    """An accepted create body. It may be read and closed from any thread.

    It was checked before it was accepted, so one that no longer reads the same is `Damaged`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading = threading.Lock()
        with told(f"open {path}"):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def entries(self) -> Iterator[Entry]:
        """Every entry in order of arrival, read in windows: memory does not grow with the file."""
        try:
            yield from envelope.entries(self.read)
        except InvalidRequest as error:
            raise Damaged(f"{self.path} is damaged: {error.message}") from error

    def params(self, entry: Entry) -> bytes:
        """The params as sent, on one line: CR and LF, mere white space there, become spaces."""
        raw = self.read(entry.offset, entry.length)
        if len(raw) != entry.length:
            raise Damaged(f"{self.path} is damaged: it ends after {entry.offset + len(raw)} bytes")
        return raw.translate(_ONE_LINE) if b"\n" in raw or b"\r" in raw else raw

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` raw bytes at `offset`; fewer only at the end. `ValueError` once closed."""
        with self._reading:
            if self._fd < 0:
                raise ValueError("the body was closed")
            try:
                return os.pread(self._fd, size, offset)
            except OSError as error:
                raise StorageFailed(f"cannot read {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file. May be called twice, or during a read."""
        with self._reading:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
