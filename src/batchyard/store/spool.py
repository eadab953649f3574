"""A body while it arrives: a private temporary file and the running hash of what it holds."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import threading
from pathlib import Path

from batchyard.store.segments.files import FileSystem, told

_PIECE = 256 * 1024


class Spool:
    """Bytes on their way in. Nothing is promised, and nothing is synced, until `sync` returns.

    It may be used and closed from any thread: who reads or writes after that gets `ValueError`.

    `path` is a file of mode 0600 that only this object knows; `size` counts the bytes written.
    Whoever keeps the bytes renames the file and calls `close`; in every other case `discard`
    removes it. Opening and writing raise `DiskFull`, or `StorageFailed` for any other fault.
    """

    def __init__(self, folder: Path, files: FileSystem | None = None) -> None:
        self.size = 0
        self._files = files or FileSystem()
        self._hash, self._hashed = hashlib.sha256(), 0
        self._hashing, self._using = threading.Lock(), threading.Lock()
        with told("store the request body"):
            self.path, self._fd = _new_file(folder)
        self._syncing, self._closed = 0, False

    def write(self, chunk: bytes) -> None:
        """Append `chunk`, on the calling thread: a copy into the page cache, no sync."""
        rest = memoryview(chunk)
        with self._using, told("store the request body"):
            while rest:
                rest = rest[os.write(self._open(), rest) :]
        self.size += len(chunk)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end of what was written.

        The first time a byte is read in its turn it is hashed, so that the thread which writes
        has nothing to do with that.
        """
        with self._using, told("read the request body"):
            data = os.pread(self._open(), size, offset)
        self._hash_on(data, offset)
        return data

    def sha256(self) -> str:
        """Of everything written so far, in hexadecimal. Reads what nobody has read yet."""
        while self._hashed < self.size:
            self.read(self._hashed, _PIECE)
        return self._hash.hexdigest()

    def _open(self) -> int:
        """The file's descriptor, unless it was closed: its number may be another file's by now."""
        if self._closed:
            raise ValueError("the spool was closed")
        return self._fd

    def _let_go(self) -> None:
        """Close the file if it is to be closed, unless a sync still has it."""
        if self._closed and not self._syncing and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _hash_on(self, data: bytes, offset: int) -> None:
        with self._hashing:
            known = self._hashed - offset
            if 0 <= known < len(data):
                self._hash.update(memoryview(data)[known:])
                self._hashed += len(data) - known

    def sync(self) -> None:
        """What was written before is on stable storage when this returns; blocks, so call it in a
        thread. Others may write and read meanwhile, or close the spool."""
        with self._using:
            fd = self._open()
            self._syncing += 1
        try:
            with told("store the request body"):
                self._files.sync(fd)
        finally:
            with self._using:
                self._syncing -= 1
                self._let_go()

    def close(self) -> None:
        """Let go of the file and leave it where it is. May be called twice."""
        with self._using:
            self._closed = True
            self._let_go()

    def discard(self) -> None:
        """Let go of the file and remove it, unless it was renamed. May be called twice."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def _new_file(folder: Path) -> tuple[Path, int]:
    """A file that is locked as long as it is open: `remove_abandoned` leaves such files alone."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        path = folder / f"{secrets.token_hex(16)}.body"
        fd = os.open(path, flags, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                return path, fd
        os.close(fd)  # swept away between its making and its locking: make another


def remove_abandoned(folder: Path) -> None:
    """Remove the spools whose writer is gone, by whatever death: a live one holds its lock.

    What cannot be removed, or is none of ours, stays where it is: it harms nobody.
    """
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(fd)
