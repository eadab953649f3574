"""Local segments: our own fsync'ing code, on files of mode 0600 in folders of mode 0700."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchyard.errors import Damaged, DiskFull, StorageFailed
from batchyard.ids import is_batch_id
from batchyard.store.segments.contract import BODY

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that go away when somebody makes room; every other error of a write is taken as fatal."""

PIECE_BYTES = 1024 * 1024
_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_sync_data = getattr(os, "fdatasync", os.fsync)


class FileSystem:
    """The operating system's files in the few verbs the store needs.

    Everything that changes a segment passes through here, so tests can put in its place a file
    system that fails at the N-th call, or one that forgets what was not synced.
    """

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def glance(self, fd: int, length: int, offset: int) -> bytes | None:
        """What the page cache holds, all of it or None: the kernel is asked not to wait."""
        if _NO_WAIT is None:
            return None
        found = bytearray(length)
        try:
            size = os.preadv(fd, [found], offset, _NO_WAIT)
        except OSError:  # EAGAIN, or a file system that cannot promise it; `read` tells the rest
            return None
        return bytes(found) if size == length else None

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        _sync_data(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def sync_folder(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def rmdir(self, path: Path) -> None:
        path.rmdir()


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Errors of the operating system in the house's words; `doing` completes "cannot …"."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            raise DiskFull(
                f"no room to {doing}: {error.strerror}",
                fix="free some space; nothing was lost and the server goes on by itself",
            ) from error
        raise StorageFailed(f"cannot {doing}: {error.strerror}") from error


class _File:
    """An open segment: both the reader and the appender of the contract."""

    def __init__(self, files: FileSystem, path: Path, fd: int) -> None:
        self._files, self._path, self._fd = files, path, fd

    def read(self, offset: int, length: int) -> bytes:
        with told(f"read {self._path}"):
            return self._files.read(self._fd, length, offset)

    def glance(self, offset: int, length: int) -> bytes | None:
        return self._files.glance(self._fd, length, offset)

    def put(self, data: bytes, offset: int) -> None:
        with told(f"write {self._path}"):
            _write_all(self._files, self._fd, data, offset)
            self._files.sync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1


class LocalSegments:
    """`Segments` in a folder of this machine: one folder per batch."""

    def __init__(self, folder: Path, files: FileSystem) -> None:
        self._folder, self._files = folder, files

    def adopt(self, batch_id: str, spooled: Path) -> None:
        home = self._home(batch_id)
        with told(f"keep the body of {batch_id}"):
            self._files.mkdir(home)
            self._files.rename(spooled, home / BODY)
            self._files.sync_folder(home)
            self._files.sync_folder(self._folder)

    def body(self, batch_id: str) -> Path:
        return self._home(batch_id) / BODY

    def write(self, batch_id: str, segments: Iterable[tuple[str, Iterable[bytes]]]) -> None:
        home, folders = self._home(batch_id), set()
        with told(f"write segments of {batch_id}"):
            for name, pieces in segments:
                path = home / name
                self._files.mkdir(path.parent)
                folders.add(path.parent)
                self._write(path, pieces)
            for folder in (*sorted(folders), home):
                self._files.sync_folder(folder)

    def append(self, batch_id: str, name: str) -> _File:
        home = self._home(batch_id)
        path = home / name
        with told(f"begin {path}"):
            self._files.mkdir(path.parent)
            fd = self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self._files.sync_folder(path.parent)
            self._files.sync_folder(home)
        return _File(self._files, path, fd)

    def read(self, batch_id: str, name: str) -> _File:
        path = self._home(batch_id) / name
        with told(f"read {path}"):
            try:
                return _File(self._files, path, self._files.open(path, os.O_RDONLY))
            except FileNotFoundError as error:
                raise Damaged(f"{path} is gone") from error

    def seal(self, batch_id: str, name: str, size: int) -> None:
        path = self._home(batch_id) / name
        with told(f"seal {path}"), self._opened(path, os.O_RDWR) as fd:
            self._files.truncate(fd, size)
            self._files.sync(fd)

    def remove(self, batch_id: str, name: str | None = None) -> None:
        home = self._home(batch_id)
        with told(f"remove {home}"):
            if name is not None:
                self._files.unlink(home / name)
            elif home.is_dir():
                self._remove_folder(home)

    def batches(self) -> list[str]:
        with told(f"list {self._folder}"):
            return [path.name for path in self._folder.iterdir() if is_batch_id(path.name)]

    def _home(self, batch_id: str) -> Path:
        assert is_batch_id(batch_id), batch_id
        return self._folder / batch_id

    @contextmanager
    def _opened(self, path: Path, flags: int) -> Iterator[int]:
        fd = self._files.open(path, flags)
        try:
            yield fd
        finally:
            self._files.close(fd)

    def _write(self, path: Path, pieces: Iterable[bytes]) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        with self._opened(path, flags) as fd:
            offset, waiting, size = 0, [], 0
            for piece in pieces:
                waiting.append(piece)
                size += len(piece)
                if size >= PIECE_BYTES:
                    offset = _write_all(self._files, fd, b"".join(waiting), offset)
                    waiting, size = [], 0
            _write_all(self._files, fd, b"".join(waiting), offset)
            self._files.sync(fd)

    def _remove_folder(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            for path in list(folder.iterdir()):
                if path.is_dir():
                    self._remove_folder(path)
                else:
                    self._files.unlink(path)
            self._files.rmdir(folder)


def _write_all(files: FileSystem, fd: int, data: bytes, offset: int) -> int:
    """Write all of `data` at `offset`; returns where it ended."""
    rest = memoryview(data)
    while rest:
        written = files.write(fd, rest, offset)
        rest, offset = rest[written:], offset + written
    return offset
