"""A body while it arrives: a private temporary file and the running hash of what it holds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from pathlib import Path

from batchyard.errors import DiskFull, StorageFailed

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Spool:
    """Bytes on their way in. Nothing is promised, and nothing is synced, until `sync` returns.

    `path` is a file of mode 0600 that only this object knows; `size` counts the bytes written.
    Whoever keeps the bytes renames the file and calls `close`; in every other case `discard`
    removes it. Opening and writing raise `DiskFull`, or `StorageFailed` for any other fault.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{secrets.token_hex(16)}.body"
        self.size = 0
        self._hash = hashlib.sha256()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise _told(error, self.path) from error

    def write(self, chunk: bytes) -> None:
        """Append `chunk`, on the calling thread: a copy into the page cache, no sync."""
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise _told(error, self.path) from error
        self._hash.update(chunk)
        self.size += len(chunk)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end."""
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise _told(error, self.path) from error

    def sha256(self) -> str:
        """Of everything written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def sync(self) -> None:
        """The bytes are on stable storage when this returns; blocks, so call it in a thread."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _told(error, self.path) from error

    def close(self) -> None:
        """Let go of the file and leave it where it is. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Let go of the file and remove it, unless it was renamed. May be called twice."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def _told(error: OSError, path: Path) -> DiskFull | StorageFailed:
    """The fault in the house's words."""
    if error.errno in _FULL:
        return DiskFull(
            f"no room to store the request body in {path.parent}: {error.strerror}",
            fix="free some space; nothing was lost and the server goes on by itself",
        )
    return StorageFailed(f"cannot store the request body in {path.parent}: {error.strerror}")
