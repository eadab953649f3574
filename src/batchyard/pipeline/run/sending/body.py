"""The body of a create call: written to disk row by row, sent from there as it is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from batchyard.client.http import Body
from batchyard.pipeline.run.store.manifest import sync_folder

CHUNK_BYTES = 256 * 1024
_HEAD, _TAIL = b'{"requests":[', b"]}"


@dataclass(slots=True)
class Written:
    """What is in a body so far: the positions of its rows, and the bytes of each one's request."""

    positions: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    size: int = len(_HEAD) + len(_TAIL)

    def cut(self, rows: int) -> None:
        """Only the first rows."""
        del self.positions[rows:], self.sizes[rows:]
        self.size = len(_HEAD) + len(_TAIL) + sum(self.sizes) + max(0, rows - 1)


class Writer:
    """Writes the body at `path`. What stands there before `keep` has no meaning."""

    def __init__(self, path: Path, requests_max: int, bytes_max: int) -> None:
        path.parent.mkdir(exist_ok=True)
        self._path = path
        self._requests_max, self._bytes_max = requests_max, bytes_max
        self._file: IO[bytes] = path.open("w+b")
        self._file.write(_HEAD)
        self.written = Written()

    def add(self, position: int, custom_id: str, params: bytes) -> bool:
        """Write one request; False, having written nothing, when it is too much for the batch."""
        written = self.written
        entry = b'{"custom_id":"%b","params":%b}' % (custom_id.encode(), params)
        separator = b"," if written.positions else b""
        size = written.size + len(separator) + len(entry)
        if written.positions and size > self._bytes_max:
            return False
        self._file.write(separator + entry)
        written.size = size
        written.positions.append(position)
        written.sizes.append(len(entry))
        return True

    @property
    def full(self) -> bool:
        return len(self.written.positions) >= self._requests_max

    def keep(self, rows: int) -> Written:
        """End the body after its first rows; it is durable on return. Raises OSError."""
        written = self.written
        if rows < len(written.positions):
            written.cut(rows)
        self._file.flush()
        self._file.truncate(written.size - len(_TAIL))
        self._file.seek(written.size - len(_TAIL))
        self._file.write(_TAIL)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        sync_folder(self._path.parent)
        return written

    def close(self) -> None:
        self._file.close()


class Kept:
    """A body on disk, for `client.Client.create`."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def body(self) -> Body:
        """Read from the file each time it is sent."""
        return Body(self._chunks, self._size)

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._read():
            yield chunk

    def _read(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
