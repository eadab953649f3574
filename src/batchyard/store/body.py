"""A create body on disk: which requests it holds, and the params of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from batchyard.batches import envelope
from batchyard.batches.request import Entry
from batchyard.errors import InvalidRequest, StorageFailed

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class Body:
    """An accepted create body. Reading is safe from several threads at once.

    The body was checked before it was accepted, so one that no longer reads is a fault of the
    disk: `StorageFailed`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageFailed(f"cannot open {path}: {error.strerror}") from error

    def entries(self) -> Iterator[Entry]:
        """Every entry in order of arrival, read in windows: memory does not grow with the file."""
        try:
            yield from envelope.entries(self.read)
        except InvalidRequest as error:
            raise StorageFailed(f"{self.path} is damaged: {error.message}") from error

    def params(self, entry: Entry) -> bytes:
        """The params as sent, on one line: CR and LF, mere white space there, become spaces."""
        raw = self.read(entry.offset, entry.length)
        if len(raw) != entry.length:
            raise StorageFailed(f"{self.path} is damaged: it ends before byte {entry.offset}")
        return raw.translate(_ONE_LINE) if b"\n" in raw or b"\r" in raw else raw

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` raw bytes at `offset`; fewer only at the end of the file."""
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise StorageFailed(f"cannot read {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
